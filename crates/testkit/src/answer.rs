//! What a scripted origin answers.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::gate::Gate;
use crate::request::Request;
use crate::stream::{Order, StreamHandle};

/// One answer of a scripted origin, built step by step. Text becomes a 200 with that body.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(crate) act: Act,
    pub(crate) status: u16,
    pub(crate) reason: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Source,
    pub(crate) framing: Frame,
    pub(crate) trailers: Vec<(String, String)>,
    pub(crate) interim: Vec<(u16, Vec<(String, String)>)>,
    pub(crate) head_gate: Option<Gate>,
    pub(crate) body_gate: Option<Gate>,
    pub(crate) cut: Option<(usize, Ending)>,
    pub(crate) close: bool,
    pub(crate) early: bool,
    pub(crate) once: bool,
}

/// What kind of thing the origin does.
#[derive(Clone)]
pub(crate) enum Act {
    /// A response made of the other fields.
    Respond,
    /// The request itself is the body.
    Echo,
    /// These bytes as they are; then the connection closes, or stays.
    Raw(Bytes),
    /// 101, then every byte comes back.
    Upgrade,
    /// Nothing, until the other side closes.
    Silence,
    /// Nothing; the connection ends.
    End(Ending),
    /// The stream is refused (HTTP/2).
    Refuse,
    /// Asks the test's function.
    Compute(Arc<Compute>),
}

type Compute = dyn Fn(&Request) -> Answer + Send + Sync;

impl fmt::Debug for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Act::Respond => "Respond",
            Act::Echo => "Echo",
            Act::Raw(_) => "Raw",
            Act::Upgrade => "Upgrade",
            Act::Silence => "Silence",
            Act::End(_) => "End",
            Act::Refuse => "Refuse",
            Act::Compute(_) => "Compute",
        })
    }
}

/// How a connection ends on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Close,
    Reset,
}

/// How the end of the body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Length,
    Chunked,
    UntilClose,
}

/// Where the body comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Pieces(Vec<Bytes>),
    /// Taken by the first request that gets it.
    Stream(Arc<Mutex<Option<mpsc::UnboundedReceiver<Order>>>>),
}

impl Answer {
    /// A response of this status without a body.
    pub fn status(status: u16) -> Self {
        Self {
            act: Act::Respond,
            status,
            reason: None,
            headers: Vec::new(),
            body: Source::Pieces(Vec::new()),
            framing: Frame::Length,
            trailers: Vec::new(),
            interim: Vec::new(),
            head_gate: None,
            body_gate: None,
            cut: None,
            close: false,
            early: false,
            once: false,
        }
    }

    /// 200 with this body.
    pub fn ok(body: impl Into<Bytes>) -> Self {
        Self::status(200).body(body)
    }

    /// 200 whose body is the request as text ([`Request::text`]).
    pub fn echo() -> Self {
        Self::acting(Act::Echo)
    }

    /// What `compute` makes of the request (its whole body was read).
    pub fn from_fn(compute: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::acting(Act::Compute(Arc::new(compute)))
    }

    /// Holds `answer` until the gate is opened; the request is read and recorded before.
    pub fn gated(answer: impl Into<Answer>) -> (Gate, Self) {
        let gate = Gate::new();
        let answer = answer.into().held_by(&gate);
        (gate, answer)
    }

    /// 200 at once, and a body that the test sends piece by piece: in chunks, or, if the answer is given a `content-length`, as it is.
    /// Serves one request.
    pub fn stream() -> (StreamHandle, Self) {
        let (handle, orders) = StreamHandle::new();
        let mut answer = Self::status(200).once().chunked();
        answer.body = Source::Stream(Arc::new(Mutex::new(Some(orders))));
        (handle, answer)
    }

    /// 101 to `protocol`; every byte that follows is sent back.
    pub fn upgrade(protocol: &str) -> Self {
        let mut answer = Self::acting(Act::Upgrade);
        answer.status = 101;
        answer.header("connection", "upgrade").header("upgrade", protocol)
    }

