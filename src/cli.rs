//! The command line, and the help that teaches it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand};
use http::{HeaderName, HeaderValue, Method};

const EXAMPLES: &str = "\
Start here:
  copal demo                                        see it work: a sample site with Copal in front
  copal run --origin http://127.0.0.1:9000          put it before your own site, without a file
  copal run --config copal.yaml                     the same with your own rules

Exit status: 0 done, 1 the thing failed, 2 the command line or the file is wrong.";

/// Copal, a caching reverse proxy with ESI.
///
/// Copal stands in front of a web site, keeps whole pages by the rules of HTTP (RFC 9111) and your own, lets visitors
/// with a session through, splices personal fragments into shared pages, and forgets a page when it is told to.
#[derive(Debug, Parser)]
#[command(name = "copal", version, after_help = EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(Run),
    Demo(Demo),
    Check(Check),
    Explain(Explain),
    Esi(Esi),
    Test(Test),
    Policy(Policy),
    Purge(Box<Purge>),
    Origins(Origins),
}

/// Serve a site
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("source").required(true).args(["config", "origin"]),
    after_help = "\
Examples:
  copal run --config copal.yaml
  copal run --origin http://127.0.0.1:9000
  copal run --origin http://127.0.0.1:9000 --listen 0.0.0.0:80

Signals:
  SIGHUP            reads the file anew; a file with an error changes nothing
  SIGTERM, SIGINT   finish the requests under way, then stop; a second one stops at once
  SIGUSR1           opens the access log anew (after logrotate moved it)

RUST_LOG=debug shows more than the file's log.level."
)]
pub(crate) struct Run {
    /// The configuration file
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Serve this site with safe defaults, without a file
    #[arg(long, value_name = "URL")]
    pub(crate) origin: Option<String>,
    /// Where to listen, with --origin [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS", requires = "origin", conflicts_with = "config")]
    pub(crate) listen: Option<String>,
}

/// Show a small sample site with Copal in front, and what to try
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  copal demo
  copal demo --listen 127.0.0.1:3000
  copal demo --print-config > copal.yaml        a configuration to begin with

Without --listen the demo takes 127.0.0.1:8080, or the next free port up to 8090.
It prints a line for each request: hit, miss or pass, and why.")]
pub(crate) struct Demo {
    /// Where to listen [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS", value_parser = parse_listen)]
    pub(crate) listen: Option<SocketAddr>,
    /// Where metrics, health and the purge API are [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDRESS", value_parser = parse_admin)]
    pub(crate) admin: Option<SocketAddr>,
    /// Print the demo's configuration and stop
    #[arg(long)]
    pub(crate) print_config: bool,
}

/// Check a configuration file: every error at once, each with its place and a hint
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("what").required(true).args(["config", "file", "schema"]),
    after_help = "\
Examples:
  copal check --config copal.yaml
  copal check copal.yaml                        the same
  copal check --schema > copal.schema.json      for editors that complete YAML by a JSON Schema

Exit status: 0 the file works (there may be warnings), 2 it does not."
)]
pub(crate) struct Check {
    /// The configuration file
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The same, without the option
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Print the JSON Schema of configuration files
    #[arg(long)]
    pub(crate) schema: bool,
}

/// Say what would happen with a request, and why; asks nobody
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  copal explain --config copal.yaml http://www.example.com/news?page=2
  copal explain --config copal.yaml http://www.example.com/ --cookie 'sessionid=x' --cookie '_ga=1'
  copal explain --config copal.yaml http://www.example.com/ --method POST
  copal explain --config copal.yaml http://www.example.com/ --header 'Authorization: Basic x' --json")]
