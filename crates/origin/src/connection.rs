//! What carries one request: a connection of HTTP/1.1, or a place on one of HTTP/2.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, Request, StatusCode, Version, response};

use crate::body::Reading;
use crate::http2::Lane;
use crate::link::{Failed, Link, OnInterim};
use crate::request::RequestBody;
use crate::server::Server;
use crate::silence::Silence;
use crate::upgrade::Upgrading;

/// A connection that waits for its one request.
pub(crate) enum Connection {
    /// All of it is the request's.
    Http1(Box<Link>),
    /// Other requests are on it too.
    Http2(Box<Lane>),
}

/// What a request asks of its connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Needs {
    /// Whose it is to be: see [`Call::client`](crate::Call::client).
    pub(crate) client: Option<(SocketAddr, SocketAddr)>,
    /// It may change to another protocol (RFC 9110 §7.8), which only HTTP/1.1 can.
    pub(crate) upgrade: bool,
}

/// The head of a response, without what of it concerns the connection.
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
}

impl Connection {
    /// Sends a request and waits for the head of its response: see [`Link::exchange`].
    pub(crate) async fn exchange(
        self,
        request: Box<Request<RequestBody>>,
        on_interim: Option<&OnInterim>,
        silence: Silence<'_>,
        server: &Arc<Server>,
    ) -> Result<(Head, Reading, Option<Upgrading>), Failed> {
        match self {
            Self::Http1(link) => {
                let (head, reading, upgrade) = link.exchange(request, on_interim, silence, server).await?;
                Ok((head, Reading::Http1(reading), upgrade))
            }
            // Boxed: every request of HTTP/1.1 would carry its size.
            Self::Http2(lane) => {
                let (response::Parts { status, version, headers, .. }, reading) =
                    Box::pin(lane.exchange(request, on_interim, silence, server.authority().clone())).await?;
                Ok((Head { status, version, headers }, Reading::Http2(Box::new(reading)), None))
            }
        }
    }
}
