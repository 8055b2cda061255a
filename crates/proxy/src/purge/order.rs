//! What is to be invalidated and how, whoever asks for it and in whatever dialect.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use copal_semantics::{Target, target};
use copal_store::Hardness;
use http::HeaderName;
use regex::Regex;

use crate::purge::expression::{TagExpression, compile};

/// One purge: everything that is named goes at once, under one audit line.
#[derive(Clone, Debug)]
pub struct Order {
    /// What it names; the union of all.
    pub what: Vec<What>,
    /// Gone, or only stale from now on.
    pub hardness: Hardness,
    /// Fetch again at once, in the background, the URLs that it names exactly.
    pub refresh: bool,
    /// Only say what would go.
    pub dry_run: bool,
    /// Do it once more after this time: for origins whose own replicas lag behind.
    pub repurge_after: Option<Duration>,
    /// Who asks.
    pub by: By,
}

/// Who asks for a purge, for the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// How it was asked: a dialect's name, `api`, `htcp`.
    pub dialect: &'static str,
    /// The address that asked; none for the process itself.
    pub peer: Option<IpAddr>,
}

/// One thing that a purge names.
#[derive(Clone, Debug)]
pub enum What {
    /// One URL with all its variants, under both schemes and however the rules key its query.
    Url(Url),
    /// Everything whose path and query begin so.
    Prefix {
        /// As in a cache key: lower case, with a port that is not the scheme's own; none for all hosts.
        host: Option<String>,
        /// Compared byte by byte with path and query.
        path: String,
    },
    /// Everything of a host, in the form of a cache key.
    Host(String),
    /// Everything that has one of these tags.
    Tags(Vec<String>),
    /// Everything whose whole URL (`http://host/path?query`, as keyed) the expression finds itself in.
    Pattern(Regex),
    /// Everything that all of the conditions hold for.
    Match(Box<Matching>),
    /// Everything.
    Everything,
}

/// A URL to be purged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Url {
    /// The URL itself, normalised.
    pub(crate) target: Target,
    /// Whatever its query.
    pub all_queries: bool,
    /// On whatever host.
    pub any_host: bool,
}

/// Conditions on a stored response that must all hold. Without any it is everything.
#[derive(Clone, Debug, Default)]
pub struct Matching {
    /// The host, in the form of a cache key.
    pub exact_host: Option<String>,
    /// Found in the host.
    pub host: Option<Regex>,
    /// Found in path and query.
    pub url: Option<Regex>,
    /// Found in a stored response field; a response without the field does not match.
    pub fields: Vec<(HeaderName, Regex)>,
    /// On the tags, one by one.
    pub tags: Option<TagExpression>,
}

/// Why something is no order; what to say to whoever asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WrongOrder(pub(crate) String);

impl WrongOrder {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// Most URLs, tags and patterns of one order. Whoever has more sends several, or purges by host.
pub const MOST_NAMED: usize = 10_000;

impl Order {
    /// A hard purge of this.
    #[must_use]
    pub fn new(what: Vec<What>, by: By) -> Self {
        Self { what, hardness: Hardness::Hard, refresh: false, dry_run: false, repurge_after: None, by }
    }

    /// The same, soft or hard.
    #[must_use]
    pub fn soft(mut self, soft: bool) -> Self {
        self.hardness = if soft { Hardness::Soft } else { Hardness::Hard };
        self
    }

    /// How many things it names, each tag counted.
    #[must_use]
    pub fn named(&self) -> usize {
        self.what.iter().map(|what| if let What::Tags(tags) = what { tags.len() } else { 1 }).sum()
    }
}

impl What {
    /// A text that is the same for equal ones only: the words for people ([`fmt::Display`]) are not.
    pub(crate) fn identity(&self) -> String {
        // Texts are put out quoted and escaped, so nothing in them can look like what stands between them.
        format!("{self:?}")
    }
}

/// From what operators and clients write.
impl What {
    /// An absolute URL (`http://www.example.com/page?query`), with its query as given and on its own host.
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub fn url(url: &str) -> Result<Self, WrongOrder> {
        Ok(Self::Url(Url::of(absolute(url)?)))
    }

