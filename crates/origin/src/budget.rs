//! How many requests may be sent again, so that a dying origin is not finished off by repeats.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How many seconds are looked back.
const WINDOW: u64 = 10;
/// How many repeats a second there may always be: where there are few requests, a share of them is none.
const MINIMUM: u32 = 10;

/// The repeats of an origin, counted and limited.
pub(crate) struct Repeats {
    budget: Budget,
    began: Instant,
    repeated: AtomicU64,
    denied: AtomicU64,
}

impl Repeats {
    /// `share` is that of the requests of the last ten seconds, in percent.
    pub(crate) fn new(share: u8) -> Self {
        Self {
            budget: Budget::new(share),
            began: Instant::now(),
            repeated: AtomicU64::new(0),
            denied: AtomicU64::new(0),
        }
    }

    /// A request came.
    pub(crate) fn request(&self) {
        self.budget.request(self.began.elapsed());
    }

    /// Leave to send again what was sent, where there is some left.
    pub(crate) fn repeat(&self) -> Option<Repeat<'_>> {
        let leave = self.try_repeat();
        if leave.is_none() {
            self.denied.fetch_add(1, Ordering::Relaxed);
        }
        leave
    }

    /// As [`repeat`](Self::repeat), for one that may ask again.
    pub(crate) fn try_repeat(&self) -> Option<Repeat<'_>> {
        let now = self.began.elapsed();
        self.budget.repeat(now).then(|| Repeat { repeats: self, leave: Some(now) })
    }

    /// One of which nothing was sent goes elsewhere.
    pub(crate) fn moved(&self) {
        self.repeated.fetch_add(1, Ordering::Relaxed);
    }

    /// Goes on counting from what was counted before.
    pub(crate) fn adopt(&self, before: &Self) {
        let (repeated, denied) = before.totals();
        self.repeated.store(repeated, Ordering::Relaxed);
        self.denied.store(denied, Ordering::Relaxed);
    }

    /// How many were sent once more, and how many were not although they might have been.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.repeated.load(Ordering::Relaxed), self.denied.load(Ordering::Relaxed))
    }
}

/// Leave to send a request again. It costs of the budget from the beginning, so that several at once never have more than there is; one
/// that is dropped unsent, as there is no place for it or nobody waits for it any more, has cost nothing.
pub(crate) struct Repeat<'a> {
    repeats: &'a Repeats,
    /// When it was given.
    leave: Option<Duration>,
}

impl Repeat<'_> {
    /// It is sent.
    pub(crate) fn sent(mut self) {
        self.leave = None;
        self.repeats.moved();
    }
}

impl Drop for Repeat<'_> {
    fn drop(&mut self) {
        if let Some(leave) = self.leave {
            self.repeats.budget.take_back(leave);
        }
    }
}

/// A share of the requests of the last ten seconds.
///
/// Nothing is locked. Repeats are counted before it is known whether they may be, and taken back where they may not, so that
/// several at once never get more than there is.
struct Budget {
    /// In percent.
    share: u8,
    requests: Seconds,
    repeats: Seconds,
}

impl Budget {
    fn new(share: u8) -> Self {
        Self { share, requests: Seconds::default(), repeats: Seconds::default() }
    }

    /// Counts a request, not one that is sent again. `now` is the time since some beginning.
    fn request(&self, now: Duration) {
        self.requests.add(now.as_secs());
    }

    /// Whether one more request may be sent again now; it counts as sent if it may.
    fn repeat(&self, now: Duration) -> bool {
        let now = now.as_secs();
        if self.repeats.add(now) <= MINIMUM {
            return true;
        }
        let allowed = self.requests.sum(now) * u64::from(self.share) / 100;
        let is_allowed = self.repeats.sum(now) <= allowed;
        if !is_allowed {
            self.repeats.take_back(now);
        }
        is_allowed
    }

    /// One that was allowed at `then` was not sent.
    fn take_back(&self, then: Duration) {
        self.repeats.take_back(then.as_secs());
    }
}

/// Counts of the last seconds, each with the second that it is of in its upper half.
#[derive(Default)]
struct Seconds([AtomicU64; WINDOW as usize]);

/// The second of a count.
fn second_of(count: u64) -> u64 {
    count >> 32
}

/// The count itself.
fn number(count: u64) -> u32 {
    count as u32
}

impl Seconds {
    fn slot(&self, now: u64) -> &AtomicU64 {
        &self.0[(now % WINDOW) as usize]
    }

    /// Counts one, and says how many there were in this second with it.
    fn add(&self, now: u64) -> u32 {
        let slot = self.slot(now);
        let mut seen = slot.load(Ordering::Relaxed);
        while second_of(seen) < now {
            // Of a second that is too long ago: whoever comes first begins anew.
            match slot.compare_exchange_weak(seen, now << 32 | 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return 1,
                Err(changed) => seen = changed,
            }
        }
        number(slot.fetch_add(1, Ordering::Relaxed)).saturating_add(1)
    }

