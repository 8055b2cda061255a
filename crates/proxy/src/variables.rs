//! The variables of a request as templates may read them (ESI 1.0, section 4.1). What is secret of a request stays so.

use std::borrow::Cow;

use copal_esi::Value;
use copal_policy::{CookieKind, Cookies, EsiOptions, Policy, Rule};
use copal_semantics::Target;
use http::{HeaderMap, HeaderName, Method, header};

/// What a template may know of a request.
pub(crate) struct Visible<'a> {
    pub(crate) method: &'a Method,
    pub(crate) target: &'a Target,
    pub(crate) headers: &'a HeaderMap,
    /// What decides on cookies and fields; without it all can be read, for a look at a template from the command line.
    pub(crate) under: Option<(&'a Policy, &'a Rule)>,
}

/// Whether all who ask for a URL have the same value: what the URL says.
pub(crate) fn is_of_the_url(name: &str) -> bool {
    matches!(name, "HTTP_HOST" | "QUERY_STRING" | "REQUEST_PATH" | "REQUEST_METHOD")
}

impl Visible<'_> {
    /// The value of a variable, or of the member `key` of one.
    pub(crate) fn get(&self, name: &str, key: Option<&str>) -> Value {
        match (name, key) {
            ("HTTP_HOST", None) => Value::text(self.target.host.as_str()),
            ("REQUEST_METHOD", None) => Value::text(self.method.as_str()),
            ("REQUEST_PATH", None) => Value::text(self.target.path.as_str()),
            ("QUERY_STRING", None) => self.target.query.as_deref().map_or(Value::Undefined, Value::text),
            ("QUERY_STRING", Some(key)) => self.parameter(key),
            ("HTTP_REFERER" | "HTTP_ACCEPT_LANGUAGE" | "HTTP_USER_AGENT", _) if !self.shows_field(name) => {
                Value::Undefined
            }
            ("HTTP_COOKIE", Some(key)) => self.cookie(key),
            ("HTTP_COOKIE", None) => self.cookies(),
            ("HTTP_REFERER", None) => self.field(&header::REFERER),
            ("HTTP_ACCEPT_LANGUAGE", None) => self.field(&header::ACCEPT_LANGUAGE),
            ("HTTP_ACCEPT_LANGUAGE", Some(language)) => Value::Boolean(self.accepts_language(language)),
            ("HTTP_USER_AGENT", None) => self.field(&header::USER_AGENT),
            ("HTTP_USER_AGENT", Some(key)) => self.user_agent(key),
            (name, None) => self.named_field(name),
            _ => Value::Undefined,
        }
    }

    fn options(&self) -> Option<&EsiOptions> {
        self.under.map(|(_, rule)| &*rule.esi_options)
    }

    /// Whether a field that ESI 1.0 has is shown: under `trusted_only` only what the rule names is.
    fn shows_field(&self, variable: &str) -> bool {
        self.options().is_none_or(|options| !options.is_wary() || options.headers.iter().any(|name| is(name, variable)))
    }

    fn shows_cookie(&self, name: &str) -> bool {
        let Some((policy, rule)) = self.under else { return true };
        let wary = rule.esi_options.is_wary();
        rule.esi_options.reads_cookie(name)
            || !wary && matches!(policy.cookie_kind(rule, name), CookieKind::Keyed | CookieKind::Ignored)
    }

    fn cookie(&self, name: &str) -> Value {
        if !self.shows_cookie(name) {
            return Value::Undefined;
        }
        let cookies = Cookies::parse(self.headers);
        cookies.get(name).map_or(Value::Undefined, |cookie| Value::text(String::from_utf8_lossy(cookie.value)))
    }

    fn cookies(&self) -> Value {
        let mut text = String::new();
        for cookie in Cookies::parse(self.headers).iter().filter(|cookie| self.shows_cookie(cookie.name)) {
            if !text.is_empty() {
                text.push_str("; ");
            }
            text.push_str(&String::from_utf8_lossy(cookie.pair));
        }
        if text.is_empty() { Value::Undefined } else { Value::text(text) }
    }

    fn parameter(&self, name: &str) -> Value {
        let query = self.target.query.as_deref().unwrap_or_default();
        for pair in query.split('&') {
            let (found, value) = pair.split_once('=').unwrap_or((pair, ""));
            if decoded(found) == name {
                return Value::text(decoded(value));
            }
        }
        Value::Undefined
    }

    fn field(&self, name: &HeaderName) -> Value {
        let mut lines = self.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        let Some(first) = lines.next() else { return Value::Undefined };
        Value::text(lines.fold(first, |all, line| Cow::Owned(format!("{all}, {line}"))))
    }

    /// `HTTP_X_COUNTRY` is `X-Country`, where the rule names it.
    fn named_field(&self, name: &str) -> Value {
        let Some(field) = name.strip_prefix("HTTP_") else { return Value::Undefined };
        let field = field.to_ascii_lowercase().replace('_', "-");
        let secret = matches!(&*field, "cookie" | "authorization" | "proxy-authorization");
        let shown = self.options().is_none_or(|options| options.headers.iter().any(|name| name.as_str() == field));
        match HeaderName::try_from(field) {
            Ok(name) if shown && !secret => self.field(&name),
            _ => Value::Undefined,
        }
    }

    /// Whether the client names this language and does not refuse it (RFC 9110 §12.5.4).
    fn accepts_language(&self, language: &str) -> bool {
        let lines = self.headers.get_all(header::ACCEPT_LANGUAGE).iter().filter_map(|line| line.to_str().ok());
        lines.flat_map(|line| line.split(',')).any(|range| {
            let (range, parameters) = range.split_once(';').unwrap_or((range, ""));
            let weight = parameters.trim().strip_prefix("q=").and_then(|weight| weight.trim().parse::<f32>().ok());
            range.trim().eq_ignore_ascii_case(language) && weight != Some(0.0)
        })
    }

    fn user_agent(&self, key: &str) -> Value {
        let Value::Text(agent) = self.field(&header::USER_AGENT) else { return Value::Undefined };
        let (browser, version) = browser(&agent);
        match key {
            "browser" => Value::text(browser),
            "version" => Value::text(version),
            "os" => Value::text(system(&agent)),
            _ => Value::Undefined,
        }
    }
}

