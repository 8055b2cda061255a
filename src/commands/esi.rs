//! `copal esi`: a template as a page, without a network.

use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::path::Path;

use copal_proxy::{Preview, PreviewOptions};

use super::explain;
use crate::cli::Esi;
use crate::failure::Failure;
use crate::output;

pub(crate) fn run(arguments: &Esi) -> Result<(), Failure> {
    let template = read(&arguments.file)?;
    let name = if is_standard_input(&arguments.file) { "-".into() } else { arguments.file.to_string_lossy() };
    let headers = explain::headers(&arguments.headers, &arguments.cookies);
    let query = arguments.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    let options = PreviewOptions {
        akamai: arguments.dialect == "akamai",
        script: is_script(&arguments.file),
        url: &format!("http://{}/{query}", arguments.host),
        headers: &headers,
    };
    let seen = copal_proxy::preview(template.into(), options).map_err(Failure::wrong)?;
    if arguments.page {
        warnings(&name, &seen).lines().for_each(output::tell);
        output::print(String::from_utf8_lossy(&seen.page).trim_end_matches('\n'))
    } else {
        output::print(text(&name, &seen))
    }
}

fn is_standard_input(file: &Path) -> bool {
    file == Path::new("-")
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut template = Vec::new();
    let read = match is_standard_input(file) {
        true => io::stdin().lock().read_to_end(&mut template).map(|_| template),
        false => std::fs::read(file),
    };
    read.map_err(|error| Failure::wrong(format_args!("cannot read {}: {error}", file.display())))
}

fn is_script(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "json" || extension == "js" || extension == "mjs")
}

fn text(name: &str, seen: &Preview) -> String {
    let mut text = "Tree\n".to_owned();
    for line in seen.tree.lines() {
        let _ = writeln!(text, "  {line}");
    }
    if !seen.warnings.is_empty() {
        text.push_str("\nWarnings\n");
        for line in warnings(name, seen).lines() {
            let _ = writeln!(text, "  {line}");
        }
    }
    let _ = write!(text, "\nPage\n{}", String::from_utf8_lossy(&seen.page).trim_end_matches('\n'));
    text
}

fn warnings(name: &str, seen: &Preview) -> String {
    let mut text = String::new();
    for (line, column, sentence) in &seen.warnings {
        let _ = writeln!(text, "{name}:{line}:{column}: {sentence}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tree_warnings_and_page_in_this_order() {
        let seen = Preview {
            tree: "text, 3 bytes\nchoose (line 1)\n  otherwise\n".to_owned(),
            warnings: vec![(1, 7, "something".to_owned())],
            page: b"<p>\n</p>\n".to_vec(),
        };
        assert_eq!(
            text("a.html", &seen),
            "Tree\n  text, 3 bytes\n  choose (line 1)\n    otherwise\n\nWarnings\n  a.html:1:7: something\n\nPage\n<p>\n</p>"
        );
        let fine = Preview { warnings: Vec::new(), ..seen };
        assert!(!text("a.html", &fine).contains("Warnings"));
    }

    #[test]
    fn scripts_are_known_by_their_names() {
        let names = ["a.json", "a.js", "a.html", "-"];
        assert_eq!(names.map(|name| is_script(Path::new(name))), [true, true, false, false]);
    }
}
