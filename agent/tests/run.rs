//! `weir run` without a terminal: what the command gets, what becomes of signals, exit codes, reports and messages.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "support/daemon.rs"]
mod daemon;
#[allow(dead_code, reason = "shared with the tests of the other commands")]
#[path = "support/place.rs"]
mod place;
#[allow(dead_code, reason = "shared with the tests on a terminal")]
#[path = "support/runner.rs"]
mod runner;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::process::{ChildStdout, Command, Stdio};

use place::text;
use runner::Runner;
use rustix::process::{Pid, Signal, kill_process};

#[test]
fn the_command_gets_the_callers_own_descriptors() {
    for runner in Runner::each("descriptors") {
        runner.place.write("project/in", "given\n");
        let project = runner.place.path("project");
        let open = |name: &str| File::create(format!("{project}/{name}")).unwrap();
        let (output, errors) = (open("out"), open("err"));
        let expect =
            [File::open(format!("{project}/in")).unwrap().metadata(), output.metadata(), errors.metadata()]
                .map(|file| file.unwrap().ino().to_string());
        let script =
            "cat; for n in 0 1 2; do stat -L -c %i /proc/self/fd/$n; done; echo bad >&2; ls /proc/self/fd";
        let status = runner
            .command(&[], &["sh", "-c", script])
            .stdin(File::open(format!("{project}/in")).unwrap())
            .stdout(output)
            .stderr(errors)
            .status()
            .unwrap();
        let told = std::fs::read_to_string(format!("{project}/out")).unwrap();
        assert_eq!(status.code(), Some(0), "{told}");
        // 3 is the directory that ls reads.
        assert_eq!(told, format!("given\n{}\n0\n1\n2\n3\n", expect.join("\n")));
        assert_eq!(std::fs::read_to_string(format!("{project}/err")).unwrap(), "bad\n");
    }
}

#[test]
fn the_server_inherits_a_socket_and_no_more() {
    let runner = Runner::fake();
    let output = runner.run(&[], &["true"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let first = &runner.log()[0];
    assert_eq!(first["argv"], serde_json::json!(["--embedded"]));
    assert_eq!((&first["ignored"], &first["blocked"]), (&0.into(), &"0000000000000000".into()));
    let descriptors = first["descriptors"].as_object().unwrap();
    let of = |number: &str| descriptors[number].as_str().unwrap().to_owned();
    assert!(of("0").starts_with("socket:"));
    assert_eq!(of("1"), "/dev/null");
    // Python itself holds the directory that it lists, and perhaps the script.
    let ours = descriptors.values().filter(|target| target.as_str().unwrap().starts_with("socket:"));
    assert_eq!(ours.count(), 1, "{descriptors:?}");
}

#[test]
fn a_closed_stream_is_an_empty_one() {
    for runner in Runner::each("closed") {
        let line = runner.line("--profile :workspace cat");
        let output = runner
            .place
            .command("sh")
            .args(["-c", &format!("{line} <&-")])
            .env("FAKE_LOG", runner.place.path("log"))
            .output()
            .unwrap();
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), String::new()));
    }
}

#[test]
fn arguments_and_variables_may_hold_any_byte() {
    for runner in Runner::each("bytes") {
        let mut command = runner.command(&["--env", "GIVEN", "--env", "SET=a=b", "--env", "GONE"], &[]);
        let output = command
            .arg(OsStr::from_bytes(b"printf"))
            .arg(OsStr::from_bytes(b"<%s>\\n"))
            .arg(OsStr::from_bytes(b"a\xff b"))
            .args(["--timeout", "--", "-x", ""])
            .output()
            .unwrap();
        assert_eq!(output.stdout, b"<a\xff b>\n<--timeout>\n<-->\n<-x>\n<>\n");

        let script = "printf '%s|%s|%s' \"$GIVEN\" \"$SET\" \"${GONE-none}\"";
        let options = ["--env", "GIVEN", "--env", "SET=a=b", "--env", "GONE"];
        let mut command = runner.command(&options, &["sh", "-c", script]);
        let output = command.env("GIVEN", OsStr::from_bytes(b"\xfe")).env_remove("GONE").output().unwrap();
        assert_eq!(output.stdout, b"\xfe|a=b|none");
    }
}

