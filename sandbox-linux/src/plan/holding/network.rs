//! What holds connections: the system call filter, a network namespace, the network gate, Landlock's ports, and init for unix sockets.

use weir_protocol::AbsPath;
use weir_protocol::denial::Mechanism;
use weir_protocol::policy::Host;

use super::shown::{Shown, shown};
use super::{Found, Word, makes_socket};
use crate::plan::{Confinement, Loopback, Namespace, Plan};
use crate::seccomp::Grant;

/// `AF_INET` and `SOCK_STREAM` (socket(2)).
const TCP: [u64; 2] = [2, 1];
/// `AF_UNIX` and `SOCK_STREAM`.
const UNIX: [u64; 2] = [1, 1];

/// What a connection to a host comes to.
pub(super) fn connection(plan: &Plan, held: &Confinement, host: &Host, word: Word) -> Found {
    let mut found = Found::default();
    if !makes_socket(held, TCP) {
        found.refuses(Mechanism::Seccomp, "the system call filter lets no socket of the Internet be made");
    }
    let is_loopback = host.is_loopback();
    let is_gated = plan.gate.is_some() || plan.proxies.is_some();
    let own_loopback =
        plan.loopback == Loopback::Up || plan.gate.as_ref().is_some_and(|gate| gate.loopback == Loopback::Up);
    match (is_gated && !(is_loopback && own_loopback), word) {
        (true, Word::Allowed) => found.admits(
            Mechanism::NetworkGate,
            gate(plan, "makes the connection, once it has checked name and address"),
        ),
        (true, Word::Denied) => found.refuses(Mechanism::NetworkGate, gate(plan, "refuses it")),
        (false, _) => {}
    }
    if plan.namespaces.contains(&Namespace::Network) {
        if is_loopback && own_loopback {
            found.admits(
                Mechanism::NetworkNamespace,
                "the sandbox has a loopback of its own, and nobody else's",
            );
        } else if is_gated && word == Word::Allowed {
            found.admits(Mechanism::NetworkNamespace, "every connection inside leads to the gate");
        } else if is_gated {
            found.refuses(
                Mechanism::NetworkNamespace,
                "every connection inside leads to the gate; no packet leaves it otherwise",
            );
        } else {
            found.refuses(
                Mechanism::NetworkNamespace,
                "the sandbox has a network of its own, and nothing leads out of it",
            );
        }
    }
    ports(plan, held, word, &mut found);
    found
}

/// How connections come to the gate.
fn gate(plan: &Plan, does: &str) -> String {
    match plan.proxies {
        Some(_) => format!("its proxies on 127.0.0.1 are all that is reached, and the gate {does}"),
        None => format!("every connection comes to the gate, which {does}"),
    }
}

/// Landlock's ports of TCP.
fn ports(plan: &Plan, held: &Confinement, word: Word, found: &mut Found) {
    if held.landlock.as_ref().is_none_or(|ruleset| ruleset.handled_net == 0) {
        return;
    }
    match (plan.proxies.is_some(), word) {
        (true, Word::Allowed) => {
            found.admits(Mechanism::Landlock, "TCP connects to the ports of the gate's proxies alone")
        }
        (true, Word::Denied) => {
            found.refuses(Mechanism::Landlock, "TCP connects to the ports of the gate's proxies alone")
        }
        (false, _) => found.refuses(Mechanism::Landlock, "no port of TCP may be connected to"),
    }
}

/// What a connection to a unix socket of the host comes to.
pub(super) fn unix_socket(plan: &Plan, held: &Confinement, path: &AbsPath) -> Found {
    let mut found = Found::default();
    if !makes_socket(held, UNIX) {
        found.refuses(Mechanism::Seccomp, "the system call filter lets no unix socket be made");
    }
    let shown = (!plan.mounts.is_empty()).then(|| shown(&plan.mounts, path));
    match shown {
        Some(Shown::Absent | Shown::Passage(_)) => found.refuses(Mechanism::Mounts, "nothing is mounted there: inside there is no such path"),
        Some(Shown::Covered(_)) => found.refuses(Mechanism::Mounts, "something empty that cannot be read is mounted over it"),
        Some(Shown::Private(at, _)) => found.refuses(
            Mechanism::Mounts,
            format!("a private directory of the sandbox's own is mounted at {at}, and what the host has there is not"),
        ),
        Some(Shown::Host(at, _)) => found.admits(Mechanism::Mounts, format!("the host's own {at} is mounted")),
        _ => {}
    }
    let Some(brokered) = &held.brokered else { return found };
    match brokered.sockets.rule(path) {
        _ if !makes_socket(held, UNIX) => {}
        Some(Grant::Allowed) => found.admits(
            Mechanism::Broker,
            "init makes connections to unix sockets, after it has judged the path",
        ),
        Some(Grant::Denied) | None => {
            found.refuses(Mechanism::Broker, "init makes connections to unix sockets, and refuses this one")
        }
    }
    found
}
