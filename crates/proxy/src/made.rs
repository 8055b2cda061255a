//! What an assembled page is made of: enough to tell whether a client has it already, and how long it may keep it.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher as _;
use std::time::Duration;

use copal_esi::Piece;
use copal_policy::Rule;
use copal_semantics::{ResponseDirectives, Timestamp};
use copal_store::{AsPart, StoredBody, StoredResponse};
use http::{HeaderMap, HeaderValue, header};

use crate::reason::Reason;

/// What a part of a page, or a page of such parts, is made of. Only what is stored has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    /// The same only for the same bytes.
    pub(crate) identity: u128,
    /// How long clients may keep it, from now on; none where they may not without asking.
    pub(crate) keep: Option<Duration>,
}

impl Made {
    /// Of a stored response that is given as it is.
    pub(crate) fn of(response: &StoredResponse, rule: &Rule, reason: Reason, now: Timestamp) -> Option<Self> {
        if response.parts.is_some() {
            return None;
        }
        let AsPart { identity, varies, .. } = *as_part(response);
        let keep = if varies { None } else { keep(response, rule, reason, now) };
        Some(Self { identity, keep })
    }

    /// The entity tag of a page that is made so (RFC 9110 §8.8.3): strong, as the bytes are the same.
    pub(crate) fn entity_tag(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(format!("\"{:032x}\"", self.identity)).ok()
    }
}

/// How long a client may keep a stored response by what it is told of it, and not beyond what it is fresh for here.
pub(crate) fn keep(response: &StoredResponse, rule: &Rule, reason: Reason, now: Timestamp) -> Option<Duration> {
    if reason != Reason::Hit {
        return None;
    }
    let cache = rule.cache()?;
    // Another client is given something else for the same URL, and no Vary says so.
    let is_one_of_several =
        rule.by_fields || !cache.key.headers.is_empty() || cache.key.has_cookies() || rule.context.is_some();
    if is_one_of_several {
        return None;
    }
    let told = match &cache.client_cache_control {
        Some(told) => max_age_for_clients(&HeaderMap::from_iter([(header::CACHE_CONTROL, told.clone())])),
        None => as_part(response).max_age,
    };
    let told = told?.checked_sub(response.freshness.current_age(now))?;
    let fresh = u64::try_from(response.freshness.ttl(now)).ok()?;
    Some(told.min(Duration::from_secs(fresh))).filter(|keep| keep.as_secs() > 0)
}

/// What a page has to know of a stored response, worked out once.
pub(crate) fn as_part(response: &StoredResponse) -> &AsPart {
    response.as_part(|response| AsPart {
        identity: identity(&response.body),
        max_age: max_age_for_clients(&response.headers),
        varies: response.headers.get_all(header::VARY).iter().any(|vary| !names_codings_only(vary)),
        coded: response.headers.contains_key(header::CONTENT_ENCODING),
    })
}

/// Fragments are fetched without a coding.
fn names_codings_only(vary: &HeaderValue) -> bool {
    vary.to_str().is_ok_and(|names| names.split(',').all(|name| name.trim().eq_ignore_ascii_case("accept-encoding")))
}

/// `max-age` where nothing beside it is lost when a page says only that. What is told to shared caches apart (`s-maxage`), or forbids
/// stale use, holds for caches between us and the client.
fn max_age_for_clients(headers: &HeaderMap) -> Option<Duration> {
    let told = ResponseDirectives::parse(headers);
    let forbidden = told.no_store
        || told.no_cache.is_present()
        || told.private.is_present()
        || told.s_maxage.is_some()
        || told.must_revalidate
        || told.proxy_revalidate;
    told.max_age.filter(|_| !forbidden)
}

fn identity(body: &StoredBody) -> u128 {
    let mut identity = Identity::default();
    for piece in &body.pieces {
        match piece {
            Piece::Text(text) => identity.text(text),
            // What stands in its place is told by itself.
            Piece::Include(_) | Piece::Block(_) => identity.part(0),
        }
    }
    identity.finish()
}

/// 128 bits of the parts of a page in their order.
#[derive(Clone)]
pub(crate) struct Identity(DefaultHasher, DefaultHasher);

