//! Commands that a running server keeps, through `weir` as a user runs it: left, listed, read, taken over, ended, forgotten.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "support/daemon.rs"]
mod daemon;
#[allow(dead_code, reason = "shared with the tests of the other commands")]
#[path = "support/place.rs"]
mod place;
#[allow(dead_code, reason = "shared with the tests of the client library")]
#[path = "support/proxy.rs"]
mod proxy;
#[allow(dead_code, reason = "shared with the tests on a terminal")]
#[path = "support/screen.rs"]
mod screen;

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use daemon::Daemon;
use place::{Place, text, weir};
use proxy::{Cut, Proxy};
use screen::Screen;
use serde_json::Value;
use weir_tests::skip;

/// A user that is nobody's.
const OTHER_USER: u32 = 54_321;

/// A server, and the directory from which it is asked.
struct Served {
    place: Place,
    daemon: Daemon,
}

impl Served {
    /// None where this host can confine nothing.
    fn new(test: &str) -> Option<Self> {
        let place = Place::confining(test)?;
        let daemon = Daemon::start(place.dir.path());
        Some(Self { place, daemon })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.command(weir().to_str().unwrap());
        command.env("WEIR_SERVER", self.daemon.path()).args(arguments);
        command
    }

    fn weir(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Exit code, standard output and standard error.
    fn told(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = self.weir(arguments);
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    /// What went well says so by its exit code alone.
    fn well(&self, arguments: &[&str]) -> String {
        let (code, out, errors) = self.told(arguments);
        assert_eq!((code, errors.as_str()), (Some(0), ""), "{arguments:?}: {out}");
        out
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.well(arguments)).unwrap()
    }

    /// Leaves a command to the server.
    fn leave(&self, options: &[&str], command: &[&str]) -> String {
        let id = self.well(&[&["run", "--detach"], options, command].concat());
        assert!(id.trim_end().parse::<u64>().is_ok(), "{id}");
        id.trim_end().to_owned()
    }

    fn spawn(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn ids(&self) -> Vec<u64> {
        let listed = self.json(&["ps", "--json"]);
        let commands = listed["commands"].as_array().unwrap();
        commands.iter().map(|command| command["id"].as_u64().unwrap()).collect()
    }
}

fn shell(script: &str) -> [&str; 3] {
    ["sh", "-c", script]
}

/// Lines of a program's standard output as they come, and its standard input.
fn lines(child: &mut Child) -> (ChildStdin, impl Iterator<Item = String> + use<>) {
    let out = BufReader::new(child.stdout.take().unwrap());
    (child.stdin.take().unwrap(), out.lines().map(Result::unwrap))
}

#[test]
fn a_command_that_was_left_is_waited_for_read_listed_and_forgotten() {
    let Some(served) = Served::new("left") else { return };
    let id = served.leave(&[], &shell("echo out; echo err >&2; printf 'no line'; exit 7"));
    assert_eq!(served.told(&["wait", &id]), (Some(7), String::new(), String::new()));
    let ended = served.weir(&["wait", "--json", &id]);
    let ended: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(ended["end"], serde_json::json!({ "reason": "exited", "code": 7 }));

    let logs = |options: &[&str]| served.told(&[&["logs", &id], options].concat());
    let (out, errors) = ("out\nno line".to_owned(), "err\n".to_owned());
    assert_eq!(logs(&[]), (Some(0), out.clone(), errors.clone()));
    assert_eq!(logs(&["--follow"]), (Some(0), out.clone(), errors.clone()));
    assert_eq!(logs(&["--stdout"]), (Some(0), out, String::new()));
    assert_eq!(logs(&["--stderr"]), (Some(0), String::new(), errors));

    let table = served.well(&["ps"]);
    let row = table.lines().find(|line| line.starts_with(&format!("{id} "))).unwrap();
    assert!(row.contains("exit 7") && row.contains(":workspace") && row.contains("sh -c"), "{table}");
    assert_eq!(served.ids(), [id.parse::<u64>().unwrap()]);

    assert_eq!(served.well(&["rm", &id]), "");
    assert_eq!(served.ids(), [0; 0]);
    for arguments in [["logs", &id], ["wait", &id], ["kill", &id], ["attach", &id], ["rm", &id]] {
        let (code, _, errors) = served.told(&arguments);
        let expect = format!("weir: there is no command {id}; `weir ps` lists them\n");
        assert_eq!((code, errors), (Some(125), expect), "{arguments:?}");
    }
    let (code, out, errors) = served.told(&["wait", "--json", &id]);
    let error: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, errors.as_str(), &error["error"]["code"]), (Some(125), "", &(-32025).into()));
}

