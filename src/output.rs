//! What commands print: results on standard output, everything else on standard error.

use std::io::{self, Write as _};
use std::panic::PanicHookInfo;

use copal_policy::{Diagnostic, Diagnostics, Severity};

use crate::failure::Failure;

/// Prints `text` and a line end on standard output.
///
/// # Errors
/// It cannot be written. A reader that has read enough (`copal policy wagtail | head`) is no error worth a word.
pub(crate) fn print(text: impl AsRef<str>) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_ref().as_bytes())
        .and_then(|()| stdout.write_all(b"\n"))
        .and_then(|()| stdout.flush())
        .map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::reported(),
            _ => Failure::failed(format_args!("cannot write to standard output: {error}")),
        })
}

/// Tells something on standard error. Where that is closed nobody wants to hear it.
pub(crate) fn tell(text: impl AsRef<str>) {
    let mut stderr = io::stderr().lock();
    let _ = writeln!(stderr, "{}", text.as_ref());
}

/// Tells why a command failed.
pub(crate) fn report(failure: &Failure) {
    if let Some(message) = failure.message() {
        tell(format!("copal: {message}"));
    }
}

/// Tells warnings, each with its place and hint.
pub(crate) fn warnings(warnings: &[Diagnostic]) {
    for warning in warnings {
        tell(format!("{warning}\n"));
    }
}

/// All findings of a file that cannot be used, as the failure they are.
pub(crate) fn refused(diagnostics: &Diagnostics) -> Failure {
    warnings(&diagnostics.0);
    let errors = diagnostics.0.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
    Failure::wrong(count(errors, diagnostics.0.len() - errors))
}

/// `2 errors, 1 warning`.
pub(crate) fn count(errors: usize, warnings: usize) -> String {
    let some = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    match (errors, warnings) {
        (_, 0) => some(errors, "error"),
        (0, _) => some(warnings, "warning"),
        _ => format!("{}, {}", some(errors, "error"), some(warnings, "warning")),
    }
}

/// Tells of a fault of the program itself; one connection or one command ends by it, the process does not.
pub(crate) fn report_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let what = info.payload_as_str().unwrap_or("unknown");
    if tracing::dispatcher::has_been_set() {
        tracing::error!(what, place, "internal error; this is a fault of Copal, please report it");
    } else {
        tell(format!("copal: internal error at {place}: {what}. This is a fault of Copal, please report it."));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_english() {
        assert_eq!(count(1, 0), "1 error");
        assert_eq!(count(2, 1), "2 errors, 1 warning");
        assert_eq!(count(0, 2), "2 warnings");
        assert_eq!(count(0, 0), "0 errors");
    }
}
