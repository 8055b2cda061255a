//! How one request is sent, beside what is in it: its limits of time, what a server is picked by, and for whom it is.

use std::net::{IpAddr, SocketAddr};

use copal_origin::{Origin, Timeouts};
use copal_policy::{Balance, Cookies, HashBy, OriginConfig, Rule};
use http::{HeaderMap, header};

use crate::asked::Asked;
use crate::exchange::{Exchange, OnBehalf};
use crate::proxy::Runtime;

/// What goes with a request to the rule's origin.
#[derive(Clone, Copy, Default)]
pub(crate) struct Terms {
    /// What a server is picked by, where the origin goes by that.
    pub(crate) hash: Option<u64>,
    /// The client's address and the one that it connected to, where the origin is told.
    pub(crate) client: Option<(SocketAddr, SocketAddr)>,
}

impl Terms {
    /// Of a request that is let through for one client.
    pub(crate) fn of_pass(runtime: &Runtime, rule: &Rule, exchange: &Exchange) -> Self {
        let Some(origin) = runtime.config.origins.get(rule.origin) else { return Self::default() };
        let hash = hash_by(origin).and_then(|by| match by {
            HashBy::Key => Some(stable(exchange.target.url().as_bytes())),
            HashBy::Client => Some(of_address(exchange.asker())),
            HashBy::Cookie(name) => of_cookie(&exchange.headers, name),
        });
        let client = if origin.proxy_protocol.is_some() { ends(exchange) } else { None };
        Self { hash, client }
    }

    /// Of a request whose response others may get: of the visitor's cookies only those in the key count, and nobody is told
    /// whose it is.
    pub(crate) fn of_fill(asked: &Asked) -> Self {
        let origin = asked.runtime.config.origins.get(asked.rule.origin);
        let hash = origin.and_then(hash_by).and_then(|by| match by {
            HashBy::Key => Some(stable(asked.key.url().as_bytes())),
            HashBy::Client => Some(of_address(asked.exchange.asker())),
            HashBy::Cookie(name) => {
                let cookie = asked.plan.cookie.iter().map(|cookie| (header::COOKIE, cookie.clone()));
                of_cookie(&cookie.collect(), name)
            }
        });
        Self { hash, client: None }
    }
}

fn hash_by(origin: &OriginConfig) -> Option<&HashBy> {
    match &origin.balance {
        Balance::Hash { by, .. } => Some(by),
        _ => None,
    }
}

