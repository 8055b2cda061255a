//! `copal policy`: what ships with Copal.

use std::fmt::Write as _;

use crate::cli::Policy;
use crate::failure::Failure;
use crate::output;

pub(crate) fn run(arguments: &Policy) -> Result<(), Failure> {
    let Some(name) = &arguments.name else { return output::print(list()) };
    let text = if arguments.cases { copal_policy::shipped_cases(name) } else { copal_policy::shipped(name) };
    match text {
        Some(text) => output::print(text.trim_end()),
        None if copal_policy::shipped(name).is_some() => {
            Err(Failure::wrong(format_args!("the policy {name} has no cases")))
        }
        None => Err(Failure::wrong(unknown(name))),
    }
}

fn unknown(name: &str) -> String {
    match copal_policy::nearest_shipped(name) {
        Some(near) => format!("no policy named {name} ships with Copal; did you mean `{near}`?"),
        None => format!("no policy named {name} ships with Copal; there are: {}", names()),
    }
}

/// The names of the shipped policies in one line.
pub(crate) fn names() -> String {
    copal_policy::shipped_names().collect::<Vec<_>>().join(", ")
}

fn list() -> String {
    let mut text = String::from("Policies that ship with Copal:\n");
    for name in copal_policy::shipped_names() {
        let about = copal_policy::shipped(name).and_then(about).unwrap_or_default();
        let _ = write!(text, "\n  {name:<14} {about}");
    }
    text + "\n\nUse one with `policies: [NAME]`; print it with `copal policy NAME`."
}

/// The first sentence of a policy's leading comment, as far as it stands on the first line.
fn about(yaml: &str) -> Option<&str> {
    let line = yaml.lines().next()?.strip_prefix('#')?.trim();
    let sentence = line.split_once(". ").map_or(line, |(sentence, _)| sentence);
    Some(sentence.strip_suffix('.').unwrap_or(sentence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_introduced_by_its_first_comment() {
        assert_eq!(about("# Wagtail: pages.\n# More.\nrules: []"), Some("Wagtail: pages"));
        assert_eq!(about("# What it does. And much\n# more."), Some("What it does"));
        assert_eq!(about("rules: []"), None);
        assert_eq!(about(""), None);
    }

    #[test]
    fn a_slip_in_a_name_is_answered_with_the_name() {
        assert!(unknown("wagtal").ends_with("did you mean `wagtail`?"), "{}", unknown("wagtal"));
        assert!(unknown("zzzzzz").contains("there are: "), "{}", unknown("zzzzzz"));
    }

    #[test]
    fn the_list_has_every_name() {
        let text = list();
        for name in copal_policy::shipped_names() {
            assert!(text.contains(&format!("\n  {name}")), "{text}");
        }
    }
}