pub(crate) struct Explain {
    /// The configuration file
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// The whole URL that the visitor asks for
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// The request method
    #[arg(short = 'X', long, value_name = "METHOD", default_value = "GET")]
    pub(crate) method: Method,
    /// A field of the request; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = parse_field)]
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// A cookie of the request; may be given several times
    #[arg(short = 'b', long = "cookie", value_name = "NAME=VALUE", value_parser = parse_cookie)]
    pub(crate) cookies: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Put an ESI template together as a page, and say what is wrong with it; asks nobody
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  copal esi page.html
  copal esi page.html --cookie 'group=Advanced' --query 'page=2'      what this visitor gets
  copal esi page.html --header 'Accept-Language: de' --page > out.html
  curl -s http://127.0.0.1:9000/ | copal esi --dialect akamai -

It prints the template's parts, each warning with its line and column, and the page, in which a comment \
stands in the place of each fragment. Every cookie and field that is given can be read by the template; \
what a rule hides from templates is not hidden here. \
Files that end in .json or .js are put together as scripts.

The language: docs/ESI.md.

Exit status: 0 put together (there may be warnings), 2 the file or the command line is wrong.")]
pub(crate) struct Esi {
    /// The template; `-` reads it from standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The language: ESI 1.0, or with the additions of Akamai
    #[arg(long, value_name = "NAME", default_value = "esi", value_parser = ["esi", "akamai"])]
    pub(crate) dialect: String,
    /// The host that the visitor asks
    #[arg(long, value_name = "HOST", default_value = "www.example.com")]
    pub(crate) host: String,
    /// The query of the URL, without the question mark
    #[arg(long, value_name = "QUERY")]
    pub(crate) query: Option<String>,
    /// A field of the request; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = parse_field)]
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// A cookie of the request; may be given several times
    #[arg(short = 'b', long = "cookie", value_name = "NAME=VALUE", value_parser = parse_cookie)]
    pub(crate) cookies: Vec<String>,
    /// Print the page and nothing else; warnings go to standard error
    #[arg(long)]
    pub(crate) page: bool,
}

/// Run the cases beside a policy: requests, and what must become of them
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  copal test copal.cases.yaml                   names its policy or configuration itself
  copal test copal.yaml                         finds copal.cases.yaml beside it
  copal test wagtail                            a policy that ships with Copal

Exit status: 0 every case came out as expected, 1 one did not, 2 a file is wrong.")]
pub(crate) struct Test {
    /// Cases files, the files they speak about, or names of shipped policies
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<String>,
}

/// List the policies that ship with Copal, or print one
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  copal policy                                  their names
  copal policy wagtail                          its rules, to read or to copy
  copal policy wagtail --cases                  requests, and what must become of them
  copal policy default                          what Copal does where no other rule says")]
pub(crate) struct Policy {
    /// The policy
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Print its cases instead
    #[arg(long, requires = "name")]
    pub(crate) cases: bool,
}

/// Make a running Copal forget pages
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("what").required(true).multiple(true).args([
        "urls", "tags", "tag_patterns", "prefixes", "globs", "hosts", "patterns", "headers", "all",
    ]),
    group = ArgGroup::new("others").multiple(true).args([
        "tags", "tag_patterns", "prefixes", "globs", "hosts", "patterns", "headers", "all",
    ]),
    after_help = "\
Examples:
  copal purge http://www.example.com/news
  copal purge --server 127.0.0.1:8080 https://www.example.com/news https://www.example.com/
  find-changed-urls | copal purge --config copal.yaml -
  copal purge --config copal.yaml --tag article-17 --tag frontpage
  copal purge --config copal.yaml --tag-pattern '^product-17-'
  copal purge --admin http://127.0.0.1:8081 --prefix /blog/
  copal purge --config copal.yaml --glob 'http://www.example.com/*.css'
  copal purge --config copal.yaml --host www.example.com --header 'Content-Type=^image/' --dry-run
  copal purge --config copal.yaml --all-queries --refresh http://www.example.com/search
  copal purge --admin http://127.0.0.1:8081 --soft --all
  COPAL_SECRET=... copal purge --secret-env COPAL_SECRET http://www.example.com/news

What is named adds up; beside --header, --host and --tag-pattern must hold too. \
Regular expressions are found anywhere unless they are anchored (^...$).

Without --config and --admin each URL is purged by a PURGE request to its own host and port, or to --server. \
All but URLs, and --dry-run, need the admin address: --config reads it from the file, --admin names it.

Exit status: 0 all of it was purged, 1 something was not, 2 the command line or a file is wrong."
)]
pub(crate) struct Purge {
    /// Whole URLs; `-` reads them from standard input, one a line; lines that begin with # are comments
    #[arg(value_name = "URL", conflicts_with = "others")]
    pub(crate) urls: Vec<String>,
    /// Pages to which the origin gave this tag; may be given several times
    #[arg(long = "tag", value_name = "TAG", num_args = 1.., conflicts_with_all = ["headers", "all"])]
    pub(crate) tags: Vec<String>,
    /// Pages with a tag in which this regular expression is found
    #[arg(long = "tag-pattern", value_name = "REGEX", conflicts_with = "all")]
    pub(crate) tag_patterns: Vec<String>,
    /// Everything below a path (/blog/), on one host (http://www.example.com/blog/) or on all
    #[arg(long = "prefix", value_name = "PREFIX", conflicts_with_all = ["headers", "all"])]
    pub(crate) prefixes: Vec<String>,
    /// The same with `*` for any characters: '/*.css', 'http://www.example.com/*/print'
    #[arg(long = "glob", value_name = "GLOB", conflicts_with_all = ["headers", "all"])]
    pub(crate) globs: Vec<String>,
    /// Everything of a host
    #[arg(long = "host", value_name = "HOST", conflicts_with = "all")]
    pub(crate) hosts: Vec<String>,
    /// Pages in whose whole URL this regular expression is found
    #[arg(long = "pattern", value_name = "REGEX", conflicts_with_all = ["headers", "all"])]
    pub(crate) patterns: Vec<String>,
    /// Pages in whose response field this regular expression is found; several must all hold
    #[arg(long = "header", value_name = "NAME=REGEX", value_parser = parse_condition, conflicts_with = "all")]
    pub(crate) headers: Vec<(String, String)>,
    /// Everything
    #[arg(long)]
    pub(crate) all: bool,
    /// The URLs with every query
    #[arg(long)]
    pub(crate) all_queries: bool,
    /// The URLs on every host, with every query
    #[arg(long)]
    pub(crate) any_host: bool,
    /// Only make it stale: served while it is fetched anew, where a rule has grace
    #[arg(long)]
    pub(crate) soft: bool,
    /// Have the URLs fetched again at once
    #[arg(long)]
    pub(crate) refresh: bool,
    /// Do it once more after this time (10s, 2m; at most 1h)
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) repurge_after: Option<String>,
    /// Purge nothing; say how much would go
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Wait until it is counted how much went
    #[arg(long)]
    pub(crate) wait: bool,
    /// The server's configuration file: its admin address is used
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["admin", "server"])]
    pub(crate) config: Option<PathBuf>,
    /// The server's admin address
    #[arg(long, value_name = "URL", conflicts_with = "server")]
    pub(crate) admin: Option<String>,
    /// Send the PURGE requests here, whatever the URLs' hosts
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) server: Option<String>,
    /// The environment variable with the secret that PURGE requests carry (purge.secret)
    #[arg(long, value_name = "VARIABLE", conflicts_with_all = ["secret_file", "admin"])]
    pub(crate) secret_env: Option<String>,
    /// The file with that secret
    #[arg(long, value_name = "FILE", conflicts_with = "admin")]
    pub(crate) secret_file: Option<PathBuf>,
    /// The field that carries it [default: the configuration's, or X-Purge-Secret]
    #[arg(long, value_name = "NAME")]
    pub(crate) secret_header: Option<HeaderName>,
}

