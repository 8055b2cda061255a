//! Consistent hashing: points of all servers on a ring, and the server of a key is the one of the next point.
//!
//! A server that goes takes its points with it and one that comes brings them back, so nobody else's keys move.

/// How many points the heaviest server has.
const POINTS: u64 = 160;
/// How many points there are in all, about.
const ALL: u64 = 1 << 18;

/// A point of a server; `rank` counts the points of one server.
#[derive(Clone, Copy, Debug)]
struct Point {
    at: u64,
    server: u32,
    rank: u32,
}

/// All points of all servers, whether they take requests or not.
#[derive(Debug, Default)]
pub(super) struct Circle {
    points: Vec<Point>,
    /// How many points each server has.
    counts: Vec<u32>,
}

/// The points of the servers that take requests.
#[derive(Debug, Default)]
pub(super) struct Ring {
    points: Vec<(u64, u32)>,
    /// Where the points of each equal part of the ring begin; the parts are as many as a power of two. A search for the next point
    /// would be some seventeen cache misses for a thousand servers, this is two.
    parts: Vec<u32>,
}

impl Circle {
    /// The points of servers with these names and weights.
    pub(super) fn new(servers: &[(String, u32)]) -> Self {
        let heaviest = servers.iter().map(|(_, weight)| u64::from(*weight)).max().unwrap_or(0).max(1);
        let most = (ALL / servers.len().max(1) as u64).clamp(1, POINTS);
        let mut circle = Self::default();
        let mut names = std::collections::HashMap::new();
        for (server, (name, weight)) in (0_u32..).zip(servers) {
            // The same server twice has other points the second time.
            let nth: &mut u64 = names.entry(name).or_default();
            *nth += 1;
            let seed = mix(hash(name.as_bytes()) ^ *nth);
            let count = (u64::from(*weight) * most).div_ceil(heaviest) as u32;
            let point = |rank| Point { at: mix(seed ^ mix(u64::from(rank))), server, rank };
            circle.points.extend((0..count).map(point));
            circle.counts.push(count);
        }
        circle.points.sort_unstable_by_key(|point| (point.at, point.server));
        circle
    }

    /// The ring of the servers that have a share, in percent: one with less than its full share has as many points less.
    pub(super) fn ring(&self, share: impl Fn(u32) -> u8) -> Ring {
        let few = |server: usize, count: u32| (u64::from(count) * u64::from(share(server as u32))).div_ceil(100) as u32;
        let present: Vec<u32> = self.counts.iter().enumerate().map(|(server, count)| few(server, *count)).collect();
        let is_present = |point: &&Point| present.get(point.server as usize).is_some_and(|count| point.rank < *count);
        Ring::new(self.points.iter().filter(is_present).map(|point| (point.at, point.server)).collect())
    }

    /// The server that a key has while all of them take requests.
    pub(super) fn home(&self, key: u64) -> Option<u32> {
        let key = mix(key);
        let next = self.points.partition_point(|point| point.at < key);
        self.points.get(next).or(self.points.first()).map(|point| point.server)
    }
}

impl Ring {
    /// Of these points, in order.
    fn new(points: Vec<(u64, u32)>) -> Self {
        let count = (points.len() / 2).next_power_of_two();
        let mut parts = Vec::with_capacity(count);
        for (index, (at, _)) in (0_u32..).zip(&points) {
            // Parts without a point begin where the next one does.
            parts.resize(parts.len().max(part(*at, count) + 1), index);
        }
        parts.resize(count, points.len() as u32);
        Self { points, parts }
    }

    /// The servers of a key: its own first, then those that stand in for it. Once around the ring; one may come more than once.
    pub(super) fn walk(&self, key: u64) -> impl Iterator<Item = u32> {
        let key = mix(key);
        let begin = self.parts.get(part(key, self.parts.len())).map_or(0, |begin| *begin as usize);
        let rest = self.points.get(begin..).unwrap_or_default();
        let next = begin + rest.iter().take_while(|(at, _)| *at < key).count();
        let (before, after) = self.points.split_at(next);
        after.iter().chain(before).map(|(_, server)| *server)
    }
}

/// Which of `count` parts of the ring, a power of two, something belongs to.
fn part(at: u64, count: usize) -> usize {
    // A shift by 64 is none: there is one part then.
    at.checked_shr(64 - count.max(1).trailing_zeros()).unwrap_or(0) as usize
}