#[test]
fn what_programs_read_holds_every_byte_and_its_proof() {
    let Some(served) = Served::new("lines") else { return };
    let script = r"printf 'caf\303\251\n'; printf '\377' >&2; head -c 300000 /dev/zero";
    let started = served.json(&["run", "--detach", "--json", "--", "sh", "-c", script]);
    let id = started["id"].to_string();
    assert!(
        started["pid"].as_i64().is_some_and(|pid| pid > 1)
            && started["enforcement"]["profile"] == ":workspace"
    );
    assert_eq!(served.told(&["wait", &id]).0, Some(0));

    let told = served.well(&["logs", "--json", &id]);
    let lines: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |stream: &str| {
        let of = lines.iter().filter(|line| line["kind"] == "output" && line["stream"] == stream);
        of.collect::<Vec<_>>()
    };
    let mut at = 0;
    for piece in of("output") {
        assert_eq!(piece["offset"], at);
        at += piece["bytes"].as_str().unwrap().len() as u64;
    }
    assert_eq!(at, 6 + 300_000);
    assert_eq!(of("error")[0]["bytes"], serde_json::json!({ "hex": "ff" }));
    let last: Vec<_> =
        lines.iter().filter(|line| line["kind"] != "output").map(|line| &line["kind"]).collect();
    assert_eq!(last, ["exited", "closed"]);
    let account = |stream: &str, bytes: u64| serde_json::json!({ "stream": stream, "bytes": bytes, "missing": 0, "proof": "digest" });
    assert_eq!(
        lines.last().unwrap()["streams"],
        serde_json::json!([account("output", at), account("error", 1)])
    );
}

#[test]
fn a_kill_ends_everything_and_a_signal_does_no_more() {
    let Some(served) = Served::new("kill") else { return };
    let id = served.leave(&["--open-stdin"], &shell("trap 'echo got' USR1; echo ready; cat; cat; cat"));
    let mut following = served.spawn(&["logs", "--follow", &id]);
    let (_stdin, mut lines) = lines(&mut following);
    assert_eq!(lines.next().as_deref(), Some("ready"));
    assert_eq!(served.well(&["kill", "--signal", "USR1", &id]), "");
    assert_eq!(lines.next().as_deref(), Some("got"));
    let (code, _, errors) = served.told(&["rm", &id]);
    assert!(code == Some(125) && errors.contains("still runs"), "{errors}");

    let told = served.json(&["kill", "--json", "--grace", "60", &id]);
    assert_eq!(told["exited"]["end"], serde_json::json!({ "reason": "signalled", "signal": 15 }));
    assert_eq!((lines.next(), following.wait().unwrap().code()), (None, Some(0)));
    assert_eq!(served.told(&["wait", &id]).0, Some(143));

    // What does not heed the request is ended after the grace.
    let id = served.leave(&["--open-stdin"], &shell("trap '' TERM; echo ready; cat"));
    let mut following = served.spawn(&["logs", "--follow", &id]);
    let (_stdin, mut lines) = self::lines(&mut following);
    assert_eq!(lines.next().as_deref(), Some("ready"));
    served.well(&["kill", "--grace", "0", &id]);
    let told = (Some(125), String::new(), "weir: the sandbox was ended from outside\n".to_owned());
    assert_eq!(served.told(&["wait", &id]), told);
    assert!(served.well(&["ps"]).contains("cancelled"));
    following.wait().unwrap();
    let (code, _, errors) = served.told(&["kill", "--signal", "NOTHING", &id]);
    assert!(code == Some(2) && errors.contains("no signal of this name"), "{errors}");
}

#[test]
fn input_and_output_are_taken_over_with_the_end_of_both() {
    let Some(served) = Served::new("attach") else { return };
    let id = served.leave(
        &["--open-stdin"],
        &shell("echo before; read one; echo \"<$one>\"; cat; echo last >&2; exit 9"),
    );
    let mut attached = served.spawn(&["attach", &id]);
    let (mut stdin, mut lines) = lines(&mut attached);
    assert_eq!(lines.next().as_deref(), Some("before"));
    writeln!(stdin, "word").unwrap();
    assert_eq!(lines.next().as_deref(), Some("<word>"));
    assert!(served.well(&["ps"]).contains("attached"));
    let sent = vec![b'x'; 3 << 20];
    let reader = std::thread::spawn(move || lines.map(|line| line.len()).sum::<usize>());
    stdin.write_all(&sent).unwrap();
    drop(stdin);
    assert_eq!(reader.join().unwrap(), sent.len());
    let output = attached.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(9), "last\n".to_owned()));
    // All of it is kept.
    assert_eq!(served.weir(&["logs", &id]).stdout.len(), "before\n<word>\n".len() + sent.len());

    let other = served.leave(&[], &["cat"]);
    assert_eq!(served.told(&["wait", &other]).0, Some(0), "without --open-stdin there is no input");
}

