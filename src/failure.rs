//! Why a command ends without success, and the exit status that says so.

use std::process::ExitCode;

/// A command that did not succeed.
#[derive(Debug)]
pub(crate) struct Failure {
    status: u8,
    /// For the person at the terminal; none when that was told already.
    message: Option<String>,
}

impl Failure {
    /// The thing failed: status 1.
    pub(crate) fn failed(message: impl ToString) -> Self {
        Self { status: 1, message: Some(message.to_string()) }
    }

    /// The command line or a file is wrong: status 2.
    pub(crate) fn wrong(message: impl ToString) -> Self {
        Self { status: 2, message: Some(message.to_string()) }
    }

    /// The thing failed, and the person knows: status 1.
    pub(crate) fn reported() -> Self {
        Self { status: 1, message: None }
    }

    pub(crate) fn status(&self) -> ExitCode {
        ExitCode::from(self.status)
    }

    pub(crate) fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }
}
