//! A server as one of several: its settings, its counts, and what the last check found.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use tokio::time::Instant;

use super::condition::Event;
use super::lease::Lease;
use super::load::Load;
use super::queue::Queue;
use super::recovery::Recovery;
use super::{Servers, Wants};
use crate::server::Server;
use crate::settings::{Ejection, HealthCheck, OriginSettings, ServerAddress, ServerSettings};
use crate::verdict::Judge;

/// What the members have in common and a lease needs at its end.
pub(super) struct Common {
    check: Option<HealthCheck>,
    pub(super) ejection: Option<Ejection>,
    pub(super) queue: Queue<Wants, Lease>,
    /// Some server has a limit of requests: there can be a queue.
    limited: bool,
    /// A bit for each server, in words of 64: it may have room. Only where there are limits.
    room: Vec<AtomicU64>,
    /// Requests under way at all servers; only counted where it is asked for.
    under_way: Option<UnderWay>,
}

#[derive(Default)]
#[repr(align(128))]
struct UnderWay(AtomicUsize);

impl Common {
    pub(super) fn new(settings: &OriginSettings) -> Self {
        let servers = &settings.servers;
        let limited = servers.iter().any(|server| server.max_connections > 0);
        let words = if limited { servers.len().div_ceil(64) } else { 0 };
        let counted = matches!(settings.balance, crate::Balance::Hash { .. });
        Self {
            check: settings.health.clone(),
            ejection: settings.ejection.clone(),
            queue: Queue::new(settings.queue.size.saturating_mul(servers.len())),
            limited,
            room: (0..words).map(|_| AtomicU64::new(u64::MAX)).collect(),
            under_way: counted.then(UnderWay::default),
        }
    }

    /// Who knows no check yet, where there are checks.
    fn judge(&self) -> Option<Judge> {
        self.check.as_ref().map(|check| Judge::new(check.verdict))
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way.as_ref().map_or(0, |count| count.0.load(Ordering::Relaxed))
    }

    /// Which of 64 servers may have room.
    pub(super) fn room(&self, word: usize) -> u64 {
        self.room.get(word).map_or(u64::MAX, |word| word.load(Ordering::Relaxed))
    }

