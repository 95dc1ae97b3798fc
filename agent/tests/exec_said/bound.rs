//! What binds a thread binds its forks, whatever is left of its file.

use std::fs;

use super::Session;
use super::place::text;

const MARKS: &str = "echo x > mark";

#[test]
fn a_fork_of_a_damaged_thread_is_never_wider() {
    let Some(session) = Session::new("fork_of_damaged", MARKS, "model = \"m\"") else { return };
    assert_eq!(session.exec(&["-p", ":workspace", "begin"]).status.code(), Some(0));
    assert!(session.took("mark"), "the control");
    let thread = session.thread();
    assert_eq!(session.exec(&["resume", &thread, "-p", ":read-only", "narrow"]).status.code(), Some(0));
    assert!(!session.took("mark"));
    let path = text(&session.place.run(&["threads", "path", &thread]).stdout).trim().to_owned();
    let whole = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let bound = lines.iter().rposition(|line| line.contains("\"type\":\"bound\"")).unwrap();
    let with = |line: &str| [&lines[..bound], &[line], &lines[bound + 1..]].concat().join("\n") + "\n";
    let damaged = lines[bound].replacen('t', "\0", 1);
    let without = [&lines[..bound], &lines[bound + 1..]].concat().join("\n") + "\n";
    let write = |text: &str| {
        fs::write(&path, text).unwrap();
        session.place.run(&["threads", "check", "--rebuild"]);
    };
    let cases = [
        ("removed", without),
        ("torn", with(&lines[bound][..300])),
        ("one byte", with(&damaged)),
        // Nothing of the file says that there was more: the server remembers.
        ("cut before it", lines[..bound].join("\n") + "\n"),
    ];
    for (what, text) in cases {
        write(&text);
        for way in [
            &["fork", &thread, "again"][..],
            &["resume", &thread, "--ephemeral", "again"],
            &["resume", &thread, "again"],
        ] {
            let (code, told) = session.told(way);
            assert_eq!((code, session.took("mark")), (Some(2), false), "{what}: {way:?}: {told}");
            let expect =
                if what == "cut before it" { "allows more than" } else { "may have lost where it says so" };
            assert!(told.contains(expect), "{what}: {way:?}: {told}");
        }
    }
    // Damage of something else is told, and the fork is bound as the thread is.
    let harmless = [&lines[..bound - 2], &lines[bound - 1..]].concat().join("\n") + "\n";
    write(&harmless);
    let (code, told) = session.told(&["fork", &thread, "again"]);
    assert_eq!((code, session.took("mark")), (Some(0), false), "{told}");
    let note =
        format!("note: thread {thread}, line {}: record {} before it is missing", bound - 1, bound - 2);
    assert!(told.contains(&note) && told.contains("profile :read-only"), "{told}");
}

#[test]
fn a_thread_of_another_directory_is_told_as_one() {
    let Some(session) = Session::new("another_directory", MARKS, "model = \"m\"") else { return };
    assert_eq!(session.exec(&["begin"]).status.code(), Some(0));
    let other = session.place.path("other");
    fs::create_dir(&other).unwrap();
    let (code, told) = session.told(&["--cd", &other, "resume", &session.thread(), "again"]);
    assert_eq!(code, Some(2), "{told}");
    let expect = format!("the thread works in {}, and this is {other}", session.place.path("project"));
    assert!(told.contains(&expect), "{told}");
}

#[test]
fn what_fails_before_anything_is_asked_leaves_a_thread_as_it_was() {
    let Some(session) = Session::new("failed_resume", MARKS, "") else { return };
    session.configure("[model_providers.y]\nbase_url = \"http://127.0.0.1:9\"\n");
    let begun = session.exec(&["-p", ":workspace", "-m", "m", "begin"]);
    assert_eq!(begun.status.code(), Some(0), "{}", text(&begun.stderr));
    assert!(session.took("mark"), "the control");
    let thread = session.thread();
    let (code, told) = session.told(&["resume", &thread, "-p", ":read-only", "--provider", "y", "narrow"]);
    assert!(code == Some(2) && told.contains("no model is chosen"), "{code:?}: {told}");
    assert_eq!(session.told(&["resume", &thread, "again"]).0, Some(0));
    assert!(session.took("mark"), "it is bound as before");
    assert_eq!(session.told(&["resume", &thread, "-p", ":read-only", "narrow"]).0, Some(0));
    let (code, told) = session.told(&["resume", &thread, "-p", ":workspace", "wider"]);
    assert!(code == Some(2) && told.contains("allows more than"), "{code:?}: {told}");
}

