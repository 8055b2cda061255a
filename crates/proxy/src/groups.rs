//! Cache groups (RFC 9875): a group is a tag that no origin can give by name, since no field has a line break in it.

use copal_semantics::{Target, cache_group_invalidation, cache_groups};
use copal_store::Invalidation;
use http::HeaderMap;

/// The tags of the groups that a response to `target` says it is in.
pub(crate) fn tags(target: &Target, headers: &HeaderMap) -> impl Iterator<Item = String> {
    cache_groups(headers).into_iter().map(move |group| tag(target, &group))
}

/// The groups that the response to an unsafe request invalidates, and nothing that these have in common with others.
pub(crate) fn invalidations(target: &Target, headers: &HeaderMap) -> impl Iterator<Item = Invalidation> {
    let groups = cache_group_invalidation(headers);
    groups.into_iter().map(move |group| Invalidation::Tag(tag(target, &group)))
}

/// A group is one of its own origin only (§2.1): scheme, host and port of the target.
fn tag(target: &Target, group: &str) -> String {
    format!("\ngroup {}://{} \"{group}\"", target.scheme, target.host)
}
