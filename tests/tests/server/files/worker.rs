//! One worker for many calls, and what becomes of it.

use std::os::unix::net::UnixStream;

use serde_json::{Value, json};
use weir_tests::sandbox::{Way, World};

use super::super::peer::{Server, choice};
use super::{DENIED, Files, MISSING, NO_CONTEXT};

/// Pairs of calls that one worker carries out.
const PAIRS: u64 = 500;

fn world_of(way: Way) -> (World, Server) {
    let world = World::new(way);
    world.profile(r#""{w}/work" = "write""#, "");
    world.file("work/a", "content");
    let server = Server::start(&world);
    (world, server)
}

/// Waits until the processes are as they should be. Each turn asks the kernel anew, and the server in between.
fn until(files: &mut Files<'_>, what: &str, mut holds: impl FnMut(&Files<'_>) -> bool) {
    for _ in 0..10_000 {
        if holds(files) {
            return;
        }
        files.client.ask("context/list", Value::Null);
    }
    panic!("{what}: not within 10000 turns");
}

#[test]
fn a_thousand_calls_use_one_worker() {
    Way::each("files::one_worker", |way| {
        let (world, server) = world_of(way);
        let mut files = Files::open(&world, &server);
        assert!(files.workers(&server).is_empty());
        assert_eq!(files.read("{w}/work/a"), b"content");
        let worker = files.workers(&server);
        assert_eq!(worker.len(), 1);
        let family = server.descendants();
        for number in 0..PAIRS {
            let write = json!({ "path": "{w}/work/n", "content": number.to_string(), "writing": "replace" });
            files.done("file/write", write);
            assert_eq!(files.read("{w}/work/n"), number.to_string().into_bytes());
        }
        assert_eq!(files.workers(&server), worker);
        assert_eq!(server.descendants(), family);
    });
}

#[test]
fn a_worker_that_was_killed_is_replaced_by_the_next_call() {
    Way::each("files::killed", |way| {
        let (world, server) = world_of(way);
        let mut files = Files::open(&world, &server);
        let mut killed = Vec::new();
        for _ in 0..10 {
            assert_eq!(files.read("{w}/work/a"), b"content");
            let workers = files.workers(&server);
            assert_eq!(workers.len(), 1);
            assert!(!killed.contains(&workers[0]));
            let pid = rustix::process::Pid::from_raw(workers[0]).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            killed.push(workers[0]);
        }
        // Also one that is killed while calls are under way: each is answered, and what only looks succeeds.
        let params = files.params(&json!({ "path": "{w}/work/a" }));
        let ids: Vec<u64> = (0..50).map(|_| files.client.call("file/stat", params.clone())).collect();
        let worker = files.workers(&server).first().copied().and_then(rustix::process::Pid::from_raw);
        let _ = worker.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
        for id in ids {
            let heard = files.client.hear();
            let super::Heard::Message(message) = heard else { panic!("{heard:?}") };
            assert_eq!((&message["id"], &message["error"]), (&json!(id), &Value::Null), "{message}");
        }
    });
}

