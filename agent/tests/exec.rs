//! `weir exec` against servers and a client that others wrote: every wire, its faults, and the official client of Codex.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "exec/package.rs"]
mod package;
#[allow(dead_code, reason = "shared with the tests of the command line")]
#[path = "support/place.rs"]
mod place;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};

use package::Mock;
use place::{Place, text, weir};
use serde_json::{Value, json};

/// A place, a model in it, and `weir exec`.
struct Exec {
    place: Place,
    mock: Mock,
}

/// Wires, and what their address has behind the host.
const WIRES: [(&str, &str); 5] =
    [("responses", "/v1"), ("chat", "/v1"), ("anthropic", "/v1"), ("bedrock", ""), ("ollama", "")];

impl Exec {
    fn new(test: &str) -> Option<Self> {
        let mock = Mock::start(test)?;
        let place = Place::confining(test)?;
        let mut tables = String::from("model = \"mock-model\"\nmodel_provider = \"responses\"\n");
        for (wire, path) in WIRES {
            let url = &mock.url;
            tables.push_str(&format!(
                "[model_providers.{wire}]\nbase_url = \"{url}{path}\"\nwire_api = \"{wire}\"\nenv_key = \"MODEL_KEY\"\n\
                 aws = {{ region = \"eu-west-1\" }}\nenv_http_headers = {{ X-Test-Id = \"TEST_ID\" }}\n"
            ));
        }
        place.write("home/.weir/config.toml", &tables);
        Some(Self { place, mock })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.command(weir().to_str().unwrap());
        command.arg("exec").args(arguments).env("MODEL_KEY", "sk-secret-0123").stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Events of a run with `--json`, and its exit code.
    fn events(&self, arguments: &[&str]) -> (Vec<Value>, i32) {
        read(&self.run(&[&["--json"], arguments].concat()))
    }
}

fn read(output: &Output) -> (Vec<Value>, i32) {
    let lines = text(&output.stdout);
    let events = lines.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")));
    (events.collect(), output.status.code().unwrap_or_else(|| panic!("{}", text(&output.stderr))))
}

fn kinds(events: &[Value]) -> Vec<String> {
    let kind = |event: &Value| {
        let item = event["item"]["type"].as_str().map(|item| format!(" {item}")).unwrap_or_default();
        format!("{}{item}", event["type"].as_str().unwrap())
    };
    events.iter().map(kind).collect()
}

#[test]
fn every_wire_runs_a_command_and_says_what_came_of_it() {
    let Some(exec) = Exec::new("every_wire") else { return };
    for (wire, _) in WIRES {
        let (events, code) = exec.events(&["--provider", wire, "run it"]);
        let expect = [
            "thread.started",
            "turn.started",
            "item.completed agent_message",
            "item.started command_execution",
            "item.completed command_execution",
            "item.completed agent_message",
            "turn.completed",
        ];
        assert_eq!(kinds(&events), expect, "{wire}: {events:#?}");
        assert_eq!(code, 0, "{wire}");
        let item = &events[4]["item"];
        assert_eq!(item["id"], events[3]["item"]["id"], "{wire}");
        assert_eq!((&item["exit_code"], &item["status"]), (&json!(3), &json!("failed")), "{wire}: {item}");
        assert_eq!(item["aggregated_output"], "out-42\n", "{wire}");
        assert!(item["command"].as_str().unwrap().contains("echo out-"), "{wire}: {item}");
        assert_eq!(events[5]["item"]["text"], "It ended with 3.", "{wire}");
        let usage = &events[6]["usage"];
        // Of this server's tongues, Ollama's counts nothing.
        let counts = wire != "ollama";
        assert_eq!(usage["input_tokens"].as_u64() > Some(0), counts, "{wire}: {usage}");
        assert_eq!(usage["output_tokens"].as_u64() > Some(0), counts, "{wire}: {usage}");
        assert_eq!(usage["reasoning_output_tokens"], 0, "{wire}");
    }
}

#[test]
fn every_wire_runs_two_commands_that_are_called_at_once() {
    let Some(exec) = Exec::new("both") else { return };
    for (wire, _) in WIRES {
        let (events, code) = exec.events(&["--provider", wire, "run both"]);
        assert_eq!(code, 0, "{wire}: {events:#?}");
        let commands = events.iter().filter(|event| {
            event["type"] == "item.completed" && event["item"]["type"] == "command_execution"
        });
        let mut wrote: Vec<_> =
            commands.map(|event| event["item"]["aggregated_output"].as_str().unwrap()).collect();
        wrote.sort_unstable();
        assert_eq!(wrote, ["one\n", "two\n"], "{wire}: {events:#?}");
        assert!(events.iter().any(|event| event["item"]["text"] == "Both ran."), "{wire}: {events:#?}");
    }
}

#[test]
fn faults_are_outlived() {
    let Some(exec) = Exec::new("faults") else { return };
    for prompt in ["limited once", "garbled once", "cut once", "dropped once", "cut in the middle"] {
        for (wire, _) in WIRES {
            let id = format!("{wire}-{prompt}").replace(' ', "-");
            let output =
                exec.command(&["--json", "--provider", wire, prompt]).env("TEST_ID", id).output().unwrap();
            let (events, code) = read(&output);
            let kinds = kinds(&events);
            assert!(
                text(&output.stdout).contains("asked again"),
                "{wire} {prompt}: there was no fault: {events:#?}"
            );
            assert_eq!(code, 0, "{wire} {prompt}: {events:#?}");
            assert_eq!(kinds.last().unwrap(), "turn.completed", "{wire} {prompt}");
            let messages: Vec<_> =
                events.iter().filter(|event| event["item"]["type"] == "agent_message").collect();
            assert_eq!(
                messages.len(),
                1,
                "nothing of the first attempt is kept: {wire} {prompt}: {messages:?}"
            );
        }
    }
}

#[test]
fn what_cannot_be_is_told_to_whom_it_concerns() {
    let Some(exec) = Exec::new("errors") else { return };
    let (events, code) = exec.events(&["fly"]);
    let call = events.iter().find(|event| event["item"]["type"] == "mcp_tool_call").unwrap();
    assert!(call["item"]["error"]["message"].as_str().unwrap().contains("no tool"), "{call}");
    assert_eq!((events.last().unwrap()["type"].as_str(), code), (Some("turn.completed"), 0));

    let (events, code) = exec.events(&["no key"]);
    let last = events.last().unwrap();
    assert_eq!((last["type"].as_str(), code), (Some("turn.failed"), 1), "{events:?}");
    assert!(last["error"]["message"].as_str().unwrap().contains("Incorrect API key"), "{last}");

    let cases: [(&[&str], &str); 5] = [
        (&["--provider", "nobody", "hello"], "there is no model provider \"nobody\""),
        (&["--profile", "nothing", "hello"], "nothing"),
        (&["--config", "oops", "hello"], "KEY=VALUE"),
        (&["resume", "0000", "hello"], "there is no thread"),
        (&["--provider", "openai", "hello"], "OPENAI_API_KEY"),
    ];
    for (arguments, expect) in cases {
        let output = exec
            .command(arguments)
            .env_remove("OPENAI_API_KEY")
            .env_remove("CODEX_API_KEY")
            .output()
            .unwrap();
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.contains(expect), "{arguments:?}: {told}");
    }
}

