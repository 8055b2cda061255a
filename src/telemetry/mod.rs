//! What the operator sees: logs, access log, metrics. None of it is done on the serving threads beyond putting a
//! record aside.

mod access_log;
mod dates;
mod exposition;
pub mod logging;
mod metrics;
mod observer;
#[cfg(test)]
mod test_record;
mod writer;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use copal_proxy::Observer;
use tokio::sync::oneshot;

pub use access_log::Format;
pub(crate) use dates::rfc3339;
pub use exposition::{MEDIA_TYPE, Scrape, resident_memory, text};
pub use metrics::{ConnectionCounts, Metrics};
pub use writer::{AccessLog, Sink};

use observer::{Queue, Recorder};
use writer::{Command, Writer};

/// The writer's thread and the counts. The thread ends when this and all observers are gone.
#[derive(Debug)]
pub struct Telemetry {
    recorder: Arc<Recorder>,
    writer: Sender<Command>,
}

impl Telemetry {
    /// Starts the writer.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(log: AccessLog) -> io::Result<Self> {
        let (queue, metrics) = (Arc::<Queue>::default(), Arc::<Metrics>::default());
        let (writer, commands) = mpsc::channel();
        let work = Writer::new(Arc::clone(&queue), Arc::clone(&metrics), log);
        std::thread::Builder::new().name("copal-log".to_owned()).spawn(move || work.run(&commands))?;
        Ok(Self { recorder: Arc::new(Recorder { queue, metrics, writer: writer.clone() }), writer })
    }

    /// What the proxy reports to.
    #[must_use]
    pub fn observer(&self) -> Arc<dyn Observer> {
        Arc::clone(&self.recorder) as Arc<dyn Observer>
    }

    /// The counts.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.recorder.metrics
    }

    /// Opens the access log's file anew, after it was moved away.
    pub fn reopen(&self) {
        self.tell(Command::Reopen);
    }

    /// From now on writes to `log`.
    pub fn use_log(&self, log: AccessLog) {
        self.tell(Command::Use(log));
    }

    /// Waits until every record so far is written and counted, for `limit` at most.
    pub async fn flush(&self, limit: Duration) {
        let (done, flushed) = oneshot::channel();
        self.tell(Command::Flush(done));
        // Neither a writer that is gone nor one that hangs on a full pipe holds up who waits.
        let _ = tokio::time::timeout(limit, flushed).await;
    }

    fn tell(&self, command: Command) {
        // The writer ends only after its senders.
        let _ = self.writer.send(command);
    }
}
