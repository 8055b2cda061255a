//! What the operator sets about the store.

use std::time::Duration;

/// Limits of a [`Store`](crate::Store).
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// Bytes that all stored responses together may cost: heads, bodies, keys, tags, templates and bookkeeping.
    /// Bodies that are still growing count apart, up to a quarter of this. Default 512 MiB.
    pub memory: u64,
    /// Stored responses under one cache key; when one more comes, the one stored longest ago goes. Default 64.
    pub max_variants: usize,
    /// Bytes of the longest body that is stored; a longer one is passed on in step with its readers. Default 64 MiB.
    pub max_body: u64,
    /// How long a response with a validator is kept beyond its last use without validation, so that it can be freshened
    /// by a 304 (RFC 9111 §4.3). Default one day.
    pub keep_for_validation: Duration,
    /// Invalidations in the log from which [`Store::sweep_due`](crate::Store::sweep_due) says that a sweep is due. When a
    /// sweep cannot shorten the log below eight times this, because fills that began long ago are still under way, those
    /// fills are no longer stored. Default 4096.
    pub log_limit: u64,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            memory: 512 << 20,
            max_variants: 64,
            max_body: 64 << 20,
            keep_for_validation: Duration::from_secs(24 * 60 * 60),
            log_limit: 4096,
        }
    }
}
