//! How a conversation is told to a model, where providers agree: every call has its result, right after the calls.
//!
//! Pure. What a provider does not accept (a call without a result, a result without a call) can stand in a thread that was
//! broken off; it is mended here and nowhere else, and the thread stays as it is.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Prompt;
use crate::item::{CallId, Item, Opaque};
use crate::tool::ToolSchema;

/// What a model is told of a call whose result is not in the thread.
const NO_RESULT: &str = "There is no result: the call was interrupted.";

/// What stands before a summary.
const SUMMARY: &str =
    "The conversation so far was longer than can be read at once. What was said and done, in summary:";

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// The person, and results of calls.
    User,
    /// The model.
    Assistant,
}

/// One piece that is told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told<'a> {
    /// What the person said, or a summary.
    Prompt(String),
    /// What the model said.
    Said(&'a str),
    /// What the provider wants back.
    Opaque(&'a Value),
    /// What the model asked for.
    Call { call: &'a CallId, tool: &'a str, arguments: &'a str },
    /// What it came to.
    Result { call: &'a CallId, tool: &'a str, text: &'a str },
}

impl Told<'_> {
    pub(crate) fn who(&self) -> Who {
        match self {
            Self::Prompt(_) | Self::Result { .. } => Who::User,
            Self::Said(_) | Self::Opaque(_) | Self::Call { .. } => Who::Assistant,
        }
    }
}

/// What `provider` is told of `items`, in order.
pub(crate) fn pieces<'a>(items: &'a [Item], provider: &str) -> Vec<Told<'a>> {
    let mut told = Vec::with_capacity(items.len());
    let mut open: Vec<(&CallId, &str)> = Vec::new();
    let mut seen = BTreeSet::new();
    for item in items {
        match item {
            Item::ToolResult { call, outcome } => {
                if let Some(at) = open.iter().position(|(waiting, _)| *waiting == call) {
                    let (call, tool) = open.remove(at);
                    told.push(Told::Result { call, tool, text: &outcome.told });
                }
                continue;
            }
            Item::ToolCall { call, tool, arguments } => {
                if seen.insert(call) {
                    told.push(Told::Call { call, tool, arguments });
                    open.push((call, tool));
                }
                continue;
            }
            Item::Reasoning { opaque: Some(Opaque { provider: whose, value }), .. } if whose == provider => {
                told.push(Told::Opaque(value));
                continue;
            }
            Item::Reasoning { .. } | Item::Error { .. } => continue,
            Item::UserMessage { .. } | Item::Compaction { .. } => told.extend(close(&mut open)),
            Item::AgentMessage { .. } => {}
        }
        match item {
            Item::UserMessage { text } => told.push(Told::Prompt(text.clone())),
            Item::Compaction { summary } => told.push(Told::Prompt(format!("{SUMMARY}\n\n{summary}"))),
            Item::AgentMessage { text } => told.push(Told::Said(text)),
            _ => {}
        }
    }
    told.extend(close(&mut open));
    told
}

fn close<'a>(open: &mut Vec<(&'a CallId, &'a str)>) -> Vec<Told<'a>> {
    open.drain(..).map(|(call, tool)| Told::Result { call, tool, text: NO_RESULT }).collect()
}