#[test]
fn who_reads_and_who_takes_over_goes_on_when_the_connection_breaks() {
    let Some(served) = Served::new("broken") else { return };
    let cuts = [Cut::FromServer(400_000), Cut::ToServer(300_000), Cut::FromServer(900_000)];
    let proxy = Proxy::new(served.place.dir.path(), &served.daemon.socket, &cuts, |_| ());
    let id = served.leave(&["--open-stdin"], &["cat"]);
    let sent: Vec<u8> = (0..400_000).flat_map(|number| format!("{number}\n").into_bytes()).collect();
    let through = |arguments: &[&str]| {
        let mut command = served.command(arguments);
        command.env("WEIR_SERVER", &proxy.socket).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.spawn().unwrap()
    };
    let mut attached = through(&["attach", &id]);
    let mut stdin = attached.stdin.take().unwrap();
    let input = sent.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&input).unwrap());
    let output = attached.wait_with_output().unwrap();
    writer.join().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout == sent, "{} of {} bytes", output.stdout.len(), sent.len());
    assert_eq!(proxy.state(), (cuts.len() + 1, 0), "every cut has happened");

    let cuts = [Cut::FromServer(400_000), Cut::FromServer(1_000_001)];
    fs::remove_file(&proxy.socket).unwrap();
    let proxy = Proxy::new(served.place.dir.path(), &served.daemon.socket, &cuts, |_| ());
    let output = served.command(&["logs", &id]).env("WEIR_SERVER", &proxy.socket).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    assert!(output.stdout == sent && proxy.state() == (cuts.len() + 1, 0));
}

#[test]
fn a_terminal_is_left_and_taken_over_again() {
    let Some(served) = Served::new("screen") else { return };
    let script = "stty size; read one; echo got:$one; read two; stty size; exit 5";
    let id = served.leave(&["--tty", "always"], &shell(script));
    let mut screen = Screen::start(served.command(&["attach", &id]), [true; 3]);
    screen.types("first\r");
    screen.sees("got:first\r\n");
    assert!(!screen.is_cooked(), "the keys are the command's");
    screen.types("\x1d");
    screen.sees(&format!("weir: left; `weir attach {id}` comes back"));
    assert_eq!(screen.ends().0.code(), Some(0));

    let mut screen = Screen::start(served.command(&["attach", "--from-now", &id]), [true; 3]);
    screen.resizes(41, 99);
    screen.types("second\r");
    // The size of the terminal that it has now.
    screen.sees("41 99\r\n");
    assert_eq!(screen.ends().0.code(), Some(5));
}

#[test]
fn a_command_of_another_client_is_not_taken_from_it() {
    let Some(served) = Served::new("owned") else { return };
    let mut running = served.spawn(&["run", "--", "sh", "-c", "echo ready; cat"]);
    let (stdin, mut lines) = lines(&mut running);
    assert_eq!(lines.next().as_deref(), Some("ready"));
    // It runs in the server that was found.
    let id = served.ids()[0].to_string();
    let (code, _, errors) = served.told(&["attach", &id]);
    assert!(code == Some(125) && errors.contains("the `weir run` that started it"), "{errors}");
    let (code, _, errors) = served.told(&["logs", &id]);
    assert!(code == Some(125) && errors.contains("nothing of it is kept"), "{errors}");
    drop(stdin);
    assert_eq!(running.wait().unwrap().code(), Some(0));
    assert_eq!(served.ids(), [0; 0]);
}

#[test]
fn a_client_that_is_killed_takes_its_command_along_and_no_other() {
    let Some(served) = Served::new("killed") else { return };
    let stays = served.leave(&["--open-stdin"], &["cat"]);
    let mut running = served.spawn(&["run", "--", "sh", "-c", "echo ready; cat"]);
    let (_stdin, mut lines) = lines(&mut running);
    assert_eq!(lines.next().as_deref(), Some("ready"));
    let of_run = *served.ids().last().unwrap();
    let mut attached = served.spawn(&["attach", &stays]);
    running.kill().unwrap();
    attached.kill().unwrap();
    // Answers when it has ended, or when it is gone already.
    let _ = served.weir(&["wait", &of_run.to_string()]);
    assert_eq!(lines.next(), None);
    running.wait().unwrap();
    attached.wait().unwrap();
    let listed = served.json(&["ps", "--json"]);
    let found =
        listed["commands"].as_array().unwrap().iter().find(|one| one["id"].as_u64() == stays.parse().ok());
    assert_eq!(found.unwrap()["exited"], Value::Null);
    served.well(&["kill", &stays]);
}

