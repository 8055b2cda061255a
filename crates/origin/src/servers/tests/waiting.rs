//! Requests that wait for a server with room.

use proptest::prelude::*;

use super::*;

type Waiting<'a> = Pin<Box<dyn Future<Output = Result<Option<Lease>, OriginError>> + Send + 'a>>;

fn poll(waiting: &mut Waiting<'_>) -> Poll<Result<Option<Lease>, OriginError>> {
    waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// A request that has to wait.
fn join<'a>(servers: &'a Servers, wanted: &'a Wanted<'a>) -> Waiting<'a> {
    let mut waiting: Waiting<'a> = Box::pin(servers.pick(wanted));
    assert!(poll(&mut waiting).is_pending());
    waiting
}

fn served(waiting: &mut Waiting<'_>) -> Option<usize> {
    match poll(waiting) {
        Poll::Ready(lease) => Some(lease.unwrap().unwrap().index()),
        Poll::Pending => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_that_comes_free_goes_to_the_first_in_line() {
    let servers = Servers::new(&limited(2, 1)).unwrap();
    let leases = [pick(&servers), pick(&servers)];
    let wanted = twice();
    let (mut first, mut second) = (join(&servers, &wanted), join(&servers, &wanted));
    assert_eq!(servers.status().waiting, 2);
    let [one, two] = leases;
    let index = two.index();
    drop(two);
    // Whoever comes now is behind those who wait.
    assert!(servers.try_pick(&wanted).is_none());
    let mut third = join(&servers, &wanted);
    assert!(poll(&mut second).is_pending());
    let Poll::Ready(Ok(Some(lease))) = poll(&mut first) else { panic!("the first is served") };
    assert_eq!((lease.index(), servers.status().waiting), (index, 2));
    drop(one);
    drop(lease);
    assert!(served(&mut second).is_some() && served(&mut third).is_some());
    assert_eq!((active(&servers), servers.status().waiting), (vec![0, 0], 0));
}

#[tokio::test(start_paused = true)]
async fn a_place_given_to_somebody_who_left_goes_to_the_next() {
    let servers = Servers::new(&limited(1, 1)).unwrap();
    let wanted = twice();
    let lease = pick(&servers);
    let (first, mut second) = (join(&servers, &wanted), join(&servers, &wanted));
    let mut third = join(&servers, &wanted);
    // The first leaves before, the second after it was given the place.
    drop(first);
    drop(lease);
    assert_eq!(servers.status().waiting, 1);
    let Poll::Ready(Ok(Some(lease))) = poll(&mut second) else { panic!("the second is served") };
    let fourth = join(&servers, &wanted);
    drop(lease);
    drop(fourth);
    assert_eq!(served(&mut third), Some(0));
    assert_eq!((active(&servers), servers.status().waiting), (vec![0], 0));
    // And one that was given a place and never looked.
    let lease = pick(&servers);
    let (never, mut next) = (join(&servers, &wanted), join(&servers, &wanted));
    drop(lease);
    drop(never);
    assert_eq!(served(&mut next), Some(0));
    assert_eq!(active(&servers), [0]);
}

#[tokio::test(start_paused = true)]
async fn the_queue_has_an_end_and_so_has_patience() {
    let queue = Queue { size: 1, timeout: 3 * SECOND };
    let servers = Servers::new(&OriginSettings { queue, ..limited(2, 1) }).unwrap();
    let leases = [pick(&servers), pick(&servers)];
    let wanted = twice();
    let waiting = [join(&servers, &wanted), join(&servers, &wanted)];
    let busy = servers.pick(&wanted).await.unwrap_err();
    assert_eq!((busy.kind(), busy.proxy_status()), (Kind::Busy, "connection_limit_reached"));
    assert!(busy.kind().nothing_sent() && busy.fault() == crate::Fault::Origin);
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap_err().kind(), Kind::Busy);
    }
    let status = servers.status();
    assert_eq!((status.waiting, status.refused), (0, 3));
    drop(leases);
    let none = Queue { size: 0, ..queue };
    let servers = Servers::new(&OriginSettings { queue: none, ..limited(1, 1) }).unwrap();
    let _lease = pick(&servers);
    assert_eq!(servers.pick(&wanted).await.unwrap_err().kind(), Kind::Busy);
}

#[tokio::test(start_paused = true)]
async fn a_backup_takes_the_overflow_and_serves_those_who_wait() {
    let mut settings = OriginSettings { queue: Queue { size: 0, timeout: SECOND }, ..limited(2, 1) };
    settings.servers[1].backup = true;
    let servers = Servers::new(&settings).unwrap();
    let _leases = [at(&servers, 0), at(&servers, 1)];
    assert_eq!(servers.pick(&twice()).await.unwrap_err().kind(), Kind::Busy);
    settings.queue.size = 9;
    let servers = Servers::new(&settings).unwrap();
    let [ordinary, spare] = [at(&servers, 0), at(&servers, 1)];
    let wanted = twice();
    let (mut first, mut second) = (join(&servers, &wanted), join(&servers, &wanted));
    drop(spare);
    let Poll::Ready(Ok(Some(spare))) = poll(&mut first) else { panic!("the first is served") };
    assert_eq!(spare.index(), 1);
    drop(ordinary);
    assert_eq!(served(&mut second), Some(0));
}