impl Default for Identity {
    fn default() -> Self {
        let (one, mut other) = (DefaultHasher::new(), DefaultHasher::new());
        other.write_u8(1);
        Self(one, other)
    }
}

impl Identity {
    /// Bytes of the page.
    pub(crate) fn text(&mut self, text: &[u8]) {
        for hasher in [&mut self.0, &mut self.1] {
            hasher.write_u8(b't');
            hasher.write_usize(text.len());
            hasher.write(text);
        }
    }

    /// A part with an identity of its own.
    pub(crate) fn part(&mut self, identity: u128) {
        for hasher in [&mut self.0, &mut self.1] {
            hasher.write_u8(b'p');
            hasher.write_u128(identity);
        }
    }

    pub(crate) fn finish(&self) -> u128 {
        u128::from(self.0.finish()) << 64 | u128::from(self.1.finish())
    }
}

/// What a page is made of, as it is put together from the store.
pub(crate) struct Making {
    identity: Identity,
    /// Its text is told piece by piece: the template does not say what it is.
    by_text: bool,
    /// How long clients may keep it; none where they may not.
    keep: Option<Duration>,
}

impl Making {
    /// Of a page of this template, which clients may keep for so long.
    pub(crate) fn of(template: &StoredResponse, keep: Option<Duration>) -> Self {
        let decides = |piece: &Piece| match piece {
            Piece::Text(_) => false,
            Piece::Include(include) => include.has_variables(),
            Piece::Block(_) => true,
        };
        let by_text = template.body.pieces.iter().any(decides);
        let mut identity = Identity::default();
        if !by_text {
            identity.part(as_part(template).identity);
        }
        Self { identity, by_text, keep }
    }

    /// Bytes of the template's own.
    pub(crate) fn text(&mut self, text: &[u8]) {
        if self.by_text {
            self.identity.text(text);
        }
    }

    /// A fragment.
    pub(crate) fn part(&mut self, made: &Made) {
        self.identity.part(made.identity);
        self.keep = self.keep.zip(made.keep).map(|(one, other)| one.min(other));
    }

    /// `is_personal`: something of the visitor went into it.
    pub(crate) fn finish(self, is_personal: bool) -> Made {
        Made { identity: self.identity.finish(), keep: self.keep.filter(|_| !is_personal) }
    }
}

/// `max-age` for a page that may be kept for so long from now on and is told to be so old already.
pub(crate) fn max_age(keep: Duration, age: Duration) -> HeaderValue {
    // Whole seconds, as the client counts the age that it is told.
    copal_semantics::max_age(Duration::from_secs(keep.as_secs().saturating_add(age.as_secs())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_parts_end_is_part_of_the_identity() {
        let identity = |parts: &[&str]| {
            let mut identity = Identity::default();
            parts.iter().for_each(|part| identity.text(part.as_bytes()));
            identity.finish()
        };
        assert_eq!(identity(&["a", "b"]), identity(&["a", "b"]));
        let all = [identity(&["a", "b"]), identity(&["ab"]), identity(&["a"]), identity(&[]), identity(&["", "ab"])];
        for (index, one) in all.iter().enumerate() {
            assert!(all[index + 1..].iter().all(|other| other != one), "{index}");
        }
        let (one, other) = (identity(&["a"]) >> 64, identity(&["a"]) & u128::from(u64::MAX));
        assert_ne!(one, other, "both halves say something");
    }

    #[test]
    fn an_entity_tag_is_strong_and_of_one_length() {
        let tag = Made { identity: 0xab, keep: None }.entity_tag().unwrap();
        assert_eq!(tag, "\"000000000000000000000000000000ab\"");
    }

    #[test]
    fn of_max_age_a_client_takes_off_the_age() {
        assert_eq!(max_age(Duration::from_secs(20), Duration::from_secs(10)), "max-age=30");
    }

    #[test]
    fn a_client_keeps_nothing_longer_than_it_may_however_the_parts_of_seconds_fall() {
        let (keep, age) = (Duration::from_millis(20_600), Duration::from_millis(10_600));
        // Told an age of 10 it keeps for 20.
        assert_eq!(max_age(keep, age), "max-age=30");
    }
}
