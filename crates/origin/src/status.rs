//! What an origin says of its servers.

use std::net::SocketAddr;
use std::time::SystemTime;

/// The state of an origin, for people and for metrics.
#[derive(Clone, Debug, Default)]
pub struct OriginStatus {
    /// Its servers, in the order written.
    pub servers: Vec<ServerStatus>,
    /// Requests that wait for a server with room.
    pub waiting: usize,
    /// How often a request was sent to a server once more, since the start; one request may count several times.
    pub retries: u64,
    /// How often that was not done as the [budget](crate::Retry::budget) did not allow it, since the start.
    pub retries_denied: u64,
    /// Requests that found no room and no place in the queue, or waited there for too long, since the start.
    pub refused: u64,
}

/// One server of an [`OriginStatus`].
#[derive(Clone, Debug)]
pub struct ServerStatus {
    /// `host[:port]`, or `unix:/path`.
    pub name: String,
    /// Whether it gets requests.
    pub state: ServerState,
    /// Why it is in that state.
    pub reason: String,
    /// Since when.
    pub since: SystemTime,
    /// Its requests fail although it is up: no other server could take them, or none is to be left out.
    pub failing: Option<Failing>,
    /// Its share as configured.
    pub weight: u32,
    /// Its share at present, in percent of the configured one: less than 100 while it works its way up.
    pub ramp: u8,
    /// It gets requests only while the others cannot take them.
    pub backup: bool,
    /// Requests under way.
    pub active: usize,
    /// The most at a time; 0 = no limit.
    pub max_connections: usize,
    /// Kept connections without a request.
    pub idle: usize,
    /// Requests that it was sent, since the start.
    pub requests: u64,
    /// How many of them failed.
    pub failures: u64,
    /// How often it was left out because of failures.
    pub ejections: u64,
    /// The last check: whether it was good, and what it found.
    pub check: Option<(bool, String)>,
    /// The addresses of its name, as last resolved.
    pub addresses: Vec<SocketAddr>,
}

/// A server whose requests fail, and that gets them all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    /// What failed.
    pub reason: String,
    /// Since when.
    pub since: SystemTime,
}

/// Whether a server gets requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerState {
    /// It does.
    Up,
    /// The checks say that it is not well.
    Down,
    /// Requests failed; it is left out for a while.
    Ejected,
    /// An operator took it out; requests under way are finished.
    Drained,
}

impl ServerState {
    /// Every state, in the order of metrics.
    pub const ALL: [Self; 4] = [Self::Up, Self::Down, Self::Ejected, Self::Drained];

    /// `up`, `down`, `ejected` or `drained`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Ejected => "ejected",
            Self::Drained => "drained",
        }
    }
}
