//! Which server gets a request. A [`Table`] is made anew on each change of state, so that a pick reads what is ready: it takes no
//! lock, and a few steps however many servers there are. Pure but for the counts, which are told by [`Loads`].

use tokio::time::Instant;

use super::ring::{Circle, Ring, mix};
use super::schedule::schedule;
use crate::settings::Balance;
use crate::status::ServerState;

/// How many turns, or points of a ring, are looked at before every server is.
const TURNS: usize = 8;
const POINTS: usize = 128;
/// A server may have this many requests however little its fair share of those under way is: a handful says nothing about load,
/// and parallel requests for one key are to stay together.
const HANDFUL: u64 = 4;

/// What a pick has to know of a server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fact {
    pub(super) weight: u32,
    pub(super) backup: bool,
    pub(super) state: ServerState,
    /// A request may be tried on it although it is left out; whether any request may.
    pub(super) trial: Option<bool>,
    /// Its share at present, in percent of its weight.
    pub(super) share: u8,
}

/// How many requests the servers have.
pub(super) trait Loads {
    /// Requests under way at a server.
    fn active(&self, server: usize) -> usize;
    /// Requests under way at all of them.
    fn under_way(&self) -> usize;
    /// Takes a place at a server that has fewer requests than `cap`, and than it may have.
    fn claim(&self, server: usize, cap: usize) -> bool;
    /// As [`claim`](Self::claim) without a cap, for a server's only trial.
    fn claim_trial(&self, server: usize) -> bool;
    /// Which of 64 servers may have room. A hint: a claim decides.
    fn room(&self, word: usize) -> u64;
}

/// What a server is picked by.
#[derive(Clone, Copy, Debug)]
pub(super) enum By {
    /// The balance alone.
    Turn,
    /// A hash, where the balance goes by hashes.
    Hash(u64),
    /// A session: its server, where that is known, else the one of this hash.
    Session { server: Option<usize>, hash: u64 },
}

/// A request, for a pick.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    pub(super) by: By,
    pub(super) tried: &'a [usize],
    /// It can be sent again where a trial fails.
    pub(super) twice: bool,
    /// It is nobody's trial.
    pub(super) safe: bool,
    /// The number of the pick.
    pub(super) turn: u64,
}

impl Ask<'_> {
    /// Whether it may be the trial of a server; `any` = any request may.
    fn may_try(&self, any: bool) -> bool {
        !self.safe && (self.twice || any)
    }
}

/// Whether a request decides on the return of its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// The server is in.
    No,
    /// It is out, and this is its one trial.
    Trial,
    /// It is out, but so are all.
    Last,
}

/// The end of a pick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Picked {
    /// A place at this server is taken.
    Taken { server: usize, probe: Probe },
    /// There is no room at the servers that are in question, or at the only one.
    Full { only: Option<usize> },
    /// There is no server that was not tried.
    Nobody,
}

/// Who is left to take requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Somebody who is up.
    Up,
    /// Nobody is up, and those take them that are not drained.
    Out,
    /// All are drained.
    Nobody,
}

/// Who takes requests, and how they are picked.
#[derive(Debug)]
pub(super) struct Table {
    balance: Balance,
    /// The next one is for requests that were tried on all of one, or that find it full where it is of the same kind.
    tiers: Vec<Tier>,
    /// Servers that are out and may be tried, and whether by any request.
    trials: Vec<(usize, bool)>,
    /// Of those the backups that are not needed but where the others are full.
    spare_trials: Vec<(usize, bool)>,
    standings: Vec<Standing>,
    /// Nobody is up; requests go to who is left.
    pub(super) all_out: bool,
    /// When it is to be made anew although nothing happens.
    pub(super) next: Option<Instant>,
}

/// Servers among which requests are balanced.
#[derive(Debug)]
struct Tier {
    /// Those of one state: the servers, and the backups that take what they have no room for.
    kind: usize,
    members: Vec<u64>,
    count: usize,
    schedule: Vec<u32>,
    ring: Ring,
    weight: u64,
}

#[derive(Clone, Copy, Debug)]
struct Standing {
    tier: Option<usize>,
    /// Weight by share at present.
    weight: u64,
    share: u8,
    trial: Option<bool>,
    /// Sessions that live there are served.
    bindable: bool,
    down: bool,
    ejected: bool,
}

