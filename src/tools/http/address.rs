//! Which addresses are public: reachable by anybody, and so of no danger to reach for a model.
//!
//! The tables follow the IANA registries of special-purpose addresses, read narrowly: what is not
//! plainly the public internet is not public.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The first addresses of networks that are not public, and the lengths of their prefixes.
const NOT_PUBLIC_V4: [([u8; 4], u8); 16] = [
    ([0, 0, 0, 0], 8),        // this network
    ([10, 0, 0, 0], 8),       // private
    ([100, 64, 0, 0], 10),    // between a provider and its customers; 100.100.100.200 is metadata
    ([127, 0, 0, 0], 8),      // loopback
    ([168, 63, 129, 16], 32), // what a cloud tells its machines
    ([169, 254, 0, 0], 16),   // link-local; 169.254.169.254 is metadata
    ([172, 16, 0, 0], 12),    // private
    ([192, 0, 0, 0], 24),     // protocol assignments
    ([192, 0, 2, 0], 24),     // documentation
    ([192, 88, 99, 0], 24),   // relays of 6to4
    ([192, 168, 0, 0], 16),   // private
    ([198, 18, 0, 0], 15),    // benchmarks
    ([198, 51, 100, 0], 24),  // documentation
    ([203, 0, 113, 0], 24),   // documentation
    ([224, 0, 0, 0], 4),      // multicast
    ([240, 0, 0, 0], 4),      // reserved, and broadcast
];

/// The same within 2000::/3; nothing outside of it is public.
const NOT_PUBLIC_V6: [([u16; 8], u8); 4] = [
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), // protocol assignments, Teredo among them
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), // documentation
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), // 6to4: IPv4 inside, by way of a relay
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), // documentation
];

/// Says whether anybody on the internet may reach `address`. IPv4 inside IPv6 is judged as the IPv4
/// address that it leads to, where that is certain, and is not public elsewhere.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let is_in = |(network, length): &([u8; 4], u8)| {
        is_within(u32::from(address).into(), u32::from_be_bytes(*network).into(), 32 - length)
    };
    !NOT_PUBLIC_V4.iter().any(is_in)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let [.., high, low] = segments;
    let inner = Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match segments {
        // Mapped, and what a translator (NAT64) of a network without IPv4 makes of an IPv4 address.
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => is_public_v4(inner),
        // Within a tunnel (ISATAP) to that IPv4 address.
        [.., 0 | 0x200, 0x5efe, _, _] if !is_public_v4(inner) => false,
        [first, ..] => {
            let is_in = |(network, length): &([u16; 8], u8)| {
                let network = Ipv6Addr::from(*network);
                is_within(address.to_bits(), network.to_bits(), 128 - length)
            };
            first >> 13 == 1 && !NOT_PUBLIC_V6.iter().any(is_in)
        }
    }
}

/// Says whether an address is in a network but for its last `free` bits.
pub(super) fn is_within(address: u128, network: u128, free: u8) -> bool {
    let without = |bits: u128| bits.checked_shr(free.into()).unwrap_or_default();
    without(address) == without(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, public: bool) {
        assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
    }

    #[test]
    fn each_network_ends_where_it_ends() {
        for (last_before, first, last, first_after) in [
            ("", "0.0.0.0", "0.255.255.255", "1.0.0.0"),
            ("9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"),
            ("100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"),
            ("126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"),
            ("168.63.129.15", "168.63.129.16", "168.63.129.16", "168.63.129.17"),
            ("169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"),
            ("172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"),
            ("191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"),
            ("192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"),
            ("192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0"),
            ("192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"),
            ("198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"),
            ("198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0"),
            ("203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0"),
            ("223.255.255.255", "224.0.0.0", "255.255.255.255", ""),
            ("", "::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2000::"),
            ("2000:ffff::", "2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::"),
            ("2001:db7:ffff::", "2001:db8::", "2001:db8:ffff:ffff::", "2001:db9::"),
            ("2001:ffff::", "2002::", "2002:ffff:ffff::", "2003::"),
            ("3ffe:ffff::", "3fff::", "3fff:fff:ffff::", "3fff:1000::"),
            ("3fff:ffff::", "4000::", "ffff::", ""),
        ] {
            for (address, public) in
                [(last_before, true), (first, false), (last, false), (first_after, true)]
            {
                if !address.is_empty() {
                    check(address, public);
                }
            }
        }
    }

    #[test]
    fn ipv4_inside_ipv6_is_judged_as_what_it_leads_to() {
        for (address, public) in [
            ("::ffff:8.8.8.8", true),
            ("::ffff:10.0.0.1", false),
            ("64:ff9b::8.8.8.8", true),
            ("64:ff9b::169.254.169.254", false),
            ("64:ff9b:1::8.8.8.8", false),
            ("2606:4700::5efe:8.8.8.8", true),
            ("2606:4700::5efe:10.0.0.1", false),
            ("2606:4700::200:5efe:10.0.0.1", false),
            ("::8.8.8.8", false),
            ("::ffff:0:8.8.8.8", false),
            ("2002:808:808::1", false),
        ] {
            check(address, public);
        }
    }
}
