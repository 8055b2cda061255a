//! The servers of an origin: which of them gets a request, and which get none.
//!
//! A request gets a [`Lease`] on a server's place. Who takes requests stands in a table that is made anew when a server's state
//! changes (`change.rs`, by the rules of `condition.rs`) and that each pick reads without a lock (`pick.rs`). Where all
//! have as many requests as they may, a request waits in `queue.rs`.

mod change;
mod condition;
mod lease;
mod load;
mod member;
mod pick;
mod queue;
mod recovery;
mod ring;
mod schedule;
mod sticky;
mod window;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderMap;
use tokio::time::{Instant, timeout_at};

pub(crate) use lease::Lease;
pub(crate) use member::Member;
pub(crate) use sticky::Session;

use crate::clock;
use crate::error::{Kind, OriginError};
use crate::link::after;
use crate::resolve::Resolver;
use crate::server::Server;
use crate::settings::{Balance, OriginSettings, ServerAddress};
use crate::tls::Trust;
use condition::Condition;
use member::Common;
use pick::{Ask, By, Fact, Loads, Picked, Table};
use ring::Circle;
use sticky::Sticky;

/// The servers behind one name.
pub(crate) struct Servers {
    name: Arc<str>,
    /// Who answers in its place; only for the log.
    fallback: Option<String>,
    members: Vec<Arc<Member>>,
    balance: Balance,
    slow_start: Duration,
    table: ArcSwap<Table>,
    conditions: Mutex<Vec<Condition>>,
    /// Where keys or sessions have servers of their own.
    circle: Option<Circle>,
    sticky: Sticky,
    common: Arc<Common>,
    patience: Duration,
    turn: Turn,
    /// The turns of requests that are sent once more.
    more_turns: Turn,
    refused: AtomicU64,
}

/// On cache lines of its own: each request writes it.
#[derive(Default)]
#[repr(align(128))]
struct Turn(AtomicU64);

/// What a server is wanted for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted<'a> {
    /// [`Call::hash`](crate::Call::hash).
    pub(crate) hash: Option<u64>,
    /// The session that the request belongs to, see [`Servers::session`].
    pub(crate) session: Option<Session>,
    /// The request may be sent to another server if this one fails.
    pub(crate) twice: bool,
    /// It goes to no server that is out, not as its trial either.
    pub(crate) safe: bool,
    /// The servers that it was sent to already ([`Lease::index`]); it goes to none of them again.
    pub(crate) tried: &'a [usize],
}

/// A [`Wanted`] that waits.
#[derive(Debug)]
struct Wants {
    hash: Option<u64>,
    session: Option<Session>,
    twice: bool,
    safe: bool,
    tried: Vec<usize>,
}

impl Wants {
    fn wanted(&self) -> Wanted<'_> {
        Wanted { hash: self.hash, session: self.session, twice: self.twice, safe: self.safe, tried: &self.tried }
    }
}

impl Servers {
    /// # Errors
    /// [`Kind::Settings`] when there is no server, or one cannot be used.
    pub(crate) fn new(settings: &OriginSettings) -> Result<Arc<Self>, OriginError> {
        if settings.servers.is_empty() {
            return Err(OriginError::because(Kind::Settings, "an origin has at least one server"));
        }
        let resolver = Resolver::new(&settings.names);
        let https = settings.servers.iter().any(|server| matches!(server.address, ServerAddress::Https(_)));
        let trust = https.then(|| Trust::new(&settings.tls)).transpose()?;
        let servers = settings.servers.iter().map(|server| Server::new(server, settings, &resolver, trust.as_ref()));
        let servers = servers.collect::<Result<Vec<_>, _>>()?;
        let common = Arc::new(Common::new(settings));
        let sticky = Sticky::new(&settings.sticky);
        let by_hash = matches!(settings.balance, Balance::Hash { .. }) || !sticky.is_empty();
        let names = settings.servers.iter().map(|server| (server.address.to_string(), server.weight));
        let circle = by_hash.then(|| Circle::new(&names.collect::<Vec<_>>()));
        let fact = |server: &crate::ServerSettings| Fact {
            weight: server.weight,
            backup: server.backup,
            state: crate::ServerState::Up,
            trial: None,
            share: 100,
        };
        let facts: Vec<Fact> = settings.servers.iter().map(fact).collect();
        let table = Table::new(&facts, settings.balance, circle.as_ref(), None);
        let since = clock::now();
        Ok(Arc::new_cyclic(|this| {
            let members = std::iter::zip(&settings.servers, servers).enumerate();
            let member = |(index, (settings, server)): (usize, (&crate::ServerSettings, _))| {
                Arc::new(Member::new(index, settings.clone(), server, common.clone(), this.clone()))
            };
            Self {
                name: settings.name.as_str().into(),
                fallback: settings.fallback.clone(),
                members: members.map(member).collect(),
                balance: settings.balance,
                slow_start: settings.slow_start,
                table: ArcSwap::from_pointee(table),
                conditions: Mutex::new(vec![Condition::new(since); settings.servers.len()]),
                circle,
                sticky,
                common,
                patience: settings.queue.timeout,
                turn: Turn::default(),
                more_turns: Turn::default(),
                refused: AtomicU64::new(0),
            }
        }))
    }