/// Show the servers behind a running Copal, or take one out and back in
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  copal origins                                 every server: up or not and why, requests, failures
  copal origins --config copal.yaml             the same, of the server that this file is for
  copal origins --admin http://127.0.0.1:8081 --json
  copal origins drain cms 10.0.0.5:9000         no more requests for it; those under way are finished
  copal origins resume cms 10.0.0.5:9000        requests again
  copal origins drain cms http://10.0.0.5:9000  by its URL, as in the file

A server is up, down (its checks say that it is not well), ejected (its requests failed, it is left out for a while) or \
drained (taken out by hand); failing: its requests fail, but no other server could take them. A reload of the configuration keeps all of that; a restart begins anew.

Before you shut a machine down: drain it, wait until `copal origins` shows no active requests, do the work, resume it.

Exit status: 0 done, 1 the server cannot be reached or knows no such name, 2 the command line or a file is wrong.")]
pub(crate) struct Origins {
    #[command(subcommand)]
    pub(crate) hand: Option<Hand>,
    /// The server's configuration file: its admin address is used
    #[arg(short, long, global = true, value_name = "FILE", conflicts_with = "admin")]
    pub(crate) config: Option<PathBuf>,
    /// The server's admin address [default: http://127.0.0.1:8081]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) admin: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Hand {
    /// Take a server out: no more requests; those under way are finished
    Drain(OneServer),
    /// Take a server back in that was drained
    Resume(OneServer),
}

