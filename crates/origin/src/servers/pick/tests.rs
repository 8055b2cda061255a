use std::cell::Cell;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::status::ServerState::{Down, Drained, Ejected, Up};

const BALANCES: [Balance; 4] =
    [Balance::RoundRobin, Balance::LeastRequests, Balance::Hash { bound: 125 }, Balance::First];

/// Counts by hand, and how often they were asked.
struct Counts {
    active: Vec<Cell<usize>>,
    limits: Vec<usize>,
    trials: Vec<Cell<bool>>,
    steps: Cell<usize>,
}

impl Counts {
    fn new(servers: usize) -> Self {
        Self::limited(vec![usize::MAX; servers])
    }

    fn limited(limits: Vec<usize>) -> Self {
        let servers = limits.len();
        Self {
            active: vec![Cell::new(0); servers],
            limits,
            trials: vec![Cell::new(false); servers],
            steps: Cell::new(0),
        }
    }

    fn step(&self) {
        self.steps.set(self.steps.get() + 1);
    }

    fn end(&self, server: usize) {
        self.active[server].set(self.active[server].get() - 1);
    }
}

impl Loads for Counts {
    fn active(&self, server: usize) -> usize {
        self.step();
        self.active[server].get()
    }

    fn under_way(&self) -> usize {
        self.active.iter().map(Cell::get).sum()
    }

    fn claim(&self, server: usize, cap: usize) -> bool {
        self.step();
        let room = self.active[server].get() < cap.min(self.limits[server]);
        self.active[server].update(|active| active + usize::from(room));
        room
    }

    fn claim_trial(&self, server: usize) -> bool {
        !self.trials[server].replace(true) && self.claim(server, usize::MAX)
    }

    fn room(&self, word: usize) -> u64 {
        self.step();
        let has_room = |bit: &usize| {
            let server = word * 64 + bit;
            server < self.limits.len() && self.active[server].get() < self.limits[server]
        };
        (0..64).filter(has_room).fold(0, |bits, bit| bits | 1 << bit)
    }
}

fn fact(state: ServerState) -> Fact {
    Fact { weight: 1, backup: false, state, trial: None, share: 100 }
}

fn up(weight: u32) -> Fact {
    Fact { weight, ..fact(Up) }
}

fn backup(state: ServerState) -> Fact {
    Fact { backup: true, ..fact(state) }
}

fn circle(facts: &[Fact]) -> Circle {
    let name = |(index, fact): (usize, &Fact)| (format!("http://server{index}"), fact.weight);
    Circle::new(&facts.iter().enumerate().map(name).collect::<Vec<_>>())
}

fn table(facts: &[Fact], balance: Balance) -> Table {
    Table::new(facts, balance, Some(&circle(facts)), None)
}

fn ask(turn: u64, tried: &[usize]) -> Ask<'_> {
    Ask { by: By::Turn, tried, twice: true, safe: false, turn }
}

fn by_hash(hash: u64) -> Ask<'static> {
    Ask { by: By::Hash(hash), ..ask(hash, &[]) }
}

fn taken(picked: Picked) -> usize {
    match picked {
        Picked::Taken { server, .. } => server,
        other => panic!("{other:?}"),
    }
}

/// How often each server is picked by requests that are over at once.
fn shares(table: &Table, servers: usize, requests: u64, ask: impl Fn(u64) -> Ask<'static>) -> Vec<usize> {
    let loads = Counts::new(servers);
    let mut shares = vec![0; servers];
    for turn in 0..requests {
        let server = taken(table.pick(&ask(turn), &loads));
        loads.end(server);
        shares[server] += 1;
    }
    shares
}

/// What is shown, the servers, those that were tried, and those that get requests.
type Case<'a> = (&'a str, &'a [Fact], &'a [usize], &'a [usize]);

