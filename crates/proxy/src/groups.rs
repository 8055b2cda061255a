//! Cache groups (RFC 9875): a group is a tag that no origin can give by name, since no field has a line break in it.

use copal_semantics::{Target, cache_group_invalidation, cache_groups};
use copal_store::{Hardness, Invalidation};
use http::HeaderMap;

use crate::proxy::Proxy;

/// The tags of the groups that a response to `target` says it is in.
pub(crate) fn tags(target: &Target, headers: &HeaderMap) -> impl Iterator<Item = String> {
    cache_groups(headers).into_iter().map(move |group| tag(target, &group))
}

/// Invalidates the groups that the response to an unsafe request names, and nothing that these have in common with others.
/// Gives their number.
pub(crate) fn invalidate(proxy: &Proxy, target: &Target, headers: &HeaderMap) -> u64 {
    let groups = cache_group_invalidation(headers);
    for group in &groups {
        proxy.store.invalidate(&Invalidation::Tag(tag(target, group)), Hardness::Hard);
    }
    groups.len() as u64
}

/// A group is one of its own origin only (§2.1): scheme, host and port of the target.
fn tag(target: &Target, group: &str) -> String {
    format!("\ngroup {}://{} \"{group}\"", target.scheme, target.host)
}
