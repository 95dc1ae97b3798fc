//! The table of netfilter that leads everything to the gate (`linux/netfilter/nf_tables.h`), and its log.
//!
//! As nft(8) would print it, where loopback is not the sandbox's own:
//!
//! ```text
//! table inet weir {
//!   chain lead {
//!     type nat hook output priority -100; policy accept;
//!     meta nfproto ipv4 meta l4proto tcp dnat ip to 198.18.0.3:65535
//!     meta nfproto ipv6 meta l4proto tcp dnat ip6 to [2001:2::3]:65535
//!     ip daddr 198.18.0.1 udp dport 53 dnat ip to 198.18.0.1:65535
//!     ip daddr 127.0.0.0/8 udp dport 53 dnat ip to 198.18.0.1:65535
//!   }
//!   chain refuse {
//!     type filter hook output priority 0; policy drop;
//!     meta l4proto tcp accept
//!     ip daddr 198.18.0.1 udp dport 65535 accept
//!     ip saddr 198.18.0.1 udp sport 65535 accept
//!     meta l4proto udp log group 1
//!   }
//! }
//! ```
//!
//! Whatever is sent and not accepted fails at once (`EPERM`). A program that finds no `resolv.conf` asks its own loopback.

use std::net::IpAddr;

use weir_protocol::gate::{DNS_PORT, RESOLVER};

use super::netlink::{APPEND, CREATE, attribute, batch, message, nest, number, text};
use super::{Batch, LISTENER_V4, LISTENER_V6, LOG_GROUP, PORT, Protocol};
use crate::plan::Loopback;

/// Whether what is refused is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Told,
    Silent,
}

/// Subsystems, and messages of them.
const NF_TABLES: u16 = 10;
const LOG: u16 = 4;
const NEW_TABLE: u16 = 0;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
const LOG_SETTING: u16 = 1;
/// What stands around messages of nf_tables that hold together or not at all.
const BEGIN: u16 = 0x10;
const END: u16 = 0x11;

/// `NFPROTO_UNSPEC`, `NFPROTO_INET` (both versions), `NFPROTO_IPV4`, `NFPROTO_IPV6`.
const NONE: u8 = 0;
const INET: u8 = 1;
const V4: u8 = 2;
const V6: u8 = 10;

const TCP: u8 = 6;
const UDP: u8 = 17;

const TABLE: &str = "weir";
const LEAD: &str = "lead";
const REFUSE: &str = "refuse";

/// `NF_INET_LOCAL_OUT`: what is sent from here.
const OUTPUT: u32 = 3;
/// `NF_IP_PRI_NAT_DST` and `NF_IP_PRI_FILTER`.
const PRIORITY_LEAD: i32 = -100;
const PRIORITY_REFUSE: i32 = 0;

const DROP: u32 = 0;
const ACCEPT: u32 = 1;

/// Registers: of the verdict, and two for data.
const VERDICT: u32 = 0;
const FIRST: u32 = 1;
const SECOND: u32 = 2;

/// Where addresses lie in a packet of either version, and ports in either protocol.
const V4_SOURCE: [u32; 2] = [12, 4];
const V4_DESTINATION: [u32; 2] = [16, 4];
const V4_DESTINATION_FIRST: [u32; 2] = [16, 1];
const V6_DESTINATION: [u32; 2] = [24, 16];
const SOURCE_PORT: [u32; 2] = [0, 2];
const DESTINATION_PORT: [u32; 2] = [2, 2];
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;

/// `NFT_META_NFPROTO` and `NFT_META_L4PROTO`.
const META_VERSION: u32 = 15;
const META_PROTOCOL: u32 = 16;

/// First byte of the addresses of loopback.
const LOOPBACK_V4: u8 = 127;
const LOOPBACK_V6: [u8; 16] = std::net::Ipv6Addr::LOCALHOST.octets();

/// Bytes of a packet that are told: headers with both addresses and ports.
const TOLD_BYTES: u32 = 64;

/// The whole table, in one batch.
pub(super) fn table(loopback: Loopback, refused: Refused) -> Batch {
    let mut messages = vec![
        tables(NEW_TABLE, CREATE, &[text(1, TABLE)]),
        chain(LEAD, "nat", PRIORITY_LEAD, ACCEPT),
        chain(REFUSE, "filter", PRIORITY_REFUSE, DROP),
    ];
    messages.extend(lead(loopback).iter().map(|expressions| rule(LEAD, expressions)));
    messages.extend(refuse(loopback, refused).iter().map(|expressions| rule(REFUSE, expressions)));
    let around = [BEGIN, END].map(|kind| message(kind, 0, &head(NONE, NF_TABLES), &[]));
    batch(Protocol::Netfilter, messages, [&around[0], &around[1]])
}

/// Asks for what is refused, on the socket that says this, each at once.
pub(super) fn log() -> Batch {
    let head = head(NONE, LOG_GROUP);
    let kind = LOG << 8 | LOG_SETTING;
    let (command, mode, at_once) = (1, 2, 5);
    let (bind, packets) = (1, 2);
    let copied = [&TOLD_BYTES.to_be_bytes()[..], &[packets, 0]].concat();
    let messages = vec![
        message(kind, 0, &head, &[attribute(command, &[bind])]),
        message(kind, 0, &head, &[attribute(mode, &copied), number(at_once, 1)]),
    ];
    batch(Protocol::Netfilter, messages, [&[], &[]])
}

