//! A request as the origin saw it.

use std::fmt::Write as _;

use bytes::Bytes;

/// A request as it came in, with its header lines in their order and as they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The request target as received.
    pub target: String,
    /// The version, such as `HTTP/1.1`.
    pub version: String,
    /// The header lines, names as written.
    pub headers: Vec<(String, String)>,
    /// The body as far as it was read, without its framing.
    pub body: Bytes,
    /// The trailer lines of a chunked body.
    pub trailers: Vec<(String, String)>,
    /// The connection it came on: 1 is the first that the origin accepted.
    pub connection: usize,
    /// Whether the whole body was read.
    pub complete: bool,
    /// The PROXY protocol's header that opened the connection, where the origin takes one.
    pub preface: Bytes,
    /// The TLS that it came through.
    pub tls: Option<Tls>,
    /// The error code with which it was taken back (HTTP/2).
    pub reset: Option<u32>,
}

/// What an origin knows of a connection's TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The name that was asked for (SNI).
    pub server_name: Option<String>,
    /// What was agreed on by ALPN.
    pub protocol: Option<String>,
    /// The client showed a certificate.
    pub client_certificate: bool,
    /// An earlier session was resumed.
    pub resumed: bool,
}

impl Request {
    /// The path of the target, without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The first line of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// Every line of that name, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        find_all(&self.headers, name)
    }

    /// The request as text, lines ended by `\n`, the body without its framing.
    pub fn text(&self) -> String {
        let mut text = format!("{} {} {}\n", self.method, self.target, self.version);
        for (name, value) in &self.headers {
            let _ = writeln!(text, "{name}: {value}");
        }
        text.push('\n');
        text.push_str(&String::from_utf8_lossy(&self.body));
        text
    }
}

pub(crate) fn find<'a>(lines: &'a [(String, String)], name: &str) -> Option<&'a str> {
    lines.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

pub(crate) fn find_all<'a>(lines: &'a [(String, String)], name: &'a str) -> impl Iterator<Item = &'a str> {
    lines.iter().filter(move |(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_shows_what_was_sent_and_names_are_compared_without_case() {
        let request = Request {
            method: "GET".into(),
            target: "/a?b".into(),
            version: "HTTP/1.1".into(),
            headers: vec![("Host".into(), "x".into()), ("X-A".into(), "1".into()), ("x-a".into(), "2".into())],
            body: Bytes::from_static(b"body"),
            ..Request::default()
        };
        assert_eq!(request.text(), "GET /a?b HTTP/1.1\nHost: x\nX-A: 1\nx-a: 2\n\nbody");
        assert_eq!(request.path(), "/a");
        assert_eq!(request.header("x-A"), Some("1"));
        assert_eq!(request.all("X-a").collect::<Vec<_>>(), ["1", "2"]);
    }
}
