//! `weir run` on a terminal: keys, signals, job control, sizes, and a terminal that is left as it was found.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "support/daemon.rs"]
mod daemon;
#[allow(dead_code, reason = "shared with the tests of the other commands")]
#[path = "support/place.rs"]
mod place;
#[allow(dead_code, reason = "shared with the tests without a terminal")]
#[path = "support/runner.rs"]
mod runner;
#[path = "support/screen.rs"]
mod screen;

use std::fs::File;
use std::process::{Command, Stdio};

use runner::Runner;
use rustix::process::{Pid, Signal, kill_process};
use screen::Screen;

const ALL: [bool; 3] = [true; 3];

fn shell(script: &str) -> [&str; 3] {
    ["sh", "-c", script]
}

/// An interactive shell, at its prompt.
fn bash(runner: &Runner) -> Screen {
    let mut bash = runner.place.command("bash");
    bash.args(["--norc", "--noprofile", "-i"]).env("PS1", "@ ").env("FAKE_LOG", runner.place.path("log"));
    let mut screen = Screen::start(bash, ALL);
    screen.sees("@ ");
    screen
}

/// Leaves the shell.
fn leave(mut screen: Screen) {
    screen.types("exit 0\r");
    assert_eq!(screen.ends().0.code(), Some(0));
}

#[test]
fn the_command_has_a_terminal_of_its_own() {
    for runner in Runner::each("terminal") {
        let script = "tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo three; echo got:$(head -n 1); exit 5";
        let mut screen = Screen::start(runner.command(&[], &shell(script)), ALL);
        let told = screen.sees("three\r\n");
        assert!(told.starts_with("/dev/pts/") && told.contains("30 90\r\n"), "{told}");
        assert!(!screen.is_cooked(), "the keys are the command's");
        screen.types("line\r");
        screen.sees("line\r\ngot:line\r\n");
        let (status, rest) = screen.ends();
        assert_eq!((status.code(), rest.as_slice()), (Some(5), &b""[..]));
    }
}

#[test]
fn the_callers_terminal_is_as_it_was_after_every_end() {
    let restored = |mut command: Command, keys: &str| {
        // A shell keeps the terminal open, and says what it has become. A key that ends the command is its own as well.
        let line = format!(
            "trap : INT; {:?} \"$@\"; echo code $?; stty -a | tr ';' '\\n'; cat",
            command.get_program()
        );
        let mut shell = Command::new("sh");
        shell.args(["-c", &line, "sh"]).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell.current_dir(command.get_current_dir().unwrap());
        command.env_clear();
        let mut screen = Screen::start(shell, ALL);
        screen.sees("started");
        screen.types(keys);
        let told = screen.sees("code ");
        let rest = screen.sees("-flusho");
        assert!(screen.is_cooked(), "{told}{rest}");
        (told, rest.lines().next().unwrap().to_owned())
    };
    for runner in Runner::each("restored") {
        let ends =
            [("read line; exit 4", "x\r", "4"), ("exec cat", "\u{3}", "130"), ("kill -KILL $$", "", "137")];
        for (end, keys, code) in ends {
            let script = format!("printf started; {end}");
            assert_eq!(restored(runner.command(&[], &shell(&script)), keys).1, code, "{end}");
        }
    }
}

/// As without Weir: the shell around it gets the key too, and does not go on with its loop.
#[test]
fn a_key_that_ends_the_command_ends_the_script_around_it() {
    for runner in Runner::each("loop") {
        let line = runner.line("sh -c 'printf started; exec cat'");
        let script = format!("for n in 1 2; do {line}; echo next; done; echo behind");
        let mut command = runner.place.command("sh");
        command
            .args(["-c", "trap : INT; sh -c \"$0\"; echo code $?; cat", &script])
            .env("FAKE_LOG", "/dev/null");
        let mut screen = Screen::start(command, ALL);
        screen.sees("started");
        screen.types("\u{3}");
        let told = screen.sees("code 130");
        assert!(!told.contains("next") && !told.contains("behind"), "{told}");
    }
}

#[test]
fn the_servers_death_leaves_the_terminal_as_it_was() {
    let runner = Runner::fake();
    let line = runner.line("fake:death");
    let mut command = runner.place.command("sh");
    command.args(["-c", &format!("{line}; echo code $?; cat")]).env("FAKE_LOG", "/dev/null");
    let mut screen = Screen::start(command, ALL);
    // The server dies of the first signal that it is sent; weir is the shell's child.
    screen.sees("last words");
    assert!(!screen.is_cooked());
    kill_process(child_of(&screen), Signal::USR1).unwrap();
    let told = screen.sees("code 125\r\n");
    assert!(told.contains("weir: the exec-server ended without an answer\r\n"), "{told}");
    assert!(screen.is_cooked());
}

