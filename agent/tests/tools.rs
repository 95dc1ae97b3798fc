//! The tools of a model, against a real exec-server: what they do, what they tell, what they leave behind.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[allow(dead_code, reason = "shared with the tests of the command line")]
#[path = "support/daemon.rs"]
mod daemon;
#[allow(dead_code, reason = "shared with the tests of the command line")]
#[path = "support/place.rs"]
mod place;

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use daemon::Daemon;
use place::Place;
use serde_json::{Value, json};
use weir_agent::approval::{Answer, Approvals, Approver, Asking, NoOne, Question};
use weir_agent::executor::Executor;
use weir_agent::item::{CommandStatus, Did, ToolOutcome};
use weir_agent::link::Which;
use weir_agent::thread::{ThreadId, TurnId};
use weir_agent::tool::{self, Tools, Workplace};
use weir_protocol::method::output::WhenLeft;
use weir_protocol::method::policy::Choice;
use weir_protocol::method::process::End;

/// Tools at a server of the test's own.
struct Bench {
    place: Place,
    daemon: Daemon,
    tools: Tools,
}

impl Bench {
    async fn new(place: Place) -> Self {
        Self::with(place, ":workspace", Approvals::default(), Rc::new(NoOne)).await
    }

    async fn with(place: Place, profile: &str, approvals: Approvals, approver: Rc<dyn Approver>) -> Self {
        let daemon = Daemon::start(place.dir.path());
        let standpoint = place.standpoint();
        let [read, write, copy, deny] = [const { Vec::new() }; 4];
        let profile = Some(profile.to_owned());
        let outputs = place.dir.path().join("outputs");
        std::fs::create_dir(&outputs).unwrap();
        let session = tool::session(&Which::At(daemon.socket.clone())).unwrap();
        let work = tool::Place {
            choice: Choice { standpoint, config: None, profile, read, write, copy, deny },
            thread: ThreadId::new(),
            forked_from: None,
            bound: None,
            environment: vec![
                ("PATH".into(), "/usr/bin:/bin".into()),
                ("HOME".into(), place.path("home").as_str().into()),
            ],
            outputs: Some(outputs),
            when_left: WhenLeft::End,
            approvals,
            approver,
        };
        let tools = Tools::new(Workplace::open(Executor::begin(session).unwrap(), work).await.unwrap());
        tools.begin_turn(TurnId::new());
        Self { place, daemon, tools }
    }

    async fn call(&self, tool: &str, arguments: Value) -> ToolOutcome {
        self.tools.call(&"call-1".into(), tool, &arguments.to_string(), &|_| {}).await
    }

    async fn run(&self, script: &str) -> ToolOutcome {
        self.call("exec_command", json!({ "cmd": script })).await
    }
}

/// Runs `test` with tools, where this host can confine a command.
fn with(name: &str, test: impl AsyncFnOnce(Bench)) {
    let Some(place) = Place::confining(name) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { test(Bench::new(place).await).await });
}

fn status(outcome: &ToolOutcome) -> &CommandStatus {
    match &outcome.did {
        Did::Command { status, .. } => status,
        other => panic!("{other:?}: {}", outcome.told),
    }
}

fn process(outcome: &ToolOutcome) -> u64 {
    match outcome.did {
        Did::Command { process: Some(process), .. } => process,
        _ => panic!("{outcome:?}"),
    }
}

const fn ended(code: i32) -> CommandStatus {
    CommandStatus::Ended { end: End::Exited { code } }
}

#[test]
fn a_command_tells_its_output_its_end_and_its_account() {
    with("tools_command", async |bench| {
        let outcome = bench.run("echo out; echo err >&2; exit 3").await;
        assert_eq!(status(&outcome), &ended(3), "{}", outcome.told);
        assert!(
            outcome.told.contains("Exited with code 3") && outcome.told.contains("out"),
            "{}",
            outcome.told
        );
        let Did::Command { streams, .. } = &outcome.did else { panic!() };
        assert_eq!(streams.iter().map(|account| account.bytes).collect::<Vec<_>>(), [4, 4]);
        assert_eq!(streams[0].blake3, blake3::hash(b"out\n").to_hex().as_str());
        // A command has no standard input unless it is asked for: one that reads does not hang.
        assert_eq!(status(&bench.run("cat").await), &ended(0));
    });
}