#[derive(Debug, Args)]
pub(crate) struct OneServer {
    /// The origin's name in the configuration
    #[arg(value_name = "ORIGIN")]
    pub(crate) origin: String,
    /// The server, as `copal origins` names it, or its URL as in the file
    #[arg(value_name = "SERVER")]
    pub(crate) server: String,
}

fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    parse_address(text, "--listen", 8080)
}

fn parse_admin(text: &str) -> Result<SocketAddr, String> {
    parse_address(text, "--admin", 8081)
}

fn parse_address(text: &str, option: &str, port: u16) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let port = text.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(port);
        format!("it takes an IP address with a port, for example {option} 127.0.0.1:{port}")
    })
}

fn parse_field(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write it as 'Name: value'")?;
    let name = name.trim().parse().map_err(|_| format!("`{}` is no field name", name.trim()))?;
    let value = value.trim().parse().map_err(|_| "the value has characters that no field may have".to_owned())?;
    Ok((name, value))
}

fn parse_condition(text: &str) -> Result<(String, String), String> {
    let (name, expression) =
        text.split_once('=').ok_or("write it as NAME=REGEX, for example 'Content-Type=^image/'")?;
    let name = name.trim();
    name.parse::<HeaderName>().map_err(|_| format!("`{name}` is no field name"))?;
    Ok((name.to_owned(), expression.to_owned()))
}

fn parse_time(text: &str) -> Result<String, String> {
    match copal_policy::units::parse_duration(text) {
        Ok(time) if time.as_secs() <= 3_600 => Ok(text.to_owned()),
        Ok(_) => Err("it is more than 1h".to_owned()),
        Err(why) => Err(format!("it {why}; for example 10s")),
    }
}