#[test]
fn who_gets_requests_with_any_balance() {
    let (out, trial) = (fact(Ejected), Fact { trial: Some(false), ..fact(Ejected) });
    let weightless = up(0);
    let cases: [Case<'_>; 12] = [
        ("all are up", &[up(1), up(1)], &[], &[0, 1]),
        ("who is out gets none", &[fact(Down), fact(Drained), out, up(1)], &[], &[3]),
        ("a backup gets none while another is up", &[up(1), backup(Up)], &[], &[0]),
        ("and all while no other is", &[fact(Down), backup(Up), out, fact(Drained)], &[], &[1]),
        ("and what was tried on the others", &[up(1), backup(Up)], &[0], &[1]),
        ("what was tried everywhere goes nowhere", &[up(1), backup(Up), fact(Down)], &[0, 1], &[]),
        ("with all out the failing come before the unwell", &[fact(Down), out, fact(Drained)], &[], &[1]),
        ("and the unwell before nobody", &[fact(Down), out, fact(Drained)], &[1], &[0]),
        ("and backups last of their kind", &[backup(Ejected), out, backup(Down)], &[], &[1]),
        ("a drained one never", &[fact(Drained), backup(Drained)], &[], &[]),
        ("who weighs nothing has nothing but its own", &[weightless, up(1)], &[], &[1]),
        ("a backup is not on trial while it is not needed", &[up(1), Fact { backup: true, ..trial }], &[], &[0]),
    ];
    for balance in BALANCES {
        for (what, facts, tried, wanted) in cases {
            let (table, loads) = (table(facts, balance), Counts::new(facts.len()));
            let mut seen: Vec<usize> = Vec::new();
            for turn in 0..100 {
                let by = if turn % 2 == 0 { By::Turn } else { By::Hash(turn) };
                if let Picked::Taken { server, .. } = table.pick(&Ask { by, ..ask(turn, tried) }, &loads) {
                    seen.push(server);
                    if balance != Balance::First {
                        loads.end(server);
                    }
                }
            }
            seen.sort_unstable();
            seen.dedup();
            let wanted = if balance == Balance::First { &wanted[..wanted.len().min(1)] } else { wanted };
            assert_eq!(seen, wanted, "{balance:?}: {what}");
        }
    }
}

#[test]
fn backups_take_what_the_others_have_no_room_for_and_only_then_somebody_waits() {
    for balance in BALANCES {
        let facts = [up(1), up(1), backup(Up)];
        let (table, loads) = (table(&facts, balance), Counts::limited(vec![2, 2, 1]));
        for turn in 0..4 {
            assert!(taken(table.pick(&by_hash(turn), &loads)) < 2, "{balance:?}");
        }
        assert_eq!(taken(table.pick(&by_hash(4), &loads)), 2, "{balance:?}");
        assert_eq!(table.pick(&by_hash(5), &loads), Picked::Full { only: None }, "{balance:?}");
        assert!(table.fits(1, &[0]) && !table.fits(0, &[0]) && table.fits(2, &[0]) && table.fits(2, &[0, 1]));
        for tried in [&[0][..], &[0, 1]] {
            assert_eq!(table.pick(&ask(4, tried), &loads), Picked::Full { only: None }, "{balance:?}");
            loads.end(2);
            assert_eq!(taken(table.pick(&ask(4, tried), &loads)), 2, "{balance:?}");
        }
        assert_eq!(table.pick(&ask(4, &[0, 1, 2]), &loads), Picked::Nobody, "{balance:?}");
        loads.end(1);
        loads.end(2);
        assert_eq!(taken(table.pick(&by_hash(5), &loads)), 1, "{balance:?}");
    }
}

#[test]
fn nobody_goes_to_unwell_servers_because_the_failing_are_full() {
    for balance in BALANCES {
        let facts = [fact(Ejected), backup(Ejected), fact(Down), backup(Down)];
        let (table, loads) = (table(&facts, balance), Counts::limited(vec![1; 4]));
        assert_eq!([0, 1].map(|turn| taken(table.pick(&by_hash(turn), &loads))), [0, 1], "{balance:?}");
        assert_eq!(table.pick(&by_hash(2), &loads), Picked::Full { only: None }, "{balance:?}");
        assert_eq!([2, 3].map(|turn| taken(table.pick(&ask(turn, &[0, 1]), &loads))), [2, 3], "{balance:?}");
    }
}

#[test]
fn a_backup_is_on_trial_where_the_others_are_full() {
    for balance in BALANCES {
        let facts = [up(1), Fact { backup: true, trial: Some(false), ..fact(Ejected) }];
        let (table, loads) = (table(&facts, balance), Counts::limited(vec![1, 2]));
        assert_eq!(taken(table.pick(&by_hash(0), &loads)), 0);
        assert_eq!(table.pick(&Ask { twice: false, ..by_hash(1) }, &loads), Picked::Full { only: None }, "{balance:?}");
        let trial = Picked::Taken { server: 1, probe: Probe::Trial };
        assert_eq!(table.pick(&by_hash(2), &loads), trial, "{balance:?}");
        assert_eq!(table.pick(&by_hash(3), &loads), Picked::Full { only: None }, "{balance:?}");
    }
}

