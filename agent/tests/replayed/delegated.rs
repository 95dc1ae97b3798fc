//! Work that a model gives to helpers: side by side, in threads of their own, never with more than it has itself.

use std::io::{Read, Write};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::place::text;
use super::session::{Session, calls, completed, costs, done, helper, is_told, runs, says};

fn delegates(id: &str, task: &str) -> Value {
    calls(id, "delegate", &json!({ "task": task }))
}

fn receiver(item: &Value) -> &str {
    item["receiver_thread_ids"][0].as_str().unwrap()
}

fn is_complete(event: &Value) -> bool {
    event["type"] == "item.completed" && event["item"]["type"] == "collab_tool_call"
}

/// How a thread's only turn ended, and the last result in it.
fn turn(session: &Session, thread: &str) -> (Value, Value) {
    let page = session.threads(&["turns", thread]);
    let turn = page["turns"][0].clone();
    let items = turn["items"].as_array().unwrap();
    let result = items.iter().rev().find(|item| item["type"] == "tool_result").cloned();
    (turn["status"].clone(), result.unwrap_or_default())
}

#[test]
fn they_work_side_by_side_in_threads_of_their_own() {
    let Some(session) = Session::new("helpers_side_by_side") else { return };
    drop(session.pipe("pipe"));
    session.record(&[
        delegates("1", "read what comes through the pipe"),
        delegates("2", "write into the pipe"),
        costs(100, 10),
        done(),
        is_told("Its last words:\n\nIt was: hello"),
        says("Both are done."),
        costs(200, 20),
        done(),
        // Each waits for the other: one after the other they would wait for ever.
        helper("read what comes"),
        runs("r", "cat pipe"),
        costs(7, 3),
        done(),
        is_told("hello"),
        says("It was: hello"),
        costs(9, 4),
        done(),
        helper("write into"),
        runs("w", "echo hello > pipe"),
        costs(5, 2),
        done(),
        says("Written."),
        costs(6, 1),
        done(),
    ]);
    let events = session.events(&["go"]);
    let parent = events[0]["thread_id"].as_str().unwrap();
    let items = completed(&events, "collab_tool_call");
    assert_eq!(items.len(), 2, "{events:#?}");
    for item in &items {
        let thread = receiver(item);
        assert_eq!(item["agents_states"][thread]["status"], "completed", "{item}");
        assert_eq!((&item["status"], item["sender_thread_id"].as_str()), (&json!("completed"), Some(parent)));
        let begun =
            events.iter().find(|event| event["type"] == "item.started" && event["item"]["id"] == item["id"]);
        assert_eq!(begun.unwrap()["item"]["agents_states"][thread]["status"], "running");
        // The last message is its own, word for word, and what it did is told while it works, in its name.
        let (words, script) = match item["prompt"].as_str().unwrap() {
            "read what comes through the pipe" => ("It was: hello", "cat pipe"),
            _ => ("Written.", "echo hello > pipe"),
        };
        assert_eq!(item["agents_states"][thread]["message"], words);
        let of = |event: &Value, kind: &str| event["type"] == kind && event["thread_id"] == thread;
        let place = |found: &dyn Fn(&Value) -> bool| events.iter().position(found).unwrap();
        let command =
            |event: &Value| event["item"]["command"].as_str().is_some_and(|line| line.contains(script));
        let (from, to) = (
            place(&|event| of(event, "item.started") && command(event)),
            place(&|event| of(event, "item.completed") && command(event)),
        );
        let over = place(&|event| event["type"] == "item.completed" && event["item"]["id"] == item["id"]);
        assert!(from < to && to < over, "{events:#?}");
        assert_eq!(events[to]["item"]["exit_code"], 0);
        let shown = session.threads(&["show", thread]);
        assert_eq!((&shown["source"], shown["delegated_by"].as_str()), (&json!("delegated"), Some(parent)));
        assert_eq!(session.digest(thread), session.digest(parent));
        assert_eq!(turn(&session, thread).0, "completed");
    }
    // Tokens of helpers are the turn's and its thread's, and their own threads have their own.
    let usage = &events.last().unwrap()["usage"];
    assert_eq!((&usage["input_tokens"], &usage["output_tokens"]), (&json!(327), &json!(40)), "{usage}");
    assert_eq!(usage["reasoning_output_tokens"], 6);
    assert_eq!(session.threads(&["show", parent])["usage"]["input"], 327);
    let own = |item: &Value| session.threads(&["show", receiver(item)])["usage"]["input"].as_u64().unwrap();
    assert_eq!(items.iter().map(|item| own(item)).sum::<u64>(), 27);
    // They are found, and are not in the way.
    let listed = |arguments: &[&str]| session.threads(arguments)["threads"].as_array().unwrap().len();
    assert_eq!((listed(&["list"]), listed(&["list", "--all"])), (1, 3));
    let again = session.exec(&["resume", "--last", "and now"]);
    assert!(text(&again.stderr).contains(parent), "{}", text(&again.stderr));
}

