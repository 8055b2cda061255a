//! Stored responses in memory, collapsing, invalidation.
//!
//! The story is in [`Store`]: look up, join a fill, store, freshen, invalidate, sweep. Around it:
//!
//! - one entry per cache key holds all its variants, within a limit that counts everything a stored response costs;
//! - one log of invalidations: a hit compares two integers, and a fetch that began before a purge can never
//!   bring the old page back;
//! - one fill for many clients: followers wake on the response head and read the same growing body.
//!
//! Freshness is computed by `copal_semantics` when the caller asks for it; nothing in here reads a clock.

mod backoff;
mod compact;
mod counting;
mod fill;
mod flight;
mod freshening;
mod growing;
mod index;
mod invalidation;
mod key;
mod log;
mod memory;
mod note;
mod parts;
mod provenance;
mod reader;
mod response;
mod scanned;
mod settings;
mod store;
mod tags;
mod usage;
mod variant;
mod weigh;

#[cfg(test)]
mod tests;

pub use fill::{Discarded, FillAborted, FillError, FillPermit, FillWriter, NoReaders};
pub use flight::{Announced, Follower};
pub use freshening::{Freshened, Freshening, TagChange};
pub use invalidation::{Invalidation, Match, TagMatch, expression};
pub use key::CacheKey;
pub use log::{Hardness, Sequence};
pub use memory::Place;
pub use note::Note;
pub use parts::{Part, Parts, slices};
pub use provenance::Provenance;
pub use reader::FillReader;
pub use response::{AsPart, Head, HeadInfo, StoredBody, StoredResponse};
pub use settings::StoreSettings;
pub use store::{Invalidated, Lookup, Store, Turn};
pub use usage::Usage;
pub use variant::Selector;
