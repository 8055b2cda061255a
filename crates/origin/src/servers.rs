//! The servers of an origin: which of them gets a request.

mod lease;
mod load;
mod member;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use http::{HeaderMap, StatusCode};

pub(crate) use lease::Lease;
pub(crate) use member::Member;

use crate::clock;
use crate::error::{Kind, OriginError};
use crate::server::Server;
use crate::settings::{Ejection, OriginSettings};
use crate::status::{OriginStatus, ServerState, ServerStatus};

/// The servers behind one name.
pub(crate) struct Servers {
    members: Vec<Arc<Member>>,
    ejection: Option<Ejection>,
    turn: AtomicUsize,
    since: SystemTime,
}

/// A session that lives on one server, by a keyed hash of its cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Session(u64);

/// What a server is wanted for.
#[derive(Clone, Copy, Debug, Default)]
#[allow(dead_code, reason = "for the kinds of balance to come")]
pub(crate) struct Wanted<'a> {
    /// [`Call::hash`](crate::Call::hash).
    pub(crate) hash: Option<u64>,
    /// The session that the request belongs to, see [`Servers::session`].
    pub(crate) session: Option<Session>,
    /// The request may be sent to another server if this one fails.
    pub(crate) twice: bool,
    /// The servers that it was sent to already ([`Lease::index`]); it goes to none of them again.
    pub(crate) tried: &'a [usize],
}

impl Servers {
    /// # Errors
    /// [`Kind::Settings`] when there is no server, or one cannot be used.
    pub(crate) fn new(settings: &OriginSettings) -> Result<Arc<Self>, OriginError> {
        if settings.servers.is_empty() {
            return Err(OriginError::because(Kind::Settings, "an origin has at least one server"));
        }
        let servers = settings.servers.iter().map(|server| Server::new(server, settings));
        let servers = servers.collect::<Result<Vec<_>, _>>()?;
        Ok(Arc::new_cyclic(|this| {
            let members = std::iter::zip(&settings.servers, servers).enumerate();
            let member = |(index, (settings, server)): (usize, (&_, _))| {
                Arc::new(Member::new(index, Clone::clone(settings), server, this.clone()))
            };
            Self {
                members: members.map(member).collect(),
                ejection: settings.ejection.clone(),
                turn: AtomicUsize::new(0),
                since: clock::now(),
            }
        }))
    }

    /// The servers in the order written.
    pub(crate) fn members(&self) -> &[Arc<Member>] {
        &self.members
    }

    /// The session of a request with these fields.
    pub(crate) fn session(&self, _headers: &HeaderMap) -> Option<Session> {
        None
    }

    /// A place at a server for a request; waits for one where all have as many requests as they may. `None` when
    /// every server was tried.
    ///
    /// # Errors
    /// [`Kind::Busy`] when there is no place in the queue either, or none came free in time. [`Kind::NoServer`] when no
    /// server takes requests.
    pub(crate) async fn pick(&self, wanted: &Wanted<'_>) -> Result<Option<Lease>, OriginError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let order = (0..self.members.len()).map(|step| turn.wrapping_add(step) % self.members.len());
        let claimed = order.filter(|index| !wanted.tried.contains(index)).find_map(|index| {
            let member = &self.members[index];
            member.load().claim(member.limit()).map(|_| Lease::new(member.clone()))
        });
        Ok(claimed)
    }

    /// Whether another server than these could get a request.
    pub(crate) fn another(&self, tried: &[usize], here: usize) -> bool {
        (0..self.members.len()).any(|index| index != here && !tried.contains(&index))
    }

    /// A response from the lease's server: the sessions that it sets are its own.
    pub(crate) fn learn(&self, _lease: &Lease, _headers: &HeaderMap) {}

    /// What is known of the servers.
    pub(crate) fn status(&self) -> OriginStatus {
        let status = |member: &Arc<Member>| {
            let (requests, failures) = member.load().totals();
            ServerStatus {
                name: member.settings.address.name(),
                state: ServerState::Up,
                reason: String::new(),
                since: self.since,
                weight: member.settings.weight,
                ramp: 100,
                backup: member.settings.backup,
                active: member.load().active(),
                max_connections: member.settings.max_connections,
                idle: member.server().idle(),
                requests,
                failures,
                ejections: 0,
                check: member.last_check(),
                addresses: Vec::new(),
            }
        };
        OriginStatus { servers: self.members.iter().map(status).collect(), ..OriginStatus::default() }
    }

    fn counts_as_failure(&self, status: StatusCode) -> bool {
        self.ejection.as_ref().is_some_and(|ejection| ejection.statuses.contains(&status))
    }

    fn failed(&self, member: &Member, why: &str) {
        let in_a_row = member.load().bad();
        tracing::debug!(server = &**member.server().authority(), why, in_a_row, "request failed");
    }

    fn checked(&self, index: usize, well: bool, found: &str) {
        tracing::debug!(index, well, found, "checked");
    }
}
