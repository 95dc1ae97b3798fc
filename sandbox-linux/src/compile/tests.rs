//! Rules for hosts: what they take, and that nothing less runs.

use weir_protocol::policy::{DomainRule, Network, NetworkMode, NetworkParts, Policy, PolicyParts, Sourced};

use super::literal::{WITHOUT_NAMESPACES, bare, planned, policy};
use super::refusal::Lack;
use super::*;
use crate::broker::Traps;
use crate::doctor::tests::{full, refused, user};
use crate::host::{Fact, Step};
use crate::plan::Recording;
use crate::survey::{KernelTree, Kind};

/// A policy with these network rules.
fn gated(parts: NetworkParts) -> Policy {
    let enabled = Sourced { value: true, origin: Origin::implied("a test") };
    let network = Network::new(NetworkParts { enabled, ..parts });
    let literal = policy(&[], None, &[]);
    let parts = PolicyParts { network, ..PolicyParts::from(literal) };
    parts.into()
}

fn domains(list: &[DomainRule]) -> NetworkParts {
    NetworkParts { domains: Some(list.to_vec()), ..NetworkParts::default() }
}

fn limited() -> NetworkParts {
    let mode = Sourced { value: NetworkMode::Limited, origin: Origin::implied("a test") };
    NetworkParts { mode, ..NetworkParts::default() }
}

#[test]
fn rules_for_hosts_take_a_network_of_their_own() {
    for host in [full(), user()] {
        for parts in [domains(&[]), limited()] {
            let plan = planned(&gated(parts), &host).unwrap_or_else(|refusal| panic!("{refusal}"));
            assert!(plan.namespaces.contains(&Namespace::Network));
            assert_eq!(plan.gate, Some(Gate::new(Loopback::Untouched)));
            assert_eq!(plan.loopback, Loopback::Untouched);
            assert!(plan.listing().contains("all tcp to 198.18.0.3:65535"), "{}", plan.listing());
        }
        let whole = planned(&gated(NetworkParts::default()), &host);
        let whole = whole.unwrap_or_else(|refusal| panic!("{refusal}"));
        assert_eq!((whole.gate, whole.namespaces.contains(&Namespace::Network)), (None, false));
    }
}

/// Where the profile gives the gate up for its proxies, their two ports are all that can be connected to.
#[test]
fn proxies_stand_in_by_name_where_landlock_holds_ports() {
    let given_up = |names: &[Degradation]| {
        let mut parts = PolicyParts::from(gated(domains(&[])));
        let origin = weir_protocol::policy::Origin::implied("a test");
        parts.degradations = names.iter().map(|name| (*name, origin.clone())).collect();
        Policy::from(parts)
    };
    let names = [&WITHOUT_NAMESPACES[..], &[Degradation::ProxyOnlyNetwork]].concat();
    let plan = planned(&given_up(&names), &bare()).unwrap_or_else(|refusal| panic!("{refusal}"));
    let ruleset = plan.confinement.and_then(|held| held.landlock);
    assert_eq!(ruleset.map(|ruleset| (ruleset.handled_net, ruleset.ports)), Some((0b11, Vec::new())));
    assert_eq!((plan.gate, plan.proxies), (None, None));
    assert!(plan.degradations.iter().any(|given_up| given_up.name == Degradation::ProxyOnlyNetwork));
    let mut old = bare();
    old.landlock.abi = 3;
    for (host, names) in [(bare(), &WITHOUT_NAMESPACES[..]), (old, &names)] {
        let refusal = planned(&given_up(names), &host).err().map(|refusal| refusal.lacks).unwrap_or_default();
        assert!(refusal.iter().any(|lack| matches!(lack, Lack::NetworkGate { .. })), "{refusal:?}");
    }
}

/// Without what leads everything to the gate nothing runs, and nothing but its proxies is offered for it.
#[test]
fn without_the_gate_rules_for_hosts_are_refused_by_name() {
    let mut tables = full();
    tables.direct.gate = refused(Step::GateRules, libc::EOPNOTSUPP);
    let mut network = user();
    network.nested.network = refused(Step::UnshareNetwork, libc::EPERM);
    let refused_by = [
        (tables, Fact::Refused { at: Step::GateRules, errno: libc::EOPNOTSUPP }),
        (network, Fact::Refused { at: Step::UnshareNetwork, errno: libc::EPERM }),
        (bare(), Fact::Untried),
    ];
    for (host, found) in refused_by {
        for parts in [domains(&[]), limited()] {
            let refusal = planned(&gated(parts), &host).err().map(|refusal| refusal.to_string());
            let refusal = refusal.unwrap_or_default();
            assert!(refusal.contains("needs the network gate"), "{found:?}: {refusal}");
            assert!(!refusal.contains("network-gate"), "{found:?}: {refusal}");
        }
        let refusal = planned(&gated(domains(&[])), &host).err();
        let lacks = refusal.map(|refusal| refusal.lacks).unwrap_or_default();
        let told = |lack: &Lack| matches!(lack, Lack::NetworkGate { fact, .. } if *fact == found);
        assert!(lacks.iter().any(told), "{found:?}: {lacks:?}");
        // Proxies stand in where ports are Landlock's to hold, and nowhere else.
        let instead = (host.way() == Way::Bare).then_some(Degradation::ProxyOnlyNetwork);
        assert!(
            lacks.iter().all(|lack| !told(lack) || lack.degradation() == instead),
            "{found:?}: {lacks:?}"
        );
    }
}