/// The ends of the client's connection; the client is whom a trusted proxy speaks for, whose port nobody says.
fn ends(exchange: &Exchange) -> Option<(SocketAddr, SocketAddr)> {
    let ends = exchange.ends?;
    let client = match exchange.on_behalf() {
        OnBehalf::Of(client) => SocketAddr::new(client, 0),
        OnBehalf::Itself | OnBehalf::Somebody => SocketAddr::new(exchange.peer, ends.port),
    };
    let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (client, local) = (plain(client), plain(ends.local));
    if client.is_ipv4() == local.is_ipv4() {
        return Some((client, local));
    }
    // The protocol has both in one family.
    let wide = |address: SocketAddr| match address.ip() {
        IpAddr::V4(v4) => SocketAddr::new(v4.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    Some((wide(client), wide(local)))
}

fn of_cookie(headers: &HeaderMap, name: &str) -> Option<u64> {
    Cookies::parse(headers).get(name).map(|cookie| stable(cookie.value))
}

fn of_address(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(v4) => stable(&v4.octets()),
        IpAddr::V6(v6) => stable(&v6.octets()),
    }
}

/// The same in every process, so that nodes agree on the server: FNV-1a, and the finalizer of SplitMix64 for its high bits.
fn stable(bytes: &[u8]) -> u64 {
    let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let mut mixed = bytes.iter().fold(0xcbf2_9ce4_8422_2325, fnv);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// The limits of time under a rule; none where it has none of its own and the origin's hold.
pub(crate) fn timeouts(rule: &Rule, origin: &Origin) -> Option<Timeouts> {
    let own = rule.timeouts.as_deref()?;
    let origins = origin.timeouts();
    Some(Timeouts {
        connect: own.connect.unwrap_or(origins.connect),
        tls: own.tls.unwrap_or(origins.tls),
        first_byte: own.first_byte.unwrap_or(origins.first_byte),
        between_bytes: own.between_bytes.unwrap_or(origins.between_bytes),
        total: own.total.or(origins.total),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::exchange;

    fn runtime(origin: &str, rules: &str) -> (Runtime, std::sync::Arc<Rule>) {
        let yaml =
            format!("origins: {{site: {{servers: ['http://127.0.0.1:9', 'http://127.0.0.1:10'], {origin}}}}}\n{rules}");
        let loaded = copal_policy::load_str("x", &yaml, None).unwrap_or_else(|errors| panic!("{errors}"));
        let rule = std::sync::Arc::clone(&loaded.config.policy.rules()[0]);
        (Runtime::for_tests(loaded.config), rule)
    }

    const PASS: &str = "rules: [{name: all, pass: true}]";

    #[test]
    fn hashes_are_the_same_in_every_process() {
        assert_eq!(stable(b""), 0xf52a_15e9_a9b5_e89b);
        assert_eq!(of_address("::ffff:192.0.2.1".parse().unwrap()), of_address("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn a_server_is_picked_by_what_the_origin_says_and_by_nothing_else() {
        let hash = |origin: &str, exchange: &Exchange| {
            let (runtime, rule) = runtime(origin, PASS);
            Terms::of_pass(&runtime, &rule, exchange).hash
        };
        let (mut one, mut two) = (exchange("http://a.example/p?q"), exchange("http://a.example/other"));
        two.peer = "192.0.2.9".parse().unwrap();
        one.headers.insert(header::COOKIE, "basket=7; x=1".parse().unwrap());
        two.headers.insert(header::COOKIE, "x=2; basket=7".parse().unwrap());
        for balance in ["", "balance: least_requests"] {
            assert_eq!(hash(balance, &one), None);
        }
        let by_key = hash("balance: hash", &one);
        assert_eq!(by_key, Some(stable(b"http://a.example/p?q")));
        assert_ne!(by_key, hash("balance: hash", &two));
        let client = "balance: hash, hash: {by: client}";
        assert_ne!(hash(client, &one), hash(client, &two));
        two.peer = one.peer;
        assert_eq!(hash(client, &one), hash(client, &two));
        let cookie = "balance: hash, hash: {by: cookie, cookie: basket}";
        assert_eq!(hash(cookie, &one), Some(stable(b"7")));
        assert_eq!(hash(cookie, &one), hash(cookie, &two));
        assert_eq!(hash(cookie, &exchange("http://a.example/")), None);
    }

    #[test]
    fn an_origin_is_told_whom_a_request_is_for_where_it_wants_to_know() {
        let mut asked = exchange("http://a.example/p");
        asked.peer = "192.0.2.1".parse().unwrap();
        asked.on_behalf = Some(OnBehalf::Itself);
        let told = |origin: &str, asked: &Exchange| {
            let (runtime, rule) = runtime(origin, PASS);
            let client = Terms::of_pass(&runtime, &rule, asked).client;
            client.map(|(client, local)| (client.to_string(), local.to_string()))
        };
        let texts = |client: &str, local: &str| Some((client.to_owned(), local.to_owned()));
        assert_eq!(told("proxy_protocol: v2", &asked), None, "not a client's own");
        asked.ends = Some(crate::exchange::Ends { port: 4000, local: "192.0.2.7:80".parse().unwrap() });
        assert_eq!(told("", &asked), None);
        assert_eq!(told("proxy_protocol: v2", &asked), texts("192.0.2.1:4000", "192.0.2.7:80"));
        asked.on_behalf = Some(OnBehalf::Of("198.51.100.3".parse().unwrap()));
        assert_eq!(told("proxy_protocol: v1", &asked), texts("198.51.100.3:0", "192.0.2.7:80"));
        asked.on_behalf = Some(OnBehalf::Of("2001:db8::1".parse().unwrap()));
        assert_eq!(told("proxy_protocol: v1", &asked), texts("[2001:db8::1]:0", "[::ffff:192.0.2.7]:80"));
    }
}
