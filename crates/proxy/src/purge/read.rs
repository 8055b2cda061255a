//! What a purge names, read out of a request that is known to be one.

use std::borrow::Cow;

use copal_policy::{PurgeConfig, PurgeDialect};
use copal_semantics::{Target, target};
use copal_store::Hardness;
use http::HeaderName;

use crate::purge::dialect::{Call, Form, SOUIN, XKEYS};
use crate::purge::expression::{TagExpression, compile};
use crate::purge::order::{Matching, Url, What, WrongOrder};
use crate::purge::reply::Style;
use crate::purge::wishes::Wishes;

/// Keys of one request to Fastly's API.
const FASTLY_KEYS: usize = 256;

/// What a request asks for.
#[derive(Debug)]
pub(crate) struct Reading {
    /// What goes.
    pub(crate) hard: Vec<What>,
    /// What becomes stale.
    pub(crate) soft: Vec<What>,
    pub(crate) refresh: bool,
    pub(crate) style: Style,
}

impl Reading {
    fn hard(what: What, style: Style) -> Self {
        Self { hard: vec![what], soft: Vec::new(), refresh: false, style }
    }

    fn softly(mut self, soft: bool) -> Self {
        if soft {
            self.soft.append(&mut self.hard);
        }
        self
    }

    /// The orders in which it is done.
    pub(crate) fn orders(self) -> impl Iterator<Item = (Vec<What>, Hardness)> {
        let both = [(self.hard, Hardness::Hard), (self.soft, Hardness::Soft)];
        both.into_iter().filter(|(what, _)| !what.is_empty())
    }
}

/// Reads what a request names. `body`: of a form that has one.
///
/// # Errors
/// What is wrong with it, for a 400.
pub(crate) fn read(
    call: Call<'_>,
    (dialect, form): (PurgeDialect, Form),
    config: &PurgeConfig,
    wishes: &Wishes,
    body: &[u8],
) -> Result<Reading, WrongOrder> {
    let reader = Reader { call, dialect, config, wishes };
    let mut reading = reader.read(form, body)?.softly(wishes.soft);
    reading.refresh |= wishes.refresh;
    if reading.hard.is_empty() && reading.soft.is_empty() {
        return Err(nothing(dialect));
    }
    Ok(reading)
}

fn nothing(dialect: PurgeDialect) -> WrongOrder {
    WrongOrder::new(format!("the request names nothing that a purge in the dialect {} could be of", dialect.as_str()))
}

struct Reader<'a> {
    call: Call<'a>,
    dialect: PurgeDialect,
    config: &'a PurgeConfig,
    wishes: &'a Wishes,
}

