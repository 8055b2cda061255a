//! What a test of a proxy needs: an origin that follows a script, a client that sees every byte, a clock that
//! stands still, and a scenario that shows the three sides of an exchange. For tests only: where something else
//! happens than the test said, this crate panics with a text that says what was awaited and what came.
//!
//! Nothing here sleeps. A test awaits events ([`ScriptedOrigin::wait_for`], [`Gate`]s, [`StreamHandle`]s); an event
//! that does not come within [`PATIENCE`] of *real* time fails the test, also when tokio's clock is paused. Everything runs in the
//! test's own runtime, binds port 0 of 127.0.0.1, and ends when it is dropped.
//!
//! # An origin and a client
//!
//! ```
//! use copal_testkit::{Answer, Client, ScriptedOrigin};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let origin = ScriptedOrigin::start().await;
//! origin.on("/page", Answer::ok("hello").header("cache-control", "max-age=60"));
//! origin.on("POST /form", Answer::status(204));
//!
//! let mut client = Client::connect(origin.address()).await;
//! let page = client.get("/page").header("cookie", "a=b").send().await;
//! assert_eq!((page.status, page.text()), (200, "hello"));
//! assert_eq!(page.header("cache-control"), Some("max-age=60"));
//! assert_eq!(client.post("/form", "x=1").send().await.status, 204);
//! assert_eq!(client.get("/nowhere").send().await.status, 404);
//!
//! let seen = origin.requests();
//! assert_eq!(seen[0].header("cookie"), Some("a=b"));
//! assert_eq!(seen[1].body, "x=1");
//! assert_eq!(origin.count("/page"), 1);
//! assert_eq!(origin.connections(), 1);
//! # }
//! ```
//!
//! # Order of answers
//!
//! The answers given for one route form a queue; the last one repeats, unless it is [`Answer::once`].
//!
//! ```
//! # use copal_testkit::{Answer, Client, ScriptedOrigin};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let origin = ScriptedOrigin::start().await;
//! origin.on("/news", "first");
//! origin.on("/news", Answer::status(503));
//! let mut client = Client::connect(origin.address()).await;
//! assert_eq!(client.get("/news").send().await.text(), "first");
//! assert_eq!(client.get("/news").send().await.status, 503);
//! assert_eq!(client.get("/news").send().await.status, 503);
//! # }
//! ```
//!
//! # Holding an answer back
//!
//! ```
//! # use copal_testkit::{Answer, Client, ScriptedOrigin};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let origin = ScriptedOrigin::start().await;
//! let (gate, answer) = Answer::gated("slow");
//! origin.on("/slow", answer);
//! let mut client = Client::connect(origin.address()).await;
//! client.get("/slow").write().await;
//! origin.wait_for(1).await; // the request is there, its answer is held
//! gate.open();
//! assert_eq!(client.response().await.text(), "slow");
//!
//! let (body, answer) = Answer::stream();
//! origin.on("/stream", answer);
//! let mut reading = client.get("/stream").stream().await; // the head
//! body.send("one");
//! assert_eq!(reading.read_some().await.unwrap(), "one");
//! body.send("two");
//! body.end();
//! assert_eq!(reading.rest().await.text(), "onetwo"); // the whole response
//! # }
//! ```
//!
//! # Misbehaving
//!
//! [`Answer::hang_up`], [`Answer::reset`], [`Answer::cut_after`], [`Answer::silence`], [`Answer::raw`], [`Answer::interim`],
//! [`ScriptedOrigin::stop`]. The client's `try_…` methods give such an end as a [`ClientError`] in place of a panic.
//!
//! # Time
//!
//! ```
//! use copal_testkit::ManualClock;
//! use std::time::{Duration, UNIX_EPOCH};
//! let clock = ManualClock::at(1_700_000_000);
//! let now = clock.source();
//! clock.advance(Duration::from_secs(5));
//! assert_eq!(now(), UNIX_EPOCH + Duration::from_secs(1_700_000_005));
//! ```
//!
//! # Three sides
//!
//! See [`Scenario`]: what the client sends, what the origin sees and answers, what the client gets.

#![expect(clippy::panic, reason = "a helper of tests reports by failing the test")]

mod answer;
mod authority;
mod client;
mod clock;
mod dns;
mod front;
mod gate;
mod origin;
mod patience;
mod reply;
mod request;
mod scenario;
mod script;
mod send;
mod serve;
mod serve_h2;
mod stream;
#[cfg(test)]
mod tests;
mod wire;

pub use answer::Answer;
pub use authority::{Authority, Certificate};
pub use client::{Client, RequestBuilder};
pub use clock::ManualClock;
pub use dns::{DnsAnswer, DnsServer};
pub use front::Front;
pub use gate::Gate;
pub use origin::{ScriptedOrigin, refused_address};
pub use patience::{PATIENCE, patiently};
pub use reply::{ClientError, ClientResponse, Streaming};
pub use request::{Request, Tls};
pub use scenario::{Gets, OriginSide, Scenario, Sees};
pub use send::Sends;
pub use stream::StreamHandle;