impl Table {
    /// `circle` is there where keys or sessions have servers of their own.
    pub(super) fn new(facts: &[Fact], balance: Balance, circle: Option<&Circle>, next: Option<Instant>) -> Self {
        let is_up = |fact: &Fact| fact.state == ServerState::Up;
        let all_out = !facts.iter().any(|fact| fact.weight > 0 && is_up(fact));
        // The least bad first: failures come and go, checks know better.
        let rank = |fact: &Fact| match fact.state {
            _ if fact.weight == 0 => None,
            ServerState::Up => Some(usize::from(fact.backup)),
            ServerState::Ejected if all_out => Some(2 + usize::from(fact.backup)),
            ServerState::Down if all_out => Some(4 + usize::from(fact.backup)),
            _ => None,
        };
        let mut ranks: Vec<usize> = facts.iter().filter_map(rank).collect();
        ranks.sort_unstable();
        ranks.dedup();
        let backups_first = ranks.first() == Some(&1);
        let standings: Vec<Standing> = facts
            .iter()
            .map(|fact| {
                let share = if is_up(fact) { fact.share } else { 100 };
                Standing {
                    tier: rank(fact).and_then(|rank| ranks.binary_search(&rank).ok()),
                    weight: u64::from(fact.weight) * u64::from(share),
                    share,
                    // A backup is tried when backups are needed.
                    trial: fact.trial.filter(|_| !all_out && fact.weight > 0 && (backups_first || !fact.backup)),
                    bindable: is_up(fact) || all_out && fact.state != ServerState::Drained,
                    down: fact.state == ServerState::Down,
                    ejected: fact.state == ServerState::Ejected,
                }
            })
            .collect();
        let trials = standings.iter().enumerate().filter_map(|(server, it)| Some((server, it.trial?))).collect();
        let spare = |fact: &Fact| fact.backup && fact.weight > 0 && !backups_first && !all_out;
        let spares = facts.iter().enumerate().filter(|(_, fact)| spare(fact));
        let spare_trials = spares.filter_map(|(server, fact)| Some((server, fact.trial?))).collect();
        let tier = |(tier, rank): (usize, &usize)| Tier::new(tier, rank / 2, &standings, circle);
        let tiers = ranks.iter().enumerate().map(tier).collect();
        Self { balance, tiers, trials, spare_trials, standings, all_out, next }
    }

    /// Takes a place at a server.
    pub(super) fn pick(&self, ask: &Ask<'_>, loads: &impl Loads) -> Picked {
        if let By::Session { server: Some(server), .. } = ask.by
            && self.is_bindable(server)
            && !ask.tried.contains(&server)
        {
            return match loads.claim(server, usize::MAX) {
                true => Picked::Taken { server, probe: self.probe(server) },
                false => Picked::Full { only: Some(server) },
            };
        }
        if let By::Turn = ask.by
            && let Some(server) = trial(&self.trials, ask, loads)
        {
            return Picked::Taken { server, probe: Probe::Trial };
        }
        let Some((first, backups)) = self.tiers(ask.tried).split_first() else { return Picked::Nobody };
        if let Some((server, probe)) = self.claim(first, ask, loads) {
            return Picked::Taken { server, probe };
        }
        // Before anybody waits.
        if let Some(server) = trial(&self.spare_trials, ask, loads) {
            return Picked::Taken { server, probe: Probe::Trial };
        }
        match backups.iter().find_map(|tier| self.claim(tier, ask, loads)) {
            Some((server, probe)) => Picked::Taken { server, probe },
            None => Picked::Full { only: None },
        }
    }

    /// Whether anybody is left for a request that belongs nowhere.
    pub(super) fn left(&self) -> Left {
        match (self.all_out, self.tiers.is_empty()) {
            (false, _) => Left::Up,
            (true, false) => Left::Out,
            (true, true) => Left::Nobody,
        }
    }

    /// Whether a session that lives there is served there.
    pub(super) fn is_bindable(&self, server: usize) -> bool {
        self.standings.get(server).is_some_and(|standing| standing.bindable)
    }

    /// Whether a request that waits and was sent to `tried` may have a place that came free at this server.
    pub(super) fn fits(&self, server: usize, tried: &[usize]) -> bool {
        !tried.contains(&server) && self.tiers(tried).iter().any(|tier| tier.has(server))
    }

    /// What a request says about this server.
    pub(super) fn probe(&self, server: usize) -> Probe {
        match self.standings.get(server) {
            Some(Standing { ejected: true, .. }) => Probe::Last,
            _ => Probe::No,
        }
    }

