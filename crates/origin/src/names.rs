//! The addresses of one name as they change. The first connection waits for them; from then on they are used as they stand, while a
//! task asks again when their lifetime is over. What was once known is kept until something else is.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use crate::error::{Kind, OriginError};
use crate::resolve::{Answer, Ask, Family, Unresolved};
use crate::settings::NameSettings;

/// The shortest time between two lookups of a name, whoever wants them.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest that a lookup may take. Resolvers give up by themselves; this is for one that does not.
const LONGEST: Duration = Duration::from_secs(60);
/// A longer lifetime is cut to this: clocks cannot count on for ever.
const FAR: Duration = Duration::from_secs(24 * 60 * 60);
/// The most addresses that are used of one name.
pub(crate) const MAX_ADDRESSES: usize = 256;

/// A name with its current addresses.
pub(crate) struct Name {
    shared: Arc<Shared>,
    refreshing: Mutex<Option<JoinHandle<()>>>,
}

/// Hears the addresses of a name each time that they are others, before anybody gets them.
pub(crate) type OnChange = Box<dyn Fn(&[SocketAddr]) + Send + Sync>;

struct Shared {
    host: String,
    port: u16,
    min_ttl: Duration,
    max_ttl: Duration,
    asked: Arc<dyn Ask>,
    state: watch::Sender<State>,
    /// Somebody needs a lookup before its time.
    wanted: Notify,
    on_change: OnChange,
}

/// What is known of a name.
#[derive(Clone)]
struct State {
    /// Sorted; empty = it never resolved.
    addresses: Arc<[SocketAddr]>,
    /// Why the last lookup failed, if it did, and when.
    failure: Option<(Unresolved, Instant)>,
    /// Lookups so far.
    lookups: u64,
}

impl Name {
    /// A name that is not asked for yet.
    pub(crate) fn new(
        host: &str,
        port: u16,
        settings: &NameSettings,
        asked: Arc<dyn Ask>,
        on_change: OnChange,
    ) -> Self {
        let shared = Shared {
            host: host.to_owned(),
            port,
            min_ttl: settings.min_ttl,
            max_ttl: settings.max_ttl,
            asked,
            state: watch::Sender::new(State { addresses: Arc::default(), failure: None, lookups: 0 }),
            wanted: Notify::new(),
            on_change,
        };
        Self { shared: Arc::new(shared), refreshing: Mutex::default() }
    }

    /// Its addresses: those known, else those of a lookup, which all who wait share.
    ///
    /// # Errors
    /// `Dns` where it never resolved: a lookup failed within the last second, fails now, or takes longer than `limit`.
    pub(crate) async fn addresses(&self, limit: Duration) -> Result<Arc<[SocketAddr]>, OriginError> {
        self.keep_fresh();
        let mut states = self.shared.state.subscribe();
        let state = states.borrow_and_update().clone();
        if !state.addresses.is_empty() {
            return Ok(state.addresses);
        }
        if let Some((failure, at)) = state.failure {
            if at.elapsed() < PAUSE {
                return Err(failure.into());
            }
            self.shared.wanted.notify_one();
        }
        let state = match timeout(limit, states.wait_for(|now| now.lookups > state.lookups)).await {
            Ok(Ok(state)) => state.clone(),
            // The sender lives as long as `self`.
            Ok(Err(_)) | Err(_) => return Err(Unresolved { what: "no answer in time".into(), timed_out: true }.into()),
        };
        match (state.addresses.is_empty(), state.failure) {
            (true, Some((failure, _))) => Err(failure.into()),
            _ => Ok(state.addresses),
        }
    }

    /// Its addresses as last resolved, none before.
    pub(crate) fn known(&self) -> Arc<[SocketAddr]> {
        self.shared.state.borrow().addresses.clone()
    }

    /// Begins with the addresses of the same name in other settings, as if they had been asked for here: a reload while DNS is
    /// down loses nothing. They are asked for all the same when the first of them is used.
    pub(crate) fn adopt(&self, before: &Self) {
        let (known, old) = (before.known(), self.shared.state.borrow().clone());
        if old.addresses.is_empty() && !known.is_empty() {
            (self.shared.on_change)(&known);
            self.shared.state.send_replace(State { addresses: known, ..old });
        }
    }

    /// None of the addresses can be connected to: they are asked for before their time, as a server that moved has others.
    pub(crate) fn doubt(&self) {
        self.shared.wanted.notify_one();
    }

