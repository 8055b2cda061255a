//! Every error becomes a response here, and nowhere else (invariant 10).

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use copal_origin::{Kind, OriginError};
use copal_semantics::{CacheStatus, ProxyError, ProxyStatus};
use copal_store::FillError;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use crate::advice::Advice;
use crate::answer::Answer;
use crate::body::Body;
use crate::deliver;
use crate::error_page::{self, Form};
use crate::exchange::Exchange;
use crate::proxy::{NAME, Proxy, Runtime};
use crate::reason::{Reason, Told};
use crate::request_id;

/// The methods that strangers may use.
pub(crate) const ALLOWED: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// When to come back after a 503 (RFC 9110 §10.2.3), in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Who has to act on a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Client,
    Origin,
    Copal,
}

/// Something that went wrong with a request: what, and the status to answer with.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) reason: Reason,
    pub(crate) status: StatusCode,
    pub(crate) detail: String,
    /// Why the request went forward, where it did (RFC 9211 §2.2).
    fwd: Option<&'static str>,
    /// What `Proxy-Status` calls it (RFC 9209 §2.3); none where nothing went wrong.
    error: Option<ProxyError>,
    /// The request was sent, or a part of it: it may have been carried out.
    sent: bool,
}

impl Fault {
    pub(crate) fn new(reason: Reason, status: StatusCode, detail: String) -> Self {
        Self { reason, status, detail, fwd: reason.fwd(), error: error_of(reason), sent: false }
    }

    /// The fault as it is told to this client, whose request was forwarded for this reason.
    pub(crate) fn forwarded(mut self, why: Told) -> Self {
        self.fwd = self.fwd.and(why.fwd);
        self
    }

    /// 504 for a client that wants a stored response or none (RFC 9111 §5.2.1.7).
    pub(crate) fn only_if_cached() -> Self {
        let detail = "nothing is stored that this request may have, and it asked for nothing else".to_owned();
        Self::new(Reason::OnlyIfCached, StatusCode::GATEWAY_TIMEOUT, detail)
    }

    /// 502 for a page that does not go on without a fragment (ESI 1.0, section 3.1).
    pub(crate) fn fragment_failed() -> Self {
        let detail = "a fragment of the page cannot be had, and its rule says `on_error: fail`".to_owned();
        Self::new(Reason::FragmentFailed, StatusCode::BAD_GATEWAY, detail)
    }

    pub(crate) fn bad_request(detail: String) -> Self {
        Self::new(Reason::BadRequest, StatusCode::BAD_REQUEST, detail)
    }

    pub(crate) fn internal(detail: &str) -> Self {
        Self::new(Reason::Internal, StatusCode::INTERNAL_SERVER_ERROR, detail.to_owned())
    }