    /// Whether a server is out, but by an operator's word, while another is up: there is little to be waited for.
    pub(super) fn is_lost(&self, server: usize) -> bool {
        !self.all_out && self.standings.get(server).is_some_and(|standing| standing.down || standing.ejected)
    }

    /// The tiers for a request that was sent to `tried`, of which each takes what those before have no room for: the first one with a
    /// server that was not tried, and the backups of its kind. Those that are worse off take nothing because others are full.
    fn tiers(&self, tried: &[usize]) -> &[Tier] {
        let is_left = |tier: &Tier| tried.iter().filter(|server| tier.has(**server)).count() < tier.count;
        let first = self.tiers.iter().position(is_left).unwrap_or(self.tiers.len());
        let left = self.tiers.get(first..).unwrap_or_default();
        left.chunk_by(|one, next| one.kind == next.kind).next().unwrap_or_default()
    }

    /// Whether there is a server for a request that was sent to `tried` and `here`, with room or without.
    pub(super) fn has_another(&self, tried: &[usize], here: usize) -> bool {
        let was_tried = |tier: &Tier| {
            let before = tried.iter().filter(|server| **server != here && tier.has(**server)).count();
            before + usize::from(tier.has(here))
        };
        self.tiers.iter().any(|tier| was_tried(tier) < tier.count)
    }

    fn claim(&self, tier: &Tier, ask: &Ask<'_>, loads: &impl Loads) -> Option<(usize, Probe)> {
        let free = |server: usize| {
            let roomy = loads.room(server / 64) >> (server % 64) & 1 == 1;
            roomy && !ask.tried.contains(&server) && loads.claim(server, usize::MAX)
        };
        let picked = match (ask.by, self.balance) {
            (By::Session { hash, .. }, _) => return self.hashed(tier, hash, None, ask, loads),
            (By::Hash(hash), Balance::Hash { bound }) => return self.hashed(tier, hash, Some(bound), ask, loads),
            // At random, or whoever comes behind a server that fails would get all of its requests.
            (_, Balance::RoundRobin | Balance::Hash { .. }) if !ask.tried.is_empty() => {
                tier.draws(mix(ask.turn)).find(|it| free(*it))
            }
            (_, Balance::RoundRobin | Balance::Hash { .. }) => tier.turns(ask.turn).take(TURNS).find(|it| free(*it)),
            (_, Balance::LeastRequests) => {
                let (one, other) = self.lesser(tier, mix(ask.turn), loads);
                [one, other].into_iter().flatten().find(|server| free(*server))
            }
            (_, Balance::First) => {
                // Of one that works its way up not every request.
                let lot = (mix(ask.turn) % 100) as u8;
                let in_share =
                    |server: &usize| self.standings.get(*server).is_some_and(|standing| lot < standing.share);
                let in_order = tier.scan(0, loads).filter(in_share);
                in_order.chain(tier.scan(0, loads)).find(|server| free(*server))
            }
        };
        let server = picked.or_else(|| tier.scan(mix(ask.turn), loads).find(|server| free(*server)))?;
        Some((server, self.probe(server)))
    }

    /// Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, 2016): the server of the key, or the next ones
    /// while those before have more than their bound of requests. Without a bound only while there is no room.
    fn hashed(
        &self,
        tier: &Tier,
        hash: u64,
        bound: Option<u32>,
        ask: &Ask<'_>,
        loads: &impl Loads,
    ) -> Option<(usize, Probe)> {
        let under_way = loads.under_way() as u64 + 1;
        let cap = |server: usize| {
            let Some(bound) = bound else { return usize::MAX };
            let weight = self.standings.get(server).map_or(0, |standing| standing.weight);
            let fair = u128::from(bound.max(100)) * u128::from(under_way) * u128::from(weight);
            let cap = fair.div_ceil(100 * u128::from(tier.weight.max(1))).max(u128::from(HANDFUL));
            usize::try_from(cap).unwrap_or(usize::MAX)
        };
        let untried = |server: &usize| !ask.tried.contains(server);
        for server in tier.walk(hash).filter(untried) {
            match self.standings.get(server).and_then(|standing| standing.trial) {
                Some(any) if ask.may_try(any) && loads.claim_trial(server) => return Some((server, Probe::Trial)),
                None if loads.claim(server, cap(server)) => return Some((server, self.probe(server))),
                _ => {}
            }
        }
        // The last resort: limits of connections leave no room within the bounds.
        let all = || tier.scan(mix(ask.turn), loads).filter(untried);
        let bounded = all().find(|server| loads.claim(*server, cap(*server)));
        let server = bounded.or_else(|| all().find(|server| loads.claim(*server, usize::MAX)))?;
        Some((server, self.probe(server)))
    }

