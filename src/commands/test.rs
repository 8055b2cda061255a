//! `copal test`: do the cases beside a policy come out as they say?

use std::path::{Path, PathBuf};
use std::time::Duration;

use copal_policy::cases::{self, Case, Expect, Suite};
use copal_policy::units::format_duration;
use copal_proxy::{Explanation, Stores};

use super::policy;
use crate::cli::Test;
use crate::failure::Failure;
use crate::output;

/// What a file of cases is called beside the file it speaks about.
const ENDING: &str = ".cases.yaml";

pub(crate) fn run(arguments: &Test) -> Result<(), Failure> {
    // Every file is read before the first case runs: a wrong name is told at once.
    let suites = arguments.files.iter().map(|name| find(name)).collect::<Result<Vec<_>, _>>()?;
    let mut failed = 0;
    let mut all = 0;
    for suite in &suites {
        let failures: Vec<String> = suite.cases.iter().filter_map(|case| run_case(suite, case)).collect();
        for failure in &failures {
            output::print(failure)?;
        }
        failed += failures.len();
        all += suite.cases.len();
        output::print(summary(&suite.file, failures.len(), suite.cases.len()))?;
    }
    if suites.len() > 1 {
        output::print(summary("together", failed, all))?;
    }
    if failed > 0 { Err(Failure::reported()) } else { Ok(()) }
}

fn summary(what: &str, failed: usize, all: usize) -> String {
    match (failed, all) {
        (0, 1) => format!("{what}: the case comes out as it says"),
        (0, _) => format!("{what}: all {all} cases come out as they say"),
        _ => format!("{what}: {failed} of {all} cases failed"),
    }
}

/// The cases that a name stands for: a cases file, the file it speaks about, or a shipped policy.
fn find(name: &str) -> Result<Suite, Failure> {
    let path = Path::new(name);
    let suite = if path.exists() {
        cases::load(&beside(path)?)
    } else if let Some(suite) = cases::load_shipped(name) {
        suite
    } else {
        let shipped = policy::names();
        return Err(Failure::wrong(format_args!(
            "{name}: no such file, and no such shipped policy (there are: {shipped})"
        )));
    };
    let suite = suite.map_err(|diagnostics| output::refused(&diagnostics))?;
    output::warnings(&suite.warnings);
    Ok(suite)
}

/// The cases file for `path`, which may be one itself.
fn beside(path: &Path) -> Result<PathBuf, Failure> {
    let name = path.to_string_lossy();
    if name.ends_with(ENDING) || name.ends_with(".cases.yml") {
        return Ok(path.to_owned());
    }
    let cases = PathBuf::from(format!("{}{ENDING}", path.with_extension("").display()));
    if cases.exists() {
        Ok(cases)
    } else {
        Err(Failure::wrong(format_args!("{name} has no cases: there is no {} beside it", cases.display())))
    }
}

/// What is not as the case says; none when all is.
fn run_case(suite: &Suite, case: &Case) -> Option<String> {
    let place = format!("{}:{}: {}", suite.file, case.line, case.name);
    let wrong = match copal_proxy::explain(&suite.config, &case.method, &case.url, &case.headers) {
        Ok(got) => differences(case, &got).into_iter().chain(of_the_response(suite, case)).collect(),
        Err(error) => vec![error],
    };
    (!wrong.is_empty()).then(|| format!("{place}\n    {}", wrong.join("\n    ")))
}

fn differences(case: &Case, got: &Explanation) -> Vec<String> {
    let expected = &case.expect;
    let mut wrong = Vec::new();
    let mut compare = |what: &str, expected: Option<&str>, got: Option<&str>| {
        if let Some(expected) = expected
            && Some(expected) != got
        {
            wrong.push(format!("{what}: expected {expected}, got {}", got.unwrap_or("none")));
        }
    };
    compare("rule", expected.rule.as_deref(), Some(&got.rule));
    compare("decision", expected.decision.map(|decision| decision.as_str()), Some(got.decision));
    compare("reason", expected.reason.as_deref(), Some(got.reason));
    compare("purge", expected.purge.as_deref(), got.purge.as_deref());
    compare("dialect", expected.dialect.as_deref(), got.dialect);
    compare("key", expected.key.as_deref(), got.key.as_deref());
    compare("variant", expected.variant.as_deref(), got.variant.as_deref());
    let names = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort_unstable();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    let cookies = expected.cookies.as_deref().map(names);
    compare("cookies", cookies.as_deref(), Some(&names(&got.cookies_kept)));
    wrong
}

/// What of the response's fate is not as the case says.
fn of_the_response(suite: &Suite, case: &Case) -> Vec<String> {
    let Some(response) = &case.response else { return Vec::new() };
    let (request, fields) = (&case.headers, &response.headers);
    match copal_proxy::stores(&suite.config, &case.method, &case.url, request, response.status, fields) {
        Ok(got) => response_differences(&case.expect, &got),
        Err(error) => vec![error],
    }
}

