//! Whether an address is this machine's own, asked of the kernel at the time at which it matters; addresses come and go.
//!
//! No packet is sent: a datagram socket can be bound to an address of the machine only, and one that is connected to an address of
//! the machine has that same address itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Addresses for documentation (RFC 5737, RFC 3849), which no machine has. Where binding to them works, binding tells nothing
/// (`ip_nonlocal_bind`, ip(7)).
const NOBODYS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

/// Whether `place` is on this machine.
pub(crate) fn is_own(place: SocketAddr) -> bool {
    let address = place.ip();
    let nobody = NOBODYS[usize::from(address.is_ipv6())];
    (binds(address) && !binds(nobody)) || leads_back(place)
}

fn binds(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

fn leads_back(place: SocketAddr) -> bool {
    let any: IpAddr =
        if place.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let own = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect(place)?;
        socket.local_addr()
    });
    own.is_ok_and(|own| own.ip() == place.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_own_addresses_are_known_without_a_packet() {
        for (address, expect) in
            [("127.0.0.1:9", true), ("127.9.8.7:9", true), ("192.0.2.1:9", false), ("1.1.1.1:9", false)]
        {
            assert_eq!(is_own(address.parse().unwrap()), expect, "{address}");
        }
    }
}