    /// The servers in the order written.
    pub(crate) fn members(&self) -> &[Arc<Member>] {
        &self.members
    }

    /// The session of a request with these fields.
    pub(crate) fn session(&self, headers: &HeaderMap) -> Option<Session> {
        self.sticky.of(headers)
    }

    /// Where a session lives, for all that is known.
    pub(crate) fn home(&self, session: Session) -> Option<usize> {
        self.sticky.home(session)
    }

    /// Whether sessions that live on this server are served by it.
    pub(crate) fn keeps_sessions(&self, server: usize) -> bool {
        self.table.load().is_bindable(server)
    }

    /// A response from the lease's server: the sessions that it sets live there, but for the request's own where that is only lent.
    pub(crate) fn learn(&self, lease: &Lease, headers: &HeaderMap, session: Option<Session>, tried: &[usize]) {
        let lent = session.filter(|session| self.is_lent(*session, lease.index(), tried));
        self.sticky.learn(headers, lease.index(), lent);
    }

    /// Whether a session is at home elsewhere, and its server still takes its requests: one that failed there and is answered here moves
    /// nothing. A session that was served by its hash is known by that alone, see [`Sticky::settle`].
    fn is_lent(&self, session: Session, here: usize, tried: &[usize]) -> bool {
        let own = self.sticky.home(session).or_else(|| self.natural(session).filter(|server| tried.contains(server)));
        own.is_some_and(|own| own != here && self.keeps_sessions(own))
    }

    /// Where a session lives that nobody knows.
    fn natural(&self, session: Session) -> Option<usize> {
        let server = self.circle.as_ref()?.home(session.hash)?;
        Some(server as usize)
    }

    /// A place at a server for a request; waits for one where all, backups too, have as many requests as they may. `None` when every
    /// server was tried.
    ///
    /// # Errors
    /// [`Kind::Busy`] when there is no place in the queue either, or none came free in time. [`Kind::NoServer`] when no
    /// server takes requests.
    pub(crate) async fn pick(&self, wanted: &Wanted<'_>) -> Result<Option<Lease>, OriginError> {
        let picked = self.pick_now(wanted);
        let lease = match picked {
            Picked::Taken { .. } => self.lease(picked),
            Picked::Nobody if wanted.tried.is_empty() => return Err(OriginError::new(Kind::NoServer)),
            Picked::Nobody => None,
            // Boxed: it is the rare way, and large; every request would carry its size.
            Picked::Full { only } => Box::pin(self.wait(wanted, only)).await?,
        };
        if let Some(lease) = &lease {
            self.sends(lease, wanted.session, wanted.tried);
        }
        Ok(lease)
    }

    /// A request that was sent to `tried` goes to the lease's server. Its session lives there from now on, unless it is only lent.
    pub(crate) fn sends(&self, lease: &Lease, session: Option<Session>, tried: &[usize]) {
        lease.member().load().sent();
        let Some(session) = session.filter(|session| !self.is_lent(*session, lease.index(), tried)) else { return };
        if self.sticky.settle(session, lease.index(), self.natural(session)) {
            // Others of it may wait where it lived.
            self.again(|wants| wants.session == Some(session));
        }
    }

    /// Whether a server went out that has a request, and another is up.
    pub(crate) fn is_lost(&self, server: usize) -> bool {
        self.table.load().is_lost(server)
    }

    /// Whether there is a server for a request that was sent to these, though it may have no room.
    pub(crate) fn another(&self, tried: &[usize], here: usize) -> bool {
        self.table.load().has_another(tried, here)
    }

    /// A place at a server that has one right now; see [`sends`](Self::sends).
    pub(crate) fn try_pick(&self, wanted: &Wanted<'_>) -> Option<Lease> {
        self.lease(self.pick_now(wanted))
    }

