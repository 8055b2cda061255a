//! Puts a new configuration in force while the server runs.

use std::path::Path;

use copal_policy::{Loaded, Severity};

use crate::server::Server;
use crate::settings;

/// Reads `path` anew and puts it in force as a whole; a file with an error changes nothing. What happened is logged
/// and counted. `true` when it is in force.
pub fn reload(server: &Server, path: &Path) -> bool {
    let done = settings::load(path).map_err(|diagnostics| diagnostics.0).and_then(|loaded| {
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
        let place = place(finding);
        // A field that is `None` does not stand in the line.
        let hint = finding.hint.as_deref();
        match finding.severity {
            Severity::Error => tracing::error!(place, hint, "{}", finding.message),
            Severity::Warning => tracing::warn!(place, hint, "{}", finding.message),
        }
    }
}

/// `FILE:LINE:COLUMN`; of a finding about the whole file its name alone.
fn place(finding: &copal_policy::Diagnostic) -> String {
    match finding.line {
        0 => finding.file.clone(),
        line => format!("{}:{line}:{}", finding.file, finding.column),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_no_empty_parts() {
        let missing = copal_policy::load(Path::new("/nonexistent/copal.yaml")).unwrap_err();
        assert_eq!(place(&missing.0[0]), "/nonexistent/copal.yaml");
        let wrong = copal_policy::load_str("copal.yaml", "orgins: {}\n", None).unwrap_err();
        assert_eq!(place(&wrong.0[0]), "copal.yaml:1:1");
    }
}
