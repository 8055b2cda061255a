//! `POST /purge`: what to forget, as JSON; and `POST /purge/explain`: what a purge client's request would do.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use copal_policy::units;
use copal_proxy::Proxy;
use copal_proxy::purge::{Asking, By, Explained, MOST_NAMED, MatchText, Order, Purged, What, WrongOrder};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use tokio::sync::Semaphore;

/// The longest wait before a purge is done once more.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// So many characters of an item that is no text are told back.
const LONGEST_SHOWN: usize = 200;

/// The body of a request; `copal purge` sends the same. Where a list stands, one text will do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(clippy::struct_excessive_bools)] // Independent words of the API.
pub(crate) struct PurgeRequest {
    /// Whole URLs: every variant of each.
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub(crate) urls: Vec<String>,
    /// Tags that the origin gave.
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<String>,
    /// Regular expressions on tags, one by one.
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub(crate) tag_pattern: Vec<String>,
    /// Everything below: `/blog/` on all hosts, `http://www.example.com/blog/` on one.
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub(crate) prefix: Vec<String>,
    /// As `prefix`, with `*` for any characters.
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub(crate) glob: Vec<String>,
    /// Everything of a host.
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub(crate) host: Vec<String>,
    /// Regular expressions on whole URLs.
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub(crate) pattern: Vec<String>,
    /// Conditions that must all hold.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub(crate) conditions: Option<Conditions>,
    /// Everything.
    pub(crate) all: bool,
    /// The URLs with every query.
    pub(crate) all_queries: bool,
    /// The URLs on every host, with every query.
    pub(crate) any_host: bool,
    /// Make it stale only.
    pub(crate) soft: bool,
    /// Fetch the URLs again at once.
    pub(crate) refresh: bool,
    /// Only count what would go.
    pub(crate) dry_run: bool,
    /// Answer when it is counted what went.
    pub(crate) wait: bool,
    /// Do it once more after this time, in the words of the configuration: `10s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) repurge_after: Option<String>,
    /// Items of lists that are no text: [`PurgeRequest::parse`] takes them out.
    #[serde(skip)]
    pub(crate) no_text: Vec<ItemError>,
}

/// Regular expressions that must all find themselves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Conditions {
    /// In the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<String>,
    /// In path and query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    /// In stored response fields.
    pub(crate) headers: std::collections::BTreeMap<String, String>,
    /// In a tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tags: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "where a list of the request stands, a text or a list of texts must stand")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Done {
    /// The number of the last invalidation; of a dry run, of the last one before it.
    pub(crate) sequence: u64,
    /// How many stored responses went, or became stale: with `wait` all, else of what `urls` names.
    pub(crate) removed: u64,
    /// With `wait` or `dry_run`: how many it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) matching: Option<u64>,
    /// Nothing was done.
    pub(crate) dry_run: bool,
    /// URLs that are being fetched again.
    pub(crate) refreshing: u64,
    /// It will be done once more.
    pub(crate) again: bool,
    /// What was wrong; all else was done.
    pub(crate) errors: Vec<ItemError>,
}

/// One thing that could not be purged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ItemError {
    /// The field of the request that it stands in.
    pub(crate) field: String,
    /// The item as written.
    pub(crate) item: String,
    /// What is wrong with it.
    pub(crate) error: String,
}

/// The fields that are lists.
const LISTS: [&str; 7] = ["urls", "tags", "tag_pattern", "prefix", "glob", "host", "pattern"];

impl ItemError {
    fn no_text(field: &str, item: &Value) -> Self {
        let what = match item {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
            Value::String(_) => "a text",
        };
        let item: String = item.to_string().chars().take(LONGEST_SHOWN).collect();
        let error = format!("{item} is {what}, and a text must stand here, in quotation marks");
        Self { field: field.to_owned(), item, error }
    }
}

