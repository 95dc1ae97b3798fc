//! What a call came to, as the item of an event. Pure.

use serde_json::{Value, json};
use weir_protocol::method::process::End;

use crate::item::{ChangeKind, CommandStatus, Did, FileChange, Step, StepStatus};
use crate::thread::{ThreadId, TurnStatus};
use crate::turn::Call;

/// The name under which tools of Weir's own appear that have no form of their own.
const SERVER: &str = "weir";

/// What clients call the tool that gives work to another thread.
const SPAWN: &str = "spawn_agent";

/// A command that has begun.
pub(super) fn running(id: &str, command: &str) -> Value {
    json!({
        "id": id,
        "type": "command_execution",
        "command": command,
        "aggregated_output": "",
        "exit_code": null,
        "status": "in_progress",
    })
}

/// What a call came to. `output`: what its command was heard to write.
pub(super) fn of_call(call: &Call, did: &Did, told: &str, output: Option<String>) -> Value {
    match did {
        Did::Command { argv, status, output_tail, denials, .. } => {
            let output = output.filter(|output| !output.is_empty()).unwrap_or_else(|| output_tail.clone());
            let (exit_code, status) = status_of(status);
            let mut item = json!({
                "type": "command_execution",
                "command": command_line(argv),
                "aggregated_output": output,
                "exit_code": exit_code,
                "status": status,
            });
            if !denials.is_empty() {
                item["denials"] = json!(denials);
            }
            item
        }
        Did::Files { changes } => json!({
            "type": "file_change",
            "changes": changes.iter().map(change).collect::<Vec<_>>(),
            "status": "completed",
        }),
        Did::Plan { steps } => plan(steps),
        Did::Failed { reason } => other(call, Err(reason)),
        Did::Permission { granted: false, .. } => other(call, Err(told)),
        Did::Read | Did::Permission { .. } | Did::Delegated { .. } | Did::Other => other(call, Ok(told)),
    }
}

/// A thread that was given work. `helper`: it, with what is known of how it stands. `words`: its last message, or why it could not go on.
pub(super) fn delegated(
    id: &str,
    by: &str,
    prompt: &str,
    helper: (ThreadId, &TurnStatus),
    words: Option<&str>,
) -> Value {
    let (thread, status) = helper;
    let (state, status) = match status {
        TurnStatus::Open => ("running", "in_progress"),
        TurnStatus::Completed => ("completed", "completed"),
        TurnStatus::Interrupted => ("interrupted", "failed"),
        TurnStatus::Failed { .. } => ("errored", "failed"),
    };
    json!({
        "id": id,
        "type": "collab_tool_call",
        "tool": SPAWN,
        "sender_thread_id": by,
        "receiver_thread_ids": [thread],
        "prompt": prompt,
        "agents_states": { thread.to_string(): { "status": state, "message": words } },
        "status": status,
    })
}

/// A call of a tool that clients have no form for: as one of a server of tools.
fn other(call: &Call, result: Result<&str, &str>) -> Value {
    let arguments = serde_json::from_str(&call.arguments).unwrap_or(Value::String(call.arguments.clone()));
    let content =
        |text: &str| json!({ "content": [{ "type": "text", "text": text }], "structured_content": null });
    json!({
        "type": "mcp_tool_call",
        "server": SERVER,
        "tool": call.tool,
        "arguments": arguments,
        "result": result.ok().map(content),
        "error": result.err().map(|text| json!({ "message": text })),
        "status": if result.is_ok() { "completed" } else { "failed" },
    })
}

/// A plan.
pub(super) fn plan(steps: &[Step]) -> Value {
    let step = |step: &Step| json!({ "text": step.text, "completed": step.status == StepStatus::Completed });
    json!({ "type": "todo_list", "items": steps.iter().map(step).collect::<Vec<_>>() })
}

fn change(change: &FileChange) -> Value {
    let kind = match change.kind {
        ChangeKind::Add => "add",
        ChangeKind::Delete => "delete",
        ChangeKind::Update => "update",
    };
    json!({ "path": change.path, "kind": kind })
}

/// A command's exit code and its status. One that a signal ended has the code of a shell.
fn status_of(status: &CommandStatus) -> (Option<i32>, &'static str) {
    match status {
        CommandStatus::Running => (None, "in_progress"),
        CommandStatus::Ended { end: End::Exited { code: 0 } } => (Some(0), "completed"),
        CommandStatus::Ended { end: End::Exited { code } } => (Some(*code), "failed"),
        CommandStatus::Ended { end: End::Signalled { signal } } => {
            (Some(signal.saturating_add(128)), "failed")
        }
        CommandStatus::Ended { .. } | CommandStatus::NotStarted { .. } => (None, "failed"),
        CommandStatus::Declined { .. } => (None, "declined"),
    }
}

/// Words as a person would type them.
pub(in super::super) fn command_line(argv: &[String]) -> String {
    let plain = |word: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,@%+".contains(&byte);
        !word.is_empty() && word.bytes().all(allowed)
    };
    let quoted = |word: &String| {
        if plain(word) { word.clone() } else { format!("'{}'", word.replace('\'', r"'\''")) }
    };
    argv.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_change_them() {
        let line =
            |words: &[&str]| command_line(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(line(&["/bin/bash", "-c", "echo hi"]), "/bin/bash -c 'echo hi'");
        assert_eq!(line(&["echo", "it's", "", "$x"]), r"echo 'it'\''s' '' '$x'");
    }

    #[test]
    fn every_end_has_its_status() {
        let ended = |end| CommandStatus::Ended { end };
        let cases = [
            (ended(End::Exited { code: 0 }), (Some(0), "completed")),
            (ended(End::Exited { code: 3 }), (Some(3), "failed")),
            (ended(End::Signalled { signal: 9 }), (Some(137), "failed")),
            (ended(End::TimedOut { limit_ms: 1 }), (None, "failed")),
            (CommandStatus::Running, (None, "in_progress")),
            (CommandStatus::Declined { reason: String::new() }, (None, "declined")),
            (CommandStatus::NotStarted { reason: String::new() }, (None, "failed")),
        ];
        for (status, expect) in cases {
            assert_eq!(status_of(&status), expect, "{status:?}");
        }
    }
}