    /// These bytes and nothing else, the connection stays open ([`close`](Self::close) ends it).
    pub fn raw(bytes: impl Into<Bytes>) -> Self {
        Self::acting(Act::Raw(bytes.into()))
    }

    /// Closes the connection without an answer.
    pub fn hang_up() -> Self {
        Self::acting(Act::End(Ending::Close))
    }

    /// Resets the connection (TCP RST) without an answer.
    pub fn reset() -> Self {
        Self::acting(Act::End(Ending::Reset))
    }

    /// Refuses the request without having looked at it (HTTP/2 only: RFC 9113 §8.7).
    pub fn refuse() -> Self {
        Self::acting(Act::Refuse)
    }

    /// Never answers; waits until the other side closes.
    pub fn silence() -> Self {
        Self::acting(Act::Silence)
    }

    /// Adds a header line, written as given. `content-length` and `transfer-encoding` given here replace the origin's own.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The same with this status.
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Another reason phrase than the usual one.
    pub fn reason(mut self, reason: &str) -> Self {
        self.reason = Some(reason.to_owned());
        self
    }

    /// The body, in one piece.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Source::Pieces(vec![body.into()]);
        self
    }

    /// The body in chunks, one per piece, each written on its own.
    pub fn chunks<B: Into<Bytes>>(mut self, pieces: impl IntoIterator<Item = B>) -> Self {
        self.body = Source::Pieces(pieces.into_iter().map(Into::into).collect());
        self.chunked()
    }

    /// Sends the body with `transfer-encoding: chunked`.
    pub fn chunked(mut self) -> Self {
        self.framing = Frame::Chunked;
        self
    }

    /// Sends the body without a length; closing the connection ends it.
    pub fn until_close(mut self) -> Self {
        self.framing = Frame::UntilClose;
        self
    }

    /// A trailer line after the body, which goes in chunks then. (Announce it with a `trailer` header.)
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push((name.to_owned(), value.to_owned()));
        self.chunked()
    }

    /// An interim response (1xx) before the answer, sent as soon as the request's head was read. May be given several times.
    pub fn interim(mut self, status: u16, headers: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        self.interim.push((status, headers.iter().map(owned).collect()));
        self
    }

    /// Holds the head until the gate is open.
    pub fn held_by(mut self, gate: &Gate) -> Self {
        self.head_gate = Some(gate.clone());
        self
    }

    /// Sends the head at once and holds the body until the gate is open.
    pub fn body_held_by(mut self, gate: &Gate) -> Self {
        self.body_gate = Some(gate.clone());
        self
    }

    /// Announces the whole body, sends `bytes` bytes of it and closes the connection.
    pub fn cut_after(mut self, bytes: usize) -> Self {
        self.cut = Some((bytes, Ending::Close));
        self
    }

    /// Announces the whole body, sends `bytes` bytes of it and resets the connection.
    pub fn reset_after(mut self, bytes: usize) -> Self {
        self.cut = Some((bytes, Ending::Reset));
        self
    }

    /// Closes the connection after the answer, without saying so before. (Add a `connection: close` header to say so.)
    pub fn close(mut self) -> Self {
        self.close = true;
        self
    }

    /// Answers as soon as the request's head is there and reads its body only afterwards.
    pub fn early(mut self) -> Self {
        self.early = true;
        self
    }

    /// Leaves the queue after one use even as the last one.
    pub fn once(mut self) -> Self {
        self.once = true;
        self
    }

    fn acting(act: Act) -> Self {
        Self { act, ..Self::status(200) }
    }
}

impl From<&str> for Answer {
    fn from(body: &str) -> Self {
        Self::ok(body.to_owned())
    }
}

impl From<String> for Answer {
    fn from(body: String) -> Self {
        Self::ok(body)
    }
}