#[test]
fn every_end_has_its_exit_code() {
    for runner in Runner::each("codes") {
        runner.place.write("project/plain", "");
        let cases: [(&[&str], &[&str], i32, &str); 9] = [
            (&[], &["true"], 0, ""),
            (&[], &["sh", "-c", "exit 77"], 77, ""),
            (&[], &["sh", "-c", "exit 125"], 125, ""),
            (&[], &["sh", "-c", "kill -TERM $$"], 143, ""),
            (&[], &["sh", "-c", "kill -KILL $$"], 137, ""),
            (
                &["--timeout", "50ms"],
                &["cat"],
                124,
                "weir: the command was ended: its time of 50ms was over\n",
            ),
            (&[], &["no-such-command"], 127, "weir: no-such-command: "),
            (&[], &["./plain"], 126, "weir: "),
            (&["-C", "missing"], &["true"], 125, "weir: "),
        ];
        for (options, command, code, message) in cases {
            let mut command = runner.command(options, command);
            let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let _open = child.stdin.take();
            let output = child.wait_with_output().unwrap();
            let told = text(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{command:?}: {told}");
            assert!(
                told.starts_with(message) && told.is_empty() == message.is_empty(),
                "{command:?}: {told}"
            );
            assert!(told.lines().count() <= 1, "{told}");
        }
    }
}

#[test]
fn what_the_server_does_wrong_is_told_and_nothing_hangs() {
    let cases: [(&[&str], i32, &str); 8] = [
        (&["fake:refuse", "-32022", "x: not found"], 127, "weir: x: not found\n"),
        (&["fake:refuse", "-32023", "x: denied"], 126, "weir: x: denied\n"),
        (&["fake:refuse", "-32020", "no Landlock"], 125, "weir: no Landlock\n"),
        (&["fake:refuse", "-32602", "no method"], 125, "weir: no method\n"),
        (&["fake:end", "cancelled"], 125, "weir: the sandbox was ended from outside\n"),
        (&["fake:garbage"], 125, "weir: the exec-server sent what is no frame: unknown frame kind 47\n"),
        (&["fake:gifts"], 0, ""),
        (&["fake:unknown"], 127, "weir: fake:unknown: No such file or directory\n"),
    ];
    for (command, code, message) in cases {
        let output = Runner::fake().run(&[], command);
        assert_eq!(
            (output.status.code(), text(&output.stderr).as_str()),
            (Some(code), message),
            "{command:?}"
        );
    }
}

#[test]
fn options_that_cannot_be_used_start_nothing() {
    let runner = Runner::fake();
    let cases: [(&[&str], &str); 10] = [
        (&[], "<CMD>"),
        (&["--timeout", "30", "true"], "`30` needs a unit"),
        (&["--timeout", "1x", "true"], "`x` is no unit"),
        (&["--timeout", "0s", "true"], "a duration of nothing"),
        (&["--tty", "maybe", "true"], "auto, always, never"),
        (&["--env", "=v", "true"], "a variable needs a name"),
        (&["--json", "true"], "--dry-run"),
        (&["--dry-run", "--report", "f", "true"], "--report"),
        (&["--unknown", "true"], "--unknown"),
        (&["--user"], "--user"),
    ];
    for (arguments, message) in cases {
        let output = runner.run(arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(message), "{arguments:?}: {}", text(&output.stderr));
    }
    assert!(runner.log().is_empty());
}

#[test]
fn the_request_holds_what_was_asked() {
    let runner = Runner::fake();
    let options = [
        "--profile",
        "team",
        "--config",
        "c.toml",
        "--project-root",
        "sub",
        "-C",
        "sub/..",
        "--read",
        "/r",
        "--write",
        "/w",
        "--deny",
        "/d",
        "--timeout",
        "1m30s",
        "--user",
        "nobody",
        "--dry-run",
        "--tty",
        "always",
    ];
    let output = runner.run(&options, &["--", "make", "-j4"]);
    let told = "profile    fake (0000000000000000000000000000000000000000000000000000000000000000)\n\
                way        bare\nholds      none\n\nstep one\nstep two\n";
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), told));
    let params = runner.params();
    let choice = &params["choice"];
    assert_eq!(choice["profile"], "team");
    assert_eq!(choice["config"], "c.toml");
    assert_eq!(choice["standpoint"]["cwd"], runner.place.path("project"));
    assert_eq!(choice["standpoint"]["project_roots"], serde_json::json!([runner.place.path("project/sub")]));
    assert_eq!(
        (&choice["read"][0], &choice["write"][0], &choice["deny"][0]),
        (&"/r".into(), &"/w".into(), &"/d".into())
    );
    assert_eq!(params["argv"], serde_json::json!(["make", "-j4"]));
    assert_eq!((&params["timeout_ms"], &params["user"]), (&90_000.into(), &"nobody".into()));
    let all = serde_json::json!({ "kind": "terminal", "size": [24, 80], "own": [false, false, false] });
    assert_eq!(params["stdio"], all);
    assert_eq!(runner.log()[1]["count"], 0, "no descriptor travels with a plan");
}

