//! A server as one of several: its settings, its counts, and what the last check found.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use super::Servers;
use super::load::Load;
use crate::server::Server;
use crate::settings::ServerSettings;

/// A server among those of an origin.
pub(crate) struct Member {
    pub(super) index: usize,
    pub(super) settings: ServerSettings,
    server: Arc<Server>,
    servers: Weak<Servers>,
    /// Shared with the same server of an earlier or later configuration, see [`Servers::adopt`].
    load: OnceLock<Arc<Load>>,
    check: Mutex<Option<(bool, String)>>,
}

impl Member {
    pub(super) fn new(index: usize, settings: ServerSettings, server: Server, servers: Weak<Servers>) -> Self {
        let server = Arc::new(server);
        Self { index, settings, server, servers, load: OnceLock::new(), check: Mutex::default() }
    }

    /// Where it is, with its kept connections.
    pub(crate) fn server(&self) -> &Arc<Server> {
        &self.server
    }

    pub(super) fn load(&self) -> &Arc<Load> {
        self.load.get_or_init(Arc::default)
    }

    pub(super) fn servers(&self) -> Option<Arc<Servers>> {
        self.servers.upgrade()
    }

    /// The most requests at a time.
    pub(super) fn limit(&self) -> usize {
        match self.settings.max_connections {
            0 => usize::MAX,
            limit => limit,
        }
    }

    /// A check was made: whether it was good, what it found, and whether the server is well by all checks so far.
    pub(crate) fn checked(&self, good: bool, found: &str, well: bool) {
        *self.check.lock().unwrap_or_else(PoisonError::into_inner) = Some((good, found.to_owned()));
        if let Some(servers) = self.servers() {
            servers.checked(self.index, well, found);
        }
    }

    /// What the last check found.
    pub(super) fn last_check(&self) -> Option<(bool, String)> {
        self.check.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
