//! The sandbox side: what a program inside can try against the network that leads it to the gate, each beside the same act outside.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use weir_tests::sandbox::probe::Expect;
use weir_tests::sandbox::{Act, REFUSED, Run, Way, World, act, finish, programs};

use super::peers::GREETING_PORT;
use super::programs::allow;
use super::wires::{HOST, PEERS, PEERS_V6, Wires};

/// What the peer on [`GREETING_PORT`] says first.
const GREETING: &str = "220 greetings";

/// The answers of the acts, one a line, outside where `options` are none.
fn compare(wires: &Wires, acts: &[Act]) -> Run {
    let words = wires.world.probe_words(acts);
    let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let (outside, inside) = (wires.outside(&words), wires.run(&words));
    let mut wrong = wires.world.compare("outside", &outside, acts, Act::expected_outside);
    wrong.extend(wires.world.compare("inside", &inside, acts, Act::expected_inside));
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), inside.stderr);
    inside
}

/// The same where outside nobody would answer.
fn inside(wires: &Wires, acts: &[Act]) {
    let words = wires.world.probe_words(acts);
    let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let run = wires.run(&words);
    let wrong = wires.world.compare("inside", &run, acts, Act::expected_inside);
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), run.stderr);
}

/// Refused at once: a reset, or the kernel's own no.
const REFUSALS: Expect = Expect::Errors(&["ECONNRESET", "EPERM"]);

#[test]
fn an_allowed_name_is_reached_and_an_address_is_not() {
    Wires::each("inside_addresses", |wires| {
        wires.profile(
            "domains = [{ pattern = \"allowed.example\", allow = true }, { pattern = \"*\", allow = false }]",
        );
        let at = |host: &str| format!("{host}:{GREETING_PORT}");
        let refused = |to: String| act(["tcp".to_owned(), to]).inside(REFUSALS);
        let acts = [
            act(["tcp-name", &at("allowed.example")]).answers(GREETING),
            act(["tcp-name", &at("denied.example")]),
            refused(at(PEERS)),
            refused(at(&format!("[{PEERS_V6}]"))).outside(Expect::Errors(&["ECONNREFUSED"])),
            refused(at(&format!("[::ffff:{PEERS}]"))),
            // As inet_aton(3) reads them.
            act(["tcp-name", &at("185999618")]).inside(Expect::Fails),
            act(["tcp-name", &at("11.1450242")]).inside(Expect::Fails),
        ];
        let run = compare(wires, &acts);
        assert!(run.stderr.contains("resolve denied.example"), "{}", run.stderr);
        assert!(run.stderr.contains(&format!("connect {}", at(PEERS))), "{}", run.stderr);
        assert!(run.stderr.contains("network-gate; "), "{}", run.stderr);
        assert!(run.stderr.contains("weir/config.toml:"), "{}", run.stderr);
    });
}

/// What is the host's own is not reached by any of its names, and neither are the gate's sockets past its table.
#[test]
fn neither_the_host_nor_the_gates_own_sockets_are_reached() {
    Wires::each("inside_own", |wires| {
        wires.profile(&allow(&["allowed.example", "*.example"]));
        let nobody = |to: &str| act(["tcp", to]).inside(REFUSALS);
        let acts = [
            nobody(&format!("{HOST}:22")),
            nobody("127.0.0.1:80"),
            nobody("127.1.2.3:80"),
            nobody("[::1]:80"),
            nobody("[::ffff:127.0.0.1]:80"),
            nobody("0.0.0.0:80"),
            nobody("198.18.0.3:65535"),
            nobody("[2001:2::3]:65535"),
            nobody("198.18.0.4:65535"),
            nobody("198.18.0.1:80"),
            nobody("169.254.169.254:80"),
            // In use, and kept for those who may.
            act(["tcp-bind", "198.18.0.3:65535"]),
            act(["tcp-bind", "0.0.0.0:65535"]),
            act(["tcp-bind", "[::]:65535"]),
            act(["udp-bind", "198.18.0.1:65535"]),
            act(["udp-bind", "0.0.0.0:65535"]),
            act(["udp-bind", "198.18.0.1:53"]),
            // The control: these can be had, to no avail.
            act(["tcp-bind", "0.0.0.0:8080"]).works(),
            act(["udp-bind", "203.0.113.7:4444"]).works(),
        ];
        inside(wires, &acts);
    });
}

