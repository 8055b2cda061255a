//! How long a client may keep a connection without getting on with it.
//!
//! hyper's own timer would be set and dropped for every request. Here a request costs a few flags; one timer a
//! connection fires once in `limits.header_timeout` and looks whether anything has happened since. So a limit is kept
//! within one such period more than it says.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use copal_policy::Limits;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Sleep, Timer, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::Place;

/// What the parts of a connection tell of it. All of them run in the connection's task, or while it waits for them;
/// the atomics are there to be shared, not to order anything.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// A request head is awaited.
    head: AtomicBool,
    /// The how-many-eth it is, from 1.
    heads: AtomicU32,
    /// A part of that head has come.
    begun: AtomicBool,
    /// More of a request body is awaited.
    body: AtomicBool,
    /// The client takes no more of a response for now.
    blocked: AtomicBool,
    /// Counts what got on, body or response.
    progress: AtomicU32,
    /// A response broke off, and only a reset tells the client.
    cut: AtomicBool,
}

impl Waits {
    /// The connection is to be reset when it ends.
    pub(super) fn cut(&self) {
        self.cut.store(true, Relaxed);
    }

    fn await_head(&self) {
        self.heads.fetch_add(1, Relaxed);
        self.begun.store(false, Relaxed);
        self.head.store(true, Relaxed);
    }

    /// Either something got on, or `what` is waited for.
    fn got_on(&self, what: &AtomicBool, got_on: bool) {
        what.store(!got_on, Relaxed);
        if got_on {
            // No read-modify-write: a connection is polled by one thread at a time.
            self.progress.store(self.progress.load(Relaxed).wrapping_add(1), Relaxed);
        }
    }
}

/// hyper's timer for request heads: it tells when one is awaited, and never fires.
pub(super) struct HeadTimer {
    waits: Arc<Waits>,
    /// hyper adds the timeout to this and gives it back.
    base: std::time::Instant,
}

impl HeadTimer {
    pub(super) fn new(waits: Arc<Waits>) -> Self {
        Self { waits, base: Instant::now().into_std() }
    }
}

impl Timer for HeadTimer {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.base)
    }

    fn sleep_until(&self, _: std::time::Instant) -> Pin<Box<dyn Sleep>> {
        self.waits.await_head();
        Box::pin(HeadWait(Arc::clone(&self.waits)))
    }

    fn now(&self) -> std::time::Instant {
        self.base
    }

    fn reset(&self, _: &mut Pin<Box<dyn Sleep>>, _: std::time::Instant) {
        self.waits.await_head();
    }
}

/// Held by hyper while it awaits a request head.
struct HeadWait(Arc<Waits>);

impl Sleep for HeadWait {}

impl Future for HeadWait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

impl Drop for HeadWait {
    fn drop(&mut self) {
        self.0.head.store(false, Relaxed);
    }
}

/// The connection's one timer, and what was seen when it last fired.
pub(super) struct Patience {
    watch: Watch,
    began: Instant,
    timer: Pin<Box<tokio::time::Sleep>>,
    set: bool,
}

impl Patience {
    pub(super) fn new(waits: Arc<Waits>, limits: &Limits) -> Self {
        let began = Instant::now();
        Self {
            watch: Watch::new(waits, limits.header_timeout, limits.keep_alive_timeout),
            began,
            timer: Box::pin(tokio::time::sleep_until(began + limits.header_timeout)),
            set: false,
        }
    }

    /// Ready when the connection has lain for too long.
    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Once it is set it wakes the task by itself, and until then one load tells that nothing is due.
        if self.set && !self.timer.is_elapsed() {
            return Poll::Pending;
        }
        self.set = true;
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let now = Instant::now();
            match self.watch.look(now.duration_since(self.began)) {
                Some(next) => self.timer.as_mut().reset(now + next),
                None => return Poll::Ready(()),
            }
        }
    }
}

/// The judgement: pure but for the flags it reads.
struct Watch {
    waits: Arc<Waits>,
    head_limit: Duration,
    idle_limit: Duration,
    idle: Seen,
    part: Seen,
    stall: Seen,
}

/// Since when something has been as it is; `mark` tells one time from the next.
#[derive(Debug, Default, Clone, Copy)]
struct Seen(Option<(u32, Duration)>);

impl Seen {
    /// How long it has been so, as far as it was seen.
    fn lasted(&mut self, mark: u32, now: Duration) -> Duration {
        match self.0 {
            Some((known, since)) if known == mark => now.saturating_sub(since),
            _ => {
                self.0 = Some((mark, now));
                Duration::ZERO
            }
        }
    }
}

impl Watch {
    fn new(waits: Arc<Waits>, head_limit: Duration, idle_limit: Duration) -> Self {
        // The first head is owed from the moment of the connection on.
        let part = Seen(Some((1, Duration::ZERO)));
        Self { waits, head_limit, idle_limit, idle: Seen::default(), part, stall: Seen::default() }
    }

