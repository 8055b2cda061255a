//! Heads of HTTP/1.1 messages as bytes (RFC 9112 §2 to §5): a request's is written, a response's is read. The only file that names
//! httparse.

use std::mem::MaybeUninit;

use bytes::{Buf as _, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Request, StatusCode, Version};

use crate::content::Content;
use crate::framing::{Coding, response_coding};

/// How many header lines a response may have.
pub(crate) const MAX_HEADER_LINES: usize = 200;
/// How many it usually has at most: room that costs nothing.
const USUAL_LINES: usize = 48;
/// How many lines a trailer section may have.
const MAX_TRAILER_LINES: usize = 100;
/// Fields that are added to those of a response on its way to the client: `Via`, `Cache-Status`, `X-Request-Id`.
const ADDED: usize = 3;

/// Writes the head of a request whose target is in origin form (RFC 9112 §3). Names and values are valid by their types: no line break
/// is in them.
pub(crate) fn write_request<B>(request: &Request<B>, out: &mut Vec<u8>) {
    const VERSION: &[u8] = b" HTTP/1.1\r\n";
    let method = request.method().as_str();
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let lines = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>();
    out.reserve(method.len() + 1 + target.len() + VERSION.len() + lines + 2);
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    if target.starts_with('?') {
        // RFC 9112 §3.2.1: an empty path is sent as "/".
        out.push(b'/');
    }
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(VERSION);
    write_fields(request.headers(), out);
    out.extend_from_slice(b"\r\n");
}

/// Writes fields, each as one line.
pub(crate) fn write_fields<'a>(fields: impl IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>, out: &mut Vec<u8>) {
    for (name, value) in fields {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// The head of a response, and what it says of its framing.
#[derive(Debug)]
pub struct ResponseHead {
    /// The status.
    pub status: StatusCode,
    /// The version that the server speaks: HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// The fields, but no `Content-Length` beside a `Transfer-Encoding` (RFC 9112 §6.3).
    pub headers: HeaderMap,
    coding: Coding,
    length: Length,
    /// The server closes the connection after this response (RFC 9112 §9.6).
    close: bool,
}

/// What `Content-Length` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Unsaid,
    Is(u64),
    /// No number, or several (RFC 9112 §6.3 rule 5).
    Wrong,
}

/// Why the bytes of a response are no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// More bytes or lines than allowed.
    TooLarge,
    /// No HTTP/1.1: what is wrong.
    Malformed(&'static str),
}

/// Reads response heads from the bytes of a connection.
#[derive(Debug)]
pub struct HeadReader {
    max_bytes: usize,
    /// No head ends before this byte.
    looked_at: usize,
}

impl HeadReader {
    /// Heads of up to so many bytes.
    #[must_use]
    pub fn new(max_bytes: usize) -> Self {
        Self { max_bytes, looked_at: 0 }
    }

    /// Takes the first head from `input`; none when its end has not come yet. Interim responses (RFC 9110 §15.2) have heads like others.
    ///
    /// # Errors
    /// [`HeadError`], after which nothing more can be read: what is wrong stays in `input`.
    pub fn read(&mut self, input: &mut BytesMut) -> Result<Option<ResponseHead>, HeadError> {
        // RFC 9112 §2.2: an empty line before a message is no harm.
        while self.looked_at == 0 && input.starts_with(b"\r\n") {
            input.advance(2);
        }
        let Some(length) = self.end(input) else {
            return if input.len() >= self.max_bytes { Err(HeadError::TooLarge) } else { Ok(None) };
        };
        if length > self.max_bytes {
            return Err(HeadError::TooLarge);
        }
        self.looked_at = 0;
        let head = input.split_to(length).freeze();
        let parsed = match parse::<USUAL_LINES>(&head) {
            Err(HeadError::TooLarge) => parse::<MAX_HEADER_LINES>(&head),
            parsed => parsed,
        };
        if parsed.is_err() {
            let rest = std::mem::replace(input, BytesMut::from(head));
            input.unsplit(rest);
        }
        parsed.map(Some)
    }

