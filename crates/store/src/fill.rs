//! The leader's side of a fill: a permit first, then a writer. Each step consumes the one before, and dropping
//! either tells the followers.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use copal_esi::Piece;
use copal_semantics::Timestamp;

use crate::flight::{Flight, Outcome};
use crate::growing::{End, Growing, Put};
use crate::key::CacheKey;
use crate::log::Sequence;
use crate::reader::FillReader;
use crate::response::{Head, HeadInfo, StoredResponse};
use crate::store::Store;

/// Why a fetch failed or broke off; one error for all who wait.
pub type FillError = Arc<dyn Error + Send + Sync>;

/// Why a body is incomplete when no cause was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FillAborted {
    /// The task that drove the fill went.
    #[error("the fill was given up before the body was complete")]
    Dropped,
    /// The body is shorter or longer than announced (RFC 9112 §6.3).
    #[error("the body has {got} bytes and was announced with {announced}")]
    Length {
        /// Bytes that came.
        got: u64,
        /// `Content-Length`.
        announced: u64,
    },
    /// The beginning of a body that is too long to be stored is gone.
    #[error("the beginning of the body is gone")]
    Passed,
    /// The reader took nothing of a body that is too long to be stored while others waited for it.
    #[error("left behind: others waited for this reader of a body that is too long to be stored")]
    LeftBehind,
}

/// Why a complete body was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Discarded {
    /// An invalidation that came after the fetch began names it.
    #[error("invalidated while it was fetched")]
    Invalidated,
    /// Longer than `max_body`, more than all growing bodies may hold together, or than the store.
    #[error("too long to be stored")]
    TooBig,
    /// Not as long as announced, so that it may be incomplete (RFC 9111 §3.3).
    #[error("not as long as announced")]
    Incomplete,
    /// More is stored at this moment than can be evicted: it is let go rather than that the memory limit is.
    #[error("no room at this moment")]
    NoRoom,
    /// A partial response with other content than its `Content-Range` can mean.
    #[error("not the part that it says")]
    Inconsistent,
    /// A response that came later has been stored for the same requests, or a fresh whole one where this is a part.
    #[error("a newer response, or a whole one, is stored")]
    Superseded,
}

/// A body that is only passed on has no reader left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody reads the body any more")]
pub struct NoReaders;

/// The turn to fetch for a key. Dropped without an outcome, its followers try again (invariant 3).
#[must_use = "dropping the permit sends its followers away"]
pub struct FillPermit {
    store: Arc<Store>,
    flight: Arc<Flight>,
    /// Whether the log still keeps for it what came since it began.
    may_store: bool,
    filed: Option<Filed>,
    /// The same fill for those who ask for it where it is filed.
    alias: Option<Arc<Flight>>,
}

/// Where a response is stored, when that turned out to be another place than the one that was asked for.
struct Filed {
    key: CacheKey,
    extras: Option<String>,
}

impl FillPermit {
    /// A permit for a flight whose beginning the log has noted.
    pub(crate) fn new(store: Arc<Store>, flight: Arc<Flight>) -> Self {
        store.fill_began();
        Self { store, flight, may_store: true, filed: None, alias: None }
    }

    /// The number of the newest invalidation when the fill began, which was before anything was sent to the origin.
    pub fn began(&self) -> Sequence {
        self.flight.began
    }

    /// What comes of this fill, a response or the memory that there is none to store, is kept under another key than the one
    /// that was asked for, and with other `extras` where they are given. The followers get it all the same.
    pub fn file_under(&mut self, key: CacheKey, extras: Option<String>) {
        self.filed = Some(Filed { key, extras });
    }

    fn key(&self) -> &CacheKey {
        self.filed.as_ref().map_or(&self.flight.key, |filed| &filed.key)
    }

    /// The response may be stored. All followers wake, and read the body as it is put into the writer; the reader is the
    /// leader's own. With an announced length beyond `max_body` the followers go on alone, and the body is only passed on.
    pub fn storing(mut self, head: Head) -> (FillWriter, FillReader) {
        let filed = self.filed.as_ref().and_then(|filed| Some((filed.key.clone(), filed.extras.clone()?)));
        let filed = filed.map(|(key, extras)| {
            let stored = self.store.head(Head { extras: extras.clone(), ..head.clone() }, &*self.flight.by);
            (Flight::again(&self.flight, key, extras), Arc::new(stored))
        });
        let head = Arc::new(self.store.head(head, &*self.flight.by));
        let growing = Arc::new(self.store.growing(head.length));
        let reader = FillReader::first(Arc::clone(&head), Arc::clone(&growing));
        self.flight.announce(Outcome::Storing(Arc::clone(&head), Arc::clone(&growing)));
        let stored = match filed {
            None => head,
            Some((alias, stored)) => {
                alias.announce(Outcome::Storing(Arc::clone(&stored), Arc::clone(&growing)));
                self.store.flights().of(&alias.key).add(Arc::clone(&alias));
                self.alias = Some(alias);
                stored
            }
        };
        if growing.overflowed() {
            self.will_not_store();
        }
        (FillWriter { permit: self, head: stored, growing }, reader)
    }

