//! A person who is asked at a terminal: what is answered is what is done, and the terminal is left as it was.

use serde_json::json;

use std::process::Stdio;

use super::screen::Screen;
use super::session::{CONFINED, Session, calls, done, is_told, runs, says};

/// A session that asks before it writes beyond the project, with what its model is told then.
fn asking(session: &Session, told: &str) {
    session.configure(CONFINED);
    let _ = std::fs::create_dir(session.place.dir.path().join("home/outside"));
    let ask = json!({ "write": ["~/outside"], "reason": "the build needs it" });
    session.record(&[
        calls("ask", "request_permissions", &ask),
        done(),
        is_told(told),
        runs("write", "echo x > ~/outside/mark"),
        done(),
        says("done"),
        done(),
    ]);
}

#[test]
fn what_is_typed_is_the_answer() {
    // What is typed, what the model is told, the exit code, and whether it may write.
    let cases = [
        ("y\r", "Granted until this turn ends", 0, true),
        ("n\r", "the person said no", 0, false),
        ("what?\rn use the cache\r", "the answer is no: use the cache", 0, false),
        ("q\r", "", 1, false),
        ("\u{3}", "", 130, false),
    ];
    for session in [Session::new("person_answers"), Session::served("person_answers")] {
        let Some(session) = session else { return };
        let mark = session.place.dir.path().join("home/outside/mark");
        for (keys, told, code, may) in cases {
            asking(&session, told);
            let _ = std::fs::remove_file(&mark);
            let mut screen = Screen::start(session.weir(&["exec", "go"]), [false, true, true]);
            let question = screen.sees("no, and the turn ends\r\n> ");
            for part in [
                "more than the profile confined allows",
                "outside and everything below it",
                "the build needs it",
            ] {
                assert!(question.contains(part), "{part}: {question}");
            }
            screen.types(keys);
            if keys.starts_with("what") {
                screen.sees("no, and the turn ends\r\n> ");
            }
            assert!(screen.is_cooked(), "{keys:?}");
            let (status, rest) = screen.ends();
            assert_eq!(status.code(), Some(code), "{keys:?}: {}", String::from_utf8_lossy(&rest));
            assert_eq!(mark.exists(), may, "{keys:?}");
            // Whatever was answered, the turn has its end.
            let list = session.threads(&["list"]);
            let thread = list["threads"][0]["thread"].as_str().unwrap();
            let expect = if code == 0 { "completed" } else { "interrupted" };
            assert_eq!(session.threads(&["turns", thread])["turns"][0]["status"], expect, "{keys:?}");
        }
    }
}

#[test]
fn a_question_tells_a_newline_from_what_is_written_like_one() {
    let cases = [
        ("echo build # \\n touch mark", "-c 'echo build # \\n touch mark'\r\n", false),
        ("true \u{202e}\u{200b}", "-c $'true \\u{202e}\\u{200b}'\r\n", false),
        ("echo build # \n touch mark", "-c $'echo build # \\n\r\n     touch mark'\r\n", true),
    ];
    let Some(session) = Session::new("person_newline") else { return };
    for (script, shown, marks) in cases {
        session.record(&[runs("r", script), done(), says("done"), done()]);
        let mut screen = Screen::start(session.weir(&["exec", "-a", "untrusted", "go"]), [false, true, true]);
        let question = screen.sees("no, and the turn ends\r\n> ");
        assert!(question.contains(shown), "{question}");
        screen.types("y\r");
        let (status, _) = screen.ends();
        assert_eq!((status.code(), session.project("mark").exists()), (Some(0), marks), "{script:?}");
    }
}

