//! The store against a naive model of it: a list of all invalidations that is never shortened, asked anew each time.

use proptest::prelude::*;
use regex::Regex;

use super::*;

const HOSTS: [&str; 2] = ["a.example", "b.example"];
const PATHS: [&str; 4] = ["/", "/news", "/news/one?q=1", "/shop"];
const TAGS: [&str; 3] = ["red", "green", "blue"];

#[derive(Clone, Debug)]
enum Step {
    Begin { url: usize, variant: usize, tags: Vec<usize> },
    Finish(usize),
    NotStored(usize),
    Drop(usize),
    Freshen(usize),
    Invalidate(What, bool),
    Lookup { url: usize, variant: usize },
    Sweep,
}

#[derive(Clone, Debug)]
enum What {
    Key(usize),
    Host(usize),
    Prefix(Option<usize>, &'static str),
    Tag(usize),
    Pattern(&'static str),
    All,
}

/// The time of a step; all of them lie within the lifetime of what is stored.
fn moment(step: u64) -> Timestamp {
    NOW.plus(Duration::from_millis(step))
}

fn url(index: usize) -> String {
    format!("http://{}{}", HOSTS[index % 2], PATHS[index / 2])
}

impl What {
    fn names(&self, at: usize, tags: &[usize]) -> bool {
        let (host, path) = (HOSTS[at % 2], PATHS[at / 2]);
        match self {
            Self::Key(url) => *url == at,
            Self::Host(index) => HOSTS[*index] == host,
            Self::Prefix(index, prefix) => index.is_none_or(|index| HOSTS[index] == host) && path.starts_with(prefix),
            Self::Tag(tag) => tags.contains(tag),
            Self::Pattern(pattern) => Regex::new(pattern).unwrap().is_match(&url(at)),
            Self::All => true,
        }
    }

    fn invalidation(&self, store: &Store) -> Invalidation {
        match self {
            Self::Key(at) => Invalidation::Key(store.key(url(*at))),
            Self::Host(host) => Invalidation::Host(HOSTS[*host].to_owned()),
            Self::Prefix(host, path) => {
                Invalidation::Prefix { host: host.map(|host| HOSTS[host].to_owned()), path: (*path).to_owned() }
            }
            Self::Tag(tag) => Invalidation::Tag(TAGS[*tag].to_owned()),
            Self::Pattern(pattern) => Invalidation::Pattern(Regex::new(pattern).unwrap()),
            Self::All => Invalidation::All,
        }
    }
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        4 => (0..8_usize).prop_map(What::Key),
        1 => (0..2_usize).prop_map(What::Host),
        2 => (prop::option::of(0..2_usize), prop::sample::select(vec!["/news", "/news/", "/shop", "/x"]))
            .prop_map(|(host, path)| What::Prefix(host, path)),
        4 => (0..3_usize).prop_map(What::Tag),
        2 => prop::sample::select(vec!["a.*news", r"\?q=", "shop$"]).prop_map(What::Pattern),
        1 => Just(What::All),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let tags = prop::collection::vec(0..3_usize, 0..3);
    prop_oneof![
        6 => (0..8_usize, 0..2_usize, tags).prop_map(|(url, variant, tags)| Step::Begin { url, variant, tags }),
        6 => any::<prop::sample::Index>().prop_map(|index| Step::Finish(index.index(usize::MAX))),
        2 => any::<prop::sample::Index>().prop_map(|index| Step::NotStored(index.index(usize::MAX))),
        1 => any::<prop::sample::Index>().prop_map(|index| Step::Drop(index.index(usize::MAX))),
        2 => any::<prop::sample::Index>().prop_map(|index| Step::Freshen(index.index(usize::MAX))),
        6 => (what(), any::<bool>()).prop_map(|(what, hard)| Step::Invalidate(what, hard)),
        10 => (0..8_usize, 0..2_usize).prop_map(|(url, variant)| Step::Lookup { url, variant }),
        2 => Just(Step::Sweep),
    ]
}

/// A fill under way.
struct Filling {
    permit: FillPermit,
    url: usize,
    variant: usize,
    tags: Vec<usize>,
    began: usize,
    time: u64,
}

/// A stored response as the model has it.
#[derive(Clone)]
struct Modelled {
    url: usize,
    variant: usize,
    tags: Vec<usize>,
    began: usize,
    time: u64,
    body: String,
}

#[derive(Default)]
struct Model {
    log: Vec<(What, bool)>,
    stored: Vec<Modelled>,
    /// URLs, and when the fetch began that brought what was not to be stored.
    hit_for_miss: Vec<(usize, usize)>,
}

#[derive(PartialEq)]
enum Naive {
    Clear,
    Soft,
    Hard,
}

impl Model {
    /// Whether an invalidation that came after `began` names it.
    fn verdict(&self, url: usize, tags: &[usize], began: usize) -> Naive {
        let newer = || self.log[began..].iter().filter(|(what, _)| what.names(url, tags));
        match (newer().any(|(_, hard)| *hard), newer().next()) {
            (true, _) => Naive::Hard,
            (false, Some(_)) => Naive::Soft,
            (false, None) => Naive::Clear,
        }
    }

    fn lookup(&self, url: usize, variant: usize) -> String {
        let of_url = || self.stored.iter().filter(|stored| stored.url == url);
        let valid = |stored: &&Modelled| self.verdict(url, &stored.tags, stored.began) != Naive::Hard;
        let hit_for_miss =
            self.hit_for_miss.iter().any(|(at, began)| *at == url && self.verdict(url, &[], *began) == Naive::Clear);
        match of_url().filter(valid).find(|stored| stored.variant == variant) {
            Some(stored) if self.verdict(url, &stored.tags, stored.began) == Naive::Soft => {
                format!("soft {}", stored.body)
            }
            Some(stored) => stored.body.clone(),
            None if hit_for_miss => "hit-for-miss".to_owned(),
            None if of_url().filter(valid).count() > 0 => "variant-miss".to_owned(),
            None => "miss".to_owned(),
        }
    }

    fn put(&mut self, new: Modelled) -> Result<(), Discarded> {
        if self.verdict(new.url, &new.tags, new.began) == Naive::Hard {
            return Err(Discarded::Invalidated);
        }
        self.hit_for_miss.retain(|(url, _)| *url != new.url);
        let same = |stored: &Modelled| stored.url == new.url && stored.variant == new.variant;
        let newer = self.stored.iter().any(|stored| {
            same(stored)
                && stored.time > new.time
                && self.verdict(stored.url, &stored.tags, stored.began) != Naive::Hard
        });
        if newer {
            return Err(Discarded::Superseded);
        }
        self.stored.retain(|stored| !same(stored));
        self.stored.insert(0, new);
        Ok(())
    }
}

struct Both {
    store: Arc<Store>,
    model: Model,
    filling: Vec<Filling>,
    time: u64,
}

impl Both {
    fn request(variant: usize) -> Request {
        Request::extras(["guests", "members"][variant])
    }

    fn take(&mut self, index: usize) -> Option<Filling> {
        let count = self.filling.len();
        (count > 0).then(|| self.filling.swap_remove(index % count))
    }

    fn run(&mut self, step: Step) -> Result<(), TestCaseError> {
        self.time += 1;
        match step {
            Step::Begin { url: at, variant, tags } => {
                let key = self.store.key(url(at));
                let permit = self.store.fill_alone(&key, Self::request(variant).shared());
                let began = self.model.log.len();
                prop_assert_eq!(permit.began(), Sequence(began as u64));
                self.filling.push(Filling { permit, url: at, variant, tags, began, time: self.time });
            }
            Step::Finish(index) => {
                if let Some(filling) = self.take(index) {
                    self.finish(filling)?;
                }
            }
            Step::NotStored(index) => {
                if let Some(filling) = self.take(index) {
                    filling.permit.not_stored(Some(Duration::from_secs(10)), NOW);
                    if self.model.verdict(filling.url, &[], filling.began) == Naive::Clear {
                        self.model.hit_for_miss.retain(|(url, _)| *url != filling.url);
                        self.model.hit_for_miss.push((filling.url, filling.began));
                    }
                }
            }
            Step::Drop(index) => drop(self.take(index)),
            Step::Freshen(index) => self.freshen(index)?,
            Step::Invalidate(what, hard) => {
                let hardness = if hard { Hardness::Hard } else { Hardness::Soft };
                let done = self.store.invalidate(&what.invalidation(&self.store), hardness);
                self.model.log.push((what, hard));
                prop_assert_eq!(done.sequence, self.model.log.len() as u64);
            }
            Step::Lookup { url: at, variant } => self.compare(at, variant)?,
            Step::Sweep => {
                self.store.sweep();
                let oldest = self.filling.iter().map(|filling| filling.began).min();
                let needed = oldest.map_or(0, |began| self.model.log.len() - began);
                prop_assert!(self.store.usage().log_length <= needed as u64);
            }
        }
        Ok(())
    }

    fn finish(&mut self, filling: Filling) -> Result<(), TestCaseError> {
        let Filling { permit, url, variant, tags, began, time } = filling;
        let body = format!("body {time}");
        let (mut writer, _reader) = permit.storing(Head {
            extras: Self::request(variant).extras,
            tags: tags.iter().map(|tag| TAGS[*tag].to_owned()).collect(),
            freshness: fresh_from(moment(time)),
            ..head()
        });
        push(&mut writer, text(body.clone()));
        let done = writer.finish(NOW).map(|_| ());
        prop_assert_eq!(done, self.model.put(Modelled { url, variant, tags, began, time, body }));
        Ok(())
    }

    /// Validates what is stored for the request of a fill, under its permit.
    fn freshen(&mut self, index: usize) -> Result<(), TestCaseError> {
        let Some(filling) = self.take(index) else { return Ok(()) };
        let key = self.store.key(url(filling.url));
        let found = self.store.lookup(&key, &Self::request(filling.variant), NOW);
        let Lookup::Found { response, .. } = found else { return Ok(()) };
        let fresh = fresh_from(moment(filling.time));
        let began = filling.permit.began();
        let done =
            freshen(&self.store, &key, &Self::request(filling.variant), &response, HeaderMap::new(), fresh, began);
        let same = |stored: &&Modelled| stored.url == filling.url && stored.variant == filling.variant;
        let old = self.model.stored.iter().find(same).cloned();
        let Some(old) = old else { return Err(TestCaseError::fail("found what is not in the model")) };
        let new = Modelled { began: filling.began, time: filling.time, ..old };
        prop_assert_eq!(done.is_some(), self.model.put(new).is_ok());
        Ok(())
    }

    fn compare(&self, at: usize, variant: usize) -> Result<(), TestCaseError> {
        let found = looked_up(&self.store, &self.store.key(url(at)), &Self::request(variant), NOW);
        prop_assert_eq!(found, self.model.lookup(at, variant), "{} for {}", url(at), variant);
        Ok(())
    }
}

proptest! {
    /// The indexed, swept log and the naive list agree about everything that can be asked.
    #[test]
    fn the_store_does_as_its_model(steps in prop::collection::vec(step(), 1..150)) {
        let mut both = Both { store: small(), model: Model::default(), filling: Vec::new(), time: 0 };
        for step in steps {
            both.run(step)?;
        }
        for at in 0..8 {
            for variant in 0..2 {
                both.compare(at, variant)?;
            }
        }
        both.filling.clear();
        both.store.sweep();
        prop_assert_eq!(both.store.usage().log_length, 0);
        let naive = both.model.stored.iter();
        let valid = naive.filter(|stored| both.model.verdict(stored.url, &stored.tags, stored.began) != Naive::Hard);
        prop_assert_eq!(both.store.usage().stored_responses, valid.count() as u64);
    }
}
