//! The facts of one request: what the client sent, in normal form. Facts only; no collaborators.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use copal_origin::{RequestBody, Upgrading};
use copal_policy::Networks;
use copal_semantics::{Freshness, RequestDirectives, Target, Timestamp, fields, takes_trailers, target};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header};

use crate::fault::Fault;
use crate::interim::Interim;
use crate::lineage::Lineage;
use crate::reason::{Reason, Told};
use crate::report::Spot;
use crate::request_id::RequestId;

/// What the listener knows of the connection that a request came on.
pub struct ClientInfo {
    /// The socket's remote address.
    pub peer: SocketAddr,
    /// Where it connected to, where that is known.
    pub local: Option<SocketAddr>,
    /// The connection is encrypted.
    pub secure: bool,
    /// The connection itself, where the request asks for a protocol upgrade.
    pub upgrade: Option<Upgrading>,
    /// Where interim responses go; none where the client cannot take any (HTTP/1.0).
    pub interim: Option<Interim>,
}

/// The facts of one request, of a client or of a page that includes it.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) method: Method,
    /// Normalised (RFC 3986 §6.2.2): the key and the origin see this same form.
    pub(crate) target: Target,
    /// As the client sent them.
    pub(crate) headers: HeaderMap,
    pub(crate) peer: IpAddr,
    /// The request-target was a whole URL (RFC 9112 §3.2.2).
    pub(crate) absolute: bool,
    /// A client that may purge wants it fetched, whatever is stored.
    pub(crate) anew: bool,
    /// The peer is in `trusted_proxies`: its forwarding fields are believed.
    pub(crate) trusted: bool,
    /// Whom the peer asks for; none where that is read off the fields when it is asked, which few requests do.
    pub(crate) on_behalf: Option<OnBehalf>,
    /// Read once for the request (invariant 12).
    pub(crate) now: Timestamp,
    /// 0: a client's request; n: a fragment of a fragment … of a page.
    pub(crate) depth: u32,
    pub(crate) has_body: bool,
    /// The request asks to change the protocol, and the connection can be handed over.
    pub(crate) upgrades: bool,
    /// Where interim responses go; none for a fragment.
    pub(crate) interim: Option<Interim>,
    /// `TE: trailers` stood beside a `Connection`, and went with it.
    pub(crate) trailers: bool,
    /// Why it goes forward, once that is known (RFC 9211 §2.2).
    pub(crate) fwd: Option<&'static str>,
    /// The pages that this fragment is in; none for a client's request.
    pub(crate) lineage: Option<Arc<Lineage>>,
    /// A fragment of another host than its page, or within one: nothing of who the visitor is goes with it.
    pub(crate) abroad: bool,
    /// Where the report on the client's page tells of this request; mostly nobody asks for one.
    pub(crate) spot: Option<Spot>,
    /// What the page that includes this fragment asks of the cache, in the place of what the client does.
    pub(crate) wishes: Option<RequestDirectives>,
    /// By which it is known, once it goes to an origin.
    pub(crate) request_id: Option<RequestId>,
    /// The client's end of the connection and ours, where they are known and the request is the client's own.
    pub(crate) ends: Option<Ends>,
}

/// The ends of a client's connection beside its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    /// The client's port.
    pub(crate) port: u16,
    /// Where it connected to.
    pub(crate) local: SocketAddr,
}

/// What of a request can be used once only.
pub(crate) struct Once {
    pub(crate) body: RequestBody,
    pub(crate) upgrade: Option<Upgrading>,
}

impl Once {
    pub(crate) fn nothing() -> Self {
        Self { body: RequestBody::Empty, upgrade: None }
    }
}

