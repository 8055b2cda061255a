//! From an origin's part of the configuration to what it is built with.

use copal_origin::{
    Balance, Ejection, HealthCheck, NameSettings, OriginSettings, Protocol, ProxyProtocol, Queue, Retry, ServerAddress,
    ServerSettings, Timeouts, TlsPart, TlsSettings, Verdict,
};
use copal_policy::{
    Config, EjectConfig, HealthConfig, OriginConfig, OriginProtocol, RetryConfig, ServerConfig, ServerUrl,
    TimeoutConfig, TlsConfig, TlsFault,
};

/// The servers of one origin of a configuration, and how they are spoken to.
#[must_use]
pub fn origin(config: &OriginConfig, whole: &Config) -> OriginSettings {
    let names = &whole.names;
    OriginSettings {
        name: config.name.to_string(),
        fallback: config.fallback.and_then(|place| whole.origins.get(place)).map(|origin| origin.name.to_string()),
        servers: config.servers.iter().map(server).collect(),
        balance: balance(&config.balance),
        sticky: config.sticky.clone(),
        health: config.health.as_ref().map(health),
        ejection: config.eject.as_ref().map(ejection),
        slow_start: config.slow_start,
        queue: Queue { size: config.queue.size, timeout: config.queue.timeout },
        timeouts: timeouts(&config.timeouts),
        idle_timeout: config.idle_timeout,
        max_header_bytes: bytes(config.header_bytes),
        retry: retry(&config.retries),
        protocol: match config.protocol {
            OriginProtocol::Http1 => Protocol::Http1,
            OriginProtocol::Http2 => Protocol::Http2,
            OriginProtocol::Auto => Protocol::Auto,
        },
        tls: tls(&config.tls),
        proxy_protocol: config.proxy_protocol.map(|version| match version {
            copal_policy::ProxyProtocol::V1 => ProxyProtocol::V1,
            copal_policy::ProxyProtocol::V2 => ProxyProtocol::V2,
        }),
        names: NameSettings { servers: names.servers.clone(), min_ttl: names.min_ttl, max_ttl: names.max_ttl },
        ..OriginSettings::default()
    }
}

fn server(config: &ServerConfig) -> ServerSettings {
    ServerSettings {
        address: match &config.url {
            ServerUrl::Http(authority) => ServerAddress::Http(authority.clone()),
            ServerUrl::Https(authority) => ServerAddress::Https(authority.clone()),
            ServerUrl::Unix(path) => ServerAddress::Unix(path.clone()),
        },
        weight: config.weight,
        backup: config.backup,
        max_connections: config.max_connections,
    }
}

/// What is hashed is the proxy's to find out.
fn balance(config: &copal_policy::Balance) -> Balance {
    match config {
        copal_policy::Balance::RoundRobin => Balance::RoundRobin,
        copal_policy::Balance::LeastRequests => Balance::LeastRequests,
        copal_policy::Balance::Hash { by: _, bound } => Balance::Hash { bound: *bound },
        copal_policy::Balance::First => Balance::First,
    }
}

fn health(config: &HealthConfig) -> HealthCheck {
    HealthCheck {
        path: config.path.clone(),
        host: config.host.clone(),
        statuses: config.statuses.clone(),
        body: config.body.clone(),
        interval: config.interval,
        timeout: config.timeout,
        verdict: match config.verdict {
            copal_policy::Verdict::InARow { rise, fall } => Verdict::InARow { rise, fall },
            copal_policy::Verdict::Window { window, threshold } => Verdict::Window { window, threshold },
        },
    }
}

fn ejection(config: &EjectConfig) -> Ejection {
    Ejection {
        failures: config.failures,
        rate: config.rate,
        window: config.window,
        base: config.base,
        longest: config.longest,
        statuses: config.statuses.clone(),
    }
}

fn timeouts(config: &TimeoutConfig) -> Timeouts {
    Timeouts {
        connect: config.connect,
        tls: config.tls,
        first_byte: config.first_byte,
        between_bytes: config.between_bytes,
        total: config.total,
    }
}

fn retry(config: &RetryConfig) -> Retry {
    Retry {
        tries: config.tries,
        budget: config.budget,
        statuses: config.statuses.clone(),
        hold: bytes(config.hold),
        replay: bytes(config.replay),
    }
}

fn tls(config: &TlsConfig) -> TlsSettings {
    TlsSettings {
        server_name: config.server_name.clone(),
        ca: config.ca.clone(),
        identity: config.identity.clone(),
        verify: config.verify,
    }
}

/// What of `tls` cannot be used: a key that belongs to another certificate looks right by itself.
#[must_use]
pub fn tls_faults(config: &TlsConfig) -> Vec<TlsFault> {
    let told = |fault: &copal_origin::TlsFault| {
        let (key, hint) = match fault.part() {
            TlsPart::ServerName => ("server_name", "a host without scheme and port"),
            TlsPart::Ca => ("ca", "`openssl x509 -in FILE -noout -text` reads a certificate"),
            TlsPart::Certificate => {
                ("certificate", "the client's own certificate first, then those that lead to its authority")
            }
            TlsPart::Key => (
                "key",
                "of a pair, `openssl x509 -in CERTIFICATE -noout -pubkey` and `openssl pkey -in KEY -pubout` print the same",
            ),
        };
        TlsFault { key, message: fault.to_string(), hint: hint.to_owned() }
    };
    tls(config).check().iter().map(told).collect()
}

