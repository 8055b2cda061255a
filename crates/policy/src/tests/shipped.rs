//! The shipped policies answer as their cases say, as far as this crate decides: rule, action, cookies. The proxy runs
//! the same cases in full.

use std::path::Path;

use http::Method;

use crate::cases::{self, Case, Decision, Suite};
use crate::{
    Action, Config, Cookies, RequestFacts, RuleSource, SessionMode, Severity, load_str, shipped, shipped_cases,
    shipped_names,
};

/// Scheme, host, path and query of a URL that is already normal, or nearly.
fn split(url: &str) -> (String, String, Option<String>) {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query.to_owned())));
    // Normalising is the semantics crate's; the one case that needs it is written out here.
    (host.to_ascii_lowercase(), path.replace("/blog/../%61dmin/", "/admin/"), query)
}

struct Answer {
    rule: String,
    decision: Decision,
    reason: &'static str,
    key: String,
    variant: String,
    cookies: Vec<String>,
}

fn answer(config: &Config, case: &Case) -> Answer {
    let (host, path, query) = split(&case.url);
    let cookies = Cookies::parse(&case.headers);
    let facts = RequestFacts {
        method: &case.method,
        scheme: "http",
        host: &host,
        path: &path,
        query: query.as_deref(),
        headers: &case.headers,
        cookies: &cookies,
    };
    let rule = config.policy.answer(&facts);
    let verdict = config.policy.classify(rule, &cookies);
    let bypass = rule.sessions == SessionMode::Bypass;
    // What the context asks with makes no bypass, and is forwarded where the context says so.
    let context = rule.context.as_deref();
    let of_the_context =
        context.is_some_and(|context| verdict.sessions.iter().all(|session| context.takes_cookie(session.name)));
    let all = cookies.iter().map(|cookie| cookie.name.to_owned()).collect();
    let (decision, reason) = match &rule.action {
        Action::Pass | Action::Cache(_) if case.method != Method::GET && case.method != Method::HEAD => {
            (Decision::Pass, "method")
        }
        Action::Pass => (Decision::Pass, "pass-rule"),
        Action::Respond(_) => (Decision::Respond, "respond"),
        Action::Cache(_)
            if ["x-auth-token", "x-api-key", "x-wp-nonce"].iter().any(|name| case.headers.contains_key(*name)) =>
        {
            (Decision::Pass, "authorization")
        }
        Action::Cache(_) if bypass && verdict.session.is_some() && !of_the_context => {
            (Decision::Pass, "session-cookie")
        }
        Action::Cache(_) if bypass && verdict.unknown.is_some() => (Decision::Pass, "unknown-cookie"),
        Action::Cache(_) => (Decision::Cache, "miss"),
    };
    let mut answer = Answer {
        rule: rule.name.to_string(),
        decision,
        reason,
        key: String::new(),
        variant: String::new(),
        cookies: all,
    };
    if let (Decision::Cache, Action::Cache(cache)) = (decision, &rule.action) {
        let query = cache.key.query(query.as_deref()).map(|query| format!("?{query}")).unwrap_or_default();
        answer.key = format!("http://{host}{path}{query}");
        answer.variant = cache.key.extras(&case.headers, &verdict.keyed);
        let forwarded = verdict.sessions.iter().filter(|_| context.is_some_and(|context| context.forward));
        answer.cookies = forwarded.chain(&verdict.keyed).map(|cookie| cookie.name.to_owned()).collect();
    }
    answer
}

fn assert_answers(suite: &Suite) {
    // What is a purge only the proxy can say, nor what it refuses before any rule.
    let by_rule = |case: &&Case| {
        case.expect.decision != Some(Decision::Purge) && case.expect.reason.as_deref() != Some("bad-request")
    };
    for case in suite.cases.iter().filter(by_rule) {
        let at = format!("{}:{}: {}", suite.file, case.line, case.name);
        let (answer, expect) = (answer(&suite.config, case), &case.expect);
        assert_eq!(answer.rule, expect.rule.clone().unwrap_or_else(|| answer.rule.clone()), "{at}");
        assert_eq!(answer.decision, expect.decision.unwrap_or(answer.decision), "{at}");
        assert_eq!(answer.reason, expect.reason.clone().unwrap_or_else(|| answer.reason.to_owned()), "{at}");
        assert_eq!(answer.key, expect.key.clone().unwrap_or_else(|| answer.key.clone()), "{at}");
        assert_eq!(answer.variant, expect.variant.clone().unwrap_or_else(|| answer.variant.clone()), "{at}");
        assert_eq!(answer.cookies, expect.cookies.clone().unwrap_or_else(|| answer.cookies.clone()), "{at}");
    }
}

