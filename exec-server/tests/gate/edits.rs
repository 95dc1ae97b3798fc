//! Edits that are told of refusals: each turns the answer, and where none would, none is told.

use weir_exec_server::egress::refusal::{Attempt, Reason, Refusal, Refusals};
use weir_protocol::Policy;
use weir_protocol::denial::{Act, Mechanism, Observed};
use weir_protocol::policy::address::AddressClass;
use weir_protocol::policy::explain::Edit;
use weir_protocol::policy::{Layer, Network, NetworkMode, NetworkParts, PolicyParts};

use super::world::{policy, policy_with};

/// The line of the edit that is told of a refusal.
fn told(policy: &Policy, attempt: Attempt, target: &str, reason: Reason) -> Option<String> {
    let refusals = Refusals::default();
    refusals.record(Refusal { attempt, target: target.to_owned(), reason, origin: None });
    match refusals.denials(policy).into_parts().0.remove(0).edit {
        Some(Edit::Add { line, .. }) => Some(line),
        Some(Edit::Change { .. }) => Some("change".to_owned()),
        None => None,
    }
}

#[test]
fn an_edit_is_told_only_where_a_rule_decides() {
    let policy = policy(&[("*.example", true), ("evil.example", false)], &[]);
    let told = |attempt, target: &str, reason| told(&policy, attempt, target, reason);
    let cases = [
        (Attempt::Connect, "other.test:443", Reason::NotAllowed, Some("\"other.test:443\" = \"allow\"")),
        (Attempt::Connect, "evil.example:443", Reason::DeniedByRule, Some("change")),
        (Attempt::Connect, "localhost:80", Reason::NoLoopback, Some("loopback = true")),
        (Attempt::Send, "1.1.1.1:53", Reason::Datagram, None),
        (Attempt::Connect, "198.18.0.2:80", Reason::NoSuchPort, None),
        (Attempt::Connect, "198.18.7.9:80", Reason::Stale, None),
        (Attempt::Connect, "8.8.8.8:80", Reason::TooMany(1024), None),
        (Attempt::Resolve, "other.test", Reason::TooManyNames(9), None),
    ];
    for (attempt, target, reason, expect) in cases {
        assert_eq!(told(attempt, target, reason.clone()).as_deref(), expect, "{target}: {reason}");
    }
}

/// A list of hosts would close all others.
#[test]
fn where_every_host_is_allowed_a_private_address_is_opened_by_its_range() {
    let every = |private: &[&str]| {
        let mut parts = PolicyParts::from(policy_with(&[], private, NetworkMode::Limited));
        let mut network = NetworkParts::from(parts.network);
        network.domains = None;
        parts.network = Network::new(network);
        Policy::from(parts)
    };
    let private = || Reason::Class(AddressClass::Private);
    let line = told(&every(&[]), Attempt::Connect, "10.9.8.7:80", private());
    assert_eq!(line.as_deref(), Some("allow_private = [\"10.9.8.7/32\"]"));
    let line = told(&every(&["172.16.0.0/12"]), Attempt::Connect, "10.9.8.7:80", private());
    assert_eq!(line.as_deref(), Some("allow_private = [\"172.16.0.0/12\", \"10.9.8.7/32\"]"));
}

/// What the administrator denies nobody can allow.
#[test]
fn where_the_ceiling_denies_a_host_no_edit_is_told() {
    let mut parts = PolicyParts::from(policy(&[("*.example", true), ("evil.example", false)], &[]));
    let mut network = NetworkParts::from(parts.network);
    for rule in network.domains.iter_mut().flatten().filter(|rule| !rule.allow) {
        (rule.origin.layer, rule.origin.profile) = (Layer::Requirements, "ceiling".to_owned());
    }
    parts.network = Network::new(network);
    let policy = Policy::from(parts);
    assert_eq!(told(&policy, Attempt::Connect, "evil.example:443", Reason::DeniedByRule), None);
    let line = told(&policy, Attempt::Connect, "other.test:443", Reason::NotAllowed);
    assert_eq!(line.as_deref(), Some("\"other.test:443\" = \"allow\""));
}

/// A rule for a socket is no pattern; and what is not seen is named in it.
#[test]
fn an_edit_for_a_socket_is_a_line_that_can_stand() {
    let policy = policy(&[("a.example", true)], &[]);
    let line = |target: &str| {
        let observed = Observed {
            operation: Act::Connect,
            target: target.into(),
            mechanism: Mechanism::Broker,
            time: String::new(),
            process: None,
            reason: None,
        };
        observed.joined(&policy).unwrap().edit.map(|edit| match edit {
            Edit::Add { line, .. } => line,
            Edit::Change { .. } => "change".to_owned(),
        })
    };
    assert_eq!(line("/run/a").as_deref(), Some("\"/run/a\" = \"allow\""));
    assert_eq!(line("/run/\u{202e}a").as_deref(), Some("\"/run/\\u202ea\" = \"allow\""));
    for target in ["/run/a[1]", "/run/*", "/run/?", "/run/a\nb"] {
        assert_eq!(line(target), None, "{target}");
    }
}
