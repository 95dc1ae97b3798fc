//! Messages as bytes, and what the sockets are called.

use super::*;
use netlink::HEADER_BYTES;

/// The kinds of the messages of a batch, whose lengths must add up. The last that does something is answered, and no other.
fn kinds(batch: &Batch) -> Vec<u16> {
    let end = 0x11;
    let mut rest = batch.bytes.as_slice();
    let (mut kinds, mut answered) = (Vec::new(), Vec::new());
    while !rest.is_empty() {
        let length = usize::try_from(u32::from_ne_bytes(rest[..4].try_into().unwrap())).unwrap();
        assert!(length >= HEADER_BYTES && length % 4 == 0 && length <= rest.len(), "{length}");
        kinds.push(u16::from_ne_bytes(rest[4..6].try_into().unwrap()));
        answered.push(u16::from_ne_bytes(rest[6..8].try_into().unwrap()) & 4 != 0);
        rest = &rest[length..];
    }
    let last = kinds.iter().rposition(|kind| *kind != end);
    assert_eq!(answered.iter().position(|answered| *answered), last);
    assert_eq!(answered.iter().filter(|answered| **answered).count(), 1);
    kinds
}

fn contains(batch: &Batch, bytes: &[u8]) -> bool {
    batch.bytes.windows(bytes.len()).any(|window| window == bytes)
}

#[test]
fn every_message_is_whole_and_the_last_answered() {
    for loopback in [Loopback::Up, Loopback::Untouched] {
        let gate = Gate::new(loopback);
        let rule = 0x0a06;
        let rules = if loopback == Loopback::Up { 11 } else { 7 };
        let table = [vec![0x10, 0x0a00, 0x0a03, 0x0a03], vec![rule; rules], vec![0x11]].concat();
        assert_eq!(kinds(&gate.rules), table, "{loopback:?}");
        assert_eq!(kinds(&gate.rules_logged).len(), table.len() + 1);
        assert_eq!(kinds(&gate.links), [16, 20, 24]);
        assert_eq!(kinds(&gate.links_v6), [20, 24]);
        assert_eq!(kinds(&gate.log), [0x0401, 0x0401]);
        assert_eq!(Gate::new(loopback), gate);
    }
}

/// The first message of each kind, byte by byte as strace(1) shows what ip(8) and nft(8) send.
#[test]
#[cfg(target_endian = "little")]
fn messages_are_what_the_kernel_reads() {
    let gate = Gate::new(Loopback::Untouched);
    let up = [
        [32, 0, 0, 0, 16, 0, 1, 0].as_slice(), // length, kind, request
        &[0; 8],
        &[0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0], // the first interface, up
    ];
    assert_eq!(gate.links.bytes[..32], up.concat());
    let route = [
        [44, 0, 0, 0, 24, 0, 5, 0x0c].as_slice(), // and answer
        &[0; 8],
        &[2, 0, 0, 0, 255, 4, 254, 2, 0, 0, 0, 0], // all of version 4, delivered here
        &[8, 0, 4, 0, 1, 0, 0, 0],
        &[8, 0, 7, 0, 198, 18, 0, 4],
    ];
    assert_eq!(gate.links.bytes[gate.links.bytes.len() - 44..], route.concat());
    let begin_and_table = [
        [20, 0, 0, 0, 0x10, 0, 1, 0].as_slice(),
        &[0; 8],
        &[0, 0, 0, 10],
        &[32, 0, 0, 0, 0, 10, 1, 4],
        &[0; 8],
        &[1, 0, 0, 0],
        &[9, 0, 1, 0, b'w', b'e', b'i', b'r', 0, 0, 0, 0],
    ];
    assert_eq!(gate.rules.bytes[..52], begin_and_table.concat());
}

/// Only with a loopback of its own does anything but the gate's sockets and the resolver get anything.
#[test]
fn loopback_is_let_through_only_where_it_is_the_sandbox_s_own() {
    let localhost = std::net::Ipv6Addr::LOCALHOST.octets();
    assert!(contains(&Gate::new(Loopback::Up).rules, &localhost));
    assert!(!contains(&Gate::new(Loopback::Untouched).rules, &localhost));
    assert!(contains(&Gate::new(Loopback::Untouched).rules, &LISTENER_V6.octets()));
}

#[test]
fn sockets_have_a_number_and_a_name_each() {
    for socket in Socket::ALL {
        assert_eq!(Socket::from_number(socket.number()), Some(socket));
    }
    let beyond = Socket::ALL.iter().map(|socket| socket.number()).max().unwrap() + 1;
    assert_eq!(Socket::from_number(beyond), None);
    let names: std::collections::BTreeSet<_> = Socket::ALL.map(Socket::name).into();
    assert_eq!(names.len(), Socket::ALL.len());
}