    /// Takes one back that was counted in the second `now`, where that is still counted.
    fn take_back(&self, now: u64) {
        let less = |seen| (second_of(seen) == now && number(seen) > 0).then(|| seen - 1);
        let _ = self.slot(now).fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// How many there were in the last ten seconds, this one included.
    fn sum(&self, now: u64) -> u64 {
        let window = now.saturating_sub(WINDOW - 1)..=now;
        let counts = self.0.iter().map(|slot| slot.load(Ordering::Relaxed));
        counts.filter(|&count| window.contains(&second_of(count))).map(|count| u64::from(number(count))).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// How many of `wanted` repeats at this time are allowed.
    fn allowed(budget: &Budget, now: Duration, wanted: usize) -> usize {
        (0..wanted).filter(|_| budget.repeat(now)).count()
    }

    #[test]
    fn a_share_of_the_last_ten_seconds_and_a_few_a_second() {
        let budget = Budget::new(20);
        assert_eq!(allowed(&budget, at(0), 50), 10, "the few");
        assert_eq!(allowed(&budget, at(999), 50), 0);
        assert_eq!(allowed(&budget, at(1000), 50), 10, "of each second");
        (0..1000).for_each(|_| budget.request(at(2000)));
        assert_eq!(allowed(&budget, at(2000), 500), 180, "a fifth of a thousand, less the twenty before");
        assert_eq!(allowed(&budget, at(9999), 50), 10);
        assert_eq!(
            allowed(&budget, at(10_000), 500),
            10,
            "the first ten are forgotten: as many may be, but no more than the few"
        );
        assert_eq!(allowed(&budget, at(12_000), 50), 10, "the thousand are forgotten");
    }

    #[test]
    fn no_share_is_the_few_and_all_is_all() {
        for (share, wanted) in [(0, 10), (100, 300), (255, 765)] {
            let budget = Budget::new(share);
            (0..300).for_each(|_| budget.request(at(500)));
            assert_eq!(allowed(&budget, at(500), 1000), wanted, "{share} %");
        }
    }

    #[test]
    fn a_long_silence_leaves_nothing_behind() {
        let budget = Budget::new(100);
        (0..500).for_each(|_| budget.request(at(3000)));
        for later in [13_000, 23_000, 3_000 + 1000 * u64::from(u32::MAX >> 1)] {
            assert_eq!(allowed(&budget, at(later), 50), 10);
        }
    }

    #[test]
    fn threads_together_get_no_more_than_there_is() {
        let budget = Budget::new(20);
        (0..5000).for_each(|_| budget.request(at(0)));
        let got: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| allowed(&budget, at(0), 2000))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert!((10..=1000).contains(&got), "{got}");
        assert_eq!(got + allowed(&budget, at(0), 2000), 1000, "what was denied is still there");
    }

    #[test]
    fn what_is_not_sent_is_taken_back() {
        let repeats = Repeats::new(0);
        (0..50).for_each(|_| drop(repeats.repeat().unwrap()));
        let held: Vec<_> = (0..10).map(|_| repeats.repeat().unwrap()).collect();
        assert!(repeats.repeat().is_none());
        held.into_iter().for_each(Repeat::sent);
        assert_eq!((repeats.repeat().is_none(), repeats.totals()), (true, (10, 2)));
    }

    proptest! {
        /// Whatever comes in whatever order: never more than the share of all and the few of each second, and the few always.
        #[test]
        fn never_more_than_the_share_and_the_few(
            share in 0_u8..=100,
            steps in proptest::collection::vec((0_u64..2500, 0_usize..80, 0_usize..80), 1..40),
        ) {
            let budget = Budget::new(share);
            let (mut now, mut requests, mut repeats) = (0, Vec::new(), Vec::new());
            let mut seconds = std::collections::BTreeSet::new();
            for (pause, sent, wanted) in steps {
                now += pause;
                let second = now / 1000;
                seconds.insert(second);
                (0..sent).for_each(|_| budget.request(at(now)));
                requests.extend(std::iter::repeat_n(second, sent));
                let got = allowed(&budget, at(now), wanted);
                repeats.extend(std::iter::repeat_n(second, got));
                let few = MINIMUM as usize * seconds.len();
                prop_assert!(repeats.len() <= requests.len() * usize::from(share) / 100 + few);
                // And nothing is held back that there is.
                let of_late = |times: &[u64]| times.iter().filter(|&&time| time + WINDOW > second).count();
                let this_second = repeats.iter().filter(|&&time| time == second).count();
                let all = of_late(&requests) * usize::from(share) / 100;
                prop_assert!(got == wanted || this_second >= MINIMUM as usize && of_late(&repeats) >= all);
            }
        }
    }
}