    /// `/blog/` on all hosts, `http://www.example.com/blog/` on one.
    ///
    /// # Errors
    /// It is neither a path nor a URL.
    pub fn prefix(text: &str) -> Result<Self, WrongOrder> {
        let (host, path) = host_and_path(text)?;
        Ok(Self::Prefix { host, path })
    }

    /// `/blog/*/comments` on all hosts, `http://www.example.com/blog/*` on one: `*` stands for any characters, slashes and
    /// `?` included.
    ///
    /// # Errors
    /// It is neither a path nor a URL, or too long to be compiled.
    pub fn glob(text: &str) -> Result<Self, WrongOrder> {
        let (host, path) = host_and_path(text)?;
        Self::glob_on(host, &path)
    }

    /// A glob on path and query, on one host or on all.
    pub(crate) fn glob_on(host: Option<String>, glob: &str) -> Result<Self, WrongOrder> {
        let beginning = glob.trim_end_matches('*');
        match (beginning.contains('*'), beginning.len() < glob.len()) {
            (false, true) => Ok(match host {
                Some(host) if beginning == "/" => Self::Host(host),
                None if beginning == "/" => Self::Everything,
                host => Self::Prefix { host, path: beginning.to_owned() },
            }),
            _ => {
                let parts: Vec<String> = glob.split('*').map(regex::escape).collect();
                let url = Some(compile(&format!("^{}$", parts.join(".*")))?);
                Ok(Self::Match(Box::new(Matching { exact_host: host, url, ..Matching::default() })))
            }
        }
    }

    /// `www.example.com`, with its port if that is not the scheme's own.
    ///
    /// # Errors
    /// It is no host.
    pub fn host(text: &str) -> Result<Self, WrongOrder> {
        target::normalise(false, text, "/")
            .map(|target| Self::Host(target.host))
            .map_err(|error| WrongOrder::new(format!("{text}: {error}; give a host, as in www.example.com")))
    }

    /// Everything that has one of these tags.
    ///
    /// # Errors
    /// There is none, or an empty one, or more than [`MOST_NAMED`].
    pub fn tags<T: Into<String>>(tags: impl IntoIterator<Item = T>) -> Result<Self, WrongOrder> {
        let tags: Vec<String> = tags.into_iter().map(Into::into).collect();
        if tags.is_empty() || tags.iter().any(String::is_empty) {
            return Err(WrongOrder::new("no tag is given, or an empty one"));
        }
        if tags.len() > MOST_NAMED {
            return Err(WrongOrder::new(format!("more than {MOST_NAMED} tags: send them in parts")));
        }
        // Words with a line break are Copal's own and no origin's.
        match tags.iter().any(|tag| tag.contains(char::is_control)) {
            true => Err(WrongOrder::new("a tag has a control character in it")),
            false => Ok(Self::Tags(tags)),
        }
    }

    /// Tags as a regular expression, in the forms that CMSs send: `(^|,)(a|b)(,|$)` and `a|b|c` name just these tags;
    /// anything else is tried on each tag that is known.
    ///
    /// # Errors
    /// What is wrong with the expression.
    pub fn tags_like(expression: &str) -> Result<Self, WrongOrder> {
        Ok(match TagExpression::parse(expression)? {
            TagExpression::Everything => Self::Everything,
            TagExpression::Exact(tags) => Self::tags(tags)?,
            pattern @ TagExpression::Pattern(_) => {
                Self::Match(Box::new(Matching { tags: Some(pattern), ..Matching::default() }))
            }
        })
    }

    /// A regular expression that finds itself in the whole URL as keyed.
    ///
    /// # Errors
    /// What is wrong with the expression.
    pub fn pattern(expression: &str) -> Result<Self, WrongOrder> {
        Ok(Self::Pattern(compile(expression)?))
    }