    /// Sees to it that somebody asks. From here: only a request surely has a runtime, and not always the same one.
    fn keep_fresh(&self) {
        let mut refreshing = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        if refreshing.as_ref().is_none_or(JoinHandle::is_finished) {
            *refreshing = Some(tokio::spawn(refresh(self.shared.clone())));
        }
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        if let Some(refreshing) = self.refreshing.get_mut().unwrap_or_else(PoisonError::into_inner) {
            refreshing.abort();
        }
    }
}

impl From<Unresolved> for OriginError {
    fn from(unresolved: Unresolved) -> Self {
        let kind = match unresolved.timed_out {
            true => std::io::ErrorKind::TimedOut,
            false => std::io::ErrorKind::Other,
        };
        OriginError::because(Kind::Dns, std::io::Error::new(kind, &*unresolved.what))
    }
}

/// Asks, and again when it is time, for as long as the name is there.
async fn refresh(shared: Arc<Shared>) {
    let mut in_vain = 0;
    loop {
        let late = || Err(Unresolved { what: "no answer".into(), timed_out: true });
        let asked = timeout(LONGEST, shared.asked.ask(&shared.host)).await.unwrap_or_else(|_| late());
        let again = shared.learn(asked, &mut in_vain);
        let now = Instant::now();
        sleep_until(now + PAUSE).await;
        tokio::select! {
            () = sleep_until(now + jittered(again)) => {}
            () = shared.wanted.notified() => {}
        }
    }
}

impl Shared {
    /// Takes the result of a lookup and says when to ask again. `in_vain`: the lookups that failed in a row.
    fn learn(&self, asked: Result<Answer, Unresolved>, in_vain: &mut u32) -> Duration {
        // Whoever wanted a lookup until now gets this one.
        pin!(self.wanted.notified()).enable();
        let old = self.state.borrow().clone();
        let found = asked.map(|answer| {
            let addresses = self.merged(&answer, &old.addresses);
            (addresses, answer)
        });
        match found {
            Ok((addresses, answer)) if !addresses.is_empty() => {
                if old.failure.is_some() {
                    tracing::info!(name = self.host, addresses = ?addresses, "the name resolves again");
                }
                self.publish(addresses, &old);
                let ttl = answer.ttl.max(self.min_ttl).min(self.max_ttl);
                *in_vain = if answer.unknown.is_some() { in_vain.saturating_add(1) } else { 0 };
                if *in_vain == 0 { ttl } else { ttl.min(self.back_off(*in_vain)) }
            }
            Ok(_) => self.failed(Unresolved::new("no address"), &old, in_vain),
            Err(why) => self.failed(why, &old, in_vain),
        }
    }

    /// The addresses of an answer; a family of which it knows nothing stays as it was.
    fn merged(&self, answer: &Answer, old: &[SocketAddr]) -> Arc<[SocketAddr]> {
        let kept = old.iter().map(SocketAddr::ip).filter(|ip| answer.unknown == Some(Family::of(*ip)));
        let mut addresses: Vec<SocketAddr> =
            answer.addresses.iter().copied().chain(kept).map(|ip: IpAddr| SocketAddr::new(ip, self.port)).collect();
        // Name servers turn their answers round: in order they can be compared, and the turns are taken when connecting.
        addresses.sort_unstable();
        addresses.dedup();
        if addresses.len() > MAX_ADDRESSES {
            tracing::debug!(name = self.host, count = addresses.len(), "more addresses than are used");
            addresses.truncate(MAX_ADDRESSES);
        }
        addresses.into()
    }

    fn publish(&self, addresses: Arc<[SocketAddr]>, old: &State) {
        let changed = addresses != old.addresses;
        if changed && old.addresses.is_empty() {
            tracing::debug!(name = self.host, ?addresses, "the name resolves");
        } else if changed {
            tracing::info!(name = self.host, old = ?old.addresses, new = ?addresses, "the name has other addresses");
        }
        if changed {
            (self.on_change)(&addresses);
        }
        self.state.send_replace(State { addresses, failure: None, lookups: old.lookups + 1 });
    }