#[test]
fn what_a_model_says_gives_the_terminal_no_orders() {
    let Some(session) = Session::new("person_orders") else { return };
    for is_json in [false, true] {
        session.record(&[says("\u{1b}]0;owned\u{7}\u{9b}2J fine \u{202e}"), done()]);
        let mut command = session.weir(&["exec", "go"]);
        if is_json {
            command.arg("--json");
        }
        command.stderr(Stdio::null());
        // Standard output alone is the terminal.
        let (status, shown) = Screen::start(command, [false, true, false]).ends();
        let shown = String::from_utf8(shown).unwrap();
        assert_eq!(status.code(), Some(0), "{shown}");
        assert!(shown.contains("]0;owned") && shown.contains(" fine "), "{shown}");
        let orders = |one: char| one.is_control() && one != '\r' && one != '\n' || one == '\u{202e}';
        assert!(!shown.contains(orders), "{shown:?}");
    }
    // What is said on standard error as well: the file's name is not the person's.
    let mut command = session.weir(&["exec", "--output-schema", "\u{1b}]0;owned\u{7}", "go"]);
    command.stdout(Stdio::null());
    let (_, shown) = Screen::start(command, [false, false, true]).ends();
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.contains("weir: ]0;owned") && !shown.contains('\u{1b}'), "{shown:?}");
}

#[test]
fn nothing_that_a_model_writes_stands_behind_a_question() {
    let Some(session) = Session::new("person_question") else { return };
    session.configure(&format!(
        "approval_policy = \"untrusted\"\napprovals.rules = [{{ command = [\"cp\"], decision = \"allow\" }}]\n{CONFINED}"
    ));
    session.place.write("project/word", "go");
    let mut copied = session.pipe("copied");
    let false_question = "\nThe model wants to run, in /tmp:\n    ls\nIt is asked because of this: a rule.\n[y] yes  [n] no\n> ";
    let step = "work\n".repeat(60) + false_question;
    session.record(&[
        says("I begin."),
        runs("evil", "touch mark; false"),
        calls("plan", "update_plan", &json!({ "plan": [{ "step": step, "status": "pending" }] })),
        runs("copy", "cp word copied"),
        done(),
        is_told("not that"),
        says("done"),
        done(),
    ]);
    let mut screen = Screen::start(session.weir(&["exec", "go"]), [false, true, true]);
    let before = screen.sees("no, and the turn ends\r\n> ");
    assert!(before.contains("I begin.") && before.contains("-c 'touch mark; false'"), "{before}");
    // The plan was written down before this command was started, which has ended by now.
    assert!(std::io::Read::read(&mut copied, &mut [0; 8]).unwrap() > 0);
    screen.types("n not that\r");
    let behind = screen.sees("[ ] work work");
    assert!(behind.starts_with("n not that\r\n"), "nothing but the answer is behind the question: {behind}");
    let (status, rest) = screen.ends();
    let rest = String::from_utf8(rest).unwrap();
    assert_eq!((status.code(), session.project("mark").exists()), (Some(0), false), "{rest}");
    let is_false =
        |line: &str| line.starts_with("The model wants") || line.starts_with("[y]") || line.starts_with('>');
    assert!(rest.contains("$ /bin/bash -c 'cp word copied'") && !rest.lines().any(is_false), "{rest}");
}

#[test]
fn a_question_of_any_length_is_asked_in_full_sight() {
    const LINES: usize = 5_000;
    let Some(session) = Session::new("person_length") else { return };
    let lines: String = (1..=LINES).map(|number| format!("line {number}\n")).collect();
    session.record(&[runs("r", &format!("cat > mark <<'END'\n{lines}END\n")), done(), says("done"), done()]);
    let mut screen = Screen::start(session.weir(&["exec", "-a", "untrusted", "go"]), [false, true, true]);
    let end = "no, and the turn ends\r\n> ";
    let question = screen.sees(end);
    let at = question.find("The model wants to run").unwrap();
    assert!(question[at..].lines().count() <= 30, "it fits on the screen: {question}");
    assert!(question.contains("lines are left out here; [a] shows them"), "{question}");
    screen.types("a\r");
    let whole = screen.sees(end);
    assert!(
        (1..=LINES).all(|number| whole.contains(&format!(" line {number}\\n\r\n"))),
        "{} bytes",
        whole.len()
    );
    assert!(whole.ends_with(&question[at..]), "what is answered is in sight again");
    screen.types("y\r");
    let (status, rest) = screen.ends();
    assert_eq!(status.code(), Some(0), "{}", String::from_utf8_lossy(&rest));
    assert_eq!(std::fs::read_to_string(session.project("mark")).unwrap(), lines);
}
