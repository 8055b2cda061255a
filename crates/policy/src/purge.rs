//! `purge`: who may purge, by what sign, and in which dialects. Configuration and policies each say a part of it.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, StatusCode};
use subtle::ConstantTimeEq as _;

use crate::diagnostic::At;
use crate::reader::{Reader, Section, Wrong};
use crate::settings::{self, plain};
use crate::table::{PURGE_DIALECTS, REQUIRE};
use crate::yaml::Value;
use crate::{Networks, keys, values};

/// Who may purge, and how they say it.
#[derive(Clone, Debug, Default)]
pub struct PurgeConfig {
    /// Client addresses that may purge.
    pub allow: Networks,
    /// What a purge carries to show that it may.
    pub secret: Option<PurgeSecret>,
    /// Whether both are needed where both are given.
    pub require: Require,
    /// How a purge may be asked for.
    pub dialects: PurgeDialects,
    /// The status for whoever may not; none: what the dialect expects.
    pub denied_status: Option<StatusCode>,
    /// A purge of a URL takes it with every query.
    pub all_queries: bool,
    /// A purge of a URL takes it on every host.
    pub any_host: bool,
    /// Every purge is done once more after this time.
    pub repurge_after: Option<Duration>,
    /// Where HTCP is taken.
    pub htcp: Option<HtcpConfig>,
}

/// A listener for HTCP (RFC 2756).
#[derive(Clone, Debug)]
pub struct HtcpConfig {
    /// Where it listens.
    pub address: SocketAddr,
    /// From whom it takes purges.
    pub allow: Networks,
}

/// Whether address and secret are both needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Require {
    /// All that is given must hold.
    #[default]
    All,
    /// One is enough.
    Any,
}

/// A secret and the field that carries it.
#[derive(Clone, Debug)]
pub struct PurgeSecret {
    /// The field.
    pub header: HeaderName,
    /// The secret.
    pub secret: Secret,
}

