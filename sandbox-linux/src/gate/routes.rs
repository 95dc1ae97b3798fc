//! Interfaces, addresses and routes of a namespace in which every address is local (rtnetlink(7)).

use super::netlink::{APPEND, CREATE, attribute, batch, message};
use super::{Batch, OWN_V4, OWN_V6, Protocol};

const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;

/// `IFA_ADDRESS` and `IFA_LOCAL`.
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;
/// `RTA_OIF` and `RTA_PREFSRC`.
const OUTPUT: u16 = 4;
const SOURCE: u16 = 7;

/// The first interface of every network namespace is loopback.
const LO: u32 = 1;
/// `IFF_UP`.
const UP: u32 = 1;
/// `IFA_F_NODAD`: no other host could have the address.
const NO_DETECTION: u8 = 2;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// `RT_TABLE_LOCAL`: the table that is asked first.
const TABLE: u8 = 255;
/// `RTPROT_STATIC`.
const STATIC: u8 = 4;
/// `RTN_LOCAL`: what goes there is delivered here.
const DELIVERED: u8 = 2;
/// `RT_SCOPE_HOST` and `RT_SCOPE_UNIVERSE`.
const HOST: u8 = 254;
const UNIVERSE: u8 = 0;

pub(super) fn version_4() -> Batch {
    let own = OWN_V4.octets();
    let messages = vec![up(), address(AF_INET, 32, 0, &own), everything(AF_INET, HOST, &own)];
    batch(Protocol::Route, messages, [&[], &[]])
}

pub(super) fn version_6() -> Batch {
    let own = OWN_V6.octets();
    let messages = vec![address(AF_INET6, 128, NO_DETECTION, &own), everything(AF_INET6, UNIVERSE, &own)];
    batch(Protocol::Route, messages, [&[], &[]])
}

/// `struct ifinfomsg`.
fn up() -> Vec<u8> {
    let mut head = vec![0; 4];
    head.extend(LO.to_ne_bytes());
    head.extend(UP.to_ne_bytes());
    head.extend(UP.to_ne_bytes());
    message(NEW_LINK, 0, &head, &[])
}

/// `struct ifaddrmsg`.
fn address(family: u8, bits: u8, flags: u8, own: &[u8]) -> Vec<u8> {
    let mut head = vec![family, bits, flags, UNIVERSE];
    head.extend(LO.to_ne_bytes());
    message(NEW_ADDRESS, CREATE, &head, &[attribute(LOCAL, own), attribute(ADDRESS, own)])
}

/// `struct rtmsg` for a prefix of no bits.
fn everything(family: u8, scope: u8, own: &[u8]) -> Vec<u8> {
    let mut head = vec![family, 0, 0, 0, TABLE, STATIC, scope, DELIVERED];
    head.extend([0; 4]);
    let attributes = [attribute(OUTPUT, &LO.to_ne_bytes()), attribute(SOURCE, own)];
    message(NEW_ROUTE, CREATE | APPEND, &head, &attributes)
}
