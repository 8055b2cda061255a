//! A request as a test writes it.

use std::fmt::Write as _;

use bytes::Bytes;

/// A request to be sent: the client's side of a [`Scenario`](crate::Scenario), and what
/// [`Client::request`](crate::Client::request) builds. Header lines are sent as written, in order, after `host`.
#[derive(Clone, Debug)]
pub struct Sends {
    pub(crate) method: String,
    target: String,
    host: Option<String>,
    headers: Vec<(String, String)>,
    body: Bytes,
    chunks: Option<Vec<Bytes>>,
}

impl Sends {
    /// A request of this method and target.
    pub fn request(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            host: None,
            headers: Vec::new(),
            body: Bytes::new(),
            chunks: None,
        }
    }

    /// GET.
    pub fn get(target: &str) -> Self {
        Self::request("GET", target)
    }

    /// POST with a body.
    pub fn post(target: &str, body: impl Into<Bytes>) -> Self {
        Self::request("POST", target).body(body)
    }

    /// Adds a header line. A `host` line replaces the client's own.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The host.
    pub fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    /// The body, sent with its content-length.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The body in chunks.
    pub fn chunks<B: Into<Bytes>>(mut self, chunks: impl IntoIterator<Item = B>) -> Self {
        self.chunks = Some(chunks.into_iter().map(Into::into).collect());
        self
    }

    /// The request line and `host`, for a failure's text.
    pub(crate) fn summary(&self) -> String {
        let mut text = format!("{} {}", self.method, self.target);
        for (name, value) in &self.headers {
            let _ = write!(text, "\n{name}: {value}");
        }
        text
    }

    /// The bytes to send.
    pub(crate) fn bytes(&self, default_host: &str) -> Vec<u8> {
        let given = |name: &str| self.headers.iter().any(|(it, _)| it.eq_ignore_ascii_case(name));
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !given("host") {
            let host = self.host.as_deref().unwrap_or(default_host);
            let _ = write!(head, "host: {host}\r\n");
        }
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if self.chunks.is_some() {
            if !given("transfer-encoding") {
                head.push_str("transfer-encoding: chunked\r\n");
            }
        } else if !given("content-length") && (!self.body.is_empty() || self.method == "POST") {
            let _ = write!(head, "content-length: {}\r\n", self.body.len());
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        match &self.chunks {
            None => bytes.extend_from_slice(&self.body),
            Some(chunks) => {
                for chunk in chunks {
                    bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    bytes.extend_from_slice(chunk);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n\r\n");
            }
        }
        bytes
    }
}
