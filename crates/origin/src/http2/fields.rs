//! A request's head as HTTP/2 has it.

use http::header::{CONNECTION, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, Scheme, Uri};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Version};

use crate::error::{Kind, OriginError};
use crate::request::RequestBody;

/// Fields that say something of one connection of HTTP/1.1 (RFC 9113 §8.2.2), beside those that `Connection` names.
const OF_CONNECTIONS: [HeaderName; 5] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The head of this request: its target as pseudo-header fields (RFC 9113 §8.3.1), and no field of a connection's.
///
/// # Errors
/// `Request` for a `Host` that is no authority.
pub(super) fn head(request: &Request<RequestBody>, tls: bool) -> Result<Request<()>, OriginError> {
    let mut headers = request.headers().clone();
    let host = headers.remove(HOST);
    let mut target = http::uri::Parts::default();
    target.scheme = Some(if tls { Scheme::HTTPS } else { Scheme::HTTP });
    target.authority = Some(authority(host.as_ref())?);
    target.path_and_query = request.uri().path_and_query().cloned();
    remove_connections_own(&mut headers);
    let mut head = Request::new(());
    *head.method_mut() = request.method().clone();
    *head.uri_mut() = Uri::from_parts(target).map_err(|error| OriginError::because(Kind::Request, error))?;
    *head.version_mut() = Version::HTTP_2;
    *head.headers_mut() = headers;
    Ok(head)
}

fn authority(host: Option<&HeaderValue>) -> Result<Authority, OriginError> {
    let authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    // RFC 9113 §8.3.1: without user information.
    let authority = authority.filter(|authority| !authority.as_str().contains('@'));
    authority.ok_or_else(|| OriginError::because(Kind::Request, "the Host field is no authority"))
}

fn remove_connections_own(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    let takes_trailers = headers.get_all(TE).iter().any(names_trailers);
    for name in named.iter().chain(&OF_CONNECTIONS) {
        headers.remove(name);
    }
    // The one member that may stay (RFC 9113 §8.2.2).
    match takes_trailers {
        true => headers.insert(TE, HeaderValue::from_static("trailers")),
        false => headers.remove(TE),
    };
}

fn names_trailers(line: &HeaderValue) -> bool {
    line.as_bytes().split(|&byte| byte == b',').any(|member| member.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(target: &str, lines: &[(&str, &str)]) -> Result<(String, Vec<(String, String)>), Kind> {
        let mut request = Request::builder().uri(target);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        let request = request.body(RequestBody::Empty).unwrap();
        let head = head(&request, true).map_err(|error| error.kind())?;
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        let lines = head.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let uri = head.uri();
        Ok((
            format!("{} {} {}", uri.scheme_str().unwrap(), uri.authority().unwrap(), uri.path_and_query().unwrap()),
            lines,
        ))
    }

    #[test]
    fn targets_rfc9113_8_3_1() {
        for (target, host, wanted) in [
            ("/a?b=c", "a.test", Ok("https a.test /a?b=c")),
            ("/", "a.test:8443", Ok("https a.test:8443 /")),
            ("/", "[::1]:80", Ok("https [::1]:80 /")),
            ("*", "a.test", Ok("https a.test *")),
            ("/", "user@a.test", Err(Kind::Request)),
            ("/", "a b", Err(Kind::Request)),
            ("/", "", Err(Kind::Request)),
        ] {
            let target = translated(target, &[("host", host)]).map(|(target, _)| target);
            assert_eq!(target, wanted.map(str::to_owned), "{host}");
        }
        assert_eq!(translated("/", &[]), Err(Kind::Request));
    }

    #[test]
    fn fields_of_connections_stay_here_rfc9113_8_2_2() {
        let lines = [
            ("host", "a.test"),
            ("connection", "x-mine, te"),
            ("connection", "close"),
            ("x-mine", "1"),
            ("te", "gzip"),
            ("te", "deflate, Trailers"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("x-a", "1"),
        ];
        let wanted = [("x-a", "1"), ("te", "trailers")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(translated("/", &lines).unwrap().1, wanted);
        assert_eq!(translated("/", &[("host", "a.test"), ("te", "gzip")]).unwrap().1, []);
    }
}
