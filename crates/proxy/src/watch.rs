//! Watches one response go out, and tells the observer when it is over.

use std::sync::Arc;

use copal_origin::OriginError;
use http::{Method, StatusCode};
use tokio::time::Instant;

use crate::body::BodyError;
use crate::proxy::Proxy;
use crate::record::Record;

/// Held by the response's body; when it is dropped, the record goes to the observer.
pub(crate) struct Watch {
    proxy: Arc<Proxy>,
    record: Option<Record>,
    began: Instant,
}

impl Watch {
    pub(crate) fn new(proxy: Arc<Proxy>, mut record: Record, began: Instant) -> Self {
        // Nobody asks for the body of a response that has none.
        record.complete = is_head_only(&record.method, record.status);
        Self { proxy, record: Some(record), began }
    }

    pub(crate) fn sent(&mut self, bytes: u64) {
        if let Some(record) = &mut self.record {
            record.bytes += bytes;
        }
    }

    pub(crate) fn fragments(&mut self, fragments: u32) {
        if let Some(record) = &mut self.record {
            record.fragments = fragments;
        }
    }

    pub(crate) fn complete(&mut self) {
        if let Some(record) = &mut self.record {
            record.complete = true;
        }
    }

    /// The body ends before its time. What others were told of it has been said where it was read.
    pub(crate) fn broke_off(&self, error: &BodyError) {
        if let (Some(record), Some(error)) = (&self.record, error.downcast_ref::<OriginError>()) {
            let host = String::from_utf8_lossy(record.text.host().unwrap_or_default());
            let target = String::from_utf8_lossy(record.text.target());
            self.proxy.broke_off(&format!("{} {host}{target}", record.method), error);
        }
    }
}

/// The response is over with its head (RFC 9110 §6.4.1).
fn is_head_only(method: &Method, status: StatusCode) -> bool {
    method == Method::HEAD
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(mut record) = self.record.take() {
            record.duration = self.began.elapsed();
            self.proxy.observer.done(record);
        }
    }
}