    /// Conditions that must all hold; those that say nothing are left out.
    pub(crate) fn all_of(mut conditions: Matching) -> Result<Self, WrongOrder> {
        if conditions.tags.as_ref().is_some_and(|tags| matches!(tags, TagExpression::Everything)) {
            conditions.tags = None;
        }
        let on_urls = conditions.host.is_some() || conditions.url.is_some() || !conditions.fields.is_empty();
        Ok(match conditions {
            Matching { exact_host: None, tags: None, .. } if !on_urls => Self::Everything,
            Matching { exact_host: Some(host), tags: None, .. } if !on_urls => Self::Host(host),
            Matching { exact_host: None, tags: Some(TagExpression::Exact(tags)), .. } if !on_urls => Self::tags(tags)?,
            conditions => Self::Match(Box::new(conditions)),
        })
    }
}

impl Url {
    /// Exactly this one.
    pub(crate) fn of(target: Target) -> Self {
        Self { target, all_queries: false, any_host: false }
    }
}

/// Conditions as text, as the API takes them.
#[derive(Clone, Debug, Default)]
pub struct MatchText<'a> {
    /// A regular expression on the host.
    pub host: Option<&'a str>,
    /// A regular expression on path and query.
    pub url: Option<&'a str>,
    /// Names of response fields, each with a regular expression on its value.
    pub fields: Vec<(&'a str, &'a str)>,
    /// Tags, in the forms of [`What::tags_like`].
    pub tags: Option<&'a str>,
}

impl MatchText<'_> {
    /// The conditions, compiled.
    ///
    /// # Errors
    /// What is wrong with one of them, or that there is none.
    pub fn compile(&self) -> Result<What, WrongOrder> {
        if self.host.is_none() && self.url.is_none() && self.fields.is_empty() && self.tags.is_none() {
            return Err(WrongOrder::new("no condition is given: host, url, fields or tags"));
        }
        let field = |(name, expression): &(&str, &str)| {
            let known = name.parse::<HeaderName>();
            let name = known.map_err(|_| WrongOrder::new(format!("{name} is no name of a field")))?;
            Ok::<_, WrongOrder>((name, compile(expression)?))
        };
        What::all_of(Matching {
            exact_host: None,
            host: self.host.map(compile).transpose()?,
            url: self.url.map(compile).transpose()?,
            fields: self.fields.iter().map(field).collect::<Result<_, _>>()?,
            tags: self.tags.map(TagExpression::parse).transpose()?,
        })
    }
}

/// An absolute URL in normal form.
fn absolute(url: &str) -> Result<Target, WrongOrder> {
    let anywhere = Target { scheme: "http", host: String::new(), path: "/".to_owned(), query: None };
    let target = target::resolve(&anywhere, url).map_err(|error| WrongOrder::new(format!("{url}: {error}")))?;
    if target.host.is_empty() {
        return Err(WrongOrder::new(format!("{url}: give the whole URL, as in http://www.example.com/page")));
    }
    Ok(target)
}

/// `/path`, or `http://host[:port]/path`. The path is not put into normal form: it may end within an encoding.
fn host_and_path(text: &str) -> Result<(Option<String>, String), WrongOrder> {
    if text.starts_with('/') && !text.starts_with("//") {
        return Ok((None, text.to_owned()));
    }
    let wrong =
        || WrongOrder::new(format!("{text} is neither a path (/blog/) nor a URL (http://www.example.com/blog/)"));
    let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
    let secure = match scheme.to_ascii_lowercase().as_str() {
        "http" => false,
        "https" => true,
        _ => return Err(wrong()),
    };
    let (authority, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
    let target = target::normalise(secure, authority, "/").map_err(|_| wrong())?;
    Ok((Some(target.host), path.to_owned()))
}

impl fmt::Display for What {
    /// In few words, for the audit log; equal things have equal words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => url.fmt(f),
            Self::Prefix { host, path } => write!(f, "prefix {}{path}", host.as_deref().unwrap_or("*")),
            Self::Host(host) => write!(f, "host {host}"),
            Self::Tags(tags) => write!(f, "tags {}", tags.join(" ")),
            Self::Pattern(regex) => write!(f, "pattern {regex}"),
            Self::Match(conditions) => conditions.fmt(f),
            Self::Everything => f.write_str("everything"),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (target, host) = (&self.target, if self.any_host { "*" } else { &*self.target.host });
        match (self.all_queries, &target.query) {
            (true, _) => write!(f, "url {host}{} with any query", target.path),
            (false, _) => write!(f, "url {host}{}", target.path_and_query()),
        }
    }
}