    fn failed(&self, why: Unresolved, old: &State, in_vain: &mut u32) -> Duration {
        // Once a trouble, not once a lookup.
        match (old.failure.is_some(), old.addresses.is_empty()) {
            (true, _) => tracing::debug!(name = self.host, error = &*why.what, "the name still does not resolve"),
            (false, true) => tracing::warn!(name = self.host, error = &*why.what, "the name does not resolve"),
            (false, false) => {
                let kept = &old.addresses;
                tracing::warn!(
                    name = self.host,
                    error = &*why.what,
                    ?kept,
                    "the name does not resolve any more; its last addresses are kept"
                );
            }
        }
        let failure = Some((why, Instant::now()));
        self.state.send_replace(State { addresses: old.addresses.clone(), failure, lookups: old.lookups + 1 });
        *in_vain = in_vain.saturating_add(1);
        self.back_off(*in_vain)
    }

    /// One second, doubled with each lookup in vain, up to the longest lifetime.
    fn back_off(&self, in_vain: u32) -> Duration {
        let doubled = PAUSE.saturating_mul(1 << in_vain.saturating_sub(1).min(16));
        doubled.min(self.max_ttl.max(PAUSE))
    }
}

/// Up to a tenth longer: names that were asked for together do not stay together.
fn jittered(time: Duration) -> Duration {
    // A thousandth of a part is fine enough; the standard library has no other source of chance.
    let share = RandomState::new().hash_one(()) % 1000;
    let time = time.min(FAR);
    time + (time / 10_000) * u32::try_from(share).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::Asking;
    use std::future::pending;

    /// Answers what it is told to and notes when it was asked.
    #[derive(Default)]
    struct Script {
        answer: Mutex<Option<Result<Answer, Unresolved>>>,
        asked: Mutex<Vec<Instant>>,
        told: Notify,
    }

    impl Script {
        fn says(&self, addresses: &[&str], ttl: u64) {
            self.tell(Ok(answer(addresses, ttl, None)));
        }

        fn fails(&self) {
            self.tell(Err(Unresolved::new("no such name")));
        }

        fn tell(&self, answer: Result<Answer, Unresolved>) {
            *self.answer.lock().unwrap() = Some(answer);
            self.told.notify_waiters();
        }

        /// The times between one lookup and the next so far, in whole seconds.
        fn gaps(&self) -> Vec<u64> {
            self.asked.lock().unwrap().windows(2).map(|two| (two[1] - two[0]).as_secs()).collect()
        }

        fn count(&self) -> usize {
            self.asked.lock().unwrap().len()
        }
    }

    impl Ask for Script {
        fn ask<'a>(&'a self, _: &'a str) -> Asking<'a> {
            self.asked.lock().unwrap().push(Instant::now());
            Box::pin(async move {
                loop {
                    let told = self.told.notified();
                    let answer = self.answer.lock().unwrap().clone();
                    match answer {
                        Some(answer) => return answer,
                        None => told.await,
                    }
                }
            })
        }
    }

    fn answer(addresses: &[&str], ttl: u64, unknown: Option<Family>) -> Answer {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        Answer { addresses, ttl: Duration::from_secs(ttl), unknown }
    }

    type Heard = Arc<Mutex<Vec<usize>>>;

    fn name(script: &Arc<Script>) -> (Name, Heard) {
        let heard = Heard::default();
        let hears = heard.clone();
        let on_change = Box::new(move |addresses: &[SocketAddr]| hears.lock().unwrap().push(addresses.len()));
        (Name::new("cms.test", 80, &NameSettings::default(), script.clone(), on_change), heard)
    }

    async fn pass(seconds: u64) {
        timeout(Duration::from_secs(seconds), pending::<()>()).await.unwrap_err();
    }

    async fn of(name: &Name) -> Result<Vec<String>, String> {
        match name.addresses(Duration::from_secs(5)).await {
            Ok(addresses) => Ok(addresses.iter().map(|address| address.ip().to_string()).collect()),
            Err(error) => Err(format!("{} {}", error.proxy_status(), std::error::Error::source(&error).unwrap())),
        }
    }

    fn ok(addresses: &[&str]) -> Result<Vec<String>, String> {
        Ok(addresses.iter().map(|&text| text.to_owned()).collect())
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_are_used_as_they_stand_while_others_are_asked_for() {
        let script = Arc::<Script>::default();
        let (name, heard) = name(&script);
        assert_eq!((script.count(), name.known().len()), (0, 0));
        script.says(&["192.0.2.2", "192.0.2.1", "192.0.2.2"], 30);
        assert_eq!(of(&name).await, ok(&["192.0.2.1", "192.0.2.2"]));
        assert_eq!(of(&name).await, ok(&["192.0.2.1", "192.0.2.2"]));
        assert_eq!(script.count(), 1);
        // The next answer does not come: nobody waits for it.
        *script.answer.lock().unwrap() = None;
        pass(34).await;
        assert_eq!(script.count(), 2);
        assert_eq!(of(&name).await, ok(&["192.0.2.1", "192.0.2.2"]));
        script.says(&["192.0.2.3"], 30);
        pass(1).await;
        assert_eq!(of(&name).await, ok(&["192.0.2.3"]));
        // Another order is no change.
        assert_eq!(*heard.lock().unwrap(), [2, 1]);
        assert_eq!(name.known().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn lifetimes_are_kept_between_the_limits() {
        for (ttl, gap) in [(0, 1), (1, 1), (20, 20), (60, 60), (86_400, 60)] {
            let script = Arc::<Script>::default();
            let (name, _) = name(&script);
            script.says(&["192.0.2.1"], ttl);
            of(&name).await.unwrap();
            pass(600).await;
            let gaps = script.gaps();
            assert!(gaps.len() >= 5, "{ttl}: {gaps:?}");
            // A tenth more at most.
            assert!(gaps.iter().all(|it| (gap..=gap + gap / 10).contains(it)), "{ttl}: {gaps:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn limits_that_cross_and_limits_beyond_counting_are_no_trouble() {
        let (zero, second, max) = (Duration::ZERO, Duration::from_secs(1), Duration::MAX);
        for (min_ttl, max_ttl, lookups) in [(second * 60, second, 5..=10), (max, max, 1..=1), (zero, zero, 5..=10)] {
            let script = Arc::<Script>::default();
            script.says(&["192.0.2.1"], 30);
            let settings = NameSettings { servers: Vec::new(), min_ttl, max_ttl };
            let name = Name::new("cms.test", 80, &settings, script.clone(), Box::new(|_| {}));
            of(&name).await.unwrap();
            pass(10).await;
            assert!(lookups.contains(&script.count()), "{min_ttl:?} {max_ttl:?}: {}", script.count());
            assert!(!name.refreshing.lock().unwrap().as_ref().unwrap().is_finished());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_known_is_kept_while_lookups_fail_less_and_less_often() {
        let script = Arc::<Script>::default();
        let (name, heard) = name(&script);
        script.says(&["192.0.2.1"], 5);
        of(&name).await.unwrap();
        for failure in [
            Err(Unresolved::new("no such name")),
            Err(Unresolved { what: "silence".into(), timed_out: true }),
            Ok(answer(&[], 5, None)),
        ] {
            script.tell(failure);
            pass(100).await;
            assert_eq!(of(&name).await, ok(&["192.0.2.1"]));
        }
        let gaps = script.gaps();
        for (gap, wanted) in gaps.iter().zip([5, 1, 2, 4, 8, 16, 32, 60, 60]) {
            assert!((wanted..=wanted + wanted / 10).contains(gap), "{gaps:?}");
        }
        script.says(&["192.0.2.1"], 5);
        pass(70).await;
        // Back to its pace, and nobody was disturbed.
        assert!(matches!(script.gaps().last(), Some(5)), "{:?}", script.gaps());
        assert_eq!(*heard.lock().unwrap(), [1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_family_of_which_nothing_is_known_stays_as_it_was_and_is_asked_for_soon() {
        let script = Arc::<Script>::default();
        let (name, _) = name(&script);
        script.says(&["192.0.2.1", "2001:db8::1"], 60);
        of(&name).await.unwrap();
        script.tell(Ok(answer(&["192.0.2.2"], 60, Some(Family::V6))));
        pass(70).await;
        assert_eq!(of(&name).await, ok(&["192.0.2.2", "2001:db8::1"]));
        assert!(script.gaps().len() >= 3, "{:?}", script.gaps());
        script.says(&["192.0.2.2"], 60);
        pass(70).await;
        assert_eq!(of(&name).await, ok(&["192.0.2.2"]));
    }

    #[tokio::test(start_paused = true)]
    async fn many_who_wait_share_one_lookup() {
        let script = Arc::<Script>::default();
        let (name, _) = name(&script);
        let waiting = async { tokio::join!(of(&name), of(&name), of(&name)) };
        let answering = async {
            pass(3).await;
            script.says(&["192.0.2.1"], 60);
        };
        let ((one, two, three), ()) = tokio::join!(waiting, answering);
        assert_eq!([one, two, three], [ok(&["192.0.2.1"]), ok(&["192.0.2.1"]), ok(&["192.0.2.1"])]);
        assert_eq!(script.count(), 1);
        pass(3).await;
        assert_eq!(script.count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_limited_and_the_lookup_goes_on_without_it() {
        let script = Arc::<Script>::default();
        let (name, _) = name(&script);
        assert_eq!(of(&name).await, Err("dns_timeout no answer in time".to_owned()));
        script.says(&["192.0.2.1"], 60);
        assert_eq!(of(&name).await, ok(&["192.0.2.1"]));
        assert_eq!(script.count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_never_resolved_is_asked_for_by_requests_once_a_second() {
        let script = Arc::<Script>::default();
        let (name, _) = name(&script);
        script.fails();
        let failure = Err("dns_error no such name".to_owned());
        for lookups in 1..=20 {
            // The first of them asks, the others are told what it heard.
            for _ in 0..10 {
                assert_eq!(of(&name).await, failure);
            }
            assert_eq!(script.count(), lookups);
            pass(1).await;
        }
        script.says(&["192.0.2.1"], 60);
        assert_eq!(of(&name).await, ok(&["192.0.2.1"]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_nobody_can_connect_to_is_asked_for_at_once_but_no_more_than_once_a_second() {
        let script = Arc::<Script>::default();
        let (name, _) = name(&script);
        script.says(&["192.0.2.1"], 60);
        of(&name).await.unwrap();
        pass(10).await;
        script.says(&["192.0.2.2"], 60);
        for _ in 0..10 {
            name.doubt();
        }
        pass(1).await;
        assert_eq!((of(&name).await, script.count()), (ok(&["192.0.2.2"]), 2));
        for _ in 0..40 {
            name.doubt();
            timeout(Duration::from_millis(100), pending::<()>()).await.unwrap_err();
        }
        assert!((5..=7).contains(&script.count()), "{}", script.count());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_known_before_a_reload_is_kept_too() {
        let script = Arc::<Script>::default();
        let (before, _) = name(&script);
        script.says(&["192.0.2.1"], 60);
        of(&before).await.unwrap();
        let (after, heard) = name(&script);
        script.fails();
        after.adopt(&before);
        drop(before);
        assert_eq!((of(&after).await, heard.lock().unwrap().clone()), (ok(&["192.0.2.1"]), vec![1]));
        pass(1).await;
        assert_eq!((of(&after).await, script.count()), (ok(&["192.0.2.1"]), 2));
        script.says(&["192.0.2.2"], 60);
        pass(2).await;
        assert_eq!(of(&after).await, ok(&["192.0.2.2"]));
        // What is known already is not put back.
        let (late, _) = name(&script);
        late.adopt(&name(&script).0);
        of(&late).await.unwrap();
        late.adopt(&after);
        assert_eq!(late.known(), after.known());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_asks_for_a_name_that_is_gone() {
        let script = Arc::<Script>::default();
        let (name, _) = name(&script);
        script.says(&["192.0.2.1"], 1);
        of(&name).await.unwrap();
        drop(name);
        pass(60).await;
        assert_eq!((script.count(), Arc::strong_count(&script)), (1, 1));
    }

    #[test]
    fn a_name_outlives_the_runtime_in_which_it_was_first_used() {
        let script = Arc::<Script>::default();
        let (name, _) = name(&script);
        for count in 1..=2 {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(async {
                script.says(&["192.0.2.1"], 60);
                of(&name).await.unwrap();
                pass(1).await;
                assert_eq!(script.count(), count);
            });
        }
    }

    #[tokio::test(start_paused = true)]
    async fn more_addresses_than_can_be_used_are_cut_the_same_way_each_time() {
        let script = Arc::<Script>::default();
        let (name, heard) = name(&script);
        let mut many: Vec<String> = (0..1000).map(|n| format!("10.0.{}.{}", n / 256, n % 256)).collect();
        for _ in 0..3 {
            many.rotate_left(300);
            script.says(&many.iter().map(String::as_str).collect::<Vec<_>>(), 1);
            assert_eq!(of(&name).await.unwrap().len(), MAX_ADDRESSES);
            pass(3).await;
        }
        assert_eq!(*heard.lock().unwrap(), [MAX_ADDRESSES]);
    }
}