fn parse_cookie(text: &str) -> Result<String, String> {
    if !text.contains('=') {
        return Err("write it as 'name=value'".to_owned());
    }
    HeaderValue::from_str(text).map_err(|_| "it has characters that no field may have".to_owned())?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_the_design_promises_is_understood() {
        for line in [
            "copal run --config copal.yaml",
            "copal run --origin http://127.0.0.1:9000",
            "copal run --origin http://127.0.0.1:9000 --listen 127.0.0.1:8080",
            "copal demo",
            "copal demo --listen 127.0.0.1:8080 --admin 127.0.0.1:8081",
            "copal demo --print-config",
            "copal check --config copal.yaml",
            "copal check --schema",
            "copal explain --config copal.yaml http://a/ --method POST --header K:V --cookie k=v",
            "copal esi page.html --dialect akamai --host a --cookie k=v --query q=1 --header K:V",
            "copal esi --page -",
            "copal test a.yaml b.cases.yaml",
            "copal policy",
            "copal policy wagtail --cases",
            "copal purge http://a/ http://b/",
            "copal purge --soft --admin http://127.0.0.1:8081 http://a/",
            "copal purge --config copal.yaml --tag a b --tag c",
            "copal purge --admin http://127.0.0.1:8081 --prefix /blog/",
            "copal purge --config copal.yaml --all",
            "copal purge --server 127.0.0.1:8080 -",
            "copal purge --config copal.yaml --tag a --prefix /b/ --prefix /c/ --glob /*.css --host a --pattern x",
            "copal purge --config copal.yaml --header A=b --header C=d --host a --tag-pattern x --dry-run",
            "copal purge --admin http://a --all --wait --repurge-after 10s",
            "copal purge --all-queries --any-host --refresh --soft http://a/",
            "copal purge --secret-env S --secret-header X-Secret http://a/",
            "copal purge --secret-file f --server a:1 http://a/",
            "copal origins",
            "copal origins --admin http://127.0.0.1:8081 --json",
            "copal origins --config copal.yaml drain cms 10.0.0.5:9000",
            "copal origins resume cms unix:/run/x.sock --admin 127.0.0.1:8081",
        ] {
            assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_status_2() {
        for line in [
            "copal",
            "copal run",
            "copal run --config a.yaml --origin http://a",
            "copal run --config a.yaml --listen 127.0.0.1:1",
            "copal run --listen 127.0.0.1:1",
            "copal check",
            "copal check --schema --config a.yaml",
            "copal check --config a.yaml b.yaml",
            "copal check --schema a.yaml",
            "copal explain http://a/",
            "copal explain --config a.yaml http://a/ --header nonsense",
            "copal explain --config a.yaml http://a/ --cookie nonsense",
            "copal esi",
            "copal esi a.html --dialect fastly",
            "copal test",
            "copal policy --cases",
            "copal purge",
            "copal purge --all --tag x",
            "copal purge --all http://a/",
            "copal purge --tag-pattern x http://a/",
            "copal purge --all --header A=b",
            "copal purge --header A=b --pattern x",
            "copal purge --header A",
            "copal purge --all --repurge-after 2h",
            "copal purge --all --repurge-after soon",
            "copal purge --secret-env A --secret-file b http://a/",
            "copal purge --secret-env A --admin http://b http://a/",
            "copal purge --config a.yaml --admin http://b --all",
            "copal origins drain cms",
            "copal origins remove cms a:1",
            "copal origins --config a.yaml --admin http://b",
            "copal demo --listen nonsense",
        ] {
            match parse(line) {
                Ok(cli) => panic!("{line} was understood as {cli:?}"),
                Err(error) => assert_eq!(error.exit_code(), 2, "{line}"),
            }
        }
    }

    #[test]
    fn a_file_to_check_needs_no_option() {
        match parse("copal check a.yaml").map(|cli| cli.command) {
            Ok(Command::Check(check)) => assert_eq!(check.file.as_deref(), Some("a.yaml".as_ref())),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_wrong_address_is_answered_with_a_right_one() {
        for (line, example) in [
            ("copal demo --listen 8080", "--listen 127.0.0.1:8080"),
            ("copal demo --listen 3000", "--listen 127.0.0.1:3000"),
            ("copal demo --listen foo", "--listen 127.0.0.1:8080"),
            ("copal demo --admin localhost:9", "--admin 127.0.0.1:9"),
            ("copal demo --admin foo", "--admin 127.0.0.1:8081"),
        ] {
            let error = parse(line).map(|cli| format!("{cli:?}")).unwrap_err().to_string();
            assert!(error.contains(example), "{line}: {error}");
        }
    }

    #[test]
    fn fields_and_cookies() {
        let (name, value) = parse_field("Accept-Language:  de, en ").unwrap();
        assert_eq!((name.as_str(), value.as_bytes()), ("accept-language", &b"de, en"[..]));
        assert!(parse_field("a b: c").is_err() && parse_field("a: \u{1}").is_err());
        assert!(parse_cookie("a=b; c=d").is_ok() && parse_cookie("a=\n").is_err());
    }

    #[test]
    fn sentences_are_broken_by_the_terminal_and_not_by_hand() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for (line, next) in help.lines().zip(help.lines().skip(1)) {
                let prose = |line: &str| !line.is_empty() && !line.starts_with(' ') && !line.ends_with(':');
                let broken = prose(line) && prose(next) && !line.ends_with('.');
                assert!(!broken, "{}: {line}", command.get_name());
            }
        }
    }

    #[test]
    fn every_command_teaches_by_example() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(&format!("copal {} ", command.get_name())), "{}", command.get_name());
            assert!(command.get_about().is_some(), "{}", command.get_name());
        }
    }
}
