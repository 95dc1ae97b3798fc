//! Where the network gate stands inside a sandbox: addresses and ports that both sides of it agree on.
//!
//! All of them are kept for tests of networks, so no allowed name leads to one of them in the world outside. Callers: the
//! compiler of plans, which routes them, and the gate, which answers there.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// Addresses that stand for names (RFC 2544).
pub const SYNTHETIC_V4: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 15);

/// Addresses that stand for names (RFC 5180).
pub const SYNTHETIC_V6: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0), 48);

/// The first address that is given to a name; those before it are the gate's own.
pub const FIRST_V4: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 0);

/// The first address that is given to a name; those before it are the gate's own.
pub const FIRST_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 2, 0, 1, 0, 0, 0, 0);

/// The resolver inside.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

/// The resolver's port, UDP and TCP.
pub const DNS_PORT: u16 = 53;

/// The proxy endpoints inside.
pub const PROXY: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);

/// The port of the HTTP proxy endpoint.
pub const HTTP_PORT: u16 = 3128;

/// The port of the SOCKS5 endpoint.
pub const SOCKS_PORT: u16 = 1080;