    /// Where the first head ends: after the first empty line. Looks at no byte twice but for a few.
    fn end(&mut self, input: &[u8]) -> Option<usize> {
        let from = self.looked_at;
        for found in memchr::memchr_iter(b'\n', &input[from..]) {
            let next = from + found + 1;
            match input.get(next) {
                Some(b'\n') => return Some(next + 1),
                Some(b'\r') if input.get(next + 1) == Some(&b'\n') => return Some(next + 2),
                Some(_) => {}
                None => break,
            }
        }
        // The last bytes may be the first ones of the empty line.
        self.looked_at = input.len().saturating_sub(2);
        None
    }
}

/// Reads a whole head of up to `LINES` lines.
fn parse<const LINES: usize>(head: &Bytes) -> Result<ResponseHead, HeadError> {
    let mut room = [const { MaybeUninit::uninit() }; LINES];
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut response, head, &mut room) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(HeadError::Malformed("a head that ends where it does not")),
        Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooLarge),
        Err(httparse::Error::Version) if head.starts_with(b"HTTP/") => {
            return Err(HeadError::Malformed("another version of HTTP"));
        }
        Err(_) => return Err(HeadError::Malformed("a head that is not HTTP/1.1")),
    }
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(HeadError::Malformed("no status code"))?;
    let version = if response.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    let mut read = Fields::new(response.headers.len());
    for line in response.headers.iter() {
        read.line(line.name, head.slice_ref(line.value))?;
    }
    read.head(status, version)
}

/// The fields of a trailer section with the empty line at its end (RFC 9112 §7.1.2).
///
/// # Errors
/// It is none.
pub(crate) fn read_trailers(section: &[u8]) -> Result<HeaderMap, &'static str> {
    const NONE: &str = "trailers that are no fields";
    let mut room = [httparse::EMPTY_HEADER; MAX_TRAILER_LINES];
    let Ok(httparse::Status::Complete((length, lines))) = httparse::parse_headers(section, &mut room) else {
        return Err(NONE);
    };
    let mut trailers = HeaderMap::new();
    for line in lines {
        let (name, value) = (HeaderName::from_bytes(line.name.as_bytes()), HeaderValue::from_bytes(line.value));
        trailers.append(name.map_err(|_| NONE)?, value.map_err(|_| NONE)?);
    }
    if length == section.len() { Ok(trailers) } else { Err(NONE) }
}

/// The fields of a head as they are read.
struct Fields {
    headers: HeaderMap,
    coded: bool,
    length: Length,
    /// The length is said by one line, and by nothing but digits.
    once: bool,
    close: bool,
}

impl Fields {
    fn new(lines: usize) -> Self {
        let headers = HeaderMap::with_capacity(lines + ADDED);
        Self { headers, coded: false, length: Length::Unsaid, once: false, close: false }
    }

    fn line(&mut self, name: &str, value: Bytes) -> Result<(), HeadError> {
        let name = HeaderName::from_bytes(name.as_bytes());
        let name = name.map_err(|_| HeadError::Malformed("a field name that is none"))?;
        let value = HeaderValue::from_maybe_shared(value);
        let value = value.map_err(|_| HeadError::Malformed("a field value that is none"))?;
        match name {
            CONTENT_LENGTH => {
                self.once = self.length == Length::Unsaid && value.as_bytes().iter().all(u8::is_ascii_digit);
                self.length = self.length.and(&value);
            }
            TRANSFER_ENCODING => self.coded = true,
            CONNECTION => self.close |= says_close(&value),
            _ => {}
        }
        // So many lines do not come here.
        self.headers.try_append(name, value).map_err(|_| HeadError::TooLarge)?;
        Ok(())
    }

    fn head(self, status: StatusCode, version: Version) -> Result<ResponseHead, HeadError> {
        let Self { mut headers, coded, length, once, mut close } = self;
        let coding = match coded {
            true => response_coding(&headers).map_err(HeadError::Malformed)?,
            false => Coding::None,
        };
        if coding == Coding::Chunked {
            // RFC 9112 §6.3: Transfer-Encoding overrides a Content-Length, which must not be passed on.
            headers.remove(CONTENT_LENGTH);
            // Who says both may be read in two ways: nothing follows on this connection.
            close |= length != Length::Unsaid;
        }
        match length {
            // RFC 9110 §8.6: the same number again may stand for it once; what is none is nothing for others to read.
            Length::Is(length) if coding != Coding::Chunked && !once => {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            }
            Length::Wrong => drop(headers.remove(CONTENT_LENGTH)),
            Length::Is(_) | Length::Unsaid => {}
        }
        Ok(ResponseHead { status, version, headers, coding, length, close })
    }
}

