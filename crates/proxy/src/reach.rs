//! What a page may reach: which fragments it may name, and what of the visitor goes with them.

use copal_esi::Include;
use copal_policy::Rule;
use copal_semantics::{Target, target};
use http::{HeaderMap, HeaderName, Method, header};

use crate::answer::Answer;
use crate::reason::Reason;

/// Fields that a fragment of another host is asked with: what a visitor understands, and by which servers the request came, so that
/// a circle is seen. Nothing that says who it is.
const ABROAD: [HeaderName; 6] = [
    header::ACCEPT,
    header::ACCEPT_LANGUAGE,
    header::USER_AGENT,
    header::VIA,
    HeaderName::from_static("cdn-loop"),
    HeaderName::from_static("x-forwarded-for"),
];

/// What a reference names, where the page may include it: of its own host or of one that its rule lists, and of a path that the rule
/// trusts. What a page says never decides which server is asked: that is for the rule of the fragment.
///
/// # Errors
/// [`Reason::FragmentRefused`], also of user information, another scheme, or a host that is none.
pub(crate) fn admit(page: &Target, rule: &Rule, base: &Target, reference: &str) -> Result<Target, Reason> {
    let target = target::resolve(base, reference).map_err(|_| Reason::FragmentRefused)?;
    let options = &rule.esi_options;
    let own = target.host == page.host;
    if !(own || options.allows_host(&target.host)) || !options.trusts(&target.path) {
        return Err(Reason::FragmentRefused);
    }
    // A page that came by https has fragments that came by https.
    Ok(if own { Target { scheme: page.scheme, ..target } } else { target })
}

/// What of a page's request goes with one for a fragment of another host.
pub(crate) fn abroad(headers: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for name in &ABROAD {
        for value in headers.get_all(name) {
            kept.append(name, value.clone());
        }
    }
    kept
}

/// The method by which an include asks, where that is not GET; then also the body that goes with it.
pub(crate) fn posted(include: &Include) -> Option<&str> {
    let options = include.options.as_deref()?;
    (options.method.as_deref() == Some(Method::POST.as_str())).then(|| options.entity.as_deref().unwrap_or_default())
}

/// Where an answer says that the fragment is, if it does.
pub(crate) fn redirect(answer: &Answer) -> Option<&str> {
    let redirects = matches!(answer.response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    answer.response.headers().get(header::LOCATION).filter(|_| redirects)?.to_str().ok()
}
