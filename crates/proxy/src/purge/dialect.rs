//! Which requests are purges: by method, target and fields, and by the dialects that are spoken here. Looks only, so that
//! strangers cost nothing; what a purge names is read when it is known that it may be done.

use copal_policy::{PurgeDialect, PurgeDialects};
use copal_semantics::{RequestDirectives, Target};
use http::{HeaderMap, Method, StatusCode};

use PurgeDialect::{
    Acquia, Drupal, Fastly, Fos, Lagoon, Magento, MediaWiki, Nginx, NginxHelper, Plone, Shopware, Souin, Squid, Typo3,
    Url, WordPress, Xkey,
};

/// The beginning of the paths of Souin's API.
pub(crate) const SOUIN: &str = "/souin-api/souin";

/// Fields in which purgers for Drupal name tags.
pub(crate) const DRUPAL_TAGS: [&str; 6] =
    ["cache-tags", "purge-cache-tags", "x-cache-tags", "x-drupal-cache-tags", "cache-tag", "surrogate-key"];

/// Fields in which keys are named, as Varnish's xkey is spoken to.
pub(crate) const XKEYS: [&str; 3] = ["xkey", "xkey-purge", "xkey-softpurge"];

/// Methods that are for purges only.
const METHODS: [&str; 6] = ["PURGE", "BAN", "PURGEKEYS", "PURGETAGS", "URIBAN", "REFRESH"];

/// A request as it is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'a Method,
    pub(crate) target: &'a Target,
    /// The request-target was a whole URL (RFC 9112 §3.2.2).
    pub(crate) absolute: bool,
    pub(crate) headers: &'a HeaderMap,
}

/// How a purge says what it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// By its target.
    Target,
    /// By its target, which is fetched again.
    Refresh,
    /// By a path that Zope reads as a virtual host.
    VirtualHost,
    /// By an id in the path.
    ById,
    /// By a regular expression in the path, anchored at its start.
    PathPattern,
    /// By a regular expression in the path, found anywhere.
    PathFinds,
    /// By a glob in the path.
    Glob,
    /// By a path that goes on after its `*`.
    Prefix,
    /// By the path behind `/purge`.
    BehindPurge,
    /// The whole host.
    Host,
    /// Everything.
    Everything,
    /// By expressions on tags.
    TagPatterns,
    /// By expressions on tags, or on the pool.
    Magento,
    /// By conditions that must all hold.
    Conditions,
    /// By keys.
    Keys,
    /// By tags in one of these fields.
    Tags(&'static [&'static str]),
    /// By site, page or keys.
    Typo3,
    /// By a host and an expression on its URLs.
    HostAndUrl,
    /// Souin's.
    Souin,
    /// Fastly's, of one key.
    FastlyKey,
    /// Fastly's, of keys in a field or in the body.
    FastlyKeys,
    /// A purge that names nothing.
    Nothing,
}

/// What a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recognised {
    /// Not a purge.
    Other,
    /// Not a purge either, but whoever may purge has it fetched anew.
    Anew,
    /// A purge.
    Purge(PurgeDialect, Form),
    /// A method for purges, in no dialect that is spoken here.
    Unknown,
}

/// What a request is, by the dialects that are spoken here.
pub(crate) fn recognise(call: Call<'_>, spoken: PurgeDialects) -> Recognised {
    let found = match *call.method {
        Method::GET => return get(call, spoken),
        Method::POST => return post(call, spoken).map_or(Recognised::Other, |form| Recognised::Purge(Fastly, form)),
        ref method => match method.as_str() {
            "PURGE" => purge(call, spoken),
            "BAN" => ban(call, spoken),
            "PURGEKEYS" => first(spoken, &[Fos, Xkey]).map(|dialect| (dialect, Form::Keys)),
            "PURGETAGS" => first(spoken, &[Fos]).map(|dialect| (dialect, Form::Tags(&["x-cache-tags"]))),
            "URIBAN" => first(spoken, &[Lagoon]).map(|dialect| (dialect, Form::Target)),
            "REFRESH" => first(spoken, &[Lagoon]).map(|dialect| (dialect, Form::Refresh)),
            // Methods are told apart by case (RFC 9110 §9.1), and a purge that is misspelt is no request for a page.
            other if METHODS.iter().any(|method| method.eq_ignore_ascii_case(other)) => None,
            _ => return Recognised::Other,
        },
    };
    found.map_or(Recognised::Unknown, |(dialect, form)| Recognised::Purge(dialect, form))
}

/// The status for whoever may not, as the clients of the dialect know it.
pub(crate) fn denied(dialect: PurgeDialect) -> StatusCode {
    match dialect {
        MediaWiki | Magento | Fos | WordPress | Xkey => StatusCode::METHOD_NOT_ALLOWED,
        _ => StatusCode::FORBIDDEN,
    }
}

fn first(spoken: PurgeDialects, dialects: &[PurgeDialect]) -> Option<PurgeDialect> {
    dialects.iter().copied().find(|dialect| spoken.has(*dialect))
}

fn get(call: Call<'_>, spoken: PurgeDialects) -> Recognised {
    if spoken.has(NginxHelper) && call.target.path.starts_with("/purge/") {
        return Recognised::Purge(NginxHelper, Form::BehindPurge);
    }
    if spoken.has(Fos) && (call.has("x-refresh") || asks_for_news(call.headers)) {
        return Recognised::Anew;
    }
    Recognised::Other
}

fn asks_for_news(headers: &HeaderMap) -> bool {
    RequestDirectives::is_asked(headers) && RequestDirectives::parse(headers).no_cache
}