/// Whether the variable `HTTP_…` is of that field.
fn is(name: &HeaderName, variable: &str) -> bool {
    variable.strip_prefix("HTTP_").is_some_and(|field| field.replace('_', "-").eq_ignore_ascii_case(name.as_str()))
}

/// The classes of ESI 1.0, section 4.1: `MOZILLA`, `MSIE` or `OTHER`, and what the version of that is.
fn browser(agent: &str) -> (&'static str, &str) {
    let number = |text: &str| text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let after = |mark: &str| {
        let rest = agent.split_once(mark)?.1;
        Some(&rest[..number(rest)])
    };
    if let Some(version) = after("MSIE ") {
        return ("MSIE", version);
    }
    if agent.contains("Trident/") {
        return ("MSIE", after("rv:").unwrap_or_default());
    }
    match agent.strip_prefix("Mozilla/") {
        Some(rest) => ("MOZILLA", &rest[..number(rest)]),
        None => ("OTHER", after("/").unwrap_or_default()),
    }
}

fn system(agent: &str) -> &'static str {
    const UNIX: [&str; 5] = ["Linux", "X11", "BSD", "SunOS", "Unix"];
    if agent.contains("Win") {
        "WIN"
    } else if agent.contains("Mac") {
        "MAC"
    } else if UNIX.iter().any(|name| agent.contains(name)) {
        "UNIX"
    } else {
        "OTHER"
    }
}

/// A name or value of a query as a form sends it: `+` is a space, `%XX` a byte.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let coded = match rest {
            [b'%', high, low, ..] => digit(*high).zip(digit(*low)),
            _ => None,
        };
        match coded {
            Some((high, low)) => bytes.push((high * 16 + low) as u8),
            None => bytes.push(if *byte == b'+' { b' ' } else { *byte }),
        }
        rest = if coded.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use copal_policy::load_str;

    use super::*;

    const YAML: &str = "origins: { cms: \"http://a\" }
