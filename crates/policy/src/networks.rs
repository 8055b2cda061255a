//! Sets of client addresses: who may `PURGE`, which proxies are trusted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Address ranges in CIDR notation (RFC 4632), IPv4 and IPv6 mixed.
///
/// An IPv4 peer on a dual-stack socket shows as `::ffff:a.b.c.d` (RFC 4291 section 2.5.5.2); it is matched as the IPv4
/// address that it is, on both sides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    v4: Vec<Ipv4Net>,
    v6: Vec<Ipv6Net>,
}

impl Networks {
    /// Whether `address` lies in one of the ranges.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match unmapped(address) {
            IpAddr::V4(address) => self.v4.iter().any(|net| net.contains(&address)),
            IpAddr::V6(address) => self.v6.iter().any(|net| net.contains(&address)),
        }
    }

    /// Whether no address at all is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Adds one range: `10.0.0.0/8`, `::1/128`, or a single address.
    ///
    /// # Errors
    /// The text is neither an address nor an address with a prefix length.
    pub fn add(&mut self, text: &str) -> Result<(), NotANetwork> {
        let net = match text.parse::<IpNet>() {
            Ok(net) => net,
            Err(_) => IpNet::from(text.parse::<IpAddr>().map_err(|_| NotANetwork)?),
        };
        match net {
            IpNet::V4(net) => self.v4.push(net),
            IpNet::V6(net) => match mapped_range(net) {
                Some(net) => self.v4.push(net),
                None => self.v6.push(net),
            },
        }
        Ok(())
    }

    /// Whether every IPv4 address or every IPv6 address is in one of the ranges.
    pub(crate) fn has_whole_family(&self) -> bool {
        self.v4.iter().any(|net| net.prefix_len() == 0) || self.v6.iter().any(|net| net.prefix_len() == 0)
    }

    /// Adds every range of `other`.
    pub fn extend(&mut self, other: &Self) {
        self.v4.extend_from_slice(&other.v4);
        self.v6.extend_from_slice(&other.v6);
    }
}

/// The text is no address range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address range")]
pub struct NotANetwork;

fn unmapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// `::ffff:10.0.0.0/104` says the same as `10.0.0.0/8`.
fn mapped_range(net: Ipv6Net) -> Option<Ipv4Net> {
    let bits = net.prefix_len().checked_sub(96)?;
    let address: Ipv4Addr = Ipv6Addr::to_ipv4_mapped(&net.addr())?;
    Ipv4Net::new(address, bits).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Networks {
        let mut networks = Networks::default();
        for text in texts {
            networks.add(text).unwrap();
        }
        networks
    }

    #[test]
    fn addresses_and_ranges() {
        let set = networks(&["127.0.0.0/8", "::1", "10.1.2.3", "2001:db8::/32"]);
        for (address, inside) in [
            ("127.0.0.1", true),
            ("127.255.255.255", true),
            ("128.0.0.1", false),
            ("::1", true),
            ("::2", false),
            ("10.1.2.3", true),
            ("10.1.2.4", false),
            ("2001:db8:1::9", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(set.contains(address.parse().unwrap()), inside, "{address}");
        }
    }

    #[test]
    fn rfc4291_ipv4_mapped_addresses_are_ipv4() {
        let set = networks(&["10.0.0.0/8", "::ffff:192.168.0.0/112"]);
        assert!(set.contains("::ffff:10.9.9.9".parse().unwrap()));
        assert!(set.contains("192.168.7.7".parse().unwrap()));
        assert!(!set.contains("::ffff:11.0.0.1".parse().unwrap()));
    }

    #[test]
    fn empty_contains_nobody() {
        assert!(Networks::default().is_empty());
        assert!(!Networks::default().contains("127.0.0.1".parse().unwrap()));
        assert!(!networks(&["::/0"]).contains("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn a_whole_family_is_told_apart() {
        for (text, whole) in [
            ("0.0.0.0/0", true),
            ("10.0.0.0/0", true),
            ("::/0", true),
            ("::ffff:0.0.0.0/96", true),
            ("0.0.0.0", false),
            ("::", false),
            ("10.0.0.0/8", false),
        ] {
            assert_eq!(networks(&[text]).has_whole_family(), whole, "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "localhost", "10.0.0.0/33", "10.0.0/8", "::1/129", "*"] {
            assert_eq!(Networks::default().add(text), Err(NotANetwork), "{text}");
        }
    }
}
