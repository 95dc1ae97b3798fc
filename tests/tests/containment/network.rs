//! The network: off means off, loopback is the sandbox's own, and the host's is shared only where no rule names hosts.

use std::io::Write as _;
use std::net::TcpListener;

use weir_tests::sandbox::probe::Expect;
use weir_tests::sandbox::{Act, REFUSED, Way, World, act};

const PROFILE: &str = "\":root\" = \"read\"\n\"{w}/work\" = \"write\"";

/// A server on the host's loopback that greets whoever connects.
fn server(address: &str) -> Option<String> {
    let listener = TcpListener::bind(address).ok()?;
    let bound = listener.local_addr().ok()?.to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.and_then(|mut stream| stream.write_all(b"greeting"));
        }
    });
    Some(bound)
}

/// Sockets of every family and kind that must not be made: domain, type, protocol.
fn sockets() -> Vec<[&'static str; 3]> {
    vec![
        ["2", "3", "1"],   // raw
        ["2", "3", "255"], // raw, any protocol
        ["10", "3", "58"], // raw, version 6
        ["17", "3", "0"],  // packet
        ["40", "1", "0"],  // vsock
        ["16", "3", "4"],  // netlink: socket diagnosis
        ["16", "3", "9"],  // netlink: audit
        ["16", "3", "12"], // netlink: netfilter
        ["16", "3", "15"], // netlink: kernel events
        ["16", "3", "16"], // netlink: generic
        ["38", "5", "0"],  // kernel cryptography
        ["31", "1", "3"],  // bluetooth
        ["29", "3", "1"],  // CAN
        ["44", "3", "0"],  // XDP
        ["2", "1", "132"], // SCTP
        ["2", "1", "262"], // MPTCP
    ]
}

#[test]
fn without_network_nothing_is_reached() {
    Way::each("containment::network_off", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "");
        let mut acts = vec![act(["tcp-self", "127.0.0.1:0"]), act(["udp", "127.0.0.1:9"])];
        for address in ["127.0.0.1:0", "[::1]:0"] {
            acts.extend(server(address).map(|bound| act(["tcp", &bound])));
        }
        for [domain, kind, protocol] in sockets() {
            acts.push(act(["socket", domain, kind, protocol]).outside(Expect::Anything));
        }
        for [domain, kind] in [["2", "1"], ["10", "1"], ["2", "2"], ["10", "2"]] {
            acts.push(act(["socket", domain, kind, "0"]).outside(if domain == "2" {
                Expect::Works
            } else {
                Expect::Anything
            }));
        }
        acts.push(act(["socket", "16", "3", "0"]).works());
        world.check(|_| {}, &acts);
    });
}

#[test]
fn loopback_is_the_sandbox_s_own() {
    Way::each_of(&[Way::Root, Way::User], "containment::loopback", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "[permissions.test.network]\nloopback = true");
        let host = server("127.0.0.1:0").unwrap();
        let mut acts = vec![
            act(["tcp", &host]).inside(Expect::Errors(&["ECONNREFUSED"])),
            act(["tcp-self", "127.0.0.1:0"]).works(),
            act(["udp", "127.0.0.1:9"]).works(),
            act(["udp", "192.0.2.1:9"]).outside(Expect::Anything).inside(Expect::Errors(&["ENETUNREACH"])),
        ];
        if std::net::TcpListener::bind("[::1]:0").is_ok() {
            acts.push(act(["tcp-self", "[::1]:0"]).works());
        }
        acts.extend(sockets().into_iter().map(|[domain, kind, protocol]| {
            act(["socket", domain, kind, protocol]).outside(Expect::Anything)
        }));
        world.check(|_| {}, &acts);
    });
}

#[test]
fn loopback_of_its_own_is_refused_by_name_without_namespaces() {
    Way::each_of(&[Way::Bare], "containment::loopback_bare", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "[permissions.test.network]\nloopback = true");
        let run = world.run(["true"]);
        assert!(
            run.code == REFUSED && run.stderr.contains("loopback") && run.stderr.contains("config.toml:"),
            "{run:?}"
        );
    });
}

#[test]
fn an_enabled_network_is_the_host_s() {
    Way::each("containment::network_on", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "[permissions.test.network]\nenabled = true");
        let mut acts: Vec<Act> = ["127.0.0.1:0", "[::1]:0"]
            .into_iter()
            .filter_map(server)
            .map(|bound| act(["tcp", &bound]).answers("greeting"))
            .collect();
        assert!(!acts.is_empty());
        acts.push(act(["tcp-self", "127.0.0.1:0"]).works());
        acts.extend(sockets().into_iter().map(|[domain, kind, protocol]| {
            act(["socket", domain, kind, protocol]).outside(Expect::Anything)
        }));
        world.check(|_| {}, &acts);
    });
}
