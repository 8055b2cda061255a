//! What is told about a finished request: the line of the access log and the counts of the metrics are made from it,
//! by others and off the hot path.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use copal_semantics::Timestamp;
use http::{HeaderValue, Method, StatusCode, Uri, Version};

use crate::reason::Reason;

/// Hears about requests and fragments. Called on the serving threads: an implementation only puts the record aside.
pub trait Observer: Send + Sync {
    /// Once per client request, when its response body has ended or was dropped.
    fn done(&self, record: Record);

    /// Once per ESI fragment that was asked for.
    fn fragment(&self, reason: Reason, failed: bool) {
        let _ = (reason, failed);
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

/// The facts of one finished request. Cloned header values share their bytes with the request: making one copies little.
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
    /// The request-target as received.
    pub uri: Uri,
    /// The `Host` field as received.
    pub host: Option<HeaderValue>,
    /// The protocol version of the request.
    pub version: Version,
    /// The status sent.
    pub status: StatusCode,
    /// Body bytes handed to the connection.
    pub bytes: u64,
    /// The `Referer` field.
    pub referer: Option<HeaderValue>,
    /// The `User-Agent` field.
    pub user_agent: Option<HeaderValue>,
    /// Why it was answered so.
    pub reason: Reason,
    /// The name of the rule that decided; empty when none did (a bad request, a purge).
    pub rule: Arc<str>,
    /// ESI fragments that were spliced in.
    pub fragments: u32,
    /// The body was sent whole; `false`: the client left, or the origin broke off.
    pub complete: bool,
}
