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
    let climbs = options.is_wary() && may_climb(&target.path);
    if !(own || options.allows_host(&target.host)) || !options.trusts(&target.path) || climbs {
        return Err(Reason::FragmentRefused);
    }
    // A page that came by https has fragments that came by https.
    Ok(if own { Target { scheme: page.scheme, ..target } } else { target })
}

/// So often a path is decoded on its way, at the most that is believed of a chain of servers.
const MOST_DECODINGS: usize = 4;

/// Whether some server may read a segment of this path as `..`, and so leave the folder that the rule trusts: one that decodes what
/// is encoded, also twice, that takes `\` for `/`, or that cuts off what follows a `;`.
fn may_climb(path: &str) -> bool {
    let mut path = path.as_bytes().to_vec();
    for _ in 0..MOST_DECODINGS {
        if path.split(|byte| matches!(byte, b'/' | b'\\')).any(|segment| segment.starts_with(b"..")) {
            return true;
        }
        match decoded(&path) {
            Some(further) => path = further,
            None => return false,
        }
    }
    // Nobody encodes so often what is meant well.
    true
}

/// A path with its percent-encodings (RFC 3986 §2.1) decoded once; none where there are none.
fn decoded(path: &[u8]) -> Option<Vec<u8>> {
    let digit = |at: usize| path.get(at).and_then(|digit| char::from(*digit).to_digit(16));
    let (mut bytes, mut at) = (Vec::with_capacity(path.len()), 0);
    while let Some(byte) = path.get(at) {
        let encoded = digit(at + 1).zip(digit(at + 2)).filter(|_| *byte == b'%');
        let encoded = encoded.and_then(|(high, low)| u8::try_from(high << 4 | low).ok());
        bytes.push(encoded.unwrap_or(*byte));
        at += if encoded.is_some() { 3 } else { 1 };
    }
    (bytes.len() < path.len()).then_some(bytes)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_some_server_reads_as_a_way_up() {
        for path in [
            "/esi/..%2Fadm",
            "/esi/..%5Cadm",
            "/esi/..;/adm",
            "/esi/..%3B/adm",
            "/esi/%252e%252e/adm",
            "/esi/%252E%252E%252Fadm",
            "/esi/%25252e%25252e/adm",
            "/esi/%25%2532e./adm",
            "/esi/a%2F..%2F..%2Fadm",
            "/esi/a%252F..%252Fadm",
            "/esi/..",
            "/%2525252525",
        ] {
            assert!(may_climb(path), "{path}");
        }
        for path in
            ["/esi/a", "/esi/a..b", "/esi/a../b", "/esi/.a", "/esi/%C3%A4", "/esi/100%25", "/esi/a;b", "/%", "/%2"]
        {
            assert!(!may_climb(path), "{path}");
        }
    }
}