sessions: { cookies: [sid, named], ignore: [theme] }
rules: [{ name: x, cache: { key: { cookies: [lang] } }, esi: { cookies: [named], headers: [X-Country] } }]";

    fn get(url: &str, fields: &[(&str, &str)], variables: &[(&str, Option<&str>)]) -> Vec<String> {
        let config = load_str("copal.yaml", YAML, None).unwrap().config;
        let nowhere = copal_semantics::normalise(false, "localhost", "/").unwrap();
        let target = copal_semantics::resolve(&nowhere, url).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        let under = Some((&config.policy, &*config.policy.rules()[0]));
        let visible = Visible { method: &Method::GET, target: &target, headers: &headers, under };
        variables.iter().map(|(name, key)| visible.get(name, *key).to_string()).collect()
    }

    #[test]
    fn cookies_that_may_be_read() {
        let cookies = [("cookie", "sid=1; named=2; theme=3"), ("cookie", "lang=4; other=5; lang=6")];
        let names = ["sid", "named", "theme", "lang", "other"].map(|name| ("HTTP_COOKIE", Some(name)));
        assert_eq!(get("http://a/", &cookies, &names), ["", "2", "3", "4", ""]);
        assert_eq!(get("http://a/", &cookies, &[("HTTP_COOKIE", None)]), ["named=2; theme=3; lang=4; lang=6"]);
        assert_eq!(get("http://a/", &cookies[..0], &[("HTTP_COOKIE", None)]), [""]);
    }

    #[test]
    fn fields_that_may_be_read() {
        let fields =
            [("x-country", "de"), ("x-other", "1"), ("authorization", "secret"), ("referer", "r"), ("user-agent", "u")];
        let names =
            ["X_COUNTRY", "X_OTHER", "AUTHORIZATION", "REFERER", "USER_AGENT"].map(|name| format!("HTTP_{name}"));
        let names: Vec<_> = names.iter().map(|name| (name.as_str(), None)).collect();
        assert_eq!(get("http://a/", &fields, &names), ["de", "", "", "r", "u"]);
    }

    #[test]
    fn of_the_url() {
        let names = [
            ("HTTP_HOST", None),
            ("REQUEST_PATH", None),
            ("QUERY_STRING", None),
            ("QUERY_STRING", Some("a")),
            ("QUERY_STRING", Some("b c")),
            ("QUERY_STRING", Some("bad")),
            ("QUERY_STRING", Some("none")),
        ];
        let got = get("http://example.org/p?a=1%3C2&b+c=x+y&bad=%zz%4", &[], &names);
        assert_eq!(got, ["example.org", "/p", "a=1%3C2&b+c=x+y&bad=%zz%4", "1<2", "x y", "%zz%4", ""]);
    }

    #[test]
    fn section_4_1_languages() {
        let fields = [("accept-language", "de, EN-gb;q=0.8, fr;q=0")];
        let names = ["de", "en-gb", "en", "fr"].map(|language| ("HTTP_ACCEPT_LANGUAGE", Some(language)));
        assert_eq!(get("http://a/", &fields, &names), ["true", "true", "false", "false"]);
    }

    #[test]
    fn section_4_1_user_agents() {
        for (agent, expected) in [
            ("Mozilla/4.0 (compatible; MSIE 5.5; Windows NT 5.0)", ["MSIE", "5.5", "WIN"]),
            ("Mozilla/5.0 (Windows NT 10.0; Trident/7.0; rv:11.0) like Gecko", ["MSIE", "11.0", "WIN"]),
            ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15) Gecko/20100101", ["MOZILLA", "5.0", "MAC"]),
            ("Mozilla/5.0 (X11; Linux x86_64)", ["MOZILLA", "5.0", "UNIX"]),
            ("curl/8.5.0", ["OTHER", "8.5.0", "OTHER"]),
            ("thing", ["OTHER", "", "OTHER"]),
        ] {
            let names = ["browser", "version", "os"].map(|key| ("HTTP_USER_AGENT", Some(key)));
            assert_eq!(get("http://a/", &[("user-agent", agent)], &names), expected, "{agent}");
        }
    }
}