#[test]
fn turns_go_by_weight_and_least_requests_do_too() {
    let facts = [up(1), up(2), up(5), Fact { share: 50, ..up(4) }];
    assert_eq!(shares(&table(&facts, Balance::RoundRobin), 4, 1_000, |turn| ask(turn, &[])), [100, 200, 500, 200]);
    // As many under way as stay: the more a server weighs, the more it gets.
    let (table, loads) = (table(&facts, Balance::LeastRequests), Counts::new(4));
    (0..1_000).for_each(|turn| _ = table.pick(&ask(turn, &[]), &loads));
    for (active, fair) in loads.active.iter().zip([100, 200, 500, 200_usize]) {
        assert!(active.get().abs_diff(fair) <= fair / 10 + 1, "{:?}", loads.active);
    }
}

#[test]
fn a_slow_server_gets_fewer_requests_where_the_least_count() {
    let (table, loads) = (table(&[up(1), up(1), up(1)], Balance::LeastRequests), Counts::new(3));
    let mut counts = [0; 3];
    for turn in 0..3_000 {
        let server = taken(table.pick(&ask(turn, &[]), &loads));
        counts[server] += 1;
        // The first one never ends any.
        if server != 0 {
            loads.end(server);
        }
    }
    assert!(counts[0] < 10, "{counts:?}");
}

#[test]
fn the_first_in_order_gets_all_until_it_is_full() {
    let facts = [up(1), up(1), up(1)];
    let (table, loads) = (table(&facts, Balance::First), Counts::limited(vec![2, 1, 5]));
    let picks: Vec<usize> = (0..5).map(|turn| taken(table.pick(&ask(turn, &[]), &loads))).collect();
    assert_eq!(picks, [0, 0, 1, 2, 2]);
}

#[test]
fn a_first_server_that_comes_back_gets_its_share() {
    let facts = [Fact { share: 30, ..up(1) }, up(1)];
    let shares = shares(&table(&facts, Balance::First), 2, 10_000, |turn| ask(turn, &[]));
    assert!(shares[0].abs_diff(3_000) < 300, "{shares:?}");
    let alone = [Fact { share: 30, ..up(1) }, fact(Down)];
    assert_eq!(self::shares(&table(&alone, Balance::First), 2, 100, |turn| ask(turn, &[])), [100, 0]);
}

#[test]
fn a_key_has_its_server_and_moves_only_with_it() {
    let balance = Balance::Hash { bound: 125 };
    let mut facts = vec![up(1); 10];
    let (before, loads) = (table(&facts, balance), Counts::new(10));
    let server = |table: &Table, hash| {
        let server = taken(table.pick(&by_hash(hash), &loads));
        loads.end(server);
        server
    };
    facts[3] = fact(Down);
    let without = Table::new(&facts, balance, Some(&circle(&facts)), None);
    for hash in 0..2_000 {
        let (old, new) = (server(&before, hash), server(&without, hash));
        assert!(old == new || old == 3, "{hash} moved from {old} to {new}");
        assert_ne!(new, 3);
    }
    // No hash: in turns.
    assert_eq!(shares(&before, 10, 100, |turn| ask(turn, &[])), [10; 10]);
}

#[test]
fn one_request_tries_a_server_out_and_the_others_do_not() {
    for balance in BALANCES {
        let mut facts = [up(1), up(1), Fact { trial: Some(false), ..fact(Ejected) }];
        let once = |turn| Ask { twice: false, ..ask(turn, &[]) };
        let pick = |table: &Table, loads: &Counts, ask: &Ask<'_>| match table.pick(ask, loads) {
            Picked::Taken { server, probe } => (server == 2, probe),
            other => panic!("{other:?}"),
        };
        let (early, loads) = (table(&facts, balance), Counts::new(3));
        assert_eq!(pick(&early, &loads, &once(0)), (false, Probe::No), "{balance:?}: it might be lost");
        assert_eq!(pick(&early, &loads, &ask(1, &[2])), (false, Probe::No), "{balance:?}: tried already");
        assert_eq!(pick(&early, &loads, &ask(2, &[])), (true, Probe::Trial), "{balance:?}");
        for turn in 3..50 {
            assert_eq!(pick(&early, &loads, &ask(turn, &[])), (false, Probe::No), "{balance:?}");
        }
        facts[2].trial = Some(true);
        let (late, loads) = (table(&facts, balance), Counts::new(3));
        let safe = Ask { safe: true, ..once(0) };
        assert_eq!(pick(&late, &loads, &safe), (false, Probe::No), "{balance:?}: it was at one that went out");
        assert_eq!(pick(&late, &loads, &once(0)), (true, Probe::Trial), "{balance:?}: any by now");
    }
}

