//! Which content codings a client takes (RFC 9110 §12.5.3).

use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};

use crate::list::quality;

const BR: usize = 1;
const DEFLATE: usize = 2;
const GZIP: usize = 4;
const ZSTD: usize = 8;
const ALL: usize = BR | DEFLATE | GZIP | ZSTD;

/// The canonical `Accept-Encoding` of each set of codings.
static CANONICAL: [&str; 16] = [
    "",
    "br",
    "deflate",
    "br, deflate",
    "gzip",
    "br, gzip",
    "deflate, gzip",
    "br, deflate, gzip",
    "zstd",
    "br, zstd",
    "deflate, zstd",
    "br, deflate, zstd",
    "gzip, zstd",
    "br, gzip, zstd",
    "deflate, gzip, zstd",
    "br, deflate, gzip, zstd",
];

/// The canonical `Accept-Encoding` of these lines; "" for identity only.
pub(crate) fn canonical<'a>(values: impl Iterator<Item = &'a HeaderValue>) -> &'static str {
    CANONICAL[Codings::parse(values).accepted()]
}

/// What `Accept-Encoding` says of the codings an origin is asked for, as bit sets.
#[derive(Default)]
struct Codings {
    named: usize,
    refused: usize,
    star: Option<bool>,
}

impl Codings {
    fn parse<'a>(values: impl Iterator<Item = &'a HeaderValue>) -> Self {
        let mut codings = Self::default();
        for value in values {
            // What browsers send, word for word.
            match value.as_bytes() {
                b"gzip, deflate, br, zstd" => codings.named |= ALL,
                b"gzip, deflate, br" => codings.named |= GZIP | DEFLATE | BR,
                b"gzip, deflate" => codings.named |= GZIP | DEFLATE,
                b"gzip" => codings.named |= GZIP,
                line => line.split(|&byte| byte == b',').for_each(|member| codings.add(member)),
            }
        }
        codings
    }

    fn add(&mut self, member: &[u8]) {
        let (coding, weight) = weighted(member);
        let acceptable = weight > 0;
        if coding == b"*" {
            self.star = Some(acceptable && self.star.unwrap_or(true));
        }
        let bit = bit(coding);
        self.named |= bit;
        if !acceptable {
            self.refused |= bit;
        }
    }

    fn accepted(&self) -> usize {
        let rest = if self.star == Some(true) { ALL & !self.named } else { 0 };
        (self.named | rest) & !self.refused & ALL
    }
}

fn bit(coding: &[u8]) -> usize {
    let is = |known: &[u8]| coding.eq_ignore_ascii_case(known);
    if is(b"gzip") || is(b"x-gzip") {
        GZIP
    } else if is(b"br") {
        BR
    } else if is(b"zstd") {
        ZSTD
    } else if is(b"deflate") {
        DEFLATE
    } else {
        0
    }
}

/// Whether a `Content-Encoding` names a coding that an origin is asked for, or one of the registered others (RFC 9110
/// §8.4.1): then a client that does not accept it must not get it. Others are an origin's own, given to everybody alike.
pub fn is_negotiated(content_encoding: &HeaderValue) -> bool {
    let known = |coding: &[u8]| bit(coding) != 0 || coding.eq_ignore_ascii_case(b"compress") || coding == b"x-compress";
    content_encoding.as_bytes().split(|&byte| byte == b',').any(|coding| {
        let coding = coding.trim_ascii();
        known(coding) || coding.eq_ignore_ascii_case(b"dcb") || coding.eq_ignore_ascii_case(b"dcz")
    })
}

/// A member of `Accept-Encoding` and its weight in thousandths (RFC 9110 §12.4.2); a weight that is none counts as zero.
fn weighted(member: &[u8]) -> (&[u8], u16) {
    let mut parts = member.split(|&byte| byte == b';');
    let coding = parts.next().unwrap_or_default().trim_ascii();
    let weights = parts.map(|parameter| match parameter.trim_ascii() {
        [b'q' | b'Q', b'=', weight @ ..] => quality(weight).unwrap_or(0),
        _ => 1000,
    });
    (coding, weights.min().unwrap_or(1000))
}

/// The `Accept-Encoding` to send to the origin in place of the client's: sorted, only br, deflate, gzip and zstd, without weights, so
/// that few variants arise. `None` when the client accepts none of them; then none is sent. Never allocates.
pub fn accept_encoding(request: &HeaderMap) -> Option<HeaderValue> {
    match Codings::parse(request.get_all(ACCEPT_ENCODING).iter()).accepted() {
        0 => None,
        accepted => Some(HeaderValue::from_static(CANONICAL[accepted])),
    }
}

/// Whether the client accepts content in this coding (RFC 9110 §12.5.3); of several codings, all must be acceptable. A request without
/// `Accept-Encoding` accepts any. Never allocates.
pub fn coding_acceptable(content_encoding: &HeaderValue, request: &HeaderMap) -> bool {
    if !request.contains_key(ACCEPT_ENCODING) {
        return true;
    }
    content_encoding
        .as_bytes()
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|coding| !coding.is_empty())
        .all(|coding| weight_of(coding, request) > 0)
}

/// How much the client wants a stored response in this coding, in thousandths, where its `Accept-Encoding` is another than that of the
/// request which brought the response (RFC 9111 §4.1, RFC 9110 §12.5.3). Of several codings the least weight counts. Never allocates.
///
/// `None` where it had better be asked for at the origin: a coding that the client does not name, and no coding where it takes one. A
/// client without `Accept-Encoding` would have to take any; many cannot.
pub fn coding_preference(content_encoding: Option<&HeaderValue>, request: &HeaderMap) -> Option<u16> {
    let value = content_encoding.map_or(&b""[..], HeaderValue::as_bytes);
    let codings = || value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|coding| !coding.is_empty());
    if codings().all(|coding| coding.eq_ignore_ascii_case(b"identity")) {
        let takes_codings = Codings::parse(request.get_all(ACCEPT_ENCODING).iter()).accepted() != 0;
        let identity = weight_of(b"identity", request);
        return (!takes_codings && identity > 0).then_some(identity);
    }
    let least = codings().map(|coding| weight_of(coding, request)).min();
    least.filter(|weight| *weight > 0 && request.contains_key(ACCEPT_ENCODING))
}

/// The weight of a coding, in thousandths; zero when it is not acceptable.
fn weight_of(coding: &[u8], request: &HeaderMap) -> u16 {
    let wanted = plain_name(coding);
    let mut named: Option<u16> = None;
    let mut star: Option<u16> = None;
    let lines = request.get_all(ACCEPT_ENCODING).iter();
    for member in lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b',')) {
        let (coding, weight) = weighted(member);
        if plain_name(coding).eq_ignore_ascii_case(wanted) {
            named = Some(weight.min(named.unwrap_or(weight)));
        } else if coding == b"*" {
            star = Some(weight.min(star.unwrap_or(weight)));
        }
    }
    // Identity is acceptable unless it is refused, any other coding only when it is named.
    let unnamed = if wanted.eq_ignore_ascii_case(b"identity") { 1000 } else { 0 };
    named.or(star).unwrap_or(unnamed)
}

/// RFC 9110 §8.4.1.3: `x-gzip` is `gzip` (and §8.4.1.1: `x-compress` is `compress`).
fn plain_name(coding: &[u8]) -> &[u8] {
    if coding.eq_ignore_ascii_case(b"x-gzip") {
        b"gzip"
    } else if coding.eq_ignore_ascii_case(b"x-compress") {
        b"compress"
    } else {
        coding
    }
}
