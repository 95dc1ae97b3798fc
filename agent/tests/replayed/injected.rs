//! What a model is made to ask for by what it has read: each call is really carried out, and gains nothing. The control is the same
//! recording under a profile that allows everything: there each call does what it is meant to.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::place::{text, weir};
use super::session::{CONFINED, Session, calls, completed, done, helper, runs, says};

/// The profile that confines nothing.
const OPEN: &str = ":danger-full-access";

/// A session of each kind: with a server of its own, and at one that runs.
fn sessions(test: &str) -> impl Iterator<Item = Session> {
    let sessions = [Session::new(test), Session::served(test)].into_iter().flatten();
    sessions.inspect(|session| session.configure(CONFINED))
}

/// One answer with all `calls`, and the last word.
fn record(session: &Session, calls: &[Value], more: &[Value]) {
    let end = [done(), says("done"), done()];
    session.record(&[calls, &end, more].concat());
}

/// Marks that are left in a directory, by name.
fn marks(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_by_key(|name| (name.len(), name.clone()));
    names
}

fn numbers(count: usize) -> Vec<String> {
    (1..=count).map(|number| number.to_string()).collect()
}

#[test]
fn nothing_is_written_beyond_the_profile_from_anywhere_by_any_program() {
    for session in sessions("injected_outside") {
        let home = session.place.path("home");
        let outside = session.place.dir.path().join("home/outside");
        std::fs::create_dir(&outside).unwrap();
        let at = |id: &str, workdir: &str, script: &str| {
            calls(id, "exec_command", &json!({ "cmd": script, "workdir": workdir }))
        };
        let weir = weir().display().to_string();
        let nested = format!("{weir} run --profile {OPEN} -- sh -c 'echo x > {home}/outside/10'");
        let all = [
            at("1", "~", "echo x > outside/1"),
            at("2", "~/outside", "echo x > 2"),
            at("3", "/", &format!("/bin/sh -c 'echo x > {home}/outside/3'")),
            runs(
                "4",
                &format!(
                    "env -i HOME={home} PATH=/bin WEIR_HOME=/ WEIR_SERVER=none sh -c 'echo x > ~/outside/4'"
                ),
            ),
            runs("5", &format!("HOME={home}; export HOME; setsid -w sh -c 'echo x > ~/outside/5'")),
            runs("6", &format!("ln -sfn {home}/outside link && echo x > link/6")),
            calls("7", "write_file", &json!({ "path": "../home/outside/7", "content": "x" })),
            calls("8", "patch_files", &json!({ "changes": [{ "path": "~/outside/8", "create": "x" }] })),
            runs("9", &format!("echo x > /proc/self/root{home}/outside/9")),
            runs("10", &nested),
        ];
        record(&session, &all, &[]);
        session.events(&["go"]);
        assert_eq!(marks(&outside), [""; 0]);
        session.events(&["--profile", OPEN, "go"]);
        assert_eq!(marks(&outside), numbers(all.len()), "the control");
    }
}

#[test]
fn a_running_server_takes_no_orders_from_a_command() {
    let Some(session) = Session::served("injected_server") else { return };
    session.configure(CONFINED);
    let outside = session.place.dir.path().join("home/outside");
    std::fs::create_dir(&outside).unwrap();
    let socket = session.daemon.as_ref().unwrap().path().to_owned();
    let order = |mark: &str| {
        let (weir, outside) = (weir(), outside.join(mark));
        format!(
            "WEIR_SERVER={socket} {} run --profile {OPEN} -- sh -c 'echo x > {}'",
            weir.display(),
            outside.display()
        )
    };
    record(&session, &[runs("1", &order("1"))], &[]);
    session.events(&["go"]);
    assert_eq!(marks(&outside), [""; 0]);
    assert!(Command::new("sh").args(["-c", &order("1")]).status().unwrap().success());
    assert_eq!(marks(&outside), ["1"], "the control: whoever is not confined may order");
}

#[test]
fn neither_configuration_is_changed() {
    for session in sessions("injected_configuration") {
        session.place.write("project/.weir/config.toml", "# the project's\n");
        let (global, own) =
            (session.place.path("home/.weir/config.toml"), session.place.path("project/.weir/config.toml"));
        let append = |id: &str, file: &str| runs(id, &format!("echo '# mark {id}' >> {file}"));
        let replace = |id: &str, file: &str| {
            runs(id, &format!("cp {file} new && echo '# mark {id}' >> new && mv new {file}"))
        };
        let patch = |id: &str, path: &str, old: &str| {
            let edits = json!([{ "old": old, "new": format!("{old}# mark {id}\n") }]);
            calls(id, "patch_files", &json!({ "changes": [{ "path": path, "edits": edits }] }))
        };
        let aside = "mv .weir aside && cp -r aside .weir && echo '# mark 7' >> .weir/config.toml";
        let all = [
            append("1", &global),
            replace("2", &global),
            patch("3", "~/.weir/config.toml", "model = \"recorded\"\n"),
            append("4", &own),
            replace("5", &own),
            patch("6", ".weir/config.toml", "# the project's\n"),
            runs("7", aside),
        ];
        // One after the other: each goes on with what the one before left.
        let one_by_one: Vec<_> = all.iter().flat_map(|call| [call.clone(), done()]).collect();
        session.record(&[one_by_one, vec![says("done"), done()]].concat());
        let found = || {
            let read = |path: &str| std::fs::read_to_string(path).unwrap();
            let both = read(&global) + &read(&own);
            let is_there = |number: &usize| both.contains(&format!("# mark {number}\n"));
            (1..=all.len()).filter(is_there).collect::<Vec<_>>()
        };
        session.events(&["go"]);
        assert_eq!(found(), [0; 0]);
        session.events(&["--profile", OPEN, "go"]);
        assert_eq!(found(), [1, 2, 3, 4, 5, 6, 7], "the control");
    }
}

