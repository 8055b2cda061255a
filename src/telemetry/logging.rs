//! The server's own words, on standard error: text for people, JSON for machines.

mod logfmt;

use std::io;

use copal_policy::LogLevel;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Format;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Registry, fmt};

use self::logfmt::Logfmt;

/// The environment variable that beats the configured level: `RUST_LOG=copal_proxy=debug,info`.
const VARIABLE: &str = "RUST_LOG";

/// The form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// For people; in colour on a terminal, unless `NO_COLOR` is set.
    Text,
    /// One JSON object a line.
    Json,
}

/// Changes the level of a running process.
#[derive(Clone, Debug)]
pub struct Level(Option<reload::Handle<EnvFilter, Registry>>);

impl Level {
    /// Puts `level` in force. Has no effect where `RUST_LOG` decides.
    pub fn set(&self, level: LogLevel) {
        if let Some(handle) = &self.0 {
            // It fails only when the subscriber is gone, and then nobody logs.
            let _ = handle.reload(filter(level));
        }
    }
}

fn filter(level: LogLevel) -> EnvFilter {
    EnvFilter::new(level.as_str())
}

/// Begins to log. Once a process: a second call fails.
///
/// # Errors
/// Somebody logs already.
pub fn init(level: LogLevel, style: Style) -> Result<Level, TryInitError> {
    let (filter, handle, complaint) = match std::env::var(VARIABLE).ok().filter(|text| !text.is_empty()) {
        None => (filter(level), true, None),
        Some(text) => match EnvFilter::try_new(&text) {
            Ok(filter) => (filter, false, None),
            Err(error) => (filter(level), true, Some(error)),
        },
    };
    let (filter, reload) = reload::Layer::new(filter);
    let registry = tracing_subscriber::registry().with(filter);
    let target = level >= LogLevel::Debug;
    match style {
        Style::Text => {
            let layer = text(io::stderr).with_target(target).with_ansi(colours(&io::stderr()));
            registry.with(layer).try_init()?;
        }
        Style::Json => {
            let layer = fmt::layer().with_writer(io::stderr).with_target(target).json().flatten_event(true);
            registry.with(layer).try_init()?;
        }
    }
    if let Some(error) = complaint {
        tracing::warn!(%error, "{VARIABLE} cannot be understood and is ignored");
    }
    Ok(Level(handle.then_some(reload)))
}

/// Lines for people, whose fields a program can read too.
fn text<S, W>(writer: W) -> fmt::Layer<S, Logfmt, Format, W>
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + 'static,
{
    fmt::layer().fmt_fields(Logfmt).with_writer(writer)
}

/// Whether colours are wanted on `stream`: on a terminal, and without `NO_COLOR` (<https://no-color.org>).
pub fn colours(stream: &impl io::IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_is_one_that_the_filter_knows() {
        for level in [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace] {
            assert_eq!(filter(level).to_string(), level.as_str());
        }
    }
}