impl Reader<'_> {
    fn read(&self, form: Form, body: &[u8]) -> Result<Reading, WrongOrder> {
        let call = self.call;
        let text = |text| Style::Text(http::StatusCode::OK, text);
        Ok(match form {
            Form::Target => {
                let soft = self.dialect == PurgeDialect::Fastly && call.flag("fastly-soft-purge");
                Reading::hard(self.url(call.target.clone()), Style::of_url(self.dialect)).softly(soft)
            }
            Form::Refresh => {
                Reading { refresh: true, ..Reading::hard(self.url(call.target.clone()), text("Refreshing.")) }
                    .softly(true)
            }
            Form::VirtualHost => Reading::hard(self.virtual_host()?, Style::Own),
            Form::ById => Reading::hard(by_id(&call.target.path)?, Style::Own),
            Form::PathPattern => Reading::hard(self.path_pattern()?, Style::Own),
            Form::PathFinds => Reading::hard(self.path_finds()?, Style::Counted("Invalidated", "objects")),
            Form::Glob => Reading::hard(self.glob()?, text("Ban added.")),
            Form::Prefix => {
                let path = call.target.path_and_query().trim_end_matches('*').to_owned();
                Reading::hard(What::Prefix { host: self.host(), path }, Style::Own)
            }
            Form::BehindPurge => self.behind_purge()?,
            Form::Host => Reading::hard(self.host().map_or(What::Everything, What::Host), text("Purged.")),
            Form::Everything => Reading::hard(What::Everything, Style::everything(self.dialect)),
            Form::TagPatterns => Reading { hard: self.tag_patterns("x-cache-tags-pattern")?, ..empty(Style::TagCount) },
            Form::Magento => {
                let mut hard = self.tag_patterns("x-magento-tags-pattern")?;
                hard.extend(self.pools()?);
                Reading { hard, ..empty(text("Purged")) }.softly(call.flag("x-magento-purge-soft"))
            }
            Form::Conditions => Reading::hard(self.conditions()?, text("Banned")),
            Form::Keys => self.keys(Style::of_keys(self.dialect))?,
            Form::Tags(names) => Reading { hard: self.tags(names)?, ..empty(text("Ban added.")) },
            Form::Typo3 => self.typo3()?,
            Form::HostAndUrl => Reading::hard(self.host_and_url()?, text("Banned")),
            Form::Souin => self.souin()?,
            Form::FastlyKey => {
                let path = call.target.path.as_str();
                let key = path.split_once("/purge/").map(|(_, key)| decoded(key)).unwrap_or_default();
                Reading::hard(What::tags([key])?, Style::Fastly).softly(call.flag("fastly-soft-purge"))
            }
            Form::FastlyKeys => {
                Reading::hard(self.fastly_keys(body)?, Style::Fastly).softly(call.flag("fastly-soft-purge"))
            }
            Form::Nothing => return Err(nothing(self.dialect)),
        })
    }

    fn any_host(&self) -> bool {
        self.config.any_host || self.wishes.any_host
    }

    /// The host that the purge is limited to; none where that is not to be believed.
    fn host(&self) -> Option<String> {
        (!self.any_host()).then(|| self.call.target.host.clone())
    }

    fn url(&self, target: Target) -> What {
        // Drupal's purgers leave the query out.
        let all_queries = self.config.all_queries || self.wishes.all_queries || self.dialect == PurgeDialect::Drupal;
        What::Url(Url { target, all_queries, any_host: self.any_host() })
    }

    /// `/VirtualHostBase/http/example.com:80/Plone/VirtualHostRoot/_vh_site/page`: what Zope answers for
    /// `http://example.com/site/page`.
    fn virtual_host(&self) -> Result<What, WrongOrder> {
        let wrong = || WrongOrder::new("the path is not /VirtualHostBase/SCHEME/HOST/…/VirtualHostRoot/…");
        let path = self.call.target.path_and_query();
        let rest = path.strip_prefix("/VirtualHostBase/").ok_or_else(wrong)?;
        let (scheme, rest) = rest.split_once('/').ok_or_else(wrong)?;
        let (host, rest) = rest.split_once('/').ok_or_else(wrong)?;
        let behind = match rest.split_once("VirtualHostRoot") {
            Some((before, behind)) if before.is_empty() || before.ends_with('/') => behind,
            _ => return Err(wrong()),
        };
        if behind.contains("/@@purgebyid/") {
            return by_id(behind);
        }
        let mut visible = String::new();
        let mut rest = behind;
        while let Some((segment, behind)) = rest.strip_prefix("/_vh_").map(first_segment) {
            visible.push('/');
            visible.push_str(segment);
            rest = behind;
        }
        visible.push_str(rest);
        let secure = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err(wrong()),
        };
        let target = target::normalise(secure, host, if visible.is_empty() { "/" } else { &visible });
        let target = target.map_err(|error| WrongOrder::new(error.to_string()))?;
        let all_queries = self.config.all_queries || self.wishes.all_queries;
        // It says the host itself.
        Ok(What::Url(Url { target, all_queries, any_host: self.wishes.any_host }))
    }

    /// A path with regular expressions in it, anchored at its start.
    fn path_pattern(&self) -> Result<What, WrongOrder> {
        let path = self.call.target.path_and_query();
        let plain =
            |text: &str| !text.contains(['.', '*', '+', '?', '(', ')', '[', ']', '{', '}', '|', '^', '$', '\\']);
        match (path.strip_suffix(".*"), self.host()) {
            (Some("/" | ""), Some(host)) => Ok(What::Host(host)),
            (Some("/" | ""), None) => Ok(What::Everything),
            (Some(beginning), host) if plain(beginning) => Ok(What::Prefix { host, path: beginning.to_owned() }),
            (_, exact_host) => {
                let url = Some(compile(&format!("^(?:{path})"))?);
                What::all_of(Matching { exact_host, url, ..Matching::default() })
            }
        }
    }

    /// A path that is a regular expression, on all hosts.
    fn path_finds(&self) -> Result<What, WrongOrder> {
        let path = self.call.target.path_and_query();
        if matches!(path.as_str(), "/.*" | "/") {
            return Ok(What::Everything);
        }
        What::all_of(Matching { url: Some(compile(&path)?), ..Matching::default() })
    }

    fn glob(&self) -> Result<What, WrongOrder> {
        let path = self.call.target.path_and_query();
        if path.contains('*') { What::glob_on(self.host(), &path) } else { Ok(self.url(self.call.target.clone())) }
    }

    fn behind_purge(&self) -> Result<Reading, WrongOrder> {
        let target = self.call.target;
        let path = target.path.strip_prefix("/purge").unwrap_or(&target.path);
        if let Some(beginning) = path.strip_suffix('*').filter(|_| self.dialect == PurgeDialect::Nginx) {
            let what = What::Prefix { host: self.host(), path: beginning.to_owned() };
            return Ok(Reading::hard(what, Style::Own));
        }
        let behind = Target { path: path.to_owned(), ..target.clone() };
        Ok(Reading::hard(self.url(behind), Style::of_url(self.dialect)))
    }

    /// Every line of the field is an expression on tags.
    fn tag_patterns(&self, name: &str) -> Result<Vec<What>, WrongOrder> {
        self.call.lines(name)?.into_iter().map(What::tags_like).collect()
    }

    /// `X-Pool`: what the origin gave the same name.
    fn pools(&self) -> Result<Vec<What>, WrongOrder> {
        let pool = |pool| {
            let fields = vec![(HeaderName::from_static("x-pool"), compile(pool)?)];
            What::all_of(Matching { fields, ..Matching::default() })
        };
        self.call.lines("x-pool")?.into_iter().map(pool).collect()
    }

    /// FOSHttpCache: all that is given must hold; `.*` is what is given where nothing is meant.
    fn conditions(&self) -> Result<What, WrongOrder> {
        let given = |name: &str| {
            let value = self.call.line(name)?.map(str::trim);
            Ok::<_, WrongOrder>(value.filter(|value| !matches!(*value, "" | ".*" | "^.*$" | "^.*")))
        };
        let mut said = false;
        for name in ["x-host", "x-url", "x-content-type", "x-cache-tags", "x-site"] {
            said |= self.call.line(name)?.is_some_and(|value| !value.trim().is_empty());
        }
        if !said {
            return Err(nothing(self.dialect));
        }
        let mut tags = given("x-cache-tags")?.map(TagExpression::parse).transpose()?;
        if let (None, Some(site)) = (&tags, given("x-site")?) {
            // Tags are of one site anyway.
            tags = Some(TagExpression::Exact(vec![format!("site_{site}")]));
        }
        let media = given("x-content-type")?.map(compile).transpose()?;
        What::all_of(Matching {
            exact_host: None,
            host: given("x-host")?.map(compile).transpose()?,
            url: given("x-url")?.map(compile).transpose()?,
            fields: media.into_iter().map(|media| (http::header::CONTENT_TYPE, media)).collect(),
            tags,
        })
    }

    /// `xkey`, `xkey-purge` and `xkey-softpurge`.
    fn keys(&self, style: Style) -> Result<Reading, WrongOrder> {
        let mut reading = empty(style);
        for name in XKEYS {
            let keys = self.words(name, &[' ', ',', '\t'])?;
            if !keys.is_empty() {
                let of = if name == "xkey-softpurge" { &mut reading.soft } else { &mut reading.hard };
                of.push(What::tags(keys)?);
            }
        }
        if reading.hard.is_empty() && reading.soft.is_empty() {
            return Err(WrongOrder::new("neither xkey-purge nor xkey-softpurge names a key"));
        }
        Ok(reading)
    }

    /// Tags as a list with whatever between them, or as an expression.
    fn tags(&self, names: &[&str]) -> Result<Vec<What>, WrongOrder> {
        let mut exact = Vec::new();
        let mut all = Vec::new();
        for name in names {
            for line in self.call.lines(name)? {
                if line.contains(['(', ')', '[', ']', '^', '$', '\\', '*']) {
                    all.push(What::tags_like(line)?);
                } else {
                    exact.extend(split(line, &[' ', ',', '|', '\t']).map(str::to_owned));
                }
            }
        }
        if !exact.is_empty() {
            all.push(What::tags(exact)?);
        }
        Ok(all)
    }

    fn typo3(&self) -> Result<Reading, WrongOrder> {
        let text = |status| Style::Text(status, "Banned TYPO3");
        let site = self.call.line("varnish-ban-typo3-sitename")?.map(str::trim).filter(|site| !site.is_empty());
        if let Some(page) = self.call.line("varnish-ban-typo3-pid")?.map(str::trim).filter(|page| !page.is_empty()) {
            let status = if site.is_some() { http::StatusCode::ACCEPTED } else { http::StatusCode::OK };
            return Ok(Reading::hard(What::tags([format!("pageId_{page}")])?, text(status)));
        }
        let tags = self.words("xkey-purge", &[' ', ',', '\t'])?;
        if !tags.is_empty() {
            // As the configuration does that comes with the extension.
            return Ok(Reading::hard(What::tags(tags)?, text(http::StatusCode::OK)).softly(true));
        }
        if !self.call.flag("varnish-ban-all") {
            return Err(WrongOrder::new("neither Varnish-Ban-All, Varnish-Ban-TYPO3-Pid nor xkey-purge is given"));
        }
        let what = match site {
            Some(site) => What::tags([format!("siteId_{site}")])?,
            None => self.host().map_or(What::Everything, What::Host),
        };
        Ok(Reading::hard(what, text(http::StatusCode::OK)))
    }

    fn host_and_url(&self) -> Result<What, WrongOrder> {
        let (host, url) = (self.call.line("x-host")?.unwrap_or_default(), self.call.line("x-url")?.unwrap_or_default());
        // It may be the whole URL.
        let url = url.split_once("://").map_or(url, |(_, rest)| rest.find('/').map_or("/", |slash| &rest[slash..]));
        let What::Host(host) = What::host(host.trim())? else { return Err(nothing(self.dialect)) };
        let url = Some(url.trim()).filter(|url| !matches!(*url, "" | ".*" | "/.*")).map(compile).transpose()?;
        What::all_of(Matching { exact_host: Some(host), url, ..Matching::default() })
    }

    fn souin(&self) -> Result<Reading, WrongOrder> {
        let rest = self.call.target.path_and_query();
        let rest = rest.strip_prefix(SOUIN).unwrap_or_default().trim_start_matches('/');
        let what = match rest {
            "flush" => What::Everything,
            "" => What::tags(self.words("surrogate-key", &[' ', ','])?)?,
            pattern => What::pattern(&decoded(pattern))?,
        };
        Ok(Reading::hard(what, Style::NoContent))
    }

    fn fastly_keys(&self, body: &[u8]) -> Result<What, WrongOrder> {
        let mut keys = self.words("surrogate-key", &[' '])?;
        if keys.is_empty() {
            #[derive(serde::Deserialize)]
            struct Body {
                surrogate_keys: Vec<String>,
            }
            let read = serde_json::from_slice::<Body>(body);
            keys = read
                .map_err(|error| WrongOrder::new(format!("neither Surrogate-Key nor a body with keys: {error}")))?
                .surrogate_keys;
        }
        match keys.len() {
            0..=FASTLY_KEYS => What::tags(keys),
            _ => Err(WrongOrder::new(format!("more than {FASTLY_KEYS} keys: send them in parts"))),
        }
    }

    /// The words in all lines of a field.
    fn words(&self, name: &str, separators: &[char]) -> Result<Vec<String>, WrongOrder> {
        let lines = self.call.lines(name)?;
        Ok(lines.into_iter().flat_map(|line| split(line, separators)).map(str::to_owned).collect())
    }
}

