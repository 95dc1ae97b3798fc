//! What kind of network an IP address belongs to. The same table serves the verdict and the network gate.
//!
//! Sources: the IANA special-purpose address registries (RFC 6890), RFC 6598 (shared address space), RFC 4193 (unique
//! local), RFC 6052 and RFC 8215 (NAT64), RFC 3056 (6to4), and the metadata addresses that cloud providers document.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// The kind of place that an address names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddressClass {
    /// Reachable over the public network.
    Public,
    /// This machine.
    Loopback,
    /// A private network (10/8, 172.16/12, 192.168/16, `fc00::/7`, `fec0::/10`).
    Private,
    /// One link (169.254/16, `fe80::/10`).
    LinkLocal,
    /// Carrier-grade NAT (100.64/10).
    SharedNat,
    /// A cloud provider's metadata service.
    Metadata,
    /// A group of hosts.
    Multicast,
    /// No address at all (`0.0.0.0/8`, `::`).
    Unspecified,
    /// Kept for documentation, benchmarks, protocols or the future.
    Reserved,
}

impl fmt::Display for AddressClass {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Public => "public",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::LinkLocal => "link-local",
            Self::SharedNat => "shared (carrier NAT)",
            Self::Metadata => "cloud metadata",
            Self::Multicast => "multicast",
            Self::Unspecified => "unspecified",
            Self::Reserved => "reserved",
        })
    }
}

/// Services that hand out a machine's credentials, as their providers document them: metadata of most clouds; of Amazon ECS tasks and EKS
/// pods; of Alibaba Cloud; of Azure.
const METADATA_V4: [Ipv4Addr; 5] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
];

/// The same in version 6: Amazon EC2 and EKS pods; Google Compute Engine; Oracle Cloud; Scaleway.
const METADATA_V6: [Ipv6Addr; 5] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
];

impl AddressClass {
    /// Classifies `address`; IPv4 inside IPv6 (mapped, compatible, NAT64, 6to4) is judged by the IPv4 address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => embedded_v4(v6).map_or_else(|| Self::of_v6(v6), Self::of_v4),
        }
    }

    /// Whether a range opens addresses of this kind only by naming one address: they lead to the host itself or to its
    /// credentials, which nobody means by a wide range.
    #[must_use]
    pub fn must_be_named(self) -> bool {
        matches!(self, Self::Metadata | Self::Loopback | Self::Unspecified)
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        let [a, b, c, _] = address.octets();
        match (a, b, c) {
            _ if METADATA_V4.contains(&address) => Self::Metadata,
            (0, ..) => Self::Unspecified,
            (127, ..) => Self::Loopback,
            (10, ..) | (172, 16..=31, _) | (192, 168, _) => Self::Private,
            (169, 254, _) => Self::LinkLocal,
            (100, 64..=127, _) => Self::SharedNat,
            (224..=239, ..) => Self::Multicast,
            (240..=255, ..) | (198, 18..=19, _) => Self::Reserved,
            (192, 0, 0 | 2) | (198, 51, 100) | (203, 0, 113) | (192, 88, 99) => Self::Reserved,
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        let head = address.segments();
        match head[0] {
            _ if METADATA_V6.contains(&address) => Self::Metadata,
            _ if address.is_unspecified() => Self::Unspecified,
            _ if address.is_loopback() => Self::Loopback,
            0xfc00..=0xfdff | 0xfec0..=0xfeff => Self::Private,
            0xfe80..=0xfebf => Self::LinkLocal,
            0xff00..=0xffff => Self::Multicast,
            0x2001 if head[1] < 0x200 || head[1] == 0xdb8 => Self::Reserved,
            0x3fff if head[1] < 0x1000 => Self::Reserved,
            0x2000..=0x3fff => Self::Public,
            _ => Self::Reserved,
        }
    }
}

/// The IPv4 address to which this one leads, where it holds one.
#[must_use]
pub fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let join = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match s {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => Some(join(high, low)),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(join(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(join(high, low)),
        // Whoever runs the translator chose where in the prefix the address stands: the usual place of a /96 (RFC 6052, 2.2).
        [0x64, 0xff9b, 1, _, _, _, high, low] => Some(join(high, low)),
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classifies_every_notation() {
        use AddressClass::*;
        let cases = [
            ("1.1.1.1", Public),
            ("2606:4700::1111", Public),
            ("127.0.0.1", Loopback),
            ("127.255.0.9", Loopback),
            ("::1", Loopback),
            ("::ffff:127.0.0.1", Loopback),
            ("::127.0.0.1", Loopback),
            ("64:ff9b::7f00:1", Loopback),
            ("2002:7f00:1::", Loopback),
            ("10.1.2.3", Private),
            ("172.31.255.255", Private),
            ("172.32.0.1", Public),
            ("192.168.0.1", Private),
            ("::ffff:10.0.0.1", Private),
            ("fd12::1", Private),
            ("fec0::1", Private),
            ("169.254.1.1", LinkLocal),
            ("fe80::1", LinkLocal),
            ("100.64.0.1", SharedNat),
            ("100.128.0.1", Public),
            ("169.254.169.254", Metadata),
            ("::ffff:169.254.169.254", Metadata),
            ("100.100.100.200", Metadata),
            ("168.63.129.16", Metadata),
            ("169.254.170.2", Metadata),
            ("169.254.170.23", Metadata),
            ("fd00:ec2::254", Metadata),
            ("fd00:ec2::23", Metadata),
            ("fd20:ce::254", Metadata),
            ("fd00:c1::a9fe:a9fe", Metadata),
            ("fd00:42::42", Metadata),
            ("64:ff9b:1::a09:807", Private),
            ("64:ff9b:1:7::a9fe:a9fe", Metadata),
            ("64:ff9b:1::808:808", Public),
            ("224.0.0.1", Multicast),
            ("ff02::1", Multicast),
            ("0.0.0.0", Unspecified),
            ("0.1.2.3", Unspecified),
            ("::", Unspecified),
            ("255.255.255.255", Reserved),
            ("198.18.0.1", Reserved),
            ("192.0.2.1", Reserved),
            ("2001:db8::1", Reserved),
            ("2001::1", Reserved),
            ("4000::1", Reserved),
        ];
        for (text, expect) in cases {
            assert_eq!(AddressClass::of(text.parse().unwrap()), expect, "{text}");
        }
    }
}
