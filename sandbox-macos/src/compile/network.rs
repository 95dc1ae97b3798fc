//! The network sections of a profile: nothing, the loopback, or the gate and nothing else.
//!
//! Seatbelt knows two addresses, `localhost` and everything, and no names. So no profile that confines lets a program
//! reach an address of the outside itself: hosts are the gate's concern, which asks [`Policy::verdict`] about each. Caller:
//! [`super::compile`].

use weir_protocol::policy::{Policy, SocketRule};

use super::place::{canonical, linked};
use super::{CompileError, Output, Run};
use crate::exception::{self, Difference, Exception, Extent};
use crate::parameter::Kind;
use crate::sbpl::{Action, Address, Filter, Operation, Port, Rule, Section, Value};
use weir_protocol::policy::Access;

/// Every section about sockets.
pub(super) fn sections(
    policy: &Policy,
    run: &Run,
    output: &mut Output,
) -> Result<Vec<Section>, CompileError> {
    let mut rules = Vec::new();
    if policy.network().loopback.value {
        rules.extend(loopback());
    } else if policy.network().is_hosts() {
        rules.push(to_loopback("the host's own network, with its loopback"));
    }
    if policy.network().enabled.value {
        rules.extend(gate(run, output)?);
    }
    Ok(vec![
        Section { heading: "Network", rules },
        Section { heading: "Unix sockets", rules: unix_sockets(policy, output)? },
    ])
}

fn allow(operation: Operation, filters: Vec<Filter>, reason: &'static str) -> Rule {
    Rule { action: Action::Allow, operations: vec![operation], filters, reason }
}

/// Servers of a test suite may bind and be reached. Binding is let through at any own address: a socket of both families
/// binds to `::ffff:127.0.0.1`, which `localhost` does not cover.
fn loopback() -> Vec<Rule> {
    let local = || vec![Filter::LocalIp(Address::Any, Port::Any)];
    vec![
        allow(Operation::NetworkBind, local(), "a server inside may listen"),
        allow(Operation::NetworkInbound, local(), "a server inside may be reached"),
        to_loopback("the loopback is the host's own: macOS has no network namespaces"),
    ]
}

fn to_loopback(reason: &'static str) -> Rule {
    allow(Operation::NetworkOutbound, vec![Filter::RemoteIp(Address::Localhost, Port::Any)], reason)
}

/// The ports of the gate, by TCP, and nothing else.
fn gate(run: &Run, output: &mut Output) -> Result<Vec<Rule>, CompileError> {
    let gate = run.gate.ok_or(CompileError::NoGate)?;
    let mut ports = vec![gate.http, gate.socks];
    ports.sort_unstable();
    ports.dedup();
    if ports.contains(&0) {
        return Err(CompileError::BadGate);
    }
    output.exceptions.extend(ports.iter().map(|port| Exception {
        extent: Extent::LoopbackPort(*port),
        difference: Difference::Grants(Access::Write),
        reason: exception::GATE,
    }));
    let filter = |port: &u16| Filter::RemoteTcp(Address::Localhost, Port::Number(*port));
    Ok(vec![allow(Operation::NetworkOutbound, ports.iter().map(filter).collect(), exception::GATE)])
}

/// Granted sockets, from the root down, and the family itself.
fn unix_sockets(policy: &Policy, output: &mut Output) -> Result<Vec<Rule>, CompileError> {
    let mut rules = vec![allow(
        Operation::SystemSocket,
        vec![Filter::SocketDomain("AF_UNIX")],
        "socketpair, and sockets at granted paths; where one leads is decided when it is bound or connected",
    )];
    let mut sockets: Vec<SocketRule> = policy
        .network()
        .unix_sockets
        .iter()
        .map(|rule| SocketRule { path: canonical(&rule.path), ..rule.clone() })
        .collect();
    // Two names of one socket: the denial counts, so it comes last.
    sockets.sort_by(|a, b| (a.path.depth(), &a.path, !a.allow).cmp(&(b.path.depth(), &b.path, !b.allow)));
    for rule in &sockets {
        let mut filters = Vec::new();
        for path in std::iter::once(rule.path.clone()).chain(linked(&rule.path)) {
            let name = output.parameters.name(Kind::Path, path.as_bytes())?;
            filters.push(Filter::RemoteUnix(Box::new(Filter::Subpath(Value::Parameter(name)))));
        }
        let action = if rule.allow { Action::Allow } else { Action::Deny };
        rules.push(Rule { action, operations: vec![Operation::NetworkOutbound], filters, reason: "" });
    }
    Ok(rules)
}
