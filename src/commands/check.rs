//! `copal check`: is this file good?

use std::path::Path;

use copal_policy::{Loaded, RuleSource};

use crate::cli::Check;
use crate::failure::Failure;
use crate::output;
use crate::settings;

pub(crate) fn run(arguments: &Check) -> Result<(), Failure> {
    match arguments.config.as_ref().or(arguments.file.as_ref()) {
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
    settings::load(path).map_err(|diagnostics| output::refused(&diagnostics))
}

fn summary(file: &str, loaded: &Loaded) -> String {
    let (all, origins) = (loaded.config.policy.rules(), loaded.config.origins.len());
    let rules = all.iter().filter(|rule| rule.source == RuleSource::Config).count();
    let policies = all.len() - rules;
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let warnings = match loaded.warnings.len() {
        0 => String::new(),
        count => format!(", {}", output::count(0, count)),
    };
    format!(
        "{file} is good: {rules} rule{} and {policies} of the policies, {origins} origin{}{warnings}",
        plural(rules),
        plural(origins)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_the_file_and_of_the_policies_are_counted_apart() {
        let text = "origins: { a: \"http://a\" }\nrules: [{ name: x, match: { path: /x }, pass: true }]\n";
        let loaded = copal_policy::load_str("copal.yaml", text, None).unwrap_or_else(|errors| panic!("{errors}"));
        let others = loaded.config.policy.rules().len() - 1;
        let expected = format!("copal.yaml is good: 1 rule and {others} of the policies, 1 origin");
        assert_eq!(summary("copal.yaml", &loaded), expected);
    }
}