impl<'a> Call<'a> {
    /// The lines of a field.
    fn lines(&self, name: &str) -> Result<Vec<&'a str>, WrongOrder> {
        let wrong = |_| WrongOrder::new(format!("the field {name} is not plain text"));
        let lines = self.headers.iter().filter(|(there, _)| there.as_str() == name).map(|(_, line)| line);
        lines.map(|line| std::str::from_utf8(line.as_bytes()).map_err(wrong)).filter(|line| *line != Ok("")).collect()
    }

    /// The one line of a field.
    fn line(&self, name: &str) -> Result<Option<&'a str>, WrongOrder> {
        match self.lines(name)?.as_slice() {
            [] => Ok(None),
            [line] => Ok(Some(line)),
            _ => Err(WrongOrder::new(format!("the field {name} is there more than once"))),
        }
    }
}

fn empty(style: Style) -> Reading {
    Reading { hard: Vec::new(), soft: Vec::new(), refresh: false, style }
}

fn split<'t>(text: &'t str, separators: &'t [char]) -> impl Iterator<Item = &'t str> {
    text.split(separators).filter(|word| !word.is_empty())
}

fn first_segment(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()))
}

/// `…/@@purgebyid/UUID`.
fn by_id(path: &str) -> Result<What, WrongOrder> {
    let id = path.split_once("/@@purgebyid/").map(|(_, id)| id).unwrap_or_default();
    What::tags([id.trim_matches(['/', '#'])])
}

/// A part of a path with its percent-encodings decoded, where that is text.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let hex = |byte: u8| char::from(byte).to_digit(16);
        match behind {
            [high, low, behind @ ..] if *first == b'%' && hex(*high).is_some() && hex(*low).is_some() => {
                // Two digits are one byte.
                bytes.push((hex(*high).unwrap_or_default() * 16 + hex(*low).unwrap_or_default()) as u8);
                rest = behind;
            }
            _ => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(text), Cow::Owned)
}