    fn pick_now(&self, wanted: &Wanted<'_>) -> Picked {
        let mut table = self.table.load();
        if let Some(next) = table.next {
            // Only now the time is of interest.
            let now = Instant::now();
            if next <= now {
                self.catch_up(now);
                table = self.table.load();
            }
        }
        let by = match (wanted.session, wanted.hash) {
            (Some(session), _) => By::Session { server: self.sticky.home(session), hash: session.hash },
            (None, Some(hash)) if matches!(self.balance, Balance::Hash { .. }) => By::Hash(hash),
            (None, _) => By::Turn,
        };
        // Who has a server of its own takes nobody's turn, nor does another try: a server that fails would have it always.
        let turn = match by {
            By::Turn if wanted.tried.is_empty() => self.turn.0.fetch_add(1, Ordering::Relaxed),
            By::Turn => self.more_turns.0.fetch_add(1, Ordering::Relaxed),
            By::Hash(hash) | By::Session { hash, .. } => hash,
        };
        table.pick(&Ask { by, tried: wanted.tried, twice: wanted.twice, safe: wanted.safe, turn }, self)
    }

    fn lease(&self, picked: Picked) -> Option<Lease> {
        let Picked::Taken { server, probe } = picked else { return None };
        self.members.get(server).map(|member| Lease::new(member.clone(), probe))
    }

    async fn wait(&self, wanted: &Wanted<'_>, mut only: Option<usize>) -> Result<Option<Lease>, OriginError> {
        let busy = |only: Option<usize>| {
            self.refused.fetch_add(1, Ordering::Relaxed);
            let error = OriginError::new(Kind::Busy);
            match only.and_then(|server| self.members.get(server)) {
                Some(member) => error.at(member.server().authority()),
                None => error,
            }
        };
        let until = after(Instant::now(), self.patience);
        loop {
            let Wanted { hash, session, twice, safe, tried } = *wanted;
            let wants = Wants { hash, session, twice, safe, tried: tried.to_vec() };
            // Whatever there is but "full" is found before the line is joined.
            let look = |wants: &Wants| match self.pick_now(&wants.wanted()) {
                Picked::Full { only: now } if now == only => None,
                picked => Some((picked, self.lease(picked))),
            };
            let mut ticket = match self.common.queue.join(only, wants, look).ok_or_else(|| busy(only))? {
                Ok(ticket) => ticket,
                Err((Picked::Full { only: now }, _)) => {
                    only = now;
                    continue;
                }
                Err((Picked::Nobody, _)) if wanted.tried.is_empty() => return Err(OriginError::new(Kind::NoServer)),
                Err((_, lease)) => return Ok(lease),
            };
            match timeout_at(until, &mut ticket.place).await {
                Ok(Ok(lease)) => return Ok(Some(lease)),
                // The servers that take requests are others now.
                Ok(Err(_)) => {}
                Err(_) => {
                    ticket.place.close();
                    return ticket.place.try_recv().map(Some).map_err(|_| busy(only));
                }
            }
        }
    }

    /// Gives places at a server to those who wait for one: the one that the caller gives back (`held`), then those that are
    /// free. What nobody takes is free when this returns.
    fn serve(&self, index: usize, mut held: bool) {
        let Some(member) = self.members.get(index) else { return };
        let mut line = self.common.queue.lock();
        let table = self.table.load();
        if held && member.load().active() > member.limit() {
            // New settings allow fewer.
            member.load().release();
            held = false;
        }
        while held || member.claim(usize::MAX) {
            held = true;
            let waiter = line.next_for(index, |wants| table.fits(index, &wants.tried));
            let Some(waiter) = waiter else { break };
            let lease = Lease::new(member.clone(), table.probe(index));
            match waiter.place.send(lease) {
                Ok(()) => held = false,
                // Whoever waited has gone.
                Err(lease) => lease.unclaim(),
            }
        }
        self.common.queue.left(&line);
        if held {
            // Under the lock: who joins the line next looks once more before it waits.
            member.load().release();
            member.emptied();
        }
    }

    fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn adopt_refused(&self, before: &Self) {
        self.refused.store(before.refused(), Ordering::Relaxed);
    }
}

impl Loads for Servers {
    fn active(&self, server: usize) -> usize {
        self.members.get(server).map_or(usize::MAX, |member| member.load().active())
    }

    fn under_way(&self) -> usize {
        self.common.under_way()
    }

    fn claim(&self, server: usize, cap: usize) -> bool {
        self.members.get(server).is_some_and(|member| member.claim(cap))
    }

    fn claim_trial(&self, server: usize) -> bool {
        self.members.get(server).is_some_and(|member| member.claim_trial())
    }

    fn room(&self, word: usize) -> u64 {
        self.common.room(word)
    }
}

#[cfg(test)]
mod tests;
