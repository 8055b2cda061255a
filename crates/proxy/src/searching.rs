//! `No-Vary-Search` (draft-ietf-httpbis-no-vary-search): where an origin says which differences of the query do not matter,
//! they do not count in the key. What it said last is remembered for each path.
//!
//! What is stored by such a word carries it as part of its secondary key: it answers requests only while the same word is in
//! force, so that no word of one response widens what another one said of itself.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use copal_policy::{Config, Rule};
use copal_semantics::{NoVarySearch, Target};
use http::HeaderMap;

use crate::asked::Asked;
use crate::decide::{self, CachePlan};
use crate::recent::Recent;

/// Paths of which the last word is remembered; with the limits below at most some 20 MiB.
const PATHS: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// A path that is longer is not remembered, in bytes.
const LONGEST_PATH: usize = 2048;

/// A field that is longer counts as absent, in bytes.
const LONGEST_FIELD: usize = 1024;

/// What origins said last of each path.
pub(crate) struct Searching {
    known: Recent<String, Arc<NoVarySearch>>,
    /// Something has been stored by such a word: a purge has to look for it.
    used: AtomicBool,
}

/// What a request under a rule with `no_vary_search` is looked up by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Search {
    /// The path, with what tells rules apart: an origin speaks of its own responses only.
    path: String,
    /// The path and query that the origin sees: the client's own.
    pub(crate) sent: String,
    /// Bytes of the plan's extras before the word was added.
    extras: usize,
    /// The word in force.
    known: Option<Arc<NoVarySearch>>,
}

/// Where a response is stored, in the place of where it was asked for.
pub(crate) struct Filed {
    pub(crate) key: String,
    pub(crate) extras: String,
    /// The request was looked up by no word, so that all who wait for its response asked for the very same URL.
    pub(crate) for_all: bool,
}

impl Searching {
    pub(crate) fn new() -> Self {
        Self { known: Recent::new(PATHS), used: AtomicBool::new(false) }
    }

    /// Whether anything has been stored by some word.
    pub(crate) fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// Brings what is known of the path into the plan of a request.
    pub(crate) fn apply(&self, rule: &Rule, plan: &mut CachePlan) {
        if !rule.cache().is_some_and(|cache| cache.no_vary_search) {
            return;
        }
        let apart = plan.extras.find('\n').map_or("", |at| &plan.extras[at..]);
        let path = format!("{}{apart}", path_of(&plan.key));
        let known = self.known.look(&path, |known| Some(Arc::clone(known)));
        let sent = plan.key.get(plan.origin_form..).unwrap_or_default().to_owned();
        let search = Search { path, sent, extras: plan.extras.len(), known };
        if let Some(known) = &search.known {
            (plan.key, plan.extras) = filed(&plan.key, &plan.extras, known);
        }
        plan.search = Some(Box::new(search));
    }

    /// The plan of a request of which nothing was known when it was looked up, by what is known now.
    pub(crate) fn news(&self, asked: &Asked) -> Option<CachePlan> {
        let search = asked.plan.search.as_ref().filter(|search| search.known.is_none())?;
        let known = self.known.look(&search.path, |known| Some(Arc::clone(known)))?;
        let (key, extras) = filed(asked.key.url(), &asked.plan.extras, &known);
        let search = Some(Box::new(Search { known: Some(known), ..(**search).clone() }));
        Some(CachePlan { key, extras, search, ..asked.plan.clone() })
    }

    /// Hears a response that may be stored, or the confirmation of one. Says where it belongs, if not where it was asked for.
    pub(crate) fn hear(&self, asked: &Asked, headers: &HeaderMap) -> Option<Filed> {
        let search = asked.plan.search.as_ref()?;
        let said = said(headers).filter(|_| search.path.len() <= LONGEST_PATH).map(Arc::new);
        match &said {
            Some(said) => {
                self.used.store(true, Ordering::Relaxed);
                self.known.put(search.path.clone(), Arc::clone(said));
            }
            None => self.known.remove(&search.path),
        }
        if said == search.known {
            return None;
        }
        let origin = asked.key.as_str().get(..asked.plan.origin_form).unwrap_or_default();
        let url = format!("{origin}{}", search.sent);
        let extras = asked.plan.extras.get(..search.extras).unwrap_or_default();
        let (key, extras) = match said {
            Some(said) => filed(&url, extras, &said),
            None => (url, extras.to_owned()),
        };
        Some(Filed { key, extras, for_all: search.known.is_none() })
    }

