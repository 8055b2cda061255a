//! HTTP/2 to servers (RFC 9113): the only place that names h2.
//!
//! One connection carries many requests, so it cannot be driven by one that waits: it has a task of its own ([`session`]). A
//! request is driven in place all the same: whoever waits for the response feeds its body and reads the answer.

mod exchange;
mod fields;
mod reading;
mod session;
mod upload;

pub(crate) use exchange::Lane;
pub(crate) use reading::Reading;
pub(crate) use session::{Limits, Session};