/// What a command tries to write, besides its mark.
const PROBES: [&str; 4] = ["mark", ".git/probe", ".git/modules/s/probe", "sub/.git/hooks/probe"];

fn reaches() -> String {
    format!("for file in {}; do echo x > $file; done 2> /dev/null; true", PROBES.join(" "))
}

impl Session {
    /// What the last command could write.
    fn reached(&self) -> Vec<&'static str> {
        PROBES.into_iter().filter(|probe| self.took(probe)).collect()
    }

    /// git, as a person at the same place runs it between two turns.
    fn git(&self, arguments: &[&str]) {
        let mut git = self.place.command("git");
        git.args(["-c", "protocol.file.allow=always", "-c", "user.name=a", "-c", "user.email=a@b.example"]);
        let output = git.env("GIT_CONFIG_NOSYSTEM", "1").args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    }
}

/// What a person does at a place, and what a new thread can write then that the old one cannot.
type Came = (&'static [&'static [&'static str]], &'static [&'static str]);

const CAME: [Came; 3] = [
    (&[&["init", "-q"]], &[".git/probe"]),
    (
        &[
            &["init", "-q", "../lib"],
            &["-C", "../lib", "commit", "-q", "--allow-empty", "-m", "x"],
            &["submodule", "--quiet", "add", "../lib", "s"],
        ],
        &[".git/modules/s/probe"],
    ),
    (&[&["init", "-q", "sub"]], &[]),
];

/// What comes to be on the disk between two turns makes no thread wider, and ends none.
#[test]
fn a_repository_that_comes_to_be_leaves_a_thread_as_it_was() {
    for (number, (came, more)) in CAME.iter().enumerate() {
        let Some(session) = Session::new("came", &reaches(), "model = \"m\"") else { return };
        if number == 1 {
            session.git(&["init", "-q"]);
        }
        assert_eq!(session.exec(&["-p", ":workspace", "begin"]).status.code(), Some(0));
        let before = session.reached();
        assert_eq!(before.first(), Some(&"mark"));
        let thread = session.thread();
        came.iter().for_each(|arguments| session.git(arguments));
        for way in [
            &["resume", &thread, "again"][..],
            &["resume", &thread, "and again"],
            &["resume", &thread, "--ephemeral", "again"],
            &["fork", &thread, "again"],
        ] {
            let (code, told) = session.told(way);
            assert_eq!((code, session.reached()), (Some(0), before.clone()), "{came:?}: {way:?}: {told}");
            let is_told = told.contains("open to no more than when the thread was bound");
            assert_eq!(is_told, !more.is_empty(), "{came:?}: {way:?}: {told}");
        }
        // Another thread gets what is there.
        assert_eq!(session.exec(&["-p", ":workspace", "begin"]).status.code(), Some(0));
        let now = session.reached();
        let gained: Vec<&str> = now.into_iter().filter(|probe| !before.contains(probe)).collect();
        assert_eq!(gained, *more, "{came:?}");
    }
}

/// What somebody wrote is none of that, whatever came to be beside it.
#[test]
fn a_profile_that_was_widened_is_refused_beside_a_repository_that_came_to_be() {
    let profile = |more: &str| {
        format!("model = \"m\"\n[permissions.p.filesystem]\n\":project_roots\" = \"write\"\n{more}")
    };
    let Some(session) = Session::new("widened", &reaches(), &profile("")) else { return };
    assert_eq!(session.exec(&["-p", "p", "begin"]).status.code(), Some(0));
    assert_eq!(session.reached(), ["mark"]);
    let thread = session.thread();
    session.git(&["init", "-q"]);
    for more in ["\"~/other\" = \"write\"", "[permissions.p.protected]\n\".vscode\" = false"] {
        session.configure(&profile(more));
        let (code, told) = session.told(&["resume", &thread, "again"]);
        assert_eq!((code, session.reached()), (Some(2), vec![]), "{more}: {told}");
        assert!(told.contains("which binds the thread") && told.contains("config.toml:"), "{more}: {told}");
    }
    session.configure(&profile(""));
    assert_eq!(session.told(&["resume", &thread, "again"]).0, Some(0));
    assert_eq!(session.reached(), ["mark"]);
}
