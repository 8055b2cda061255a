//! Asking for the addresses of a name. The only file that names the resolver library.
//!
//! The system's way unless name servers are given: `/etc/hosts`, then the servers and search domains of `/etc/resolv.conf`. Both files
//! are read again when they change. Nothing is cached here: who asks keeps the answer for as long as it says.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ProtocolConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, TokioResolver};
use tokio::time::{Instant, sleep_until};

use crate::settings::NameSettings;

const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";
/// How long one family's addresses wait for the other's (RFC 8305 §3, Resolution Delay).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);
/// The wait for an answer of name servers from the settings. Those of the system have `options timeout:`.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The lifetime of what stands in `/etc/hosts`: cut to what the settings allow.
const UNCHANGING: Duration = Duration::from_secs(24 * 60 * 60);

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// The addresses of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// At least one.
    pub(crate) addresses: Vec<IpAddr>,
    /// How long they count, as the name server says.
    pub(crate) ttl: Duration,
    /// A family of which nothing is known: its question failed, or its answer is late.
    pub(crate) unknown: Option<Family>,
}

/// Why a name has no addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unresolved {
    pub(crate) what: Arc<str>,
    /// Nobody answered, as opposed to a bad answer.
    pub(crate) timed_out: bool,
}

impl Unresolved {
    pub(crate) fn new(what: impl Into<Arc<str>>) -> Self {
        Self { what: what.into(), timed_out: false }
    }
}

/// An answer that is awaited.
pub(crate) type Asking<'a> = Pin<Box<dyn Future<Output = Result<Answer, Unresolved>> + Send + 'a>>;

/// Whom one asks for the addresses of a name.
pub(crate) trait Ask: Send + Sync {
    /// Asks now. Ends by itself, dropping it gives it up.
    fn ask<'a>(&'a self, name: &'a str) -> Asking<'a>;
}

/// The resolver of an origin.
pub(crate) struct Resolver {
    servers: Vec<SocketAddr>,
    /// `/etc/hosts`.
    hosts: PathBuf,
    ready: Mutex<Option<Arc<Ready>>>,
}

/// A resolver as the files said at a time.
struct Ready {
    client: TokioResolver,
    hosts: Hosts,
    search: Vec<Name>,
    ndots: usize,
    files: Files,
}

/// By what a change of the system's files is seen: when each was changed, and how long it is.
type Files = [Option<(SystemTime, u64)>; 2];

/// What a question for one family brought.
enum Found {
    Addresses(Vec<IpAddr>, Duration),
    /// There are none, or no such name.
    Nothing(Unresolved),
    Failed(Unresolved),
}

impl Resolver {
    /// A resolver that reads and asks nothing yet.
    pub(crate) fn new(settings: &NameSettings) -> Arc<Self> {
        Arc::new(Self { servers: settings.servers.clone(), hosts: HOSTS.into(), ready: Mutex::default() })
    }

    async fn lookup(&self, name: &str) -> Result<Answer, Unresolved> {
        let ready = self.ready().map_err(|error| Unresolved::new(error.to_string()))?;
        let name = Name::from_str_relaxed(name).map_err(|error| Unresolved::new(error.to_string()))?;
        if let Some(addresses) = in_hosts(&ready.hosts, &name) {
            return Ok(Answer { addresses, ttl: UNCHANGING, unknown: None });
        }
        let mut nothing = None;
        let mut failed = None;
        for candidate in candidates(name, &ready.search, ready.ndots) {
            match both(&ready.client, candidate).await {
                Ok(answer) => return Ok(answer),
                Err(Found::Failed(why)) if why.timed_out => return Err(why),
                // As the C library does: a search domain that cannot be asked does not hide the name itself.
                Err(Found::Failed(why)) => failed = failed.or(Some(why)),
                Err(Found::Nothing(why)) => nothing = nothing.or(Some(why)),
                Err(Found::Addresses(..)) => {}
            }
        }
        Err(failed.or(nothing).unwrap_or_else(|| Unresolved::new("the name is too long")))
    }