#[test]
fn a_helper_has_no_more_than_its_parent() {
    let Some(session) = Session::new("helpers_no_more") else { return };
    let prices = "[model_prices.recorded]\ninput = 2.0\noutput = 10.0\ncurrency = \"EUR\"";
    session.configure(&format!("[permissions.still]\nextends = \":read-only\"\n{prices}"));
    let with = |id: &str, more: Value| {
        let mut arguments = json!({ "task": format!("write {id}") });
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        calls(id, "delegate", &arguments)
    };
    session.record(&[
        with("own", json!({})),
        with("less", json!({ "profile": "still" })),
        with("shut", json!({ "deny": ["shut"] })),
        with("more", json!({ "profile": ":danger-full-access" })),
        with("none", json!({ "profile": "absent" })),
        done(),
        is_told("a helper is allowed no more than this thread"),
        is_told("absent"),
        says("done"),
        done(),
        helper("write "),
        runs("w", "for name in own less shut; do echo x > $name; done; true"),
        done(),
        says("tried"),
        costs(1_000, 10),
        done(),
    ]);
    std::fs::create_dir(session.project("shut.d")).unwrap();
    session.place.write("project/shut", "before");
    session.place.write("project/own", "before");
    let output = session.exec(&["go"]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let list = session.threads(&["list", "--all"]);
    let threads = list["threads"].as_array().unwrap();
    let profiles: Vec<_> = threads.iter().filter(|thread| thread["source"] == "delegated").collect();
    assert_eq!(profiles.len(), 3, "what is refused leaves no thread: {list:#}");
    assert!(profiles.iter().any(|thread| thread["profile"] == "still"), "{list:#}");
    // Of the helper that was allowed as much as its parent everything could be written, of the others not.
    let of = |profile: &str, about: &str| {
        let found = profiles.iter().find(|thread| thread["profile"] == profile && thread["preview"] == about);
        found.unwrap()["thread"].as_str().unwrap().to_owned()
    };
    let wrote =
        |thread: &str| turn(&session, thread).1["outcome"]["did"]["output_tail"].as_str().unwrap().to_owned();
    let (own, less, shut) =
        (of(":workspace", "write own"), of("still", "write less"), of(":workspace", "write shut"));
    assert_eq!(wrote(&own), "", "the control: it may write all of them");
    assert!(wrote(&less).contains("own") && wrote(&less).contains("shut"), "{}", wrote(&less));
    assert!(wrote(&shut).contains("shut") && !wrote(&shut).contains("own"), "{}", wrote(&shut));
    assert_ne!(session.digest(&less), session.digest(&own));
    // People see who does what.
    assert!(told.contains("helper ") && told.contains("] $ /bin/bash -c 'for name in"), "{told}");
    assert!(told.contains("is done; tokens: ") && told.contains("; 0.0063 EUR\n"), "{told}");
}

#[test]
fn they_are_not_without_number() {
    let Some(session) = Session::new("helpers_number") else { return };
    let mut gate = session.pipe("gate");
    let mut lines: Vec<_> =
        (0..9).map(|number| delegates(&format!("c{number}"), "wait at the gate")).collect();
    lines.extend([
        done(),
        is_told("8 helpers work already"),
        delegates("deep", "go one down"),
        done(),
        is_told("bottom"),
        says("done"),
        done(),
        helper("wait at the gate"),
        runs("w", "read line < gate"),
        done(),
        says("waited"),
        done(),
        helper("go one down"),
        delegates("deeper", "go two down"),
        done(),
        is_told("bottom"),
        says("bottom"),
        done(),
        helper("go two down"),
        delegates("deepest", "go three down"),
        done(),
        is_told("There is no tool \"delegate\""),
        says("bottom"),
        done(),
    ]);
    session.record(&lines);
    let mut running = session.start(&["go"]);
    running.until(|event| {
        event["item"]["error"]["message"]
            .as_str()
            .is_some_and(|message| message.contains("8 helpers work already"))
    });
    gate.write_all(&b"go\n".repeat(8)).unwrap();
    let (events, status) = running.end();
    assert_eq!(status.code(), Some(0), "{events:#?}");
    let whose: Vec<_> =
        events.iter().filter(|event| is_complete(event)).map(|event| &event["thread_id"]).collect();
    assert_eq!(whose.iter().filter(|thread| thread.is_null()).count(), 9);
    // That of the helper that has one, which names it.
    let [own] = whose.iter().filter(|thread| !thread.is_null()).collect::<Vec<_>>()[..] else {
        panic!("{whose:?}")
    };
    let nested = events.iter().find(|event| is_complete(event) && event["thread_id"] == **own).unwrap();
    assert_eq!(nested["item"]["sender_thread_id"], **own);
    assert_eq!(events.last().unwrap()["type"], "turn.completed", "{events:#?}");
}

#[test]
fn an_interruption_ends_them_and_theirs_with_every_item_complete() {
    let heeds = "echo so far; echo $$ > pipe; exec sleep 1000";
    let heeds_nothing = "trap '' TERM INT; echo $$ > pipe; while :; do echo more; done";
    for script in [heeds, heeds_nothing] {
        for session in [Session::new("helpers_interrupted"), Session::served("helpers_interrupted")] {
            let Some(session) = session else { return };
            are_interrupted(&session, script);
        }
    }
}

fn are_interrupted(session: &Session, script: &str) {
    let mut pipe = session.pipe("pipe");
    session.record(&[
        delegates("1", "have it done"),
        costs(10, 1),
        done(),
        helper("have it done"),
        delegates("2", "run it"),
        costs(20, 2),
        done(),
        helper("run it"),
        runs("w", script),
        costs(40, 4),
        done(),
    ]);
    let mut running = session.start(&["go"]);
    let thread = running.next().unwrap()["thread_id"].as_str().unwrap().to_owned();
    let mut started = [0; 64];
    assert!(pipe.read(&mut started).unwrap() > 0);
    running.signal(Signal::INT);
    let (events, status) = running.end();
    assert_eq!(status.code(), Some(130), "{events:#?}");
    // The helper's own is complete before the one that it is.
    let [inner, outer] = completed(&events, "collab_tool_call")[..] else { panic!("{events:#?}") };
    let first = receiver(outer).to_owned();
    assert_eq!(inner["sender_thread_id"], *first);
    let item = outer;
    assert_eq!(item["agents_states"][&first]["status"], "interrupted", "{item}");
    assert_eq!(events.last().unwrap()["type"], "turn.failed");
    // All that was spent is counted, though nobody came to an end.
    assert_eq!(events.last().unwrap()["usage"]["input_tokens"], 70, "{events:#?}");
    let (status, result) = turn(session, &first);
    assert_eq!(
        (&status, &result["outcome"]["did"]["status"]),
        (&json!("interrupted"), &json!("interrupted"))
    );
    let second = result["outcome"]["did"]["thread"].as_str().unwrap().to_owned();
    let (status, result) = turn(session, &second);
    assert_eq!(status, "interrupted");
    is_accounted_for(session, &second, &result["outcome"]["did"], script);
    for thread in [&thread, &first, &second] {
        let records = session.records(thread);
        assert_eq!(records.last().unwrap()["type"], "turn_ended", "{thread}");
    }
}

/// Of a command that was ended all that it wrote is kept, and counted.
fn is_accounted_for(session: &Session, thread: &str, did: &Value, script: &str) {
    assert_eq!(did["kind"], "command");
    let heeds = !script.contains("trap");
    let end =
        if heeds { json!({ "reason": "signalled", "signal": 15 }) } else { json!({ "reason": "cancelled" }) };
    assert_eq!(did["status"]["end"], end);
    let directory = session.place.path(&format!("home/.weir/outputs/{thread}"));
    let kept = std::fs::read_dir(directory).unwrap().next().unwrap().unwrap();
    let kept = std::fs::read(kept.path()).unwrap();
    let line = if heeds { "so far\n" } else { "more\n" };
    assert!(kept.starts_with(line.as_bytes()));
    let account = &did["streams"][0];
    assert_eq!((&account["bytes"], &account["dropped"]), (&json!(kept.len()), &json!(0)));
    assert_eq!(account["blake3"], blake3::hash(&kept).to_hex().as_str());
}