#[test]
fn a_key_is_a_trial_only_where_it_belongs_to_the_server() {
    let facts = [up(1), up(1), Fact { trial: Some(false), ..fact(Ejected) }];
    let circle = circle(&facts);
    let (table, loads) = (table(&facts, Balance::Hash { bound: 125 }), Counts::new(3));
    for hash in 0..200 {
        let safe = taken(table.pick(&Ask { safe: true, ..by_hash(hash) }, &loads));
        loads.end(safe);
        assert_ne!(safe, 2);
        loads.trials[2].set(false);
        let server = taken(table.pick(&by_hash(hash), &loads));
        loads.end(server);
        assert_eq!(Some(server as u32), circle.home(hash));
    }
}

#[test]
fn sessions_stay_where_they_live() {
    let session = |server, hash| Ask { by: By::Session { server, hash }, ..ask(hash, &[]) };
    for balance in BALANCES {
        let facts = [up(1), up(1), up(0), fact(Drained), fact(Ejected)];
        let (table, loads) = (table(&facts, balance), Counts::limited(vec![9_000, 9_000, 2, 9, 9]));
        for hash in 0..20 {
            assert_eq!(taken(table.pick(&session(Some(1), hash), &loads)), 1);
            // Its server is out: another one, always the same.
            let other = taken(table.pick(&session(Some(3), hash), &loads));
            assert_eq!(other, taken(table.pick(&session(Some(4), hash), &loads)));
            assert_eq!(other, taken(table.pick(&session(None, hash), &loads)));
            assert!(other < 2);
        }
        // Who weighs nothing still has its own.
        assert_eq!(taken(table.pick(&session(Some(2), 0), &loads)), 2);
        assert_eq!(taken(table.pick(&session(Some(2), 0), &loads)), 2);
        assert_eq!(table.pick(&session(Some(2), 0), &loads), Picked::Full { only: Some(2) });
        let elsewhere = Ask { tried: &[2], ..session(Some(2), 0) };
        assert!(taken(table.pick(&elsewhere, &loads)) < 2);
    }
}

#[test]
fn a_session_waits_for_its_server_and_one_without_a_server_does_not() {
    let session = |server| Ask { by: By::Session { server, hash: 7 }, ..ask(7, &[]) };
    for balance in BALANCES {
        let facts = [up(1), backup(Up)];
        let (table, loads) = (table(&facts, balance), Counts::limited(vec![1, 1]));
        assert_eq!(taken(table.pick(&session(Some(0)), &loads)), 0);
        assert_eq!(table.pick(&session(Some(0)), &loads), Picked::Full { only: Some(0) }, "{balance:?}");
        assert_eq!(taken(table.pick(&session(None), &loads)), 1, "{balance:?}");
        assert_eq!(table.pick(&session(None), &loads), Picked::Full { only: None }, "{balance:?}");
    }
}

#[test]
fn a_pick_takes_a_few_steps_however_many_servers_there_are() {
    for balance in BALANCES {
        let most = |servers: usize, limit: usize, requests: u64| {
            let table = table(&vec![up(1); servers], balance);
            let loads = Counts::limited(vec![limit; servers]);
            let steps = (0..requests).map(|turn| {
                loads.steps.set(0);
                let by = if turn % 3 == 0 { By::Turn } else { By::Hash(turn / 2) };
                assert!(matches!(table.pick(&Ask { by, ..ask(turn, &[]) }, &loads), Picked::Taken { .. }));
                loads.steps.get()
            });
            steps.max().unwrap()
        };
        // With room everywhere; `First` fills one server after the other.
        let free = most(1_000, usize::MAX, 5_000);
        assert!(free <= 40, "{balance:?}: {free}");
        // To the last place of a thousand.
        let full = most(1_000, 3, 3_000);
        let tier = POINTS + 2 * 16 + 2 * TURNS + 2;
        assert!(full <= tier, "{balance:?}: {full}");
        // To a backup behind a thousand that are full.
        let facts: Vec<Fact> = (0..1_000).map(|_| up(1)).chain([backup(Up)]).collect();
        let (table, limits) = (table(&facts, balance), [vec![0; 1_000], vec![usize::MAX]].concat());
        let loads = Counts::limited(limits);
        for turn in 0..1_000 {
            loads.steps.set(0);
            let by = if turn % 3 == 0 { By::Turn } else { By::Hash(turn) };
            assert_eq!(taken(table.pick(&Ask { by, ..ask(turn, &[]) }, &loads)), 1_000);
            assert!(loads.steps.get() <= 2 * tier, "{balance:?}: {}", loads.steps.get());
        }
    }
}

