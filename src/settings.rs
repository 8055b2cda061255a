//! From the configuration to what each part is built with.

mod origin;

use std::io;
use std::path::Path;
use std::sync::Arc;

use copal_origin::{Origin, OriginError};
use copal_policy::{Config, Diagnostics, Loaded, OriginConfig};
use copal_store::StoreSettings;

pub use self::origin::{origin, tls_faults};
use crate::telemetry::{AccessLog, Format, Sink};

/// Reads a configuration file, and looks into the certificates that it names.
///
/// # Errors
/// Every error, each in its place, and the warnings with them.
pub fn load(path: &Path) -> Result<Loaded, Diagnostics> {
    copal_policy::load_with(path, &tls_faults)
}

/// The store's limits.
#[must_use]
pub fn store(config: &Config) -> StoreSettings {
    let cache = &config.cache;
    StoreSettings {
        memory: cache.memory,
        max_body: cache.max_body,
        max_variants: cache.max_variants,
        ..StoreSettings::default()
    }
}

/// The origins of a configuration. What `before` has already, with its connections and what is known of its servers, is
/// kept where nothing about it changed; where something did, what is known goes on to the new one of the same name.
///
/// # Errors
/// An origin that cannot be built.
pub fn origins(config: &Config, before: Option<(&Config, &[Arc<Origin>])>) -> Result<Vec<Arc<Origin>>, BrokenOrigin> {
    let build = |wanted: &OriginConfig| {
        let settings = origin(wanted, config);
        let earlier = before.and_then(|(config, origins)| {
            let place = config.origins.iter().position(|origin| origin.name == wanted.name)?;
            Some((origin(&config.origins[place], config), origins.get(place)?))
        });
        match earlier {
            Some((same, origin)) if same == settings => Ok(Arc::clone(origin)),
            Some((_, origin)) => Origin::replacing(origin, settings),
            None => Origin::new(settings),
        }
    };
    let named =
        |wanted: &OriginConfig| build(wanted).map_err(|error| BrokenOrigin { origin: Arc::clone(&wanted.name), error });
    config.origins.iter().map(named).collect()
}

/// An origin that cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up origin `{origin}`: {error}")]
pub struct BrokenOrigin {
    origin: Arc<str>,
    #[source]
    error: OriginError,
}

/// The access log, open.
///
/// # Errors
/// The file cannot be opened; says which.
pub fn access_log(config: &Config) -> io::Result<AccessLog> {
    let format = match config.log.access {
        copal_policy::AccessLog::Off => Format::Off,
        copal_policy::AccessLog::Combined => Format::Combined,
        copal_policy::AccessLog::Json => Format::Json,
    };
    let path = config.log.path.as_deref().filter(|_| format != Format::Off);
    let sink = Sink::open(path).map_err(|error| {
        let path = path.unwrap_or_else(|| "standard output".as_ref()).display();
        io::Error::new(error.kind(), format!("cannot open the access log {path}: {error}"))
    })?;
    Ok(AccessLog { format, sink })
}

/// What of `new` has no effect until the process is started again, in the file's own words.
#[must_use]
pub fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let (a, b) = (&old.limits, &new.limits);
    let limits = a.header_bytes == b.header_bytes
        && a.headers == b.headers
        && a.header_timeout == b.header_timeout
        && a.keep_alive_timeout == b.keep_alive_timeout
        && a.connections == b.connections;
    let htcp = |config: &Config| config.purge.htcp.as_ref().map(|htcp| htcp.address);
    [
        ("listen", old.listen == new.listen),
        ("admin", old.admin == new.admin),
        ("cache.memory", old.cache.memory == new.cache.memory),
        ("cache.max_body", old.cache.max_body == new.cache.max_body),
        ("cache.max_variants", old.cache.max_variants == new.cache.max_variants),
        ("limits", limits),
        ("drain", old.drain == new.drain),
        ("purge.htcp", htcp(old) == htcp(new)),
    ]
    .into_iter()
    .filter_map(|(name, same)| (!same).then_some(name))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(yaml: &str) -> Config {
        copal_policy::load_str("copal.yaml", yaml, None).unwrap_or_else(|errors| panic!("{errors}")).config
    }

    const TWO: &str = "origins: { a: \"http://127.0.0.1:1\", b: \"http://127.0.0.1:2\" }\n";

    #[test]
    fn the_store_is_built_as_the_file_says() {
        let config = config(&format!("{TWO}cache: {{ memory: 32MiB, max_body: 1MiB, max_variants: 9 }}\n"));
        let store = store(&config);
        assert_eq!((store.memory, store.max_body, store.max_variants), (32 << 20, 1 << 20, 9));
    }

    #[test]
    fn origins_that_did_not_change_keep_their_connections() {
        let before = config(TWO);
        let first = origins(&before, None).unwrap();
        let after =
            config("origins: { b: \"http://127.0.0.1:2\", a: { servers: [\"http://127.0.0.1:1\"], retries: 5 } }\n");
        let second = origins(&after, Some((&before, &first))).unwrap();
        assert!(Arc::ptr_eq(&second[0], &first[1]), "b is as it was, in another place");
        assert!(!Arc::ptr_eq(&second[1], &first[0]), "a has other settings");
        assert_eq!((second[0].name(), second[1].name()), ("b", "a"));
    }

    #[test]
    fn an_origin_that_cannot_be_built_is_named() {
        let mut broken = config("origins: { good: \"http://a\", bad: \"https://b\" }\n");
        broken.origins[1].tls.ca = Some(b"no certificate".as_slice().into());
        let error = origins(&broken, None).unwrap_err().to_string();
        assert!(error.starts_with("cannot set up origin `bad`: ") && error.contains("`tls.ca`: "), "{error}");
    }

    #[test]
    fn what_waits_for_a_restart_is_named() {
        let old = config(TWO);
        assert!(needs_restart(&old, &config(TWO)).is_empty());
        for (yaml, expected) in [
            ("listen: \"127.0.0.1:9999\"", "listen"),
            ("admin: \"127.0.0.1:9998\"", "admin"),
            ("cache: { memory: 1GiB }", "cache.memory"),
            ("cache: { max_body: 1MiB }", "cache.max_body"),
            ("cache: { max_variants: 3 }", "cache.max_variants"),
            ("limits: { header_timeout: 99s }", "limits"),
            ("limits: { connections: 9 }", "limits"),
            ("drain: 99s", "drain"),
            ("purge: { htcp: \"127.0.0.1:9997\" }", "purge.htcp"),
        ] {
            assert_eq!(needs_restart(&old, &config(&format!("{TWO}{yaml}\n"))), [expected], "{yaml}");
        }
        let rules = config(&format!("{TWO}rules: [{{ name: x, pass: true }}]\n"));
        assert!(needs_restart(&old, &rules).is_empty(), "rules change at once");
    }

    #[test]
    fn a_log_that_cannot_be_opened_says_which() {
        let config = config(&format!("{TWO}log: {{ access: json, path: /nonexistent/access.log }}\n"));
        let error = access_log(&config).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/access.log"), "{error}");
    }
}