    /// Counts a request at all servers together.
    pub(super) fn begin(&self) {
        if let Some(count) = &self.under_way {
            count.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The end of [`begin`](Self::begin).
    pub(super) fn end(&self) {
        if let Some(count) = &self.under_way {
            count.0.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Somebody may wait for a place.
    pub(super) fn is_awaited(&self) -> bool {
        self.limited && self.queue.waiting() > 0
    }
}

/// A server among those of an origin.
pub(crate) struct Member {
    pub(super) index: usize,
    pub(super) settings: ServerSettings,
    pub(super) common: Arc<Common>,
    server: Arc<Server>,
    servers: Weak<Servers>,
    load: OnceLock<Arc<Load>>,
    /// A request is its trial.
    trial: AtomicBool,
    /// Good requests, where it fails and is not left out.
    pub(super) recovery: Recovery,
    checks: Mutex<Checks>,
}

/// What the checks of a server found.
struct Checks {
    judge: Option<Judge>,
    last: Option<(bool, String)>,
}

impl Member {
    pub(super) fn new(
        index: usize,
        settings: ServerSettings,
        server: Server,
        common: Arc<Common>,
        servers: Weak<Servers>,
    ) -> Self {
        let checks = Mutex::new(Checks { judge: common.judge(), last: None });
        let (load, trial, recovery) = (OnceLock::new(), AtomicBool::new(false), Recovery::default());
        Self { index, settings, common, server: Arc::new(server), servers, load, trial, recovery, checks }
    }

    /// Where it is, with its kept connections.
    pub(crate) fn server(&self) -> &Arc<Server> {
        &self.server
    }

    pub(super) fn load(&self) -> &Arc<Load> {
        self.load.get_or_init(|| Arc::new(Load::new(Instant::now())))
    }

    /// Goes on with the counts of the same server in other settings; only before the first request.
    pub(super) fn adopt(self: &Arc<Self>, before: &Arc<Self>) {
        let load = before.load();
        if self.load.set(Arc::clone(load)).is_ok() {
            load.share([before, self]);
        }
        if self.is_checked_like(before) {
            let (mut checks, known) = (self.lock_checks(), before.lock_checks());
            checks.last.clone_from(&known.last);
            if let (Some(judge), Some(known)) = (&mut checks.judge, &known.judge) {
                judge.adopt(known);
            }
        }
        self.server().adopt(before.server());
    }

    /// Whether what the checks of the same server in other settings found is what those of this one would have found.
    pub(super) fn is_checked_like(&self, before: &Self) -> bool {
        let (check, known) = (&self.common.check, &before.common.check);
        check.as_ref().zip(known.as_ref()).is_some_and(|(check, known)| check.finds_the_same(known))
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

    /// Takes a place where fewer than `cap` requests are under way, and than there may be.
    pub(super) fn claim(&self, cap: usize) -> bool {
        let limit = self.limit();
        let taken = self.load().claim(limit.min(cap));
        if limit != usize::MAX && taken.map_or(cap >= limit, |taken| taken == limit) {
            self.filled(limit);
        }
        taken.is_some()
    }

    /// Takes a place for a trial, unless one is under way.
    pub(super) fn claim_trial(&self) -> bool {
        // Reading first: while one is under way everybody asks.
        let mine = !self.trial.load(Ordering::Relaxed) && !self.trial.swap(true, Ordering::SeqCst);
        if mine && !self.claim(usize::MAX) {
            self.trial_over();
            return false;
        }
        mine
    }

    pub(super) fn trial_over(&self) {
        self.trial.store(false, Ordering::SeqCst);
    }

    /// A place came free that was not handed on.
    pub(super) fn freed(&self) {
        if !self.common.limited {
            return;
        }
        self.emptied();
        if self.common.queue.waiting() > 0
            && let Some(servers) = self.servers()
        {
            servers.serve(self.index, false);
        }
    }

    /// There is room, for all that is known.
    pub(super) fn emptied(&self) {
        if let Some(word) = self.common.room.get(self.index / 64) {
            word.fetch_or(1 << (self.index % 64), Ordering::SeqCst);
        }
    }

    /// The last place was taken. It may have been given back meanwhile, and whoever did that said so before: so look again.
    fn filled(&self, limit: usize) {
        if let Some(word) = self.common.room.get(self.index / 64) {
            word.fetch_and(!(1 << (self.index % 64)), Ordering::SeqCst);
            if self.load().active() < limit {
                word.fetch_or(1 << (self.index % 64), Ordering::SeqCst);
            }
        }
    }

    /// Whether that is its name, `host[:port]` or `unix:/path`, or its URL.
    pub(super) fn is_called(&self, name: &str) -> bool {
        let address = &self.settings.address;
        address.name() == name || name.parse::<ServerAddress>().is_ok_and(|named| named == *address)
    }

    /// A check was made: whether it was good, and what it found.
    pub(crate) fn checked(&self, good: bool, found: &str) {
        let well = {
            let mut checks = self.lock_checks();
            checks.last = Some((good, found.to_owned()));
            checks.judge.as_mut().is_none_or(|judge| judge.hear(good))
        };
        if let Some(servers) = self.servers() {
            servers.change(self.index, Event::Checked { well }, || format!("check: {found}"));
        }
    }

    /// What the last check found.
    pub(super) fn last_check(&self) -> Option<(bool, String)> {
        self.lock_checks().last.clone()
    }

    fn lock_checks(&self) -> std::sync::MutexGuard<'_, Checks> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").field("index", &self.index).field("settings", &self.settings).finish()
    }
}
