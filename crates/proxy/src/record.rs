//! What is told about a finished request: the line of the access log and the counts of the metrics are made from it,
//! by others and off the hot path.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use copal_semantics::Timestamp;
use http::{HeaderMap, Method, StatusCode, Uri, Version, header};

use crate::reason::Reason;
use crate::request_id::RequestId;

/// Hears about requests and fragments. Called on the serving threads: an implementation only puts the record aside.
pub trait Observer: Send + Sync {
    /// Once per client request, when its response body has ended or was dropped.
    fn done(&self, record: Record);

    /// Once per ESI fragment that was asked for.
    fn fragment(&self, reason: Reason, failed: bool) {
        let _ = (reason, failed);
    }

    /// Once per purge: the dialect in which it was asked for, and `purged`, `merged`, `dry-run`, `denied` or `wrong`.
    fn purge(&self, dialect: &'static str, outcome: &'static str) {
        let _ = (dialect, outcome);
    }

    /// As [`Observer::fragment`] for so many that were had for one reason.
    fn fragments(&self, reason: Reason, count: u64) {
        (0..count).for_each(|_| self.fragment(reason, false));
    }

    /// Once per time that a limit of ESI was reached, by its key under `esi`.
    fn esi_limit(&self, limit: &'static str) {
        let _ = limit;
    }

    /// Once per thing that is wrong with a template, as it is parsed, by its kind; `count` of them.
    fn esi_warning(&self, kind: &'static str, count: u64) {
        let _ = (kind, count);
    }

    /// Once per exchange with an origin server: its name, the status (none: it failed) and the time to the head.
    fn origin(&self, origin: &Arc<str>, status: Option<StatusCode>, elapsed: Duration) {
        let _ = (origin, status, elapsed);
    }
}

/// An [`Observer`] that does nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Observer for Silent {
    fn done(&self, _record: Record) {}
}

/// What a log line shows of a request head, copied into one small piece of memory: sharing the head's own bytes would keep
/// the whole read buffer of the connection alive until the line is written.
#[derive(Debug, Clone, Default)]
pub struct RequestText {
    text: Box<[u8]>,
    /// Where target, host, referer and user agent end.
    ends: [u16; 4],
    /// One bit for each that was there.
    present: u8,
}

impl RequestText {
    /// Longest part of a request-target that is kept, in bytes.
    pub const TARGET_LIMIT: usize = 8 * 1024;
    /// Longest part of a field that is kept, in bytes.
    pub const FIELD_LIMIT: usize = 2 * 1024;

    /// The request-target as received, and the fields; what is beyond the limits is cut off.
    #[must_use]
    pub fn new(target: &[&str], fields: [Option<&[u8]>; 3]) -> Self {
        let cut = |field: Option<&[u8]>| field.map_or(0, |field| field.len().min(Self::FIELD_LIMIT));
        let length = target.iter().map(|part| part.len()).sum::<usize>().min(Self::TARGET_LIMIT);
        let mut text = Vec::with_capacity(length + fields.iter().map(|field| cut(*field)).sum::<usize>());
        for part in target {
            text.extend_from_slice(&part.as_bytes()[..part.len().min(Self::TARGET_LIMIT - text.len())]);
        }
        // Together they are below 64 KiB.
        let mut ends = [text.len() as u16; 4];
        let mut present = 1;
        for (index, field) in fields.into_iter().enumerate() {
            if let Some(field) = field {
                text.extend_from_slice(&field[..field.len().min(Self::FIELD_LIMIT)]);
                present |= 2 << index;
            }
            ends[index + 1] = text.len() as u16;
        }
        Self { text: text.into_boxed_slice(), ends, present }
    }

    pub(crate) fn of(uri: &Uri, headers: &HeaderMap) -> Self {
        let mut fields = [None; 3];
        // One walk costs less than to look for each of them.
        for (name, value) in headers {
            let field = match *name {
                header::HOST => &mut fields[0],
                header::REFERER => &mut fields[1],
                header::USER_AGENT => &mut fields[2],
                _ => continue,
            };
            // Of several, the first.
            field.get_or_insert(value.as_bytes());
        }
        let path = uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
        match (uri.scheme_str(), uri.authority()) {
            (Some(scheme), Some(authority)) => Self::new(&[scheme, "://", authority.as_str(), path], fields),
            (None, Some(authority)) => Self::new(&[authority.as_str()], fields),
            _ => Self::new(&[path], fields),
        }
    }

    /// The request-target as received.
    #[must_use]
    pub fn target(&self) -> &[u8] {
        self.part(0).unwrap_or_default()
    }

    /// The `Host` field as received.
    #[must_use]
    pub fn host(&self) -> Option<&[u8]> {
        self.part(1)
    }

    /// The `Referer` field.
    #[must_use]
    pub fn referer(&self) -> Option<&[u8]> {
        self.part(2)
    }

    /// The `User-Agent` field.
    #[must_use]
    pub fn user_agent(&self) -> Option<&[u8]> {
        self.part(3)
    }

    fn part(&self, index: usize) -> Option<&[u8]> {
        let start = index.checked_sub(1).map_or(0, |before| usize::from(self.ends[before]));
        (self.present & (1 << index) != 0).then(|| &self.text[start..usize::from(self.ends[index])])
    }
}

/// The facts of one finished request.
#[derive(Debug, Clone)]
pub struct Record {
    /// When the request head had been read.
    pub started: Timestamp,
    /// From then until the response body ended or was dropped.
    pub duration: Duration,
    /// The client's socket address.
    pub peer: SocketAddr,
    /// The request method.
    pub method: Method,
    /// The request-target and the fields that a log line shows.
    pub text: RequestText,
    /// The protocol version of the request.
    pub version: Version,
    /// The status sent.
    pub status: StatusCode,
    /// Body bytes handed to the connection.
    pub bytes: u64,
    /// Why it was answered so.
    pub reason: Reason,
    /// The name of the rule that decided; empty when none did (a bad request, a purge).
    pub rule: Arc<str>,
    /// ESI fragments that were spliced in.
    pub fragments: u32,
    /// The body was sent whole; `false`: the client left, or the origin broke off.
    pub complete: bool,
    /// By which it is known to the origin and on an error page; none where no origin was asked and nothing failed.
    pub request_id: Option<Box<RequestId>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_kept_apart_and_cut_at_their_limits() {
        let long = vec![b'x'; 100_000];
        let text = RequestText::new(&["/a", "?b"], [Some(b"host"), None, Some(&long)]);
        assert_eq!((text.target(), text.host(), text.referer()), (&b"/a?b"[..], Some(&b"host"[..]), None));
        assert_eq!(text.user_agent().map(<[u8]>::len), Some(RequestText::FIELD_LIMIT));
        let target = "y".repeat(70_000);
        let text = RequestText::new(&[&target, "more"], [Some(&long), Some(&long), Some(b"")]);
        assert_eq!(text.target().len(), RequestText::TARGET_LIMIT);
        assert_eq!(
            (text.referer().map(<[u8]>::len), text.user_agent()),
            (Some(RequestText::FIELD_LIMIT), Some(&b""[..]))
        );
    }

    #[test]
    fn every_form_of_a_request_target_is_as_received() {
        for target in ["/a?b=c", "http://host:81/a?b", "*", "host:443"] {
            let uri: Uri = target.parse().unwrap();
            assert_eq!(RequestText::of(&uri, &HeaderMap::new()).target(), target.as_bytes());
        }
    }
}