/// Spreads the bits of a number over all of it.
pub(super) fn mix(number: u64) -> u64 {
    // The finalizer of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// FNV-1a. The same in every process, so that several of them agree on a key's server.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEYS: u64 = 20_000;

    fn circle(weights: &[u32]) -> Circle {
        let name = |(index, weight): (usize, &u32)| (format!("10.0.0.{index}:80"), *weight);
        Circle::new(&weights.iter().enumerate().map(name).collect::<Vec<_>>())
    }

    fn owner(ring: &Ring, key: u64) -> u32 {
        ring.walk(key).next().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_server_that_goes_moves_its_own_keys_only(
            weights in proptest::collection::vec(1_u32..10, 2..30),
            gone in any::<proptest::sample::Index>(),
        ) {
            let gone = gone.index(weights.len()) as u32;
            let circle = circle(&weights);
            let (all, without) = (circle.ring(|_| 100), circle.ring(|server| if server == gone { 0 } else { 100 }));
            for key in 0..KEYS / 10 {
                let (before, after) = (owner(&all, key), owner(&without, key));
                prop_assert_eq!(Some(before), circle.home(key));
                prop_assert_ne!(after, gone);
                prop_assert!(before == gone || before == after, "{} moved from {} to {}", key, before, after);
            }
        }

        #[test]
        fn a_server_that_works_its_way_up_only_gains_keys(weights in proptest::collection::vec(1_u32..10, 2..10)) {
            let circle = circle(&weights);
            let ring = |share| circle.ring(move |server| if server == 0 { share } else { 100 });
            let steps: Vec<Ring> = (1..=10).map(|step| ring(10 * step)).collect();
            for key in 0..KEYS / 10 {
                for pair in steps.windows(2) {
                    let (before, after) = (owner(&pair[0], key), owner(&pair[1], key));
                    prop_assert!(before == after || after == 0);
                }
            }
        }
    }

    #[test]
    fn keys_are_spread_by_weight() {
        let weights = [1, 1, 2, 4];
        let ring = circle(&weights).ring(|_| 100);
        let mut counts = [0_u64; 4];
        (0..KEYS).for_each(|key| counts[owner(&ring, key) as usize] += 1);
        for (count, weight) in counts.iter().zip(weights) {
            let fair = KEYS * u64::from(weight) / 8;
            assert!(count.abs_diff(fair) < fair / 3, "{counts:?}");
        }
    }

    #[test]
    fn a_server_that_is_added_takes_keys_from_others_and_moves_none_between_them() {
        let (before, after) = (circle(&[1; 9]).ring(|_| 100), circle(&[1; 10]).ring(|_| 100));
        let moved = (0..KEYS).filter(|key| {
            let (old, new) = (owner(&before, *key), owner(&after, *key));
            assert!(old == new || new == 9);
            old != new
        });
        let moved = moved.count() as u64;
        assert!(moved.abs_diff(KEYS / 10) < KEYS / 30, "{moved}");
    }

    proptest! {
        #[test]
        fn the_next_point_is_found(mut points in proptest::collection::vec(any::<u64>(), 0..40), key in any::<u64>()) {
            points.sort_unstable();
            let ring = Ring::new(points.iter().copied().zip(0..).collect());
            let next = points.partition_point(|at| *at < mix(key));
            let wanted: Vec<u32> = (next..points.len()).chain(0..next).map(|index| index as u32).collect();
            prop_assert_eq!(ring.walk(key).collect::<Vec<_>>(), wanted);
        }
    }

    #[test]
    fn odd_sets_of_servers() {
        assert_eq!(circle(&[]).home(7), None);
        assert_eq!(circle(&[0]).home(7), None);
        assert_eq!(circle(&[1]).ring(|_| 0).walk(7).next(), None);
        // The light one of a very unequal pair still has a key or two.
        assert!(circle(&[1_000_000, 1]).ring(|_| 100).walk(7).any(|server| server == 1));
        // One address twice: both get keys.
        let twice = Circle::new(&[("a:80".to_owned(), 1), ("a:80".to_owned(), 1)]).ring(|_| 100);
        let first = (0..KEYS).filter(|key| owner(&twice, *key) == 0).count() as u64;
        assert!(first.abs_diff(KEYS / 2) < KEYS / 5, "{first}");
    }
}
