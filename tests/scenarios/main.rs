//! Scenarios over real sockets: a client, Copal, a scripted origin; each shows what the client sends, what the origin
//! sees and answers, and what the client gets. One binary, so that it is linked once.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test reports by failing")]

mod assembly;
mod authorization;
mod caching;
mod collapsing;
mod contexts;
mod dialects;
mod directives;
mod errors;
mod esi_by_heart;
mod esi_errors;
mod esi_hosts;
mod esi_language;
mod esi_limits;
mod esi_matrix;
mod esi_negotiation;
mod esi_report;
mod esi_soak;
mod esi_streaming;
mod esi_validators;
mod forwarding;
mod fos;
mod front;
mod grace;
mod heads;
mod interim;
mod invalidation;
mod large;
mod lifetimes;
mod methods;
mod negotiation;
mod origins;
mod origins_by_hand;
mod policies;
mod policy_language;
mod process;
mod protocol;
mod purge_orders;
mod purging;
mod ranges;
mod searching;
mod separation;
mod sessions;
mod simulator;
mod slices;
mod statuses;
mod staying_up;
mod tidy;
mod trailers;
mod transport;
mod validation;