#[test]
fn shipped_policies_answer_as_their_cases_say() {
    for name in shipped_names() {
        let suite = cases::load_shipped(name).unwrap().unwrap_or_else(|error| panic!("{error}"));
        assert!(suite.warnings.is_empty(), "{:?}", suite.warnings);
        assert!(suite.cases.len() >= 20, "{name} has too few cases");
        assert_answers(&suite);
    }
}

#[test]
fn the_policy_and_the_cases_of_the_documentation_are_right() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/POLICIES.md");
    let page = std::fs::read_to_string(page).unwrap();
    let block = |begin: &str| {
        let rest = &page[page.find(&format!("```yaml\n{begin}")).unwrap() + 8..];
        rest.split("```").next().unwrap().to_owned()
    };
    let folder = std::env::temp_dir().join(format!("copal-policy-page-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("shop.yaml"), block("# shop.yaml")).unwrap();
    let file = folder.join("shop.cases.yaml");
    std::fs::write(&file, block("cases:")).unwrap();
    let suite = cases::load(&file);
    std::fs::remove_dir_all(&folder).unwrap();
    let suite = suite.unwrap_or_else(|error| panic!("{error}"));
    assert!(suite.warnings.is_empty() && suite.cases.len() == 5);
    assert_answers(&suite);
}

#[test]
fn each_shipped_policy_works_without_a_warning_in_a_configuration_of_a_site() {
    for name in shipped_names().filter(|name| *name != "default") {
        let text = format!(
            "listen: \"0.0.0.0:80\"\norigins: {{ cms: \"http://127.0.0.1:9000\" }}\npolicies: [{name}]\npurge:\n  allow: [\"127.0.0.1\"]\n"
        );
        let loaded = load_str("copal.yaml", &text, None).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(loaded.warnings.is_empty(), "{name}: {:?}", loaded.warnings);
        assert!(loaded.config.policy.rules().iter().any(|rule| rule.name.starts_with(&format!("{name}/"))), "{name}");
    }
}

#[test]
fn every_shipped_rule_is_shown_by_a_case() {
    for name in shipped_names() {
        let suite = cases::load_shipped(name).unwrap().unwrap();
        for rule in suite.config.policy.rules().iter().filter(|rule| rule.name.starts_with(&format!("{name}/"))) {
            let shown = suite.cases.iter().any(|case| answer(&suite.config, case).rule == *rule.name);
            assert!(shown, "no case shows {}", rule.name);
        }
    }
}

#[test]
fn the_default_policy_answers_everything() {
    let config = load_str("c", "origins: { a: \"http://a\" }", None).unwrap().config;
    let last = config.policy.rules().last().unwrap();
    assert_eq!((&*last.name, &last.source), ("default/other-methods", &RuleSource::Default));
    assert!(last.matcher.is_catch_all());
}

#[test]
fn cases_beside_a_policy_are_found() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies/wagtail.cases.yaml");
    let suite = cases::load(&path).unwrap();
    assert_eq!(suite.cases.len(), cases::load_shipped("wagtail").unwrap().unwrap().cases.len());
    assert!(suite.config.policy.rules()[0].file.ends_with("policies/wagtail.yaml"));
}

#[test]
fn only_what_exists_is_shipped() {
    assert!(shipped("default").is_some() && shipped_cases("wagtail").is_some());
    assert!(shipped("nothing").is_none() && shipped_cases("nothing").is_none() && cases::load_shipped("x").is_none());
}

#[test]
fn a_wrong_cases_file_says_everything_at_once() {
    let folder = std::env::temp_dir().join(format!("copal-policy-cases-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let policy = folder.join("shop.yaml");
    let file = folder.join("shop.cases.yaml");
    std::fs::write(&policy, "rules:\n  - name: basket\n    match: { path: /basket }\n    pass: true\n").unwrap();
    let text = "cases:
  - name: a
    request: { url: basket, methd: GET }
    expect: { rule: basket, decision: passed }
  - request: { url: /, cookies: { a: 1 }, headers: { \"x y\": 1 } }
    expect: {}
  - name: c
";
    std::fs::write(&file, text).unwrap();
    let found = cases::load(&file).unwrap_err();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(found.0.iter().all(|diagnostic| diagnostic.severity == Severity::Error));
    let found: Vec<String> = found.0.iter().map(|d| format!("{}:{} {}", d.line, d.column, d.message)).collect();
    let expected = [
        "3:21 `url` must be a text, but `basket` is neither a URL nor a path",
        "3:29 unknown key `methd` in `request`",
        "4:39 `decision` must be `cache`, `pass`, `respond` or `purge`, not `passed`",
        "5:5 `name` is missing in `cases`",
        "5:54 `headers` must be a field name, but `x y` has characters that no field name has",
        "6:5 nothing is expected",
        "7:5 `request` is missing",
        "7:5 `expect` is missing",
    ];
    assert_eq!(found, expected);
}
