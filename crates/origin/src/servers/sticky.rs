//! Sessions that live on one server: which request belongs to one, and where it lives.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderMap;
use http::header::{COOKIE, SET_COOKIE};

/// Places for sessions, in buckets: one cache line each.
const BUCKETS: usize = 8_192;
const WAYS: usize = 8;
/// After this many new sessions those that were not asked for since are a generation older.
const GENERATION: u64 = 8_192;
/// A place is one word: 44 bits of the session, 4 of its generation, 16 of its server plus one.
const SERVER: u64 = 0xffff;
const AGE: u64 = 0xf;
const TAG_SHIFT: u32 = 20;

/// A session: never its value, only hashes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    /// By a key of this process: what it is known by.
    id: u64,
    /// The same in every process: what its server is picked by where it is not known.
    pub(super) hash: u64,
}

/// The cookies of sessions, and where those of late live.
#[derive(Debug, Default)]
pub(super) struct Sticky {
    names: Vec<String>,
    keyed: OnceLock<RandomState>,
    homes: Homes,
}

impl Sticky {
    /// Sessions of the cookies with these names; a `*` at the end stands for any rest.
    pub(super) fn new(names: &[String]) -> Self {
        let homes = if names.is_empty() { Homes::default() } else { Homes::new() };
        Self { names: names.to_vec(), keyed: OnceLock::new(), homes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The session of a request; of several the one whose cookie is named first in the settings.
    pub(super) fn of(&self, headers: &HeaderMap) -> Option<Session> {
        let find = |wanted: &String| {
            let pairs = headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
            pairs.filter_map(pair).find(|(name, value)| is_named(wanted, name) && !value.is_empty())
        };
        self.names.iter().find_map(find).map(|(name, value)| self.session(name, value))
    }

    /// Learns that what a response sets lives on the server that sent it; but `lent`, which lives where it did.
    pub(super) fn learn(&self, headers: &HeaderMap, server: usize, lent: Option<Session>) {
        if self.names.is_empty() {
            return;
        }
        for line in headers.get_all(SET_COOKIE) {
            let set = line.as_bytes().split(|byte| *byte == b';').next().and_then(pair);
            if let Some((name, value)) = set
                && !value.is_empty()
                && self.names.iter().any(|wanted| is_named(wanted, name))
            {
                let session = self.session(name, value);
                if lent != Some(session) {
                    self.homes.put(session.id, server);
                }
            }
        }
    }

    /// Where a session lives.
    pub(super) fn home(&self, session: Session) -> Option<usize> {
        self.homes.get(session.id)
    }

    /// A session lives there from now on. `natural` is where it would live by its hash; that needs no remembering, unless it
    /// is remembered elsewhere. `true` when it lived somewhere else before.
    pub(super) fn settle(&self, session: Session, server: usize, natural: Option<usize>) -> bool {
        match self.homes.get(session.id) {
            Some(home) if home == server => false,
            None if natural == Some(server) => false,
            _ => {
                self.homes.put(session.id, server);
                true
            }
        }
    }

    /// Takes over what `before` knows; `new` tells a server's index here. Only before the first session is asked for.
    pub(super) fn adopt(&self, before: &Self, new: impl Fn(usize) -> Option<usize>) {
        if before.keyed.get().is_some_and(|keyed| self.keyed.set(keyed.clone()).is_ok()) {
            self.homes.adopt(&before.homes, new);
        }
    }

    fn session(&self, name: &[u8], value: &[u8]) -> Session {
        let id = self.keyed.get_or_init(RandomState::new).hash_one((name, value));
        let bytes = name.iter().chain(b"=").chain(value);
        Session { id, hash: bytes.fold(0, |hash, byte| super::ring::mix(hash ^ u64::from(*byte))) }
    }
}

fn pair(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = text.iter().position(|byte| *byte == b'=')?;
    let (name, value) = text.split_at(equals);
    Some((name.trim_ascii(), value.get(1..)?.trim_ascii()))
}

fn is_named(wanted: &str, name: &[u8]) -> bool {
    match wanted.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix.as_bytes()),
        None => name == wanted.as_bytes(),
    }
}

/// Which session lives where. Bounded: in a full bucket the one that was asked for the longest time ago gives way. A race loses
/// at most a session's home, and it is then served by its hash.
#[derive(Debug, Default)]
struct Homes {
    places: Box<[AtomicU64]>,
    put: AtomicU64,
}

impl Homes {
    fn new() -> Self {
        Self { places: (0..BUCKETS * WAYS).map(|_| AtomicU64::new(0)).collect(), put: AtomicU64::new(0) }
    }

    fn get(&self, id: u64) -> Option<usize> {
        let place = self.bucket(id).iter().find(|place| is_of(place.load(Ordering::Relaxed), id))?;
        let word = place.load(Ordering::Relaxed);
        if !is_of(word, id) {
            return None;
        }
        let fresh = word & !(AGE << 16) | self.age() << 16;
        if fresh != word {
            _ = place.compare_exchange(word, fresh, Ordering::Relaxed, Ordering::Relaxed);
        }
        usize::try_from(word & SERVER).ok()?.checked_sub(1)
    }