#[test]
fn what_does_not_fit_is_stated_to_the_byte_and_kept_whole() {
    with("tools_kept", async |bench| {
        let arguments = json!({ "cmd": "seq 100000", "max_output_tokens": 100 });
        let outcome = bench.call("exec_command", arguments).await;
        let all: Vec<u8> = (1..=100_000).flat_map(|number| format!("{number}\n").into_bytes()).collect();
        assert!(outcome.told.contains(&format!("{} bytes left out", all.len() - 400)), "{}", outcome.told);
        let kept: Vec<_> = std::fs::read_dir(bench.place.dir.path().join("outputs")).unwrap().collect();
        let path = kept[0].as_ref().unwrap().path();
        assert!(std::fs::read(&path).unwrap() == all);
        assert!(outcome.told.contains(path.to_str().unwrap()));
    });
}

#[test]
fn a_command_that_takes_longer_is_polled_written_to_and_ended() {
    with("tools_running", async |bench| {
        let arguments = json!({ "cmd": "read x; echo got $x; exec cat", "stdin": true, "yield_time_ms": 1 });
        let outcome = bench.call("exec_command", arguments).await;
        assert_eq!(status(&outcome), &CommandStatus::Running);
        let id = process(&outcome);
        let write = json!({ "session_id": id, "chars": "seven\n", "yield_time_ms": 2000 });
        let outcome = bench.call("write_stdin", write).await;
        assert_eq!(status(&outcome), &CommandStatus::Running);
        assert!(outcome.told.contains("got seven"), "{}", outcome.told);
        let outcome = bench.call("write_stdin", json!({ "session_id": id, "signal": "end" })).await;
        let end = CommandStatus::Ended { end: End::Signalled { signal: 15 } };
        assert_eq!(status(&outcome), &end, "{}", outcome.told);
        let outcome = bench.call("write_stdin", json!({ "session_id": id })).await;
        assert!(outcome.told.contains("no process"), "{}", outcome.told);
    });
}

#[test]
fn a_call_that_is_dropped_ends_what_it_started() {
    with("tools_dropped", async |bench| {
        let running = bench.run("echo $$ > pid; exec sleep 1000");
        let _ = tokio::time::timeout(Duration::from_secs(2), running).await.unwrap_err();
        assert!(bench.tools.running().is_empty());
        // It is gone when the server knows of no command that runs.
        loop {
            let which = Which::At(bench.daemon.socket.clone());
            if tool::session(&which).unwrap().list().unwrap().iter().all(|listed| listed.exited.is_some()) {
                break;
            }
        }
    });
}

#[test]
fn files_are_read_found_searched_changed_and_written() {
    with("tools_files", async |bench| {
        bench.place.write("project/a.txt", "one\ntwo\nthree\n");
        let told = async |tool: &str, arguments: Value| bench.call(tool, arguments).await.told;
        assert_eq!(
            told("read_file", json!({ "path": "a.txt", "line": 2 })).await,
            "     2\ttwo\n     3\tthree\n"
        );
        assert_eq!(told("list_directory", json!({})).await, "a.txt\nsub/\n");
        assert_eq!(told("find_files", json!({ "pattern": "**/*.txt" })).await, "a.txt\n");
        assert_eq!(told("search_files", json!({ "pattern": "^t" })).await, "a.txt:2:two\na.txt:3:three\n");
        let edit = json!({ "path": "a.txt", "edits": [{ "old": "two", "new": "2" }] });
        let create = json!({ "path": "b.txt", "create": "new\n" });
        let outcome = bench.call("patch_files", json!({ "changes": [edit, create] })).await;
        assert!(matches!(&outcome.did, Did::Files { changes } if changes.len() == 2), "{outcome:?}");
        bench.call("write_file", json!({ "path": "c.txt", "content": "c" })).await;
        let read =
            |name: &str| std::fs::read_to_string(bench.place.path(&format!("project/{name}"))).unwrap();
        assert_eq!(
            (read("a.txt"), read("b.txt"), read("c.txt")),
            ("one\n2\nthree\n".into(), "new\n".into(), "c".into())
        );
        // All or none: the first change alone could be done.
        let edit = json!({ "path": "a.txt", "edits": [{ "old": "one", "new": "1" }] });
        let wrong = json!({ "path": "b.txt", "edits": [{ "old": "absent", "new": "" }] });
        let outcome = bench.call("patch_files", json!({ "changes": [edit, wrong] })).await;
        assert!(matches!(outcome.did, Did::Failed { .. }));
        assert_eq!(read("a.txt"), "one\n2\nthree\n");
    });
}