    /// Keys and tags under which responses for a URL may be stored by some word; none where that never was.
    pub(crate) fn of(&self, config: &Config, target: &Target) -> (Vec<String>, Vec<String>) {
        if !self.used.load(Ordering::Relaxed) {
            return (Vec::new(), Vec::new());
        }
        let targets = ["http", "https"].map(|scheme| Target { scheme, ..target.clone() });
        let tags = targets.iter().map(|target| tag(&target.url())).collect();
        let mut keys = Vec::new();
        for rule in config.policy.rules() {
            let Some(cache) = rule.cache().filter(|cache| cache.no_vary_search) else { continue };
            let query = cache.key.query(target.query.as_deref()).map(std::borrow::Cow::into_owned);
            for target in &targets {
                let url = Target { query: query.clone(), ..target.clone() }.url();
                let path = format!("{}{}", path_of(&url), decide::apart(config, rule));
                let known = self.known.look(&path, |known| Some(Arc::clone(known)));
                keys.extend(known.map(|known| filed(&url, "", &known).0));
            }
        }
        keys.sort_unstable();
        keys.dedup();
        (keys, tags)
    }
}

/// The tag of what is stored by some word for a path, whatever its query: what a word has made one cannot be told from a
/// URL once that word is forgotten.
fn tag(url: &str) -> String {
    format!("\nsearch {}", path_of(url))
}

/// The tag of a response with these fields, if it has a word of its own.
pub(crate) fn tag_of(url: &str, headers: &HeaderMap) -> Option<String> {
    said(headers).map(|_| tag(url))
}

/// A URL without its query.
fn path_of(url: &str) -> &str {
    url.split_once('?').map_or(url, |(path, _)| path)
}

/// The word of a response.
fn said(headers: &HeaderMap) -> Option<NoVarySearch> {
    let length: usize = headers.get_all("no-vary-search").iter().map(|line| line.len()).sum();
    NoVarySearch::parse(headers).filter(|_| length <= LONGEST_FIELD)
}

/// The key and the extras of a URL by a word.
fn filed(url: &str, extras: &str, word: &NoVarySearch) -> (String, String) {
    let query = url.split_once('?').map(|(_, query)| query);
    let mut key = path_of(url).to_owned();
    if let Some(query) = word.normalise(query) {
        key.push('?');
        key.push_str(&query);
    }
    (key, format!("{extras}\nsearch {word:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(field: &str) -> NoVarySearch {
        said(&HeaderMap::from_iter([(http::HeaderName::from_static("no-vary-search"), field.parse().unwrap())]))
            .unwrap()
    }

    #[test]
    fn a_url_is_keyed_by_what_of_its_query_matters() {
        for (field, url, key) in [
            ("params=(\"a\")", "http://x/p?a=1&b=2", "http://x/p?b=2"),
            ("params=(\"a\")", "http://x/p?a=1", "http://x/p"),
            ("params=(\"a\")", "http://x/p", "http://x/p"),
            ("params=(\"a\")", "http://x/p?", "http://x/p"),
            ("params", "http://x/p?a=1&b=2", "http://x/p"),
            ("params, except=(\"b\")", "http://x/p?a=1&b=2", "http://x/p?b=2"),
            ("key-order", "http://x/p?b=2&a=1", "http://x/p?a=1&b=2"),
        ] {
            assert_eq!(filed(url, "", &word(field)).0, key, "{field} {url}");
        }
    }

    #[test]
    fn each_word_is_a_variant_of_its_own_and_equal_ones_are_one() {
        let extras = |field: &str| filed("http://x/p", "header a=\"1\"\nesi", &word(field)).1;
        assert_eq!(extras("params=(\"a\" \"b\")"), extras("params=(\"b\"   \"a\"), key-order=?0"));
        assert_ne!(extras("params=(\"a\")"), extras("params=(\"b\")"));
        assert!(extras("params").starts_with("header a=\"1\"\nesi\nsearch "));
    }

    #[test]
    fn what_is_no_word_or_a_very_long_one_is_none() {
        for field in ["", "params=?0", "params=1", "key-order=1", "except=(\"a\")"] {
            let headers =
                HeaderMap::from_iter([(http::HeaderName::from_static("no-vary-search"), field.parse().unwrap())]);
            assert_eq!(said(&headers), None, "{field}");
        }
        let long = format!("params=(\"{}\")", "a".repeat(LONGEST_FIELD));
        let headers = HeaderMap::from_iter([(http::HeaderName::from_static("no-vary-search"), long.parse().unwrap())]);
        assert_eq!(said(&headers), None);
    }
}