    fn put(&self, id: u64, server: usize) {
        let Some(server) = u16::try_from(server).ok().and_then(|server| server.checked_add(1)) else { return };
        let age = self.age();
        let word = id >> TAG_SHIFT << TAG_SHIFT | age << 16 | u64::from(server);
        let bucket = self.bucket(id);
        let known = bucket.iter().find(|place| is_of(place.load(Ordering::Relaxed), id));
        if known.is_none() {
            self.put.fetch_add(1, Ordering::Relaxed);
        }
        let idle = |place: &&AtomicU64| match place.load(Ordering::Relaxed) {
            0 => u64::MAX,
            word => age.wrapping_sub(word >> 16 & AGE) & AGE,
        };
        if let Some(place) = known.or_else(|| bucket.iter().max_by_key(idle)) {
            place.store(word, Ordering::Relaxed);
        }
    }

    fn adopt(&self, before: &Self, new: impl Fn(usize) -> Option<usize>) {
        for (place, old) in self.places.iter().zip(&before.places) {
            let word = old.load(Ordering::Relaxed);
            let server = usize::try_from(word & SERVER).ok().and_then(|server| new(server.checked_sub(1)?));
            if let Some(server) = server.and_then(|server| u64::try_from(server + 1).ok()).filter(|it| *it <= SERVER) {
                place.store(word & !SERVER | server, Ordering::Relaxed);
            }
        }
        self.put.store(before.put.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    fn age(&self) -> u64 {
        (self.put.load(Ordering::Relaxed) / GENERATION) & AGE
    }

    fn bucket(&self, id: u64) -> &[AtomicU64] {
        let first = id as usize % BUCKETS * WAYS;
        self.places.get(first..first + WAYS).unwrap_or_default()
    }
}

fn is_of(word: u64, id: u64) -> bool {
    word != 0 && word >> TAG_SHIFT == id >> TAG_SHIFT
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(name: http::HeaderName, lines: &[&'static str]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), HeaderValue::from_static(line))).collect()
    }

    fn cookie(line: &'static str) -> HeaderMap {
        headers(COOKIE, &[line])
    }

    fn sticky(names: &[&str]) -> Sticky {
        Sticky::new(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_session_is_its_cookies_name_and_value() {
        let sticky = sticky(&["JSESSIONID", "SESS*"]);
        let one = sticky.of(&cookie("a=b; JSESSIONID=1")).unwrap();
        assert_eq!(sticky.of(&headers(COOKIE, &["x=y", "JSESSIONID=1;z=1"])), Some(one));
        assert_eq!(sticky.of(&cookie("SESSabc=2; JSESSIONID=1")), Some(one), "the first name goes first");
        assert_ne!(sticky.of(&cookie("JSESSIONID=2")), Some(one));
        assert_ne!(sticky.of(&cookie("SESSabc=1")), sticky.of(&cookie("SESSdef=1")));
        for none in ["", "a=b", "JSESSIONID", "JSESSIONID=", "jsessionid=1", "XJSESSIONID=1", "MYSESS=1"] {
            assert_eq!(sticky.of(&cookie(none)), None, "{none}");
        }
        assert_eq!(Sticky::new(&[]).of(&cookie("a=b")), None);
    }

    #[test]
    fn where_a_session_lives_is_learned_from_who_sets_it() {
        let sticky = sticky(&["sid"]);
        let set = ["other=x; Path=/", "sid=abc; Path=/; HttpOnly", "sid=; Max-Age=0"];
        sticky.learn(&headers(SET_COOKIE, &set), 3, None);
        let session = |line| sticky.of(&cookie(line)).unwrap();
        assert_eq!(sticky.home(session("sid=abc")), Some(3));
        assert_eq!(sticky.home(session("sid=abd")), None);
        sticky.settle(session("sid=abc"), 4, Some(4));
        assert_eq!(sticky.home(session("sid=abc")), Some(4), "it moved, and stays although it is its natural home");
        sticky.settle(session("sid=new"), 1, Some(1));
        assert_eq!(sticky.home(session("sid=new")), None, "nothing to remember");
        sticky.settle(session("sid=new"), 2, Some(1));
        assert_eq!(sticky.home(session("sid=new")), Some(2));
    }

    #[test]
    fn new_settings_take_sessions_over_to_the_servers_that_are_still_there() {
        let before = sticky(&["sid"]);
        before.learn(&headers(SET_COOKIE, &["sid=a"]), 0, None);
        before.learn(&headers(SET_COOKIE, &["sid=b"]), 1, None);
        let after = sticky(&["sid"]);
        after.adopt(&before, |server| (server == 1).then_some(7));
        assert_eq!(after.of(&cookie("sid=a")), before.of(&cookie("sid=a")));
        assert_eq!(after.home(after.of(&cookie("sid=a")).unwrap()), None);
        assert_eq!(after.home(after.of(&cookie("sid=b")).unwrap()), Some(7));
        // Not after the first was asked for: its hashes are others.
        let late = sticky(&["sid"]);
        late.of(&cookie("sid=a"));
        late.adopt(&before, Some);
        assert_eq!(late.home(late.of(&cookie("sid=b")).unwrap()), None);
    }

    #[test]
    fn a_flood_of_sessions_is_bounded_and_spares_those_that_are_asked_for() {
        let homes = Homes::new();
        let id = |number: u64| super::super::ring::mix(number);
        homes.put(id(0), 5);
        for number in 1..40 * GENERATION {
            homes.put(id(number), 1);
            if number % 1_000 == 0 {
                assert_eq!(homes.get(id(0)), Some(5), "after {number}");
            }
        }
        let kept = (1..40 * GENERATION).filter(|number| homes.get(id(*number)).is_some()).count();
        assert!((BUCKETS * WAYS / 2..BUCKETS * WAYS).contains(&kept), "{kept}");
        homes.put(id(1), 70_000);
        assert_eq!(Homes::default().get(7), None);
    }
}
