//! YAML to compiled rules to answers.
//!
//! [`load`] reads a configuration file with the policies it names and gives a [`Config`] that is ready to run, or every
//! error at once, each with its place and a hint; [`load_with`] also tells what somebody who speaks TLS finds. [`Policy::answer`] then finds the rule for a request, and
//! [`Policy::classify`] says what the request's cookies are. Nothing here waits, logs, or reads a clock; only [`load`]
//! and [`cases::load`] read files.

mod actions;
mod case_table;
pub mod cases;
mod checks;
mod config;
mod contexts;
mod cookies;
mod diagnostic;
mod edits;
mod error_page;
mod esi;
mod facts;
mod glob;
mod key;
mod keys;
mod load;
mod matcher;
mod names;
mod networks;
mod origin_config;
mod origin_table;
mod origins;
mod policy;
mod purge;
mod reader;
mod reference;
mod rule;
mod rules;
mod schema;
mod sessions;
mod settings;
mod shipped;
mod storing;
mod table;
mod timeouts;
pub mod units;
mod values;
mod yaml;

pub use config::{AccessLog, CacheConfig, Config, EsiConfig, Limits, LogConfig, LogLevel, TagFrom};
pub use contexts::{Context, MAX_GROUP};
pub use cookies::{Cookie, Cookies};
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use edits::{FieldEdits, ResponseEdits};
pub use error_page::{ErrorPage, Placeholder};
pub use esi::{EsiDialect, EsiOnError, EsiOptions, EsiTriggers};
pub use facts::RequestFacts;
pub use key::{KeyRule, Parameters, QueryRule};
pub use load::{Loaded, for_origin, load, load_str, load_with};
pub use networks::{Networks, NotANetwork};
pub use origin_config::{
    Balance, EjectConfig, HashBy, HealthConfig, OriginConfig, OriginProtocol, Pem, ProxyProtocol, QueueConfig,
    ResolverConfig, RetryConfig, ServerConfig, ServerUrl, TimeoutConfig, TlsCheck, TlsConfig, TlsFault, Verdict,
};
pub use policy::{CookieKind, CookieVerdict, Policy, UnknownCookies};
pub use purge::{HtcpConfig, PurgeConfig, PurgeDialect, PurgeDialects, PurgeSecret, Require, Secret};
pub use reference::reference_page;
pub use rule::{
    Action, CacheRule, EsiMode, Overrides, RequestDirectivesMode, RespondRule, Rule, RuleSource, SessionMode,
};
pub use schema::schema_json;
pub use shipped::{nearest_shipped, shipped, shipped_cases, shipped_names};
pub use storing::StoreRule;
pub use timeouts::RuleTimeouts;

#[cfg(test)]
mod tests;