impl fmt::Display for Matching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("match")?;
        if let Some(host) = &self.exact_host {
            write!(f, " host={host}")?;
        }
        if let Some(host) = &self.host {
            write!(f, " host~{host}")?;
        }
        if let Some(url) = &self.url {
            write!(f, " url~{url}")?;
        }
        for (name, value) in &self.fields {
            write!(f, " {name}~{value}")?;
        }
        match &self.tags {
            Some(TagExpression::Exact(tags)) => write!(f, " tags={}", tags.join(",")),
            Some(TagExpression::Pattern(regex)) => write!(f, " tags~{regex}"),
            Some(TagExpression::Everything) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(what: Result<What, WrongOrder>) -> String {
        what.map_or_else(|wrong| format!("! {wrong}"), |what| what.to_string())
    }

    #[test]
    fn what_operators_write() {
        for (what, expected) in [
            (What::url("http://Example.com:80/a/../b?c"), "url example.com/b?c"),
            (What::url("https://example.com/"), "url example.com/"),
            (What::prefix("/blog/"), "prefix */blog/"),
            (What::prefix("http://www.Example.com/blog/"), "prefix www.example.com/blog/"),
            (What::prefix("https://www.example.com"), "prefix www.example.com/"),
            (What::prefix("http://example.com:80/a?b"), "prefix example.com/a?b"),
            (What::prefix("https://example.com:80/"), "prefix example.com:80/"),
            (What::prefix("HTTPS://example.com:443/"), "prefix example.com/"),
            (What::prefix("http://[::1]:8080/x"), "prefix [::1]:8080/x"),
            (What::glob("/blog/*"), "prefix */blog/"),
            (What::glob("http://a.example/*"), "host a.example"),
            (What::glob("/*"), "everything"),
            (What::glob("/a*.html"), "match url~^/a.*\\.html$"),
            (What::glob("http://a.example/a*b*"), "match host=a.example url~^/a.*b.*$"),
            (What::glob("/just.this"), "match url~^/just\\.this$"),
            (What::host("WWW.example.com:8080"), "host www.example.com:8080"),
            (What::host("example.com:80"), "host example.com"),
            (What::tags(["a", "b"]), "tags a b"),
            (What::tags_like("(^|,)(a|b)(,|$)"), "tags a b"),
            (What::tags_like("node:\\d+"), "match tags~node:\\d+"),
            (What::tags_like(".*"), "everything"),
            (What::pattern("^https?://a/"), "pattern ^https?://a/"),
        ] {
            assert_eq!(words(what), expected);
        }
    }

    #[test]
    fn what_is_no_order_says_so() {
        for (what, part) in [
            (What::url("/page"), "give the whole URL"),
            (What::url("ftp://a/"), "neither http nor https"),
            (What::prefix(""), "neither a path"),
            (What::prefix("blog/"), "neither a path"),
            (What::prefix("//host/x"), "neither a path"),
            (What::prefix("ftp://a/"), "neither a path"),
            (What::prefix("http:///x"), "neither a path"),
            (What::prefix("http://user@host/"), "neither a path"),
            (What::host("a/b"), "give a host"),
            (What::tags(Vec::<String>::new()), "no tag"),
            (What::tags(["a", ""]), "an empty one"),
            (What::tags(["\nof http://a/"]), "control character"),
            (What::tags(vec!["x"; MOST_NAMED + 1]), "in parts"),
            (What::pattern("a(?=b)"), "look"),
            (MatchText::default().compile(), "no condition"),
            (MatchText { fields: vec![("a b", "x")], ..MatchText::default() }.compile(), "no name of a field"),
        ] {
            let words = words(what);
            assert!(words.starts_with("! ") && words.contains(part), "{words}");
        }
    }

    #[test]
    fn conditions_that_are_something_simpler_become_that() {
        let of = |text: MatchText<'_>| words(text.compile());
        assert_eq!(of(MatchText { tags: Some("a|b"), ..MatchText::default() }), "tags a b");
        assert_eq!(of(MatchText { tags: Some(".*"), ..MatchText::default() }), "everything");
        let text = MatchText {
            host: Some("^a$"),
            url: Some("^/x"),
            fields: vec![("content-type", "html")],
            tags: Some("(^|,)t(,|$)"),
        };
        assert_eq!(of(text), "match host~^a$ url~^/x content-type~html tags=t");
    }
}
