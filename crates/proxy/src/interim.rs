//! Interim responses (1xx, RFC 9110 §15.2) on their way to the client that waits for a final one.

use std::fmt;
use std::sync::Arc;

use copal_origin::OnInterim;
use copal_policy::Rule;
use http::{HeaderMap, StatusCode, header};

use crate::pass;
use crate::proxy::Runtime;

/// A connection that can bring interim responses to its client.
pub trait InterimLine: Send + Sync {
    /// Puts one before the final response to the connection's request of that number. They are optional by nature: what
    /// comes too late, or is too much, is dropped. May be called from any task.
    fn put(&self, request: u32, status: StatusCode, headers: &HeaderMap);
}

/// Where interim responses to one request go.
#[derive(Clone)]
pub struct Interim {
    line: Arc<dyn InterimLine>,
    request: u32,
}

impl Interim {
    /// To the client of `line`, for the request of this number.
    #[must_use]
    pub fn new(line: Arc<dyn InterimLine>, request: u32) -> Self {
        Self { line, request }
    }

    pub(crate) fn put(&self, status: StatusCode, headers: &HeaderMap) {
        self.line.put(self.request, status, headers);
    }

    /// Passes on what an origin sends, without the fields between the origin and Copal.
    pub(crate) fn relay(self, runtime: &Arc<Runtime>, rule: &Arc<Rule>) -> OnInterim {
        let (runtime, rule) = (Arc::clone(runtime), Arc::clone(rule));
        Arc::new(move |status, headers| {
            let mut headers = headers.clone();
            pass::clean(&mut headers, &runtime, &rule);
            // There is no content that they could speak of (RFC 9110 §15.2).
            headers.remove(header::CONTENT_LENGTH);
            headers.remove(header::TRAILER);
            self.put(status, &headers);
        })
    }
}

impl fmt::Debug for Interim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Interim({})", self.request)
    }
}