    /// An origin that says itself that it is down.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        Self::new(Reason::OriginStatus, status, format!("the origin answered {status}")).sent()
    }

    /// After the request, or a part of it, had been sent.
    pub(crate) fn sent(self) -> Self {
        Self { sent: true, ..self }
    }

    /// Whether something of the request was sent: then the request itself may be the cause.
    pub(crate) fn is_of_what_was_sent(&self) -> bool {
        self.sent
    }

    /// The same for a request that came a moment later, and for which nobody was asked.
    pub(crate) fn of_late(self) -> Self {
        Self { reason: Reason::OriginFailedRecently, fwd: None, sent: false, ..self }
    }

    /// Whether another origin might have done better.
    pub(crate) fn is_of_origin(&self) -> bool {
        self.whose() == Whose::Origin
    }

    /// The fault of an exchange with an origin (RFC 9110 §15.6.3, §15.6.5: 502 for a bad answer, 504 for none in time).
    pub(crate) fn of_origin(error: &OriginError) -> Self {
        let (reason, status) = match error.kind() {
            Kind::Dns => (Reason::OriginDns, StatusCode::BAD_GATEWAY),
            Kind::ConnectRefused => (Reason::OriginRefused, StatusCode::BAD_GATEWAY),
            Kind::ConnectTimeout => (Reason::OriginConnectTimeout, StatusCode::GATEWAY_TIMEOUT),
            Kind::Tls => (Reason::OriginTls, StatusCode::BAD_GATEWAY),
            Kind::TlsTimeout => (Reason::OriginTls, StatusCode::GATEWAY_TIMEOUT),
            Kind::FirstByteTimeout | Kind::BetweenBytesTimeout | Kind::TotalTimeout => {
                (Reason::OriginTimeout, StatusCode::GATEWAY_TIMEOUT)
            }
            Kind::Closed | Kind::Incomplete => (Reason::OriginClosed, StatusCode::BAD_GATEWAY),
            // Waiting is of use: it is told when to come back.
            Kind::Busy => (Reason::OriginBusy, StatusCode::SERVICE_UNAVAILABLE),
            Kind::NoServer => (Reason::OriginDrained, StatusCode::SERVICE_UNAVAILABLE),
            Kind::RequestBody => (Reason::ClientBody, StatusCode::BAD_REQUEST),
            Kind::Request => (Reason::BadRequest, StatusCode::BAD_REQUEST),
            Kind::Settings => (Reason::Internal, StatusCode::INTERNAL_SERVER_ERROR),
            Kind::Protocol | Kind::TooLarge => (Reason::OriginProtocol, StatusCode::BAD_GATEWAY),
            _ => (Reason::OriginConnect, StatusCode::BAD_GATEWAY),
        };
        let exactly = match error.kind() {
            Kind::ConnectTimeout | Kind::TlsTimeout => Some(ProxyError::ConnectionTimeout),
            // By what was wrong: a certificate, an alert, or the protocol.
            Kind::Tls => ProxyError::ALL.iter().copied().find(|known| known.as_str() == error.proxy_status()),
            Kind::Closed => Some(ProxyError::ConnectionTerminated),
            Kind::Incomplete => Some(ProxyError::HttpResponseIncomplete),
            Kind::TooLarge => Some(ProxyError::HttpResponseHeaderSectionSize),
            Kind::Settings => Some(ProxyError::ProxyConfigurationError),
            _ => None,
        };
        let fault = Self::new(reason, status, error.to_string());
        // The time for all of it may be over before there is a server.
        let waited = error.kind() == Kind::TotalTimeout && error.server().is_none();
        Self { error: exactly.or(fault.error), sent: !waited && !error.kind().nothing_sent(), ..fault }
    }

    /// The fault that a fill's leader told its followers of.
    pub(crate) fn of_fill(error: &FillError) -> Self {
        error
            .downcast_ref::<Self>()
            .cloned()
            .unwrap_or_else(|| Self::new(Reason::OriginClosed, StatusCode::BAD_GATEWAY, error.to_string()))
    }

    pub(crate) fn shared(&self) -> FillError {
        Arc::new(self.clone())
    }

    pub(crate) fn whose(&self) -> Whose {
        match self.status.as_u16() {
            _ if self.reason == Reason::OnlyIfCached => Whose::Client,
            400..=499 => Whose::Client,
            502..=504 => Whose::Origin,
            _ => Whose::Copal,
        }
    }

    /// The response to a client whose request was understood: the error page, by which the request can be found in the log.
    pub(crate) fn page(&self, proxy: &Proxy, runtime: &Runtime, exchange: &Exchange) -> Answer {
        if exchange.depth > 0 || self.whose() == Whose::Client {
            return self.answer(NAME);
        }
        let id = proxy.ids.of(exchange);
        // A dead origin is told of by each request that met it, and not by those that were spared.
        if self.reason == Reason::OriginFailedRecently {
            tracing::debug!(request_id = %id, detail = %self.detail, "request not tried");
        } else {
            let url = exchange.target.url();
            tracing::warn!(request_id = %id, url, reason = self.reason.as_str(), detail = %self.detail, "request failed");
        }
        let form = Form::of(&exchange.headers);
        let advice = self.advice(&exchange.method);
        let told = error_page::Told {
            status: self.status,
            reason: self.reason.as_str(),
            title: advice.title,
            message: advice.message,
            request_id: &id.to_string(),
        };
        let body = error_page::render(form, &runtime.config.error_page, &told);
        let mut answer = self.response(NAME, body, form.content_type());
        answer.response.headers_mut().insert(request_id::FIELD, id.to_value());
        answer.known_as(id)
    }

    /// The response to a client. It says what went wrong in general words; the details are for the log.
    pub(crate) fn answer(&self, name: &str) -> Answer {
        if self.whose() == Whose::Client {
            tracing::debug!(reason = self.reason.as_str(), detail = %self.detail, "request refused");
        } else {
            tracing::warn!(reason = self.reason.as_str(), detail = %self.detail, "request failed");
        }
        let text = format!(
            "{} {}\n\n{}\nReason: {}\n",
            self.status.as_u16(),
            self.status.canonical_reason().unwrap_or("Error"),
            self.advice(&Method::GET).message,
            self.reason.as_str()
        );
        self.response(name, text, Form::Text.content_type())
    }

    fn response(&self, name: &str, body: String, content_type: HeaderValue) -> Answer {
        let mut response = Response::new(Body::bytes(Bytes::from(body)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, content_type);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, ALLOWED);
        }
        let status = CacheStatus { fwd: self.fwd, detail: Some(self.reason.as_str()), ..CacheStatus::default() };
        status.append_to(name, headers);
        proxy_status(self.error, self.reason, headers);
        deliver::via(headers);
        Answer::new(response, self.reason)
    }

    /// What a visitor is told who asked by this method.
    fn advice(&self, method: &Method) -> Advice {
        Advice::of(self.whose(), self.status, self.reason, self.sent.then_some(method))
    }

    /// Says in `Proxy-Status` (RFC 9209) that a response stands here in the place of the origin's.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        proxy_status(self.error, self.reason, headers);
    }
}

