//! `copal purge`: makes a running Copal forget pages.

mod order;

use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::Path;

use http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use serde_json::Value;

use super::check;
use super::client::{Answer, Client, authority, reachable};
use crate::admin::{Done, ItemError, PurgeRequest};
use crate::cli::Purge;
use crate::failure::Failure;
use crate::output;

/// The options that say where a server is.
const WHERE: &str = "--server, --admin or --config";

/// URLs of one request to the admin address.
const BATCH: usize = 200;

/// After so many URLs from standard input the terminal hears how many were purged.
const PROGRESS: u64 = 100;

/// So many mistakes are told one by one.
const TOLD: u64 = 20;

/// Whom to ask.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    /// The purge API at this `host:port`; does everything.
    Admin(String),
    /// `PURGE` requests to this `host:port`, or to each URL's own, with these fields; does URLs only.
    Direct(Option<String>, Vec<(HeaderName, HeaderValue)>),
}

pub(crate) fn run(arguments: Purge) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
    runtime.block_on(purge(arguments))
}

pub(crate) async fn purge(arguments: Purge) -> Result<(), Failure> {
    about_urls(&arguments)?;
    let way = way(&arguments)?;
    if arguments.urls.is_empty() { everything_else(&way, arguments).await } else { urls(&way, arguments).await }
}

/// What is said of URLs where there are none is a mistake.
fn about_urls(arguments: &Purge) -> Result<(), Failure> {
    let words = [
        (arguments.refresh, "--refresh"),
        (arguments.all_queries, "--all-queries"),
        (arguments.any_host, "--any-host"),
    ];
    match words.iter().find(|(given, _)| *given && arguments.urls.is_empty()) {
        Some((_, option)) => {
            Err(Failure::wrong(format_args!("{option} is about URLs, and none is given: name the URLs")))
        }
        None => Ok(()),
    }
}

fn way(arguments: &Purge) -> Result<Way, Failure> {
    if let Some(admin) = &arguments.admin {
        return Ok(Way::Admin(authority(admin)?));
    }
    let has_secret = arguments.secret_env.is_some() || arguments.secret_file.is_some();
    let (server, secret_header) = match (&arguments.server, &arguments.config) {
        (Some(server), _) => (Some(authority(server)?), None),
        (None, Some(file)) => match of_config(file)? {
            // Who gives a secret wants it sent.
            OfConfig { admin: Some(admin), .. } if !has_secret => return Ok(Way::Admin(admin)),
            OfConfig { server, secret_header, .. } => (server, secret_header),
        },
        (None, None) => (None, None),
    };
    let what = [
        (!arguments.tags.is_empty(), "--tag"),
        (!arguments.tag_patterns.is_empty(), "--tag-pattern"),
        (!arguments.prefixes.is_empty(), "--prefix"),
        (!arguments.globs.is_empty(), "--glob"),
        (!arguments.hosts.is_empty(), "--host"),
        (!arguments.patterns.is_empty(), "--pattern"),
        (!arguments.headers.is_empty(), "--header"),
        (arguments.all, "--all"),
        // Whoever does not know the word would purge.
        (arguments.dry_run, "--dry-run"),
    ];
    match what.iter().find(|(given, _)| *given) {
        None => Ok(Way::Direct(server, order::fields(arguments, secret_header)?)),
        Some((_, option)) if has_secret => Err(Failure::wrong(format_args!(
            "{option} needs the server's admin address, which takes no secret: leave --secret-env or --secret-file out"
        ))),
        Some((_, option)) if arguments.config.is_some() => Err(Failure::wrong(format_args!(
            "{option} needs the server's admin address, and the file gives none: add `admin:` with `address: \
             \"127.0.0.1:8081\"` to it and start Copal again"
        ))),
        Some((_, option)) => Err(Failure::wrong(format_args!(
            "{option} needs the server's admin address: give --config FILE or --admin http://127.0.0.1:8081"
        ))),
    }
}

