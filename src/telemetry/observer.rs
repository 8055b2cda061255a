//! The hot path's end of telemetry: a finished request's record is put aside, and that is all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use copal_proxy::{Observer, Reason, Record};
use http::StatusCode;
use parking_lot::Mutex;

use super::metrics::Metrics;
use super::writer::Command;

/// Records wait in as many places, so that serving threads seldom meet.
const SHARDS: usize = 4;

/// Records that wait in one place at most; what comes beyond is dropped and counted. This bounds memory where the log
/// cannot be written.
const SHARD_BOUND: usize = 4_096;

/// The writer is called before its time when so many records wait in one place.
const SHARD_CALL: usize = 1_024;

/// Records on their way from the serving threads to the writer.
#[derive(Debug, Default)]
pub(super) struct Queue {
    shards: [Shard; SHARDS],
    /// The writer was called and has not come yet.
    called: AtomicBool,
}

/// On cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(Mutex<Vec<Record>>);

impl Queue {
    /// Puts `record` aside; `false` when it was dropped.
    fn push(&self, record: Record, call: impl FnOnce()) -> bool {
        // Systems give out client ports in steps of two.
        let shard = &self.shards[usize::from(record.peer.port() >> 1) % SHARDS];
        let mut records = shard.0.lock();
        if records.len() >= SHARD_BOUND {
            drop(records); // and only then the record
            return false;
        }
        records.push(record);
        let many = records.len() >= SHARD_CALL;
        drop(records);
        if many && !self.called.swap(true, Ordering::Relaxed) {
            call();
        }
        true
    }

    /// Takes what waits; `batches` gives back the (empty) vectors of the time before.
    pub(super) fn take(&self, batches: &mut [Vec<Record>; SHARDS]) {
        self.called.store(false, Ordering::Relaxed);
        for (shard, batch) in self.shards.iter().zip(batches) {
            std::mem::swap(&mut *shard.0.lock(), batch);
        }
    }
}

/// Batches as [`Queue::take`] fills them.
pub(super) type Batches = [Vec<Record>; SHARDS];

/// Hears about requests, fragments and exchanges with origins.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) queue: Arc<Queue>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) writer: Sender<Command>,
}

impl Observer for Recorder {
    fn done(&self, record: Record) {
        // The writer's end lives as long as this one; were it gone, the record would wait in vain, and within bounds.
        let kept = self.queue.push(record, || drop(self.writer.send(Command::Write)));
        if !kept {
            self.metrics.log_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn fragment(&self, reason: Reason, failed: bool) {
        self.metrics.fragment(reason, failed);
    }

    fn purge(&self, dialect: &'static str, outcome: &'static str) {
        self.metrics.purge(dialect, outcome);
    }

    fn fragments(&self, reason: Reason, count: u64) {
        self.metrics.fragments(reason, count);
    }

    fn esi_limit(&self, limit: &'static str) {
        Metrics::add(&self.metrics.esi_limits, limit, 1);
    }

    fn esi_warning(&self, kind: &'static str, count: u64) {
        Metrics::add(&self.metrics.esi_warnings, kind, count);
    }

    fn origin(&self, origin: &Arc<str>, status: Option<StatusCode>, elapsed: Duration) {
        self.metrics.origin(origin, status, elapsed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::test_record::record;

    #[test]
    fn beyond_the_bound_records_are_dropped_and_the_writer_is_called_once() {
        let queue = Queue::default();
        let (mut kept, mut calls) = (0, 0);
        for _ in 0..SHARD_BOUND + 7 {
            kept += usize::from(queue.push(record(), || calls += 1));
        }
        assert_eq!((kept, calls), (SHARD_BOUND, 1));
        let mut batches = Batches::default();
        queue.take(&mut batches);
        assert_eq!(batches.iter().map(Vec::len).sum::<usize>(), SHARD_BOUND);
        assert!(queue.push(record(), || calls += 1), "there is room again");
        assert_eq!(calls, 1);
    }

    #[test]
    fn neighbouring_ports_go_to_different_places() {
        let queue = Queue::default();
        for port in (40_000..40_016).step_by(2) {
            let mut record = record();
            record.peer.set_port(port);
            assert!(queue.push(record, || ()));
        }
        let mut batches = Batches::default();
        queue.take(&mut batches);
        assert!(batches.iter().all(|batch| batch.len() == 2));
    }
}
