//! Fields that say who a request is from.

use copal_policy::CacheRule;
use http::{HeaderName, header};

use crate::exchange::Exchange;

/// Fields of a request that say who it is from, beyond those that the rule keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credentials {
    None,
    /// `Authorization` alone: RFC 9111 §3.5 says what may be shared.
    Authorization,
    /// Fields of applications: nothing says what may be shared.
    Other,
}

impl Credentials {
    pub(crate) fn of(exchange: &Exchange, cache: &CacheRule) -> Self {
        let keyed = &cache.key.headers;
        let mut credentials = Self::None;
        for name in exchange.headers.keys() {
            if *name == header::AUTHORIZATION {
                if !keyed.contains(name) {
                    credentials = Self::Authorization;
                }
            } else if is_credential(name) && !keyed.contains(name) {
                return Self::Other;
            }
        }
        credentials
    }
}

/// The fields that applications use in the place of `Authorization`: `X-Auth-Token`, `X-Api-Key`, `X-WP-Nonce`,
/// `X-CSRF-Token` and their like. The answer to a request that carries one may be one visitor's.
pub(crate) fn is_credential(name: &HeaderName) -> bool {
    const WORDS: [&str; 7] = ["auth", "token", "api-key", "apikey", "nonce", "secret", "session"];
    let name = name.as_str();
    // Fields of browsers that happen to have such a word in them begin otherwise.
    (name.starts_with("x-") || name.starts_with("api")) && WORDS.iter().any(|word| name.contains(word))
}