/// A text that is compared and never shown.
#[derive(Clone)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    /// Whether this is the secret, in a time that does not tell how much of it is right; its length may show.
    #[must_use]
    pub fn is(&self, given: &[u8]) -> bool {
        bool::from(self.0.ct_eq(given))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl PurgeSecret {
    /// Whether a request carries the secret, once.
    #[must_use]
    pub fn is_in(&self, headers: &HeaderMap) -> bool {
        let mut lines = headers.get_all(&self.header).iter();
        let (Some(line), None) = (lines.next(), lines.next()) else { return false };
        self.secret.is(line.as_bytes())
    }
}

macro_rules! dialects {
    ($($(#[$doc:meta])+ $name:ident = $word:literal;)+) => {
        /// A way of asking for a purge, named after those who ask so.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum PurgeDialect { $($(#[$doc])+ $name,)+ }

        impl PurgeDialect {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The word in the configuration, in the audit log and in the metric label.
            #[must_use]
            pub const fn as_str(self) -> &'static str { match self { $(Self::$name => $word,)+ } }
        }
    };
}

dialects! {
    /// `PURGE` of a URL.
    Url = "url";
    /// `PURGE` of an absolute URL on a kept connection.
    MediaWiki = "mediawiki";
    /// The same, with 404 for what is not stored.
    Squid = "squid";
    /// Virtual hosting in the path, `@@purgebyid`, `BAN` of a URL.
    Plone = "plone";
    /// `X-Purge-Method`, `X-Cache-Tags-Pattern`, `/.*`.
    WordPress = "wordpress";
    /// `X-Magento-Tags-Pattern`, `X-Pool`.
    Magento = "magento";
    /// FOSHttpCache, which Symfony, Sulu, Neos and Ibexa use.
    Fos = "fos";
    /// The Varnish purgers of Drupal's Purge module.
    Drupal = "drupal";
    /// Acquia's purger for Drupal.
    Acquia = "acquia";
    /// amazee.io Lagoon.
    Lagoon = "lagoon";
    /// opsone/varnish and mittwald/varnishcache.
    Typo3 = "typo3";
    /// Shopware 6.
    Shopware = "shopware";
    /// What the xkey module of Varnish is usually spoken to with.
    Xkey = "xkey";
    /// Souin's API.
    Souin = "souin";
    /// Fastly's API.
    Fastly = "fastly";
    /// rtCamp's nginx-helper for WordPress.
    NginxHelper = "nginx-helper";
    /// The purge modules of nginx.
    Nginx = "nginx";
}

/// A set of dialects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PurgeDialects(u32);

impl PurgeDialects {
    /// Whether the dialect is in the set.
    #[must_use]
    pub fn has(self, dialect: PurgeDialect) -> bool {
        self.0 & (1 << dialect as u32) != 0
    }

    /// Whether one of these is in the set.
    #[must_use]
    pub fn has_any(self, dialects: &[PurgeDialect]) -> bool {
        dialects.iter().any(|dialect| self.has(*dialect))
    }

    /// All that are in one of the two.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<PurgeDialect> for PurgeDialects {
    fn from_iter<I: IntoIterator<Item = PurgeDialect>>(dialects: I) -> Self {
        Self(dialects.into_iter().fold(0, |set, dialect| set | 1 << dialect as u32))
    }
}

/// What one file says.
#[derive(Default)]
pub(crate) struct Written {
    allow: Networks,
    secret: Option<PurgeSecret>,
    require: Option<Require>,
    dialects: PurgeDialects,
    denied_status: Option<StatusCode>,
    all_queries: bool,
    any_host: bool,
    repurge_after: Option<Duration>,
    htcp: Option<(SocketAddr, Networks)>,
}

/// Reads `purge` of a file. `base` is the folder of the configuration; none in a policy.
pub(crate) fn read(reader: &mut Reader, file: &Section<'_>, base: Option<&Path>) -> Written {
    let section = reader.part(file, "purge");
    if base.is_none() {
        for name in ["secret", "htcp"] {
            if let Some(entry) = section.entry(name) {
                let message = format!("`purge.{name}` is not allowed in a policy");
                reader.error(entry.key_at, message, "it belongs to the configuration file");
            }
        }
    }
    let given = |name: &str| section.entry(name).is_some();
    let require = values::word(REQUIRE, &[Require::All, Require::Any]);
    let dialect = values::word(PURGE_DIALECTS, PurgeDialect::ALL);
    Written {
        allow: settings::networks(reader, &section, "allow"),
        secret: base.and_then(|base| secret(reader, &section, base)),
        require: given("require").then(|| reader.value(&section, "require", require)).flatten(),
        dialects: plain(reader.list(&section, "dialects", dialect)).into_iter().collect(),
        denied_status: reader.value(&section, "denied_status", denied_status),
        all_queries: reader.value(&section, "all_queries", values::boolean).unwrap_or_default(),
        any_host: reader.value(&section, "any_host", values::boolean).unwrap_or_default(),
        repurge_after: reader.value(&section, "repurge_after", repurge_after),
        htcp: htcp(reader, &section),
    }
}

/// What all files say together, the configuration first.
pub(crate) fn together(parts: impl Iterator<Item = Written>) -> PurgeConfig {
    let mut all = Written::default();
    for part in parts {
        all.allow.extend(&part.allow);
        all.dialects = all.dialects.and(part.dialects);
        all.all_queries |= part.all_queries;
        all.any_host |= part.any_host;
        all.secret = all.secret.or(part.secret);
        all.require = all.require.or(part.require);
        all.denied_status = all.denied_status.or(part.denied_status);
        all.repurge_after = all.repurge_after.or(part.repurge_after);
        all.htcp = all.htcp.or(part.htcp);
    }
    let htcp = all.htcp.map(|(address, allow)| HtcpConfig {
        address,
        allow: if allow.is_empty() { all.allow.clone() } else { allow },
    });
    let by_default = || PurgeDialects::from_iter([PurgeDialect::Url]);
    PurgeConfig {
        dialects: if all.dialects.is_empty() { by_default() } else { all.dialects },
        secret: all.secret,
        require: all.require.unwrap_or_default(),
        denied_status: all.denied_status,
        all_queries: all.all_queries,
        any_host: all.any_host,
        repurge_after: all.repurge_after,
        htcp,
        allow: all.allow,
    }
}

/// A shorter secret is tried out in no time.
const SHORT: usize = 16;

fn secret(reader: &mut Reader, purge: &Section<'_>, base: &Path) -> Option<PurgeSecret> {
    let section = reader.subsection(purge, "secret")?;
    let header = reader.value(&section, "header", values::header_name)?;
    let sources: Vec<&str> =
        ["value", "env", "file"].into_iter().filter(|name| section.entry(name).is_some()).collect();
    let [source] = sources.as_slice() else {
        let message = if sources.is_empty() { "`secret` says no secret" } else { "`secret` says more than one secret" };
        reader.error(section.at, message, "give one of `value`, `env` and `file`");
        return None;
    };
    let at = section.at_of(source);
    let text = reader.value(&section, source, values::text)?;
    let found = match *source {
        "value" => Ok(text),
        "env" => std::env::var(&text).map_err(|_| format!("the environment variable `{text}` is not set")),
        _ => {
            let path = base.join(&text);
            std::fs::read_to_string(&path)
                .map_err(|error| format!("the file `{}` cannot be read: {error}", path.display()))
        }
    };
    match found.as_deref().map(str::trim) {
        Ok("") => wrong_secret(reader, at, "the secret is empty"),
        Ok(secret) if secret.bytes().any(|byte| byte.is_ascii_control()) => {
            wrong_secret(reader, at, "the secret has a control character in it, which no field can carry")
        }
        Ok(secret) => {
            if secret.len() < SHORT {
                reader.warning(at, "the secret is short", "make it at least 16 characters, chosen at random");
            }
            Some(PurgeSecret { header, secret: Secret(secret.as_bytes().into()) })
        }
        Err(reason) => wrong_secret(reader, at, reason),
    }
}

fn wrong_secret(reader: &mut Reader, at: At, message: &str) -> Option<PurgeSecret> {
    reader.error(at, message, "at least 16 characters, chosen at random: `openssl rand -hex 16`");
    None
}

fn denied_status(text: &str) -> Result<StatusCode, Wrong> {
    match values::status(text)? {
        status if status.is_client_error() => Ok(status),
        _ => Err(Wrong::because("is not between 400 and 499").hint("`403`, `404` or `405`")),
    }
}

fn repurge_after(text: &str) -> Result<Duration, Wrong> {
    match values::timeout(text)? {
        after if after <= Duration::from_secs(3_600) => Ok(after),
        _ => Err(Wrong::because("is more than 1h")),
    }
}

/// The short form or `{ address: …, allow: … }`.
fn htcp(reader: &mut Reader, purge: &Section<'_>) -> Option<(SocketAddr, Networks)> {
    let entry = purge.entry("htcp")?;
    let read = values::admin_address;
    let (address, allow) = if let Value::Scalar(_) = entry.node.value {
        (reader.scalar(keys::find("purge.htcp")?, &entry.node, &read)?, Networks::default())
    } else {
        let section = reader.subsection(purge, "htcp")?;
        let allow = settings::networks(reader, &section, "allow");
        (reader.value(&section, "address", read)?, allow)
    };
    Some((address, allow))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load_str;

    fn config(purge: &str) -> PurgeConfig {
        let text = format!("origins: {{ a: \"http://127.0.0.1:1\" }}\npurge: {{ {purge} }}\n");
        load_str("copal.yaml", &text, None).unwrap_or_else(|errors| panic!("{errors}")).config.purge
    }

    fn wrong(purge: &str) -> String {
        let text = format!("origins: {{ a: \"http://127.0.0.1:1\" }}\npurge: {{ {purge} }}\n");
        load_str("copal.yaml", &text, None).map(|_| String::new()).unwrap_or_else(|errors| errors.to_string())
    }

    #[test]
    fn words_of_the_table_are_the_dialects() {
        let words: Vec<&str> = PurgeDialect::ALL.iter().map(|dialect| dialect.as_str()).collect();
        assert_eq!(words, PURGE_DIALECTS);
    }

    #[test]
    fn dialects_are_a_url_unless_something_is_said() {
        assert!(config("").dialects == PurgeDialects::from_iter([PurgeDialect::Url]));
        let some = config("dialects: [magento, fos]").dialects;
        assert!(some.has(PurgeDialect::Magento) && some.has(PurgeDialect::Fos) && !some.has(PurgeDialect::Url));
        assert!(wrong("dialects: [wordpres]").contains("did you mean `wordpress`"));
    }

    #[test]
    fn a_secret_is_compared_and_never_shown() {
        let config = config("secret: { value: \"0123456789abcdef\" }");
        let secret = config.secret.clone().unwrap();
        assert_eq!(secret.header, "x-purge-secret");
        for (given, right) in
            [("0123456789abcdef", true), ("0123456789abcdeg", false), ("0123456789abcde", false), ("", false)]
        {
            assert_eq!(secret.secret.is(given.as_bytes()), right, "{given}");
        }
        let mut headers = HeaderMap::new();
        assert!(!secret.is_in(&headers));
        headers.append("x-purge-secret", "0123456789abcdef".parse().unwrap());
        assert!(secret.is_in(&headers));
        headers.append("x-purge-secret", "0123456789abcdef".parse().unwrap());
        assert!(!secret.is_in(&headers), "twice is not once");
        assert!(!format!("{config:?}").contains("0123456789"), "{config:?}");
    }

    #[test]
    fn what_is_wrong_with_a_secret_is_said() {
        for (purge, part) in [
            ("secret: { header: x }", "says no secret"),
            ("secret: { value: a, env: b }", "more than one"),
            ("secret: { env: COPAL_TEST_NO_SUCH_VARIABLE }", "is not set"),
            ("secret: { file: /nonexistent/secret }", "cannot be read"),
            ("secret: { value: \"  \" }", "empty"),
            ("denied_status: 200", "between 400 and 499"),
            ("repurge_after: 2h", "more than 1h"),
            ("htcp: { allow: [] }", "`address` is missing"),
        ] {
            let errors = wrong(purge);
            assert!(errors.contains(part), "{purge}: {errors}");
        }
    }

    #[test]
    fn htcp_takes_from_those_who_may_purge_unless_it_says_others() {
        let htcp = config("allow: [\"10.0.0.1\"], htcp: \"127.0.0.1:4827\"").htcp.unwrap();
        assert!(htcp.allow.contains("10.0.0.1".parse().unwrap()) && htcp.address.port() == 4827);
        let own = "allow: [\"10.0.0.1\"], htcp: { address: \"127.0.0.1:4827\", allow: [\"10.0.0.2\"] }";
        let htcp = config(own).htcp.unwrap();
        assert!(!htcp.allow.contains("10.0.0.1".parse().unwrap()) && htcp.allow.contains("10.0.0.2".parse().unwrap()));
    }
}