#[test]
fn what_the_profile_closes_is_closed_for_tools() {
    with("tools_refused", async |bench| {
        std::fs::create_dir_all(bench.place.path("home/.ssh")).unwrap();
        bench.place.write("home/.ssh/id_ed25519", "the-secret");
        let secret = bench.place.path("home/.ssh/id_ed25519");
        let calls = [
            ("read_file", json!({ "path": "~/.ssh/id_ed25519" })),
            ("search_files", json!({ "pattern": "secret", "path": "~/.ssh", "all": true })),
            ("exec_command", json!({ "cmd": format!("cat {secret}") })),
            ("write_file", json!({ "path": "~/.ssh/authorized_keys", "content": "x" })),
            ("patch_files", json!({ "changes": [{ "path": ".mcp.json", "create": "{}" }] })),
            ("exec_command", json!({ "cmd": "echo x > ~/.ssh/authorized_keys", "workdir": "~/.ssh" })),
        ];
        for (tool, arguments) in calls {
            let outcome = bench.call(tool, arguments.clone()).await;
            assert!(!outcome.told.contains("the-secret"), "{tool} {arguments}: {}", outcome.told);
        }
        assert!(!Path::new(&bench.place.path("home/.ssh/authorized_keys")).exists());
        assert!(!Path::new(&bench.place.path("project/.mcp.json")).exists());
        // The control: where the profile lets them, the same calls succeed.
        bench.place.write("project/open", "the-secret");
        let outcome = bench.call("read_file", json!({ "path": "open" })).await;
        assert!(outcome.told.contains("the-secret"));
    });
}

#[test]
fn what_a_model_writes_wrongly_comes_back_to_it() {
    with("tools_wrong", async |bench| {
        let cases = [
            ("exec_command", "{\"cmd\": ", "cannot be read"),
            ("exec_command", "{\"cmd\": \"true\", \"sandbox\": \"none\"}", "unknown field `sandbox`"),
            ("exec_command", "[]", "cannot be read"),
            ("no_such_tool", "{}", "there is no tool `no_such_tool`"),
            ("patch_files", "{\"changes\": [{\"path\": \"x\"}]}", "exactly one of"),
            ("read_file", "{\"path\": \"\"}", "is no path"),
        ];
        for (tool, arguments, expect) in cases {
            let outcome = bench.tools.call(&"c".into(), tool, arguments, &|_| {}).await;
            assert!(outcome.told.contains(expect), "{tool}: {}", outcome.told);
            assert!(matches!(outcome.did, Did::Failed { .. }));
        }
    });
}

/// Answers alike, and remembers what was asked.
struct Fixed(Answer, RefCell<Vec<String>>);

impl Approver for Fixed {
    fn ask<'a>(&'a self, question: &'a Question) -> Asking<'a> {
        self.1.borrow_mut().push(question.text());
        Box::pin(std::future::ready(self.0.clone()))
    }
}

/// Runs `test` with tools whose questions are all answered alike.
fn with_answers(
    name: &str,
    (profile, rules): (&str, &str),
    answer: Answer,
    test: impl AsyncFnOnce(Bench, Rc<Fixed>),
) {
    let Some(place) = Place::confining(name) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let approver = Rc::new(Fixed(answer, RefCell::default()));
        let approvals = Approvals::parse(rules, "config.toml").unwrap();
        let bench = Bench::with(place, profile, approvals, Rc::clone(&approver) as Rc<dyn Approver>).await;
        test(bench, approver).await;
    });
}

#[test]
fn what_is_asked_for_and_granted_holds_for_the_turn_and_leaves_the_profile() {
    with_answers("tools_granted", (":read-only", ""), Answer::ForTurn, async |bench, approver| {
        std::fs::create_dir_all(bench.place.path("home/data")).unwrap();
        let write = async || bench.run("echo x > ~/data/new && cat ~/data/new").await;
        let digest = bench.tools.workplace().opened().digest;
        assert_ne!(status(&write().await), &ended(0), "the control: the profile alone does not allow it");
        let ask = json!({ "write": ["~/data"], "reason": "to keep the result" });
        let outcome = bench.call("request_permissions", ask).await;
        assert!(matches!(outcome.did, Did::Permission { granted: true, .. }), "{}", outcome.told);
        assert!(approver.1.borrow()[0].contains("change, create and remove"), "{:?}", approver.1.borrow());
        let outcome = write().await;
        assert_eq!(status(&outcome), &ended(0), "{}", outcome.told);
        // A second grant does not take the first away.
        std::fs::create_dir_all(bench.place.path("home/more")).unwrap();
        bench.call("request_permissions", json!({ "write": ["~/more"], "reason": "more" })).await;
        assert_eq!(status(&bench.run("echo x > ~/more/new; echo y > ~/data/new").await), &ended(0));
        bench.tools.begin_turn(TurnId::new());
        assert_ne!(status(&write().await), &ended(0), "it ends with the turn");
        assert_eq!(bench.tools.workplace().opened().digest, digest);
    });
}