fn any_fact() -> impl Strategy<Value = Fact> {
    let state = prop_oneof![4 => Just(Up), 1 => Just(Down), 1 => Just(Ejected), 1 => Just(Drained)];
    (0_u32..6, any::<bool>(), state, prop_oneof![Just(10_u8), Just(50), Just(100)], any::<Option<bool>>()).prop_map(
        |(weight, backup, state, share, trial)| {
            let trial = trial.filter(|_| state == Ejected);
            Fact { weight, backup, state, trial, share }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn nobody_waits_while_there_is_room_and_nobody_gets_more_than_it_may(
        facts in proptest::collection::vec(any_fact(), 1..90),
        limits in proptest::collection::vec(1_usize..4, 90),
        tried in proptest::collection::vec(any::<Index>(), 0..3),
        balance in prop_oneof![Just(BALANCES[0]), Just(BALANCES[1]), Just(BALANCES[2]), Just(BALANCES[3])],
        picks in 1_u64..150,
    ) {
        let mut tried: Vec<usize> = tried.iter().map(|index| index.index(facts.len())).collect();
        tried.sort_unstable();
        tried.dedup();
        let table = table(&facts, balance);
        let loads = Counts::limited(limits[..facts.len()].to_vec());
        for turn in 0..picks {
            let by = if turn % 2 == 0 { By::Turn } else { By::Hash(turn) };
            let picked = table.pick(&Ask { by, ..ask(turn, &tried) }, &loads);
            let fits = |server: &usize| table.fits(*server, &tried);
            let has_room = |server: &usize| loads.active[*server].get() < loads.limits[*server];
            match picked {
                Picked::Taken { server, probe } => {
                    prop_assert!(!tried.contains(&server) && facts[server].state != Drained && facts[server].weight > 0);
                    prop_assert!(probe == Probe::Trial || fits(&server));
                    prop_assert!(loads.active[server].get() <= loads.limits[server]);
                    let ups = facts.iter().any(|fact| fact.state == Up && fact.weight > 0);
                    prop_assert_eq!(probe == Probe::No, facts[server].state != Ejected);
                    prop_assert!(!ups || probe == Probe::Trial || facts[server].state == Up);
                }
                Picked::Full { only } => {
                    prop_assert_eq!(only, None);
                    let free = (0..facts.len()).filter(fits).find(has_room);
                    prop_assert_eq!(free, None);
                }
                Picked::Nobody => prop_assert_eq!((0..facts.len()).find(fits), None),
            }
        }
    }

    #[test]
    fn no_server_has_more_than_its_bound(
        weights in proptest::collection::vec(1_u32..6, 2..30),
        bound in 100_u32..200,
        keys in proptest::collection::vec(0_u64..8, 1..300),
        ends in proptest::collection::vec(any::<Option<Index>>(), 300),
    ) {
        let facts: Vec<Fact> = weights.iter().map(|weight| up(*weight)).collect();
        let table = table(&facts, Balance::Hash { bound });
        let loads = Counts::new(facts.len());
        let total: u64 = weights.iter().copied().map(u64::from).sum();
        let mut under_way = Vec::new();
        for (key, end) in keys.iter().zip(ends) {
            if let Some(end) = end && !under_way.is_empty() {
                loads.end(under_way.swap_remove(end.index(under_way.len())));
            }
            let server = taken(table.pick(&by_hash(*key), &loads));
            under_way.push(server);
            let fair = u64::from(bound) * under_way.len() as u64 * u64::from(weights[server]);
            let most = fair.div_ceil(100 * total).max(HANDFUL);
            prop_assert!(loads.active[server].get() as u64 <= most);
        }
    }
}