/// Whatever the characters of the directory it is relative to.
#[test]
fn a_denied_file_is_closed_in_every_directory() {
    for runner in Runner::each("odd").into_iter().skip(1) {
        let project = runner.place.dir.path().join("project");
        let names: [&[u8]; 8] = [b"[slug]", b"a*b", b"a?b", b"b\\[x", b"nl\nx", b"tab\t", b"\x1bx", b"u\xff"];
        for name in names.map(OsStr::from_bytes) {
            let dir = project.join(name);
            std::fs::create_dir(&dir).unwrap();
            std::fs::write(dir.join("s"), "SECRET").unwrap();
            let output =
                runner.command(&["--deny", "s"], &["--", "cat", "s"]).current_dir(&dir).output().unwrap();
            assert_eq!((text(&output.stdout).as_str(), output.status.code()), ("", Some(1)), "{name:?}");
            let options = ["--profile", ":read-only", "--write", "."];
            let output = runner.command(&options, &["touch", "made"]).current_dir(&dir).output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{name:?}: {}", text(&output.stderr));
            assert!(dir.join("made").exists(), "{name:?}");
        }
        let written = ["--profile", ":read-only", "--write", "../project/[slug]", "-C", "sub/.."];
        let output = runner.run(&written, &["touch", "[slug]/above"]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }
}

#[test]
fn a_dry_run_runs_nothing_and_gives_json() {
    for runner in Runner::each("dry-run") {
        let output = runner.run(&["--dry-run", "--json"], &["touch", "made"]);
        let planned: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(planned["listing"].is_string() && planned["enforcement"]["mechanisms"].is_array());
        assert!(!runner.place.dir.path().join("project/made").exists());
        assert_eq!(runner.run(&[], &["touch", "made"]).status.code(), Some(0));
        assert!(runner.place.dir.path().join("project/made").exists());
    }
}

#[test]
fn the_report_is_written_whatever_became_of_the_command() {
    let runner = Runner::fake();
    let report = || -> serde_json::Value {
        let path = runner.place.path("project/report.json");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    let cases: [(&[&str], i32); 3] = [
        (&["sh", "-c", "exit 3"], 3),
        (&["fake:footer"], 3),
        (&["fake:refuse", "-32020", "no Landlock"], 125),
    ];
    for (command, code) in cases {
        let line = runner.line(&format!("--report report.json {}", quoted(command)));
        let script = format!("umask 022; {line}");
        let output =
            runner.place.command("sh").args(["-c", &script]).env("FAKE_LOG", "/dev/null").output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        let found = report();
        assert_eq!(found["argv"], serde_json::json!(command));
        assert_eq!(found["exit_code"], code);
        assert_eq!(found["exited"].is_null(), code == 125);
        assert_eq!(found["enforcement"].is_null(), code == 125);
        assert_eq!(found["error"].is_null(), code != 125);
    }
    assert_eq!(report()["error"], serde_json::json!({ "code": -32020, "message": "no Landlock" }));

    for (path, reason) in [("missing/r", "No such file"), ("sub", "directory"), ("..", "directory")] {
        let output = runner.run(&["--report", path], &["touch", "made"]);
        assert_eq!(output.status.code(), Some(125), "{path}");
        assert!(text(&output.stderr).starts_with("weir: cannot write the report"), "{path}");
        assert!(text(&output.stderr).contains(reason), "{path}: {}", text(&output.stderr));
        assert!(!runner.place.dir.path().join("project/made").exists());
    }
    let left: Vec<_> = std::fs::read_dir(runner.place.path("project")).unwrap().flatten().collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("'{word}' ")).collect()
}

#[test]
fn the_footer_tells_what_is_to_be_told_and_no_more() {
    let runner = Runner::fake();
    let output = runner.run(&[], &["fake:footer"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(
        text(&output.stderr),
        "weir: not enforced: processes of the host can be seen (config.toml:4)\n\
         weir: denied: create /a, 4 times (landlock; config.toml:4)\n\
         weir: new repository: /new; git on the host runs its hooks and reads its configuration: look at them first\n"
    );
    assert_eq!(text(&output.stdout), "");
    assert_eq!(text(&runner.run(&["--quiet"], &["fake:footer"]).stderr), "");
}

/// A command that says so when it is ready for signals.
fn ready(command: &mut Command) -> (std::process::Child, BufReader<ChildStdout>) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    assert_eq!(line(&mut output), "ready");
    (child, output)
}

fn line(output: &mut impl BufRead) -> String {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

fn pid(child: &std::process::Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()
}

#[test]
fn signals_reach_the_command() {
    let names = ["HUP", "INT", "QUIT", "USR1", "USR2", "TERM", "CONT", "WINCH"];
    let signals = [
        Signal::HUP,
        Signal::INT,
        Signal::QUIT,
        Signal::USR1,
        Signal::USR2,
        Signal::TERM,
        Signal::CONT,
        Signal::WINCH,
    ];
    let traps: String = names.iter().map(|name| format!("trap 'echo {name}' {name}; ")).collect();
    // A trapped signal interrupts dash's `read`.
    let script = format!("{traps} echo ready; while ! read line; do :; done; exit 9");
    for runner in Runner::each("signals") {
        let (mut child, mut output) = ready(&mut runner.command(&[], &["dash", "-c", &script]));
        for (name, signal) in names.iter().zip(signals) {
            kill_process(pid(&child), signal).unwrap();
            assert_eq!(line(&mut output), *name);
        }
        child.stdin.take().unwrap().write_all(b"end\n").unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(9));
    }
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129)] {
        for runner in Runner::each("signals") {
            let (mut child, _output) = ready(&mut runner.command(&[], &["sh", "-c", "echo ready; exec cat"]));
            let _open = child.stdin.take();
            kill_process(pid(&child), signal).unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(code));
        }
    }
}