#[test]
fn a_thread_goes_on_and_is_forked() {
    let Some(exec) = Exec::new("threads") else { return };
    let (first, _) = exec.events(&["hello"]);
    let thread = first[0]["thread_id"].as_str().unwrap().to_owned();
    let (second, code) = exec.events(&["resume", &thread, "run it"]);
    assert_eq!((second[0]["thread_id"].as_str(), code), (Some(thread.as_str()), 0), "{second:?}");
    let total = |events: &[Value]| events.last().unwrap()["usage"]["input_tokens"].as_u64().unwrap();
    assert_eq!(total(&second), 3 * total(&first), "tokens are those of the thread");
    assert_eq!(second.last().unwrap()["turn_usage"]["input_tokens"].as_u64(), Some(2 * total(&first)));
    let (last, _) = exec.events(&["resume", "--last", "hello"]);
    assert_eq!(last[0]["thread_id"].as_str(), Some(thread.as_str()));
    let (fork, code) = exec.events(&["fork", &thread, "hello"]);
    assert_eq!(code, 0, "{fork:?}");
    assert_ne!(fork[0]["thread_id"], first[0]["thread_id"]);
    // What binds the thread is not widened by whoever goes on with it.
    let wide = exec.run(&["resume", &thread, "--profile", ":danger-full-access", "hello"]);
    assert_eq!(wide.status.code(), Some(2), "{}", text(&wide.stderr));
    assert!(text(&wide.stderr).contains("allows more than"), "{}", text(&wide.stderr));
    let narrow = exec.run(&["resume", &thread, "--profile", ":read-only", "hello"]);
    assert_eq!(narrow.status.code(), Some(0), "{}", text(&narrow.stderr));
    let back = exec.run(&["resume", &thread, "--profile", ":workspace", "hello"]);
    assert_eq!(back.status.code(), Some(2), "narrower stays narrower: {}", text(&back.stderr));
    // Nothing of a thread that is not to be kept is.
    let (gone, _) = exec.events(&["--ephemeral", "hello"]);
    let gone = exec.run(&["resume", gone[0]["thread_id"].as_str().unwrap(), "hello"]);
    assert_eq!(gone.status.code(), Some(2));
}

