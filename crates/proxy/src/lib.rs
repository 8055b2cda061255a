//! The story of one request.
//!
//! [`Proxy::handle`] takes a request and gives the response: decide → look up → may it be reused? → fetch, validate or
//! pass → assemble → deliver. A page and an ESI fragment walk the same path; it is told in `request.rs`.

mod address;
mod advice;
mod answer;
mod asked;
mod assemble;
mod body;
mod body_key;
mod broken_off;
mod clock;
mod context;
mod credentials;
mod decide;
mod deliver;
mod directed;
mod error_page;
mod exchange;
mod explain;
mod failures;
mod fallback;
mod fault;
mod fill;
mod forward;
mod forwarded;
mod fragment;
mod groups;
mod head;
mod hints;
mod interim;
mod leave;
mod lineage;
mod made;
mod media;
mod multipart;
mod names;
mod page_head;
mod partial;
mod pass;
mod posted;
mod preview;
mod proxy;
pub mod purge;
mod reach;
mod reason;
mod recall;
mod recent;
mod record;
mod report;
mod representation;
mod request;
mod request_id;
mod searching;
mod send;
mod slice;
mod sliced;
mod stores;
mod sub_key;
mod terms;
mod trace;
mod trigger;
mod tunnel;
mod validate;
mod variables;
mod watch;

pub use address::AddressText;
pub use body::{Body, BodyError};
pub use clock::Clock;
pub use context::ContextUsage;
pub use exchange::ClientInfo;
pub use explain::{Explanation, explain};
pub use interim::{Interim, InterimLine};
pub use preview::{Preview, PreviewOptions, preview};
pub use proxy::{Handling, Parts, Proxy};
pub use reason::{Outcome, Reason};
pub use record::{Observer, Record, RequestText, Silent};
pub use request_id::RequestId;
pub use stores::{Stores, stores};
pub use tunnel::TunnelUsage;

#[cfg(test)]
mod tests;
