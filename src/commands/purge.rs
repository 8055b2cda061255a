//! `copal purge`: makes a running Copal forget pages.

mod client;

use std::io::{self, BufRead as _, IsTerminal as _};
use std::net::SocketAddr;
use std::path::Path;

use http::{Method, StatusCode, Uri};
use serde_json::Value;

use super::check;
use crate::admin::PurgeRequest;
use crate::cli::Purge;
use crate::failure::Failure;
use crate::output;
use client::{Answer, Client};

/// URLs of one request to the admin address.
const BATCH: usize = 200;

/// After so many URLs from standard input the terminal hears how many were purged.
const PROGRESS: u64 = 100;

/// Whom to ask.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    /// The purge API at this `host:port`; does everything.
    Admin(String),
    /// `PURGE` requests to this `host:port`, or to each URL's own; does URLs only.
    Direct(Option<String>),
}

pub(crate) fn run(arguments: Purge) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
    runtime.block_on(purge(arguments))
}

pub(crate) async fn purge(arguments: Purge) -> Result<(), Failure> {
    let way = way(&arguments)?;
    if arguments.urls.is_empty() { everything_else(&way, arguments).await } else { urls(&way, arguments).await }
}

fn way(arguments: &Purge) -> Result<Way, Failure> {
    if let Some(admin) = &arguments.admin {
        return Ok(Way::Admin(authority(admin)?));
    }
    let direct = match (&arguments.server, &arguments.config) {
        (Some(server), _) => Way::Direct(Some(authority(server)?)),
        (None, Some(file)) => match of_config(file)? {
            (Some(admin), _) => return Ok(Way::Admin(admin)),
            (None, server) => Way::Direct(server),
        },
        (None, None) => Way::Direct(None),
    };
    let what = [
        (arguments.soft, "--soft"),
        (!arguments.tags.is_empty(), "--tag"),
        (arguments.prefix.is_some(), "--prefix"),
        (arguments.all, "--all"),
    ];
    match what.iter().find(|(given, _)| *given) {
        None => Ok(direct),
        Some((_, option)) if arguments.config.is_some() => Err(Failure::wrong(format_args!(
            "{option} needs the server's admin address, and the file gives none: add `admin:` with `address: \
             \"127.0.0.1:8081\"` to it and start Copal again"
        ))),
        Some((_, option)) => Err(Failure::wrong(format_args!(
            "{option} needs the server's admin address: give --config FILE or --admin http://127.0.0.1:8081"
        ))),
    }
}

/// The admin address of a configuration, and its first listening address.
fn of_config(file: &Path) -> Result<(Option<String>, Option<String>), Failure> {
    let config = check::load(file)?.config;
    let reachable = |address: SocketAddr| {
        let loopback = if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
        let ip = if address.ip().is_unspecified() { loopback } else { address.ip() };
        SocketAddr::new(ip, address.port()).to_string()
    };
    Ok((config.admin.map(reachable), config.listen.first().copied().map(reachable)))
}

/// `host:port` of `http://host:port`, or of that without the scheme.
fn authority(text: &str) -> Result<String, Failure> {
    let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let wrong =
        || Failure::wrong(format_args!("`{text}` is no address of a server; write it as http://127.0.0.1:8081"));
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    if uri.scheme_str() != Some("http") {
        return Err(Failure::wrong(format_args!("`{text}`: Copal is spoken to by plain HTTP")));
    }
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
    Ok(format!("{host}:{}", uri.port_u16().unwrap_or(80)))
}

/// Tags, a prefix, or everything.
async fn everything_else(way: &Way, arguments: Purge) -> Result<(), Failure> {
    let Way::Admin(server) = way else { return Err(Failure::wrong("give --admin or --config")) };
    let what = match (&arguments.prefix, arguments.tags.as_slice()) {
        (Some(prefix), _) => format!("everything below {prefix}"),
        (None, []) => "everything".to_owned(),
        (None, [tag]) => format!("what has the tag {tag}"),
        (None, tags) => format!("what has one of the tags {}", tags.join(", ")),
    };
    let Purge { tags, prefix, all, soft, .. } = arguments;
    let (sequence, _) =
        ask(&mut Client::default(), server, &PurgeRequest { urls: Vec::new(), tags, prefix, all, soft }).await?;
    // How many that were is not known: they are removed when they are next asked for, or by the next sweep.
    output::print(format!("purged {what} (invalidation {sequence})"))
}