fn bytes(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::*;

    fn settings(yaml: &str) -> OriginSettings {
        let loaded = copal_policy::load_str("copal.yaml", yaml, None).unwrap_or_else(|errors| panic!("{errors}"));
        origin(&loaded.config.origins[0], &loaded.config)
    }

    const EVERY_KEY: &str = "
names: { servers: [10.0.0.2], min_ttl: 2s, max_ttl: 9s }
origins:
  cms:
    servers:
      - { url: \"http://10.0.0.5:9000\", weight: 3, max_connections: 7 }
      - { url: \"unix:/run/site.sock\", backup: true }
      - \"https://web3.internal\"
    balance: hash
    hash: { by: client, bound: 150% }
    sticky: [a, b]
    health: { path: /h, host: h.example, status: [200, 3xx], body: ok, interval: 3s, timeout: 1s, rise: 4, fall: 5 }
    eject: { failures: 6, rate: 40%, window: 7s, base: 8s, longest: 9m, status: [500] }
    slow_start: 10s
    queue: { size: 11, timeout: 12s }
    retries: { tries: 3, budget: 13%, status: [503], hold: 14KiB, replay: 15KiB }
    connect_timeout: 16s
    tls_timeout: 17s
    first_byte_timeout: 18s
    between_bytes_timeout: 19s
    total_timeout: 20s
    idle_timeout: 21s
    protocol: auto
    tls: { server_name: cms.internal, verify: false }
    proxy_protocol: v2
    header_bytes: 22KiB
    fallback: still
  still: \"http://10.0.0.9\"
";

    #[test]
    fn every_key_arrives() {
        let server = |address: &str, weight, backup, max_connections| ServerSettings {
            address: address.parse().unwrap(),
            weight,
            backup,
            max_connections,
        };
        let seconds = Duration::from_secs;
        let expected = OriginSettings {
            name: "cms".to_owned(),
            fallback: Some("still".to_owned()),
            servers: vec![
                server("http://10.0.0.5:9000", 3, false, 7),
                server("unix:/run/site.sock", 1, true, 0),
                server("https://web3.internal", 1, false, 0),
            ],
            balance: Balance::Hash { bound: 150 },
            sticky: vec!["a".to_owned(), "b".to_owned()],
            health: Some(HealthCheck {
                path: Some("/h".to_owned()),
                host: Some("h.example".to_owned()),
                statuses: vec![(200, 200), (300, 399)],
                body: Some("ok".to_owned()),
                interval: seconds(3),
                timeout: seconds(1),
                verdict: Verdict::InARow { rise: 4, fall: 5 },
            }),
            ejection: Some(Ejection {
                failures: 6,
                rate: 40,
                window: seconds(7),
                base: seconds(8),
                longest: seconds(9 * 60),
                statuses: vec![StatusCode::INTERNAL_SERVER_ERROR],
            }),
            slow_start: seconds(10),
            queue: Queue { size: 11, timeout: seconds(12) },
            timeouts: Timeouts {
                connect: seconds(16),
                tls: seconds(17),
                first_byte: seconds(18),
                between_bytes: seconds(19),
                total: Some(seconds(20)),
            },
            idle_timeout: seconds(21),
            max_header_bytes: 22 << 10,
            retry: Retry {
                tries: 3,
                budget: 13,
                statuses: vec![StatusCode::SERVICE_UNAVAILABLE],
                hold: 14 << 10,
                replay: 15 << 10,
            },
            protocol: Protocol::Auto,
            tls: TlsSettings { server_name: Some("cms.internal".to_owned()), verify: false, ..TlsSettings::default() },
            proxy_protocol: Some(ProxyProtocol::V2),
            names: NameSettings {
                servers: vec!["10.0.0.2:53".parse().unwrap()],
                min_ttl: seconds(2),
                max_ttl: seconds(9),
            },
            ..OriginSettings::default()
        };
        assert_eq!(settings(EVERY_KEY), expected);
    }

    #[test]
    fn what_of_tls_cannot_be_used_is_told_by_its_key() {
        let authority = copal_testkit::Authority::new();
        let (one, other) = (authority.issue(&["one"]), authority.issue(&["other"]));
        let faults = |chain: &str, key: &str, ca: &str| {
            let pem = |text: &str| text.as_bytes().into();
            let identity = Some((pem(chain), pem(key)));
            tls_faults(&TlsConfig { ca: Some(pem(ca)), identity, ..TlsConfig::default() })
        };
        assert!(faults(&one.chain, &one.key, authority.pem()).is_empty());
        let found = faults(&one.chain, &other.key, &one.key);
        assert_eq!(found.iter().map(|fault| fault.key).collect::<Vec<_>>(), ["ca", "key"]);
        assert!(found[1].message.contains("belongs to another certificate") && found[1].hint.contains("-pubkey"));
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(faults(broken, &one.key, authority.pem())[0].key, "certificate");
    }

    #[test]
    fn two_servers_are_safe_without_another_word() {
        let settings = settings("origins: { cms: [\"http://a\", \"http://b\"] }");
        let eject = settings.ejection.unwrap();
        assert_eq!((eject.failures, eject.rate, eject.statuses), (5, 50, vec![StatusCode::BAD_GATEWAY]));
        let retry = settings.retry;
        assert_eq!((retry.tries, retry.budget, retry.hold, retry.replay), (1, 20, 64 << 10, 64 << 10));
        assert_eq!(retry.statuses.iter().map(|status| status.as_u16()).collect::<Vec<_>>(), [502, 503, 504]);
        assert!(settings.tls.verify && settings.health.is_none() && settings.timeouts.total.is_none());
    }
}