#[tokio::test(start_paused = true)]
async fn sessions_wait_for_their_own_server() {
    let servers = Servers::new(&OriginSettings { sticky: vec!["sid".to_owned()], ..limited(2, 1) }).unwrap();
    let set = |value| HeaderMap::from_iter([(SET_COOKIE, http::HeaderValue::from_static(value))]);
    servers.sticky.learn(&set("sid=a"), 0, None);
    let leases = [at(&servers, 0), at(&servers, 1)];
    let session = Wanted { session: servers.session(&cookie("sid=a")), ..twice() };
    let error = servers.pick(&session).await.unwrap_err();
    assert_eq!(error.to_string(), "the session's server server0:80 has as many requests as it may");
    let any = twice();
    let error = servers.pick(&any).await.unwrap_err();
    assert_eq!(error.to_string(), "every server has as many requests as it may");
    let (mut bound, mut free) = (join(&servers, &session), join(&servers, &any));
    let [zero, one] = leases;
    drop(one);
    assert!(poll(&mut bound).is_pending());
    assert_eq!(served(&mut free), Some(1));
    drop(zero);
    assert_eq!(served(&mut bound), Some(0));
    // Its server goes while it waits: it waits for any, and lives there from then on.
    let (_zero, one) = (at(&servers, 0), at(&servers, 1));
    let mut bound = join(&servers, &session);
    servers.drain("server0:80", true);
    assert!(poll(&mut bound).is_pending());
    drop(one);
    assert_eq!(served(&mut bound), Some(1));
    servers.drain("server0:80", false);
    assert_eq!(servers.pick(&session).await.unwrap().unwrap().index(), 1);
}

#[tokio::test(start_paused = true)]
async fn servers_that_come_and_go_are_heard_of_in_the_line() {
    let servers = Servers::new(&limited(2, 1)).unwrap();
    servers.drain("server1:80", true);
    let wanted = twice();
    let lease = pick(&servers);
    let mut waiting = join(&servers, &wanted);
    servers.drain("server1:80", false);
    assert_eq!(served(&mut waiting), Some(1));
    servers.drain("server1:80", true);
    let mut waiting = join(&servers, &wanted);
    servers.drain("server0:80", true);
    let Poll::Ready(Err(error)) = poll(&mut waiting) else { panic!("nobody takes requests") };
    assert_eq!(error.kind(), Kind::NoServer);
    drop(lease);
}

#[tokio::test(start_paused = true)]
async fn places_come_free_across_new_settings() {
    let before = Servers::new(&limited(1, 2)).unwrap();
    let wanted = twice();
    let old = [pick(&before), pick(&before)];
    let mut old_waiting = join(&before, &wanted);
    let after = Servers::new(&limited(1, 2)).unwrap();
    after.adopt(&before);
    let mut new_waiting = join(&after, &wanted);
    let mut last = join(&after, &wanted);
    // The old line is served by the old servers first; then who waits for the new ones hears of it.
    let [one, two] = old;
    drop(one);
    assert_eq!(served(&mut old_waiting), Some(0));
    assert_eq!(served(&mut new_waiting), Some(0));
    drop(two);
    let Poll::Ready(Ok(Some(lease))) = poll(&mut last) else { panic!("the last is served") };
    let more = pick(&after);
    assert_eq!((active(&before), active(&after)), (vec![2], vec![2]));
    let mut old_waiting = join(&before, &wanted);
    drop((lease, more));
    assert_eq!(served(&mut old_waiting), Some(0));
    assert_eq!(active(&after), [0]);
}

#[derive(Clone, Debug)]
enum Step {
    Join { session: Option<u8> },
    Leave(prop::sample::Index),
    End { of: prop::sample::Index, failed: bool },
    Drain(prop::sample::Index, bool),
    Check(prop::sample::Index, bool),
    Later(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        6 => proptest::option::of(0_u8..6).prop_map(|session| Step::Join { session }),
        2 => index().prop_map(Step::Leave),
        6 => (index(), any::<bool>()).prop_map(|(of, failed)| Step::End { of, failed }),
        1 => (index(), any::<bool>()).prop_map(|(of, out)| Step::Drain(of, out)),
        1 => (index(), any::<bool>()).prop_map(|(of, well)| Step::Check(of, well)),
        1 => (0_u8..20).prop_map(Step::Later),
    ]
}