#[test]
fn what_is_granted_for_one_command_is_used_up_by_it() {
    with_answers("tools_once", (":read-only", ""), Answer::Once, async |bench, _| {
        std::fs::create_dir_all(bench.place.path("home/data")).unwrap();
        let script = "echo x > ~/data/new";
        let ask = json!({ "write": ["~/data"], "command": script, "reason": "once" });
        bench.call("request_permissions", ask).await;
        assert_ne!(status(&bench.run("echo y > ~/data/new").await), &ended(0), "another command");
        assert_eq!(status(&bench.run(script).await), &ended(0));
        assert_ne!(status(&bench.run(script).await), &ended(0), "a second start");
    });
}

#[test]
fn a_no_is_told_and_nothing_is_done() {
    let no = Answer::Deny { reason: Some("not here".to_owned()) };
    let rules = "[approvals]\nrules = [{ command = [\"rm\"], decision = \"ask\" }]";
    with_answers("tools_no", (":workspace", rules), no, async |bench, approver| {
        bench.place.write("project/kept", "");
        let outcome = bench.run("rm kept").await;
        assert!(matches!(status(&outcome), CommandStatus::Declined { .. }), "{outcome:?}");
        assert!(outcome.told.contains("not here") && Path::new(&bench.place.path("project/kept")).exists());
        let ask = json!({ "read": ["/"], "reason": "everything" });
        let outcome = bench.call("request_permissions", ask).await;
        assert!(matches!(outcome.did, Did::Permission { granted: false, .. }));
        assert_eq!(approver.1.borrow().len(), 2);
        // Where no rule speaks of a command nobody is asked.
        assert_eq!(status(&bench.run("true").await), &ended(0));
    });
}

#[test]
fn what_a_command_wrote_is_told_though_it_does_not_take_its_input() {
    with("tools_untaken", async |bench| {
        let gate = bench.place.path("project/gate");
        assert!(std::process::Command::new("mkfifo").arg(&gate).status().unwrap().success());
        let mut gate = std::fs::File::options().read(true).write(true).open(gate).unwrap();
        let script = "read word < gate; echo IMPORTANT; exec sleep 1000";
        let arguments = json!({ "cmd": script, "stdin": true, "yield_time_ms": 1 });
        let id = process(&bench.call("exec_command", arguments).await);
        std::io::Write::write_all(&mut gate, b"go\n").unwrap();
        let write =
            json!({ "session_id": id, "chars": "x".repeat(300_000), "yield_time_ms": 2000, "close": true });
        let outcome = bench.call("write_stdin", write).await;
        assert_eq!(status(&outcome), &CommandStatus::Running);
        for part in ["bytes were not taken by the command; its standard input is not closed", "IMPORTANT"] {
            assert!(outcome.told.contains(part), "{part}: {}", outcome.told);
        }
        // One that has no standard input says so, and is looked at all the same.
        let script = "echo SAID; exec sleep 1000";
        let arguments = json!({ "cmd": script, "yield_time_ms": 1 });
        let id = process(&bench.call("exec_command", arguments).await);
        let outcome =
            bench.call("write_stdin", json!({ "session_id": id, "chars": "x", "yield_time_ms": 1 })).await;
        assert!(matches!(outcome.did, Did::Command { .. }), "{outcome:?}");
    });
}

#[test]
fn what_a_command_wrote_is_told_though_its_server_dies() {
    with("tools_server_dies", async |bench| {
        let Bench { place: _place, daemon, tools } = bench;
        let wrote = tokio::sync::Notify::new();
        let observer = |progress: tool::Progress<'_>| {
            if let tool::Progress::Output(_) = progress {
                wrote.notify_one();
            }
        };
        let arguments = json!({ "cmd": "echo IMPORTANT; exec sleep 1000", "yield_time_ms": 600_000 });
        let (call, text) = ("c".into(), arguments.to_string());
        let dies = async {
            wrote.notified().await;
            drop(daemon);
        };
        let (outcome, ()) = tokio::join!(tools.call(&call, "exec_command", &text, &observer), dies);
        assert_eq!(status(&outcome), &CommandStatus::Ended { end: End::ServerStopping }, "{}", outcome.told);
        let Did::Command { output_tail, .. } = &outcome.did else { panic!() };
        assert_eq!(output_tail, "IMPORTANT\n");
        assert!(outcome.told.contains("The exec-server is gone") && outcome.told.contains("IMPORTANT"));
        assert!(tools.running().is_empty());
    });
}
