//! `CLR` of the Hyper Text Caching Protocol (RFC 2756), as MediaWiki and Squid send it over UDP. Bytes in, bytes out.
//!
//! Squid before 3.0 had the bit fields of the third word the wrong way round and called that version 0.0; MediaWiki does as
//! Squid did. Both orders are read, and an answer is in the order of its question.

/// Longest datagram that is looked at, in bytes.
pub const LONGEST: usize = 16 << 10;

const CLR: u8 = 4;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'d> {
    /// What it asks.
    pub asks: Asks<'d>,
    /// It wants an answer.
    pub wants_answer: bool,
    transaction: u32,
    minor: u8,
    order: BitOrder,
    opcode: u8,
}

/// What a message asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks<'d> {
    /// Whether anybody is there.
    Nothing,
    /// To clear what is stored for a URL.
    Clear {
        /// The URL, or a path with the host in the fields.
        uri: &'d str,
        /// `Host` of the request's fields.
        host: Option<&'d str>,
    },
    /// Something else.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BitOrder {
    Rfc,
    Squid,
}

/// What became of a message (RFC 2756 §2.5, §6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was there and is gone; or: here I am.
    Done,
    /// It was not there.
    NotThere,
    /// This is not done here.
    NotImplemented,
}

/// Reads a datagram. None for what is no question in HTCP/0: nobody is answered whose message is not understood.
#[must_use]
pub fn parse(datagram: &[u8]) -> Option<Message<'_>> {
    if datagram.len() > LONGEST {
        return None;
    }
    // §2.3: the header is its length, which includes itself, and the version.
    let (length, rest) = number(datagram)?;
    let ([major, minor], _) = rest.split_first_chunk()?;
    let whole = datagram.get(..length)?;
    if *major != 0 {
        return None;
    }
    // §2.4: the data, likewise.
    let data = whole.get(4..)?;
    let (length, _) = number(data)?;
    let data = data.get(..length)?;
    let (operation, flags) = (*data.get(2)?, *data.get(3)?);
    // The code of a response is zero in a question, so that either half tells the order.
    let (order, opcode) = match (operation >> 4, operation & 0x0F) {
        (0, low) if low != 0 => (BitOrder::Squid, low),
        (high, 0) => (BitOrder::Rfc, high),
        _ => return None,
    };
    let (is_answer, wants_answer) = match order {
        BitOrder::Rfc => (flags & 1 != 0, flags & 2 != 0),
        BitOrder::Squid => (flags & 0x80 != 0, flags & 0x40 != 0),
    };
    if is_answer {
        return None;
    }
    let transaction = u32::from_be_bytes(*data.get(4..)?.first_chunk()?);
    let asks = match opcode {
        0 => Asks::Nothing,
        CLR => clear(data.get(8..)?)?,
        _ => Asks::Other,
    };
    Some(Message { asks, wants_answer, transaction, minor: *minor, order, opcode })
}

/// §6.5: two bytes of reserved bits and the reason, then a specifier (§3.2): method, URI, version, request fields.
fn clear(data: &[u8]) -> Option<Asks<'_>> {
    let (_method, rest) = text(data.get(2..)?)?;
    let (uri, rest) = text(rest)?;
    let (_version, rest) = text(rest)?;
    let (fields, _) = text(rest)?;
    let host = fields.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host").then(|| value.trim())
    });
    (!uri.is_empty()).then_some(Asks::Clear { uri, host })
}

