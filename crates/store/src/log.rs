//! The one log of invalidations (invariant 8).
//!
//! Each invalidation gets the next sequence number. A response that began at `b` and was last checked at `c ≥ b` is
//! invalid when a matching invalidation has a number above `c`; so a hit compares `c` with the current number, and only
//! when that is newer asks the index, which answers in the number of the response's own tags plus the newer patterns.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use regex::Regex;

use crate::key::{AsHashed, CacheKey};

/// The number of an invalidation; 0 is "before the first".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub(crate) u64);

impl Sequence {
    /// The number itself.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// What an invalidation names.
#[derive(Clone, Debug)]
pub enum Invalidation {
    /// All variants of one cache key.
    Key(CacheKey),
    /// Everything of a host, as [`CacheKey::host`] gives it (with a port that is not the scheme's own), in lower case.
    Host(String),
    /// Everything whose path and query begin with `path`, on one host or on all.
    Prefix {
        /// The host as in [`Invalidation::Host`]; none for all hosts.
        host: Option<String>,
        /// The beginning of path and query, compared byte by byte.
        path: String,
    },
    /// Everything that the origin gave this tag.
    Tag(String),
    /// Everything whose URL as keyed the expression matches.
    Pattern(Regex),
    /// Everything.
    All,
}

/// How an invalidation is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hardness {
    /// Never served again.
    Hard,
    /// Stale from now on: served while it is refreshed or while the origin fails, where the rule has grace.
    Soft,
}

/// What the log says about a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// Nothing newer matches.
    Clear,
    /// A newer soft invalidation matches.
    Soft,
    /// A newer hard invalidation matches, or the log no longer knows.
    Hard,
}

impl Verdict {
    fn of(hardness: Hardness) -> Self {
        match hardness {
            Hardness::Hard => Self::Hard,
            Hardness::Soft => Self::Soft,
        }
    }
}

/// An answer of the log, and up to which number it is the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checked {
    pub(crate) verdict: Verdict,
    pub(crate) upto: Sequence,
}

/// The log.
#[derive(Debug)]
pub(crate) struct Log {
    /// Written under the index's write lock, read without.
    current: AtomicU64,
    index: RwLock<Index>,
    /// When the fills under way began, counted: the log must still know what came after each.
    under_way: Mutex<BTreeMap<Sequence, usize>>,
    hasher: RandomState,
}

impl Log {
    /// An empty log; `hasher` is the store's secret, with which tags and hosts become 64-bit ids.
    pub(crate) fn new(hasher: RandomState) -> Self {
        Self { current: AtomicU64::new(0), index: RwLock::default(), under_way: Mutex::default(), hasher }
    }

    /// The number of the newest invalidation.
    pub(crate) fn current(&self) -> Sequence {
        Sequence(self.current.load(Ordering::Acquire))
    }

    /// The id of a tag.
    pub(crate) fn tag(&self, tag: &str) -> u64 {
        self.hasher.hash_one(tag)
    }

    /// Appends an invalidation and gives its number.
    pub(crate) fn append(&self, what: &Invalidation, hardness: Hardness) -> Sequence {
        let mut index = self.index.write();
        let sequence = Sequence(self.current.load(Ordering::Relaxed) + 1);
        match what {
            Invalidation::Key(key) => index.keys.entry(key.hash()).or_default().note(sequence, hardness),
            Invalidation::Host(host) => {
                let host = self.hasher.hash_one(host.as_str());
                index.hosts.entry(host).or_default().note(sequence, hardness);
            }
            Invalidation::Tag(tag) => index.tags.entry(self.tag(tag)).or_default().note(sequence, hardness),
            Invalidation::All => index.all.note(sequence, hardness),
            Invalidation::Prefix { host, path } => {
                let prefix = Prefix { host: host.as_deref().map(Box::from), path: path.as_str().into() };
                index.add_prefix(prefix, sequence, hardness);
            }
            Invalidation::Pattern(regex) => {
                index.patterns.insert(sequence, (regex.clone(), hardness));
            }
        }
        // Last, so that whoever sees the number also finds the invalidation.
        self.current.store(sequence.0, Ordering::Release);
        sequence
    }

    /// Whether something newer than `since` names this key or one of these tags.
    pub(crate) fn check(&self, key: &CacheKey, tags: &[u64], since: Sequence) -> Checked {
        let index = self.index.read();
        let upto = Sequence(self.current.load(Ordering::Relaxed));
        let verdict =
            if since < index.forgotten { Verdict::Hard } else { index.verdict(key, tags, since, &self.hasher) };
        Checked { verdict, upto }
    }

    /// Notes a fill that begins now. The number must be given back to [`Log::ended`].
    pub(crate) fn began(&self) -> Sequence {
        let mut under_way = self.under_way.lock();
        // Read under the lock: a sweep that looked before has a number that is no newer than this one.
        let began = self.current();
        *under_way.entry(began).or_default() += 1;
        began
    }