#[test]
fn datagrams_are_refused_at_once_and_told() {
    Wires::each("inside_datagrams", |wires| {
        wires.profile(&allow(&["allowed.example"]));
        let not_permitted = || Expect::Errors(&["EPERM"]);
        let send = |to: String| act(["udp".to_owned(), to]).inside(not_permitted());
        let acts = [
            send(format!("{PEERS}:53")),
            send(format!("[{PEERS_V6}]:443")),
            act(["udp", "127.0.0.1:9"]).inside(not_permitted()),
            act(["udp", "[::1]:9"]).inside(not_permitted()),
            act(["udp", "255.255.255.255:9"]).outside(Expect::Anything).inside(Expect::Fails),
            act(["udp", "224.0.0.1:9"]).outside(Expect::Anything).inside(not_permitted()),
            act(["udp", "198.18.0.1:53"]).works(),
        ];
        let run = compare(wires, &acts);
        for told in [format!("send {PEERS}:53"), format!("send [{PEERS_V6}]:443")] {
            assert!(run.stderr.contains(&told), "{told}: {}", run.stderr);
        }
        assert!(run.stderr.contains("UDP and QUIC are refused"), "{}", run.stderr);
    });
}

#[test]
fn loopback_is_inside_where_the_profile_says_so() {
    Wires::each("inside_loopback", |wires| {
        let selves = |names: &[&str]| names.iter().map(|words| act(words.split(' '))).collect::<Vec<_>>();
        let connects = selves(&["tcp-self 127.0.0.1:0", "tcp-self [::1]:0"]);
        let sends = selves(&["udp-self 127.0.0.1:0", "udp-self [::1]:0"]);
        let both = connects.into_iter().chain(sends.clone()).map(Act::works);
        wires.profile(&format!("{}\nloopback = true", allow(&["allowed.example"])));
        let gated =
            act(["tcp-name".to_owned(), format!("allowed.example:{GREETING_PORT}")]).answers(GREETING);
        let refused = act(["tcp".to_owned(), format!("{PEERS}:{GREETING_PORT}")]).inside(REFUSALS);
        compare(wires, &both.chain([gated, refused]).collect::<Vec<_>>());
        wires.profile(&allow(&["allowed.example"]));
        compare(wires, &sends);
    });
}

/// Netlink tells, and changes nothing; no socket that passes the table can be made.
#[test]
fn nothing_inside_changes_the_table_or_goes_around_it() {
    Wires::each("inside_changes", |wires| {
        wires.profile(&allow(&["allowed.example"]));
        // `ip link set lo up` and `ip route replace local 203.0.113.99 dev lo`: outside they change nothing that matters.
        let up = concat!("2000000010000500", "0000000000000000", "00000000010000000100000001000000");
        let route = concat!(
            "2c00000018000505",
            "0000000000000000",
            "02200000ff04fe0200000000",
            "08000100cb007163",
            "0800040001000000"
        );
        let refused = || Expect::Errors(&["EPERM"]);
        let outside = if wires.world.way() == Way::Root { Expect::Works } else { refused() };
        let route_socket = |message| act(["send", "16", "3", "0", message]).outside(outside.clone());
        let acts = [
            route_socket(up).inside(refused()),
            route_socket(route).inside(refused()),
            act(["socket", "16", "3", "12"]),
            act(["socket", "2", "3", "6"]).outside(Expect::Anything),
            act(["socket", "17", "3", "0"]).outside(Expect::Anything),
            act(["socket", "2", "1", "262"]).outside(Expect::Anything),
            act(["write", "/proc/sys/net/ipv4/ip_forward", "1"]).outside(Expect::Anything),
            act(["tcp-name".to_owned(), format!("allowed.example:{GREETING_PORT}")]).answers(GREETING),
        ];
        compare(wires, &acts);
    });
}