#[test]
fn a_server_is_found_where_it_is_expected_and_none_is_made_up() {
    let Some(served) = Served::new("found") else { return };
    let runtime = served.place.path("runtime");
    fs::create_dir_all(format!("{runtime}/weir")).unwrap();
    let own = format!("{runtime}/weir/exec-server.sock");
    std::os::unix::fs::symlink(served.daemon.path(), &own).unwrap();
    let missing = served.place.path("missing.sock");
    let stale = served.place.path("stale.sock");
    drop(UnixListener::bind(&stale).unwrap());
    let ask = |server: Option<&str>, arguments: &[&str]| {
        let mut command = served.command(arguments);
        command.env_remove("WEIR_SERVER").env("XDG_RUNTIME_DIR", &runtime);
        if let Some(server) = server {
            command.env("WEIR_SERVER", server);
        }
        let output = command.output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    assert_eq!(ask(None, &["ps"]), (Some(0), String::new()));
    assert_eq!(ask(Some(""), &["ps"]), (Some(0), String::new()));
    assert_eq!(ask(Some(&missing), &["ps", "--server", &own]), (Some(0), String::new()));
    for (server, arguments) in [
        (Some("none"), vec!["ps"]),
        (Some(missing.as_str()), vec!["ps"]),
        (Some(stale.as_str()), vec!["ps"]),
        (None, vec!["ps", "--server", &missing]),
        (None, vec!["run", "--server", &missing, "--", "true"]),
        (Some("none"), vec!["run", "--detach", "--", "true"]),
    ] {
        let (code, errors) = ask(server, &arguments);
        assert_eq!(code, Some(125), "{server:?} {arguments:?}: {errors}");
        assert!(errors.contains("no exec-server is running"), "{server:?} {arguments:?}: {errors}");
    }
    // Where none is needed, one is started for the command alone.
    for server in ["none", &missing, &stale] {
        assert_eq!(ask(Some(server), &["run", "--", "true"]), (Some(0), String::new()), "{server}");
    }
    for arguments in [["run", "--detach", "--report", "x"], ["run", "--detach", "--dry-run", "--json"]] {
        assert_eq!(ask(None, &[&arguments[..], &["--", "true"]].concat()).0, Some(2), "{arguments:?}");
    }
}

#[test]
fn a_server_that_is_not_for_this_user_is_passed_over_unless_it_was_named() {
    if !rustix::process::geteuid().is_root() {
        return skip("run::other_user", "only root can be another user");
    }
    let Some(served) = Served::new("not_for_this_user") else { return };
    let open = |path: &str, mode: u32| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    open(served.place.dir.path().to_str().unwrap(), 0o755);
    let runtime = served.place.path("runtime");
    fs::create_dir_all(format!("{runtime}/weir")).unwrap();
    std::os::unix::fs::symlink(served.daemon.path(), format!("{runtime}/weir/exec-server.sock")).unwrap();
    let ask = |server: &str| {
        let mut command = served.command(&["ps"]);
        command.uid(OTHER_USER).gid(OTHER_USER).env("WEIR_SERVER", server).env("XDG_RUNTIME_DIR", &runtime);
        let output = command.output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    open(served.daemon.path(), 0o600);
    let (code, errors) = ask("");
    assert!(code == Some(125) && errors.contains("no exec-server is running"), "{errors}");
    let (code, errors) = ask(served.daemon.path());
    assert!(code == Some(125) && errors.contains("cannot connect to the exec-server at"), "{errors}");
    open(served.daemon.path(), 0o666);
    for server in ["", served.daemon.path()] {
        assert_eq!(ask(server), (Some(0), String::new()));
    }
}

#[test]
fn whoever_listens_and_is_neither_root_nor_this_user_gets_no_word() {
    if !rustix::process::geteuid().is_root() {
        return skip("run::foreign", "only root can be another user");
    }
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(&directory, Permissions::from_mode(0o777)).unwrap();
    let script = "import socket,sys,os; s=socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); print('listening',flush=True)\n\
        c,_=s.accept(); print(len(c.recv(1)),flush=True)";
    let socket = directory.path().join("server.sock");
    for (uid, heard) in [(65_534, "0"), (0, "1")] {
        let _ = fs::remove_file(&socket);
        let mut listener = Command::new("python3");
        listener.uid(uid).args(["-c", script]).arg(&socket).stdout(Stdio::piped());
        let mut listener = listener.spawn().unwrap();
        let mut lines = BufReader::new(listener.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert_eq!(lines.next().as_deref(), Some("listening"));
        let place = Place::new();
        let output = place.run(&["ps", "--server", socket.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(125));
        assert_eq!(text(&output.stderr).contains("user 65534, neither root nor yourself"), uid != 0);
        assert_eq!(lines.next().as_deref(), Some(heard));
        listener.wait().unwrap();
    }
}
