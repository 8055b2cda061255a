//! What a visitor is told of a failure, and advised to do.

use http::{Method, StatusCode};

use crate::fault::Whose;
use crate::pass;
use crate::reason::Reason;

/// Words for a visitor. They name no server and no cause: those are in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Advice {
    /// What happened, in a few words.
    pub(crate) title: &'static str,
    /// The same in a sentence or two, with what to do.
    pub(crate) message: &'static str,
}

impl Advice {
    /// For this failure; `sent` is the method of a request that was sent before it failed.
    pub(crate) fn of(whose: Whose, status: StatusCode, reason: Reason, sent: Option<&Method>) -> Self {
        if whose == Whose::Origin && sent.is_some_and(|method| !may_be_repeated(method)) {
            return Self { title: "It is not known whether this was done", message: perhaps_done(status) };
        }
        Self { title: title(status, reason), message: message(whose, status, reason, sent.is_some()) }
    }
}

/// To do it twice is to do it once (RFC 9110 §9.2.2): whoever meets an error may try again. An order that was sent by POST may
/// be on its way, and would be there twice.
fn may_be_repeated(method: &Method) -> bool {
    method.is_idempotent() || pass::is_safe(method)
}

fn perhaps_done(status: StatusCode) -> &'static str {
    match status {
        StatusCode::GATEWAY_TIMEOUT => {
            "The site's server did not answer in time. Your request may have been carried out all the same: please check before \
             you send it again."
        }
        _ => {
            "The site's server gave no proper answer. Your request may have been carried out all the same: please check before \
             you send it again."
        }
    }
}

fn title(status: StatusCode, reason: Reason) -> &'static str {
    match status {
        StatusCode::SERVICE_UNAVAILABLE if reason == Reason::OriginDrained => "The site is being worked on",
        StatusCode::SERVICE_UNAVAILABLE => "The site is busy right now",
        StatusCode::GATEWAY_TIMEOUT => "The site is taking too long",
        StatusCode::BAD_GATEWAY => "The site cannot be reached right now",
        _ => "This page cannot be shown",
    }
}

fn message(whose: Whose, status: StatusCode, reason: Reason, sent: bool) -> &'static str {
    match (whose, status) {
        (Whose::Client, StatusCode::METHOD_NOT_ALLOWED) => "This method is not served here.",
        (Whose::Client, StatusCode::GATEWAY_TIMEOUT) => "Nothing is stored that could answer this request.",
        (Whose::Client, _) => "The request could not be understood.",
        (Whose::Origin, StatusCode::GATEWAY_TIMEOUT) => "The site's server did not answer in time. Please try again.",
        _ if reason == Reason::FragmentFailed => "A part of the page could not be had. Please try again.",
        _ if reason == Reason::OriginDrained => "The site is being worked on. Please try again in a little while.",
        (Whose::Origin, StatusCode::SERVICE_UNAVAILABLE) => {
            "The site has more to do than it can at this moment. Please try again in a little while."
        }
        (Whose::Origin, StatusCode::BAD_GATEWAY) if sent => {
            "The site's server gave no proper answer. Please try again."
        }
        (Whose::Origin, StatusCode::BAD_GATEWAY) => "The site's server could not be reached. Please try again.",
        _ => "The request could not be served.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(method: &Method, reason: Reason, status: u16, sent: bool) -> Advice {
        Advice::of(Whose::Origin, StatusCode::from_u16(status).unwrap(), reason, sent.then_some(method))
    }

    #[test]
    fn nobody_is_invited_to_repeat_what_may_have_been_done() {
        let unknown = Method::from_bytes(b"BREW").unwrap();
        let query = Method::from_bytes(b"QUERY").unwrap();
        for (reason, status) in
            [(Reason::OriginClosed, 502), (Reason::OriginProtocol, 502), (Reason::OriginTimeout, 504)]
        {
            for method in [&Method::POST, &Method::PATCH, &unknown] {
                let advice = told(method, reason, status, true);
                assert!(advice.message.contains("may have been carried out"), "{method} {advice:?}");
                assert!(!advice.message.contains("try again"), "{method} {advice:?}");
                assert!(advice.title.contains("not known"), "{advice:?}");
            }
            for method in [&Method::GET, &Method::HEAD, &Method::OPTIONS, &Method::PUT, &Method::DELETE, &query] {
                let advice = told(method, reason, status, true);
                assert!(advice.message.ends_with("Please try again."), "{method} {advice:?}");
            }
        }
        for (reason, status) in
            [(Reason::OriginRefused, 502), (Reason::OriginConnectTimeout, 504), (Reason::OriginBusy, 503)]
        {
            let advice = told(&Method::POST, reason, status, false);
            assert!(advice.message.contains("Please try again"), "nothing was sent: {advice:?}");
        }
    }

    #[test]
    fn a_server_that_was_reached_is_not_said_to_be_out_of_reach() {
        let (sent, not) = (true, false);
        assert!(!told(&Method::GET, Reason::OriginClosed, 502, sent).message.contains("reached"));
        assert!(told(&Method::GET, Reason::OriginRefused, 502, not).message.contains("reached"));
        assert!(told(&Method::GET, Reason::OriginDrained, 503, not).title.contains("worked on"));
    }
}