/// A shell leaves its loop and its script only where what it waited for ended by the signal itself.
#[test]
fn who_shares_a_key_that_ended_the_command_ends_by_it() {
    for runner in Runner::each("keys") {
        for signal in [Signal::INT, Signal::QUIT] {
            let (mut child, _output) = ready(&mut runner.command(&[], &["sh", "-c", "echo ready; exec cat"]));
            let _open = child.stdin.take();
            kill_process(pid(&child), signal).unwrap();
            let status = child.wait().unwrap();
            assert_eq!((status.signal(), status.core_dumped()), (Some(signal.as_raw()), false));
        }
        // A command that does this by itself, or answers a key with a code of its own, has been no key.
        assert_eq!(runner.run(&[], &["sh", "-c", "kill -INT $$"]).status.code(), Some(130));
        let script = "trap 'exit 5' INT; echo ready; while ! read line; do :; done";
        let (mut child, _output) = ready(&mut runner.command(&[], &["dash", "-c", script]));
        let _open = child.stdin.take();
        kill_process(pid(&child), Signal::INT).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(5));
    }
}

/// A server that listens has been started with another.
#[test]
fn new_files_have_the_modes_that_the_caller_wants() {
    for runner in Runner::each("umask").into_iter().skip(1) {
        for (umask, expect) in [("077", "600"), ("002", "664")] {
            let line = runner.line("sh -c 'rm -f made; touch made; stat -c %a made; umask'");
            let mut command = runner.place.command("sh");
            let output = command.args(["-c", &format!("umask {umask}; {line}")]).output().unwrap();
            assert_eq!(text(&output.stdout), format!("{expect}\n0{umask}\n"), "{}", text(&output.stderr));
        }
    }
}

