//! Groups of stored responses (RFC 9875).

use http::header::{HeaderMap, HeaderName};

use crate::structured::{Item, list};

static CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");
static CACHE_GROUP_INVALIDATION: HeaderName = HeaderName::from_static("cache-group-invalidation");

/// As many groups of one response are read, from the first on; §2 and §3 ask for 32.
const MOST_GROUPS: usize = 64;

/// The groups that a response belongs to, each once (§2). They are groups of its own origin only: equal names of other origins are other
/// groups (§2.1).
pub fn cache_groups(headers: &HeaderMap) -> Vec<String> {
    groups(headers, &CACHE_GROUPS)
}

/// The groups of its own origin that a response invalidates, each once (§3). The caller has to see that it answers an unsafe method; on
/// others the field is ignored.
pub fn cache_group_invalidation(headers: &HeaderMap) -> Vec<String> {
    groups(headers, &CACHE_GROUP_INVALIDATION)
}

/// The strings of a list; parameters are ignored, and so is the whole field where a member is no string (RFC 9651 §4.2).
fn groups(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    if !headers.contains_key(name) {
        return Vec::new();
    }
    let mut groups = Vec::new();
    for member in list(headers, name).unwrap_or_default() {
        match member.item {
            Item::String(group) if groups.len() == MOST_GROUPS || groups.contains(&group) => {}
            Item::String(group) => groups.push(group),
            _ => return Vec::new(),
        }
    }
    groups
}
