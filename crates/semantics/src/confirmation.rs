//! Which stored responses a 304, or a 200 to HEAD, speaks of (RFC 9111 §4.3.3 to §4.3.5).

use http::HeaderValue;
use http::header::{ETAG, HeaderMap, HeaderName, LAST_MODIFIED};

use crate::conditional::{ANY_NOW, entity_tag};
use crate::fields::content_length;
use crate::lifetime::field_date;

/// As many tags are listed in one `If-None-Match`.
const MOST_TAGS: usize = 16;

/// Bytes up to which tags are listed in one `If-None-Match`; some origins refuse longer fields.
const LONGEST_LIST: usize = 2048;

/// `If-None-Match` with the entity tags of several stored responses of one URL, each once, as they are stored (RFC 9111 §4.3.1).
/// Tags without quotes are left out: in a list they could be taken for several.
pub fn validators_of<'a>(stored: impl Iterator<Item = &'a HeaderMap>) -> Option<HeaderValue> {
    let mut list: Vec<u8> = Vec::new();
    let mut listed: Vec<&[u8]> = Vec::new();
    for headers in stored {
        let Some(tag) = headers.get(ETAG).map(|tag| tag.as_bytes().trim_ascii()) else { continue };
        let well_formed = entity_tag(headers).is_some_and(|tag| tag.is_well_formed());
        if !well_formed || listed.contains(&tag) || list.len() + tag.len() > LONGEST_LIST {
            continue;
        }
        if !list.is_empty() {
            list.extend_from_slice(b", ");
        }
        list.extend_from_slice(tag);
        listed.push(tag);
        if listed.len() == MOST_TAGS {
            break;
        }
    }
    HeaderValue::from_bytes(&list).ok().filter(|list| !list.is_empty())
}

/// Whether two heads have the same strong entity tag, so that they are of the same representation, byte for byte
/// (RFC 9110 §8.8.3.2): a 304 for the one confirms the other too (RFC 9111 §4.3.4).
pub fn etag_names(not_modified: &HeaderMap, stored: &HeaderMap) -> bool {
    matches!((entity_tag(not_modified), entity_tag(stored)), (Some(one), Some(other)) if one.strong_eq(&other))
}

/// Whether two heads have the same entity tag, be it weak: the comparison by which an origin answers `If-None-Match`
/// (RFC 9110 §13.1.2).
pub fn etag_names_weakly(not_modified: &HeaderMap, stored: &HeaderMap) -> bool {
    matches!((entity_tag(not_modified), entity_tag(stored)), (Some(one), Some(other)) if one.weak_eq(&other))
}

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
