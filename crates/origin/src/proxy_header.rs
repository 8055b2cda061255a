//! The header that tells a server whose connection it is: the PROXY protocol, versions 1 and 2.
//!
//! Source: <https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>, sections 2.1 and 2.2.

use std::net::{IpAddr, SocketAddr};

use crate::settings::ProxyProtocol;

/// The signature of version 2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command LOCAL: a connection of the proxy's own.
const LOCAL: u8 = 0x20;
/// Version 2, command PROXY: a connection on behalf of a client.
const PROXY: u8 = 0x21;
/// No address family, no transport.
const UNSPECIFIED: u8 = 0x00;
/// TCP over IPv4, and over IPv6.
const TCP: (u8, u8) = (0x11, 0x21);

/// The bytes that open a connection: on behalf of a client, who came from the first address to the second, or the proxy's own.
pub(crate) fn header(version: ProxyProtocol, client: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    let client = client.map(|(from, to)| (canonical(from), canonical(to)));
    match version {
        ProxyProtocol::V1 => text(client),
        ProxyProtocol::V2 => binary(client),
    }
}

/// An IPv4 address that a socket of both families shows as an IPv6 one (RFC 4291 §2.5.5.2).
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Section 2.1. Both addresses are of one family; where they are not, the text form has no way to say so.
fn text(client: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    let line = match client {
        Some((from, to)) if from.is_ipv4() && to.is_ipv4() => {
            format!("PROXY TCP4 {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port())
        }
        Some((from, to)) => {
            let (from_ip, to_ip) = (six(from.ip()), six(to.ip()));
            format!("PROXY TCP6 {from_ip} {to_ip} {} {}\r\n", from.port(), to.port())
        }
        None => "PROXY UNKNOWN\r\n".to_owned(),
    };
    line.into_bytes()
}

/// Section 2.2.
fn binary(client: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    let Some((from, to)) = client else {
        bytes.extend_from_slice(&[LOCAL, UNSPECIFIED, 0, 0]);
        return bytes;
    };
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from_ip), IpAddr::V4(to_ip)) => {
            bytes.extend_from_slice(&[PROXY, TCP.0, 0, 12]);
            bytes.extend_from_slice(&from_ip.octets());
            bytes.extend_from_slice(&to_ip.octets());
        }
        (from_ip, to_ip) => {
            bytes.extend_from_slice(&[PROXY, TCP.1, 0, 36]);
            bytes.extend_from_slice(&six(from_ip).octets());
            bytes.extend_from_slice(&six(to_ip).octets());
        }
    }
    bytes.extend_from_slice(&from.port().to_be_bytes());
    bytes.extend_from_slice(&to.port().to_be_bytes());
    bytes
}

/// The address beside one of IPv6.
fn six(address: IpAddr) -> std::net::Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(from: &str, to: &str) -> Option<(SocketAddr, SocketAddr)> {
        Some((from.parse().unwrap(), to.parse().unwrap()))
    }

    #[test]
    fn version_1_section_2_1() {
        let table = [
            (None, "PROXY UNKNOWN\r\n"),
            (pair("192.0.2.1:56324", "198.51.100.2:443"), "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"),
            (
                pair("255.255.255.255:65535", "255.255.255.255:65535"),
                "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            ),
            (pair("[2001:db8::1]:1", "[2001:db8::2]:80"), "PROXY TCP6 2001:db8::1 2001:db8::2 1 80\r\n"),
            // What a socket of both families shows.
            (pair("[::ffff:192.0.2.1]:5", "[::ffff:198.51.100.2]:80"), "PROXY TCP4 192.0.2.1 198.51.100.2 5 80\r\n"),
            (pair("192.0.2.1:5", "[2001:db8::2]:80"), "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 5 80\r\n"),
        ];
        for (client, wanted) in table {
            let bytes = header(ProxyProtocol::V1, client);
            assert_eq!(std::str::from_utf8(&bytes).unwrap(), wanted);
            assert!(bytes.len() <= 107, "the longest line of section 2.1");
        }
    }

    #[test]
    fn version_2_section_2_2() {
        let signature = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A];
        let ports = [0xDC, 0x04, 0x01, 0xBB];
        let v4: &[u8] = &[0x21, 0x11, 0x00, 0x0C, 192, 0, 2, 1, 198, 51, 100, 2];
        let mut v6 = vec![0x21, 0x21, 0x00, 0x24, 0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        v6.extend_from_slice(&[0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        let mut mixed = vec![0x21, 0x21, 0x00, 0x24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 192, 0, 2, 1];
        mixed.extend_from_slice(&[0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        let table: [(_, &[u8]); 5] = [
            (None, &[0x20, 0x00, 0x00, 0x00]),
            (pair("192.0.2.1:56324", "198.51.100.2:443"), v4),
            (pair("[::ffff:192.0.2.1]:56324", "198.51.100.2:443"), v4),
            (pair("[2001:db8::1]:56324", "[2001:db8::2]:443"), &v6),
            (pair("192.0.2.1:56324", "[2001:db8::2]:443"), &mixed),
        ];
        for (client, rest) in table {
            let mut wanted = [&signature, rest].concat();
            if client.is_some() {
                wanted.extend_from_slice(&ports);
            }
            assert_eq!(header(ProxyProtocol::V2, client), wanted, "{client:?}");
        }
    }
}
