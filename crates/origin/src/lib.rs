//! Origins: servers behind one name, with their kept connections, limits of time, and retries.
//!
//! [`Origin::send`] is the whole of it: one request out, one response head in, its body to be polled. What is
//! deliberately absent: no cache, no rule, no header of the proxy's own; hop-by-hop fields are the caller's.
//!
//! A connection of HTTP/1.1 has no task of its own. Whoever waits for a response drives the connection that brings it, so a
//! request costs no hand-over between tasks; only an upload that outlives the response's head gets one. A connection of HTTP/2
//! carries many requests and has a task; so has an upload on it.

mod body;
mod budget;
mod call;
mod clock;
mod connect;
mod connection;
mod content;
mod dial;
mod error;
mod framing;
mod head;
mod health;
mod hold;
mod http2;
mod link;
mod names;
mod origin;
mod pool;
mod proxy_header;
mod reading;
mod replay;
mod request;
mod resolve;
mod send;
mod server;
mod servers;
mod sessions;
mod settings;
mod silence;
mod socket;
mod status;
mod stranger;
mod stream;
mod tape;
#[cfg(test)]
mod tests;
mod tls;
mod upgrade;
mod verdict;
mod writing;

pub use body::OriginBody;
pub use call::Call;
pub use content::{Content, Piece};
pub use error::{Fault, Kind, OriginError};
pub use head::{HeadError, HeadReader, ResponseHead};
pub use link::OnInterim;
pub use origin::{Origin, OriginResponse, ReadyRequest};
pub use request::{BoxError, RequestBody};
pub use settings::{
    Balance, Ejection, HealthCheck, NameSettings, OriginSettings, Pem, Protocol, ProxyProtocol, Queue, Retry,
    ServerAddress, ServerSettings, Timeouts, TlsSettings, Verdict,
};
pub use status::{Failing, OriginStatus, ServerState, ServerStatus};
pub use tls::{TlsFault, TlsPart};
pub use upgrade::{AsyncIo, Upgraded, Upgrading};
