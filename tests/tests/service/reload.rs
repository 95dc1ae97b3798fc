//! SIGHUP: the requirements are read again, and hold for the next start; while they cannot be used nothing starts.

use std::fs;

use serde_json::{Value, json};
use weir_tests::sandbox::way::is_root;

use super::client::{Client, start};
use super::place::{ALICE, Place, Server, below, send};

/// Below it nothing may be written.
const STRICT: &str = "[ceiling.filesystem]\n\":root\" = \"read\"\n";

const LOOSE: &str = "[ceiling.filesystem]\n\":root\" = \"write\"\n";

/// `DOCUMENT`, `CEILING` of the protocol's codes.
const DOCUMENT: i64 = -32010;
const CEILING: i64 = -32014;

fn reload(place: &Place, server: &Server) {
    server.signal(libc::SIGHUP);
    assert_eq!((place.told(), place.told()), ("RELOADING=1".to_owned(), "READY=1".to_owned()));
}

#[test]
fn a_changed_ceiling_holds_for_the_next_start() {
    if !is_root() {
        return weir_tests::skip(
            "service::requirements",
            "only root's servers have requirements of their own",
        );
    }
    let place = Place::new();
    place.requirements(STRICT);
    let server = place.serve(&[]);
    let mut client = server.client(ALICE);
    assert_eq!(place.told(), "READY=1");
    let params = start(&place.world(ALICE), &["touch", "made"]);
    let refused = |client: &mut Client| client.ask("process/start", &params).unwrap_err();
    assert_eq!(refused(&mut client).0, CEILING);
    // What the resolver reads by now counts for nothing: the launcher has the ceiling that the supervisor has read.
    place.requirements(LOOSE);
    let (code, error) = refused(&mut client);
    assert_eq!(code, CEILING, "{error}");
    reload(&place, &server);
    client.run(&params);
    let made = place.world(ALICE).join("work/made");
    assert!(made.exists());
    fs::remove_file(&made).unwrap();
    // A file that cannot be used: nothing starts until it can.
    place.requirements("[ceiling\n");
    reload(&place, &server);
    assert_eq!(refused(&mut client).0, DOCUMENT);
    place.requirements(LOOSE);
    let (code, error) = refused(&mut client);
    assert_eq!(code, CEILING, "{error}");
    assert!(!made.exists());
    reload(&place, &server);
    client.run(&params);
    assert!(made.exists());
    let log = fs::read_to_string(server.state().join("audit.jsonl")).unwrap();
    let records = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let reloads: Vec<bool> = records
        .filter(|record| record["action"] == "reload")
        .map(|record| record["reason"].is_string())
        .collect();
    assert_eq!(reloads, [false, true, false]);
}

#[test]
fn a_changed_ceiling_holds_for_workers_that_are_there() {
    if !is_root() {
        return weir_tests::skip(
            "service::requirements",
            "only root's servers have requirements of their own",
        );
    }
    let place = Place::new();
    place.requirements(LOOSE);
    let server = place.serve(&[]);
    let mut client = server.client(ALICE);
    assert_eq!(place.told(), "READY=1");
    let work = place.world(ALICE).join("work");
    let choice = start(&place.world(ALICE), &["true"])["choice"].clone();
    let context = client.ask("context/open", &json!({ "choice": choice })).unwrap()["id"].clone();
    let write = |client: &mut Client, name: &str| {
        let file = json!({ "path": work.join(name), "content": "x", "writing": "create" });
        let under = json!({ "context": context });
        client.ask("file/write", &json!({ "under": under, "standpoint": choice["standpoint"], "file": file }))
    };
    write(&mut client, "before").unwrap();
    place.requirements(STRICT);
    reload(&place, &server);
    let (code, error) = write(&mut client, "after").unwrap_err();
    assert_eq!(code, CEILING, "{error}");
    assert!(work.join("before").exists() && !work.join("after").exists());
    place.requirements(LOOSE);
    reload(&place, &server);
    write(&mut client, "after").unwrap();
}

/// The worker is held up while its call is under way, and so is who would tell that.
#[test]
fn a_call_that_is_under_way_goes_on_to_its_end() {
    if !is_root() {
        return weir_tests::skip(
            "service::requirements",
            "only root's servers have requirements of their own",
        );
    }
    let place = Place::new();
    place.requirements(LOOSE);
    let server = place.serve(&[]);
    let mut client = server.client(ALICE);
    assert_eq!(place.told(), "READY=1");
    let path = place.world(ALICE).join("work/file");
    let choice = start(&place.world(ALICE), &["true"])["choice"].clone();
    let context = client.ask("context/open", &json!({ "choice": choice })).unwrap()["id"].clone();
    let write = |content: &str| {
        let file = json!({ "path": path, "content": content, "writing": "replace" });
        json!({ "under": { "context": context }, "standpoint": choice["standpoint"], "file": file })
    };
    let before = below(server.pid());
    client.ask("file/write", &write("before")).unwrap();
    let launcher = below(server.pid()).into_iter().find(|pid| !before.contains(pid)).unwrap();
    let first = below(launcher)[0];
    let worker = below(first)[0];
    for pid in [first, worker] {
        send(pid, libc::SIGSTOP);
    }
    let under_way = client.send("file/write", &write("after"));
    place.requirements(STRICT);
    reload(&place, &server);
    // What comes behind the news of it to the server part.
    drop(server.client(ALICE));
    for pid in [worker, first] {
        send(pid, libc::SIGCONT);
    }
    client.answer(under_way).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "after");
    // The next one is carried out by another worker, under what holds now.
    assert_eq!(client.ask("file/write", &write("later")).unwrap_err().0, CEILING);
    assert_eq!(fs::read_to_string(&path).unwrap(), "after");
}
