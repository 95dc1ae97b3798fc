//! Whether an address is this machine's own, asked of the kernel at the time at which it matters; addresses come and go.
//!
//! No packet is sent: a datagram socket can be bound to an address of the machine only, and one that is connected to an address of
//! the machine has that same address itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, bind, connect, getsockname, socket};

/// Addresses for documentation (RFC 5737, RFC 3849), which no machine has. Where binding to them works, binding tells nothing
/// (`ip_nonlocal_bind`, ip(7)).
const NOBODYS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

/// Whether `place` is on this machine. What cannot be found out counts as on it.
pub(crate) fn is_own(place: SocketAddr) -> bool {
    let address = place.ip();
    let nobody = NOBODYS[usize::from(address.is_ipv6())];
    match (binds(address), leads_back(place)) {
        (_, Ok(true)) => true,
        (Ok(true), _) => binds(nobody) != Ok(true),
        (Ok(false), _) | (_, Ok(false)) => false,
        (Err(_), Err(_)) => true,
    }
}

fn binds(address: IpAddr) -> Result<bool, Errno> {
    let socket = socket(family(address), SocketType::DGRAM, None)?;
    match bind(&socket, &SocketAddr::new(address, 0)) {
        Ok(()) => Ok(true),
        Err(Errno::ADDRNOTAVAIL) => Ok(false),
        Err(error) => Err(error),
    }
}

fn leads_back(place: SocketAddr) -> Result<bool, Errno> {
    let socket = socket(family(place.ip()), SocketType::DGRAM, None)?;
    match connect(&socket, &place) {
        Ok(()) => {}
        Err(Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::ADDRNOTAVAIL) => return Ok(false),
        Err(error) => return Err(error),
    }
    let own = SocketAddr::try_from(getsockname(&socket)?).map_err(|_| Errno::AFNOSUPPORT)?;
    Ok(own.ip() == place.ip())
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_own_addresses_are_known_without_a_packet() {
        for (address, expect) in [
            ("127.0.0.1:9", true),
            ("127.9.8.7:9", true),
            ("192.0.2.1:9", false),
            ("1.1.1.1:9", false),
            ("[::1]:9", true),
            ("[2001:db8::1]:9", false),
        ] {
            assert_eq!(is_own(address.parse().unwrap()), expect, "{address}");
        }
    }
}