/// A run that is not recorded has the filter that it always had; one that is watches looks, where the kernel can let a call go on.
#[test]
fn nothing_is_watched_that_is_not_recorded() {
    let plain = policy(&[], Some("/srv/w"), &[]);
    let loopback = Sourced { value: true, origin: Origin::implied("a test") };
    let parts = NetworkParts { loopback, ..NetworkParts::default() };
    let parts = PolicyParts { network: Network::new(parts), ..PolicyParts::from(plain.clone()) };
    let sockets = Policy::from(parts);
    let mut old = full();
    old.calls.openat2 = refused(Step::Openat2, libc::ENOSYS);
    let brokered = |policy: &Policy, host: &Host, recorded| {
        let credentials = Credentials { uid: 0, gid: 0, groups: Vec::new() };
        let survey = Survey::default();
        let facts = Facts { recorded, ..Facts::new(host, &survey, &credentials) };
        let plan = compile(policy, &facts).unwrap_or_else(|refusal| panic!("{refusal}"));
        plan.confinement.and_then(|held| held.brokered)
    };
    let filter = |opens, looks| {
        let traps = Traps { unix_connect: true, opens, looks, ..Traps::default() };
        crate::broker::filter(&traps, Arch::X86_64).ok()
    };
    let cases = [
        (full(), false, None, filter(false, false)),
        (old.clone(), false, None, filter(false, false)),
        (full(), true, Some(Recording::Whole), filter(true, true)),
        (old, true, Some(Recording::Performed), filter(true, false)),
    ];
    for (host, recorded, extent, filter) in cases {
        let found = brokered(&sockets, &host, recorded).unwrap_or_else(|| panic!("no broker"));
        assert_eq!((found.recorded, Some(found.filter)), (extent, filter));
        // Nothing at all is handed to init where there is nothing to hold and nothing to record.
        assert_eq!(brokered(&plain, &host, recorded).is_some(), recorded);
    }
}

/// A second `/proc` and `/sys` below a writable place: covered and read-only by mounts; without them held by live rules, or refused.
#[test]
fn the_kernel_is_neither_seen_nor_set_through_a_mount_elsewhere() {
    let policy = policy(&[], Some("/w"), &WITHOUT_NAMESPACES);
    let at = tree::path;
    let mut survey = Survey::default();
    for place in ["/w", "/w/proc", "/w/sys", "/usr"] {
        survey.places.insert(at(place), Kind::Directory);
    }
    survey.kernel_trees =
        [(at("/w/proc"), KernelTree::Processes), (at("/w/sys"), KernelTree::Machine)].into();
    let compiled = |policy: &Policy, host: &Host| {
        let credentials = Credentials { uid: 0, gid: 0, groups: Vec::new() };
        compile(policy, &Facts::new(host, &survey, &credentials))
    };
    let listing = compiled(&policy, &full()).unwrap_or_else(|refusal| panic!("{refusal}")).listing();
    let lines: Vec<_> =
        listing.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in ["bind write /w", "mask dir /w/proc", "bind read /w/sys"] {
        assert!(lines.iter().any(|found| found.contains(line)), "{line}: {listing}");
    }
    let plan = compiled(&policy, &bare()).unwrap_or_else(|refusal| panic!("{refusal}"));
    let live = plan.confinement.and_then(|held| held.brokered).and_then(|brokered| brokered.live);
    let held = live.map(|live| ["/w/proc", "/w/sys"].map(|path| live.filesystem.access(&at(path))));
    assert_eq!(held, Some([Access::Read; 2]));
    let mut alone = bare();
    alone.seccomp.listener = Fact::Untried;
    let lacks = compiled(&policy, &alone).err().map(|refusal| refusal.lacks).unwrap_or_default();
    let settings = lacks.iter().filter(|lack| matches!(lack, Lack::Settings { .. })).count();
    assert_eq!(settings, 2, "{lacks:?}");
    // A rule that would let one be written is refused in each way.
    let mut parts = PolicyParts::from(policy);
    let mut files = parts.filesystem.to_parts();
    files.rules.push(PathRule {
        path: at("/w/sys/kernel"),
        access: Access::Write,
        origin: Origin::implied("a test"),
        via: None,
        overruled: Vec::new(),
    });
    parts.filesystem = Filesystem::new(files);
    for host in [full(), user(), bare()] {
        let lacks = compiled(&parts.clone().into(), &host).err().map(|refusal| refusal.lacks);
        let is_told =
            |lack: &Lack| matches!(lack, Lack::KernelTree { path, .. } if *path == at("/w/sys/kernel"));
        assert!(lacks.unwrap_or_default().iter().any(is_told));
    }
}
