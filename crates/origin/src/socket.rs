//! A stream that counts, so that a retry is decided by what went over the wire and not by an error's text.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::stream::Stream;

/// The bytes of a connection so far. Read and written by whoever drives the connection; relaxed counts are enough.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    read: AtomicU64,
    written: AtomicU64,
}

impl Meter {
    pub(crate) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

/// A connection's stream with a [`Meter`].
#[derive(Debug)]
pub(crate) struct Socket {
    stream: Stream,
    meter: Arc<Meter>,
}

impl Socket {
    pub(crate) fn new(stream: Stream) -> (Self, Arc<Meter>) {
        let meter = Arc::new(Meter::default());
        let socket = Self { stream, meter: meter.clone() };
        (socket, meter)
    }

    pub(crate) fn into_stream(self) -> Stream {
        self.stream
    }

    /// A write that failed stays pending, and the reader finds out why: a server that answers early and closes
    /// (413 to a large upload) breaks our writes while its response still waits to be read. What breaks the writes ends the reads
    /// too, so the connection is always woken.
    fn wrote(&self, result: io::Result<usize>) -> Poll<io::Result<usize>> {
        match result {
            Ok(count) => {
                let count_now = self.meter.written() + count as u64;
                self.meter.written.store(count_now, Ordering::Relaxed);
                Poll::Ready(Ok(count))
            }
            Err(error) => {
                tracing::debug!(%error, "writing to an origin failed");
                Poll::Pending
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, into))?;
        let read = (into.filled().len() - before) as u64;
        self.meter.read.store(self.meter.read() + read, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices));
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
