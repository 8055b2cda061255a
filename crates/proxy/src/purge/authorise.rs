//! Who may purge: by address, by secret, or by both.

use copal_policy::{PurgeConfig, Require};
use http::header;

use crate::exchange::Exchange;

/// Whether the request may purge. Nobody may until the configuration says who.
pub(crate) fn may(config: &PurgeConfig, exchange: &Exchange) -> bool {
    let by_address = || exchange.is_from(&config.allow);
    match &config.secret {
        None => by_address(),
        Some(secret) if config.allow.is_empty() => secret.is_in(&exchange.headers),
        Some(secret) => {
            // Both are looked at in any case: how long it takes does not tell which one failed.
            let (by_secret, by_address) = (secret.is_in(&exchange.headers), by_address());
            match config.require {
                Require::All => by_secret && by_address,
                Require::Any => by_secret || by_address,
            }
        }
    }
}

/// Takes the secret off a request that is no purge: no origin and no variant gets to see it.
pub(crate) fn conceal(config: &PurgeConfig, exchange: &mut Exchange) {
    let Some(secret) = &config.secret else { return };
    // A field that others use, too, goes only where it is the secret.
    if secret.header != header::AUTHORIZATION && secret.header != header::COOKIE || secret.is_in(&exchange.headers) {
        exchange.headers.remove(&secret.header);
    }
}