    /// Two servers picked at random by weight, the one with fewer requests for its weight first.
    fn lesser(&self, tier: &Tier, random: u64, loads: &impl Loads) -> (Option<usize>, Option<usize>) {
        let one = tier.turns(random).next();
        let other = tier.draws(random).map(Some).find(|other| *other != one).flatten();
        let load = |server: usize| {
            let weight = self.standings.get(server).map_or(1, |standing| standing.weight.max(1));
            (loads.active(server) as u64 + 1, weight)
        };
        match (one, other) {
            (Some(a), Some(b)) => {
                let ((active, weight), (other_active, other_weight)) = (load(a), load(b));
                let lighter =
                    u128::from(active) * u128::from(other_weight) <= u128::from(other_active) * u128::from(weight);
                if lighter { (one, other) } else { (other, one) }
            }
            _ => (one, other),
        }
    }
}

/// A place for a trial. One server at most is looked at, however many are on trial.
fn trial(trials: &[(usize, bool)], ask: &Ask<'_>, loads: &impl Loads) -> Option<usize> {
    let candidate = (ask.turn % (trials.len() as u64).max(1)) as usize;
    let (server, any) = *trials.get(candidate)?;
    let may = ask.may_try(any) && !ask.tried.contains(&server);
    (may && loads.claim_trial(server)).then_some(server)
}

impl Tier {
    fn new(tier: usize, kind: usize, standings: &[Standing], circle: Option<&Circle>) -> Self {
        let members = standings.iter().enumerate().filter(|(_, standing)| standing.tier == Some(tier));
        let weights: Vec<(u32, u64)> = members.map(|(server, standing)| (server as u32, standing.weight)).collect();
        let mut bits = vec![0_u64; standings.len().div_ceil(64)];
        for (server, _) in &weights {
            if let Some(word) = bits.get_mut(*server as usize / 64) {
                *word |= 1 << (server % 64);
            }
        }
        let share = |server: u32| match standings.get(server as usize) {
            Some(standing) if standing.tier == Some(tier) => standing.share,
            Some(Standing { trial: Some(_), .. }) if tier == 0 => 100,
            _ => 0,
        };
        Self {
            kind,
            members: bits,
            count: weights.len(),
            schedule: schedule(&weights),
            ring: circle.map(|circle| circle.ring(share)).unwrap_or_default(),
            weight: weights.iter().map(|(_, weight)| weight).sum(),
        }
    }

    fn has(&self, server: usize) -> bool {
        self.members.get(server / 64).is_some_and(|word| word >> (server % 64) & 1 == 1)
    }

    /// The servers whose turn it is, from this turn on.
    fn turns(&self, turn: u64) -> impl Iterator<Item = usize> {
        let length = self.schedule.len() as u64;
        let server = move |step| self.schedule.get((turn.wrapping_add(step) % length.max(1)) as usize);
        (0..length).filter_map(server).map(|server| *server as usize)
    }

    /// A few servers at random, by their weights.
    fn draws(&self, random: u64) -> impl Iterator<Item = usize> {
        (1..=TURNS as u64).filter_map(move |draw| self.turns(mix(random ^ draw)).next())
    }

    /// The servers of a key, each of those on trial among them.
    fn walk(&self, hash: u64) -> impl Iterator<Item = usize> {
        self.ring.walk(hash).take(POINTS).map(|server| server as usize)
    }

    /// All that may have room, from somewhere on: a word of 64 servers at a time.
    fn scan<'a>(&'a self, from: u64, loads: &'a impl Loads) -> impl Iterator<Item = usize> + 'a {
        let words = self.members.len();
        let (first, turned) = ((from >> 32) as usize, (from % 64) as u32);
        (0..words).flat_map(move |step| {
            let word = first.wrapping_add(step) % words;
            let members = self.members.get(word).copied().unwrap_or(0);
            let mut bits = (members & loads.room(word)).rotate_right(turned);
            std::iter::from_fn(move || {
                let bit = (bits != 0).then(|| bits.trailing_zeros())?;
                bits &= bits - 1;
                Some(word * 64 + ((bit + turned) % 64) as usize)
            })
        })
    }
}

#[cfg(test)]
mod tests;