impl Length {
    /// What two lines say together: the same number again is no harm.
    fn and(self, line: &HeaderValue) -> Self {
        let number = |text: &[u8]| {
            let text = text.trim_ascii();
            let digits = text.iter().try_fold(0_u64, |number, byte| match byte {
                b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
                _ => None,
            });
            digits.filter(|_| !text.is_empty())
        };
        line.as_bytes().split(|&byte| byte == b',').map(number).fold(self, |known, number| match (known, number) {
            (Self::Unsaid, Some(number)) => Self::Is(number),
            (Self::Is(known), Some(number)) if known == number => Self::Is(number),
            _ => Self::Wrong,
        })
    }
}

/// Whether a `Connection` line has `close`.
pub(crate) fn says_close(line: &HeaderValue) -> bool {
    line.as_bytes().split(|&byte| byte == b',').any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}

impl ResponseHead {
    /// How the content of this response to a request with `method` is read (RFC 9112 §6.3).
    ///
    /// # Errors
    /// What is wrong: a length that is none, a transfer coding in HTTP/1.0.
    pub fn content(&self, method: &Method) -> Result<Content, &'static str> {
        if *method == Method::HEAD
            || self.status.is_informational()
            || matches!(self.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        {
            return Ok(Content::length(0));
        }
        match (self.coding, self.length) {
            (Coding::Chunked | Coding::UntilClose, _) if self.version < Version::HTTP_11 => {
                Err("a transfer coding in HTTP/1.0")
            }
            (Coding::Chunked, _) => Ok(Content::chunked()),
            (Coding::UntilClose, _) | (Coding::None, Length::Unsaid) => Ok(Content::until_close()),
            (Coding::None, Length::Is(length)) => Ok(Content::length(length)),
            (Coding::None, Length::Wrong) => Err("a Content-Length that is none"),
        }
    }

