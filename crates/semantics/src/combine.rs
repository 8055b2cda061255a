//! Partial responses that are put together (RFC 9111 §3.4, RFC 9110 §15.3.7.3).

use std::time::Duration;

use http::header::{
    AGE, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_RANGE,
    LAST_MODIFIED,
};

use crate::conditional::ANY_NOW;
use crate::entity_tag::EntityTag;
use crate::lifetime::field_date;

/// Digests of the enclosed content (RFC 9530 §2), which do not hold for a part of it nor for several together.
const OF_THE_CONTENT: [HeaderName; 2] =
    [HeaderName::from_static("content-digest"), HeaderName::from_static("content-md5")];

/// The entity tag by which parts of a representation may be known as such: one, well-formed and strong (RFC 9110 §8.8.1).
pub fn strong_tag(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut lines = headers.get_all(ETAG).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return None;
    };
    let tag = EntityTag::parse(line.as_bytes()).filter(EntityTag::is_well_formed)?;
    tag.strong_eq(&tag).then_some(line)
}

/// The date of last modification by which parts of a representation may be known as such where there is no strong tag: one, and at
/// least a second before the response was made (RFC 9110 §8.8.2.2).
pub fn strong_date(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut lines = headers.get_all(LAST_MODIFIED).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return None;
    };
    let (modified, date) = (field_date(headers, &LAST_MODIFIED, ANY_NOW)?, field_date(headers, &DATE, ANY_NOW)?);
    (date.since(modified) >= Duration::from_secs(1)).then_some(line)
}

/// Whether two responses carry parts of one representation: the same strong entity tag (RFC 9111 §3.4). Where one does not name
/// its content coding it has the other's, which the tag vouches for; two that name different ones are not believed.
pub fn may_combine(one: &HeaderMap, other: &HeaderMap) -> bool {
    let same_tag =
        strong_tag(one).is_some_and(|tag| strong_tag(other).is_some_and(|other| trimmed(tag) == trimmed(other)));
    let codings = one.get(CONTENT_ENCODING).zip(other.get(CONTENT_ENCODING));
    same_tag && codings.is_none_or(|(one, other)| one == other)
}

fn trimmed(value: &HeaderValue) -> &[u8] {
    value.as_bytes().trim_ascii()
}

/// The fields of responses put together: those of the `newer` replace those of the same name, but for what describes the part that
/// is enclosed (RFC 9111 §3.4).
pub fn combined_fields(older: &HeaderMap, newer: &HeaderMap) -> HeaderMap {
    let mut fields = older.clone();
    fields.remove(AGE);
    for name in newer.keys() {
        fields.remove(name);
        for value in newer.get_all(name) {
            fields.append(name.clone(), value.clone());
        }
    }
    fields.remove(CONTENT_LENGTH);
    part_fields_out(&mut fields);
    fields
}

/// Removes what holds only for the content of one response when another part is sent: `Content-Range` and digests of the content.
pub fn part_fields_out(headers: &mut HeaderMap) {
    headers.remove(CONTENT_RANGE);
    for name in &OF_THE_CONTENT {
        headers.remove(name);
    }
}

/// `If-Range` for what is still missing of a stored part (RFC 9110 §13.1.5); none without a strong entity tag.
pub fn if_range(stored: &HeaderMap) -> Option<(HeaderName, HeaderValue)> {
    strong_tag(stored).map(|tag| (IF_RANGE, tag.clone()))
}