    /// Nobody joins any more.
    fn close(&self) {
        self.store.flights().remove(&self.flight);
        if let Some(alias) = &self.alias {
            self.store.flights().remove(alias);
        }
    }

    /// A stored response can be used, for example one that the origin has validated.
    pub fn ready(self, response: Arc<StoredResponse>) {
        self.land(Outcome::Ready(response));
    }

    /// The response is not stored: all followers go on at once, in parallel. With `remember` further requests do so too,
    /// until then (hit-for-miss), or until a response for the key is stored, or an invalidation names the key.
    pub fn not_stored(self, remember: Option<Duration>, now: Timestamp) {
        if let Some(duration) = remember {
            self.store.remember_not_stored(self.key(), now.plus(duration), self.flight.began, now);
        }
        self.land(Outcome::NotStored);
    }

    /// The fetch failed.
    pub fn failed(self, error: FillError) {
        self.land(Outcome::Failed(error));
    }

    fn land(&self, outcome: Outcome) {
        self.close();
        self.flight.announce(outcome);
    }

    /// Nobody joins any more, and the log need not remember for it.
    fn will_not_store(&mut self) {
        self.close();
        if std::mem::take(&mut self.may_store) {
            self.store.log().ended(self.flight.began);
        }
    }
}

impl Drop for FillPermit {
    fn drop(&mut self) {
        self.will_not_store();
        self.store.fill_ended();
        // Counts only when nothing was announced before.
        self.flight.announce(Outcome::Abandoned);
    }
}

impl fmt::Debug for FillPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FillPermit").field("key", &self.flight.key).field("began", &self.began()).finish()
    }
}

/// Puts in the body of a fill. Dropped, it aborts the fill.
#[derive(Debug)]
#[must_use = "dropping the writer aborts the fill"]
pub struct FillWriter {
    permit: FillPermit,
    head: Arc<HeadInfo>,
    growing: Arc<Growing>,
}

impl FillWriter {
    /// The head as it will be stored.
    pub fn head(&self) -> &Arc<HeadInfo> {
        &self.head
    }

    /// Whether the body may still be stored; when not, it is only passed on to those who read it.
    pub fn may_store(&self) -> bool {
        self.permit.may_store
    }

    /// Puts in the next piece. At once while the body may be stored, even when nobody reads it. In a body that is only
    /// passed on it waits while the slowest reader is more than 1 MiB behind; the piece is in also when the wait is dropped.
    ///
    /// # Errors
    /// When the body is only passed on and nobody reads it any more: the origin's connection may be given up.
    pub async fn push(&mut self, piece: Piece) -> Result<(), NoReaders> {
        match self.growing.put(piece) {
            Put::Kept => return Ok(()),
            Put::Overflowed => self.permit.will_not_store(),
            Put::Passed => {}
        }
        self.growing.room().await
    }

    /// The body is complete: stores the response, then ends the fill, so that a request finds either the one or the other.
    ///
    /// # Errors
    /// When it is not stored; all readers still get the whole body, except for one of a wrong length, which fails for them.
    pub fn finish(self, now: Timestamp) -> Result<Arc<StoredResponse>, Discarded> {
        let stored = self.store_whole(now);
        self.permit.close();
        self.growing.end(match &stored {
            // A part may have become one with others: its readers are at home in what they read only.
            Ok(response) if self.head.part.is_none() => End::Stored(Arc::clone(response)),
            Err(Discarded::Incomplete) => End::Failed(Arc::new(self.wrong_length())),
            Ok(_) | Err(_) => End::Complete,
        });
        stored
    }

    fn store_whole(&self, now: Timestamp) -> Result<Arc<StoredResponse>, Discarded> {
        let (pieces, length) = self.growing.whole().ok_or(Discarded::TooBig)?;
        // ESI drops text, so only of a plain body is the length known.
        if !self.head.esi && self.head.length.is_some_and(|announced| announced != length) {
            return Err(Discarded::Incomplete);
        }
        let brought = match self.head.part {
            Some(part) => Some(part.range.brought(length, part.asked).ok_or(Discarded::Inconsistent)?),
            None => None,
        };
        self.permit.store.store(self.permit.key(), &self.head, (pieces, brought), self.permit.began(), now)
    }

    fn wrong_length(&self) -> FillAborted {
        FillAborted::Length { got: self.growing.length(), announced: self.head.length.unwrap_or_default() }
    }

    /// The body broke off: its readers get this error after what has come, and nothing is stored.
    pub fn abort(self, error: FillError) {
        self.permit.close();
        self.growing.end(End::Failed(error));
    }
}

impl Drop for FillWriter {
    fn drop(&mut self) {
        self.permit.close();
        // Counts only when it has not ended before.
        self.growing.end(End::Failed(Arc::new(FillAborted::Dropped)));
    }
}