/// Pieces by who speaks: providers want one message after the other, from one and then the other.
pub(crate) fn messages<'a>(pieces: &'a [Told<'a>]) -> impl Iterator<Item = (Who, &'a [Told<'a>])> {
    pieces.chunk_by(|a, b| a.who() == b.who()).filter_map(|chunk| Some((chunk.first()?.who(), chunk)))
}

/// The messages of chat completions, and of who speaks like them: the instructions first; each piece of the person's is a message, and
/// all that the model said at once is one.
pub(crate) fn dialogue(
    prompt: &Prompt<'_>,
    provider: &str,
    user: fn(&Told<'_>) -> Option<Value>,
    assistant: fn(&[Told<'_>]) -> Value,
) -> Vec<Value> {
    let mut told = vec![json!({ "role": "system", "content": prompt.instructions })];
    let pieces = pieces(prompt.items, provider);
    for (who, pieces) in messages(&pieces) {
        match who {
            Who::User => told.extend(pieces.iter().filter_map(user)),
            Who::Assistant => told.push(assistant(pieces)),
        }
    }
    told
}

/// A tool, as chat completions and who speaks like them are told of it.
pub(crate) fn function(tool: &ToolSchema) -> Value {
    let ToolSchema { name, description, parameters } = tool;
    json!({ "type": "function", "function": { "name": name, "description": description, "parameters": parameters } })
}

/// Messages of blocks, as Anthropic's Messages and Converse have them.
pub(crate) fn blocks(
    prompt: &Prompt<'_>,
    provider: &str,
    block: fn(&Told<'_>) -> Option<Value>,
) -> Vec<Value> {
    let pieces = pieces(prompt.items, provider);
    let told = pieces.iter().filter_map(|piece| Some((piece.who(), block(piece)?)));
    let mut messages: Vec<(Who, Vec<Value>)> = Vec::new();
    // A message without blocks would not be taken, nor two of the same side one after the other: what is told as no block is left out first.
    for (who, block) in told {
        match messages.last_mut() {
            Some((last, blocks)) if *last == who => blocks.push(block),
            _ => messages.push((who, vec![block])),
        }
    }
    let message = |(who, blocks)| {
        let role = match who {
            Who::User => "user",
            Who::Assistant => "assistant",
        };
        json!({ "role": role, "content": Value::Array(blocks) })
    };
    messages.into_iter().map(message).collect()
}

/// Arguments as an object, for providers that take nothing else. What is no object is told as text.
pub(crate) fn object(arguments: &str) -> Value {
    match serde_json::from_str(arguments) {
        Ok(Value::Object(object)) => Value::Object(object),
        _ if arguments.trim().is_empty() => Value::Object(serde_json::Map::new()),
        _ => json!({ "malformed": arguments }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::ToolOutcome;

    fn call(id: &str) -> Item {
        Item::ToolCall { call: id.into(), tool: "run".to_owned(), arguments: "{}".to_owned() }
    }

    fn result(id: &str) -> Item {
        Item::ToolResult { call: id.into(), outcome: ToolOutcome::failed(format!("did {id}")) }
    }

    fn text(items: &[Item]) -> String {
        let short = |piece: &Told<'_>| match piece {
            Told::Prompt(text) => format!("?{text}"),
            Told::Said(text) => format!("!{text}"),
            Told::Opaque(value) => format!("~{value}"),
            Told::Call { call, .. } => format!("({call}"),
            Told::Result { call, text, .. } if *text == NO_RESULT => format!("{call}-)"),
            Told::Result { call, tool, .. } => format!("{call}:{tool})"),
        };
        pieces(items, "p").iter().map(short).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_call_has_its_result_and_every_result_its_call() {
        let user = |text: &str| Item::UserMessage { text: text.to_owned() };
        let cases = [
            (vec![user("a"), call("1"), call("2"), result("2"), result("1")], "?a (1 (2 2:run) 1:run)"),
            (vec![call("1"), call("2"), result("2"), user("b")], "(1 (2 2:run) 1-) ?b"),
            (vec![call("1")], "(1 1-)"),
            (vec![result("9"), user("b")], "?b"),
            (vec![call("1"), call("1"), result("1"), result("1")], "(1 1:run)"),
        ];
        for (items, expect) in cases {
            assert_eq!(text(&items), expect);
        }
    }

    #[test]
    fn only_its_own_words_go_back_to_a_provider() {
        let reasoning = |provider: &str| Item::Reasoning {
            text: "t".to_owned(),
            opaque: Some(Opaque { provider: provider.to_owned(), value: Value::from(7) }),
        };
        assert_eq!(text(&[reasoning("q"), reasoning("p")]), "~7");
    }

    #[test]
    fn arguments_that_are_no_object_are_told_as_text() {
        assert_eq!(object("{\"a\":1}"), serde_json::json!({"a": 1}));
        assert_eq!(object(""), serde_json::json!({}));
        assert_eq!(object("[1"), serde_json::json!({"malformed": "[1"}));
        assert_eq!(object("[1]"), serde_json::json!({"malformed": "[1]"}));
    }
}
