//! RFC 9111, 9110, 9211, 9213 and 5861 as pure functions: no async, no clock, no log, no I/O.
//!
//! `now` is always an argument and every decision is a returned value. Storability, the freshness lifetime and reuse are three
//! questions with three types: [`storable`], [`Lifetime`], [`Freshness`]. Nothing here panics on any input.
//!
//! A response is judged once, when it comes, in this order:
//!
//! 1. [`effective_directives`]: whose word counts, a targeted field's (RFC 9213) or `Cache-Control`'s.
//! 2. [`lifetime()`] and [`initial_age`]: how long it is fresh under the rule, and how old it is already. Where
//!    [`LifetimeSource::counts_from_arrival`], the caller adds the one to the other; [`jittered`] shortens it.
//! 3. [`storable`]: whether it is stored; [`unstored_fields`]: without which fields; [`has_leave`]: whether it may answer others than
//!    the authorised client that it was made for.
//! 4. [`Freshness::new`]: what is left for a hit, arithmetic only: [`Freshness::state`], or [`Freshness::state_for`] where the request
//!    has directives that count ([`RequestDirectives::is_asked`], [`RequestDirectives::harmless`]).
//!
//! Of two readings of a malformed or doubled field, the one that reuses less is taken.

pub mod byteranges;
pub mod cache_groups;
pub mod cache_status;
pub mod combine;
pub mod conditional;
pub mod content_range;
pub mod directives;
pub mod fields;
pub mod freshness;
pub mod head_says;
pub mod lifetime;
pub mod link;
pub mod no_vary_search;
pub mod proxy_status;
pub mod range;
pub mod storability;
pub mod tags;
pub mod target;
pub mod targeted;
pub mod time;
pub mod trailer;
pub mod vary;

mod accept_encoding;
mod accept_language;
mod age;
mod encoding;
mod entity_tag;
mod field_text;
mod list;
mod structured;
mod ttl_header;

#[cfg(test)]
mod tests;

pub use age::initial_age;
pub use byteranges::ByteRanges;
pub use cache_groups::{cache_group_invalidation, cache_groups};
pub use cache_status::CacheStatus;
pub use combine::{combined_fields, if_range, may_combine, part_fields_out, strong_date, strong_tag};
pub use conditional::{
    Precondition, etag_names, evaluate, freshen, has_validator, not_applicable_to_cache, not_modified_head,
    strip_conditionals, validators, validators_of,
};
pub use content_range::{Brought, ContentRange, content_range, unsatisfied_range};
pub use directives::{FieldList, RequestDirectives, ResponseDirectives, max_age};
pub use fields::{
    CDN_LOOP, append_cdn_loop, append_via, cdn_loop, cdn_loop_member, content_length, remove_hop_by_hop, via_loop,
};
pub use freshness::{Freshness, FreshnessState, StaleRules};
pub use head_says::{HeadSays, head_says};
pub use lifetime::{Lifetime, LifetimeRules, LifetimeSource, heuristically_cacheable, jittered, lifetime};
pub use link::early_links;
pub use no_vary_search::NoVarySearch;
pub use proxy_status::{ProxyError, ProxyStatus};
pub use range::{ByteRange, RangeAnswer, Span, byte_ranges, if_range_holds, range};
pub use storability::{NotStored, Overrides, StoreFacts, has_leave, storable, unstored_fields};
pub use tags::{split_tags, tags};
pub use target::{Target, TargetError, normalise, resolve};
pub use targeted::{DEFAULT_ORDER, Source, SurrogateControl, effective_directives};
pub use time::{Timestamp, parse_http_date};
pub use trailer::{announce_trailers, takes_trailers};
pub use vary::{
    Vary, accept_encoding, accept_language, coding_acceptable, coding_preference, is_negotiated, language_preferred,
    normalise_field, single_language,
};
