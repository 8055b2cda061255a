//! The content of a response, out of its framing (RFC 9112 §6, §7). Bytes in, bytes out: whoever reads brings them, in whatever pieces.

use bytes::{Buf as _, Bytes};
use http::HeaderMap;

use crate::head::read_trailers;

/// The most bytes of chunk extensions in one body, and of white space in their place.
const MAX_EXTENSIONS: u32 = 16 << 10;
/// The most digits of a chunk's size: as many as fit into its number.
const MAX_DIGITS: u8 = 16;
/// The longest trailer section, in bytes.
const MAX_TRAILERS: usize = 16 << 10;

/// How far the content of one response has been read.
#[derive(Clone, Debug)]
pub struct Content(State);

#[derive(Clone, Debug)]
enum State {
    /// So many bytes are left; none of them: it is whole.
    Length(u64),
    Chunked(Box<Chunked>),
    /// What comes until the connection closes.
    UntilClose,
}

/// What the next bytes of a response are.
#[derive(Debug)]
pub enum Piece {
    /// Content.
    Data(Bytes),
    /// The trailer fields, behind which nothing comes.
    Trailers(HeaderMap),
    /// It is whole.
    End,
    /// More bytes are needed to tell.
    More,
}

impl Content {
    /// Content of this length.
    #[must_use]
    pub fn length(length: u64) -> Self {
        Self(State::Length(length))
    }

    /// Content in chunks.
    #[must_use]
    pub fn chunked() -> Self {
        Self(State::Chunked(Box::default()))
    }

    /// Content that ends with the connection.
    #[must_use]
    pub fn until_close() -> Self {
        Self(State::UntilClose)
    }

    /// Takes the next piece from `input`. What is behind the end stays there.
    ///
    /// # Errors
    /// What is wrong with the chunks. Nothing more can be read then.
    pub fn next(&mut self, input: &mut Bytes) -> Result<Piece, &'static str> {
        match &mut self.0 {
            State::Length(0) => Ok(Piece::End),
            _ if input.is_empty() => Ok(Piece::More),
            State::Length(left) => {
                let taken = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left -= taken as u64;
                Ok(Piece::Data(input.split_to(taken)))
            }
            State::Chunked(chunked) => match chunked.step(input)? {
                Step::Data { skipped, length } => {
                    input.advance(skipped);
                    Ok(Piece::Data(input.split_to(length)))
                }
                Step::More => {
                    input.clear();
                    Ok(Piece::More)
                }
                Step::End { taken, trailers } => {
                    input.advance(taken);
                    self.0 = State::Length(0);
                    Ok(trailers.map_or(Piece::End, Piece::Trailers))
                }
            },
            State::UntilClose => Ok(Piece::Data(std::mem::take(input))),
        }
    }

    /// The connection has ended, and with it the content; whether that was its end.
    pub fn closed(&mut self) -> bool {
        let whole = matches!(self.0, State::UntilClose | State::Length(0));
        if whole {
            self.0 = State::Length(0);
        }
        whole
    }

    /// Where in `input` it ends, if it does.
    #[must_use]
    pub fn end_in(&self, input: &[u8]) -> Option<usize> {
        match &self.0 {
            State::Length(left) => usize::try_from(*left).ok().filter(|left| *left <= input.len()),
            State::Chunked(chunked) => {
                let mut chunked = chunked.clone();
                let mut rest = input;
                loop {
                    match chunked.step(rest).ok()? {
                        Step::Data { skipped, length } => rest.advance(skipped + length),
                        Step::More => return None,
                        Step::End { taken, .. } => return Some(input.len() - rest.len() + taken),
                    }
                }
            }
            State::UntilClose => None,
        }
    }

    /// Whether all of it was taken.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        matches!(self.0, State::Length(0))
    }

    /// How many bytes are left, where that is known.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        match self.0 {
            State::Length(left) => Some(left),
            State::Chunked(_) | State::UntilClose => None,
        }
    }
}