#[test]
fn keys_are_signals_inside() {
    for runner in Runner::each("keys") {
        let script = "trap 'echo interrupted' INT; trap 'echo quit' QUIT; echo ready; while ! read line; do :; done; echo $line";
        let mut screen = Screen::start(runner.command(&[], &["dash", "-c", script]), ALL);
        screen.sees("ready\r\n");
        screen.types("\u{3}");
        screen.sees("interrupted\r\n");
        screen.types("\u{1c}");
        screen.sees("quit\r\n");
        screen.types("done\r");
        screen.sees("done\r\ndone\r\n");
        assert_eq!(screen.ends().0.code(), Some(0));
    }
}

#[test]
fn the_size_follows() {
    for runner in Runner::each("size") {
        let script = "trap 'stty size' WINCH; echo ready; while ! read line; do :; done";
        let mut screen = Screen::start(runner.command(&[], &["dash", "-c", script]), ALL);
        screen.sees("ready\r\n");
        screen.resizes(41, 123);
        screen.sees("41 123\r\n");
        screen.types("\r");
        assert_eq!(screen.ends().0.code(), Some(0));
    }
}

#[test]
fn a_stopped_command_stops_the_job_and_goes_on_with_it() {
    for runner in Runner::each("jobs") {
        let line = runner.line("bash -c 'echo rea\"\"dy; read line; echo got:$line; exit 6'");
        let mut screen = bash(&runner);
        for _ in 0..2 {
            screen.types(&format!("{line}\r"));
            screen.sees("ready\r\n");
            screen.types("\u{1a}");
            screen.sees("Stopped");
            screen.sees("@ ");
            screen.types("echo shell: $((40 + 2))\r");
            screen.sees("shell: 42\r\n");
            screen.types("fg\r");
            screen.sees("weir' run");
            screen.sees("\r\n");
            screen.types("hello\r");
            screen.sees("got:hello\r\n");
            screen.sees("@ ");
            screen.types("echo code $?\r");
            screen.sees("code 6\r\n");
            screen.sees("@ ");
        }
        leave(screen);
    }
}

#[test]
fn a_background_job_leaves_the_terminal_alone_until_it_is_called() {
    for runner in Runner::each("background") {
        let mut screen = bash(&runner);
        let line = runner.line("sh -c 'echo rea\"\"dy; read line; echo got:$line'");
        screen.types(&format!("{line} &\r"));
        // Both terminals end the line, for this one is not raw.
        screen.sees("ready\r\r\n");
        screen.types("echo shell: $((40 + 2))\r");
        screen.sees("shell: 42\r\n");
        screen.types("fg\r");
        screen.sees("weir' run");
        screen.sees("\r\n");
        screen.types("hello\r");
        screen.sees("got:hello\r\n");
        screen.sees("@ ");
        leave(screen);
    }
}

#[test]
fn a_signal_from_outside_ends_the_command_and_restores_the_terminal() {
    for runner in Runner::each("outside") {
        let line = runner.line("sh -c 'echo rea\"\"dy; exec cat'");
        let mut command = runner.place.command("sh");
        command.args(["-c", &format!("{line}; echo code $?; cat")]).env("FAKE_LOG", "/dev/null");
        let mut screen = Screen::start(command, ALL);
        screen.sees("ready\r\n");
        assert!(!screen.is_cooked());
        kill_process(child_of(&screen), Signal::TERM).unwrap();
        screen.sees("code 143\r\n");
        assert!(screen.is_cooked());
    }
}

/// The one child of the shell on the screen.
fn child_of(screen: &Screen) -> Pid {
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", screen.pid())).unwrap();
    Pid::from_raw(children.trim().parse().unwrap()).unwrap()
}

#[test]
fn a_script_around_the_command_stops_with_it() {
    for runner in Runner::each("script") {
        let line = runner.line("sh -c 'echo rea\"\"dy; read line; echo got:$line'");
        runner.place.write("project/script.sh", &format!("{line}\necho after\n"));
        let mut screen = bash(&runner);
        screen.types("sh script.sh\r");
        screen.sees("ready\r\n");
        screen.types("\u{1a}");
        screen.sees("Stopped");
        screen.sees("@ ");
        screen.types("fg\r");
        screen.sees("sh script.sh\r\n");
        screen.types("x\r");
        screen.sees("got:x\r\n");
        screen.sees("after\r\n");
        screen.sees("@ ");
        leave(screen);
    }
}

/// Somebody in the group continues all of it as soon as it is told to stop, before or behind the moment in which this process stops.
#[test]
fn whoever_continues_the_group_at_once_is_heard() {
    for runner in Runner::each("continued") {
        let line = runner.line("sh -c 'while read line; do echo got:$line; done'");
        let continues = "import os, signal\n\
            signal.signal(signal.SIGTSTP, lambda *heard: os.kill(0, signal.SIGCONT))\n\
            print('ready', flush=True)\n\
            while True: signal.pause()\n";
        runner.place.write("project/continues.py", continues);
        // The shells stay: that one stops is all that the one at the terminal would hear of.
        let script = format!("trap '' TSTP\npython3 continues.py &\n{line}\nkill $!\n");
        runner.place.write("project/script.sh", &script);
        let mut screen = bash(&runner);
        screen.types("sh script.sh\r");
        screen.sees("ready");
        for turn in 0..25 {
            screen.types(&format!("{turn}\r"));
            screen.sees(&format!("got:{turn}\r\n"));
            screen.types("\u{1a}");
        }
        screen.types("\u{4}");
        screen.sees("@ ");
        leave(screen);
    }
}