fn response_differences(expected: &Expect, got: &Stores) -> Vec<String> {
    let mut wrong = Vec::new();
    if let Some(stored) = expected.stored
        && stored != got.why.is_none()
    {
        let told = got.why.map_or_else(|| "stored".to_owned(), |why| format!("not stored ({why})"));
        wrong.push(format!("stored: expected {stored}, got {told}"));
    }
    if let Some(why) = &expected.why
        && got.why != Some(why)
    {
        wrong.push(format!("why: expected {why}, got {}", got.why.unwrap_or("stored")));
    }
    if let Some(lifetime) = expected.lifetime
        && got.lifetime != Some(lifetime.as_secs())
    {
        let shown = got.lifetime.map_or_else(|| "none".to_owned(), |secs| format_duration(Duration::from_secs(secs)));
        wrong.push(format!("lifetime: expected {}, got {shown}", format_duration(lifetime)));
    }
    if let Some(tags) = &expected.tags {
        let sorted = |tags: &[String]| {
            let mut tags = tags.to_vec();
            tags.sort_unstable();
            if tags.is_empty() { "none".to_owned() } else { tags.join(" ") }
        };
        if sorted(tags) != sorted(&got.tags) {
            wrong.push(format!("tags: expected {}, got {}", sorted(tags), sorted(&got.tags)));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use copal_policy::cases::{Decision, Expect};
    use http::{HeaderMap, Method};

    use super::*;

    fn case(expect: Expect) -> Case {
        let (name, url) = ("a page".to_owned(), "http://a/".to_owned());
        Case { name, line: 3, method: Method::GET, url, headers: HeaderMap::new(), response: None, expect }
    }

    fn got() -> Explanation {
        Explanation {
            url: "http://a/".to_owned(),
            rule: "pages".to_owned(),
            source: String::new(),
            decision: "cache",
            reason: "miss",
            key: Some("http://a/".to_owned()),
            variant: None,
            origin: None,
            cookies_kept: vec!["b".to_owned(), "a".to_owned()],
            cookies_dropped: Vec::new(),
            because_of_cookie: None,
            esi: "auto",
            esi_options: None,
            lifetime: None,
            request_directives: None,
            limits: None,
            key_also: None,
            context: None,
            group: None,
            stores: None,
            request_fields: None,
            response_fields: None,
            slice: None,
            purge: None,
            dialect: None,
        }
    }

    #[test]
    fn what_is_not_given_is_not_compared_and_cookies_have_no_order() {
        assert!(differences(&case(Expect::default()), &got()).is_empty());
        let expect = Expect {
            rule: Some("pages".to_owned()),
            decision: Some(Decision::Cache),
            key: Some("http://a/".to_owned()),
            cookies: Some(vec!["a".to_owned(), "b".to_owned()]),
            ..Expect::default()
        };
        assert!(differences(&case(expect), &got()).is_empty());
    }

    #[test]
    fn every_difference_is_told() {
        let expect = Expect {
            rule: Some("admin".to_owned()),
            decision: Some(Decision::Pass),
            reason: Some("pass-rule".to_owned()),
            key: Some("http://b/".to_owned()),
            variant: Some("x".to_owned()),
            cookies: Some(Vec::new()),
            ..Expect::default()
        };
        let wrong = differences(&case(expect), &Explanation { key: None, ..got() });
        assert_eq!(
            wrong,
            [
                "rule: expected admin, got pages",
                "decision: expected pass, got cache",
                "reason: expected pass-rule, got miss",
                "key: expected http://b/, got none",
                "variant: expected x, got none",
                "cookies: expected none, got a, b",
            ]
        );
    }

    #[test]
    fn shipped_policies_answer_as_their_cases_say_to_the_last_word() {
        for name in copal_policy::shipped_names() {
            let suite = find(name).unwrap_or_else(|failure| panic!("{failure:?}"));
            let failures: Vec<String> = suite.cases.iter().filter_map(|case| run_case(&suite, case)).collect();
            assert!(failures.is_empty(), "{}", failures.join("\n"));
            assert!(suite.cases.iter().any(|case| case.response.is_some()) || ["default", "wagtail"].contains(&name));
        }
    }

    #[test]
    fn what_becomes_of_a_response_is_compared() {
        let stored = Stores { why: None, lifetime: Some(600), tags: vec!["b".to_owned(), "a".to_owned()] };
        let expect = Expect {
            stored: Some(true),
            lifetime: Some(Duration::from_secs(600)),
            tags: Some(vec!["a".to_owned(), "b".to_owned()]),
            ..Expect::default()
        };
        assert!(response_differences(&expect, &stored).is_empty());
        let not = Stores { why: Some("private"), lifetime: None, tags: Vec::new() };
        let expected = [
            "stored: expected true, got not stored (private)",
            "lifetime: expected 10m, got none",
            "tags: expected a b, got none",
        ];
        assert_eq!(response_differences(&expect, &not), expected);
        let expect = Expect { stored: Some(false), why: Some("set-cookie".to_owned()), ..Expect::default() };
        assert_eq!(response_differences(&expect, &not), ["why: expected set-cookie, got private"]);
        let expected = ["stored: expected false, got stored", "why: expected set-cookie, got stored"];
        assert_eq!(response_differences(&expect, &stored), expected);
    }

    #[test]
    fn summaries() {
        assert_eq!(summary("x", 0, 7), "x: all 7 cases come out as they say");
        assert_eq!(summary("x", 2, 7), "x: 2 of 7 cases failed");
    }

    #[test]
    fn a_name_that_is_neither_a_file_nor_shipped_is_a_wrong_command_line() {
        let failure = find("no-such-thing").unwrap_err();
        assert!(failure.message().is_some_and(|text| text.contains("no-such-thing")));
    }
}