/// Where the server of a configuration is.
struct OfConfig {
    admin: Option<String>,
    /// Its first listening address.
    server: Option<String>,
    /// The field of `purge.secret`.
    secret_header: Option<HeaderName>,
}

fn of_config(file: &Path) -> Result<OfConfig, Failure> {
    let config = check::load(file)?.config;
    Ok(OfConfig {
        admin: config.admin.map(reachable),
        server: config.listen.first().copied().map(reachable),
        secret_header: config.purge.secret.map(|secret| secret.header),
    })
}

/// Everything but URLs.
async fn everything_else(way: &Way, arguments: Purge) -> Result<(), Failure> {
    let Way::Admin(server) = way else { return Err(Failure::wrong("give --admin or --config")) };
    let done = ask(&mut Client::new(WHERE), server, &order::request(&arguments)).await?;
    let what = order::words(&arguments).join("; ");
    let (verb, again) = (if done.dry_run { "would purge" } else { "purged" }, again(&done));
    output::print(match done.matching {
        Some(count) if done.dry_run => format!("{verb} {what}: {}", plural(count, "stored response")),
        Some(count) => {
            format!("{verb} {what}: {} (sequence {}){again}", plural(count, "stored response"), done.sequence)
        }
        // They are removed when they are next asked for, or by the next sweep.
        None => format!("{verb} {what} (sequence {}){again}", done.sequence),
    })?;
    told(&done.errors, 0)
}

fn again(done: &Done) -> &'static str {
    if done.again { "; once more later" } else { "" }
}

/// Tells what was wrong; that is a failure, although all else was done. `before`: what was told already.
fn told(errors: &[ItemError], before: u64) -> Result<(), Failure> {
    for error in errors.iter().take(usize::try_from(TOLD.saturating_sub(before)).unwrap_or_default()) {
        output::tell(format!("copal: not purged: {}", error.error));
    }
    if errors.is_empty() { Ok(()) } else { Err(Failure::reported()) }
}

async fn urls(way: &Way, arguments: Purge) -> Result<(), Failure> {
    let asked = order::request(&arguments);
    let mut work = Work {
        client: Client::new(WHERE),
        way,
        asked,
        quiet: false,
        urls: 0,
        removed: 0,
        failed: 0,
        refreshing: 0,
        again: false,
    };
    if arguments.urls.iter().any(|url| url == "-") {
        work.quiet = true;
        let mut batch = Vec::new();
        for (number, line) in (1_u64..).zip(io::stdin().lock().lines()) {
            let line = line.map_err(|error| Failure::failed(format_args!("cannot read standard input: {error}")))?;
            match of_line(&line) {
                Ok(None) => {}
                Ok(Some(url)) => batch.push(url.to_owned()),
                Err(why) => {
                    let error = format!("line {number}: {why}");
                    let _ = told(&[ItemError { field: "urls".to_owned(), item: line, error }], work.failed);
                    work.failed += 1;
                }
            }
            if batch.len() == BATCH {
                work.purge(std::mem::take(&mut batch)).await?;
            }
        }
        work.purge(batch).await?;
    }
    let named: Vec<_> = arguments.urls.into_iter().filter(|url| url != "-").collect();
    work.purge(named).await?;
    work.done()
}

/// The URL on a line of standard input; none on an empty one and on a comment.
fn of_line(line: &str) -> Result<Option<&str>, String> {
    let url = line.trim();
    if url.is_empty() || url.starts_with('#') {
        return Ok(None);
    }
    match url.contains(|character: char| character.is_whitespace() || character.is_control()) {
        true => Err(format!("`{}` has a space: one URL a line, with `%20` for a space in it", url.escape_debug())),
        false => Ok(Some(url)),
    }
}

