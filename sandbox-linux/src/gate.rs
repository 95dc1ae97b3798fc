//! The network of a sandbox behind the gate, as data: what is said to the kernel, and which sockets are made.
//!
//! In the sandbox's own network namespace every address is local, so that a connection to any of them arrives; one table of
//! netfilter leads all TCP to one listening socket for each family, and everything to a resolver to another. Nothing else leaves a
//! socket. Who accepts on these sockets is outside and learns from `SO_ORIGINAL_DST` where a connection was to go. Nobody inside
//! can change any of it: no capability is left there. Pure: bytes are computed here and sent by `enter`, and by the host's probe.

pub mod files;
pub mod variables;

mod netlink;
mod routes;
mod rules;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use weir_protocol::gate::RESOLVER;

use crate::plan::Loopback;

/// The port at which the gate's sockets wait. It is none that anybody inside gets unasked (`ip_local_port_range`), and what they ask
/// for is kept by the sockets themselves.
pub const PORT: u16 = 65_535;

/// Where the gate's sockets wait: like every address behind the gate, one that nobody inside reaches but through it.
pub const LISTENER_V4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 3);
/// The same for version 6.
pub const LISTENER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 3);

/// The sandbox's own address: what its connections come from, and what shows programs that there is a network.
const OWN_V4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 4);
/// The same for version 6.
const OWN_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 4);

/// Where what is refused is told (nfnetlink_log): the number of a group that this namespace alone has.
const LOG_GROUP: u16 = 1;

/// A family of netlink sockets (netlink(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `NETLINK_ROUTE`: interfaces, addresses, routes.
    Route,
    /// `NETLINK_NETFILTER`: tables, and the log.
    Netfilter,
}

/// Messages that are sent at once. The kernel answers the last, and any of them that it does not carry out before that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Over which socket.
    pub protocol: Protocol,
    /// The messages.
    pub bytes: Vec<u8>,
}

/// Sockets of each version that are made inside for published ports, and so connections that may be open at a time.
pub const INNER_SOCKETS: usize = 64;

/// What makes a network namespace lead to the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// Whether servers inside can be reached inside.
    pub loopback: Loopback,
    /// Loopback up; every address of version 4 is local.
    pub links: Batch,
    /// Every address of version 6 is local; refused where the host has switched version 6 off, and then none of it leads anywhere.
    pub links_v6: Batch,
    /// Asks for what is refused to be told on the socket that says this; refused where the kernel has no such log.
    pub log: Batch,
    /// The table.
    pub rules: Batch,
    /// The table, where refusals are told.
    pub rules_logged: Batch,
}

impl Gate {
    /// The gate of a sandbox with or without a loopback of its own.
    #[must_use]
    pub fn new(loopback: Loopback) -> Self {
        Self {
            loopback,
            links: routes::version_4(),
            links_v6: routes::version_6(),
            log: rules::log(),
            rules: rules::table(loopback, rules::Refused::Silent),
            rules_logged: rules::table(loopback, rules::Refused::Told),
        }
    }

    /// In words, a line each.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let loopback = match self.loopback {
            Loopback::Up => "loopback is the sandbox's own",
            Loopback::Untouched => "loopback is the gate's too",
        };
        vec![
            format!("all tcp to {LISTENER_V4}:{PORT} and [{LISTENER_V6}]:{PORT}"),
            format!("dns to {}:{PORT}", RESOLVER),
            "all else refused".to_owned(),
            loopback.to_owned(),
        ]
    }
}

/// The gate's proxies on the host's own loopback, where no network of the sandbox leads to the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proxies {
    /// The port of the HTTP endpoint.
    pub http: u16,
    /// The port of the SOCKS5 endpoint.
    pub socks: u16,
}

/// What programs in limited mode trust: the host's authorities and the sandbox's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// As one file of PEM.
    pub bundle: Arc<[u8]>,
    /// As a key store of Java.
    pub key_store: Arc<[u8]>,
}

/// A socket of the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Socket {
    /// Listens for connections of version 4.
    TcpV4,
    /// Listens for connections of version 6; absent where the host has none.
    TcpV6,
    /// Receives questions to the resolver.
    Resolver,
    /// Tells what was refused; absent where the kernel cannot.
    Log,
    /// Of version 4, not connected: leads from a published port to a server inside.
    InnerV4,
    /// The same of version 6; absent where the host has none.
    InnerV6,
}

impl Socket {
    /// Every one.
    pub const ALL: [Self; 6] =
        [Self::TcpV4, Self::TcpV6, Self::Resolver, Self::Log, Self::InnerV4, Self::InnerV6];

    /// Its name among the descriptors of a launch.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TcpV4 => "tcp4",
            Self::TcpV6 => "tcp6",
            Self::Resolver => "resolver",
            Self::Log => "refused",
            Self::InnerV4 => "inner4",
            Self::InnerV6 => "inner6",
        }
    }

    /// Its number in a record.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::TcpV4 => 0,
            Self::TcpV6 => 1,
            Self::Resolver => 2,
            Self::Log => 3,
            Self::InnerV4 => 4,
            Self::InnerV6 => 5,
        }
    }

    /// The socket of this number.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|socket| socket.number() == number)
    }
}

#[cfg(test)]
mod tests;