#[test]
fn an_empty_path_is_none() {
    let runner = Runner::fake();
    for option in ["--read", "--write", "--copy", "--deny", "-C", "--project-root"] {
        let output = runner.run(&[option, ""], &["touch", "made"]);
        assert_eq!(output.status.code(), Some(2), "{option}");
        assert!(text(&output.stderr).contains(option), "{option}: {}", text(&output.stderr));
    }
    assert!(runner.log().is_empty());
}

/// What is no regular file stays what it is, and a link leads to what is replaced.
#[test]
fn a_report_leaves_devices_pipes_and_links_what_they_are() {
    let runner = Runner::fake();
    let project = runner.place.dir.path().join("project");
    let at = |name: &str| project.join(name);
    let kind = |name: &str| std::fs::symlink_metadata(at(name)).unwrap().file_type();
    let is_report = |bytes: &[u8]| {
        let report: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        assert_eq!(report["exit_code"], 0);
    };
    for (link, target) in [("link", "sub/target"), ("dangling", "sub/new"), ("two", "link")] {
        std::os::unix::fs::symlink(target, at(link)).unwrap();
    }
    std::fs::write(at("sub/target"), "older").unwrap();
    for (link, target) in [("link", "sub/target"), ("dangling", "sub/new"), ("two", "sub/target")] {
        assert_eq!(runner.run(&["--report", link], &["true"]).status.code(), Some(0), "{link}");
        assert!(kind(link).is_symlink(), "{link}");
        is_report(&std::fs::read(at(target)).unwrap());
    }
    rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let fifo = at("fifo");
    let reader = std::thread::spawn(move || std::fs::read(fifo).unwrap());
    assert_eq!(runner.run(&["--report", "fifo"], &["true"]).status.code(), Some(0));
    is_report(&reader.join().unwrap());
    assert!(kind("fifo").is_fifo());
    let output = runner.run(&["--report", "/dev/stdout"], &["true"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    is_report(&output.stdout);
    // Nobody reads it: a signal ends the waiting.
    let mut child = runner.command(&["--report", "fifo"], &["touch", "made"]).spawn().unwrap();
    kill_process(pid(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(15));
    assert!(!at("made").exists());
}

#[test]
fn a_report_that_cannot_be_written_is_known_before_the_run() {
    let runner = Runner::fake();
    let closed = runner.place.dir.path().join("project/sub");
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o500)).unwrap();
    // Root may write everywhere.
    if !rustix::process::geteuid().is_root() {
        let output = runner.run(&["--report", "sub/r"], &["touch", "made"]);
        assert_eq!(output.status.code(), Some(125), "{}", text(&output.stderr));
        assert!(!runner.place.dir.path().join("project/made").exists());
    }
}

#[test]
fn what_the_caller_ignores_is_not_passed_on() {
    for runner in Runner::each("ignored") {
        let line_of = runner.line(
            "sh -c 'trap \"echo hangup\" HUP; trap \"echo one\" USR1; echo ready; read line; read line'",
        );
        let mut command = runner.place.command("sh");
        command
            .args(["-c", &format!("trap '' HUP; exec {line_of}")])
            .env("FAKE_LOG", runner.place.path("log"));
        let (mut child, mut output) = ready(&mut command);
        kill_process(pid(&child), Signal::HUP).unwrap();
        kill_process(pid(&child), Signal::USR1).unwrap();
        assert_eq!(line(&mut output), "one");
        drop(child.stdin.take());
        child.wait().unwrap();
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

#[test]
fn a_signal_twice_gives_up_waiting_for_a_start() {
    let runner = Runner::fake();
    let mut child = runner.command(&[], &["fake:silence"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    assert_eq!(line(&mut errors), "silent");
    // Both must be seen one by one: the second is sent when the first has been taken.
    kill_process(pid(&child), Signal::TERM).unwrap();
    while child.try_wait().unwrap().is_none() {
        kill_process(pid(&child), Signal::TERM).unwrap();
        std::thread::yield_now();
    }
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(line(&mut errors), "weir: given up: the command had not started yet");
}
