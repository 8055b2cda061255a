//! IP addresses as text: every forwarded request and every line of the log has one.

use std::io::Write as _;
use std::net::IpAddr;

/// An address as text, on the stack. An IPv4 client of a dual-stack socket shows as itself, not as `::ffff:a.b.c.d`.
#[derive(Clone, Copy, Debug)]
pub struct AddressText {
    bytes: [u8; Self::LONGEST],
    length: usize,
}

impl AddressText {
    /// The longest text of an IPv6 address: one with an IPv4 address in it.
    const LONGEST: usize = 45;

    /// The text of this address.
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        let mut text = Self { bytes: [0; Self::LONGEST], length: 0 };
        match address.to_canonical() {
            IpAddr::V4(address) => {
                for (index, octet) in address.octets().into_iter().enumerate() {
                    if index > 0 {
                        text.push(b'.');
                    }
                    if octet >= 100 {
                        text.push(b'0' + octet / 100);
                    }
                    if octet >= 10 {
                        text.push(b'0' + octet / 10 % 10);
                    }
                    text.push(b'0' + octet % 10);
                }
            }
            IpAddr::V6(address) => {
                let mut room = &mut text.bytes[..];
                // There is room for any.
                let _ = write!(room, "{address}");
                text.length = Self::LONGEST - room.len();
            }
        }
        text
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }

    /// The text, in ASCII.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    proptest! {
        #[test]
        fn is_what_the_library_writes(v4 in any::<u32>(), v6 in any::<u128>(), mask in any::<u128>()) {
            let v4 = Ipv4Addr::from_bits(v4);
            for address in [v4.into(), v4.to_ipv6_mapped().into(), Ipv6Addr::from_bits(v6).into(), Ipv6Addr::from_bits(v6 & mask).into()] {
                let address: IpAddr = address;
                let text = AddressText::new(address);
                prop_assert_eq!(text.as_str(), address.to_canonical().to_string());
            }
        }
    }

    #[test]
    fn the_longest_has_room() {
        for text in
            ["1111:2222:3333:4444:5555:6666:7777:8888", "::ffff:255.255.255.255", "255.255.255.255", "::", "0.0.0.0"]
        {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(AddressText::new(address).as_str(), address.to_canonical().to_string());
        }
    }
}
