//! `copal explain`: what would happen with this request, and why?

use std::fmt::Write as _;

use copal_proxy::Explanation;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::check;
use crate::cli::Explain;
use crate::failure::Failure;
use crate::output;

pub(crate) fn run(arguments: &Explain) -> Result<(), Failure> {
    let loaded = check::load(&arguments.config)?;
    let headers = headers(&arguments.headers, &arguments.cookies);
    let explanation =
        copal_proxy::explain(&loaded.config, &arguments.method, &arguments.url, &headers).map_err(Failure::wrong)?;
    if arguments.json {
        output::print(serde_json::to_string_pretty(&explanation).map_err(Failure::failed)?)
    } else {
        output::print(text(&arguments.method, &explanation))
    }
}

/// The fields of a request as the command line gives them.
pub(crate) fn headers(fields: &[(HeaderName, HeaderValue)], cookies: &[String]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name, value.clone());
    }
    // The command line let only values through that a field may have.
    if !cookies.is_empty()
        && let Ok(cookies) = HeaderValue::from_str(&cookies.join("; "))
    {
        headers.append(header::COOKIE, cookies);
    }
    headers
}

fn text(method: &Method, explanation: &Explanation) -> String {
    let mut reason = explanation.reason.to_owned();
    if let Some(cookie) = &explanation.because_of_cookie {
        let _ = write!(reason, " (the cookie {cookie})");
    }
    if explanation.decision == "cache" {
        reason.push_str(" at first, then hit");
    }
    let names = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let none = || "-".to_owned();
    let rows = [
        (
            "rule",
            Some(format!("{} ({})", explanation.rule, explanation.source)).filter(|_| explanation.purge.is_none()),
        ),
        ("decision", Some(explanation.decision.to_owned())),
        ("reason", Some(reason)),
        ("purges", explanation.purge.clone()),
        ("in the dialect", explanation.dialect.map(str::to_owned)),
        ("cache key", Some(explanation.key.clone().unwrap_or_else(none))),
        ("and", explanation.key_also.map(str::to_owned)),
        ("variant", explanation.variant.clone()),
        ("keyed by", explanation.context.as_ref().map(|context| format!("context {context}"))),
        ("group", explanation.group.clone()),
        ("may be given", explanation.limits.map(str::to_owned)),
        ("lifetime", explanation.lifetime.clone().filter(|_| explanation.decision == "cache")),
        ("stored", explanation.stores.clone()),
        ("client asks", explanation.request_directives.map(client_asks)),
        ("slices of", explanation.slice.map(copal_policy::units::format_size)),
        ("ESI", (!matches!(explanation.decision, "respond" | "purge")).then(|| explanation.esi.to_owned())),
        ("templates", explanation.esi_options.clone()),
        ("origin", Some(explanation.origin.clone().unwrap_or_else(none))),
        ("to the origin", explanation.request_fields.clone()),
        ("to the client", explanation.response_fields.clone()),
        ("cookies kept", Some(names(&explanation.cookies_kept))),
        ("cookies dropped", Some(names(&explanation.cookies_dropped))),
    ];
    let mut text = format!("{method} {}\n", explanation.url);
    for (name, value) in rows {
        if let Some(value) = value {
            let _ = write!(text, "\n  {name:<16} {value}");
        }
    }
    text
}

fn client_asks(mode: &str) -> String {
    let words = match mode {
        "honour" => "what its Cache-Control says is honoured",
        "ignore" => "what its Cache-Control says is ignored",
        _ => "of its Cache-Control only what costs the origin nothing",
    };
    format!("{mode}: {words}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explanation() -> Explanation {
        Explanation {
            url: "http://www.example.com/news".to_owned(),
            rule: "pages".to_owned(),
            source: "configuration".to_owned(),
            decision: "cache",
            reason: "miss",
            key: Some("http://www.example.com/news".to_owned()),
            variant: None,
            origin: Some("cms".to_owned()),
            cookies_kept: Vec::new(),
            cookies_dropped: vec!["_ga".to_owned(), "_gid".to_owned()],
            because_of_cookie: None,
            esi: "on",
            esi_options: Some("ESI 1.0; at most 256 fragments, 5 deep, 64MiB, 30s".to_owned()),
            lifetime: Some("ttl 1h, grace 6h".to_owned()),
            request_directives: Some("harmless"),
            limits: None,
            key_also: None,
            context: None,
            group: None,
            stores: None,
            request_fields: None,
            response_fields: None,
            slice: None,
            purge: None,
            dialect: None,
        }
    }

    #[test]
    fn a_cached_page() {
        assert_eq!(
            text(&Method::GET, &explanation()),
            "GET http://www.example.com/news\n\
             \n  rule             pages (configuration)\
             \n  decision         cache\
             \n  reason           miss at first, then hit\
             \n  cache key        http://www.example.com/news\
             \n  lifetime         ttl 1h, grace 6h\
             \n  client asks      harmless: of its Cache-Control only what costs the origin nothing\
             \n  ESI              on\
             \n  templates        ESI 1.0; at most 256 fragments, 5 deep, 64MiB, 30s\
             \n  origin           cms\
             \n  cookies kept     none\
             \n  cookies dropped  _ga, _gid"
        );
    }

    #[test]
    fn a_passed_page_names_the_cookie_that_did_it() {
        let passed = Explanation {
            decision: "pass",
            reason: "session-cookie",
            because_of_cookie: Some("sessionid".to_owned()),
            key: None,
            ..explanation()
        };
        let text = text(&Method::GET, &passed);
        assert!(text.contains("reason           session-cookie (the cookie sessionid)\n"), "{text}");
        assert!(text.contains("cache key        -\n") && !text.contains("lifetime"), "{text}");
    }

    #[test]
    fn what_is_no_whole_url_is_answered_with_one() {
        let config = copal_policy::load_str("demo.yaml", crate::demo::CONFIG, None).unwrap().config;
        for (url, hint) in [
            ("/shop", "as in http://www.example.com/shop"),
            ("www.example.org/shop", "as in http://www.example.org/shop"),
        ] {
            let why = copal_proxy::explain(&config, &Method::GET, url, &HeaderMap::new()).unwrap_err();
            assert!(why.ends_with(hint), "{why}");
        }
    }

    #[test]
    fn cookies_of_all_options_come_in_one_field() {
        let fields = [(header::ACCEPT, HeaderValue::from_static("a")), (header::ACCEPT, HeaderValue::from_static("b"))];
        let headers = headers(&fields, &["a=1".to_owned(), "b=2".to_owned()]);
        assert_eq!(headers[header::COOKIE], "a=1; b=2");
        assert_eq!(headers.get_all(header::ACCEPT).iter().count(), 2);
    }
}