/// URLs on their way.
struct Work<'a> {
    client: Client,
    way: &'a Way,
    /// How it is to be done.
    asked: PurgeRequest,
    /// Say how many, not which.
    quiet: bool,
    urls: u64,
    removed: u64,
    /// URLs that are none, or were refused.
    failed: u64,
    refreshing: u64,
    again: bool,
}

impl Work<'_> {
    async fn purge(&mut self, urls: Vec<String>) -> Result<(), Failure> {
        match self.way {
            Way::Admin(server) => {
                for batch in urls.chunks(BATCH) {
                    let asked = PurgeRequest { urls: batch.to_vec(), ..self.asked.clone() };
                    let done = match ask(&mut self.client, server, &asked).await {
                        Ok(done) => done,
                        Err(Refused { errors, .. })
                            if errors.len() == batch.len() && (self.quiet || batch.len() > 1) =>
                        {
                            Done { errors, ..Done::default() }
                        }
                        Err(refused) => return Err(self.so_far(refused.into())),
                    };
                    // What is wrong is told at once, what is right goes on.
                    let _ = told(&done.errors, self.failed);
                    self.failed += done.errors.len() as u64;
                    self.refreshing += done.refreshing;
                    self.again |= done.again;
                    let good = (batch.len() - done.errors.len().min(batch.len())) as u64;
                    self.add(good, done.matching.unwrap_or(done.removed));
                }
            }
            Way::Direct(server, fields) => {
                for url in &urls {
                    match direct(&mut self.client, server.as_deref(), url, fields).await {
                        Ok(removed) => {
                            self.add(1, removed.unwrap_or_default());
                            if !self.quiet {
                                let what = removed.map_or_else(|| "done".to_owned(), |removed| self.responses(removed));
                                output::print(format!("purged {url} ({what})"))?;
                            }
                        }
                        // A line of many that is no URL: the others are.
                        Err(Direct::Wrong(why)) if self.quiet => {
                            let error = ItemError { field: String::new(), item: url.clone(), error: why };
                            let _ = told(&[error], self.failed);
                            self.failed += 1;
                        }
                        Err(Direct::Wrong(why)) => return Err(self.so_far(Failure::wrong(why))),
                        Err(Direct::Failed(failure)) => return Err(self.so_far(failure)),
                    }
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, urls: u64, removed: u64) {
        let before = self.urls / PROGRESS;
        self.urls += urls;
        self.removed += removed;
        if self.quiet && self.urls / PROGRESS > before && io::stderr().is_terminal() {
            output::tell(format!("{} URLs purged", self.urls));
        }
    }

    /// A failure after others went well.
    fn so_far(&self, failure: Failure) -> Failure {
        if self.urls > 0 {
            output::tell(format!("copal: {} URLs were purged before this", self.urls));
        }
        failure
    }

    /// How much went, as far as that is known.
    fn responses(&self, removed: u64) -> String {
        let counted = self.asked.wait || self.asked.dry_run;
        match removed {
            0 if !counted && (self.asked.all_queries || self.asked.any_host) => "not counted; see --wait".to_owned(),
            // Sessions, slices and bodies have keys of their own, which only counting looks through.
            0 if !counted => {
                "none counted; what is stored under the URL by session, slice or body is invalidated too, \
                              and counted with --wait"
                    .to_owned()
            }
            count => plural(count, "stored response"),
        }
    }

    fn done(&self) -> Result<(), Failure> {
        if self.urls == 0 && self.failed == 0 {
            return Err(Failure::wrong("no URL was given: standard input has none; write one on each line"));
        }
        if self.urls > 0 && (self.quiet || matches!(self.way, Way::Admin(_))) {
            let verb = if self.asked.dry_run { "would purge" } else { "purged" };
            let mut text = format!("{verb} {} ({})", plural(self.urls, "URL"), self.responses(self.removed));
            if self.refreshing > 0 {
                text.push_str(&format!("; {} fetched again", plural(self.refreshing, "URL")));
            }
            if self.again {
                text.push_str("; once more later");
            }
            output::print(text)?;
        }
        match self.failed {
            0 => Ok(()),
            failed => Err(Failure::failed(format_args!("{} not purged; the others were", plural(failed, "URL")))),
        }
    }
}

fn plural(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Why the admin API did nothing.
struct Refused {
    message: String,
    errors: Vec<ItemError>,
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::failed(refused.message)
    }
}

/// Asks the admin API.
async fn ask(client: &mut Client, server: &str, asked: &PurgeRequest) -> Result<Done, Refused> {
    let refused = |message: String| Refused { message, errors: Vec::new() };
    let body = serde_json::to_vec(asked).map_err(|error| refused(error.to_string()))?;
    let answer = client.send(server, server, &Method::POST, "/purge", &[], body).await;
    invalidated(server, &answer.map_err(|error| refused(error.to_string()))?)
}

/// What the admin API says it did. A site behind a Copal may well answer 200 to a `POST /purge`, so only the API's own
/// answer counts.
fn invalidated(server: &str, answer: &Answer) -> Result<Done, Refused> {
    let value = answer.json();
    let (message, errors) = match (answer.status, value["sequence"].as_u64(), value["error"].as_str()) {
        (StatusCode::OK, Some(_), _) => match serde_json::from_value(value) {
            Ok(done) => return Ok(done),
            Err(error) => (format!("{server} answered what is not understood: {error}"), Vec::new()),
        },
        (StatusCode::OK, None, _) => (
            format!("{server} answered, but not as a Copal does: is {server} the admin address of a Copal?"),
            Vec::new(),
        ),
        (status, _, Some(error)) => {
            let errors = serde_json::from_value(value["errors"].clone()).unwrap_or_default();
            (format!("{server} answered {status}: {error}"), errors)
        }
        (status, _, None) => {
            (format!("{server} answered {status}: is {server} the admin address of a Copal?"), Vec::new())
        }
    };
    Err(Refused { message, errors })
}

/// Why a `PURGE` came to nothing.
enum Direct {
    /// The URL is none.
    Wrong(String),
    Failed(Failure),
}

/// Sends one `PURGE`: how much was removed, where the server says so.
async fn direct(
    client: &mut Client,
    server: Option<&str>,
    url: &str,
    fields: &[(HeaderName, HeaderValue)],
) -> Result<Option<u64>, Direct> {
    let wrong = || Direct::Wrong(format!("`{url}` is no whole URL; write it as http://www.example.com/page"));
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let host = uri.authority().filter(|host| !host.as_str().contains('@')).ok_or_else(wrong)?.as_str();
    let server = match (server, uri.scheme_str()) {
        (Some(server), Some("http" | "https")) => server.to_owned(),
        (None, Some("http")) => authority(&format!("http://{host}")).map_err(Direct::Failed)?,
        (None, Some("https")) => {
            return Err(Direct::Wrong(format!(
                "{url}: Copal is spoken to by plain HTTP; say where it is with --server 127.0.0.1:8080, --admin or --config"
            )));
        }
        _ => return Err(wrong()),
    };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let failed = |error: &dyn std::fmt::Display| Direct::Failed(Failure::failed(error));
    let method = Method::from_bytes(b"PURGE").map_err(|error| failed(&error))?;
    let answer = client.send(&server, host, &method, path, fields, Vec::new()).await.map_err(|error| failed(&error))?;
    judge(&server, url, &answer).map_err(Direct::Failed)
}

fn judge(server: &str, url: &str, answer: &Answer) -> Result<Option<u64>, Failure> {
    let value = answer.json();
    let of_copal = answer.cache_status.contains("copal");
    match answer.status {
        StatusCode::OK if value["status"] == "purged" => Ok(Some(number(&value, "removed"))),
        // In the words of another dialect.
        StatusCode::OK | StatusCode::NO_CONTENT | StatusCode::NOT_FOUND
            if of_copal && answer.cache_status.contains("detail=purged") =>
        {
            Ok(None)
        }
        StatusCode::FORBIDDEN | StatusCode::METHOD_NOT_ALLOWED
            if answer.status == StatusCode::FORBIDDEN || answer.cache_status.contains("detail=purge-denied") =>
        {
            Err(Failure::failed(format_args!(
                "{server} refused to purge {url}: this machine's address may not, or the secret is missing or another. Add the \
                 address to `purge: allow:` in that server's configuration and send it SIGHUP, and give the secret of \
                 `purge: secret:` if it has one (--secret-env, --secret-file); one of them will do under `purge: require: \
                 any`. Or use its admin address (--admin)"
            )))
        }
        status => Err(Failure::failed(format_args!(
            "{server} answered {status} to PURGE {url}: is it a Copal? If so, is `url` among its `purge: dialects:`? Say \
             where it is with --server, --admin or --config"
        ))),
    }
}

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    pub(super) fn arguments(line: &str) -> Purge {
        use clap::Parser as _;
        match crate::cli::Cli::try_parse_from(line.split(' ')).unwrap().command {
            crate::cli::Command::Purge(arguments) => *arguments,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn whom_to_ask() {
        for (line, expected) in [
            ("copal purge http://a/", Way::Direct(None, Vec::new())),
            (
                "copal purge --server localhost:8080 http://a/",
                Way::Direct(Some("localhost:8080".to_owned()), Vec::new()),
            ),
            (
                "copal purge --soft --refresh http://a/",
                Way::Direct(
                    None,
                    vec![(HeaderName::from_static("copal-purge"), HeaderValue::from_static("soft, refresh"))],
                ),
            ),
            ("copal purge --admin http://127.0.0.1:8081 http://a/", Way::Admin("127.0.0.1:8081".to_owned())),
            ("copal purge --admin [::1]:8081 --all", Way::Admin("[::1]:8081".to_owned())),
            ("copal purge --admin copal.internal --tag x", Way::Admin("copal.internal:80".to_owned())),
        ] {
            assert_eq!(way(&arguments(line)).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn what_needs_the_admin_address_says_so() {
        for (line, word) in [
            ("copal purge --tag x", "--tag"),
            ("copal purge --prefix /", "--prefix"),
            ("copal purge --all", "--all"),
            ("copal purge --dry-run http://a/", "--dry-run"),
            ("copal purge --glob /*", "--glob"),
            ("copal purge --host a", "--host"),
            ("copal purge --pattern a", "--pattern"),
            ("copal purge --header a=b", "--header"),
            ("copal purge --tag-pattern a", "--tag-pattern"),
            ("copal purge --server a:1 --all", "--all"),
        ] {
            let failure = way(&arguments(line)).unwrap_err();
            assert!(failure.message().is_some_and(|text| text.starts_with(word) && text.contains("--admin")), "{line}");
        }
        for admin in ["https://a", "http://", "::"] {
            assert!(authority(admin).is_err(), "{admin}");
        }
    }

    #[test]
    fn what_is_about_urls_needs_some() {
        for line in ["--refresh --all", "--all-queries --tag x", "--any-host --prefix /"] {
            let failure = about_urls(&arguments(&format!("copal purge --admin a:1 {line}"))).unwrap_err();
            assert!(failure.message().unwrap().contains("is about URLs"), "{line}");
        }
        assert!(about_urls(&arguments("copal purge --refresh http://a/")).is_ok());
    }

    #[test]
    fn no_url_at_all_is_a_mistake() {
        let way = Way::Direct(None, Vec::new());
        let work = |urls| Work {
            client: Client::new(WHERE),
            way: &way,
            asked: PurgeRequest::default(),
            quiet: false,
            urls,
            removed: 0,
            failed: 0,
            refreshing: 0,
            again: false,
        };
        let failure = work(0).done().unwrap_err();
        assert_eq!(failure.status(), std::process::ExitCode::from(2));
        assert!(failure.message().is_some_and(|text| text.contains("no URL was given")), "{failure:?}");
        assert!(work(1).done().is_ok());
    }

    #[test]
    fn a_line_of_standard_input_is_one_url_a_comment_or_a_mistake() {
        for line in ["", "   ", "# http://a/", "  #x"] {
            assert_eq!(of_line(line), Ok(None), "{line:?}");
        }
        assert_eq!(of_line(" http://a/x%20y#z\r"), Ok(Some("http://a/x%20y#z")));
        for line in ["http://a/x y", "http://a/ http://b/", "http://a/\tb", "http://a/\u{1b}[1m"] {
            assert!(of_line(line).unwrap_err().contains("has a space"), "{line:?}");
        }
    }

    #[test]
    fn what_is_not_counted_is_not_said_to_be_nothing() {
        let said = |wait, dry_run, all_queries, removed| {
            let asked = PurgeRequest { wait, dry_run, all_queries, ..PurgeRequest::default() };
            let way = Way::Direct(None, Vec::new());
            let (client, quiet, again) = (Client::new(WHERE), false, false);
            Work { client, way: &way, asked, quiet, urls: 1, removed: 0, failed: 0, refreshing: 0, again }
                .responses(removed)
        };
        assert!(said(false, false, false, 0).contains("by session, slice or body is invalidated too"));
        assert_eq!(said(false, false, true, 0), "not counted; see --wait");
        assert_eq!(said(false, false, false, 1), "1 stored response");
        assert_eq!((said(true, false, false, 0), said(false, true, false, 0)).0, "0 stored responses");
    }

    #[test]
    fn only_the_admin_api_s_own_answer_is_believed() {
        let done = answer(200, r#"{"sequence":9,"removed":3}"#);
        let done = invalidated("a:81", &done).ok().unwrap();
        assert_eq!((done.sequence, done.removed, done.matching), (9, 3, None));
        let admin = "is a:81 the admin address of a Copal?";
        for (answer, words) in [
            (answer(200, "<html>"), admin),
            (answer(200, "{}"), admin),
            (answer(200, ""), admin),
            (answer(200, r#"{"sequence":"9"}"#), admin),
            (answer(404, "no"), admin),
            (answer(400, r#"{"error":"too many URLs"}"#), "too many URLs"),
        ] {
            let failure = Failure::from(invalidated("a:81", &answer).err().unwrap());
            assert_eq!(failure.status(), std::process::ExitCode::from(1));
            assert!(failure.message().is_some_and(|text| text.contains(words)), "{failure:?}");
        }
    }

    fn answer(status: u16, body: &'static str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            body: Bytes::from_static(body.as_bytes()),
            cache_status: String::new(),
        }
    }

    #[test]
    fn answers_and_what_to_do_next() {
        let purged = answer(200, r#"{"status":"purged","url":"http://a/","removed":3,"sequence":9}"#);
        assert_eq!(judge("a:80", "http://a/", &purged).unwrap(), Some(3));
        let of_a_dialect = Answer { cache_status: "copal; detail=purged".to_owned(), ..answer(200, "Banned") };
        assert_eq!(judge("a:80", "http://a/", &of_a_dialect).unwrap(), None);
        let denied = Answer { cache_status: "copal; detail=purge-denied".to_owned(), ..answer(405, "no") };
        assert!(judge("a:80", "http://a/", &denied).unwrap_err().message().unwrap().contains("and give the secret"));
        for (answer, words) in [
            (answer(403, "{}"), "purge: allow:"),
            (answer(405, "no"), "is it a Copal?"),
            (answer(200, "<html>"), "is it a Copal?"),
        ] {
            let failure = judge("a:80", "http://a/", &answer).unwrap_err();
            assert!(failure.message().is_some_and(|text| text.contains(words)), "{failure:?}");
        }
    }
}