#[test]
fn without_a_shell_to_continue_it_nothing_stops() {
    for runner in Runner::each("orphan") {
        let script = "echo ready; read line; echo got:$line";
        let mut screen = Screen::start(runner.command(&[], &shell(script)), ALL);
        screen.sees("ready\r\n");
        screen.types("\u{1a}");
        screen.types("x\r");
        screen.sees("got:x\r\n");
        assert_eq!(screen.ends().0.code(), Some(0));
    }
}

/// As in a container whose terminal belongs to a session outside: groups and sessions out there have the number 0 inside.
#[test]
fn in_a_pid_namespace_of_its_own_it_takes_the_terminal_and_nothing_stops() {
    let unshare = ["--pid", "--fork", "--kill-child", "--mount-proc"];
    if !Command::new("unshare").args(unshare).arg("true").status().is_ok_and(|status| status.success()) {
        return weir_tests::skip("run::namespace", "no PID namespace can be made here");
    }
    for runner in Runner::each("namespace") {
        let mut command = runner.place.command("unshare");
        let line = runner.line("sh -c 'echo ready; read line; echo got:$line'");
        command
            .args(unshare)
            .args(["sh", "-c", &format!("{line}; echo code $?")])
            .env("FAKE_LOG", "/dev/null");
        let mut screen = Screen::start(command, ALL);
        screen.sees("ready\r\n");
        assert!(!screen.is_cooked());
        screen.types("\u{1a}");
        screen.types("x\r");
        screen.sees("got:x\r\n");
        screen.sees("code 0\r\n");
        assert!(screen.is_cooked());
        screen.ends();
    }
}

#[test]
fn a_job_without_a_terminal_of_its_own_stops_and_is_interrupted_as_well() {
    for runner in Runner::each("plain-jobs") {
        let mut screen = bash(&runner);
        let line = runner.line("--tty never sh -c 'echo rea\"\"dy; read line; echo got:$line; exec cat'");
        screen.types(&format!("{line}\r"));
        screen.sees("ready\r\n");
        screen.types("\u{1a}");
        screen.sees("Stopped");
        screen.sees("@ ");
        screen.types("fg\r");
        screen.sees("weir' run");
        screen.sees("\r\n");
        screen.types("hello\r");
        screen.sees("got:hello\r\n");
        screen.types("\u{3}");
        screen.sees("@ ");
        screen.types("echo code $?\r");
        screen.sees("code 130\r\n");
        leave(screen);
    }
}

#[test]
fn no_byte_of_ten_megabytes_is_lost() {
    const BYTES: usize = 10_000_000;
    for runner in Runner::each("drain") {
        let script = format!("stty -opost; head -c {BYTES} /dev/zero | tr '\\0' x; printf end");
        let screen = Screen::start(runner.command(&[], &shell(&script)), ALL);
        let (status, seen) = screen.ends();
        assert_eq!(status.code(), Some(0));
        assert_eq!(seen.len(), BYTES + 3);
        assert!(seen.ends_with(b"xend"));
    }
}

#[test]
fn an_error_log_stays_a_file() {
    for runner in Runner::each("log") {
        let log = runner.place.path("project/errors");
        let mut command = runner.command(&[], &shell("tty; echo bad >&2; test -t 2 || echo file"));
        command.stderr(File::create(&log).unwrap());
        let mut screen = Screen::start(command, [true, true, false]);
        screen.sees("file\r\n");
        assert_eq!(screen.ends().0.code(), Some(0));
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "bad\n");
    }
}

#[test]
fn a_terminal_can_be_had_without_having_one() {
    for runner in Runner::each("always") {
        let script = "tty; test -t 2 && echo three; cat; cat; echo end";
        let mut command = runner.command(&["--tty", "always"], &shell(script));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"given\n").unwrap();
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(told.starts_with("/dev/pts/") || told.starts_with("given"), "{told}");
        assert!(told.contains("three\r\n") && told.ends_with("given\r\nend\r\n"), "{told}");
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_command() {
    for runner in Runner::each("reader") {
        let line = runner.line("--tty always yes | head -n 1");
        let mut command = runner.place.command("bash");
        command.args(["-c", &format!("{line}; exit ${{PIPESTATUS[0]}}")]).env("FAKE_LOG", "/dev/null");
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert_eq!(place::text(&output.stdout), "y\r\n");
        // The hang-up's signal, or the failure of a write to a terminal that is gone, whichever it sees first.
        assert!([Some(129), Some(1)].contains(&output.status.code()), "{output:?}");
    }
}
