//! Takes purges over UDP (HTCP, RFC 2756).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use copal_proxy::Proxy;
use copal_proxy::purge::htcp::LONGEST;
use tokio::net::UdpSocket;

use crate::listener::{BindError, Drain};

/// Datagrams in a row before others have their turn.
const AT_ONCE: usize = 64;

/// A bound socket.
#[derive(Debug)]
pub(crate) struct Htcp {
    socket: UdpSocket,
    address: SocketAddr,
}

impl Htcp {
    /// Binds `address`; port 0 lets the system choose. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The address is taken, not of this machine, or not allowed.
    pub(crate) fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let bind = || {
            let socket = std::net::UdpSocket::bind(address)?;
            socket.set_nonblocking(true)?;
            let socket = UdpSocket::from_std(socket)?;
            Ok(Self { address: socket.local_addr()?, socket })
        };
        bind().map_err(|source: io::Error| BindError { address, source })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `drain` begins.
    pub(crate) async fn serve(self, proxy: Arc<Proxy>, drain: Arc<Drain>) {
        // One more than is looked at: what fills it is too long.
        let mut datagram = vec![0; LONGEST + 1];
        let mut in_a_row = 0;
        loop {
            let received = tokio::select! {
                biased;
                () = drain.wait() => break,
                received = self.socket.recv_from(&mut datagram) => received,
            };
            match received {
                Ok((length, peer)) => {
                    if let Some(answer) = proxy.htcp(&datagram[..length], peer.ip()) {
                        // Whoever does not get it asks again, or does not care.
                        let _ = self.socket.try_send_to(&answer, peer);
                    }
                }
                // What the system tells of earlier answers that nobody took (RFC 1122 §4.1.3.3).
                Err(error) => tracing::debug!(%error, "HTCP: no datagram"),
            }
            in_a_row += 1;
            if in_a_row % AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
        }
    }
}