#[test]
fn people_see_the_message_and_programs_get_it_alone() {
    let Some(exec) = Exec::new("human") else { return };
    let output = exec.run(&["run it"]);
    assert_eq!(text(&output.stdout), "It ended with 3.\n");
    let told = text(&output.stderr);
    for part in
        ["profile :workspace", "I run it.", "$ /bin/bash -c 'echo out-", "out-42", "code 3", "tokens: "]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    let mut piped =
        exec.command(&["--stdin", "hello"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    piped.stdin.take().unwrap().write_all(b"more").unwrap();
    assert_eq!(text(&piped.wait_with_output().unwrap().stdout), "Hello there.\n");
}

#[test]
fn no_key_is_seen_by_a_command_or_kept() {
    let Some(exec) = Exec::new("keys") else { return };
    let (events, code) = exec.events(&["show the environment"]);
    assert_eq!(code, 0);
    let shown =
        events.iter().find(|event| event["type"] == "item.completed" && event["item"]["exit_code"] == 0);
    let output = shown.unwrap()["item"]["aggregated_output"].as_str().unwrap();
    assert!(output.contains("HOME=") && !output.contains("sk-secret"), "{output}");
    let kept = Command::new("grep").args(["-r", "sk-secret"]).arg(exec.place.path("home")).output().unwrap();
    assert_eq!(text(&kept.stdout), "");
}

#[test]
fn a_signal_ends_the_command_and_completes_its_item() {
    let Some(exec) = Exec::new("signal") else { return };
    let mut child = exec.command(&["--json", "wait for it"]).stdout(Stdio::piped()).spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    let mut events = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if event["type"] == "item.started" {
            rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        }
        events.push(event);
    }
    let kinds = kinds(&events);
    assert_eq!(kinds[kinds.len() - 2..], ["item.completed command_execution", "turn.failed"], "{events:?}");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    // The thread can go on.
    let thread = events[0]["thread_id"].as_str().unwrap();
    assert_eq!(exec.run(&["resume", thread, "hello"]).status.code(), Some(0));
}

#[test]
fn the_official_client_drives_it() {
    let Some(exec) = Exec::new("sdk") else { return };
    let Some(script) = package::script("sdk", "sdk.mjs") else { return };
    // The client says all that is to be known.
    exec.place.write("home/.weir/config.toml", "");
    let output = exec
        .place
        .command("node")
        .arg(script)
        .args([weir().to_str().unwrap(), &exec.mock.url, &exec.place.path("project")])
        .output()
        .unwrap();
    let out: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    assert_eq!(out["final"], "It ended with 3.", "{out:#}");
    assert_eq!(out["items"], json!(["agent_message", "command_execution", "agent_message"]));
    assert_eq!(out["command"]["exit_code"], 3);
    assert!(out["usage"]["input_tokens"].as_u64() > Some(0), "{out:#}");
    let events: Vec<_> = out["events"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(events.first(), Some(&"thread.started"));
    assert_eq!(events.last(), Some(&"turn.completed"));
    assert_eq!(events.iter().filter(|event| **event == "item.started").count(), 2, "{events:?}");
    assert_eq!(out["resumed"]["thread"], out["thread"]);
    assert_eq!(out["resumed"]["final"], "Hello there.");
    assert_eq!(out["schema"], json!({ "answer": 42 }));
    assert!(out["refused"].as_str().unwrap().contains("Incorrect API key"), "{out:#}");
    assert_eq!(out["aborted"], "AbortError", "{out:#}");
}
