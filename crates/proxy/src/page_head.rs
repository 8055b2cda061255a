//! The head of an assembled page: of the template's what is right for the page.

use copal_policy::{Action, Config, Rule};
use copal_semantics::{ResponseDirectives, targeted};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::decide;

/// Fields that speak of the template's bytes, not of the page's (invariant 5).
const OF_THE_TEMPLATE: [HeaderName; 6] = [
    header::ETAG,
    header::LAST_MODIFIED,
    header::CONTENT_LENGTH,
    header::ACCEPT_RANGES,
    header::EXPIRES,
    header::TRAILER,
];

/// Whether a field speaks of the template's bytes.
pub(crate) fn is_of_the_template(name: &HeaderName) -> bool {
    OF_THE_TEMPLATE.contains(name) || decide::OF_THE_BYTES.contains(&name.as_str())
}

/// The head of an assembled page. A part of it may be one visitor's, so no shared cache after us may keep it, and a
/// browser asks again; `client_cache_control` of the rule says otherwise, but never for a page that was let through.
pub(crate) fn page_head(template: &HeaderMap, config: &Config, rule: &Rule, stored: bool) -> HeaderMap {
    let mut headers = template.clone();
    for name in &OF_THE_TEMPLATE {
        headers.remove(name);
    }
    for name in decide::OF_THE_BYTES {
        headers.remove(name);
    }
    // Caches that are addressed by name would believe these before Cache-Control (RFC 9213 §2.2).
    for name in targeted::DEFAULT_ORDER.iter().chain(&config.cache.targeted) {
        headers.remove(name);
    }
    let told = match &rule.action {
        Action::Cache(cache) if stored => cache.client_cache_control.clone(),
        _ => None,
    };
    let unsaid = if ResponseDirectives::parse(template).no_store { "private, no-store" } else { "private, no-cache" };
    headers.insert(header::CACHE_CONTROL, told.unwrap_or(HeaderValue::from_static(unsaid)));
    headers
}