const COOKIES: [&str; 6] = ["sid=0", "sid=1", "sid=2", "sid=3", "sid=4", "sid=5"];

async fn nobody_is_forgotten(limits: Vec<usize>, backups: Vec<bool>, balance: Balance, steps: Vec<Step>) {
    let mut settings = OriginSettings {
        balance,
        sticky: vec!["sid".to_owned()],
        health: Some(checked()),
        queue: Queue { size: 100, timeout: Duration::from_secs(86_400) },
        ..strict(limits.len())
    };
    std::iter::zip(&mut settings.servers, &limits).for_each(|(server, limit)| server.max_connections = *limit);
    std::iter::zip(&mut settings.servers, backups).for_each(|(server, backup)| server.backup = backup);
    let servers = Servers::new(&settings).unwrap();
    let wanted: Vec<Wanted<'_>> = (COOKIES.iter())
        .map(|value| Wanted { session: servers.session(&cookie(value)), ..twice() })
        .chain([twice()])
        .collect();
    let mut waiting: Vec<(usize, Waiting<'_>)> = Vec::new();
    let mut leases: Vec<Lease> = Vec::new();
    for step in steps {
        match step {
            Step::Join { session } => {
                let which = session.map_or(6, usize::from);
                waiting.push((which, Box::pin(servers.pick(&wanted[which]))));
            }
            Step::Leave(of) if !waiting.is_empty() => drop(waiting.remove(of.index(waiting.len()))),
            Step::End { of, failed } if !leases.is_empty() => {
                let lease = leases.swap_remove(of.index(leases.len()));
                if failed { lease.failed(Kind::Closed) } else { good(lease) }
            }
            Step::Drain(of, out) => {
                servers.drain(&format!("server{}:80", of.index(limits.len())), out);
            }
            Step::Check(of, well) => servers.members()[of.index(limits.len())].checked(well, "a check"),
            Step::Later(seconds) => advance(u32::from(seconds) * SECOND).await,
            Step::Leave(_) | Step::End { .. } => {}
        }
        for (which, mut waits) in std::mem::take(&mut waiting) {
            match poll(&mut waits) {
                Poll::Ready(Ok(Some(lease))) => leases.push(lease),
                Poll::Ready(Ok(None)) => panic!("nothing was tried"),
                Poll::Ready(Err(error)) => assert_eq!(error.kind(), Kind::NoServer),
                Poll::Pending => waiting.push((which, waits)),
            }
        }
        let status = servers.status();
        assert_eq!(status.waiting, waiting.len());
        assert_eq!(active(&servers).iter().sum::<usize>(), leases.len());
        assert!(active(&servers).iter().zip(&limits).all(|(active, limit)| active <= limit));
        // Whoever waits has no other choice.
        for (which, _) in &waiting {
            let free = servers.try_pick(&wanted[*which]).map(|lease| (lease.index(), servers.table.load().all_out));
            assert!(free.is_none_or(|(index, _)| states(&servers)[index] == Ejected), "{free:?}: {status:?}");
        }
    }
    drop(waiting);
    drop(leases);
    assert_eq!((active(&servers).iter().sum::<usize>(), servers.status().waiting), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_waiter_is_forgotten(
        limits in proptest::collection::vec(1_usize..3, 1..4),
        backups in proptest::collection::vec(any::<bool>(), 3),
        balance in prop_oneof![Just(Balance::RoundRobin), Just(Balance::LeastRequests), Just(Balance::First), Just(Balance::Hash { bound: 125 })],
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(nobody_is_forgotten(limits, backups, balance, steps));
    }
}

/// Real threads: claims, hand-overs and drops at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_waiter_is_forgotten_by_threads_either() {
    for balance in [Balance::RoundRobin, Balance::LeastRequests, Balance::Hash { bound: 125 }] {
        let queue = Queue { size: 10_000, timeout: Duration::from_secs(600) };
        let servers = Servers::new(&OriginSettings { balance, queue, ..limited(3, 2) }).unwrap();
        let tasks = (0..64_u64).map(|task| {
            let servers = servers.clone();
            tokio::spawn(async move {
                for round in 0..100 {
                    let wanted = Wanted { hash: Some(round), ..twice() };
                    let mut waiting: Waiting<'_> = Box::pin(servers.pick(&wanted));
                    if (task + round) % 5 == 0 {
                        // This one leaves.
                        drop(poll(&mut waiting));
                        continue;
                    }
                    let lease = waiting.await.unwrap().unwrap();
                    assert!(lease.member().load().active() <= 2);
                    tokio::task::yield_now().await;
                    good(lease);
                }
            })
        });
        let tasks: Vec<_> = tasks.collect();
        for task in tasks {
            copal_testkit::patiently(|| format!("all leases, {balance:?}"), task).await.unwrap();
        }
        assert_eq!((active(&servers), servers.status().waiting), (vec![0; 3], 0));
    }
}