async fn urls(way: &Way, arguments: Purge) -> Result<(), Failure> {
    let mut work = Work { client: Client::default(), way, soft: arguments.soft, quiet: false, urls: 0, removed: 0 };
    if arguments.urls.iter().any(|url| url == "-") {
        work.quiet = true;
        let mut batch = Vec::new();
        for line in io::stdin().lock().lines() {
            let line = line.map_err(|error| Failure::failed(format_args!("cannot read standard input: {error}")))?;
            let url = line.trim();
            if !url.is_empty() && !url.starts_with('#') {
                batch.push(url.to_owned());
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

/// URLs on their way.
struct Work<'a> {
    client: Client,
    way: &'a Way,
    soft: bool,
    /// Say how many, not which.
    quiet: bool,
    urls: u64,
    removed: u64,
}

impl Work<'_> {
    async fn purge(&mut self, urls: Vec<String>) -> Result<(), Failure> {
        match self.way {
            Way::Admin(server) => {
                for batch in urls.chunks(BATCH) {
                    let asked = PurgeRequest { urls: batch.to_vec(), soft: self.soft, ..PurgeRequest::default() };
                    let (_, removed) =
                        ask(&mut self.client, server, &asked).await.map_err(|failure| self.so_far(failure))?;
                    self.add(batch.len() as u64, removed);
                }
            }
            Way::Direct(server) => {
                for url in &urls {
                    let purged = direct(&mut self.client, server.as_deref(), url).await;
                    let removed = purged.map_err(|failure| self.so_far(failure))?;
                    self.add(1, removed);
                    if !self.quiet {
                        output::print(format!("purged {url} ({})", responses(removed)))?;
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

    fn done(&self) -> Result<(), Failure> {
        if self.urls == 0 {
            return Err(Failure::wrong("no URL was given: standard input has none; write one on each line"));
        }
        if self.quiet || matches!(self.way, Way::Admin(_)) {
            let plural = if self.urls == 1 { "" } else { "s" };
            output::print(format!("purged {} URL{plural} ({})", self.urls, responses(self.removed)))?;
        }
        Ok(())
    }
}

fn responses(count: u64) -> String {
    match count {
        0 => "nothing was stored under the URL itself".to_owned(),
        1 => "1 stored response".to_owned(),
        _ => format!("{count} stored responses"),
    }
}

/// Asks the admin API: the sequence number and how much was removed.
async fn ask(client: &mut Client, server: &str, asked: &PurgeRequest) -> Result<(u64, u64), Failure> {
    let body = serde_json::to_vec(asked).map_err(Failure::failed)?;
    let answer = client.send(server, server, &Method::POST, "/purge", body).await.map_err(Failure::failed)?;
    invalidated(server, &answer)
}

/// What the admin API says it did. A site behind a Copal may well answer 200 to a `POST /purge`, so only the API's own
/// answer counts.
fn invalidated(server: &str, answer: &Answer) -> Result<(u64, u64), Failure> {
    let value = answer.json();
    match (answer.status, value["sequence"].as_u64(), value["error"].as_str()) {
        (StatusCode::OK, Some(sequence), _) => Ok((sequence, number(&value, "removed"))),
        (StatusCode::OK, None, _) => Err(Failure::failed(format_args!(
            "{server} answered, but not as a Copal does: is {server} the admin address of a Copal?"
        ))),
        (status, _, Some(error)) => Err(Failure::failed(format_args!("{server} answered {status}: {error}"))),
        (status, _, None) => {
            Err(Failure::failed(format_args!("{server} answered {status}: is {server} the admin address of a Copal?")))
        }
    }
}

/// Sends one `PURGE`: how much was removed.
async fn direct(client: &mut Client, server: Option<&str>, url: &str) -> Result<u64, Failure> {
    let wrong = || Failure::wrong(format_args!("`{url}` is no whole URL; write it as http://www.example.com/page"));
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let host = uri.authority().filter(|host| !host.as_str().contains('@')).ok_or_else(wrong)?.as_str();
    let server = match (server, uri.scheme_str()) {
        (Some(server), Some("http" | "https")) => server.to_owned(),
        (None, Some("http")) => authority(&format!("http://{host}"))?,
        (None, Some("https")) => {
            return Err(Failure::wrong(format_args!(
                "{url}: Copal is spoken to by plain HTTP; say where it is with --server 127.0.0.1:8080, --admin or --config"
            )));
        }
        _ => return Err(wrong()),
    };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let method = Method::from_bytes(b"PURGE").map_err(Failure::failed)?;
    let answer = client.send(&server, host, &method, path, Vec::new()).await.map_err(Failure::failed)?;
    judge(&server, url, &answer)
}

fn judge(server: &str, url: &str, answer: &Answer) -> Result<u64, Failure> {
    match answer.status {
        StatusCode::OK if answer.json()["status"] == "purged" => Ok(number(&answer.json(), "removed")),
        StatusCode::FORBIDDEN => Err(Failure::failed(format_args!(
            "{server} refused to purge {url}: this machine's address may not. Add it to `purge: allow:` in that server's \
             configuration and send it SIGHUP, or use its admin address (--admin)"
        ))),
        status => Err(Failure::failed(format_args!(
            "{server} answered {status} to PURGE {url}: is it a Copal? Say where it is with --server, --admin or --config"
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

    fn arguments(line: &str) -> Purge {
        use clap::Parser as _;
        match crate::cli::Cli::try_parse_from(line.split(' ')).unwrap().command {
            crate::cli::Command::Purge(arguments) => arguments,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn whom_to_ask() {
        for (line, expected) in [
            ("copal purge http://a/", Way::Direct(None)),
            ("copal purge --server localhost:8080 http://a/", Way::Direct(Some("localhost:8080".to_owned()))),
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
            ("copal purge --soft http://a/", "--soft"),
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
    fn no_url_at_all_is_a_mistake() {
        let work = |urls| Work {
            client: Client::default(),
            way: &Way::Direct(None),
            soft: false,
            quiet: false,
            urls,
            removed: 0,
        };
        let failure = work(0).done().unwrap_err();
        assert_eq!(failure.status(), std::process::ExitCode::from(2));
        assert!(failure.message().is_some_and(|text| text.contains("no URL was given")), "{failure:?}");
        assert!(work(1).done().is_ok());
    }

    #[test]
    fn only_the_admin_api_s_own_answer_is_believed() {
        let done = answer(200, r#"{"sequence":9,"removed":3}"#);
        assert_eq!(invalidated("a:81", &done).unwrap(), (9, 3));
        let admin = "is a:81 the admin address of a Copal?";
        for (answer, words) in [
            (answer(200, "<html>"), admin),
            (answer(200, "{}"), admin),
            (answer(200, ""), admin),
            (answer(200, r#"{"sequence":"9"}"#), admin),
            (answer(404, "no"), admin),
            (answer(400, r#"{"error":"too many URLs"}"#), "too many URLs"),
        ] {
            let failure = invalidated("a:81", &answer).unwrap_err();
            assert_eq!(failure.status(), std::process::ExitCode::from(1));
            assert!(failure.message().is_some_and(|text| text.contains(words)), "{failure:?}");
        }
    }

    fn answer(status: u16, body: &'static str) -> Answer {
        Answer { status: StatusCode::from_u16(status).unwrap(), body: Bytes::from_static(body.as_bytes()) }
    }

    #[test]
    fn answers_and_what_to_do_next() {
        let purged = answer(200, r#"{"status":"purged","url":"http://a/","removed":3,"sequence":9}"#);
        assert_eq!(judge("a:80", "http://a/", &purged).unwrap(), 3);
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