/// §2.2: a counted string.
fn text(data: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = number(data)?;
    let (text, rest) = rest.split_at_checked(length)?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

fn number(data: &[u8]) -> Option<(usize, &[u8])> {
    let (bytes, rest) = data.split_first_chunk()?;
    Some((usize::from(u16::from_be_bytes(*bytes)), rest))
}

impl Message<'_> {
    /// The answer, where one is wanted.
    #[must_use]
    pub fn answer(&self, outcome: Outcome) -> Option<[u8; 14]> {
        if !self.wants_answer {
            return None;
        }
        // In an answer the other flag says that the code is about the message as a whole.
        let (code, overall) = match outcome {
            Outcome::Done => (0, false),
            Outcome::NotThere => (2, false),
            Outcome::NotImplemented => (2, true),
        };
        let (operation, flags) = match self.order {
            BitOrder::Rfc => (self.opcode << 4 | code, 1 | u8::from(overall) << 1),
            BitOrder::Squid => (code << 4 | self.opcode, 0x80 | u8::from(overall) << 6),
        };
        let [a, b, c, d] = self.transaction.to_be_bytes();
        // Header, data without more than its own header, and no authentication (§2.6: two bytes of length).
        Some([0, 14, 0, self.minor, 0, 8, operation, flags, a, b, c, d, 0, 2])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counted(text: &str) -> Vec<u8> {
        let mut bytes = u16::try_from(text.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }

    /// A `CLR` as MediaWiki packs it (`operation` 4), or in the order of the RFC (0x40).
    fn clr(operation: u8, flags: u8, uri: &str, fields: &str) -> Vec<u8> {
        let specifier = [counted("HEAD"), counted(uri), counted("HTTP/1.0"), counted(fields)].concat();
        let data = u16::try_from(8 + 2 + specifier.len()).unwrap();
        let mut bytes = (4 + data + 2).to_be_bytes().to_vec();
        bytes.extend([0, 0]);
        bytes.extend(data.to_be_bytes());
        bytes.extend([operation, flags]);
        bytes.extend(7_u32.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(specifier);
        bytes.extend([0, 2]);
        bytes
    }

    #[test]
    fn a_clr_of_mediawiki_is_read_and_not_answered() {
        let packet = clr(4, 0, "http://wiki.example/wiki/Main", "");
        let message = parse(&packet).unwrap();
        assert_eq!(message.asks, Asks::Clear { uri: "http://wiki.example/wiki/Main", host: None });
        assert_eq!(message.answer(Outcome::Done), None);
    }

    #[test]
    fn an_answer_is_in_the_order_of_its_question() {
        let rfc = clr(0x40, 2, "/a", "Accept: x\r\nhost:  example.org \r\n");
        let message = parse(&rfc).unwrap();
        assert_eq!(message.asks, Asks::Clear { uri: "/a", host: Some("example.org") });
        assert_eq!(message.answer(Outcome::Done).unwrap(), [0, 14, 0, 0, 0, 8, 0x40, 1, 0, 0, 0, 7, 0, 2]);
        assert_eq!(message.answer(Outcome::NotThere).unwrap()[6..8], [0x42, 1]);
        let squid = clr(4, 0x40, "http://a/", "");
        let message = parse(&squid).unwrap();
        assert_eq!(message.answer(Outcome::Done).unwrap()[6..8], [4, 0x80]);
        assert_eq!(message.answer(Outcome::NotThere).unwrap()[6..8], [0x24, 0x80]);
        assert_eq!(message.answer(Outcome::NotImplemented).unwrap()[6..8], [0x24, 0xC0]);
    }

    #[test]
    fn what_is_no_question_of_this_version_is_nothing() {
        let right = clr(4, 0, "http://a/", "");
        for end in 0..right.len() {
            assert!(parse(&right[..end]).is_none(), "cut at {end}");
        }
        let changed = |at: usize, to: u8| {
            let mut bytes = right.clone();
            bytes[at] = to;
            bytes
        };
        assert!(parse(&changed(2, 1)).is_none(), "another major version");
        assert!(parse(&changed(6, 0x44)).is_none(), "a response's code in a question");
        assert!(parse(&changed(7, 0x80)).is_none(), "an answer");
        assert!(parse(&changed(4, 0xFF)).is_none(), "data longer than the message");
        assert!(parse(&clr(4, 0, "", "")).is_none(), "no URL");
        assert!(parse(&vec![0; LONGEST + 1]).is_none());
        assert_eq!(parse(&changed(6, 1)).unwrap().asks, Asks::Other);
        assert_eq!(parse(&changed(6, 0)).unwrap().asks, Asks::Nothing);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes).map(|message| message.answer(Outcome::Done));
        }

        #[test]
        fn every_clr_comes_back(uri in "[ -~]{1,300}", host in "[a-z.]{1,30}", order in any::<bool>(), wants in any::<bool>()) {
            let (operation, flag) = if order { (4, 0x40) } else { (0x40, 2) };
            let packet = clr(operation, if wants { flag } else { 0 }, &uri, &format!("Host: {host}\r\n"));
            let message = parse(&packet).unwrap();
            prop_assert_eq!(message.asks, Asks::Clear { uri: &uri, host: Some(&host) });
            prop_assert_eq!(message.answer(Outcome::Done).is_some(), wants);
        }
    }
}