    /// Whether another request may follow on the connection. Not for an HTTP/1.0 server: it could not take a body of unknown length. Nor
    /// after a coding that is not known: who can tell where that response ends?
    #[must_use]
    pub fn keeps_connection(&self) -> bool {
        self.version == Version::HTTP_11 && !self.close && self.coding != Coding::UntilClose
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reader() -> HeadReader {
        HeadReader::new(1 << 10)
    }

    /// The first head of these bytes, and how many are left behind it.
    fn read(bytes: &[u8]) -> Result<Option<(ResponseHead, usize)>, HeadError> {
        let mut input = BytesMut::from(bytes);
        let head = reader().read(&mut input)?;
        Ok(head.map(|head| (head, input.len())))
    }

    fn head(lines: &str) -> ResponseHead {
        read(format!("{lines}\r\n\r\n").as_bytes()).unwrap().unwrap().0
    }

    #[test]
    fn a_head_ends_with_the_first_empty_line_rfc9112_2_2() {
        for (text, left) in [
            ("HTTP/1.1 200 OK\r\n\r\n", Some(0)),
            ("HTTP/1.1 200\r\n\r\nabc", Some(3)),
            ("HTTP/1.1 200 \r\na: b\r\n\r\n\r\n", Some(2)),
            ("\r\n\r\nHTTP/1.0 200 OK\r\na:b\r\n\r\nabc", Some(3)),
            ("HTTP/1.1 200 OK\n\nabc", Some(3)),
            ("HTTP/1.1 200 OK\na: b\n\r\nabc", Some(3)),
            ("HTTP/1.1 200 OK\r\na: b\r\n", None),
            ("HTTP/1.1 200 OK\r\na: b\r\n\r", None),
            ("\r\n", None),
            ("HTTP", None),
            ("", None),
        ] {
            assert_eq!(read(text.as_bytes()).unwrap().map(|(_, left)| left), left, "{text:?}");
        }
    }

    #[test]
    fn a_length_is_given_on_once_or_not_at_all_rfc9110_8_6() {
        for (lines, said) in [
            ("content-length: 5", Some("5")),
            ("content-length: 005", Some("005")),
            ("content-length: 5\r\nContent-Length: 5, 5", Some("5")),
            ("content-length: 5, 5", Some("5")),
            ("content-length: 5, 6", None),
            ("content-length: 5\r\ncontent-length: 6", None),
            ("content-length: +5", None),
        ] {
            let read = head(&format!("HTTP/1.1 200 OK\r\n{lines}"));
            let given: Vec<_> =
                read.headers.get_all(CONTENT_LENGTH).iter().map(|line| line.to_str().unwrap()).collect();
            assert_eq!(given, Vec::from_iter(said), "{lines}");
            assert_eq!(read.content(&Method::GET).is_ok(), said.is_some(), "{lines}");
            assert!(read.content(&Method::HEAD).is_ok(), "{lines}");
        }
        assert!(head("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked").close, "two readings");
        assert!(!head("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked").close);
    }

    #[test]
    fn a_target_begins_with_a_slash_rfc9112_3_2_1() {
        for (uri, line) in [
            ("http://a.test?x=1", "GET /?x=1 HTTP/1.1\r\n"),
            ("/?x", "GET /?x HTTP/1.1\r\n"),
            ("*", "GET * HTTP/1.1\r\n"),
        ] {
            let mut out = Vec::new();
            write_request(&Request::builder().uri(uri).body(()).unwrap(), &mut out);
            assert!(out.starts_with(line.as_bytes()), "{uri}");
        }
    }

    #[test]
    fn what_is_no_head_is_refused() {
        for text in [
            "HTTP/2.0 200 OK\r\n\r\n",
            "HTTP/1.2 200 OK\r\n\r\n",
            "http/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 099 X\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1  200 OK\r\n\r\n",
            " HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\na\r\n\r\n",
            "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
            "HTTP/1.1 200 OK\r\na : b\r\n\r\n",
            "HTTP/1.1 200 OK\r\n a: b\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: b\r\n\tc\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: b\rc\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: b\0c\r\n\r\n",
            "HTTP/1.1 200 O\rK\r\n\r\n",
            "\n\nHTTP/1.1 200 OK\r\n\r\n",
        ] {
            assert!(matches!(read(text.as_bytes()), Err(HeadError::Malformed(_))), "{text:?}");
        }
        let large = format!("HTTP/1.1 200 OK\r\na: {}", "b".repeat(1 << 10));
        assert_eq!(read(large.as_bytes()).unwrap_err(), HeadError::TooLarge, "that has no end yet");
        assert_eq!(read(format!("{large}\r\n\r\n").as_bytes()).unwrap_err(), HeadError::TooLarge);
    }

    #[test]
    fn content_of_a_response_rfc9112_6_3() {
        const OLD: &str = "HTTP/1.0 200 OK";
        const NEW: &str = "HTTP/1.1 200 OK";
        let sized = |length: u64| Ok((Some(length), true));
        let (chunks, closing) = (Ok((None, true)), Ok((None, false)));
        for (method, status, lines, wanted) in [
            (Method::GET, NEW, &["Content-Length: 5"][..], sized(5)),
            (Method::GET, NEW, &["Content-Length: 5", "Content-Length: 5, 5"], sized(5)),
            (Method::GET, NEW, &["Content-Length: 18446744073709551615"], sized(u64::MAX)),
            (Method::GET, NEW, &["Content-Length: 18446744073709551616"], Err(())),
            (Method::GET, NEW, &["Content-Length: 5", "Content-Length: 6"], Err(())),
            (Method::GET, NEW, &["Content-Length: 5, 6"], Err(())),
            (Method::GET, NEW, &["Content-Length: +5"], Err(())),
            (Method::GET, NEW, &["Content-Length: 5 5"], Err(())),
            (Method::GET, NEW, &["Content-Length: "], Err(())),
            (Method::GET, NEW, &["Content-Length: 5,"], Err(())),
            (Method::GET, NEW, &["Content-Length: 0x5"], Err(())),
            (Method::GET, NEW, &["Transfer-Encoding: chunked"], chunks),
            (Method::GET, NEW, &["Transfer-Encoding: Chunked", "Content-Length: 5"], closing),
            (Method::GET, NEW, &["Transfer-Encoding: nonsense"], closing),
            (Method::GET, NEW, &[], Ok((None, true))),
            (Method::GET, OLD, &["Transfer-Encoding: chunked"], Err(())),
            (Method::GET, OLD, &["Transfer-Encoding: nonsense"], Err(())),
            (Method::GET, OLD, &["Content-Length: 5", "Connection: keep-alive"], Ok((Some(5), false))),
            (Method::GET, NEW, &["Content-Length: 5", "Connection: a, Close"], Ok((Some(5), false))),
            (
                Method::GET,
                NEW,
                &["Content-Length: 5", "Connection: close", "Connection: keep-alive"],
                Ok((Some(5), false)),
            ),
            (Method::GET, NEW, &["Content-Length: 5", "Connection: closer"], sized(5)),
            (Method::HEAD, NEW, &["Content-Length: 5"], sized(0)),
            (Method::HEAD, NEW, &["Transfer-Encoding: chunked"], sized(0)),
            (Method::HEAD, NEW, &["Content-Length: no"], sized(0)),
            (Method::POST, "HTTP/1.1 204 No Content", &["Content-Length: 5"], sized(0)),
            (Method::GET, "HTTP/1.1 304 Not Modified", &["Content-Length: 5"], sized(0)),
            (Method::GET, "HTTP/1.1 101 Switching Protocols", &["Content-Length: 5"], sized(0)),
        ] {
            let head = head(&[&[status], lines].concat().join("\r\n"));
            let content = head.content(&method).map_err(|_| ());
            let read = content.map(|content| (content.left(), head.keeps_connection()));
            assert_eq!(read, wanted, "{method} {status} {lines:?}");
            let coded = lines.iter().any(|line| line.to_ascii_lowercase().ends_with(": chunked"));
            assert!(!coded || !head.headers.contains_key(CONTENT_LENGTH), "{lines:?}");
        }
    }

    #[test]
    fn a_request_is_written_as_it_is() {
        let mut out = Vec::new();
        let request = Request::builder().method("PUT").uri("/a?b=%20c").header("Host", "a").header("x-y", "1");
        write_request(&request.header("x-y", "2 3").body(()).unwrap(), &mut out);
        assert_eq!(out, b"PUT /a?b=%20c HTTP/1.1\r\nhost: a\r\nx-y: 1\r\nx-y: 2 3\r\n\r\n");
        out.clear();
        write_request(&Request::builder().method("OPTIONS").uri("*").body(()).unwrap(), &mut out);
        assert_eq!(out, b"OPTIONS * HTTP/1.1\r\n\r\n");
    }

    proptest! {
        #[test]
        fn every_split_reads_the_same(
            text in "(\r\n)?HTTP/1.[01] [1-5][0-9]{2} [a-z ]{0,5}\r?\n([a-z-]{1,9}: ?[ -~]{0,12}\r?\n){0,6}(\r?\n)?[a-z\r\n]{0,9}",
        ) {
            let at_once = read(text.as_bytes());
            let (mut input, mut reader) = (BytesMut::new(), reader());
            let mut bytewise = Ok(None);
            for (index, byte) in text.bytes().enumerate() {
                input.extend_from_slice(&[byte]);
                bytewise = reader.read(&mut input).map(|head| head.map(|head| (head, text.len() - index - 1)));
                if !matches!(bytewise, Ok(None)) {
                    break;
                }
            }
            match (at_once, bytewise) {
                (Ok(Some((one, left))), Ok(Some((other, left_of_other)))) => {
                    prop_assert_eq!(format!("{one:?}"), format!("{other:?}"));
                    prop_assert_eq!(left, left_of_other);
                }
                (one, other) => prop_assert_eq!(format!("{one:?}"), format!("{other:?}")),
            }
        }

        #[test]
        fn nothing_that_comes_breaks_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for begin in [&b""[..], b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\na: "] {
                let _ = read(&[begin, &bytes, b"\r\n\r\n"].concat());
            }
        }
    }
}