    /// The resolver by the files as they are now.
    fn ready(&self) -> Result<Arc<Ready>, NetError> {
        let files = match self.servers.is_empty() {
            true => [Path::new(RESOLV_CONF), &self.hosts].map(stamp),
            false => Files::default(),
        };
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ready) = ready.as_ref().filter(|ready| ready.files == files) {
            return Ok(ready.clone());
        }
        let made = Arc::new(Ready::new(&self.servers, &self.hosts, files)?);
        *ready = Some(made.clone());
        Ok(made)
    }
}

impl Ask for Resolver {
    fn ask<'a>(&'a self, name: &'a str) -> Asking<'a> {
        Box::pin(self.lookup(name))
    }
}

impl Ready {
    fn new(servers: &[SocketAddr], hosts: &Path, files: Files) -> Result<Self, NetError> {
        let (config, mut options, hosts) = match servers {
            [] => {
                let (config, options) = or_local(hickory_resolver::system_conf::read_system_conf());
                (config, options, read_hosts(hosts))
            }
            servers => {
                let config = ResolverConfig::from_name_servers(servers.iter().copied().map(name_server).collect());
                let mut options = ResolverOpts::default();
                options.timeout = TIMEOUT;
                (config, options, Hosts::default())
            }
        };
        options.cache_size = 0;
        // Both are seen to here: a name that the file knows in one family is not asked for in the other.
        options.use_hosts_file = ResolveHosts::Never;
        let ndots = options.ndots;
        let search = match config.search() {
            [] => config.domain().into_iter().cloned().collect(),
            search => search.to_vec(),
        };
        let client = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        Ok(Self { client: client.with_options(options).build()?, hosts, search, ndots, files })
    }
}

/// What the system's file says; without it what the C library does: the name server of this machine.
fn or_local(read: Result<(ResolverConfig, ResolverOpts), NetError>) -> (ResolverConfig, ResolverOpts) {
    read.unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot use {RESOLV_CONF}: names are asked for at 127.0.0.1:53");
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 53));
        (ResolverConfig::from_name_servers(vec![name_server(local)]), ResolverOpts::default())
    })
}

fn read_hosts(path: &Path) -> Hosts {
    let mut hosts = Hosts::default();
    if let Err(error) = File::open(path).and_then(|file| hosts.read_hosts_conf(file)) {
        tracing::debug!(%error, path = %path.display(), "cannot read all of the hosts file");
    }
    hosts
}

fn name_server(at: SocketAddr) -> NameServerConfig {
    let connections = [ProtocolConfig::Udp, ProtocolConfig::Tcp].map(|protocol| {
        let mut connection = ConnectionConfig::new(protocol);
        connection.port = at.port();
        connection
    });
    NameServerConfig::new(at.ip(), true, connections.into())
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let file = std::fs::metadata(path).ok()?;
    Some((file.modified().ok()?, file.len()))
}

/// The full names that a name may stand for, in the order in which they are asked (resolv.conf(5), `search` and `ndots`).
fn candidates(name: Name, search: &[Name], ndots: usize) -> Vec<Name> {
    let mut itself = name.clone();
    itself.set_fqdn(true);
    if name.is_fqdn() {
        return vec![itself];
    }
    let dots = usize::from(name.num_labels()).saturating_sub(1);
    let mut names: Vec<Name> = search.iter().filter_map(|domain| name.clone().append_domain(domain).ok()).collect();
    names.insert(if dots >= ndots { 0 } else { names.len() }, itself);
    names
}

fn in_hosts(hosts: &Hosts, name: &Name) -> Option<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    for kind in [RecordType::AAAA, RecordType::A] {
        if let Some(found) = hosts.lookup_static_host(&Query::query(name.clone(), kind)) {
            addresses.extend(found.answers().iter().filter_map(|record| record.data.ip_addr()).filter(is_of_a_host));
        }
    }
    (!addresses.is_empty()).then_some(addresses)
}

/// Asks for both families at once. The error is never [`Found::Addresses`].
async fn both(client: &TokioResolver, name: Name) -> Result<Answer, Found> {
    let mut asking_v6 = pin!(one(client, name.clone(), RecordType::AAAA));
    let mut asking_v4 = pin!(one(client, name, RecordType::A));
    let (mut v6, mut v4) = (None, None);
    let mut late = pin!(sleep_until(Instant::now()));
    while v6.is_none() || v4.is_none() {
        let some = [&v6, &v4].into_iter().any(|it| matches!(it, Some(Found::Addresses(..))));
        tokio::select! {
            biased;
            found = &mut asking_v6, if v6.is_none() => v6 = Some(found),
            found = &mut asking_v4, if v4.is_none() => v4 = Some(found),
            () = &mut late, if some => break,
        }
        late.as_mut().reset(Instant::now() + RESOLUTION_DELAY);
    }
    joined(v6, v4)
}

