//! What is counted of one server, by every thread that has to do with it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::member::Member;
use super::window::Window;
use crate::settings::Ejection;

/// Fewer requests than this in a window have no share of failures.
const FEW: u64 = 10;
/// So many failures in a row are told of where servers are not left out.
const MANY: u32 = 5;

/// Counts of one server. On cache lines of their own: each request writes them. New settings go on with those of the old.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Load {
    /// Requests under way, bodies and upgraded connections included.
    active: AtomicUsize,
    /// Requests that it was sent.
    requests: AtomicU64,
    /// Failed ones since the last good one.
    in_a_row: AtomicU32,
    shared: AtomicBool,
    failures: AtomicU64,
    window: Window,
    born: Instant,
    /// The server in each of the settings that it is part of, where those are several.
    members: Mutex<Vec<Weak<Member>>>,
}

/// Why there were too many failures.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TooMany {
    /// So many in a row.
    InARow(u32),
    /// So many of so many.
    Share(u64, u64),
}

impl Load {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            active: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            in_a_row: AtomicU32::new(0),
            shared: AtomicBool::new(false),
            failures: AtomicU64::new(0),
            window: Window::default(),
            born: now,
            members: Mutex::default(),
        }
    }

    /// Requests under way.
    pub(super) fn active(&self) -> usize {
        self.active.load(Ordering::SeqCst)
    }

    /// Takes a place where fewer than `limit` are taken; says how many are taken then.
    pub(super) fn claim(&self, limit: usize) -> Option<usize> {
        let taken = match limit {
            usize::MAX => self.active.fetch_add(1, Ordering::SeqCst),
            _ => {
                let one_more = |active| (active < limit).then_some(active + 1);
                self.active.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).ok()?
            }
        };
        Some(taken + 1)
    }

    /// Gives a place back.
    pub(super) fn release(&self) {
        self.active.fetch_sub(1, Ordering::SeqCst);
    }

    /// A request is sent.
    pub(super) fn sent(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// A request was good.
    pub(super) fn good(&self, ejection: Option<&Ejection>) {
        // Reading is cheaper than writing, and there is mostly nothing to forget.
        if self.in_a_row.load(Ordering::Relaxed) != 0 {
            self.in_a_row.store(0, Ordering::Relaxed);
        }
        if let Some(ejection) = ejection.filter(|ejection| ejection.rate > 0) {
            self.window.count(self.age(), ejection.window, false);
        }
    }

    /// A request failed; says whether too many did.
    pub(super) fn bad(&self, ejection: Option<&Ejection>) -> Option<TooMany> {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let in_a_row = self.in_a_row.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let Some(ejection) = ejection else { return (in_a_row >= MANY).then_some(TooMany::InARow(in_a_row)) };
        if ejection.failures > 0 && in_a_row >= ejection.failures {
            return Some(TooMany::InARow(in_a_row));
        }
        if ejection.rate == 0 {
            return None;
        }
        let now = self.age();
        self.window.count(now, ejection.window, true);
        let (all, failed) = self.window.sums(now, ejection.window);
        let too_many = all >= FEW && failed * 100 >= u64::from(ejection.rate) * all;
        too_many.then_some(TooMany::Share(failed, all))
    }

    /// What failed so far does not count any more.
    pub(super) fn forgive(&self) {
        self.in_a_row.store(0, Ordering::Relaxed);
        self.window.clear();
    }

    /// Requests since the start, and failed ones.
    pub(super) fn totals(&self) -> (u64, u64) {
        (self.requests.load(Ordering::Relaxed), self.failures.load(Ordering::Relaxed))
    }

    /// These settings have the server too: they hear of places that come free.
    pub(super) fn share(&self, members: [&Arc<Member>; 2]) {
        let mut all = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|member| member.strong_count() > 0);
        for member in members {
            if !all.iter().any(|known| known.as_ptr() == Arc::as_ptr(member)) {
                all.push(Arc::downgrade(member));
            }
        }
        self.shared.store(true, Ordering::SeqCst);
    }

    /// The server in all settings that it is part of but `member`'s.
    pub(super) fn others(&self, member: &Arc<Member>) -> Vec<Arc<Member>> {
        if !self.shared.load(Ordering::SeqCst) {
            return Vec::new();
        }
        let all = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter_map(Weak::upgrade).filter(|other| !Arc::ptr_eq(other, member)).collect()
    }

    fn age(&self) -> Duration {
        self.born.elapsed()
    }
}
