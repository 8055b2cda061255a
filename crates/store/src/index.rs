//! What the log knows, by what can be looked up: keys, hosts, paths and tags. Expressions and prefixes are gone through.
//!
//! It is bounded: of more than a limit of different things of a kind, the others go into a table of fixed size by their hashes,
//! where one stands for all that share its place. Then more may be invalid than was named, and never less.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use copal_semantics::Timestamp;

use crate::invalidation::{Naming, Subject};
use crate::key::AsHashed;
use crate::log::{Entry, Hardness, Latest, Sequence, Verdict};
use crate::scanned::{Overflow, Scanned};
use crate::tags::{Dictionary, Tag};

/// Keys and tags beyond this part of the limit are looked through.
const TRIMMED: usize = 16;

/// Places of a table of what is too much for the index.
const PLACES: usize = 1 << 15;

#[derive(Debug)]
pub(crate) struct Index {
    hasher: RandomState,
    dictionary: Arc<Dictionary>,
    all: Latest,
    keys: ByHash,
    hosts: ByHash,
    /// By the hash of host and path, or of the path alone.
    paths: ByHash,
    tags: Named,
    /// Prefixes and expressions.
    scanned: Arc<Scanned>,
    /// When soft ones came.
    pub(crate) times: Times,
    /// Up to here nothing is known any more.
    forgotten: Sequence,
    /// Up to here, of some keys and tags it is known only to what is stored.
    trimmed: Sequence,
    /// How many keys and tags may be there until they are looked through for what is of no use any more.
    trim_at: usize,
    limit: usize,
}

impl Index {
    pub(crate) fn new(hasher: RandomState, dictionary: Arc<Dictionary>, limit: usize) -> Self {
        let by_hash = || ByHash { limit, ..ByHash::default() };
        Self {
            hasher,
            dictionary,
            all: Latest::default(),
            keys: by_hash(),
            hosts: by_hash(),
            paths: by_hash(),
            tags: Named { beyond: by_hash(), ..Named::default() },
            scanned: Arc::default(),
            times: Times::default(),
            forgotten: Sequence::default(),
            trimmed: Sequence::default(),
            trim_at: limit / TRIMMED,
            limit,
        }
    }

    /// Takes in an invalidation with a number above all before.
    pub(crate) fn append(&mut self, entry: Entry, sequence: Sequence, hardness: Hardness) {
        let naming = match entry {
            Entry::Tags(tags) => {
                tags.into_iter().for_each(|tag| self.name_tag(tag, sequence, hardness));
                return;
            }
            Entry::Other(naming) => naming,
        };
        match &naming {
            Naming::All => self.all.note(sequence, hardness),
            Naming::Key(key) => self.keys.note(key.hash(), sequence, hardness),
            Naming::Host(host) => self.hosts.note(self.hasher.hash_one(&**host), sequence, hardness),
            Naming::Path { host, path } => {
                self.paths.note(path_hash(&self.hasher, host.as_deref(), path), sequence, hardness);
            }
            _ => self.scan(naming, sequence, hardness),
        }
    }

    fn name_tag(&mut self, tag: Arc<Tag>, sequence: Sequence, hardness: Hardness) {
        self.dictionary.name(&tag, sequence, hardness);
        self.tags.newest = sequence;
        // Held, so that who brings the tag later finds it named.
        let room = self.tags.held.len() < self.tags.beyond.limit;
        match self.tags.held.get_mut(&tag.hash()) {
            Some((_, named)) => *named = sequence,
            None if room => {
                self.tags.held.insert(tag.hash(), (tag, sequence));
                return;
            }
            None => self.tags.beyond.place(tag.hash(), sequence, hardness),
        }
        self.dictionary.release(&tag);
    }

    fn scan(&mut self, naming: Naming, sequence: Sequence, hardness: Hardness) {
        for Overflow { host, sequence, hardness } in Arc::make_mut(&mut self.scanned).append(naming, sequence, hardness)
        {
            match host {
                Some(host) => self.hosts.note(self.hasher.hash_one(&*host), sequence, hardness),
                None => self.all.note(sequence, hardness),
            }
        }
    }

    /// What of it that can be looked up says about this.
    pub(crate) fn verdict(&self, subject: Subject<'_>, since: Sequence) -> Verdict {
        if since < self.forgotten || (!subject.stored && since < self.trimmed) {
            return Verdict::Hard;
        }
        let key = subject.key;
        let mut verdict = self.all.verdict(since).max(self.keys.verdict(since, || key.hash()));
        verdict = verdict.max(self.hosts.verdict(since, || self.hasher.hash_one(key.host())));
        for host in [None, Some(key.host())] {
            verdict = verdict.max(self.paths.verdict(since, || path_hash(&self.hasher, host, key.path())));
        }
        if self.tags.newest > since {
            verdict = verdict.max(subject.tags.verdict(since));
        }
        if self.tags.beyond.newest > since {
            let places = subject.tags.iter().map(|tag| self.tags.beyond.verdict(since, || tag.hash()));
            verdict = places.fold(verdict, Verdict::max);
        }
        verdict
    }

    /// What is to be gone through, where something of it is newer.
    pub(crate) fn is_crowded(&self, swept: Sequence) -> bool {
        self.scanned.is_crowded(swept)
    }

    pub(crate) fn scanned_since(&self, since: Sequence) -> Option<Arc<Scanned>> {
        (self.scanned.newest() > since).then(|| Arc::clone(&self.scanned))
    }