/// The answer of two families, each `None` where it is late.
fn joined(v6: Option<Found>, v4: Option<Found>) -> Result<Answer, Found> {
    use Found::{Addresses, Failed, Nothing};
    let answer = |addresses, ttl, unknown| Ok(Answer { addresses, ttl, unknown });
    match (v6, v4) {
        (Some(Addresses(mut v6, ttl6)), Some(Addresses(v4, ttl4))) => {
            v6.extend(v4);
            answer(v6, ttl6.min(ttl4), None)
        }
        (Some(Addresses(addresses, ttl)), Some(Nothing(_))) | (Some(Nothing(_)), Some(Addresses(addresses, ttl))) => {
            answer(addresses, ttl, None)
        }
        (Some(Addresses(addresses, ttl)), _) => answer(addresses, ttl, Some(Family::V4)),
        (_, Some(Addresses(addresses, ttl))) => answer(addresses, ttl, Some(Family::V6)),
        (Some(Failed(why)), _) | (_, Some(Failed(why))) => Err(Failed(why)),
        (_, Some(Nothing(why))) | (Some(Nothing(why)), _) => Err(Nothing(why)),
        (None, None) => Err(Failed(Unresolved { what: "no answer".into(), timed_out: true })),
    }
}

async fn one(client: &TokioResolver, name: Name, kind: RecordType) -> Found {
    let found = match client.lookup(name.clone(), kind).await {
        Ok(found) => found,
        Err(error) => return failed(&name, kind, error),
    };
    let records = found.answers();
    let addresses: Vec<_> = records.iter().filter_map(|record| record.data.ip_addr()).filter(is_of_a_host).collect();
    // Of the whole chain: an alias that points elsewhere sooner counts too.
    let ttl = records.iter().map(|record| record.ttl).min().unwrap_or_default();
    match addresses.is_empty() {
        true => Found::Nothing(Unresolved::new(format!("{name} has no address that can be connected to"))),
        false => Found::Addresses(addresses, Duration::from_secs(ttl.into())),
    }
}

/// Not "no address" (0.0.0.0, as filters of names answer), and not a group.
fn is_of_a_host(address: &IpAddr) -> bool {
    !address.is_unspecified() && !address.is_multicast()
}