impl Exchange {
    /// Reads a request into its facts.
    ///
    /// # Errors
    /// A [`Fault`]: 400 when host or target cannot be understood, 417 for an expectation that is not known.
    pub(crate) fn read(
        request: Request<RequestBody>,
        client: ClientInfo,
        trusted_proxies: &Networks,
        now: Timestamp,
    ) -> Result<(Self, Once), Fault> {
        let (mut parts, body) = request.into_parts();
        // One walk costs less than to look for both; mostly neither is there.
        let (mut expects, mut connection) = (false, false);
        for name in parts.headers.keys() {
            expects |= *name == header::EXPECT;
            connection |= *name == header::CONNECTION;
        }
        if expects {
            refuse_expectation(parts.version, &parts.headers)?;
        }
        let trusted = !trusted_proxies.is_empty() && trusted_proxies.contains(client.peer.ip());
        let secure = client.secure || (trusted && forwarded_secure(&parts.headers));
        let target = target::normalise(secure, authority(&parts.uri, &parts.headers)?, path_and_query(&parts.uri))
            .map_err(|error| Fault::bad_request(error.to_string()))?;
        // Later versions have an authority in any case.
        let absolute = parts.version <= Version::HTTP_11 && parts.uri.scheme().is_some();
        let upgrades = client.upgrade.is_some() && parts.method == Method::GET && asks_for_websocket(&parts.headers);
        // What `Connection` names is gone for rules, key and origin alike: the three must see the same request.
        let mut trailers = false;
        if connection {
            trailers = takes_trailers(&parts.headers);
            fields::remove_hop_by_hop(&mut parts.headers);
        }
        let exchange = Self {
            method: parts.method,
            target,
            peer: client.peer.ip(),
            absolute,
            anew: false,
            trusted,
            on_behalf: trusted.then(|| OnBehalf::of(&parts.headers, Some(trusted_proxies))),
            now,
            depth: 0,
            has_body: !matches!(body, RequestBody::Empty),
            upgrades,
            interim: client.interim,
            trailers,
            fwd: None,
            lineage: None,
            abroad: false,
            spot: None,
            wishes: None,
            request_id: None,
            ends: client.local.map(|local| Ends { port: client.peer.port(), local }),
            headers: parts.headers,
        };
        Ok((exchange, Once { body, upgrade: client.upgrade }))
    }
}

impl Exchange {
    /// A request that Copal makes by itself, as a visitor without cookies would.
    pub(crate) fn of_copal(method: Method, target: Target, headers: HeaderMap, now: Timestamp) -> Self {
        Self {
            method,
            target,
            headers,
            peer: IpAddr::from([127, 0, 0, 1]),
            absolute: false,
            anew: false,
            trusted: false,
            on_behalf: Some(OnBehalf::Itself),
            now,
            depth: 0,
            has_body: false,
            upgrades: false,
            interim: None,
            trailers: false,
            fwd: None,
            lineage: None,
            abroad: false,
            spot: None,
            wishes: None,
            request_id: None,
            ends: None,
        }
    }

    /// Whether trailer fields reach the client (RFC 9110 §10.1.4).
    pub(crate) fn takes_trailers(&self) -> bool {
        self.depth == 0 && (self.trailers || takes_trailers(&self.headers))
    }

    /// Whether the client is in these networks: the peer's own address, and, where the peer is a proxy that speaks
    /// for somebody, that somebody's too. Otherwise whoever reaches a TLS terminator on the same machine would be in.
    pub(crate) fn is_from(&self, networks: &Networks) -> bool {
        networks.contains(self.peer)
            && match self.on_behalf() {
                OnBehalf::Itself => true,
                OnBehalf::Of(client) => networks.contains(client),
                OnBehalf::Somebody => false,
            }
    }

    /// Who asks: the peer, or whom a trusted peer speaks for, where that is an address.
    pub(crate) fn asker(&self) -> IpAddr {
        match self.on_behalf() {
            OnBehalf::Of(client) => client,
            OnBehalf::Itself | OnBehalf::Somebody => self.peer,
        }
    }

    /// Whom the peer asks for.
    pub(crate) fn on_behalf(&self) -> OnBehalf {
        self.on_behalf.unwrap_or_else(|| OnBehalf::of(&self.headers, None))
    }

    /// Tells the report, where there is one, how fresh the answer is.
    pub(crate) fn saw(&self, freshness: &Freshness) {
        if let Some(spot) = &self.spot {
            spot.fresh(freshness, self.now);
        }
    }

    /// The reason as `Cache-Status` tells it for this request: with why this one went forward, where the reason is told of
    /// several.
    pub(crate) fn told(&self, reason: Reason) -> Told {
        // Stale is given without asking, too, while a failed refresh is not tried again.
        let usual = reason.fwd().filter(|_| reason != Reason::StaleError || self.fwd.is_some());
        Told { reason, fwd: usual.map(|usual| self.fwd.unwrap_or(usual)) }
    }
}

/// Whom the peer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnBehalf {
    /// Itself: nothing says that it is a proxy.
    Itself,
    /// The client that trusted proxies speak for.
    Of(IpAddr),
    /// Somebody, and it is not said by whom we believe, or not in a way that we read, who that is.
    Somebody,
}