    pub(crate) fn forget(&mut self, upto: Sequence) {
        if upto <= self.forgotten {
            return;
        }
        self.forgotten = upto;
        for map in [&mut self.keys, &mut self.hosts, &mut self.paths, &mut self.tags.beyond] {
            map.forget(upto);
        }
        self.tags.held.retain(|_, (tag, named)| {
            let known = *named > upto;
            if !known {
                self.dictionary.release(tag);
            }
            known
        });
        self.tags.held.shrink_to_fit();
        Arc::make_mut(&mut self.scanned).forget(upto);
        self.times.forget(upto);
        self.trim_at = self.limit / TRIMMED;
    }

    /// Whether there are many keys and tags.
    pub(crate) fn trim_due(&self) -> bool {
        self.keys.exact.len() + self.tags.held.len() > self.trim_at
    }

    /// Drops what only a fill that began before it would have to be told, when the oldest began at `oldest_fill`: keys, whose
    /// stored responses are gone, and tags, which themselves know what named them as long as something stored has them. No
    /// sweep is needed for that, however many purges come.
    pub(crate) fn trim(&mut self, oldest_fill: Sequence) {
        let (forgotten, trimmed) = (self.forgotten, &mut self.trimmed);
        let mut of_use = |newest: Sequence, also: bool| {
            let of_use = newest > oldest_fill || also;
            if !of_use {
                *trimmed = (*trimmed).max(newest);
            }
            of_use
        };
        self.keys.exact.retain(|_, latest| of_use(latest.newest(), latest.soft() > forgotten));
        self.tags.held.retain(|_, (tag, named)| {
            let of_use = of_use(*named, false);
            if !of_use {
                self.dictionary.release(tag);
            }
            of_use
        });
        let left = self.keys.exact.len() + self.tags.held.len();
        // As many again may come before it is worth another look.
        self.trim_at = left + self.limit / TRIMMED;
    }

    pub(crate) fn length(&self) -> u64 {
        let all = usize::from(self.all.newest() > self.forgotten);
        let merged = self.keys.len() + self.hosts.len() + self.paths.len();
        (merged + self.tags.held.len() + self.tags.beyond.len() + self.scanned.len() + all) as u64
    }
}

/// When soft invalidations came, to the second.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<(Sequence, Timestamp)>);

/// How many are kept; then every other one goes, and what came after it counts as having come with the one before.
const MOST_TIMES: usize = 1 << 12;

impl Times {
    pub(crate) fn note(&mut self, sequence: Sequence, now: Timestamp) {
        if self.0.last().is_some_and(|(_, last)| now.since(*last) < Duration::from_secs(1)) {
            return;
        }
        if self.0.len() >= MOST_TIMES {
            let mut even = false;
            self.0.retain(|_| {
                even = !even;
                even
            });
        }
        self.0.push((sequence, now));
    }

    /// When the one with this number came.
    pub(crate) fn of(&self, sequence: Sequence) -> Option<Timestamp> {
        let after = self.0.partition_point(|(first, _)| *first <= sequence);
        Some(self.0.get(after.checked_sub(1)?)?.1)
    }

    fn forget(&mut self, upto: Sequence) {
        // The last of them may be the time of newer ones too.
        let after = self.0.partition_point(|(first, _)| *first <= upto);
        self.0.drain(..after.saturating_sub(1));
    }
}

/// A path on one host, or on all.
fn path_hash(hasher: &RandomState, host: Option<&str>, path: &str) -> u64 {
    hasher.hash_one((host, path))
}

/// Tags that the log has named.
#[derive(Debug, Default)]
struct Named {
    /// Those that are not forgotten, with their newest numbers.
    held: HashMap<u64, (Arc<Tag>, Sequence), AsHashed>,
    /// Those for which there was no room.
    beyond: ByHash,
    newest: Sequence,
}

/// Things by their hashes under the store's secret.
#[derive(Debug, Default)]
struct ByHash {
    exact: HashMap<u64, Latest, AsHashed>,
    /// What came when there was no room: [`PLACES`] of them, or none.
    table: Vec<Latest>,
    /// How many places are taken.
    placed: usize,
    newest: Sequence,
    limit: usize,
}

impl ByHash {
    fn note(&mut self, hash: u64, sequence: Sequence, hardness: Hardness) {
        if self.exact.len() < self.limit || self.exact.contains_key(&hash) {
            self.exact.entry(hash).or_default().note(sequence, hardness);
            self.newest = sequence;
        } else {
            self.place(hash, sequence, hardness);
        }
    }

    /// Into the table, where it stands for all that share its place.
    fn place(&mut self, hash: u64, sequence: Sequence, hardness: Hardness) {
        if self.table.is_empty() {
            self.table = vec![Latest::default(); PLACES];
        }
        if let Some(place) = self.table.get_mut(place(hash)) {
            self.placed += usize::from(place.newest() == Sequence::default());
            place.note(sequence, hardness);
        }
        self.newest = sequence;
    }

    fn verdict(&self, since: Sequence, hash: impl FnOnce() -> u64) -> Verdict {
        if self.newest <= since {
            return Verdict::Clear;
        }
        let hash = hash();
        let exact = self.exact.get(&hash).map_or(Verdict::Clear, |latest| latest.verdict(since));
        let shared = self.table.get(place(hash)).map_or(Verdict::Clear, |latest| latest.verdict(since));
        exact.max(shared)
    }

    fn forget(&mut self, upto: Sequence) {
        self.exact.retain(|_, latest| latest.newest() > upto);
        self.exact.shrink_to_fit();
        for latest in self.table.iter_mut().filter(|latest| latest.newest() <= upto) {
            *latest = Latest::default();
        }
        self.placed = self.table.iter().filter(|latest| latest.newest() > upto).count();
        if self.placed == 0 {
            self.table = Vec::new();
        }
    }

    fn len(&self) -> usize {
        self.exact.len() + self.placed
    }
}

fn place(hash: u64) -> usize {
    // Not the bits by which the map picks its places.
    (hash >> 24) as usize % PLACES
}
