//! `X-Request-Id`: by which a visitor's complaint, a log line and the origin's own log are found to be of one request. Made
//! for what goes to an origin or fails; a hit has none.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use copal_semantics::Timestamp;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::exchange::Exchange;

/// The field.
pub(crate) const FIELD: HeaderName = HeaderName::from_static("x-request-id");

/// The longest that is taken over, in bytes.
const LONGEST: usize = 128;

/// By which one request is known.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestId(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    /// Made here: a UUID of version 7 (RFC 9562 §5.7).
    Own([u8; 16]),
    /// A trusted proxy's.
    Given(Arc<str>),
}

impl RequestId {
    /// What a proxy in front says, where it can stand in a log, a field and a page as it is.
    fn given(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(FIELD).iter();
        let (Some(id), None) = (lines.next(), lines.next()) else { return None };
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/=:".contains(byte);
        let id = id.to_str().ok().filter(|id| !id.is_empty() && id.len() <= LONGEST)?;
        id.as_bytes().iter().all(plain).then(|| Self(Kind::Given(id.into())))
    }

    pub(crate) fn is_given(&self) -> bool {
        matches!(self.0, Kind::Given(_))
    }

    pub(crate) fn to_value(&self) -> HeaderValue {
        let value = match &self.0 {
            Kind::Own(bytes) => HeaderValue::from_bytes(&hyphenated(bytes)),
            Kind::Given(text) => HeaderValue::from_str(text),
        };
        value.unwrap_or(HeaderValue::from_static("-"))
    }
}

/// The 36 characters of a UUID (RFC 9562 §4).
fn hyphenated(bytes: &[u8; 16]) -> [u8; 36] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    /// Where each byte stands.
    const AT: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
    let mut text = [b'-'; 36];
    for (at, byte) in AT.into_iter().zip(bytes) {
        text[at] = HEX[usize::from(byte >> 4)];
        text[at + 1] = HEX[usize::from(byte & 15)];
    }
    text
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Own(bytes) => f.write_str(std::str::from_utf8(&hyphenated(bytes)).unwrap_or("-")),
            Kind::Given(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Makes them: the time, and 74 bits that nobody foretells who does not know the keys.
#[derive(Default)]
pub(crate) struct RequestIds {
    made: AtomicU64,
    keys: [RandomState; 2],
}

impl RequestIds {
    pub(crate) fn make(&self, now: Timestamp) -> RequestId {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let [high, low] = [&self.keys[0], &self.keys[1]].map(|key| key.hash_one(number));
        let (time, version) = (now.as_millis() << 16, 7 << 12 | (high & 0xfff));
        let uuid = u128::from(time | version) << 64 | u128::from(low >> 2 | 1 << 63);
        RequestId(Kind::Own(uuid.to_be_bytes()))
    }

    /// That of a request: given already, a trusted proxy's, or made now.
    pub(crate) fn of(&self, exchange: &Exchange) -> RequestId {
        let known = exchange.request_id.clone();
        let given = || if exchange.trusted { RequestId::given(&exchange.headers) } else { None };
        known.or_else(given).unwrap_or_else(|| self.make(exchange.now))
    }

    /// That of a fill: the client's own only where it was made here, so that nothing of the client reaches the origin by it.
    pub(crate) fn of_fill(&self, exchange: &Exchange) -> RequestId {
        match &exchange.request_id {
            Some(id) if !id.is_given() => id.clone(),
            of_client => {
                let id = self.make(exchange.now);
                if let Some(of_client) = of_client {
                    tracing::debug!(request_id = %of_client, fill = %id, "the origin is asked under another id");
                }
                id
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_are_uuids_of_their_time_and_differ() {
        let ids = RequestIds::default();
        let now = Timestamp::from_millis(0x0123_4567_89ab);
        let all: std::collections::HashSet<_> = (0..1000).map(|_| ids.make(now).to_string()).collect();
        assert_eq!(all.len(), 1000);
        for id in all {
            let parts: Vec<_> = id.split('-').collect();
            assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{id}");
            assert!(id.starts_with("01234567-89ab-7") && matches!(parts[3].as_bytes()[0], b'8'..=b'b'), "{id}");
        }
        let id = ids.make(now);
        assert_eq!(id.to_value().to_str().unwrap(), id.to_string());
        let others = RequestIds::default();
        assert_ne!(others.make(now).to_string()[19..], RequestIds::default().make(now).to_string()[19..]);
    }

    #[test]
    fn what_is_given_is_taken_where_it_is_plain() {
        for (given, taken) in [
            (&["abc-123"][..], true),
            (&["0af7651916cd43dd8448eb211c80319c"], true),
            (&["Root=1-67891233:abc/def+x=="], true),
            (&["a b"], false),
            (&["a,b"], false),
            (&["<b>"], false),
            (&["\"a\""], false),
            (&[""], false),
            (&["a", "b"], false),
            (&[], false),
        ] {
            let headers = given.iter().map(|id| (FIELD, id.parse().unwrap())).collect();
            let id = RequestId::given(&headers);
            assert_eq!(id.as_ref().map(RequestId::to_string).as_deref(), taken.then(|| given[0]), "{given:?}");
            assert!(id.is_none_or(|id| id.is_given() && id.to_value() == given[0]));
        }
        for (length, taken) in [(128, true), (129, false)] {
            let headers = HeaderMap::from_iter([(FIELD, "x".repeat(length).parse().unwrap())]);
            assert_eq!(RequestId::given(&headers).is_some(), taken, "{length}");
        }
    }
}
