//! The policy that binds a thread holds in every turn, over resume and fork, and a lease leaves it as it is: what the exec-server's own record
//! says it started under is compared with what the thread says, and every way of losing it is tried.

use std::fs;

use serde_json::{Value, json};

use super::place::text;
use super::screen::Screen;
use super::session::{CONFINED, Session, calls, done, read, runs, says};

/// Digests of the policies under which the server started commands of a thread's, in order.
fn started(session: &Session) -> Vec<String> {
    let record = session.place.dir.path().join("state/audit.jsonl");
    let entries = read(&fs::read(record).unwrap()).into_iter();
    let starts = entries.filter(|entry| entry["action"] == "start" && entry["argv"][0] != ":files");
    starts.map(|entry| entry["digest"].as_str().unwrap().to_owned()).collect()
}

/// A session whose model runs `script` in each of so many turns.
fn session(test: &str, script: &str, turns: usize) -> Option<Session> {
    let session = Session::served(test)?;
    session.configure(CONFINED);
    let turn = |number: usize| [runs(&format!("c{number}"), script), done(), says("ran"), done()];
    session.record(&(0..turns).flat_map(turn).collect::<Vec<_>>());
    Some(session)
}

fn thread(events: &[Value]) -> String {
    events[0]["thread_id"].as_str().unwrap().to_owned()
}

#[test]
fn every_turn_of_a_thread_and_of_its_forks_runs_under_one_digest() {
    let Some(session) = session("kept_turns", "true", 4) else { return };
    let first = thread(&session.events(&["one"]));
    let digest = session.digest(&first);
    session.events(&["resume", &first, "two"]);
    let fork = thread(&session.events(&["fork", &first, "three"]));
    session.events(&["resume", &fork, "four"]);
    session.events(&["--ephemeral", "resume", &first, "three"]);
    assert_eq!(started(&session), vec![digest.clone(); 5]);
    for (thread, turns) in [(&first, 2), (&fork, 4)] {
        let page = session.threads(&["turns", thread]);
        let all = page["turns"].as_array().unwrap();
        assert_eq!(all.len(), turns);
        assert!(all.iter().all(|turn| turn["settings"]["digest"] == digest.as_str()), "{page:#}");
        assert_eq!(session.digest(&first), digest);
    }
}

#[test]
fn no_turn_resume_or_fork_loses_the_policy_to_another_file_option_or_server() {
    let Some(session) = session("kept_lost", "echo x >> ~/outside/marks", 6) else { return };
    let outside = session.place.dir.path().join("home/outside");
    fs::create_dir(&outside).unwrap();
    let first = thread(&session.events(&["one"]));
    let bound = session.digest(&first);
    let open = CONFINED.replace("\"read\"", "\"write\"");
    let gone = CONFINED.replace("confined", "other");
    let files = [(&open, "allows more than"), (&gone, "confined")];
    for (file, expect) in files {
        session.configure(file);
        for how in ["resume", "fork"] {
            for server in ["", "none"] {
                let mut command = session.weir(&["exec", how, &first, "two"]);
                if !server.is_empty() {
                    // One that has never heard of the thread.
                    command.env("WEIR_SERVER", server);
                }
                let output = command.output().unwrap();
                let told = text(&output.stderr);
                assert_eq!(output.status.code(), Some(2), "{how} {server}: {told}");
                assert!(told.contains(expect), "{how} {server}: {told}");
            }
        }
    }
    session.configure(CONFINED);
    let options: [&[&str]; 3] = [
        &["--profile", ":danger-full-access"],
        &["--config", "default_permissions=\":danger-full-access\""],
        &["--write", "~/outside"],
    ];
    for option in options {
        for how in ["resume", "fork"] {
            let output = session.exec(&[option, &[how, &first, "two"]].concat());
            assert_eq!(output.status.code(), Some(2), "{how} {option:?}: {}", text(&output.stderr));
        }
    }
    assert_eq!(started(&session), std::slice::from_ref(&bound), "nothing of it was run");
    assert!(!outside.join("marks").exists());
    // Narrower holds from then on.
    session.events(&["resume", &first, "--profile", ":read-only", "two"]);
    let narrower = session.digest(&first);
    assert_ne!(narrower, bound);
    assert_eq!(started(&session), [bound, narrower]);
    assert_eq!(session.exec(&["resume", &first, "--profile", "confined", "three"]).status.code(), Some(2));
    // The control: another thread gets what the file says, and may.
    session.configure(&open);
    session.events(&["one"]);
    assert!(outside.join("marks").exists());
}

#[test]
fn a_lease_is_for_one_command_and_leaves_the_digest() {
    let Some(session) = Session::served("kept_lease") else { return };
    session.configure(CONFINED);
    let outside = session.place.dir.path().join("home/outside");
    fs::create_dir(&outside).unwrap();
    let script = "echo x >> ~/outside/marks";
    let ask = json!({ "write": ["~/outside"], "command": script, "reason": "to leave a mark" });
    let again = |id: &str| [runs(id, script), done()];
    let lines = [
        &again("before")[..],
        &[calls("ask", "request_permissions", &ask), done()],
        &again("with"),
        &again("behind"),
        &[says("marked"), done()],
        &again("later"),
        &[says("not marked"), done()],
    ];
    session.record(&lines.concat());
    let mut screen = Screen::start(session.weir(&["exec", "go"]), [false, true, true]);
    screen.sees("change, create and remove");
    screen.sees("> ");
    screen.types("y\r");
    assert_eq!(screen.ends().0.code(), Some(0));
    let thread = session.threads(&["list"])["threads"][0]["thread"].as_str().unwrap().to_owned();
    session.events(&["resume", &thread, "again"]);
    let (base, digests) = (session.digest(&thread), started(&session));
    let [before, with, behind, later] = &digests[..] else { panic!("{digests:?}") };
    assert_eq!([before, behind, later], [&base; 3]);
    assert_ne!(with, &base, "the control: the lease was used");
    assert_eq!(fs::read_to_string(outside.join("marks")).unwrap(), "x\n");
    let page = session.threads(&["turns", &thread]);
    assert!(page["turns"].as_array().unwrap().iter().all(|turn| turn["settings"]["digest"] == base.as_str()));
}
