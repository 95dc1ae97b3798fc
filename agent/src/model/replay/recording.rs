//! Recordings as files: reading them, finding the answer that is next.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::{Event, Stop};
use crate::item::{Item, Usage};

/// The longest recording that is read, in bytes: a long session with its results is below a tenth of it.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// How much of a result is shown where another was expected, in characters.
const SHOWN_CHARS_MAX: usize = 300;

/// Why a recording does not go on.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file cannot be read.
    #[error("the recording {} cannot be read: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is too long to be one.
    #[error("the recording {} is longer than {limit} bytes", .path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// A line is none of a recording.
    #[error("{}:{line}: no line of a recording: {source}", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// The last answer has no `done`.
    #[error("the recording {} ends within an answer", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// There is no further answer.
    #[error("the recording is over after {answers} answers")]
    Over {
        /// How many there were.
        answers: usize,
    },
    /// The conversation is not the one that was recorded.
    #[error("the recording expects a result that contains {expected:?}, and the model was told {told:?}")]
    Diverged {
        /// What was expected.
        expected: String,
        /// What the last result was.
        told: String,
    },
}

/// One line.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    Text { text: String },
    Reasoning { text: String },
    Item { item: Item },
    Usage { usage: Usage },
    Done {},
    Expect { contains: String },
    Thread { asked: String },
}

#[derive(Debug, Default)]
struct Answer {
    expects: Vec<String>,
    events: Vec<Event>,
    /// Items in it.
    items: usize,
}

impl Answer {
    fn is_empty(&self) -> bool {
        self.events.is_empty() && self.expects.is_empty()
    }
}

/// What one thread is answered.
#[derive(Debug, Default)]
struct Part {
    /// What its first message contains; the first part is of every thread that no other is of.
    asked: String,
    answers: Vec<Answer>,
}

/// A recorded session.
#[derive(Debug)]
pub struct Recorded {
    first: Part,
    /// Of helpers.
    others: Vec<Part>,
}

impl Recorded {
    /// Reads a file.
    ///
    /// # Errors
    /// Where it cannot be read, is too long, or is no recording.
    pub fn read(path: &Path) -> Result<Self, ReplayError> {
        let failed = |source| ReplayError::File { path: path.to_owned(), source };
        if std::fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
            return Err(ReplayError::TooLong { path: path.to_owned(), limit: FILE_BYTES_MAX });
        }
        Self::parse(&std::fs::read_to_string(path).map_err(failed)?, path)
    }

    /// Reads the text of a recording; `path` is for messages.
    ///
    /// # Errors
    /// Where a line is none, or the last answer is not ended.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ReplayError> {
        let mut recorded = Self { first: Part::default(), others: Vec::new() };
        let mut open = Answer::default();
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let line = serde_json::from_str(line).map_err(|source| ReplayError::Line {
                path: path.to_owned(),
                line: at + 1,
                source,
            })?;
            match line {
                Line::Thread { .. } if !open.is_empty() => {
                    return Err(ReplayError::Open { path: path.to_owned() });
                }
                Line::Thread { asked } => recorded.others.push(Part { asked, answers: Vec::new() }),
                Line::Expect { contains } => open.expects.push(contains),
                Line::Text { text } => open.events.push(Event::Text(text)),
                Line::Reasoning { text } => open.events.push(Event::Reasoning(text)),
                Line::Usage { usage } => open.events.push(Event::Usage(usage)),
                Line::Item { item } => {
                    open.items += 1;
                    open.events.push(Event::Item(item));
                }
                Line::Done {} => {
                    open.events.push(Event::Done { stop: Stop::End });
                    let part = recorded.others.last_mut().unwrap_or(&mut recorded.first);
                    part.answers.push(std::mem::take(&mut open));
                }
            }
        }
        if open.is_empty() { Ok(recorded) } else { Err(ReplayError::Open { path: path.to_owned() }) }
    }

    /// What the thread of a conversation is answered.
    fn part(&self, items: &[Item]) -> &Part {
        let asked = items.iter().find_map(|item| match item {
            Item::UserMessage { text } => Some(text.as_str()),
            _ => None,
        });
        let of = |part: &&Part| asked.is_some_and(|asked| asked.contains(&part.asked));
        self.others.iter().find(of).unwrap_or(&self.first)
    }

    /// The answer that is next after `items`.
    ///
    /// # Errors
    /// Where there is none, or the conversation differs.
    pub(super) fn answer(&self, items: &[Item]) -> Result<&[Event], ReplayError> {
        let mut given = items.iter().filter(|item| is_of_model(item)).count();
        let answers = &self.part(items).answers;
        let next = answers.iter().find(|answer| {
            let is_next = given == 0;
            given = given.saturating_sub(answer.items.max(1));
            is_next
        });
        let answer = next.ok_or(ReplayError::Over { answers: answers.len() })?;
        // Calls at once are told in the order in which they end.
        let since = items.iter().rposition(is_of_model).map_or(0, |at| at + 1);
        let told: Vec<&str> = items.iter().skip(since).filter_map(result).collect();
        let told = told.join("\n");
        if let Some(expected) = answer.expects.iter().find(|expected| !told.contains(expected.as_str())) {
            let told = told.chars().take(SHOWN_CHARS_MAX).collect();
            return Err(ReplayError::Diverged { expected: expected.clone(), told });
        }
        Ok(&answer.events)
    }
}