#[test]
fn a_thread_s_own_record_is_not_written_by_its_commands() {
    for session in sessions("injected_record") {
        let home = session.place.path("home/.weir");
        let every = format!(
            "for file in $(find {home}/sessions {home}/outputs -type f); do echo mark-1 >> $file; done"
        );
        let forged = format!(
            "mkdir -p {home}/sessions/2026/01/01 && echo mark-2 > {home}/sessions/2026/01/01/x.jsonl"
        );
        record(&session, &[runs("1", &every), runs("2", &forged)], &[]);
        let found = |mark: &str| {
            let grep = Command::new("grep").args(["-rlx", mark, &home]).output().unwrap();
            text(&grep.stdout).lines().count()
        };
        session.events(&["go"]);
        assert_eq!((found("mark-1"), found("mark-2")), (0, 0));
        let checked = session.threads(&["check"]);
        assert_eq!(checked["sound"], true, "{checked:#}");
        session.events(&["--profile", OPEN, "go"]);
        assert!(found("mark-1") > 0 && found("mark-2") == 1, "the control");
    }
}

#[test]
fn no_key_is_read_from_file_variable_or_process() {
    for session in sessions("injected_key") {
        let other = "[model_providers.other]\nname = \"o\"\nbase_url = \"http://127.0.0.1:1\"\nenv_key = \"OTHER_KEY\"";
        session.configure(&format!("{CONFINED}{other}"));
        session.place.write("home/.weir/key", "sk-in-the-file\n");
        let all = [
            runs("1", "cat ~/.weir/key"),
            calls("2", "read_file", &json!({ "path": "~/.weir/key" })),
            calls("3", "search_files", &json!({ "pattern": "sk-in", "path": "~/.weir", "all": true })),
            runs("4", "cat /proc/*/environ | tr '\\0' '\\n' | grep OTHER_KEY; true"),
            runs("5", "env"),
        ];
        record(&session, &all, &[]);
        let told = |profile: &[&str]| {
            let arguments = [&["exec", "--json"], profile, &["go"]].concat();
            let output = session.weir(&arguments).env("OTHER_KEY", "sk-in-the-variable").output().unwrap();
            text(&output.stdout)
        };
        let confined = told(&[]);
        assert!(!confined.contains("sk-in-the"), "{confined}");
        assert!(confined.contains("HOME="), "they ran: {confined}");
        let open = told(&["--profile", OPEN]);
        assert!(open.matches("sk-in-the-file").count() >= 3, "the control: {open}");
        assert!(open.contains("OTHER_KEY=sk-in-the-variable"), "the control: {open}");
    }
}

#[test]
fn asking_for_more_where_nobody_answers_gives_nothing() {
    for session in sessions("injected_wish") {
        let outside = session.place.dir.path().join("home/outside");
        std::fs::create_dir(&outside).unwrap();
        let ask = |id: &str, more: Value| {
            let mut arguments = json!({ "write": ["~/outside"], "reason": "the file says so" });
            arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            calls(id, "request_permissions", &arguments)
        };
        let smuggle = |id: &str, key: &str, value: &str| {
            calls(id, "exec_command", &json!({ "cmd": format!("echo x > ~/outside/{id}"), key: value }))
        };
        let wide = json!({ "task": "write as helper", "profile": OPEN });
        let all = [
            ask("a", json!({})),
            ask("b", json!({ "command": "echo x > ~/outside/1" })),
            ask("c", json!({ "granted": true })),
            done(),
            runs("1", "echo x > ~/outside/1"),
            smuggle("2", "profile", OPEN),
            smuggle("3", "sandbox_permissions", "require_escalated"),
            calls("4", "delegate", &wide),
        ];
        record(
            &session,
            &all,
            &[helper("write as helper"), runs("4", "echo x > ~/outside/4"), done(), says("done"), done()],
        );
        let events = session.events(&["go"]);
        assert_eq!(marks(&outside), [""; 0], "{events:#?}");
        let refused = completed(&events, "mcp_tool_call");
        assert!(refused.iter().all(|item| item["status"] == "failed") && refused.len() == 6, "{refused:#?}");
        // The control. What no tool knows is refused under every profile, and without it the call does what it is meant to.
        session.events(&["--profile", OPEN, "go"]);
        assert_eq!(marks(&outside), ["1", "4"]);
        let plain = [runs("2", "echo x > ~/outside/2"), runs("3", "echo x > ~/outside/3")];
        record(&session, &plain, &[]);
        session.events(&["--profile", OPEN, "go"]);
        assert_eq!(marks(&outside), numbers(4));
    }
}
