//! From the command line to what the purge API is asked, and to words for the person who asked.

use http::{HeaderValue, header::HeaderName};

use crate::admin::{Conditions, PurgeRequest};
use crate::cli::Purge;
use crate::failure::Failure;

/// What is asked besides URLs; those come on their own.
pub(super) fn request(arguments: &Purge) -> PurgeRequest {
    let mut asked = PurgeRequest {
        tags: arguments.tags.clone(),
        prefix: arguments.prefixes.clone(),
        glob: arguments.globs.clone(),
        pattern: arguments.patterns.clone(),
        all: arguments.all,
        all_queries: arguments.all_queries,
        any_host: arguments.any_host,
        soft: arguments.soft,
        refresh: arguments.refresh,
        dry_run: arguments.dry_run,
        wait: arguments.wait,
        repurge_after: arguments.repurge_after.clone(),
        ..PurgeRequest::default()
    };
    if arguments.headers.is_empty() {
        asked.host.clone_from(&arguments.hosts);
        asked.tag_pattern.clone_from(&arguments.tag_patterns);
        return asked;
    }
    // Beside --header all must hold.
    let hosts: Vec<String> = arguments.hosts.iter().map(|host| literally(&host.to_ascii_lowercase())).collect();
    asked.conditions = Some(Conditions {
        host: one_of(&hosts).map(|hosts| format!("^{hosts}$")),
        url: None,
        headers: arguments.headers.iter().cloned().collect(),
        tags: one_of(&arguments.tag_patterns),
    });
    asked
}

/// An expression that finds one of these.
fn one_of(expressions: &[String]) -> Option<String> {
    match expressions {
        [] => None,
        [one] => Some(format!("(?:{one})")),
        many => Some(format!("(?:{})", many.join("|"))),
    }
}

/// An expression that finds just this text.
fn literally(text: &str) -> String {
    let escaped = |character: char| match character.is_ascii_punctuation() {
        true => format!("\\{character}"),
        false => character.to_string(),
    };
    text.chars().map(escaped).collect()
}

/// What is asked, in words; nothing where it is of URLs only.
pub(super) fn words(arguments: &Purge) -> Vec<String> {
    let mut words = match arguments.tags.as_slice() {
        [] => Vec::new(),
        [one] => vec![format!("what has the tag {one}")],
        many => vec![format!("what has one of the tags {}", many.join(", "))],
    };
    let mut say = |before: &str, items: &[String]| match items {
        [] => {}
        [one] => words.push(format!("{before} {one}")),
        many => words.push(format!("{before} one of {}", many.join(", "))),
    };
    say("everything below", &arguments.prefixes);
    say("what fits", &arguments.globs);
    say("URLs with", &arguments.patterns);
    if arguments.headers.is_empty() {
        say("everything of", &arguments.hosts);
        say("what has a tag with", &arguments.tag_patterns);
    } else {
        let fields: Vec<String> = arguments.headers.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut text = format!("what has {}", fields.join(" and "));
        if !arguments.hosts.is_empty() {
            text.push_str(&format!(" of {}", arguments.hosts.join(" or ")));
        }
        if !arguments.tag_patterns.is_empty() {
            text.push_str(&format!(" and a tag with {}", arguments.tag_patterns.join(" or ")));
        }
        words.push(text);
    }
    if arguments.all {
        words.push("everything".to_owned());
    }
    words
}

/// What a direct `PURGE` says besides its URL: how it is to be done, and the secret.
pub(super) fn fields(
    arguments: &Purge,
    secret_header: Option<HeaderName>,
) -> Result<Vec<(HeaderName, HeaderValue)>, Failure> {
    let mut fields = Vec::new();
    let mut words: Vec<String> = [
        (arguments.soft, "soft"),
        (arguments.refresh, "refresh"),
        (arguments.all_queries, "all-queries"),
        (arguments.any_host, "any-host"),
        (arguments.wait, "count"),
    ]
    .into_iter()
    .filter(|(given, _)| *given)
    .map(|(_, word)| word.to_owned())
    .collect();
    if let Some(after) = &arguments.repurge_after {
        let after = copal_policy::units::parse_duration(after)
            .map_err(|why| Failure::wrong(format_args!("--repurge-after {after}: {why}")))?;
        words.push(format!("repurge={}", after.as_secs().max(1)));
    }
    if !words.is_empty() {
        let value = HeaderValue::try_from(words.join(", ")).map_err(Failure::failed)?;
        fields.push((HeaderName::from_static("copal-purge"), value));
    }
    if let Some(mut secret) = secret(arguments)? {
        secret.set_sensitive(true);
        let of_config = secret_header.unwrap_or(HeaderName::from_static("x-purge-secret"));
        fields.push((arguments.secret_header.clone().unwrap_or(of_config), secret));
    }
    Ok(fields)
}

