//! Copies behind a server that several users share: whose they are, calls on files in them, the ceiling, the record.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use serde_json::{Value, json};
use weir_tests::sandbox::way::is_root;
use weir_tests::skip;

use super::client::{Client, standpoint, start};
use super::place::{ALICE, BOB, Place};

const CEILING: i64 = -32014;
const FILE: i64 = -32011;

/// The profile of a user whose working directory is changed in a copy alone.
fn place() -> Place {
    let place = Place::new();
    for user in [ALICE, BOB] {
        place.profile(user, "\":cwd\" = \"copy\"");
    }
    place
}

fn shell(client: &mut Client, place: &Place, user: u32, line: &str) -> String {
    let found = client.run(&start(&place.world(user), &["sh", "-c", line]));
    assert_eq!(found.exited["end"]["code"], 0, "{line}: {found:?}");
    String::from_utf8(found.output).unwrap()
}

fn changes(client: &mut Client, standpoint: &Value) -> Vec<Value> {
    let listed = client.ask("changes/list", &json!({"which": {"standpoint": standpoint}})).unwrap();
    listed["copies"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|copy| copy["changes"].as_array().unwrap().clone())
        .collect()
}

#[test]
fn a_copy_is_its_user_s_alone() {
    if !is_root() {
        return skip("service::copies", "several users need root");
    }
    let place = place();
    let server = place.serve(&[]);
    let (mut alice, mut bob) = (server.client(ALICE), server.client(BOB));
    shell(&mut alice, &place, ALICE, "echo alice > a");
    assert!(!place.world(ALICE).join("work/a").exists());
    let own = standpoint(&place.world(ALICE));
    assert_eq!(changes(&mut alice, &own).len(), 1);
    let kept = place.world(ALICE).join("weir/copies");
    assert_eq!(fs::metadata(&kept).unwrap().uid(), ALICE);
    // Another user names it, for a command, to see it, to apply it, to remove it.
    assert_eq!(changes(&mut bob, &own), Vec::<Value>::new());
    let mut foreign = start(&place.world(BOB), &["sh", "-c", "echo bob > b"]);
    foreign["choice"]["standpoint"]["weir_home"] = own["weir_home"].clone();
    foreign["choice"]["config"] = json!(place.world(BOB).join("weir/config.toml"));
    let refused = bob.ask("process/start", &foreign).unwrap_err();
    assert_eq!(refused.0, FILE, "{refused:?}");
    for method in ["changes/apply", "changes/discard"] {
        let done = bob.ask(method, &json!({"which": {"standpoint": own}})).unwrap();
        assert_eq!(done["copies"], json!([]));
    }
    // Where he may look at it, it is refused for whose it is.
    fs::set_permissions(&kept, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    for entry in fs::read_dir(&kept).unwrap() {
        fs::set_permissions(entry.unwrap().path(), std::os::unix::fs::PermissionsExt::from_mode(0o777))
            .unwrap();
    }
    for method in ["changes/list", "changes/apply", "changes/discard"] {
        assert_eq!(bob.ask(method, &json!({"which": {"standpoint": own}})).unwrap_err().0, FILE, "{method}");
    }
    fs::set_permissions(&kept, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    // The control: its own user does all of it, on record.
    assert_eq!(changes(&mut alice, &own).len(), 1);
    let applied = alice.ask("changes/apply", &json!({"which": {"standpoint": own}})).unwrap();
    assert_eq!(applied["copies"][0]["done"], json!(["a"]), "{applied}");
    let made = place.world(ALICE).join("work/a");
    assert_eq!(
        (fs::read_to_string(&made).unwrap().as_str(), fs::metadata(&made).unwrap().uid()),
        ("alice\n", ALICE)
    );
    let log = fs::read_to_string(server.state().join("audit.jsonl")).unwrap();
    assert!(
        log.lines().any(|line| line.contains("\"changes\"") && line.contains("apply the changes to")),
        "{log}"
    );
}

#[test]
fn calls_on_files_change_the_copy_too() {
    if !is_root() {
        return skip("service::copies_files", "the ordinary user may have no namespaces");
    }
    let place = place();
    let server = place.serve(&[]);
    let mut client = server.client(ALICE);
    let own = standpoint(&place.world(ALICE));
    let context = client.ask("context/open", &json!({"choice": {"standpoint": own}})).unwrap()["id"].clone();
    let path = place.world(ALICE).join("work/f");
    let of = |file: Value| json!({"under": {"context": context}, "standpoint": own, "file": file});
    let write = json!({"path": path, "content": "by the call\n", "writing": "create"});
    client.ask("file/write", &of(write)).unwrap();
    assert!(!path.exists());
    // At once: nothing of the worker is left to hold the copy.
    assert_eq!(shell(&mut client, &place, ALICE, "cat f; echo by the command > g"), "by the call\n");
    client.ask("file/read", &of(json!({"path": path.with_file_name("g")}))).unwrap();
    assert_eq!(changes(&mut client, &own).len(), 2);
    client.ask("changes/apply", &json!({"which": {"standpoint": own, "paths": [path]}})).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "by the call\n");
    assert_eq!(changes(&mut client, &own).len(), 1);
}

#[test]
fn what_nobody_may_write_nobody_applies() {
    if !is_root() {
        return skip("service::copies_ceiling", "only root's server has requirements");
    }
    let place = place();
    for (limit, allowed) in [("copy", false), ("write", true)] {
        let work = place.world(ALICE).join("work");
        place.requirements(&format!("[ceiling.filesystem]\n\":root\" = \"read\"\n{work:?} = \"{limit}\"\n"));
        let path = place.world(ALICE).join("weir/config.toml");
        let text =
            format!("default_permissions = \"test\"\n[permissions.test.filesystem]\n{work:?} = \"copy\"\n");
        fs::write(path, text).unwrap();
        let server = place.serve(&[]);
        let mut client = server.client(ALICE);
        shell(&mut client, &place, ALICE, "echo new > a");
        let own = standpoint(&place.world(ALICE));
        let applied = client.ask("changes/apply", &json!({"which": {"standpoint": own}}));
        assert_eq!(work.join("a").exists(), allowed, "{limit}: {applied:?}");
        assert_eq!(applied.map(drop).map_err(|(code, _)| code), if allowed { Ok(()) } else { Err(CEILING) });
    }
}
