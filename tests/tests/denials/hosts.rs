//! Hosts and unix sockets: told by the gate and by init.

use std::fs;
use std::os::unix::net::UnixListener;

use weir_protocol::denial::Denial;
use weir_protocol::method::process::Exited;
use weir_protocol::policy::explain::Edit;
use weir_tests::sandbox::{Way, World};
use weir_tests::skip;

use super::case::{apply, report_of, reported};

/// Ways that have a network gate.
const GATED: [Way; 2] = [Way::Root, Way::User];

/// A name that this machine knows without asking anybody.
fn own_name() -> Option<String> {
    let hosts = fs::read_to_string("/etc/hosts").ok()?;
    let lines = hosts.lines().filter(|line| line.starts_with("127."));
    lines
        .flat_map(|line| line.split_whitespace().skip(1))
        .find(|name| !name.contains("localhost"))
        .map(ToOwned::to_owned)
}

fn one(exited: &Exited, operation: &str, target: &str) -> Denial {
    let found: Vec<_> =
        exited.denials.iter().map(|one| (one.operation.to_string(), one.target.to_string())).collect();
    assert_eq!(found, [(operation.to_owned(), target.to_owned())], "{exited:?}");
    exited.denials[0].clone()
}

#[test]
fn a_name_that_no_rule_allows() {
    let Some(name) = own_name() else {
        return skip("denials::own_name", "this machine has no name of its own in /etc/hosts");
    };
    Way::each_of(&GATED, "denials::resolve", |way| {
        let world = World::new(way);
        let network = "[permissions.test.network]\nenabled = true\n\
                       [permissions.test.network.domains]\n\"registry.example.org\" = \"allow\"";
        world.profile("\"{w}/work\" = \"write\"", network);
        let words = ["getent", "hosts", &name];
        assert!(world.outside(words).text().contains(&name));
        let (run, exited) = report_of(&world, &[], words.map(ToOwned::to_owned));
        assert_ne!(run.code, 0, "{run:?}");
        let denial = one(&exited, "resolve", &name);
        assert_eq!(denial.mechanism.word(), "network-gate", "{denial:?}");
        let Some(edit @ Edit::Add { line, .. }) = &denial.edit else { panic!("{denial:?}") };
        assert_eq!(*line, format!("\"{name}:443\" = \"allow\""));
        apply(&world, edit);
        let (run, exited) = report_of(&world, &[], words.map(ToOwned::to_owned));
        assert_eq!((run.code, exited.denials.len()), (0, 0), "{run:?} {exited:?}");
    });
}

#[test]
fn an_address_that_a_rule_denies() {
    Way::each_of(&GATED, "denials::connect", |way| {
        let world = World::new(way);
        let network = "[permissions.test.network]\nenabled = true\n\
                       [permissions.test.network.domains]\n\"203.0.113.5\" = \"deny\"\n\"*.example.org\" = \"allow\"";
        world.profile("\"{w}/work\" = \"write\"", network);
        let (run, exited) = reported(&world, &[], &["tcp", "203.0.113.5:443"]);
        assert!(!run.text().starts_with("ok"), "{run:?}");
        let denial = one(&exited, "connect", "203.0.113.5:443");
        let rule = super::case::rule(&denial).unwrap();
        assert_eq!(rule, "\"203.0.113.5\" = \"deny\"");
        assert!(matches!(&denial.edit, Some(Edit::Change { to: None, .. })), "{denial:?}");
    });
}

#[test]
fn a_unix_socket_that_no_rule_allows() {
    Way::each_of(&GATED, "denials::unix", |way| {
        let world = World::new(way);
        let network = "[permissions.test.network.unix_sockets]\n\"{w}/work/other.sock\" = \"allow\"";
        world.profile("\"{w}/work\" = \"write\"", network);
        let path = world.at("work/host.sock");
        let listener = UnixListener::bind(&path).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let _greeting = std::thread::spawn(move || listener.incoming().for_each(drop));
        let act = ["unix", "{w}/work/host.sock"];
        let (run, exited) = reported(&world, &[], &act);
        assert!(!run.text().starts_with("ok"), "{run:?}");
        let denial = one(&exited, "connect", &path.to_string_lossy());
        assert_eq!((denial.mechanism.word(), denial.origin.is_none()), ("broker", true), "{denial:?}");
        apply(&world, denial.edit.as_ref().unwrap());
        let (run, exited) = reported(&world, &[], &act);
        assert_eq!(exited.denials, [], "{run:?}");
        assert!(run.text().starts_with("ok"), "{run:?}");
    });
}
