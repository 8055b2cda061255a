//! Responses to POST that later GETs are answered with (RFC 9110 §9.3.3): those that say that they are what a GET of the same
//! URL gets, and for how long.

use std::sync::Arc;

use copal_policy::{Action, Rule};
use copal_semantics::{RequestDirectives, Target, target};
use copal_store::{FillReader, Invalidation, Sequence};
use http::{HeaderMap, Method, StatusCode, header};

use crate::asked::Asked;
use crate::decide::{self, Announcement, Asks, Received, Verdict};
use crate::exchange::Exchange;
use crate::partial::Wanted;
use crate::proxy::{NAME, Proxy, Runtime};
use crate::request_id::RequestId;
use crate::send::Fetched;
use crate::terms::Terms;
use crate::{fill, forward, media};

/// A response to a POST that may be what a GET gets.
pub(crate) struct Candidate {
    /// The GET.
    asked: Arc<Asked>,
    tags: Vec<String>,
    /// When the POST was sent.
    before: Sequence,
}

/// Whether the response says that it is what a GET of the URL gets; the POST was sent after the invalidation `before`.
pub(crate) fn candidate(
    proxy: &Proxy,
    runtime: &Arc<Runtime>,
    rule: &Rule,
    exchange: &Exchange,
    fetched: &Fetched,
    before: Sequence,
) -> Option<Candidate> {
    let asked = as_a_get(proxy, runtime, rule, exchange, fetched)?;
    let mut tags = decide::tags(&fetched.headers, &runtime.config.cache);
    tags.extend(asked.implied_tags(&fetched.headers));
    Some(Candidate { asked, tags, before })
}

/// Makes `own`, what the POST invalidates, and stores its response for later GETs, where it may be; the reader is for the client
/// that sent the POST. Any other invalidation that names it and came since the POST was sent beats it, as it would a GET's.
///
/// # Errors
/// The response as it came, when it is not stored.
pub(crate) fn store(
    proxy: &Arc<Proxy>,
    candidate: Candidate,
    fetched: Fetched,
    own: &[Invalidation],
) -> Result<(HeaderMap, FillReader), Box<Fetched>> {
    let Candidate { asked, tags, before } = candidate;
    let (last, clear) = proxy.store.invalidate_beside(own, &asked.key, &fetched.headers, &tags, before);
    if !clear {
        return Err(Box::new(fetched));
    }
    let (Some(cache), config) = (asked.cache_rule(), &asked.runtime.config) else { return Err(Box::new(fetched)) };
    let received = Received {
        asks: Asks::Post,
        status: fetched.status,
        request: &asked.exchange.headers,
        headers: &fetched.headers,
        request_time: fetched.request_time,
        response_time: fetched.response_time,
        authorized: false,
        random: proxy.random(),
        must_vary_by: None,
    };
    let Ok(storable) = decide::store(config, cache, &received) else { return Err(Box::new(fetched)) };
    let permit = proxy.store.fill_alone(&asked.key, Arc::clone(&asked) as _);
    // What comes from here on, the fill sees.
    if !proxy.store.unnamed_since(&asked.key, &fetched.headers, &tags, last) {
        return Err(Box::new(fetched));
    }
    let announcement = Announcement {
        received,
        storable,
        rule: &asked.rule,
        cache,
        extras: asked.plan.extras.clone(),
        esi: false,
        via: NAME,
    };
    let mut head = announcement.head(config);
    head.tags.extend(asked.implied_tags(&fetched.headers));
    let (writer, reader) = permit.storing(head);
    let (proxy, body) = (Arc::clone(proxy), fetched.body);
    let filled = Arc::clone(&asked);
    tokio::spawn(async move { fill::pump(&proxy, &filled, body, writer, None).await });
    Ok((fetched.headers, reader))
}

/// The GET that the response answers too. None where it does not say so, where a GET of the URL would not be looked up, or
/// where the origin saw more of the POST than it would see of the GET.
fn as_a_get(
    proxy: &Proxy,
    runtime: &Arc<Runtime>,
    rule: &Rule,
    exchange: &Exchange,
    fetched: &Fetched,
) -> Option<Arc<Asked>> {
    let says_so = exchange.method == Method::POST
        && exchange.depth == 0
        && fetched.status == StatusCode::OK
        && names(&fetched.headers, &exchange.target);
    // A fill tells the origin nothing of who asks; this POST did.
    let told_of_client = exchange.request_id.as_ref().is_some_and(RequestId::is_given)
        || runtime.wants_forwarded(rule)
        || Terms::of_pass(runtime, rule, exchange).client.is_some();
    if !says_so
        || told_of_client
        || !is_anonymous(&exchange.headers)
        || RequestDirectives::parse(&exchange.headers).no_store
    {
        return None;
    }
    let get = Exchange { method: Method::GET, has_body: false, interim: None, ..exchange.clone() };
    let decision = decide::decide(&runtime.config, &get);
    let Verdict::Cache(mut plan) = decision.verdict else { return None };
    let Action::Cache(cache) = &decision.rule.action else { return None };
    let one_url = plan.key.get(plan.origin_form..) == Some(&*exchange.target.path_and_query());
    let template = |rule: &Rule| media::is_template(rule, &fetched.headers);
    let as_one = one_url && decision.rule.origin == rule.origin && !template(rule) && !template(decision.rule);
    if !as_one || plan.authorized || cache.slice.is_some() || cache.no_vary_search {
        return None;
    }
    let (key, rule) = (proxy.store.key(std::mem::take(&mut plan.key)), Arc::clone(decision.rule));
    let (wanted, runtime) = (Wanted::default(), Arc::clone(runtime));
    Some(Arc::new(Asked { exchange: get, plan, key, rule, wanted, runtime }))
}

/// Whether the one `Content-Location` is the target, resolved against it and in normal form.
fn names(headers: &HeaderMap, target: &Target) -> bool {
    let mut lines = headers.get_all(header::CONTENT_LOCATION).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return false };
    line.to_str().is_ok_and(|reference| target::resolve(target, reference).as_ref() == Ok(target))
}

/// Whether the request has nothing that a stored response must not depend on.
fn is_anonymous(headers: &HeaderMap) -> bool {
    !headers
        .keys()
        .any(|name| *name == header::COOKIE || forward::is_withheld(name) || crate::credentials::is_credential(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_location_names_the_target_rfc9110_9_3_3() {
        let of = target::normalise(false, "Example.org", "/a/b?c=%7Ed").unwrap();
        for (lines, same) in [
            (&["/a/b?c=~d"][..], true),
            (&["http://example.org:80/a/b?c=%7ed"], true),
            (&["//EXAMPLE.org/a/./b?c=~d"], true),
            (&["b?c=~d"], true),
            (&["?c=~d"], true),
            (&[""], true),
            (&["#part"], true),
            (&[], false),
            (&["/a/b"], false),
            (&["/a/b?c=~d&e"], false),
            (&["/A/b?c=~d"], false),
            (&["https://example.org/a/b?c=~d"], false),
            (&["http://example.org:8080/a/b?c=~d"], false),
            (&["http://other.org/a/b?c=~d"], false),
            (&["ftp://example.org/a/b?c=~d"], false),
            (&["/a/b?c=~d", "/a/b?c=~d"], false),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::CONTENT_LOCATION, line.parse().unwrap());
            }
            assert_eq!(names(&headers, &of), same, "{lines:?}");
        }
    }
}
