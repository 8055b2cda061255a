//! What the operating system tells the process.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// SIGHUP: read the configuration anew.
    Reload,
    /// SIGUSR1: open the access log anew.
    Reopen,
    /// SIGTERM or SIGINT: come to an end.
    Stop,
}

/// The signals that the process listens to. While this exists they do not end the process.
#[derive(Debug)]
pub(crate) struct Signals {
    hangup: Signal,
    user: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined1())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.terminate.recv() => Order::Stop,
            _ = self.interrupt.recv() => Order::Stop,
            _ = self.hangup.recv() => Order::Reload,
            _ = self.user.recv() => Order::Reopen,
        }
    }

    /// Waits for the next order to stop, whatever else is told meanwhile.
    pub(crate) async fn stop(&mut self) {
        while self.next().await != Order::Stop {}
    }
}
