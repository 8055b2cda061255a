//! What an origin is told.

use std::time::Duration;

use http::Uri;

/// The servers of an origin, and the limits of an exchange with them.
#[derive(Clone, Debug)]
pub struct OriginSettings {
    /// The origin's name, for logs.
    pub name: String,
    /// The servers: `http://HOST[:PORT]`, at least one.
    pub servers: Vec<Uri>,
    /// How long a connection may take to be established, name resolution included.
    pub connect_timeout: Duration,
    /// How long the origin may be silent between the last byte of the request and the response's head.
    pub first_byte_timeout: Duration,
    /// How long the origin may be silent in the middle of a response's body, while somebody waits for it.
    pub between_bytes_timeout: Duration,
    /// How long a connection is kept without a request.
    pub idle_timeout: Duration,
    /// How many connections without a request are kept for each server.
    pub max_idle: usize,
    /// The size limit of a response's head, in bytes.
    pub max_header_bytes: usize,
    /// How many other servers are tried when a connection cannot be established.
    pub retries: usize,
}

impl Default for OriginSettings {
    fn default() -> Self {
        Self {
            name: "origin".to_owned(),
            servers: Vec::new(),
            connect_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_secs(60),
            between_bytes_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(60),
            max_idle: 256,
            max_header_bytes: 512 << 10,
            retries: 2,
        }
    }
}
