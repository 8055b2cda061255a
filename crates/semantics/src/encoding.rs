//! Percent-encoding (RFC 3986 §2.1, §2.3, §6.2.2).

use std::borrow::Cow;

/// Brings the percent-encodings of a path or query into their one form: hexadecimal digits in upper case, unreserved characters
/// decoded (RFC 3986 §6.2.2.1, §6.2.2.2). What is no encoding stays as it is.
pub(crate) fn normalise_percent(text: &str) -> Cow<'_, str> {
    let Some(first) = text.find('%') else {
        return Cow::Borrowed(text);
    };
    let bytes = text.as_bytes();
    let mut normal = String::with_capacity(text.len());
    normal.push_str(&text[..first]);
    let mut run = first;
    let mut at = first;
    // Where a '%' that begins no encoding stands in `normal`.
    let mut stray = None;
    while let Some(&byte) = bytes.get(at) {
        if byte != b'%' {
            at += 1;
            continue;
        }
        normal.push_str(&text[run..at]);
        let Some(decoded) = encoded_byte(&bytes[at..]) else {
            stray = Some(normal.len());
            normal.push('%');
            at += 1;
            run = at;
            continue;
        };
        if is_unreserved(decoded) && !completes(&normal, stray, decoded) {
            normal.push(char::from(decoded));
        } else {
            push_encoded(&mut normal, decoded);
        }
        at += 3;
        run = at;
    }
    normal.push_str(&text[run..]);
    Cow::Owned(normal)
}

/// Whether `decoded` behind a stray `%` would make an encoding out of it, as in `%2%35`: that would change what the text means.
fn completes(normal: &str, stray: Option<usize>, decoded: u8) -> bool {
    let Some(stray) = stray.filter(|_| decoded.is_ascii_hexdigit()) else {
        return false;
    };
    match normal.as_bytes().get(stray + 1..) {
        Some([] | [_]) => true,
        Some(_) | None => false,
    }
}

/// Percent-encodes what no URI may contain as it is: spaces, non-ASCII and `"<>\^`{|}` (RFC 3986 §2). References in templates are
/// written by people.
pub(crate) fn encode_foreign(text: &str) -> Cow<'_, str> {
    if text.bytes().all(is_uri_byte) {
        return Cow::Borrowed(text);
    }
    let mut encoded = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if is_uri_byte(byte) {
            encoded.push(char::from(byte));
        } else {
            push_encoded(&mut encoded, byte);
        }
    }
    Cow::Owned(encoded)
}

/// Unreserved, reserved or `%` (RFC 3986 §2.2, §2.3).
fn is_uri_byte(byte: u8) -> bool {
    is_unreserved(byte) || b":/?#[]@!$&'()*+,;=%".contains(&byte)
}

/// RFC 3986 §2.3.
pub(crate) const fn is_unreserved(byte: u8) -> bool {
    UNRESERVED[byte as usize]
}

/// For each byte whether it is unreserved: hosts are looked at byte by byte in every request.
static UNRESERVED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'-' | b'.' | b'_' | b'~');
        byte += 1;
    }
    table
};

/// The byte that `%XX` at the start of `text` stands for.
pub(crate) fn encoded_byte(text: &[u8]) -> Option<u8> {
    match text {
        [b'%', high, low, ..] => Some(hex_value(*high)? << 4 | hex_value(*low)?),
        _ => None,
    }
}

const fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// `%XX`.
pub(crate) fn push_encoded(text: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    text.push('%');
    text.push(char::from(DIGITS[usize::from(byte >> 4)]));
    text.push(char::from(DIGITS[usize::from(byte & 15)]));
}
