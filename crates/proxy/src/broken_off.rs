//! Responses whose bodies broke off at their servers: the log tells of the first, and then once a minute how many there were.

use std::collections::HashMap;

use copal_origin::{Kind, OriginError};
use parking_lot::Mutex;

use crate::proxy::Proxy;

/// Seconds between two lines about one server: a server that breaks off breaks off much.
const SAID_EVERY: u64 = 60;

/// Counts them, server by server.
#[derive(Default)]
pub(crate) struct BrokenOff(Mutex<HashMap<Box<str>, Said>>);

struct Said {
    /// When it was last told of, in seconds.
    at: u64,
    /// How many there were since then.
    more: u64,
}

impl BrokenOff {
    /// Counts one at `now`, in seconds. How many there are to tell of, where it is time to.
    fn count(&self, server: &str, now: u64) -> Option<u64> {
        let mut said = self.0.lock();
        let Some(last) = said.get_mut(server) else {
            said.insert(server.into(), Said { at: now, more: 0 });
            return Some(1);
        };
        last.more += 1;
        if now < last.at.saturating_add(SAID_EVERY) {
            return None;
        }
        last.at = now;
        Some(std::mem::take(&mut last.more))
    }

    /// Forgets all: the servers are others.
    pub(crate) fn clear(&self) {
        self.0.lock().clear();
    }
}

impl Proxy {
    /// Says that the response to this request broke off at its server, once its head was out. Then no error page can tell of it.
    pub(crate) fn broke_off(&self, request: &str, error: &OriginError) {
        // Whether its server or whoever reads it took the time, nobody knows: it says nothing of the server.
        if error.kind() == Kind::TotalTimeout {
            tracing::debug!(request, detail = %error, "a response was not whole within its time");
            return;
        }
        if let Some(times) = self.broken_off.count(error.server().unwrap_or_default(), self.clock.now().as_secs()) {
            let detail = error.to_string();
            tracing::warn!(request, detail, times, "a response broke off at its server; what came of it is not stored");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_of_and_then_once_a_minute_how_many_there_were() {
        let broken = BrokenOff::default();
        assert_eq!(broken.count("one", 100), Some(1));
        for now in 100..159 {
            assert_eq!(broken.count("one", now), None);
        }
        assert_eq!(broken.count("two", 130), Some(1), "each server by itself");
        assert_eq!(broken.count("one", 160), Some(60));
        assert_eq!(broken.count("one", 161), None);
        broken.clear();
        assert_eq!(broken.count("one", 162), Some(1));
    }
}