impl PurgeRequest {
    /// Reads the body of a request. An item of a list that is no text is told with the others that are wrong, and keeps
    /// nothing else back.
    ///
    /// # Errors
    /// It is no JSON, or not of this shape.
    pub(super) fn parse(body: &[u8]) -> Result<Self, serde_json::Error> {
        let mut no_text = Vec::new();
        let mut value: Value = serde_json::from_slice(body)?;
        for field in LISTS {
            let Some(items) = value.get_mut(field).and_then(Value::as_array_mut) else { continue };
            items.retain(|item| {
                if !item.is_string() {
                    no_text.push(ItemError::no_text(field, item));
                }
                item.is_string()
            });
        }
        // What is good is read from the text itself: only so an error has its line.
        let asked: Self =
            if no_text.is_empty() { serde_json::from_slice(body)? } else { serde_json::from_value(value)? };
        Ok(Self { no_text, ..asked })
    }

    fn lists(&self) -> [(&'static str, &[String]); 7] {
        [
            ("urls", &self.urls),
            ("tags", &self.tags),
            ("tag_pattern", &self.tag_pattern),
            ("prefix", &self.prefix),
            ("glob", &self.glob),
            ("host", &self.host),
            ("pattern", &self.pattern),
        ]
    }

    /// What it names, and what of it is wrong.
    fn read(&self) -> (Vec<What>, Vec<ItemError>) {
        let (mut whats, mut tags, mut errors) = (Vec::new(), Vec::new(), self.no_text.clone());
        for (field, items) in self.lists() {
            for item in items {
                match self.item(field, item) {
                    // One invalidation each, but one line of the log for all.
                    Ok(What::Tags(one)) => tags.extend(one),
                    Ok(what) => whats.push(what),
                    Err(why) => errors.push(error(field, item, &why)),
                }
            }
        }
        if !tags.is_empty() {
            whats.push(What::Tags(tags));
        }
        if let Some(conditions) = &self.conditions {
            match conditions.read() {
                Ok(what) => whats.push(what),
                Err(why) => errors.push(error("match", "", &why)),
            }
        }
        if self.all {
            whats.push(What::Everything);
        }
        (whats, errors)
    }

    fn item(&self, field: &str, item: &str) -> Result<What, WrongOrder> {
        match field {
            "urls" => What::url(item).map(|what| match what {
                What::Url(mut url) => {
                    url.all_queries = self.all_queries;
                    url.any_host = self.any_host;
                    What::Url(url)
                }
                other => other,
            }),
            "tags" => What::tags([item]),
            "tag_pattern" => What::tags_like(item),
            "prefix" => What::prefix(item),
            "glob" => What::glob(item),
            "host" => What::host(item),
            _ => What::pattern(item),
        }
    }

    /// What is wrong with it as a whole.
    fn check(&self) -> Result<Option<Duration>, String> {
        let texts: usize = self.lists().iter().map(|(_, items)| items.len()).sum();
        let named = texts + self.no_text.len();
        if named == 0 && self.conditions.is_none() && !self.all {
            return Err(
                "nothing to purge: give urls, tags, tag_pattern, prefix, glob, host, pattern, match or all".to_owned()
            );
        }
        if named > MOST_NAMED {
            return Err(format!("{named} things are named, and {MOST_NAMED} may be: send them in parts"));
        }
        for (given, word) in [(self.refresh, "refresh"), (self.all_queries, "all_queries"), (self.any_host, "any_host")]
        {
            if given && self.urls.is_empty() && self.no_text.iter().all(|error| error.field != "urls") {
                return Err(format!("{word} is about urls, and there are none"));
            }
        }
        let Some(after) = &self.repurge_after else { return Ok(None) };
        match units::parse_duration(after) {
            Ok(after) if after <= LONGEST_WAIT => Ok(Some(after).filter(|after| !after.is_zero())),
            Ok(_) => Err(format!("repurge_after: {after} is more than 1h")),
            Err(why) => Err(format!("repurge_after: {after} {why}; for example \"10s\"")),
        }
    }
}

fn error(field: &str, item: &str, why: &WrongOrder) -> ItemError {
    ItemError { field: field.to_owned(), item: item.to_owned(), error: why.to_string() }
}

impl Conditions {
    fn read(&self) -> Result<What, WrongOrder> {
        MatchText {
            host: self.host.as_deref(),
            url: self.url.as_deref(),
            fields: self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            tags: self.tags.as_deref(),
        }
        .compile()
    }
}

/// Why nothing was done: in one sentence, and item by item.
#[derive(Debug)]
pub(super) struct Nothing {
    pub(super) error: String,
    pub(super) errors: Vec<ItemError>,
}

/// Does what is asked. What is wrong is told, and keeps the rest from nothing. `counting` is held while something is counted.
///
/// # Errors
/// What is wrong with the request, if nothing of it was done.
pub(super) async fn purge(
    proxy: &Arc<Proxy>,
    counting: &Semaphore,
    asked: &PurgeRequest,
    peer: IpAddr,
) -> Result<Done, Nothing> {
    let repurge_after = asked.check().map_err(|error| Nothing { error, errors: Vec::new() })?;
    let (what, errors) = asked.read();
    if let (true, Some(first)) = (what.is_empty(), errors.first()) {
        let more = if errors.len() > 1 { format!(" (and {} more)", errors.len() - 1) } else { String::new() };
        return Err(Nothing { error: format!("{}: {}{more}", first.field, first.error), errors });
    }
    let by = By { dialect: "api", peer: Some(peer) };
    let order = Order { refresh: asked.refresh, dry_run: asked.dry_run, repurge_after, ..Order::new(what, by) };
    let order = order.soft(asked.soft);
    let purged = if asked.wait || asked.dry_run {
        // One at a time: each looks at all that is stored.
        let _turn = counting.acquire().await;
        proxy.purge_counted(&order).await
    } else {
        proxy.purge(&order)
    };
    let Purged { sequence, removed, matching, refreshing, again, .. } = purged;
    Ok(Done { sequence, removed, matching, dry_run: asked.dry_run, refreshing, again, errors })
}

/// A request as a purge client would send it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExplainRequest {
    /// The method: `PURGE`, `BAN`, …
    method: String,
    /// The whole URL, with the host that the client names.
    url: String,
    /// The fields: each a value, or a list of values.
    #[serde(default)]
    headers: std::collections::BTreeMap<String, Values>,
    /// The body.
    #[serde(default)]
    body: String,
    /// The request-target is the whole URL.
    #[serde(default)]
    absolute: bool,
    /// The client's address; without it, that of whoever asks here.
    peer: Option<IpAddr>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Many(Vec<String>),
}

