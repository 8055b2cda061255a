//! Connections that were handed over by a 101: bytes are copied both ways until either side closes, nothing has moved for
//! `limits.upgrade_idle`, or the server comes to its end.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use copal_origin::{Upgraded, Upgrading};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf, copy_bidirectional};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Figures of tunnels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TunnelUsage {
    /// Open at this moment.
    pub open: u64,
    /// Opened since the start.
    pub opened: u64,
    /// Closed because nothing had moved for too long.
    pub idle: u64,
}

/// The tunnels of a proxy.
pub(crate) struct Tunnels {
    opened: AtomicU64,
    closed: AtomicU64,
    idle: AtomicU64,
    end: watch::Sender<bool>,
}

impl Tunnels {
    pub(crate) fn new() -> Arc<Self> {
        let [opened, closed, idle] = [0; 3].map(AtomicU64::new);
        Arc::new(Self { opened, closed, idle, end: watch::Sender::new(false) })
    }

    pub(crate) fn usage(&self) -> TunnelUsage {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        // In this order, so that there are never fewer than none.
        let (closed, opened) = (read(&self.closed), read(&self.opened));
        TunnelUsage { open: opened.saturating_sub(closed), opened, idle: read(&self.idle) }
    }

    /// Closes all tunnels, and what is to become one from now on.
    pub(crate) fn end(&self) {
        self.end.send_replace(true);
    }

    /// Makes the two connections one, as soon as both are free of HTTP.
    pub(crate) fn open(self: &Arc<Self>, client: Upgrading, origin: Upgrading, idle: Duration) {
        let tunnel = Tunnel::new(self);
        tokio::spawn(async move {
            let (Ok(client), Ok(origin)) = tokio::join!(client, origin) else {
                tracing::debug!("an upgraded connection was gone before it could be used");
                return;
            };
            tunnel.run(client, origin, idle).await;
        });
    }
}

/// Counts itself.
struct Tunnel(Arc<Tunnels>);

impl Tunnel {
    fn new(all: &Arc<Tunnels>) -> Self {
        all.opened.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(all))
    }

    async fn run(self, client: Upgraded, mut origin: Upgraded, idle: Duration) {
        let moved = Arc::new(Moved::new());
        let mut client = Moving { inner: client, moved: Arc::clone(&moved) };
        match self.copy(&mut client, &mut origin, &moved, idle).await {
            Ok(why) => tracing::debug!(why, "an upgraded connection ended"),
            Err(error) => tracing::debug!(%error, "an upgraded connection broke off"),
        }
        // Both sides are told; that they take it is not waited for.
        let _ = tokio::time::timeout(CLOSING, async { tokio::join!(client.shutdown(), origin.shutdown()) }).await;
    }

    /// Copies until one of the ends comes; says which.
    async fn copy(
        &self,
        client: &mut Moving,
        origin: &mut Upgraded,
        moved: &Moved,
        idle: Duration,
    ) -> io::Result<&'static str> {
        // One future from first to last: it holds what has been read and not been written yet.
        let mut copying = pin!(copy_bidirectional(client, origin));
        let mut end = self.0.end.subscribe();
        loop {
            tokio::select! {
                biased;
                result = &mut copying => return result.map(|_| "closed"),
                _ = end.wait_for(|end| *end) => return Ok("drain"),
                () = sleep_until(moved.last() + idle) => {}
            }
            if moved.last().elapsed() >= idle {
                self.0.idle.fetch_add(1, Ordering::Relaxed);
                return Ok("idle");
            }
        }
    }
}

/// How long the last bytes may take to leave.
const CLOSING: Duration = Duration::from_secs(1);

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.0.closed.fetch_add(1, Ordering::Relaxed);
    }
}

/// When something moved last.
struct Moved {
    began: Instant,
    /// Milliseconds from then.
    after: AtomicU64,
}

impl Moved {
    fn new() -> Self {
        Self { began: Instant::now(), after: AtomicU64::new(0) }
    }

    fn now(&self) {
        let after = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.after.store(after, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.began + Duration::from_millis(self.after.load(Ordering::Relaxed))
    }
}

/// A connection that tells when something moves on it: what comes from it, and what goes out on it.
struct Moving {
    inner: Upgraded,
    moved: Arc<Moved>,
}

impl AsyncRead for Moving {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_read(cx, into))?;
        self.moved.now();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Moving {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let sent = ready!(Pin::new(&mut self.inner).poll_write(cx, bytes))?;
        self.moved.now();
        Poll::Ready(Ok(sent))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