#[test]
fn a_worker_ends_with_its_context_and_with_the_server() {
    Way::each("files::ends", |way| {
        let (world, server) = world_of(way);
        let mut files = Files::open(&world, &server);
        files.read("{w}/work/a");
        let context = files.context.clone();
        files.client.ask("context/close", json!({ "id": context }));
        assert_eq!(files.refused("file/read", json!({ "path": "{w}/work/a" })).0, NO_CONTEXT);
        until(&mut files, "no worker", |files| files.workers(&server).is_empty());
        let opened = files.client.ask("context/open", json!({ "choice": choice(&world), "thread": "t" }));
        files.context = opened["result"]["id"].clone();
        files.read("{w}/work/a");
        let worker = files.workers(&server)[0];
        // Narrowed, the context has another worker, which may less.
        world.profile(r#""{w}/work" = "read""#, "");
        let narrower = json!({ "id": files.context, "choice": choice(&world) });
        let narrowed = files.client.ask("context/narrow", narrower);
        assert!(narrowed["error"].is_null(), "{narrowed}");
        assert_eq!(files.refused("file/remove", json!({ "path": "{w}/work/a" })).0, DENIED);
        assert_eq!(files.read("{w}/work/a"), b"content");
        until(&mut files, "the old one gone", |files| !files.workers(&server).contains(&worker));
        let worker = files.workers(&server)[0];
        let pid = rustix::process::Pid::from_raw(worker).unwrap();
        let handle = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
        drop(server);
        // Readable when it has ended.
        let mut watched = [rustix::event::PollFd::new(&handle, rustix::event::PollFlags::IN)];
        let limit = rustix::event::Timespec { tv_sec: 60, tv_nsec: 0 };
        assert_eq!(rustix::event::poll(&mut watched, Some(&limit)), Ok(1));
    });
}

/// Whoever asks for something long and goes does not keep others waiting.
#[test]
fn a_call_whose_client_has_gone_is_called_off() {
    Way::each("files::called_off", |way| {
        let (world, server) = world_of(way);
        let mut files = Files::open(&world, &server);
        files.read("{w}/work/a");
        let worker = files.workers(&server);
        // Reading this one has no end.
        let endless = json!({ "root": "/proc", "pattern": "no such thing", "scope": "all" });
        let mut going = Files { world: &world, client: server.client(), context: files.context.clone() };
        let params = going.params(&endless);
        for _ in 0..20 {
            going.client.call("file/search", params.clone());
        }
        let socket: &UnixStream = going.client.socket();
        socket.shutdown(std::net::Shutdown::Both).unwrap();
        assert_eq!(files.read("{w}/work/a"), b"content");
        assert_eq!(files.workers(&server), worker);
    });
}

#[test]
fn a_context_is_needed() {
    Way::each("files::no_context", |way| {
        let (world, server) = world_of(way);
        let mut files = Files::open(&world, &server);
        files.context = json!(777);
        assert_eq!(files.refused("file/read", json!({ "path": "{w}/work/a" })).0, NO_CONTEXT);
        assert!(files.workers(&server).is_empty());
    });
}

/// An escalation for a turn holds for calls in that turn, in a worker of its own, and leaves the context's as it is.
#[test]
fn a_lease_for_a_turn_holds_for_files() {
    Way::each("files::lease", |way| {
        let (world, server) = world_of(way);
        let outside = world.directory("out");
        let mut files = Files::open(&world, &server);
        let opened = files.client.ask("context/open", json!({ "choice": choice(&world), "thread": "t" }));
        files.context = opened["result"]["id"].clone();
        let write = json!({ "path": "{w}/out/x", "content": "x", "writing": "replace" });
        assert_eq!(files.refused("file/write", write.clone()).0, DENIED);
        let lease = files.client.ask(
            "context/lease",
            json!({
                "id": files.context,
                "grants": [{ "kind": "path", "path": outside, "access": "write" }],
                "scope": { "kind": "turn", "thread": "t", "turn": "1" },
                "for_ms": 60_000,
                "reason": "test",
            }),
        );
        let mut params = files.params(&write);
        params["under"]["lease"] = lease["result"]["lease"].clone();
        params["under"]["turn"] = json!("2");
        assert!(!files.client.ask("file/write", params.clone())["error"].is_null());
        params["under"]["turn"] = json!("1");
        let written = files.client.ask("file/write", params);
        assert!(written["error"].is_null(), "{written}");
        assert_eq!(files.refused("file/write", write).0, DENIED);
        assert_eq!(files.workers(&server).len(), 2);
    });
}

/// What only whoever started the server is to know.
const SECRET: (&str, &str) = ("SERVERS_OWN_KEY", "sesame-of-the-server");

/// Whether these bytes hold the server's secret.
fn tells(bytes: &[u8]) -> bool {
    let secret = SECRET.1.as_bytes();
    bytes.windows(secret.len()).any(|window| window == secret)
}

/// What the kernel shows of a process's memory, through any of its names: a worker has executed nothing, and began on the server's.
#[test]
fn no_call_reads_what_the_worker_has_from_the_server() {
    Way::each("files::own_memory", |way| {
        let world = World::new(way);
        world.profile(r#""{w}/work" = "write""#, "");
        world.file("work/a", "content");
        let server = Server::start_knowing(&world, world.at("server.sock"), &[], &[SECRET]);
        let mut files = Files::open(&world, &server);
        assert_eq!(files.read("{w}/work/a"), b"content");
        world.link("work/link", "/proc/self/environ");
        let mut places: Vec<String> =
            ["environ", "mem", "maps", "smaps", "auxv", "cmdline", "status", "task/2/mem"]
                .iter()
                .flat_map(|name| {
                    ["self", "thread-self", "1", "2", "self/root/proc/self"]
                        .map(|of| format!("/proc/{of}/{name}"))
                })
                .collect();
        places.extend(["{w}/work/link".to_owned(), "/proc/self/cwd/proc/self/environ".to_owned()]);
        for place in places {
            let (code, message) = files.refused("file/read", json!({ "path": place }));
            assert!([DENIED, MISSING].contains(&code), "{place}: {message}");
            let copy = json!({ "from": place, "to": "{w}/work/copy", "existing": "replace" });
            let (code, message) = files.refused("file/copy", copy);
            assert!([DENIED, MISSING].contains(&code), "{place}: {message}");
            let search = json!({ "root": place, "pattern": "." });
            files.refused("file/search", search);
        }
        for method in ["file/list", "file/stat"] {
            assert_eq!(files.refused(method, json!({ "path": "/proc/self" })).0, DENIED, "{method}");
        }
        let write = json!({ "path": "/proc/self/comm", "content": "x", "writing": "append" });
        assert_eq!(files.refused("file/write", write).0, DENIED);
        // What is not a process's is read as before.
        assert!(!files.read("/proc/cpuinfo").is_empty());
        // Nor does anything that belongs to the server show it to whoever may look there.
        for pid in server.descendants().into_iter().chain([server.pid()]) {
            assert!(!tells(&std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default()), "{pid}");
        }
    });
}
