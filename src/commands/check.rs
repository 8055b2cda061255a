//! `copal check`: is this file good?

use std::path::Path;

use copal_policy::Loaded;

use crate::cli::Check;
use crate::failure::Failure;
use crate::output;

pub(crate) fn run(arguments: &Check) -> Result<(), Failure> {
    match &arguments.config {
        Some(path) => {
            let loaded = load(path)?;
            output::warnings(&loaded.warnings);
            output::print(summary(&path.display().to_string(), &loaded))
        }
        None => output::print(copal_policy::schema_json().trim_end()),
    }
}

/// Reads a configuration file.
///
/// # Errors
/// Told already, each with its place; the failure counts them.
pub(crate) fn load(path: &Path) -> Result<Loaded, Failure> {
    copal_policy::load(path).map_err(|diagnostics| output::refused(&diagnostics))
}

fn summary(file: &str, loaded: &Loaded) -> String {
    let (rules, origins) = (loaded.config.policy.rules().len(), loaded.config.origins.len());
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let warnings = match loaded.warnings.len() {
        0 => String::new(),
        count => format!(", {}", output::count(0, count)),
    };
    format!("{file} is good: {rules} rule{}, {origins} origin{}{warnings}", plural(rules), plural(origins))
}
