//! Which languages a client prefers (RFC 9110 §12.5.4).

use http::header::{ACCEPT_LANGUAGE, CONTENT_LANGUAGE, HeaderMap, HeaderValue};

use crate::list::quality;

/// A language range (RFC 4647 §2.1) as it stands in the field, and its weight in thousandths.
type Range<'a> = (&'a str, u16);

/// The field in comparable form: ranges in lower case, the most wanted first, then by name; weights only where they are below 1.
///
/// The order of ranges of equal weight is dropped: it cannot be relied upon (§12.5.4). `None` when anything in the field is not as it
/// should be, or when there is nothing in it: then nothing is known of what it means.
pub(crate) fn canonical<'a>(values: impl Iterator<Item = &'a HeaderValue>) -> Option<String> {
    let mut ranges = ranges(values)?;
    let lower = |text: &'a str| text.bytes().map(|byte| byte.to_ascii_lowercase());
    ranges.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| lower(one.0).cmp(lower(other.0))));
    ranges.dedup_by(|one, other| one.1 == other.1 && one.0.eq_ignore_ascii_case(other.0));
    let mut text = String::with_capacity(ranges.iter().map(|(range, _)| range.len() + 8).sum());
    for (range, weight) in ranges {
        if !text.is_empty() {
            text.push(',');
        }
        text.extend(range.chars().map(|character| character.to_ascii_lowercase()));
        if weight < 1000 {
            text.push_str(";q=0");
            push_decimals(&mut text, weight);
        }
    }
    Some(text)
}

/// `.5` for 500 thousandths, nothing for zero.
fn push_decimals(text: &mut String, thousandths: u16) {
    let digits = [thousandths / 100, thousandths / 10 % 10, thousandths % 10];
    let shown = digits.iter().rposition(|&digit| digit != 0).map_or(0, |last| last + 1);
    if shown > 0 {
        text.push('.');
    }
    text.extend(digits[..shown].iter().map(|&digit| char::from(b'0' + digit as u8)));
}

/// The `Accept-Language` to send to the origin in place of the client's where the response may be stored: in comparable form, so that the
/// origin sees no more than the variant is picked by. `None` when the client sends none, or one whose meaning is not known.
pub fn accept_language(request: &HeaderMap) -> Option<HeaderValue> {
    let mut lines = request.get_all(ACCEPT_LANGUAGE).iter().peekable();
    lines.peek()?;
    HeaderValue::from_str(&canonical(lines)?).ok()
}

/// Whether this is the one language that the client wants most (RFC 9111 §4.1): no origin could choose a better one. Never where two are
/// wanted equally, and never `*`. Compared as a whole, `de` is not `de-CH`.
pub fn language_preferred(content_language: &str, request: &HeaderMap) -> bool {
    let Some(ranges) = ranges(request.get_all(ACCEPT_LANGUAGE).iter()) else {
        return false;
    };
    let most = ranges.iter().map(|(_, weight)| *weight).max().unwrap_or(0);
    let mut best = ranges.iter().filter(|(_, weight)| *weight == most);
    // A range that comes twice has the lower of its weights.
    let once = |range: &str| ranges.iter().filter(|(other, _)| other.eq_ignore_ascii_case(range)).count() == 1;
    match (best.next(), best.next()) {
        (Some((range, 1..)), None) => range.eq_ignore_ascii_case(content_language) && once(range) && *range != "*",
        _ => false,
    }
}

/// The language of a response for speakers of one language (RFC 9110 §8.5), in lower case.
pub fn single_language(response: &HeaderMap) -> Option<String> {
    let mut lines = response.get_all(CONTENT_LANGUAGE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return None;
    };
    let tag = line.to_str().ok()?.trim_ascii();
    (tag != "*" && is_range(tag)).then(|| tag.to_ascii_lowercase())
}

/// The ranges in their order, empty members left out; `None` when one is malformed or none is there.
fn ranges<'a>(values: impl Iterator<Item = &'a HeaderValue>) -> Option<Vec<Range<'a>>> {
    let mut ranges = Vec::with_capacity(8);
    for value in values {
        for member in value.to_str().ok()?.split(',').map(str::trim_ascii).filter(|member| !member.is_empty()) {
            ranges.push(range(member)?);
        }
    }
    (!ranges.is_empty()).then_some(ranges)
}

fn range(member: &str) -> Option<Range<'_>> {
    let (range, weight) = match member.split_once(';') {
        None => (member, 1000),
        Some((range, parameter)) => match parameter.trim_ascii().as_bytes() {
            [b'q' | b'Q', b'=', weight @ ..] => (range.trim_ascii_end(), quality(weight)?),
            _ => return None,
        },
    };
    is_range(range).then_some((range, weight))
}

/// RFC 4647 §2.1, without the bounds on lengths; `*` by itself only.
fn is_range(text: &str) -> bool {
    text == "*"
        || text.split('-').all(|subtag| !subtag.is_empty() && subtag.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}
