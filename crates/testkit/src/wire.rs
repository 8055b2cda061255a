//! HTTP/1 framing (RFC 9112), just enough to read messages exactly as they come. Both sides use it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::request::{find, find_all};

/// A limit against endless heads in a test gone wrong, in bytes.
const MAX_HEAD: usize = 4 << 20;

/// The start line and the header lines of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) start: String,
    pub(crate) headers: Vec<(String, String)>,
}

/// How the end of a body is known (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// No more bytes.
    Done,
    /// This many bytes are left.
    Length(u64),
    /// In chunks: bytes left in this one; `None` before a size line.
    Chunked(Option<u64>),
    /// Until the connection closes.
    UntilClose,
}

impl Framing {
    /// The framing that the header lines of a message announce; `otherwise` when they say nothing.
    pub(crate) fn of(headers: &[(String, String)], otherwise: Framing) -> io::Result<Framing> {
        if let Some(coding) = find_all(headers, "transfer-encoding").last() {
            return match coding.to_ascii_lowercase().ends_with("chunked") {
                true => Ok(Framing::Chunked(None)),
                false => Ok(Framing::UntilClose),
            };
        }
        match find(headers, "content-length") {
            None => Ok(otherwise),
            Some(length) => match length.trim().parse() {
                Ok(0) => Ok(Framing::Done),
                Ok(length) => Ok(Framing::Length(length)),
                Err(_) => Err(malformed(format!("content-length {length:?}"))),
            },
        }
    }
}

/// A byte stream with what was read ahead of it.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    pub(crate) io: S,
    buffer: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(io: S) -> Self {
        Self { io, buffer: BytesMut::new() }
    }

    /// Reads more into the buffer; 0 at the end of the stream.
    pub(crate) async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.reserve(16 << 10);
        self.io.read_buf(&mut self.buffer).await
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.io.write_all(bytes).await?;
        self.io.flush().await
    }

    /// The next head; `None` when the stream ended before its first byte.
    pub(crate) async fn head(&mut self) -> io::Result<Option<Head>> {
        let mut scanned = 0_usize;
        loop {
            let from = scanned.saturating_sub(3);
            if let Some(at) = self.buffer[from..].windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.buffer.split_to(from + at);
                self.buffer.advance(4);
                return parse_head(&head).map(Some);
            }
            scanned = self.buffer.len();
            if scanned > MAX_HEAD {
                return Err(malformed("an endless head".to_owned()));
            }
            if self.fill().await? == 0 {
                return match self.buffer.is_empty() {
                    true => Ok(None),
                    false => {
                        Err(closed(format!("in the middle of a head: {:?}", String::from_utf8_lossy(&self.buffer))))
                    }
                };
            }
        }
    }

    /// The next bytes of a body; `None` at its end, which also fills `trailers`.
    pub(crate) async fn body(
        &mut self,
        framing: &mut Framing,
        trailers: &mut Vec<(String, String)>,
    ) -> io::Result<Option<Bytes>> {
        loop {
            match *framing {
                Framing::Done => return Ok(None),
                Framing::UntilClose => {
                    if self.buffer.is_empty() && self.fill().await? == 0 {
                        *framing = Framing::Done;
                        return Ok(None);
                    }
                    return Ok(Some(self.buffer.split().freeze()));
                }
                Framing::Length(left) => {
                    let bytes = self.at_most(left).await?;
                    *framing = match left - bytes.len() as u64 {
                        0 => Framing::Done,
                        left => Framing::Length(left),
                    };
                    return Ok(Some(bytes));
                }
                Framing::Chunked(None) => match self.chunk_size().await? {
                    0 => {
                        *trailers = self.trailers().await?;
                        *framing = Framing::Done;
                    }
                    size => *framing = Framing::Chunked(Some(size)),
                },
                Framing::Chunked(Some(left)) => {
                    let bytes = self.at_most(left).await?;
                    let left = left - bytes.len() as u64;
                    *framing = Framing::Chunked(Some(left));
                    if left == 0 {
                        if !self.line().await?.is_empty() {
                            return Err(malformed("no line end after a chunk".to_owned()));
                        }
                        *framing = Framing::Chunked(None);
                    }
                    return Ok(Some(bytes));
                }
            }
        }
    }

    async fn at_most(&mut self, limit: u64) -> io::Result<Bytes> {
        if self.buffer.is_empty() && self.fill().await? == 0 {
            return Err(closed("in the middle of a body".to_owned()));
        }
        let take = usize::try_from(limit).unwrap_or(usize::MAX).min(self.buffer.len());
        Ok(self.buffer.split_to(take).freeze())
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line = self.buffer.split_to(at);
                self.buffer.advance(2);
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            if self.fill().await? == 0 {
                return Err(closed("in the middle of a chunked body".to_owned()));
            }
        }
    }

    async fn chunk_size(&mut self) -> io::Result<u64> {
        let line = self.line().await?;
        let size = line.split(';').next().unwrap_or_default().trim();
        u64::from_str_radix(size, 16).map_err(|_| malformed(format!("chunk size {line:?}")))
    }

    async fn trailers(&mut self) -> io::Result<Vec<(String, String)>> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(lines);
            }
            lines.push(parse_line(&line)?);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.buffer.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, into);
        }
        let take = self.buffer.len().min(into.remaining());
        into.put_slice(&self.buffer.split_to(take));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