fn failed(name: &Name, kind: RecordType, error: NetError) -> Found {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => {
            Found::Nothing(Unresolved::new(format!("{name} {kind}: {}", none.response_code)))
        }
        NetError::Dns(DnsError::ResponseCode(code)) => Found::Failed(Unresolved::new(format!("{name} {kind}: {code}"))),
        error => {
            let timed_out = match &error {
                NetError::Timeout => true,
                NetError::Io(error) => error.kind() == std::io::ErrorKind::TimedOut,
                _ => false,
            };
            Found::Failed(Unresolved { what: format!("{name} {kind}: {error}").into(), timed_out })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use copal_testkit::{DnsAnswer, DnsServer, patiently};

    fn names(texts: &[&str]) -> Vec<Name> {
        texts.iter().map(|text| Name::from_ascii(text).unwrap()).collect()
    }

    #[test]
    fn search_domains_resolv_conf_5() {
        let search = names(&["a.example", "b.example"]);
        for (name, ndots, wanted) in [
            ("cms", 1, &["cms.a.example.", "cms.b.example.", "cms."][..]),
            ("cms.web", 1, &["cms.web.", "cms.web.a.example.", "cms.web.b.example."]),
            ("cms.web", 5, &["cms.web.a.example.", "cms.web.b.example.", "cms.web."]),
            ("my_app", 1, &["my_app.a.example.", "my_app.b.example.", "my_app."]),
            ("cms.web.", 5, &["cms.web."]),
        ] {
            let asked = candidates(Name::from_str_relaxed(name).unwrap(), &search, ndots);
            assert_eq!(asked, names(wanted), "{name} with ndots {ndots}");
        }
        assert_eq!(candidates(Name::from_ascii("cms").unwrap(), &[], 1), names(&["cms."]));
    }

    #[test]
    fn a_name_in_the_hosts_file_is_asked_for_in_neither_family() {
        let mut hosts = Hosts::default();
        let file = "192.0.2.1 cms www # a comment\n::1 six\n192.0.2.2 cms\n0.0.0.0 nowhere\n";
        hosts.read_hosts_conf(file.as_bytes()).unwrap();
        for (name, wanted) in [
            ("cms", Some(&["192.0.2.1", "192.0.2.2"][..])),
            ("WWW.", Some(&["192.0.2.1"])),
            ("six", Some(&["::1"])),
            ("nowhere", None),
            ("other", None),
        ] {
            let wanted = wanted.map(|texts| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>());
            assert_eq!(in_hosts(&hosts, &Name::from_ascii(name).unwrap()), wanted, "{name}");
        }
    }

    #[tokio::test]
    async fn the_hosts_file_is_read_again_when_it_changes() {
        let hosts = std::env::temp_dir().join(format!("copal-hosts-{}", std::process::id()));
        let resolver = Resolver { servers: Vec::new(), hosts: hosts.clone(), ready: Mutex::default() };
        for (file, addresses) in [
            ("192.0.2.1 cms.test\n", &["192.0.2.1"][..]),
            ("192.0.2.1 cms.test\n::2 cms.test\n", &["::2", "192.0.2.1"]),
        ] {
            std::fs::write(&hosts, file).unwrap();
            let found = resolver.ask("cms.test").await.unwrap();
            let wanted: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!((found.addresses, found.ttl), (wanted, UNCHANGING));
        }
        let before = resolver.ready().unwrap();
        assert!(Arc::ptr_eq(&before, &resolver.ready().unwrap()));
        std::fs::remove_file(&hosts).unwrap();
        assert!(in_hosts(&resolver.ready().unwrap().hosts, &Name::from_ascii("cms.test").unwrap()).is_none());
    }

    #[test]
    fn without_a_resolv_conf_this_machine_is_asked() {
        let (config, _) = or_local(Err(NetError::from(std::io::Error::from(std::io::ErrorKind::NotFound))));
        let [server] = config.name_servers() else { panic!("one name server") };
        assert_eq!((server.ip, server.connections[0].port), (Ipv4Addr::LOCALHOST.into(), 53));
    }

    #[test]
    fn what_two_families_make_together() {
        let some = |text: &str, ttl| Some(Found::Addresses(vec![text.parse().unwrap()], Duration::from_secs(ttl)));
        let nothing = || Some(Found::Nothing(Unresolved::new("nothing")));
        let failed = || Some(Found::Failed(Unresolved::new("failed")));
        let (v4, v6) = (|ttl| some("192.0.2.1", ttl), |ttl| some("2001:db8::1", ttl));
        for (answers, addresses, ttl, unknown) in [
            ((v6(9), v4(5)), 2, 5, None),
            ((v6(9), nothing()), 1, 9, None),
            ((nothing(), v4(5)), 1, 5, None),
            ((v6(9), failed()), 1, 9, Some(Family::V4)),
            ((failed(), v4(5)), 1, 5, Some(Family::V6)),
            ((None, v4(5)), 1, 5, Some(Family::V6)),
        ] {
            let answer = joined(answers.0, answers.1).ok().unwrap();
            assert_eq!((answer.addresses.len(), answer.ttl.as_secs(), answer.unknown), (addresses, ttl, unknown));
        }
        assert!(matches!(joined(nothing(), nothing()), Err(Found::Nothing(_))));
        // One of them may have addresses: it is not known that there are none.
        assert!(matches!(joined(nothing(), failed()), Err(Found::Failed(_))));
        assert!(matches!(joined(failed(), nothing()), Err(Found::Failed(_))));
    }

    async fn asked(server: &DnsServer, name: &str) -> Result<Answer, Unresolved> {
        let settings = NameSettings { servers: vec![server.address()], ..NameSettings::default() };
        let resolver = Resolver::new(&settings);
        patiently(|| format!("an answer for {name}"), resolver.ask(name)).await
    }

    fn answer(ttl: u64, addresses: &[&str]) -> Result<Answer, Unresolved> {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        Ok(Answer { addresses, ttl: Duration::from_secs(ttl), unknown: None })
    }

    #[tokio::test]
    async fn both_families_are_asked_for_and_the_lifetime_is_the_servers() {
        let server = DnsServer::start().await;
        server.on("both.test", DnsAnswer::addresses(30, &["192.0.2.1", "192.0.2.2", "2001:db8::1"]));
        server.on("six.test", DnsAnswer::addresses(7, &["2001:db8::1"]));
        server.on("gone.test", DnsAnswer::addresses(0, &["192.0.2.1"]));
        server.on("alias.test", DnsAnswer::addresses(5, &["192.0.2.3"]).alias("real.test"));
        server.on("my_app", DnsAnswer::addresses(5, &["192.0.2.4"]));
        assert_eq!(asked(&server, "both.test").await, answer(30, &["2001:db8::1", "192.0.2.1", "192.0.2.2"]));
        assert_eq!(server.count("both.test"), 2);
        assert_eq!(asked(&server, "six.test").await, answer(7, &["2001:db8::1"]));
        assert_eq!(asked(&server, "gone.test.").await, answer(0, &["192.0.2.1"]));
        assert_eq!(asked(&server, "alias.test").await.unwrap().addresses, ["192.0.2.3".parse::<IpAddr>().unwrap()]);
        assert_eq!(asked(&server, "my_app").await, answer(5, &["192.0.2.4"]));
        // With servers given nothing is searched.
        assert_eq!(server.names(), ["both.test", "six.test", "gone.test", "alias.test", "real.test", "my_app"]);
    }

    #[tokio::test]
    async fn a_truncated_answer_is_fetched_over_tcp() {
        let server = DnsServer::start().await;
        server.on("large.test", DnsAnswer::addresses(30, &["192.0.2.1", "192.0.2.2"]).truncated());
        assert_eq!(asked(&server, "large.test").await, answer(30, &["192.0.2.1", "192.0.2.2"]));
        assert_eq!(server.count("large.test"), 4);
    }

    #[tokio::test]
    async fn failures_say_what_was_answered() {
        let server = DnsServer::start().await;
        server.on("broken.test", DnsAnswer::serv_fail());
        server.on("empty.test", DnsAnswer::addresses(30, &[]));
        server.on("zero.test", DnsAnswer::addresses(30, &["0.0.0.0", "::"]));
        for (name, wanted) in [
            ("broken.test", "broken.test. AAAA: Server Failure"),
            ("no.test", "no.test. A: Non-Existent Domain"),
            ("empty.test", "empty.test. A: No Error"),
            ("zero.test", "zero.test. has no address that can be connected to"),
        ] {
            let failure = asked(&server, name).await.unwrap_err();
            assert_eq!((&*failure.what, failure.timed_out), (wanted, false));
        }
        assert!(!asked(&server, &"x".repeat(300)).await.unwrap_err().timed_out);
    }

    #[tokio::test]
    async fn a_family_that_is_not_answered_is_unknown_and_holds_the_other_up_for_a_moment_only() {
        let server = DnsServer::start().await;
        server.on("slow.test", DnsAnswer::addresses(30, &["192.0.2.1", "2001:db8::1"]).silent_on_v6());
        server.on("half.test", DnsAnswer::addresses(30, &["192.0.2.1", "2001:db8::1"]).failing_on_v6());
        for name in ["slow.test", "half.test"] {
            let answer = asked(&server, name).await.unwrap();
            assert_eq!((answer.addresses, answer.unknown), (vec!["192.0.2.1".parse().unwrap()], Some(Family::V6)));
        }
    }

    #[tokio::test]
    async fn each_lookup_asks_the_server() {
        let server = DnsServer::start().await;
        server.on("cms.test", DnsAnswer::addresses(3600, &["192.0.2.1"]));
        let resolver = Resolver::new(&NameSettings { servers: vec![server.address()], ..NameSettings::default() });
        assert_eq!(resolver.ask("cms.test").await, answer(3600, &["192.0.2.1"]));
        server.on("cms.test", DnsAnswer::addresses(3600, &["192.0.2.2"]));
        assert_eq!(resolver.ask("cms.test").await, answer(3600, &["192.0.2.2"]));
    }
}
