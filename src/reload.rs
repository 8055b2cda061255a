//! Puts a new configuration in force while the server runs.

use std::path::Path;

use copal_policy::{Loaded, Severity};

use crate::server::Server;

/// Reads `path` anew and puts it in force as a whole; a file with an error changes nothing. What happened is logged
/// and counted. `true` when it is in force.
pub fn reload(server: &Server, path: &Path) -> bool {
    let done = copal_policy::load(path).map_err(|diagnostics| diagnostics.0).and_then(|loaded| {
        log(&loaded.warnings);
        apply(server, loaded)
    });
    match done {
        Ok(()) => true,
        Err(diagnostics) => {
            log(&diagnostics);
            server.telemetry().metrics().config_refused();
            tracing::error!(file = %path.display(), "reload refused; the configuration before stays in force");
            false
        }
    }
}

/// Logs each finding with its place.
pub fn log(diagnostics: &[copal_policy::Diagnostic]) {
    for finding in diagnostics {
        let place = format!("{}:{}:{}", finding.file, finding.line, finding.column);
        let hint = finding.hint.as_deref().unwrap_or_default();
        match finding.severity {
            Severity::Error => tracing::error!(place, hint, "{}", finding.message),
            Severity::Warning => tracing::warn!(place, hint, "{}", finding.message),
        }
    }
}

fn apply(server: &Server, loaded: Loaded) -> Result<(), Vec<copal_policy::Diagnostic>> {
    if let Err(error) = server.reconfigure(loaded.config) {
        tracing::error!(%error, "the new configuration cannot be put in force");
        return Err(Vec::new());
    }
    for setting in server.needs_restart() {
        tracing::warn!(setting, "changed in the file; has no effect until Copal is started again");
    }
    let now = server.proxy().config();
    tracing::info!(rules = now.policy.rules().len(), origins = now.origins.len(), "reloaded");
    Ok(())
}