/// Says what a request would do.
///
/// # Errors
/// What is wrong with the question.
pub(super) async fn explain(proxy: &Arc<Proxy>, asked: ExplainRequest, peer: IpAddr) -> Result<Explained, String> {
    let method = Method::from_bytes(asked.method.as_bytes())
        .map_err(|_| format!("method: {:?} is no method; give PURGE, BAN or another", asked.method))?;
    let mut headers = HeaderMap::new();
    for (name, values) in &asked.headers {
        let known = name.parse::<HeaderName>().map_err(|_| format!("headers: {name:?} is no name of a field"))?;
        let values = match values {
            Values::One(value) => std::slice::from_ref(value),
            Values::Many(values) => values.as_slice(),
        };
        for value in values {
            let value = HeaderValue::from_str(value)
                .map_err(|_| format!("headers: the value of {name} has characters that no field may have"))?;
            headers.append(known.clone(), value);
        }
    }
    let ExplainRequest { url, absolute, body, .. } = asked;
    let asking = Asking { method, url, absolute, headers, body: body.into_bytes(), peer: asked.peer.unwrap_or(peer) };
    proxy.explain_purge(asking).await.map_err(|why| format!("url: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(json: &str) -> PurgeRequest {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn unknown_words_are_refused_and_missing_ones_are_not() {
        let one = asked(r#"{"tags": ["a"], "soft": true}"#);
        assert!(one.soft && !one.all && one.urls.is_empty() && one.tags == ["a"]);
        assert_eq!(asked(r#"{"prefix": "/a/"}"#), asked(r#"{"prefix": ["/a/"]}"#));
        for wrong in
            [r#"{"url": "http://a/"}"#, r#"{"prefix": 1}"#, r#"{"match": {"path": "x"}}"#, r#"{"soft": "yes"}"#]
        {
            assert!(serde_json::from_str::<PurgeRequest>(wrong).is_err(), "{wrong}");
        }
        let sent = serde_json::to_value(&one).unwrap();
        assert_eq!(serde_json::from_value::<PurgeRequest>(sent).unwrap(), one, "what copal purge sends is understood");
    }

    #[test]
    fn each_kind_is_read_and_what_is_wrong_keeps_nothing_else_back() {
        let all = asked(
            r#"{"urls": ["http://a.example/x?q", "nonsense"], "tags": ["t1", "", "t2"], "tag_pattern": ["^p", "("],
                "prefix": ["/b/", "b"], "glob": "http://a.example/*.css", "host": ["a.example", ""], "pattern": "\\.png$",
                "match": {"host": "^a", "headers": {"content-type": "^image/"}}, "all": true, "all_queries": true}"#,
        );
        assert!(all.check().is_ok());
        let (whats, errors) = all.read();
        let words: Vec<String> = whats.iter().map(ToString::to_string).collect();
        assert_eq!(
            words,
            [
                "url a.example/x with any query",
                "match tags~^p",
                "prefix */b/",
                "match host=a.example url~^/.*\\.css$",
                "host a.example",
                "pattern \\.png$",
                "tags t1 t2",
                "match host~^a content-type~^image/",
                "everything",
            ]
        );
        let wrong: Vec<(&str, &str)> = errors.iter().map(|error| (&*error.field, &*error.item)).collect();
        assert_eq!(wrong, [("urls", "nonsense"), ("tags", ""), ("tag_pattern", "("), ("prefix", "b"), ("host", "")]);
        assert!(errors.iter().all(|error| !error.error.is_empty()));
        let (_, errors) = asked(r#"{"match": {}}"#).read();
        assert_eq!(errors[0].field, "match");
    }

    #[test]
    fn an_item_that_is_no_text_keeps_nothing_else_back() {
        let asked = PurgeRequest::parse(br#"{"urls": ["http://a/", 7, null], "tags": [["x"], "t"]}"#).unwrap();
        assert!(asked.check().is_ok());
        let (whats, errors) = asked.read();
        assert_eq!(whats.iter().map(ToString::to_string).collect::<Vec<_>>(), ["url a/", "tags t"]);
        let wrong: Vec<(&str, &str)> = errors.iter().map(|error| (&*error.field, &*error.item)).collect();
        assert_eq!(wrong, [("urls", "7"), ("urls", "null"), ("tags", "[\"x\"]")]);
        assert_eq!(errors[0].error, "7 is a number, and a text must stand here, in quotation marks");
        let nothing = PurgeRequest::parse(br#"{"urls": [7], "refresh": true}"#).unwrap();
        assert!(nothing.check().is_ok() && nothing.read().0.is_empty(), "told item by item");
        let why = PurgeRequest::parse(br#"{"urls": 7}"#).unwrap_err().to_string();
        assert!(why.contains("a text or a list of texts"), "{why}");
        assert!(PurgeRequest::parse(br#"{"url": ["http://a/"]}"#).unwrap_err().to_string().contains("`url`"));
        assert!(PurgeRequest::parse(b"{").is_err());
    }

    #[test]
    fn a_request_that_makes_no_sense_as_a_whole_says_why() {
        let many = vec!["a"; MOST_NAMED + 1];
        let many = serde_json::json!({ "tags": many }).to_string();
        for (json, words) in [
            ("{}", "nothing to purge"),
            (r#"{"soft": true, "wait": true}"#, "nothing to purge"),
            (r#"{"tags": ["a"], "refresh": true}"#, "refresh is about urls"),
            (r#"{"all": true, "all_queries": true}"#, "all_queries is about urls"),
            (r#"{"all": true, "any_host": true}"#, "any_host is about urls"),
            (r#"{"all": true, "repurge_after": "soon"}"#, "for example \"10s\""),
            (r#"{"all": true, "repurge_after": "2h"}"#, "more than 1h"),
            (&many, "send them in parts"),
        ] {
            let why = asked(json).check().unwrap_err();
            assert!(why.contains(words), "{why}");
        }
        let after = asked(r#"{"all": true, "repurge_after": "10s"}"#).check().unwrap();
        assert_eq!(after, Some(Duration::from_secs(10)));
    }
}
