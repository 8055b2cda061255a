//! What a 200 to HEAD says of a stored response to GET (RFC 9111 §4.3.5).

use http::header::{ETAG, HeaderMap, HeaderName, LAST_MODIFIED};

use crate::conditional::ANY_NOW;
use crate::fields::content_length;
use crate::lifetime::field_date;

/// What a 200 to HEAD says of a stored response to GET (RFC 9111 §4.3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HeadSays {
    /// Its validators are those of the stored response, and so is its length, if it tells one: what is stored is current.
    Same,
    /// A validator or the length is another one: what is stored is stale.
    Other,
    /// It has no validator, so nothing tells.
    Nothing,
}

/// Compares a 200 to HEAD with a stored response to GET whose body has `length` bytes (none: not known).
///
/// §4.3.5 lets a head without any validator pass for the same. Not here: an origin that sends none would never be asked for the
/// page again while somebody sends it a HEAD now and then.
pub fn head_says(head: &HeaderMap, stored: &HeaderMap, length: Option<u64>) -> HeadSays {
    let told = content_length(head);
    if matches!((told, length), (Some(told), Some(length)) if told != length) {
        return HeadSays::Other;
    }
    let received: Vec<bool> = [ETAG, LAST_MODIFIED]
        .iter()
        .filter(|name| head.contains_key(*name))
        .map(|name| same_value(head, stored, name))
        .collect();
    match received.as_slice() {
        [] => HeadSays::Nothing,
        received if received.iter().all(|same| *same) => HeadSays::Same,
        _ => HeadSays::Other,
    }
}

fn same_value(head: &HeaderMap, stored: &HeaderMap, name: &HeaderName) -> bool {
    let trimmed = |headers: &'_ HeaderMap| headers.get(name).map(|value| value.as_bytes().trim_ascii().to_vec());
    let dates = || (field_date(head, name, ANY_NOW), field_date(stored, name, ANY_NOW));
    trimmed(head) == trimmed(stored)
        || (*name == LAST_MODIFIED && matches!(dates(), (Some(one), Some(other)) if one == other))
}