impl OnBehalf {
    /// Fields by which a proxy speaks for somebody.
    const SPEAK: [&str; 3] = ["x-forwarded-for", "forwarded", "x-real-ip"];
    /// Fields that say only that there is a proxy.
    const BETRAY: [&str; 4] = ["x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "via"];

    /// By the fields of a request; `trusted` are the proxies that are believed, where the peer is one of them.
    pub(crate) fn of(headers: &HeaderMap, trusted: Option<&Networks>) -> Self {
        // Gone through once: to look the names up would take longer than the few fields that there are.
        let has = |names: &[&str]| headers.keys().any(|there| names.contains(&there.as_str()));
        let speaks = has(&Self::SPEAK);
        let Some(trusted) = trusted else { return if speaks { Self::Somebody } else { Self::Itself } };
        let chain = headers.get_all(Self::SPEAK[0]).iter().rev();
        let mut chain = chain.flat_map(|line| line.to_str().unwrap_or("?").rsplit(','));
        // Each proxy adds whom it was asked by: from the right, the first that is no proxy of ours is the client.
        let mut first = None;
        let client = chain.find_map(|address| match address.trim().parse() {
            Ok(address) if trusted.contains(address) => {
                first = Some(address);
                None
            }
            other => Some(other.ok()),
        });
        match client.unwrap_or(first) {
            Some(client) => Self::Of(client),
            None if speaks || has(&Self::BETRAY) => Self::Somebody,
            None => Self::Itself,
        }
    }
}

/// The authority of a request: the request-target's in absolute-form, else `Host` (RFC 9112 §3.2, §3.3).
fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<&'a str, Fault> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Fault::bad_request("more than one Host field".to_owned()));
    }
    if let Some(authority) = uri.authority() {
        return Ok(authority.as_str());
    }
    match host.map(HeaderValue::to_str).transpose() {
        Ok(Some(host)) if !host.trim_ascii().is_empty() => Ok(host.trim_ascii()),
        Ok(_) => Err(Fault::bad_request("no Host field".to_owned())),
        Err(_) => Err(Fault::bad_request("the Host field is not text".to_owned())),
    }
}

/// The only protocol that is switched to (RFC 6455 §4.2.1). Any other would be a tunnel past every rule.
pub(crate) fn asks_for_websocket(headers: &HeaderMap) -> bool {
    let lists = |name: HeaderName, token: &str| {
        let mut values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.any(|value| value.split(',').any(|listed| listed.trim().eq_ignore_ascii_case(token)))
    };
    headers.contains_key(header::UPGRADE) && lists(header::UPGRADE, "websocket") && lists(header::CONNECTION, "upgrade")
}

fn path_and_query(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str)
}

/// `X-Forwarded-Proto: https` of a trusted proxy; the last value is the nearest proxy's word.
fn forwarded_secure(headers: &HeaderMap) -> bool {
    headers
        .get_all("x-forwarded-proto")
        .iter()
        .next_back()
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.rsplit(',').next())
        .is_some_and(|proto| proto.trim().eq_ignore_ascii_case("https"))
}

/// The only expectation there is (RFC 9110 §10.1.1); it is met by whoever reads the body first. In HTTP/1.0 it means nothing.
fn refuse_expectation(version: Version, headers: &HeaderMap) -> Result<(), Fault> {
    if version < Version::HTTP_11 {
        return Ok(());
    }
    let known = |member: &[u8]| member.is_empty() || member.eq_ignore_ascii_case(b"100-continue");
    let lines = headers.get_all(header::EXPECT);
    match lines.iter().flat_map(|line| line.as_bytes().split(|&byte| byte == b',')).map(<[u8]>::trim_ascii).all(known) {
        true => Ok(()),
        false => {
            let detail = "an expectation that cannot be met".to_owned();
            Err(Fault::new(Reason::BadRequest, http::StatusCode::EXPECTATION_FAILED, detail))
        }
    }
}

/// Methods that Copal serves; `TRACE` would show a client what proxies add, `CONNECT` would make it an open tunnel.
pub(crate) fn refuse_method(method: &Method) -> Option<Fault> {
    (method == Method::TRACE || method == Method::CONNECT).then(|| {
        Fault::new(
            Reason::MethodNotAllowed,
            http::StatusCode::METHOD_NOT_ALLOWED,
            format!("{method} is not served here"),
        )
    })
}
