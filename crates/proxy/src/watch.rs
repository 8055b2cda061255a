//! Watches one response go out, and tells the observer when it is over.

use std::sync::Arc;

use tokio::time::Instant;

use crate::record::{Observer, Record};

/// Held by the response's body; when it is dropped, the record goes to the observer.
pub(crate) struct Watch {
    observer: Arc<dyn Observer>,
    record: Option<Record>,
    began: Instant,
}

impl Watch {
    pub(crate) fn new(observer: Arc<dyn Observer>, record: Record, began: Instant) -> Self {
        Self { observer, record: Some(record), began }
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
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(mut record) = self.record.take() {
            record.duration = self.began.elapsed();
            self.observer.done(record);
        }
    }
}
