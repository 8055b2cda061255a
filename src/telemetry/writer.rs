//! The writer's thread: takes the records that wait, counts them, and writes their lines with one write a batch.
//!
//! It never stops serving: when the log cannot be written, its lines are lost, counted and reported once a minute.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use copal_proxy::Record;
use tokio::sync::oneshot;

use super::access_log::{Format, Formatter};
use super::metrics::Metrics;
use super::observer::{Batches, Queue};

/// How long a record waits at most, unless the writer is behind.
const PERIOD: Duration = Duration::from_millis(50);

/// Milliseconds between two reports that the log cannot be written.
const REPORT_EVERY: u64 = 60_000;

/// A batch's vector keeps room for so many records.
const ROOM: usize = 1_024;

/// What the writer is told.
#[derive(Debug)]
pub(super) enum Command {
    /// Many records wait: write them now.
    Write,
    /// Write what waits, then answer.
    Flush(oneshot::Sender<()>),
    /// Open the log file anew (it was moved away).
    Reopen,
    /// From now on write to another place or in another form.
    Use(AccessLog),
}

/// Where lines go.
#[derive(Debug)]
pub enum Sink {
    /// The standard output.
    Stdout,
    /// A file that is appended to.
    File {
        /// Where it is, to open it again.
        path: PathBuf,
        /// It, open.
        file: File,
    },
}

impl Sink {
    /// Opens `path` for appending; none is the standard output.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: Option<&Path>) -> io::Result<Self> {
        match path {
            None => Ok(Self::Stdout),
            Some(path) => Ok(Self::File { path: path.to_owned(), file: append(path)? }),
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        if let Self::File { path, file } = self {
            *file = append(path)?;
        }
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout => io::stdout().write(bytes),
            Self::File { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout().flush(),
            Self::File { file, .. } => file.flush(),
        }
    }
}

/// An access log: its form and its place.
#[derive(Debug)]
pub struct AccessLog<W = Sink> {
    /// The form of a line.
    pub format: Format,
    /// Where lines go.
    pub sink: W,
}

/// The thread's state.
pub(super) struct Writer<W = Sink> {
    queue: Arc<Queue>,
    metrics: Arc<Metrics>,
    formatter: Formatter,
    sink: W,
    batches: Batches,
    /// When a record of a batch ended, and where it is: lines come in the order in which requests ended.
    order: Vec<(u64, usize, usize)>,
    buffer: Vec<u8>,
    /// When it was last reported that the log cannot be written, in milliseconds since the Unix epoch.
    reported: Option<u64>,
}

impl Writer {
    /// Works until every sender is gone.
    pub(super) fn run(mut self, commands: &Receiver<Command>) {
        loop {
            match commands.recv_timeout(PERIOD) {
                Ok(Command::Write) | Err(RecvTimeoutError::Timeout) => self.write(),
                Ok(Command::Flush(done)) => {
                    self.write();
                    // Who asked may have given up.
                    let _ = done.send(());
                }
                Ok(Command::Reopen) => {
                    self.write();
                    match self.sink.reopen() {
                        Ok(()) => tracing::info!("access log opened anew"),
                        Err(error) => {
                            tracing::error!(%error, "cannot open the access log anew; writing to the old file")
                        }
                    }
                }
                Ok(Command::Use(log)) => {
                    self.write();
                    (self.formatter, self.sink) = (Formatter::new(log.format), log.sink);
                }
                Err(RecvTimeoutError::Disconnected) => return self.write(),
            }
        }
    }
}

impl<W: Write> Writer<W> {
    pub(super) fn new(queue: Arc<Queue>, metrics: Arc<Metrics>, log: AccessLog<W>) -> Self {
        Self {
            queue,
            metrics,
            formatter: Formatter::new(log.format),
            sink: log.sink,
            batches: Batches::default(),
            order: Vec::new(),
            buffer: Vec::new(),
            reported: None,
        }
    }

    /// Counts and writes what waits.
    fn write(&mut self) {
        self.queue.take(&mut self.batches);
        self.order.clear();
        for (place, batch) in self.batches.iter().enumerate() {
            // A batch is in order by itself, and more exactly than the clock tells.
            let mut latest = 0;
            self.order.extend(batch.iter().enumerate().map(|(index, record)| {
                latest = ended(record).max(latest);
                (latest, place, index)
            }));
        }
        let Some(&(now, ..)) = self.order.iter().max() else { return };
        self.order.sort_unstable();
        self.buffer.clear();
        {
            let mut requests = self.metrics.requests.lock();
            self.batches.iter().flatten().for_each(|record| requests.count(record));
        }
        for &(_, place, index) in &self.order {
            self.formatter.line(&self.batches[place][index], &mut self.buffer);
        }
        for batch in &mut self.batches {
            batch.clear();
            batch.shrink_to(ROOM);
        }
        if !self.buffer.is_empty()
            && let Err(error) = self.sink.write_all(&self.buffer).and_then(|()| self.sink.flush())
        {
            self.failed(&error, now / 1_000);
        }
        self.buffer.shrink_to(ROOM * 256);
    }