/// Says in `Proxy-Status` why a response was made here for a request that was not done.
pub(crate) fn refused(reason: Reason, headers: &mut HeaderMap) {
    proxy_status(error_of(reason), reason, headers);
}

/// Says in `Proxy-Status` (RFC 9209) that a response was made here because of an error.
fn proxy_status(error: Option<ProxyError>, reason: Reason, headers: &mut HeaderMap) {
    if error.is_some() {
        ProxyStatus { error, details: Some(reason.as_str()), ..ProxyStatus::default() }.append_to(NAME, headers);
    }
}

/// The type of error that a reason stands for, where the exchange itself does not tell more exactly.
fn error_of(reason: Reason) -> Option<ProxyError> {
    Some(match reason {
        Reason::BadRequest | Reason::ClientBody | Reason::PurgeWrong => ProxyError::HttpRequestError,
        Reason::MethodNotAllowed | Reason::PurgeDenied => ProxyError::HttpRequestDenied,
        Reason::Loop => ProxyError::ProxyLoopDetected,
        Reason::OriginDns => ProxyError::DnsError,
        Reason::OriginRefused => ProxyError::ConnectionRefused,
        Reason::OriginConnect | Reason::OriginDrained => ProxyError::DestinationUnavailable,
        Reason::OriginConnectTimeout => ProxyError::ConnectionTimeout,
        Reason::OriginTls => ProxyError::TlsProtocolError,
        Reason::OriginTimeout => ProxyError::HttpResponseTimeout,
        Reason::OriginBusy => ProxyError::ConnectionLimitReached,
        // The servers answered; what the page is made of is not whole.
        Reason::OriginClosed | Reason::FragmentFailed => ProxyError::HttpResponseIncomplete,
        Reason::OriginProtocol => ProxyError::HttpProtocolError,
        Reason::OriginStatus | Reason::OriginFailedRecently => ProxyError::DestinationUnavailable,
        Reason::Internal => ProxyError::ProxyInternalError,
        _ => return None,
    })
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.as_str(), self.detail)
    }
}

impl std::error::Error for Fault {}
