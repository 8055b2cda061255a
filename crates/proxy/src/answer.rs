//! A response on its way to a client or into a page, with why it is what it is.

use std::sync::Arc;

use copal_policy::Rule;
use http::Response;
use http::header::CONTENT_LENGTH;

use crate::body::Body;
use crate::made::Made;
use crate::reason::Reason;
use crate::request_id::RequestId;

/// A response and the reason for it.
pub(crate) struct Answer {
    pub(crate) response: Response<Body>,
    pub(crate) reason: Reason,
    /// The rule that decided; none for a request that reached none.
    pub(crate) rule: Option<Arc<Rule>>,
    /// Of a fragment's answer from the store: what it is made of.
    pub(crate) made: Option<Box<Made>>,
    /// By which the request is known, where it went to an origin or failed.
    pub(crate) request_id: Option<Box<RequestId>>,
}

impl Answer {
    pub(crate) fn new(response: Response<Body>, reason: Reason) -> Self {
        Self { response, reason, rule: None, made: None, request_id: None }
    }

    pub(crate) fn under(mut self, rule: &Arc<Rule>) -> Self {
        self.rule = Some(Arc::clone(rule));
        self
    }

    pub(crate) fn known_as(mut self, id: RequestId) -> Self {
        self.request_id = Some(Box::new(id));
        self
    }

    /// Of a fragment that is put together while it comes in: its template is announced with so many bytes.
    pub(crate) fn announced(mut self, bytes: Option<u64>) -> Self {
        if let Some(bytes) = bytes {
            self.response.headers_mut().insert(CONTENT_LENGTH, bytes.into());
        }
        self
    }

    pub(crate) fn made(mut self, made: Option<Made>) -> Self {
        self.made = made.map(Box::new);
        self
    }
}