fn parse_head(bytes: &[u8]) -> io::Result<Head> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split("\r\n");
    let start = lines.next().unwrap_or_default().to_owned();
    let headers = lines.map(parse_line).collect::<io::Result<_>>()?;
    Ok(Head { start, headers })
}

fn parse_line(line: &str) -> io::Result<(String, String)> {
    match line.split_once(':') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.trim().to_owned())),
        _ => Err(malformed(format!("header line {line:?}"))),
    }
}

pub(crate) fn malformed(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

pub(crate) fn closed(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("closed {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::duplex;

    async fn read_in_pieces(message: &[u8], piece: usize) -> (Head, Vec<u8>, Vec<(String, String)>) {
        let (near, mut far) = duplex(piece);
        let message = message.to_vec();
        let writing = tokio::spawn(async move { far.write_all(&message).await });
        let mut wire = Wire::new(near);
        let head = wire.head().await.unwrap().unwrap();
        let mut framing = Framing::of(&head.headers, Framing::UntilClose).unwrap();
        let (mut body, mut trailers) = (Vec::new(), Vec::new());
        while let Some(bytes) = wire.body(&mut framing, &mut trailers).await.unwrap() {
            body.extend_from_slice(&bytes);
        }
        writing.await.unwrap().unwrap();
        (head, body, trailers)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_framing_reads_the_same_at_every_split(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..5),
            piece in 1_usize..50,
        ) {
            let body = chunks.concat();
            let mut chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            for chunk in &chunks {
                chunked.extend_from_slice(format!("{:x};a=b\r\n", chunk.len()).as_bytes());
                chunked.extend_from_slice(chunk);
                chunked.extend_from_slice(b"\r\n");
            }
            chunked.extend_from_slice(b"0\r\nx-sum: 1\r\n\r\n");
            let mut sized = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
            sized.extend_from_slice(&body);
            let mut open = b"HTTP/1.0 200 OK\r\na: b\r\n\r\n".to_vec();
            open.extend_from_slice(&body);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let (head, got, trailers) = read_in_pieces(&chunked, piece).await;
                assert_eq!(head.start, "HTTP/1.1 200 OK");
                assert_eq!((got, trailers), (body.clone(), vec![("x-sum".to_owned(), "1".to_owned())]));
                assert_eq!(read_in_pieces(&sized, piece).await.1, body);
                assert_eq!(read_in_pieces(&open, piece).await.1, body);
            });
        }
    }

    #[tokio::test]
    async fn short_bodies_and_bad_framing_are_errors() {
        for text in [
            "X\r\ncontent-length: 5\r\n\r\nabc",
            "X\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc",
            "X\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            "X\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc\r\n",
        ] {
            let (near, mut far) = duplex(1024);
            far.write_all(text.as_bytes()).await.unwrap();
            drop(far);
            let mut wire = Wire::new(near);
            let head = wire.head().await.unwrap().unwrap();
            let mut framing = Framing::of(&head.headers, Framing::Done).unwrap();
            let outcome = loop {
                match wire.body(&mut framing, &mut Vec::new()).await {
                    Ok(Some(_)) => {}
                    Ok(None) => break None,
                    Err(error) => break Some(error.kind()),
                }
            };
            assert!(outcome.is_some(), "{text:?} must not read as complete");
        }
        assert!(Framing::of(&[("Content-Length".into(), "x".into())], Framing::Done).is_err());
    }
}
