//! A place at a server, for one request.

use std::sync::Arc;

use http::StatusCode;

use super::member::Member;
use crate::error::{Fault, Kind};
use crate::server::Server;

/// One request's place at a server: it counts as under way there until this is gone. Whoever has it says how it went with
/// [`answered`](Self::answered) and then [`over`](Self::over) or [`failed`](Self::failed). One that is dropped without a word says
/// nothing about the server: the request was given up.
pub(crate) struct Lease {
    member: Arc<Member>,
    /// How it went has been told.
    told: bool,
}

impl Lease {
    /// The place is claimed already.
    pub(super) fn new(member: Arc<Member>) -> Self {
        member.load().sent();
        Self { member, told: false }
    }

    /// The server that the request goes to.
    pub(crate) fn server(&self) -> &Arc<Server> {
        self.member.server()
    }

    /// The server's place in the settings.
    pub(crate) fn index(&self) -> usize {
        self.member.index
    }

    /// The head of a final response came.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        let Some(servers) = self.member.servers() else { return };
        if servers.counts_as_failure(status) {
            self.told = true;
            servers.failed(&self.member, status.as_str());
        }
    }

    /// All of the response came.
    pub(crate) fn over(mut self) {
        if !std::mem::replace(&mut self.told, true) {
            self.member.load().good();
        }
    }

    /// The exchange failed. What is not the server's fault does not count.
    pub(crate) fn failed(mut self, kind: Kind) {
        if kind.fault() == Fault::Origin
            && !std::mem::replace(&mut self.told, true)
            && let Some(servers) = self.member.servers()
        {
            servers.failed(&self.member, kind.as_str());
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.member.load().release();
    }
}