    /// A fill that began at `began` is over, or will not be stored.
    pub(crate) fn ended(&self, began: Sequence) {
        let mut under_way = self.under_way.lock();
        if let Some(count) = under_way.get_mut(&began) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(&began);
            }
        }
    }

    /// When the oldest fill under way began; `current` when there is none.
    pub(crate) fn oldest_fill(&self) -> Sequence {
        let under_way = self.under_way.lock();
        under_way.keys().next().copied().unwrap_or_else(|| self.current())
    }

    /// Forgets what is not newer than `upto`. From then on, whatever was last checked before it counts as invalid.
    pub(crate) fn forget(&self, upto: Sequence) {
        let mut index = self.index.write();
        if upto > index.forgotten {
            index.forget(upto);
        }
    }

    /// How many invalidations the log holds, equal ones merged.
    pub(crate) fn length(&self) -> u64 {
        self.index.read().length()
    }
}

/// The newest invalidations of one thing.
#[derive(Clone, Copy, Debug, Default)]
struct Latest {
    hard: Sequence,
    soft: Sequence,
}

impl Latest {
    fn note(&mut self, sequence: Sequence, hardness: Hardness) {
        match hardness {
            Hardness::Hard => self.hard = sequence,
            Hardness::Soft => self.soft = sequence,
        }
    }

    fn verdict(&self, since: Sequence) -> Verdict {
        if self.hard > since {
            Verdict::Hard
        } else if self.soft > since {
            Verdict::Soft
        } else {
            Verdict::Clear
        }
    }

    fn newest(&self) -> Sequence {
        self.hard.max(self.soft)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Prefix {
    host: Option<Box<str>>,
    path: Box<str>,
}

impl Prefix {
    fn matches(&self, key: &CacheKey) -> bool {
        self.host.as_deref().is_none_or(|host| host == key.host()) && key.path_and_query().starts_with(&*self.path)
    }
}

/// A map whose keys are hashes under the store's secret already.
type ByHash = HashMap<u64, Latest, AsHashed>;

#[derive(Debug, Default)]
struct Index {
    keys: ByHash,
    hosts: ByHash,
    tags: ByHash,
    all: Latest,
    prefixes: BTreeMap<Sequence, (Prefix, Hardness)>,
    /// Where in `prefixes` each stands, so that an equal one takes its place.
    prefix_at: HashMap<(Prefix, Hardness), Sequence>,
    /// Not merged: two expressions with one text may differ in their flags, which cannot be asked for.
    patterns: BTreeMap<Sequence, (Regex, Hardness)>,
    /// Up to here nothing is known any more.
    forgotten: Sequence,
}

impl Index {
    fn add_prefix(&mut self, prefix: Prefix, sequence: Sequence, hardness: Hardness) {
        if let Some(before) = self.prefix_at.insert((prefix.clone(), hardness), sequence) {
            self.prefixes.remove(&before);
        }
        self.prefixes.insert(sequence, (prefix, hardness));
    }

    fn verdict(&self, key: &CacheKey, tags: &[u64], since: Sequence, hasher: &RandomState) -> Verdict {
        let latest = |map: &ByHash, hash: u64| map.get(&hash).map_or(Verdict::Clear, |latest| latest.verdict(since));
        let mut verdict = self.all.verdict(since).max(latest(&self.keys, key.hash()));
        if !self.hosts.is_empty() {
            verdict = verdict.max(latest(&self.hosts, hasher.hash_one(key.host())));
        }
        if !self.tags.is_empty() {
            verdict = tags.iter().fold(verdict, |verdict, tag| verdict.max(latest(&self.tags, *tag)));
        }
        let newer = (std::ops::Bound::Excluded(since), std::ops::Bound::Unbounded);
        for (prefix, hardness) in self.prefixes.range(newer).map(|(_, entry)| entry) {
            let found = Verdict::of(*hardness);
            if found > verdict && prefix.matches(key) {
                verdict = found;
            }
        }
        for (pattern, hardness) in self.patterns.range(newer).map(|(_, entry)| entry) {
            let found = Verdict::of(*hardness);
            if found > verdict && pattern.is_match(key.url()) {
                verdict = found;
            }
        }
        verdict
    }

    fn forget(&mut self, upto: Sequence) {
        self.forgotten = upto;
        for map in [&mut self.keys, &mut self.hosts, &mut self.tags] {
            map.retain(|_, latest| latest.newest() > upto);
            map.shrink_to_fit();
        }
        let after = Sequence(upto.0 + 1);
        self.prefixes = self.prefixes.split_off(&after);
        self.prefix_at.retain(|_, sequence| *sequence > upto);
        self.prefix_at.shrink_to_fit();
        self.patterns = self.patterns.split_off(&after);
    }

    fn length(&self) -> u64 {
        let all = usize::from(self.all.newest() > self.forgotten);
        let merged = self.keys.len() + self.hosts.len() + self.tags.len() + self.prefixes.len();
        (merged + self.patterns.len() + all) as u64
    }
}