fn is_of_model(item: &Item) -> bool {
    matches!(item, Item::AgentMessage { .. } | Item::Reasoning { .. } | Item::ToolCall { .. })
}

fn result(item: &Item) -> Option<&str> {
    match item {
        Item::ToolResult { outcome, .. } => Some(&outcome.told),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::ToolOutcome;

    const SESSION: &str = r#"
{"type":"text","text":"I look"}
{"type":"item","item":{"type":"agent_message","text":"I look"}}
{"type":"item","item":{"type":"tool_call","call":"c1","tool":"run","arguments":"{}"}}
{"type":"usage","usage":{"input":5,"output":2}}
{"type":"done"}
{"type":"expect","contains":"FAILED"}
{"type":"item","item":{"type":"agent_message","text":"it fails"}}
{"type":"done"}
"#;

    fn recorded(text: &str) -> Result<Recorded, String> {
        Recorded::parse(text, Path::new("r.jsonl")).map_err(|error| error.to_string())
    }

    fn conversation(told: &str) -> Vec<Item> {
        vec![
            Item::UserMessage { text: "go".to_owned() },
            Item::AgentMessage { text: "I look".to_owned() },
            Item::ToolCall { call: "c1".into(), tool: "run".to_owned(), arguments: "{}".to_owned() },
            Item::ToolResult { call: "c1".into(), outcome: ToolOutcome::failed(told) },
        ]
    }

    #[test]
    fn the_conversation_says_which_answer_is_next() {
        let recorded = recorded(SESSION).unwrap();
        assert_eq!(recorded.answer(&conversation("")[..1]).unwrap().len(), 5);
        let second = recorded.answer(&conversation("1 FAILED")).unwrap();
        assert_eq!(second[0], Event::Item(Item::AgentMessage { text: "it fails".to_owned() }));
    }

    #[test]
    fn helpers_have_answers_of_their_own() {
        let part = |text: &str| format!("{{\"type\":\"text\",\"text\":\"{text}\"}}\n{{\"type\":\"done\"}}\n");
        let thread = |asked: &str| format!("{{\"type\":\"thread\",\"asked\":\"{asked}\"}}\n");
        let text = [part("first"), thread("count"), part("one"), thread("sort"), part("two")].concat();
        let recorded = recorded(&text).unwrap();
        for (asked, expect) in [("go", "first"), ("count them", "one"), ("sort them", "two")] {
            let items = [Item::UserMessage { text: asked.to_owned() }];
            assert_eq!(recorded.answer(&items).unwrap()[0], Event::Text(expect.to_owned()), "{asked}");
        }
    }

    #[test]
    fn what_differs_is_an_error() {
        let recorded = recorded(SESSION).unwrap();
        assert!(matches!(recorded.answer(&conversation("passed")), Err(ReplayError::Diverged { .. })));
        let mut over = conversation("FAILED");
        over.push(Item::AgentMessage { text: "it fails".to_owned() });
        assert!(matches!(recorded.answer(&over), Err(ReplayError::Over { answers: 2 })));
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        let cases = [
            ("{\"type\":\"text\"}", "r.jsonl:1"),
            ("\n{\"type\":\"sing\"}", "r.jsonl:2"),
            ("{\"type\":\"text\",\"text\":\"a\"}", "ends within an answer"),
            ("{\"type\":\"done\",\"more\":1}", "r.jsonl:1"),
        ];
        for (text, expect) in cases {
            let error = recorded(text).expect_err(text);
            assert!(error.contains(expect), "{text}: {error}");
        }
    }
}