/// `/service/ID/purge`, `/service/ID/purge/KEY`, `/service/ID/purge_all`.
fn post(call: Call<'_>, spoken: PurgeDialects) -> Option<Form> {
    let rest = spoken.has(Fastly).then(|| call.target.path.strip_prefix("/service/"))??;
    match rest.split_once('/')? {
        ("", _) => None,
        (_, "purge") => Some(Form::FastlyKeys),
        (_, "purge_all") => Some(Form::Everything),
        (_, key) => key.strip_prefix("purge/").filter(|key| !key.is_empty()).map(|_| Form::FastlyKey),
    }
}

/// The first row that fits: those that are told by a field or by a special path stand before those that are not.
fn purge(call: Call<'_>, spoken: PurgeDialects) -> Option<(PurgeDialect, Form)> {
    let path = call.target.path.as_str();
    let says = |dialect: PurgeDialect, told: bool, form: Form| (spoken.has(dialect) && told).then_some((dialect, form));
    let starred = path.len() > 1 && path.ends_with('*');
    says(Souin, path == SOUIN || path.starts_with("/souin-api/souin/"), Form::Souin)
        .or_else(|| says(Plone, path.starts_with("/VirtualHostBase/"), Form::VirtualHost))
        .or_else(|| says(Plone, path.contains("/@@purgebyid/"), Form::ById))
        .or_else(|| says(Magento, call.has_any(&["x-magento-tags-pattern", "x-pool"]), Form::Magento))
        .or_else(|| says(WordPress, call.is("x-purge-method", "tags"), Form::TagPatterns))
        .or_else(|| says(WordPress, call.is("x-purge-method", "regex"), Form::PathPattern))
        .or_else(|| says(Fos, call.flag("clear-cache"), Form::Everything))
        .or_else(|| {
            let dialect = first(spoken, &[Shopware, Xkey]).filter(|_| call.has_any(&XKEYS))?;
            Some((dialect, Form::Keys))
        })
        .or_else(|| says(Drupal, call.has_any(&DRUPAL_TAGS), Form::Tags(&DRUPAL_TAGS)))
        .or_else(|| says(NginxHelper, path == "/purgeall", Form::Host))
        .or_else(|| {
            let dialect = first(spoken, &[Nginx, Fos]).filter(|_| path.starts_with("/purge/"))?;
            Some((dialect, Form::BehindPurge))
        })
        .or_else(|| says(WordPress, path.ends_with(".*"), Form::PathPattern))
        .or_else(|| says(Nginx, starred, Form::Prefix))
        .or_else(|| says(Fastly, call.has_any(&["fastly-key", "fastly-soft-purge"]), Form::Target))
        .or_else(|| says(Squid, call.absolute, Form::Target))
        .or_else(|| says(MediaWiki, call.absolute, Form::Target))
        .or_else(|| {
            // All of them purge URLs in the plain way, too.
            let plain = [Url, Drupal, WordPress, Fos, Shopware, Plone, Nginx, NginxHelper, Fastly, Lagoon];
            first(spoken, &plain).map(|dialect| (dialect, Form::Target))
        })
        .or_else(|| first(spoken, &[Magento, Xkey]).map(|dialect| (dialect, Form::Nothing)))
}

fn ban(call: Call<'_>, spoken: PurgeDialects) -> Option<(PurgeDialect, Form)> {
    let path = call.target.path.as_str();
    let says = |dialect: PurgeDialect, told: bool, form: Form| (spoken.has(dialect) && told).then_some((dialect, form));
    let of_typo3 = ["varnish-ban-typo3-sitename", "varnish-ban-all", "varnish-ban-typo3-pid", "xkey-purge"];
    // FOSHttpCache sends all three, each with an expression.
    let of_mittwald = call.has("x-host") && call.has("x-url") && !call.has("x-content-type");
    let of_fos = ["x-host", "x-url", "x-content-type", "x-cache-tags", "x-site"];
    says(Acquia, call.has("x-acquia-purge-tags"), Form::Tags(&["x-acquia-purge-tags"]))
        .or_else(|| says(Typo3, call.has_any(&of_typo3), Form::Typo3))
        .or_else(|| says(Typo3, of_mittwald, Form::HostAndUrl))
        .or_else(|| says(Fos, call.has_any(&of_fos), Form::Conditions))
        .or_else(|| {
            let dialect = first(spoken, &[Drupal, Lagoon]).filter(|_| call.has_any(&DRUPAL_TAGS))?;
            Some((dialect, Form::Tags(&DRUPAL_TAGS)))
        })
        // The narrower reading first: what Drupal means by a path is on one host.
        .or_else(|| says(Drupal, path == "/.*", Form::Host))
        .or_else(|| says(Drupal, path == "/tags", Form::Nothing))
        .or_else(|| says(Drupal, true, Form::Glob))
        .or_else(|| says(Shopware, true, Form::PathFinds))
        .or_else(|| says(Plone, true, Form::Target))
        .or_else(|| first(spoken, &[Fos, Typo3, Acquia, Lagoon]).map(|dialect| (dialect, Form::Nothing)))
}

impl Call<'_> {
    /// Goes through the few fields that there are: to look up one of the many names that dialects know, it would have to be
    /// read and hashed first.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.headers.keys().any(|there| there.as_str() == name)
    }

    pub(crate) fn has_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.has(name))
    }

    pub(crate) fn is(&self, name: &str, word: &str) -> bool {
        self.field(name).is_some_and(|value| value.trim().eq_ignore_ascii_case(word))
    }

    /// The first line of a field, where it is text.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(there, _)| there.as_str() == name)?;
        value.to_str().ok()
    }

    /// A flag: there, and not `0` or `false`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.field(name).is_some_and(|value| !matches!(value.trim(), "" | "0" | "false"))
    }
}