type Expressions = Vec<Vec<u8>>;

fn lead(loopback: Loopback) -> Vec<Expressions> {
    let mut rules = Vec::new();
    if loopback == Loopback::Up {
        rules.push([version(V4), protocol(TCP), to_loopback_v4(), vec![accept()]].concat());
        rules.push([version(V6), protocol(TCP), to_loopback_v6(), vec![accept()]].concat());
    }
    let to_port = |port: u16| matches(TRANSPORT, DESTINATION_PORT, &port.to_be_bytes());
    rules.push([version(V4), protocol(TCP), divert(LISTENER_V4.into())].concat());
    rules.push([version(V6), protocol(TCP), divert(LISTENER_V6.into())].concat());
    let to_resolver = matches(NETWORK, V4_DESTINATION, &RESOLVER.octets());
    for to in [to_resolver, to_loopback_v4()] {
        rules.push([version(V4), protocol(UDP), to, to_port(DNS_PORT), divert(RESOLVER.into())].concat());
    }
    rules
}

fn refuse(loopback: Loopback, refused: Refused) -> Vec<Expressions> {
    let port = PORT.to_be_bytes();
    let mut rules = vec![[protocol(TCP), vec![accept()]].concat()];
    for (address, at) in [(V4_DESTINATION, DESTINATION_PORT), (V4_SOURCE, SOURCE_PORT)] {
        let resolver = matches(NETWORK, address, &RESOLVER.octets());
        let at = matches(TRANSPORT, at, &port);
        rules.push([version(V4), protocol(UDP), resolver, at, vec![accept()]].concat());
    }
    if loopback == Loopback::Up {
        rules.push([version(V4), to_loopback_v4(), vec![accept()]].concat());
        rules.push([version(V6), to_loopback_v6(), vec![accept()]].concat());
    }
    if refused == Refused::Told {
        let (group, length, at_once) = (1, 3, 4);
        let told = [
            attribute(group, &LOG_GROUP.to_be_bytes()),
            number(length, TOLD_BYTES),
            attribute(at_once, &1_u16.to_be_bytes()),
        ];
        rules.push([protocol(UDP), vec![expression("log", &told)]].concat());
    }
    rules
}

fn to_loopback_v4() -> Expressions {
    matches(NETWORK, V4_DESTINATION_FIRST, &[LOOPBACK_V4])
}

fn to_loopback_v6() -> Expressions {
    matches(NETWORK, V6_DESTINATION, &LOOPBACK_V6)
}

/// `struct nfgenmsg`.
fn head(family: u8, resource: u16) -> Vec<u8> {
    let [high, low] = resource.to_be_bytes();
    vec![family, 0, high, low]
}

fn tables(kind: u16, flags: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
    message(NF_TABLES << 8 | kind, flags, &head(INET, 0), attributes)
}

fn chain(name: &str, kind: &str, priority: i32, policy: u32) -> Vec<u8> {
    let hook = nest(4, &[number(1, OUTPUT), number(2, priority.cast_unsigned())]);
    let attributes = [text(1, TABLE), text(3, name), hook, number(5, policy), text(7, kind)];
    tables(NEW_CHAIN, CREATE, &attributes)
}

fn rule(chain: &str, expressions: &[Vec<u8>]) -> Vec<u8> {
    let attributes = [text(1, TABLE), text(2, chain), nest(4, expressions)];
    tables(NEW_RULE, CREATE | APPEND, &attributes)
}

fn expression(name: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    nest(1, &[text(1, name), nest(2, attributes)])
}

fn version(family: u8) -> Expressions {
    vec![meta(META_VERSION), equals(&[family])]
}

fn protocol(number: u8) -> Expressions {
    vec![meta(META_PROTOCOL), equals(&[number])]
}

fn meta(key: u32) -> Vec<u8> {
    expression("meta", &[number(1, FIRST), number(2, key)])
}

/// Whether bytes of the packet are these.
fn matches(base: u32, [offset, length]: [u32; 2], bytes: &[u8]) -> Expressions {
    let load = [number(1, FIRST), number(2, base), number(3, offset), number(4, length)];
    vec![expression("payload", &load), equals(bytes)]
}

fn equals(bytes: &[u8]) -> Vec<u8> {
    let equal = 0;
    expression("cmp", &[number(1, FIRST), number(2, equal), nest(3, &[attribute(1, bytes)])])
}

fn accept() -> Vec<u8> {
    let verdict = nest(2, &[number(1, ACCEPT)]);
    expression("immediate", &[number(1, VERDICT), nest(2, &[verdict])])
}

fn load(register: u32, bytes: &[u8]) -> Vec<u8> {
    expression("immediate", &[number(1, register), nest(2, &[attribute(1, bytes)])])
}

/// Another destination, and the gate's port.
fn divert(to: IpAddr) -> Expressions {
    let (family, address) = match to {
        IpAddr::V4(address) => (V4, address.octets().to_vec()),
        IpAddr::V6(address) => (V6, address.octets().to_vec()),
    };
    let destination = 1;
    let nat = [number(1, destination), number(2, family.into()), number(3, FIRST), number(5, SECOND)];
    vec![load(FIRST, &address), load(SECOND, &PORT.to_be_bytes()), expression("nat", &nat)]
}
