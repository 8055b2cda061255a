//! A response as the client got it.

use std::fmt;
use std::io;

use bytes::{Bytes, BytesMut};

use crate::client::Io;
use crate::patience::patiently;
use crate::request::{find, find_all};
use crate::wire::{Framing, Wire, closed, malformed};

/// A response, or the part of it that came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientResponse {
    /// The status code.
    pub status: u16,
    /// The reason phrase.
    pub reason: String,
    /// The version, such as `HTTP/1.1`.
    pub version: String,
    /// The header lines in order, names as received.
    pub headers: Vec<(String, String)>,
    /// The body without its framing.
    pub body: Bytes,
    /// The trailer lines of a chunked body.
    pub trailers: Vec<(String, String)>,
    /// The interim (1xx) responses before it.
    pub interim: Vec<ClientResponse>,
}

impl ClientResponse {
    /// The first line of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// Every line of that name, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        find_all(&self.headers, name)
    }

    /// The body as text. Panics when it is not UTF-8.
    pub fn text(&self) -> &str {
        match std::str::from_utf8(&self.body) {
            Ok(text) => text,
            Err(error) => panic!("the body is no text: {error}"),
        }
    }
}

impl fmt::Display for ClientResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {} {}", self.version, self.status, self.reason)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {value}")?;
        }
        write!(f, "\n{}", String::from_utf8_lossy(&self.body))
    }
}

/// A connection that ended before a response was whole, or something that is not HTTP/1.
#[derive(Debug, thiserror::Error)]
#[error("{source}{}", self.shown())]
pub struct ClientError {
    /// What came before, when a head had come.
    pub partial: Option<Box<ClientResponse>>,
    source: io::Error,
}

impl ClientError {
    pub(crate) fn new(source: io::Error) -> Self {
        Self { partial: None, source }
    }

    /// What happened: `UnexpectedEof` for a close, `ConnectionReset` for a reset, `InvalidData` for bad framing.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    fn shown(&self) -> String {
        match &self.partial {
            Some(partial) => format!("; came so far:\n{partial}"),
            None => String::new(),
        }
    }
}

/// A response that is being read: its head is there, its body comes step by step. The rest must be read before the
/// client's next response.
pub struct Streaming<'c> {
    wire: &'c mut Wire<Box<dyn Io>>,
    framing: Framing,
    response: ClientResponse,
    body: BytesMut,
}

impl<'c> Streaming<'c> {
    pub(crate) fn new(
        wire: &'c mut Wire<Box<dyn Io>>,
        mut response: ClientResponse,
        interim: Vec<ClientResponse>,
        to_head: bool,
    ) -> Result<Self, ClientError> {
        response.interim = interim;
        let framing = match response.status {
            101 | 204 | 304 => Framing::Done,
            _ if to_head => Framing::Done,
            _ => Framing::of(&response.headers, Framing::UntilClose).map_err(ClientError::new)?,
        };
        Ok(Self { wire, framing, response, body: BytesMut::new() })
    }

    /// The head (and the interim responses before it); the body is empty.
    pub fn head(&self) -> &ClientResponse {
        &self.response
    }

    /// The next bytes of the body as they come, `None` at its end. Fails the test when the connection ends before.
    pub async fn read_some(&mut self) -> Option<Bytes> {
        match self.try_read_some().await {
            Ok(bytes) => bytes,
            Err(error) => panic!("the body ended early: {error}"),
        }
    }

    /// As [`read_some`](Self::read_some); a connection that ends too early is an error with what came before.
    pub async fn try_read_some(&mut self) -> Result<Option<Bytes>, ClientError> {
        let reading = self.wire.body(&mut self.framing, &mut self.response.trailers);
        match patiently(|| "the next piece of a body".to_owned(), reading).await {
            Ok(bytes) => {
                self.body.extend_from_slice(bytes.as_deref().unwrap_or_default());
                Ok(bytes)
            }
            Err(source) => Err(ClientError { partial: Some(Box::new(self.so_far())), source }),
        }
    }

    /// Reads until the body so far, from its beginning, has at least `length` bytes; gives it. Fails the test when it ends before.
    pub async fn read_until(&mut self, length: usize) -> Bytes {
        while self.body.len() < length {
            if self.read_some().await.is_none() {
                panic!("the body has {} bytes, awaited were {length}", self.body.len());
            }
        }
        self.so_far().body
    }

    /// Reads the rest and gives the whole response.
    pub async fn rest(self) -> ClientResponse {
        match self.try_rest().await {
            Ok(response) => response,
            Err(error) => panic!("no whole response: {error}"),
        }
    }

    /// As [`rest`](Self::rest); a connection that ends too early is an error with what came before.
    pub async fn try_rest(mut self) -> Result<ClientResponse, ClientError> {
        while self.try_read_some().await?.is_some() {}
        Ok(self.so_far())
    }

    fn so_far(&self) -> ClientResponse {
        ClientResponse { body: self.body.clone().freeze(), ..self.response.clone() }
    }
}

/// Reads the next response head.
pub(crate) async fn read_head(wire: &mut Wire<Box<dyn Io>>) -> Result<ClientResponse, ClientError> {
    let head = match wire.head().await {
        Ok(Some(head)) => head,
        Ok(None) => return Err(ClientError::new(closed("before a response".to_owned()))),
        Err(error) => return Err(ClientError::new(error)),
    };
    let mut start = head.start.splitn(3, ' ');
    let version = start.next().unwrap_or_default().to_owned();
    let status = start.next().and_then(|status| status.parse().ok());
    match status {
        Some(status) if version.starts_with("HTTP/") => Ok(ClientResponse {
            status,
            reason: start.next().unwrap_or_default().to_owned(),
            version,
            headers: head.headers,
            ..ClientResponse::default()
        }),
        _ => Err(ClientError::new(malformed(format!("status line {:?}", head.start)))),
    }
}
