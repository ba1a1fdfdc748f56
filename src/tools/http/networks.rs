//! Networks that a tool may reach although they are not public.

use std::net::IpAddr;

use super::address::{is_public, is_within};

/// Which addresses a tool may reach: all that are public, and these networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach(Vec<Network>);

/// A network, such as `127.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    /// How many of its last bits may be any.
    free: u8,
}

impl Reach {
    /// Takes networks as they are written: `127.0.0.0/8`, or one address.
    ///
    /// # Errors
    /// The first that is none.
    pub fn new(networks: &[String]) -> Result<Self, String> {
        let read = |text: &String| Network::read(text).ok_or_else(|| text.clone());
        networks.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Says whether `address` may be reached. One that is an IPv4 address in IPv6 writing is judged
    /// as the IPv4 address.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address) || self.0.iter().any(|network| network.holds(address))
    }
}

impl Network {
    fn read(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
                (address, Some(length.parse::<u8>().ok()?))
            }
            Some(_) => return None,
            None => (text, None),
        };
        let written: IpAddr = address.trim().parse().ok()?;
        let bits = bits_of(written);
        let free = bits.checked_sub(length.unwrap_or(bits))?;
        let address = written.to_canonical();
        (free <= bits_of(address)).then_some(Self { address, free })
    }

    fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                is_within(address.to_bits().into(), network.to_bits().into(), self.free)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                is_within(address.to_bits(), network.to_bits(), self.free)
            }
            _ => false,
        }
    }
}

fn bits_of(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(networks: &[&str]) -> Result<Reach, String> {
        Reach::new(&networks.iter().map(|&network| network.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn only_what_is_public_or_named_is_allowed() {
        let named = reach(&["127.0.0.0/8", "10.1.2.3", "fd00:1::/32", "::ffff:192.168.0.0/112"]);
        let named = named.unwrap();
        for (address, allowed) in [
            ("8.8.8.8", true),
            ("127.0.0.1", true),
            ("127.255.255.255", true),
            ("::ffff:127.0.0.1", true),
            ("::127.0.0.1", false),
            ("::1", false),
            ("128.0.0.1", true),
            ("10.1.2.3", true),
            ("10.1.2.4", false),
            ("fd00:1::7", true),
            ("fd00:2::7", false),
            ("192.168.7.7", true),
            ("192.169.7.7", true),
            ("172.16.0.1", false),
            ("64:ff9b::127.0.0.1", false),
        ] {
            assert_eq!(named.allows(address.parse().unwrap()), allowed, "{address}");
        }
        assert!(reach(&["0.0.0.0/0"]).unwrap().allows([10, 0, 0, 1].into()));
        assert!(reach(&["::/0"]).unwrap().allows("fe80::1".parse().unwrap()));
        assert!(!Reach::default().allows([127, 0, 0, 1].into()));
    }

    #[test]
    fn what_is_no_network_is_named() {
        for text in ["", "localhost", "10.0.0.0/33", "10.0.0.0/", "10/8", "::/129", "10.0.0.0/+8"] {
            assert_eq!(reach(&["10.0.0.0/8", text]), Err(text.to_owned()), "{text}");
        }
        assert!(reach(&["::ffff:10.0.0.0/64"]).is_err(), "wider than all of IPv4");
    }
}
