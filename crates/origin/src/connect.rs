//! Establishing a connection: every address of a server, within one limit of time.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::error::{Kind, OriginError};

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At a fixed address.
    Address(SocketAddr),
    /// At whatever its name resolves to at the time of a connection.
    Name(String, u16),
}

impl Place {
    /// A host as in a URI (RFC 3986 §3.2.2, IPv6 in brackets) and a port.
    pub(crate) fn new(host: &str, port: u16) -> Self {
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        match literal.unwrap_or(host).parse::<IpAddr>() {
            Ok(address) => Self::Address(SocketAddr::new(address, port)),
            Err(_) => Self::Name(host.to_owned(), port),
        }
    }

    /// Connects within `limit`.
    pub(crate) async fn connect(&self, limit: Duration) -> Result<TcpStream, OriginError> {
        let began = Instant::now();
        let addresses = self.addresses(limit).await?;
        connect_any(&addresses, limit.saturating_sub(began.elapsed())).await
    }

    async fn addresses(&self, limit: Duration) -> Result<Vec<SocketAddr>, OriginError> {
        match self {
            Place::Address(address) => Ok(vec![*address]),
            Place::Name(name, port) => match timeout(limit, tokio::net::lookup_host((name.as_str(), *port))).await {
                Ok(Ok(addresses)) => Ok(addresses.collect()),
                Ok(Err(error)) => Err(OriginError::because(Kind::Dns, error)),
                Err(_) => Err(OriginError::because(Kind::Dns, timed_out())),
            },
        }
    }
}

/// Tries the addresses in turn, each with its share of the time that is left, so that one that swallows everything does
/// not use up the time of the others.
async fn connect_any(addresses: &[SocketAddr], limit: Duration) -> Result<TcpStream, OriginError> {
    let began = Instant::now();
    let none = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut last = OriginError::because(Kind::Dns, none);
    for (index, address) in addresses.iter().enumerate() {
        let left = limit.saturating_sub(began.elapsed());
        let share = left / u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Heads and chunks are written whole: waiting to fill a segment only delays them.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, %address, "cannot set TCP_NODELAY");
                }
                return Ok(stream);
            }
            Ok(Err(error)) => last = OriginError::because(kind_of(&error), error),
            Err(_) => last = OriginError::because(Kind::ConnectTimeout, timed_out()),
        }
    }
    Err(last)
}

pub(crate) fn kind_of(error: &io::Error) -> Kind {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Kind::ConnectRefused,
        io::ErrorKind::TimedOut => Kind::ConnectTimeout,
        _ => Kind::Connect,
    }
}

pub(crate) fn timed_out() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_uris_rfc3986_3_2_2() {
        let fixed = |text: &str| Place::Address(text.parse().unwrap());
        assert_eq!(Place::new("127.0.0.1", 80), fixed("127.0.0.1:80"));
        assert_eq!(Place::new("[::1]", 81), fixed("[::1]:81"));
        assert_eq!(Place::new("cms", 82), Place::Name("cms".to_owned(), 82));
    }

    #[tokio::test]
    async fn every_address_is_tried_and_the_last_failure_told() {
        let limit = Duration::from_secs(60);
        let refused = copal_testkit::refused_address().await;
        let server = copal_testkit::ScriptedOrigin::start().await;
        let stream = connect_any(&[refused, server.address()], limit).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), server.address());
        let kind = async |addresses: &[SocketAddr]| connect_any(addresses, limit).await.unwrap_err().kind();
        assert_eq!(kind(&[refused, refused]).await, Kind::ConnectRefused);
        assert_eq!(kind(&[]).await, Kind::Dns);
    }
}
