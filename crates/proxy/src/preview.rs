//! A template as a page, without a network: its tree, what is wrong with it, and what is put out, with a comment in the
//! place of each fragment.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use copal_esi::{Dialect, Escape, Include, Next, Parser, Piece, Plan, Setting, Value, Variables};
use copal_semantics::{Target, target};
use http::{HeaderMap, Method};

use crate::variables::Visible;

/// What a template is looked at with.
#[derive(Clone, Copy, Debug)]
pub struct PreviewOptions<'a> {
    /// With the additions of Akamai's dialect.
    pub akamai: bool,
    /// JSON or a script, so that values stand in string literals.
    pub script: bool,
    /// The URL that a visitor asks for, from its scheme to its query.
    pub url: &'a str,
    /// The fields of the visitor's request. Templates can read all of them here: what a rule hides is not hidden.
    pub headers: &'a HeaderMap,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// The template's parts, one a line.
    pub tree: String,
    /// Line, column and sentence of each thing that is wrong.
    pub warnings: Vec<(u32, u32, String)>,
    /// The page.
    pub page: Vec<u8>,
}

struct Request {
    target: Target,
    headers: HeaderMap,
}

impl Variables for Request {
    fn get(&self, name: &str, key: Option<&str>) -> Value {
        Visible { method: &Method::GET, target: &self.target, headers: &self.headers, under: None }.get(name, key)
    }
}

/// Looks at a template.
///
/// # Errors
/// What is wrong with the URL.
pub fn preview(template: Bytes, options: PreviewOptions<'_>) -> Result<Preview, String> {
    let nowhere = target::normalise(false, "localhost", "/").map_err(|error| error.to_string())?;
    let target = target::resolve(&nowhere, options.url).map_err(|error| format!("{}: {error}", options.url))?;
    let dialect = if options.akamai { Dialect::Akamai } else { Dialect::Esi10 };
    let mut parser = Parser::default().with_dialect(dialect);
    let mut pieces = Vec::new();
    parser.push(template, &mut pieces);
    parser.finish(&mut pieces);
    let warnings =
        parser.warnings().into_iter().map(|warning| (warning.line, warning.column, warning.message.to_string()));
    let variables = Arc::new(Request { target, headers: options.headers.clone() });
    let escape = if options.script { Escape::Script } else { Escape::Markup };
    let setting = Setting { variables, escape, dialect };
    let tree = copal_esi::tree(&pieces).to_string();
    Ok(Preview { tree, warnings: warnings.collect(), page: page(pieces, setting, options.script) })
}

fn page(pieces: Vec<Piece>, setting: Setting, script: bool) -> Vec<u8> {
    let mut plan = Plan::new(usize::MAX, usize::MAX).with_setting(setting);
    pieces.into_iter().for_each(|piece| plan.add(piece));
    plan.end();
    let (mut page, mut includes) = (Vec::new(), Vec::new());
    loop {
        while let Some((id, include)) = plan.start_next() {
            plan.finished(id);
            includes.push((id, include));
        }
        match plan.next() {
            Next::Text(text) => page.extend_from_slice(&text),
            Next::Fragment(id) => {
                if let Some((_, include)) = includes.iter().find(|(known, _)| *known == id) {
                    page.extend_from_slice(comment(include, script).as_bytes());
                }
                plan.done(id);
            }
            Next::Wait | Next::End => return page,
        }
    }
}

/// What stands in the place of a fragment.
fn comment(include: &Include, script: bool) -> String {
    let mut text = format!("include {}", include.src);
    if let Some(alt) = &include.alt {
        let _ = write!(text, ", alt {alt}");
    }
    if include.continue_on_error {
        text.push_str(", onerror continue");
    }
    // Nothing in it ends the comment.
    if script {
        format!("/* {} */", text.replace("*/", "* /"))
    } else {
        format!("<!-- {} -->", text.replace("--", "- -").replace('>', "%3E"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(template: &'static str, akamai: bool, script: bool) -> Preview {
        let headers = HeaderMap::from_iter([(http::header::COOKIE, "group=<b>".parse().unwrap())]);
        let options = PreviewOptions { akamai, script, url: "http://www.example.com/?q=%22", headers: &headers };
        preview(Bytes::from_static(template.as_bytes()), options).unwrap()
    }

    #[test]
    fn a_page_with_comments_for_its_fragments() {
        let seen = look(
            "<p>\n<esi:include src='/a?$(QUERY_STRING{q})' alt='/-->' onerror='continue'/>\
             <esi:vars>$(HTTP_COOKIE{group})</esi:vars><esi:wrong/>\
             <esi:try><esi:attempt><esi:include src='/b'/></esi:attempt><esi:except>no</esi:except></esi:try>",
            false,
            false,
        );
        let page = "<p>\n<!-- include /a?%22, alt /- -%3E, onerror continue -->&lt;b&gt;<!-- include /b -->";
        assert_eq!(String::from_utf8(seen.page).unwrap(), page);
        let [(line, column, ref sentence)] = seen.warnings[..] else { panic!("{:?}", seen.warnings) };
        assert_eq!((line, column > 50, sentence.contains("no element <esi:wrong>")), (2, true, true));
        assert!(seen.tree.starts_with("text, 4 bytes\ninclude /a"), "{}", seen.tree);
    }

    #[test]
    fn in_a_script_and_in_the_other_dialect() {
        let template = "\"<esi:assign name='x' value='1+1'/><esi:vars>$(x)$(QUERY_STRING{q})</esi:vars>\"<esi:include src='/*/a'/>";
        assert_eq!(String::from_utf8(look(template, true, true).page).unwrap(), "\"2\\\"\"/* include /* /a */");
        assert_eq!(look(template, false, true).warnings.len(), 1, "assign is of the other dialect");
    }

    #[test]
    fn a_wrong_url() {
        let headers = HeaderMap::new();
        let options = PreviewOptions { akamai: false, script: false, url: "http://a b/", headers: &headers };
        assert!(preview(Bytes::new(), options).is_err());
    }
}