/// The secret, from where the command line says that it is.
fn secret(arguments: &Purge) -> Result<Option<HeaderValue>, Failure> {
    let (text, whence) = if let Some(name) = &arguments.secret_env {
        let text = std::env::var(name).map_err(|_| {
            Failure::wrong(format_args!("--secret-env {name}: there is no such variable, or it is no text"))
        })?;
        (text, format!("the variable {name}"))
    } else if let Some(file) = &arguments.secret_file {
        let text = std::fs::read_to_string(file)
            .map_err(|error| Failure::wrong(format_args!("--secret-file {}: {error}", file.display())))?;
        (text, format!("the file {}", file.display()))
    } else {
        return Ok(None);
    };
    match text.trim() {
        "" => Err(Failure::wrong(format_args!("{whence} is empty: it must hold the secret"))),
        text => HeaderValue::from_str(text).map(Some).map_err(|_| {
            Failure::wrong(format_args!("{whence} has characters that no field may have: is it the secret?"))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::arguments;
    use super::*;

    #[test]
    fn every_kind_is_asked_for() {
        for (line, json, said) in [
            ("--tag a b --tag c", r#"{"tags":["a","b","c"]}"#, "what has one of the tags a, b, c"),
            ("--prefix /a/ --glob /b*", r#"{"prefix":["/a/"],"glob":["/b*"]}"#, "everything below /a/; what fits /b*"),
            ("--host a.example", r#"{"host":["a.example"]}"#, "everything of a.example"),
            ("--pattern /x$", r#"{"pattern":["/x$"]}"#, "URLs with /x$"),
            ("--tag-pattern ^a", r#"{"tag_pattern":["^a"]}"#, "what has a tag with ^a"),
            ("--all --soft --wait", r#"{"all":true,"soft":true,"wait":true}"#, "everything"),
            ("--all --dry-run", r#"{"all":true,"dry_run":true}"#, "everything"),
            ("--all --repurge-after 10s", r#"{"all":true,"repurge_after":"10s"}"#, "everything"),
            (
                "http://a/ --all-queries --any-host --refresh",
                r#"{"all_queries":true,"any_host":true,"refresh":true}"#,
                "",
            ),
            (
                "--header Content-Type=^image/ --header X-A=b=c --host A.example --tag-pattern x --tag-pattern y",
                r#"{"match":{"host":"^(?:a\\.example)$","headers":{"Content-Type":"^image/","X-A":"b=c"},"tags":"(?:x|y)"}}"#,
                "what has Content-Type=^image/ and X-A=b=c of A.example and a tag with x or y",
            ),
        ] {
            let arguments = arguments(&format!("copal purge --admin a:1 {line}"));
            assert_eq!(request(&arguments), serde_json::from_str(json).unwrap(), "{line}");
            assert_eq!(words(&arguments).join("; "), said, "{line}");
        }
    }

    #[test]
    fn a_direct_purge_carries_what_it_wishes_and_the_secret() {
        let file = std::env::temp_dir().join(format!("copal-secret-{}", std::process::id()));
        std::fs::write(&file, "  s3cret-of-this-test\n").unwrap();
        let line = format!(
            "copal purge --soft --refresh --all-queries --wait --repurge-after 500ms --secret-file {} http://a/",
            file.display()
        );
        let found = fields(&arguments(&line), None);
        let of_config = fields(&arguments(&line), Some("x-of-config".parse().unwrap()));
        let named =
            fields(&arguments(&line.replace("--soft", "--secret-header X-Mine")), Some("x-of-config".parse().unwrap()));
        std::fs::write(&file, "\n").unwrap();
        let empty = fields(&arguments(&line), None);
        std::fs::remove_file(&file).unwrap();
        let found = found.unwrap();
        assert_eq!(found[0].1, "soft, refresh, all-queries, count, repurge=1");
        assert_eq!(
            (found[1].0.as_str(), &found[1].1),
            ("x-purge-secret", &HeaderValue::from_static("s3cret-of-this-test"))
        );
        assert!(!format!("{found:?}").contains("s3cret"), "it is not shown");
        assert_eq!(of_config.unwrap()[1].0, "x-of-config");
        assert_eq!(named.unwrap()[1].0, "x-mine");
        assert!(empty.unwrap_err().message().unwrap().contains("is empty"));
        let gone = fields(&arguments(&line), None).unwrap_err();
        assert!(gone.message().unwrap().starts_with("--secret-file"), "{gone:?}");
        let unset = fields(&arguments("copal purge --secret-env COPAL_NO_SUCH_VARIABLE http://a/"), None).unwrap_err();
        assert!(unset.message().unwrap().contains("there is no such variable"), "{unset:?}");
        assert!(fields(&arguments("copal purge http://a/"), None).unwrap().is_empty());
    }
}
