//! The `Proxy-Status` field (RFC 9209): what went wrong between this proxy and the next server.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::field_text::FieldText;

static PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// Makes [`ProxyError`] from one table of type and clause.
macro_rules! proxy_errors {
    ($($(#[$doc:meta])* $name:ident = $token:literal,)+) => {
        /// The types of errors (RFC 9209 §2.3).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ProxyError {
            $($(#[$doc])* $name,)+
        }

        impl ProxyError {
            /// All of them, in the order of the RFC.
            pub const ALL: &[ProxyError] = &[$(ProxyError::$name,)+];

            /// The token of the `error` parameter (§2.1.1).
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(ProxyError::$name => $token,)+
                }
            }
        }
    };
}

proxy_errors! {
    /// §2.3.1: the name of the next server was not resolved in time.
    DnsTimeout = "dns_timeout",
    /// §2.3.2: the name was not resolved.
    DnsError = "dns_error",
    /// §2.3.3: it is not known which server is next.
    DestinationNotFound = "destination_not_found",
    /// §2.3.4: the next server is held to be down.
    DestinationUnavailable = "destination_unavailable",
    /// §2.3.5: its address may not be connected to.
    DestinationIpProhibited = "destination_ip_prohibited",
    /// §2.3.6: there is no route to its address.
    DestinationIpUnroutable = "destination_ip_unroutable",
    /// §2.3.7: it refused the connection.
    ConnectionRefused = "connection_refused",
    /// §2.3.8: the connection ended before any part of a response came.
    ConnectionTerminated = "connection_terminated",
    /// §2.3.9: it was not connected in time.
    ConnectionTimeout = "connection_timeout",
    /// §2.3.10: nothing more came from it in time.
    ConnectionReadTimeout = "connection_read_timeout",
    /// §2.3.11: it took nothing more in time.
    ConnectionWriteTimeout = "connection_write_timeout",
    /// §2.3.12: it may not have more connections.
    ConnectionLimitReached = "connection_limit_reached",
    /// §2.3.13: TLS failed.
    TlsProtocolError = "tls_protocol_error",
    /// §2.3.14: its certificate is not believed.
    TlsCertificateError = "tls_certificate_error",
    /// §2.3.15: it sent a TLS alert.
    TlsAlertReceived = "tls_alert_received",
    /// §2.3.16: the client's request is wrong.
    HttpRequestError = "http_request_error",
    /// §2.3.17: the client may not ask for this.
    HttpRequestDenied = "http_request_denied",
    /// §2.3.18: the response ended too early.
    HttpResponseIncomplete = "http_response_incomplete",
    /// §2.3.19: the header section is too long.
    HttpResponseHeaderSectionSize = "http_response_header_section_size",
    /// §2.3.20: a field line is too long.
    HttpResponseHeaderSize = "http_response_header_size",
    /// §2.3.21: the content is too long.
    HttpResponseBodySize = "http_response_body_size",
    /// §2.3.22: the trailer section is too long.
    HttpResponseTrailerSectionSize = "http_response_trailer_section_size",
    /// §2.3.23: a trailer line is too long.
    HttpResponseTrailerSize = "http_response_trailer_size",
    /// §2.3.24: its transfer coding cannot be decoded.
    HttpResponseTransferCoding = "http_response_transfer_coding",
    /// §2.3.25: its content coding cannot be decoded.
    HttpResponseContentCoding = "http_response_content_coding",
    /// §2.3.26: the response did not come in time.
    HttpResponseTimeout = "http_response_timeout",
    /// §2.3.27: the change of protocol failed.
    HttpUpgradeFailed = "http_upgrade_failed",
    /// §2.3.28: the next server does not speak HTTP as it should.
    HttpProtocolError = "http_protocol_error",
    /// §2.3.29: the proxy made this response itself, without asking the next server.
    ProxyInternalResponse = "proxy_internal_response",
    /// §2.3.30: the proxy failed.
    ProxyInternalError = "proxy_internal_error",
    /// §2.3.31: the proxy's settings are wrong.
    ProxyConfigurationError = "proxy_configuration_error",
    /// §2.3.32: the request has come through this proxy before.
    ProxyLoopDetected = "proxy_loop_detected",
}

/// One proxy's member of `Proxy-Status`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProxyStatus<'a> {
    /// §2.1.1: what went wrong.
    pub error: Option<ProxyError>,
    /// §2.1.2: the server that was chosen, as an address or a name.
    pub next_hop: Option<&'a str>,
    /// §2.1.4: the status code that it answered with.
    pub received_status: Option<u16>,
    /// §2.1.5: more, in this proxy's own words.
    pub details: Option<&'a str>,
}

impl ProxyStatus<'_> {
    /// Appends this member under the proxy's `name`, after those of the proxies nearer to the origin (§2).
    pub fn append_to(&self, name: &str, headers: &mut HeaderMap) {
        headers.append(PROXY_STATUS.clone(), self.to_value(name));
    }

    /// This member as a field value.
    pub fn to_value(&self, name: &str) -> HeaderValue {
        let mut text = FieldText::new();
        text.push_token_or_string(name);
        if let Some(error) = self.error {
            text.push(b"; error=");
            text.push(error.as_str().as_bytes());
        }
        if let Some(next_hop) = self.next_hop {
            text.push(b"; next-hop=");
            text.push_token_or_string(next_hop);
        }
        if let Some(status) = self.received_status {
            text.push(b"; received-status=");
            text.push_number(u64::from(status));
        }
        // §2.1.5: a string, never a token.
        if let Some(details) = self.details {
            text.push(b"; details=");
            text.push_string(details);
        }
        text.to_value()
    }
}