    /// When to look again; none when patience is over. `now`: since the connection began.
    fn look(&mut self, now: Duration) -> Option<Duration> {
        let waits = &self.waits;
        // hyper may await the next head while a slow client still takes the response before.
        let stalls = waits.blocked.load(Relaxed) || (waits.body.load(Relaxed) && !waits.head.load(Relaxed));
        let (lasted, limit) = if stalls {
            (self.stall.lasted(waits.progress.load(Relaxed), now), self.idle_limit)
        } else if waits.head.load(Relaxed) {
            let heads = waits.heads.load(Relaxed);
            if waits.begun.load(Relaxed) || heads == 1 {
                (self.part.lasted(heads, now), self.head_limit)
            } else {
                (self.idle.lasted(heads, now), self.idle_limit)
            }
        } else {
            // The origin is awaited; that has limits of its own.
            (Duration::ZERO, self.head_limit)
        };
        let left = limit.checked_sub(lasted).filter(|left| !left.is_zero())?;
        Some(left.min(self.head_limit))
    }
}

/// The client's socket; tells when bytes came and when the client takes no more.
pub(super) struct ClientIo {
    socket: TokioIo<TcpStream>,
    _place: Place,
    waits: Arc<Waits>,
}

impl ClientIo {
    pub(super) fn new(socket: TcpStream, place: Place, waits: Arc<Waits>) -> Self {
        Self { socket: TokioIo::new(socket), _place: place, waits }
    }

    fn written(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.waits.got_on(&self.waits.blocked, !result.is_pending());
        result
    }
}

impl Read for ClientIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut self.socket).poll_read(cx, buffer));
        if !self.waits.begun.load(Relaxed) {
            self.waits.begun.store(true, Relaxed);
        }
        Poll::Ready(result)
    }
}

impl Write for ClientIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.written(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.written(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.waits.cut.load(Relaxed) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

impl Drop for ClientIo {
    fn drop(&mut self) {
        if self.waits.cut.load(Relaxed) {
            // A socket that is gone already needs no reset.
            let _ = self.socket.inner().set_zero_linger();
        }
    }
}

/// A request body; tells when more of it is awaited.
pub(super) struct ClientBody {
    body: Incoming,
    waits: Arc<Waits>,
}

impl ClientBody {
    pub(super) fn new(body: Incoming, waits: Arc<Waits>) -> Self {
        Self { body, waits }
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.waits.got_on(&self.waits.body, !frame.is_pending());
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        self.waits.body.store(false, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(60);

    fn watch() -> (Arc<Waits>, Watch) {
        let waits = Arc::<Waits>::default();
        (Arc::clone(&waits), Watch::new(waits, HEAD, IDLE))
    }

    /// Looks as often as it asks for, from `from` on, for at most an hour; when patience was over.
    fn over(watch: &mut Watch, from: u64) -> Option<u64> {
        let mut now = Duration::from_secs(from);
        while now < Duration::from_secs(from + 3_600) {
            match watch.look(now) {
                Some(next) => now += next,
                None => return Some(now.as_secs()),
            }
        }
        None
    }

    #[test]
    fn the_first_head_is_owed_from_the_connection_on() {
        let (waits, mut watch) = watch();
        waits.await_head();
        assert_eq!(over(&mut watch, 10), Some(10));
    }

    #[test]
    fn an_unused_connection_is_kept_for_the_idle_limit() {
        let (waits, mut watch) = watch();
        waits.await_head();
        waits.await_head();
        assert_eq!(over(&mut watch, 100), Some(160));
    }

    #[test]
    fn a_later_head_that_was_begun_is_owed_within_two_periods() {
        let (waits, mut watch) = watch();
        waits.await_head();
        waits.await_head();
        assert_eq!(watch.look(Duration::from_secs(100)), Some(HEAD));
        waits.begun.store(true, Relaxed);
        assert_eq!(over(&mut watch, 110), Some(120));
    }

    #[test]
    fn each_head_has_its_own_time() {
        let (waits, mut watch) = watch();
        for round in 1..100 {
            waits.await_head();
            waits.begun.store(true, Relaxed);
            assert!(watch.look(Duration::from_secs(round * 9)).is_some(), "head {round}");
            waits.head.store(false, Relaxed);
        }
    }

    #[test]
    fn the_origin_may_take_its_time() {
        let (waits, mut watch) = watch();
        waits.await_head();
        waits.head.store(false, Relaxed);
        assert_eq!(over(&mut watch, 10), None);
    }

    #[test]
    fn a_slow_upload_or_download_goes_on_and_a_stalled_one_ends() {
        for what in
            [|waits: &Waits| waits.got_on(&waits.body, false), |waits: &Waits| waits.got_on(&waits.blocked, false)]
        {
            let (waits, mut watch) = watch();
            waits.await_head();
            waits.head.store(false, Relaxed);
            for second in (10..1_000).step_by(50) {
                waits.got_on(&waits.blocked, true);
                what(&waits);
                assert!(watch.look(Duration::from_secs(second)).is_some(), "at {second}");
            }
            assert_eq!(over(&mut watch, 1_000), Some(1_020));
        }
    }

    #[test]
    fn a_download_may_last_although_the_next_head_is_awaited_already() {
        let (waits, mut watch) = watch();
        waits.await_head();
        waits.await_head();
        for second in (10..1_000).step_by(50) {
            waits.got_on(&waits.blocked, true);
            waits.got_on(&waits.blocked, false);
            assert!(watch.look(Duration::from_secs(second)).is_some(), "at {second}");
        }
    }
}
