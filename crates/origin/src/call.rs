//! What goes with one request beside the request itself.

use std::net::SocketAddr;

use crate::link::OnInterim;
use crate::settings::Timeouts;

/// How one request is to be sent. The default is nothing in particular.
#[derive(Clone, Default)]
pub struct Call {
    /// Hears of interim responses.
    pub on_interim: Option<OnInterim>,
    /// What the same server is picked by ([`Balance::Hash`](crate::Balance::Hash)): a hash of the cache key, a cookie or the client.
    pub hash: Option<u64>,
    /// The client's address and the one that it connected to, for the PROXY protocol; `None` for a request that is not one
    /// client's, whose response others may get.
    pub client: Option<(SocketAddr, SocketAddr)>,
    /// Limits of time in place of the origin's.
    pub timeouts: Option<Timeouts>,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call")
            .field("on_interim", &self.on_interim.is_some())
            .field("hash", &self.hash)
            .field("client", &self.client)
            .field("timeouts", &self.timeouts)
            .finish()
    }
}