/// A unix socket of the host is no way around.
#[test]
fn unix_sockets_are_as_without_the_gate() {
    Wires::each("inside_unix", |wires| {
        let listening = std::os::unix::net::UnixListener::bind(wires.world.at("work/socket")).unwrap();
        std::fs::set_permissions(wires.world.at("work/socket"), Permissions::from_mode(0o777)).unwrap();
        let greeter = std::thread::spawn(move || {
            listening.accept().map(|(mut one, _)| one.write_all(GREETING.as_bytes()))
        });
        let to = wires.world.at("work/socket");
        let words = wires.world.probe_words(&[act(["unix", "{w}/work/socket"])]);
        let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
        wires.profile(&allow(&["allowed.example"]));
        inside(wires, &[act(["unix", "{w}/work/socket"])]);
        wires.profile(&format!(
            "{}\nunix_sockets = {{ {:?} = \"allow\" }}",
            allow(&["allowed.example"]),
            to.display().to_string()
        ));
        assert_eq!(wires.run(&words).text(), format!("ok {GREETING}"));
        greeter.join().unwrap().unwrap().unwrap();
    });
}

#[test]
fn an_empty_list_is_none() {
    Wires::each("inside_empty", |wires| {
        wires.profile("domains = []");
        let to = format!("allowed.example:{GREETING_PORT}");
        let address = format!("{PEERS}:{GREETING_PORT}");
        compare(wires, &[act(["tcp-name", &to]), act(["tcp", &address]).inside(REFUSALS)]);
    });
}

/// Names are found by files of the sandbox's own, and the host's stay what they are, linked or missing.
#[test]
fn the_files_by_which_names_are_found_are_the_sandboxs_own() {
    Wires::each("inside_files", |wires| {
        wires.profile(&allow(&["allowed.example"]));
        let shown = wires.run(&["cat", "/etc/resolv.conf"]).text();
        assert_eq!(shown, "nameserver 198.18.0.1");
        assert!(wires.outside(&["cat", "/etc/resolv.conf"]).text().contains(PEERS));
        let hosts = wires.run(&["cat", "/etc/hosts"]).text();
        assert!(hosts.starts_with("127.0.0.1 localhost"), "{hosts}");
        let changed = wires.run(&["sh", "-c", "echo nameserver 10.0.0.1 > /etc/resolv.conf"]);
        assert!(changed.code != 0, "{changed:?}");
        let script = "env | grep -ci _proxy; test -z \"$HTTPS_PROXY$https_proxy\" && echo none";
        assert_eq!(wires.run(&["sh", "-c", script]).text(), "0\nnone");
    });
}

/// Without a network namespace nothing leads to the gate, and nothing runs.
#[test]
fn without_namespaces_rules_for_hosts_are_refused() {
    Way::each_of(&[Way::Bare], "gate::bare", |way| {
        let world = World::new(way);
        for rules in [&allow(&["allowed.example"]), "domains = []", "mode = \"limited\""] {
            let network = format!("[permissions.test.network]\nenabled = true\n{rules}");
            world.profile("\":root\" = \"read\"\n\"{w}/work\" = \"write\"", &network);
            let run = finish(world.command(&programs().weir).args(["run", "--", "touch", "ran"]));
            assert_eq!(run.code, REFUSED, "{rules}: {run:?}");
            assert!(run.stderr.contains("network gate") && run.stderr.contains("config.toml:"), "{run:?}");
            assert!(!world.at("work/ran").exists());
        }
    });
}
