//! The idle connections of one server.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::link::Link;

/// How often idle connections are looked at, at most and at least.
const SWEEP: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Kept connections: the last one used is used first, so that a quiet time lets the others go.
pub(crate) struct Pool {
    idle: Mutex<Idle>,
    max_idle: usize,
    idle_timeout: Duration,
}

#[derive(Default)]
struct Idle {
    /// Oldest first.
    links: Vec<(Box<Link>, Instant)>,
    /// A sweeping task is there.
    swept: bool,
    /// The server's addresses, sorted; `None` = whatever a connection was made to.
    addresses: Option<Box<[SocketAddr]>>,
}

impl Idle {
    fn leads_there(&self, link: &Link) -> bool {
        match (&self.addresses, link.peer()) {
            (Some(addresses), Some(peer)) => addresses.binary_search(&peer).is_ok(),
            _ => true,
        }
    }
}

impl Pool {
    pub(crate) fn new(max_idle: usize, idle_timeout: Duration) -> Arc<Self> {
        Arc::new(Self { idle: Mutex::default(), max_idle, idle_timeout })
    }

    /// A connection that can take a request, idle for less than `believed`.
    pub(crate) async fn take(&self, believed: Duration) -> Option<Box<Link>> {
        loop {
            // The last one is the one that has been idle for the shortest time.
            let (mut link, since) = self.lock().links.pop_if(|(_, since)| since.elapsed() < believed)?;
            let expired = since.elapsed() >= self.idle_timeout;
            if !expired && poll_fn(|cx| Poll::Ready(link.is_usable(cx))).await {
                return Some(link);
            }
        }
    }

    /// Keeps a connection that is fit for another request; closes it where enough are kept, or the server has moved meanwhile.
    pub(crate) fn put(self: &Arc<Self>, link: Box<Link>) {
        let mut idle = self.lock();
        if idle.links.len() >= self.max_idle || !idle.leads_there(&link) {
            // Closing takes a system call: not under the lock.
            drop(idle);
            drop(link);
            return;
        }
        idle.links.push((link, Instant::now()));
        if !idle.swept
            && let Ok(runtime) = Handle::try_current()
        {
            idle.swept = true;
            runtime.spawn(sweep(Arc::downgrade(self), self.idle_timeout / 2));
        }
    }

    /// The server is at these addresses, sorted, from now on: idle connections to others are closed, those in use are not kept.
    pub(crate) fn only(&self, addresses: &[SocketAddr]) {
        let mut idle = self.lock();
        idle.addresses = Some(addresses.into());
        let (staying, closing) =
            std::mem::take(&mut idle.links).into_iter().partition(|(link, _)| idle.leads_there(link));
        idle.links = staying;
        drop(idle);
        drop::<Vec<_>>(closing);
    }

    /// Closes what is idle for too long and what the server has closed. False when nothing is left to look after.
    fn tidy(&self) -> bool {
        let now = Instant::now();
        let mut context = Context::from_waker(Waker::noop());
        let mut idle = self.lock();
        let closing: Vec<_> = idle
            .links
            .extract_if(.., |(link, since)| {
                now.duration_since(*since) >= self.idle_timeout || !link.is_usable(&mut context)
            })
            .collect();
        idle.swept = !idle.links.is_empty();
        let more = idle.swept;
        drop(idle);
        drop(closing);
        more
    }

    /// How many connections are idle.
    pub(crate) fn len(&self) -> usize {
        self.lock().links.len()
    }

    /// A panic elsewhere cannot leave the list half changed.
    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks after a pool while it has connections. Idle ones are driven by nobody, so a server's close would stay unseen
/// and its socket half open until the next request.
async fn sweep(pool: Weak<Pool>, period: Duration) {
    let mut ticks = interval(period.clamp(SWEEP.0, SWEEP.1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        match pool.upgrade() {
            Some(pool) if pool.tidy() => {}
            Some(_) | None => return,
        }
    }
}