/// Where a body in chunks is (RFC 9112 §7.1).
#[derive(Clone, Debug, Default)]
struct Chunked {
    at: At,
    /// The size of the chunk as far as it was read; in its data, what is left of it.
    size: u64,
    digits: u8,
    extensions: u32,
    /// The trailer section as far as it came.
    trailers: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Size,
    /// White space behind the size, which some servers fill up.
    Space,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
}

/// What the next bytes of a body in chunks are.
enum Step {
    /// So many bytes of framing, then so many of content; at least one.
    Data { skipped: usize, length: usize },
    /// All of them are framing.
    More,
    /// So many bytes are left of the body: its last ones.
    End { taken: usize, trailers: Option<HeaderMap> },
}

impl Chunked {
    fn step(&mut self, input: &[u8]) -> Result<Step, &'static str> {
        let mut taken = 0;
        while let Some(&byte) = input.get(taken) {
            match self.at {
                At::Data => {
                    let there = input.len() - taken;
                    let length = usize::try_from(self.size).map_or(there, |size| size.min(there));
                    self.size -= length as u64;
                    if self.size == 0 {
                        self.at = At::DataCr;
                    }
                    return Ok(Step::Data { skipped: taken, length });
                }
                At::Trailers => return self.trailers(input, taken),
                _ => self.framing(byte)?,
            }
            taken += 1;
        }
        Ok(Step::More)
    }

    /// One byte of what is around the data of a chunk.
    fn framing(&mut self, byte: u8) -> Result<(), &'static str> {
        self.at = match (self.at, byte) {
            (At::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                if self.digits == MAX_DIGITS {
                    return Err("a chunk size that is too large");
                }
                self.digits += 1;
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                self.size = self.size << 4 | u64::from(digit);
                At::Size
            }
            (At::Size, _) if self.digits == 0 => return Err("a chunk without a size"),
            (At::Size | At::Space, b'\r') | (At::Extension, b'\r') => At::SizeLf,
            (At::Size | At::Space, b' ' | b'\t') => self.extension(At::Space)?,
            (At::Size | At::Space, b';') => self.extension(At::Extension)?,
            // Some look for no CR: what they take for the end of the line must not be there.
            (At::Extension, b'\n') => return Err("a line break in a chunk extension"),
            (At::Extension, _) => self.extension(At::Extension)?,
            (At::SizeLf, b'\n') if self.size == 0 => At::Trailers,
            (At::SizeLf, b'\n') => At::Data,
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => {
                self.digits = 0;
                At::Size
            }
            (At::DataCr | At::DataLf, _) => return Err("a chunk that is longer than its size"),
            (At::Size | At::Space | At::SizeLf | At::Data | At::Trailers, _) => {
                return Err("a chunk size that is none");
            }
        };
        Ok(())
    }

    fn extension(&mut self, at: At) -> Result<At, &'static str> {
        self.extensions += 1;
        match self.extensions < MAX_EXTENSIONS {
            true => Ok(at),
            false => Err("chunk extensions that are too long"),
        }
    }

    /// The trailer section (RFC 9112 §7.1.2), from byte `from` of `input` on.
    fn trailers(&mut self, input: &[u8], from: usize) -> Result<Step, &'static str> {
        for (index, &byte) in input[from..].iter().enumerate() {
            if byte == b'\n' && self.trailers.last() != Some(&b'\r') {
                return Err("a line of the trailers that does not end in CRLF");
            }
            self.trailers.push(byte);
            let taken = from + index + 1;
            if self.trailers == b"\r\n" {
                return Ok(Step::End { taken, trailers: None });
            }
            if self.trailers.ends_with(b"\r\n\r\n") {
                let trailers = read_trailers(&self.trailers)?;
                return Ok(Step::End { taken, trailers: Some(trailers) });
            }
            if self.trailers.len() == MAX_TRAILERS {
                return Err("trailers that are too long");
            }
        }
        Ok(Step::More)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Content, trailers as text, what is left behind them, and whether that was all.
    type Read = (Vec<u8>, String, Vec<u8>, bool);

    /// What is read, or what is wrong. The input comes in pieces that end at `cuts`.
    fn read(mut content: Content, input: &[u8], cuts: &[usize]) -> Result<Read, &'static str> {
        let (mut data, mut trailers, mut from) = (Vec::new(), String::new(), 0);
        for cut in cuts.iter().copied().chain([input.len()]) {
            let mut piece = Bytes::copy_from_slice(&input[from..cut]);
            loop {
                match content.next(&mut piece)? {
                    Piece::Data(bytes) => {
                        assert!(!bytes.is_empty());
                        data.extend_from_slice(&bytes);
                    }
                    Piece::Trailers(fields) => trailers = format!("{fields:?}"),
                    Piece::End => {
                        let rest = [&piece[..], &input[cut..]].concat();
                        return Ok((data, trailers, rest, content.is_whole()));
                    }
                    Piece::More => break,
                }
            }
            assert!(piece.is_empty());
            from = cut;
        }
        Ok((data, trailers, Vec::new(), content.is_whole()))
    }

    fn chunked(input: &str) -> Result<(String, String, bool), &'static str> {
        let (data, _, rest, whole) = read(Content::chunked(), input.as_bytes(), &[])?;
        Ok((String::from_utf8(data).unwrap(), String::from_utf8(rest).unwrap(), whole))
    }

    #[test]
    fn chunks_rfc9112_7_1() {
        let whole = |data: &str, rest: &str| Ok((data.to_owned(), rest.to_owned(), true));
        let part = |data: &str| Ok((data.to_owned(), String::new(), false));
        let digits = "0".repeat(17);
        let long = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(MAX_EXTENSIONS as usize));
        let spaces = format!("1{}\r\na\r\n0\r\n\r\n", " ".repeat(MAX_EXTENSIONS as usize));
        let trailers = format!("0\r\nx: {}\r\n\r\n", "y".repeat(MAX_TRAILERS));
        let lines = format!("0\r\n{}\r\n", "x: y\r\n".repeat(1_000));
        for (input, wanted) in [
            ("0\r\n\r\n", whole("", "")),
            ("0\r\n\r\nmore", whole("", "more")),
            ("5\r\nhello\r\n0\r\n\r\n", whole("hello", "")),
            ("1\r\na\r\n0a\r\n0123456789\r\n00\r\n\r\n", whole("a0123456789", "")),
            ("A\r\n0123456789\r\n0\r\n\r\n", whole("0123456789", "")),
            ("1;a=\"b\"\r\na\r\n0;c\r\n\r\n", whole("a", "")),
            ("1 \t\r\na\r\n0 ;c\r\n\r\n", whole("a", "")),
            ("2\r\na\r\r\n0\r\n\r\n", whole("a\r", "")),
            ("0\r\nx: y\r\n\r\nrest", whole("", "rest")),
            ("ffffffffffffffff\r\na", part("a")),
            ("5\r\nhel", part("hel")),
            ("5\r\nhello\r\n0\r\n", part("hello")),
            ("", part("")),
            (&digits, Err("a chunk size that is too large")),
            ("10000000000000000\r\n", Err("a chunk size that is too large")),
            ("\r\n", Err("a chunk without a size")),
            (";a\r\n", Err("a chunk without a size")),
            ("-1\r\n", Err("a chunk without a size")),
            ("0x1\r\n", Err("a chunk size that is none")),
            ("1 1\r\n", Err("a chunk size that is none")),
            ("1\na\n0\n\n", Err("a chunk size that is none")),
            ("1\r\ra", Err("a chunk size that is none")),
            ("1;a\nb", Err("a line break in a chunk extension")),
            ("1;a\rb", Err("a chunk size that is none")),
            ("1\r\nab\r\n", Err("a chunk that is longer than its size")),
            ("1\r\na\n", Err("a chunk that is longer than its size")),
            ("1\r\na\rb", Err("a chunk that is longer than its size")),
            ("0\r\nx: y\n\r\n", Err("a line of the trailers that does not end in CRLF")),
            ("0\r\n\n", Err("a line of the trailers that does not end in CRLF")),
            ("0\r\nno colon\r\n\r\n", Err("trailers that are no fields")),
            ("0\r\nx: y\r\n z\r\n\r\n", Err("trailers that are no fields")),
            ("0\r\nx : y\r\n\r\n", Err("trailers that are no fields")),
            (&long, Err("chunk extensions that are too long")),
            (&spaces, Err("chunk extensions that are too long")),
            (&trailers, Err("trailers that are too long")),
            (&lines, Err("trailers that are no fields")),
        ] {
            assert_eq!(chunked(input), wanted, "{input:?}");
        }
    }

    #[test]
    fn a_length_is_taken_to_the_byte() {
        for (length, input, data, rest, whole) in
            [(3, "abcd", "abc", "d", true), (0, "a", "", "a", true), (9, "abc", "abc", "", false)]
        {
            let read = read(Content::length(length), input.as_bytes(), &[]).unwrap();
            assert_eq!(read, (data.into(), String::new(), rest.into(), whole));
            assert_eq!(Content::length(length).end_in(input.as_bytes()).is_some(), whole);
        }
    }

    #[test]
    fn only_what_ends_with_its_connection_is_whole_by_a_close() {
        let mut chunks = Content::chunked();
        assert!(matches!(chunks.next(&mut Bytes::from_static(b"0\r\n")), Ok(Piece::More)));
        for (mut content, whole) in [
            (Content::until_close(), true),
            (Content::length(0), true),
            (Content::length(1), false),
            (Content::chunked(), false),
            (chunks, false),
        ] {
            assert_eq!((content.closed(), content.is_whole()), (whole, whole));
        }
    }

    /// Bytes that are chunks often enough.
    fn chunks() -> impl Strategy<Value = Vec<u8>> {
        let chunk = proptest::collection::vec(any::<u8>(), 1..20).prop_map(|data| {
            let mut chunk = format!("{:x}\r\n", data.len()).into_bytes();
            chunk.extend_from_slice(&data);
            chunk.extend_from_slice(b"\r\n");
            chunk
        });
        let odd = "[0-9a-f;\r\n :x]{0,6}".prop_map(String::into_bytes);
        let ends = proptest::sample::select(vec![&b"0\r\n\r\n"[..], b"0\r\nx: y\r\nz: 1\r\n\r\n", b""]);
        let part = prop_oneof![8 => chunk, 1 => odd];
        (proptest::collection::vec(part, 0..6), ends, "[a-z]{0,5}")
            .prop_map(|(parts, end, rest)| [&parts.concat()[..], end, rest.as_bytes()].concat())
    }

    proptest! {
        #[test]
        fn every_split_reads_the_same(input in chunks(), cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8)) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
            cuts.sort_unstable();
            for kind in [Content::chunked(), Content::length(7), Content::until_close()] {
                let at_once = read(kind.clone(), &input, &[]);
                prop_assert_eq!(&at_once, &read(kind.clone(), &input, &cuts));
                let bytewise: Vec<usize> = (0..input.len()).collect();
                prop_assert_eq!(&at_once, &read(kind.clone(), &input, &bytewise));
                if let Ok((_, _, rest, true)) = &at_once {
                    prop_assert_eq!(kind.end_in(&input), Some(input.len() - rest.len()));
                } else {
                    prop_assert_eq!(kind.end_in(&input), None);
                }
            }
        }

        #[test]
        fn what_is_written_in_chunks_is_read_again(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..9)) {
            let mut input = Vec::new();
            for piece in &pieces {
                input.extend_from_slice(format!("{:X}\r\n", piece.len()).as_bytes());
                input.extend_from_slice(piece);
                input.extend_from_slice(b"\r\n");
            }
            input.extend_from_slice(b"0\r\n\r\n");
            let (data, _, rest, whole) = read(Content::chunked(), &input, &[]).unwrap();
            prop_assert_eq!((data, rest.len(), whole), (pieces.concat(), 0, true));
        }
    }
}