    fn failed(&mut self, error: &io::Error, now: u64) {
        let errors = self.metrics.log_errors.fetch_add(1, Relaxed) + 1;
        if self.reported.is_none_or(|reported| now >= reported + REPORT_EVERY) {
            self.reported = Some(now);
            tracing::error!(%error, errors, "the access log cannot be written; its lines are lost, serving goes on");
        }
    }
}

/// When a request ended, in microseconds since the Unix epoch.
fn ended(record: &Record) -> u64 {
    let duration = u64::try_from(record.duration.as_micros()).unwrap_or(u64::MAX);
    record.started.as_millis().saturating_mul(1_000).saturating_add(duration)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use copal_proxy::Observer;

    use super::*;
    use crate::telemetry::observer::Recorder;
    use crate::telemetry::test_record::record;

    fn pair<W: Write>(sink: W) -> (Recorder, Writer<W>, Receiver<Command>) {
        let (queue, metrics) = (Arc::<Queue>::default(), Arc::<Metrics>::default());
        let (sender, receiver) = mpsc::channel();
        let writer =
            Writer::new(Arc::clone(&queue), Arc::clone(&metrics), AccessLog { format: Format::Combined, sink });
        (Recorder { queue, metrics, writer: sender }, writer, receiver)
    }

    #[test]
    fn lines_come_in_the_order_in_which_requests_ended() {
        let (recorder, mut writer, _commands) = pair(Vec::new());
        for (port, micros) in [(40_000, 300), (40_002, 100), (40_004, 500), (40_000, 900), (40_004, 400)] {
            let mut record = record();
            record.peer.set_port(port);
            record.duration = Duration::from_micros(micros);
            recorder.done(record);
        }
        writer.write();
        let text = String::from_utf8(writer.sink.clone()).unwrap();
        let ends: Vec<&str> = text.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
        assert_eq!(ends, ["0.000100", "0.000300", "0.000500", "0.000400", "0.000900"]);
        let counted: u64 = recorder.metrics.requests.lock().by_rule["pages"].iter().sum();
        assert_eq!(counted, 5);
        writer.write();
        assert_eq!(writer.sink.len(), text.len(), "nothing is written twice");
    }

    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::from(io::ErrorKind::StorageFull))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_log_that_cannot_be_written_is_counted_each_time_and_reported_once_a_minute() {
        let (recorder, mut writer, _commands) = pair(Broken);
        for expected in 1..=3 {
            recorder.done(record());
            writer.write();
            assert_eq!(recorder.metrics.log_errors.load(Relaxed), expected);
        }
        let first = writer.reported.unwrap();
        writer.failed(&io::Error::other("x"), first + REPORT_EVERY - 1);
        assert_eq!(writer.reported, Some(first));
        writer.failed(&io::Error::other("x"), first + REPORT_EVERY);
        assert_eq!(writer.reported, Some(first + REPORT_EVERY));
        let counted: u64 = recorder.metrics.requests.lock().by_rule["pages"].iter().sum();
        assert_eq!(counted, 3, "requests are counted all the same");
    }

    #[test]
    fn the_thread_ends_with_its_senders_and_loses_nothing() {
        let directory = std::env::temp_dir().join(format!("copal-writer-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let (path, moved) = (directory.join("access.log"), directory.join("access.log.1"));
        let (recorder, writer, commands) = pair(Sink::open(Some(&path)).unwrap());
        let thread = std::thread::spawn(move || writer.run(&commands));
        recorder.done(record());
        let (done, flushed) = oneshot::channel();
        recorder.writer.send(Command::Flush(done)).unwrap();
        flushed.blocking_recv().unwrap();
        std::fs::rename(&path, &moved).unwrap();
        recorder.writer.send(Command::Reopen).unwrap();
        recorder.done(record());
        recorder.done(record());
        drop(recorder);
        thread.join().unwrap();
        let lines = |path| std::fs::read_to_string(path).unwrap().lines().count();
        // The two later records may have met the writer before or after it opened the file anew.
        assert_eq!(lines(&path) + lines(&moved), 3);
        assert!(lines(&moved) >= 1);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
