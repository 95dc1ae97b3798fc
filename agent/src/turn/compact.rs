//! Summarizing a conversation that its model can no longer read: the model itself does it, with what it can still read.

use super::Watch;
use super::machine::Answer;
use super::sample::{Partial, sample};
use crate::item::{Item, Usage};
use crate::model::{ModelError, Prompt, Provider, Stop};

/// What the model is asked. The tools stay offered, since providers refuse a conversation with calls that has none.
const REQUEST: &str = "\
The conversation has grown longer than you can read. Call no tool now. Write a summary from which you can go on alone, for you will see \
nothing else of what was before. State: what the person wants, in their words where they matter; what was decided and why; what has \
been done, with the names of files, commands and their results; what failed and what was refused; what is under way, with the numbers \
of processes that still run; and what is to be done next.";

/// What is added where a summary reached the provider's limit of output: one that is cut off is none.
const SHORTER: &str = "\
\n\nA summary that you began before was cut off, since it was too long. Write one of 400 words at most.";

/// How much of the person's last message is kept word for word, in characters.
const LAST_CHARS_MAX: usize = 16_000;

/// How often the older half is left out where even the summary cannot be asked for: after so many nothing is left.
const HALVINGS_MAX: u32 = 12;

/// A summary.
pub(super) struct Summary {
    pub(super) text: String,
    pub(super) usage: Usage,
}

/// Asks for a summary of what `prompt` tells. Deltas are not for the eye.
pub(super) async fn summary(
    provider: &dyn Provider,
    prompt: &Prompt<'_>,
    watch: &dyn Watch,
) -> Result<Summary, ModelError> {
    let mut told = prompt.items;
    let mut request = REQUEST.to_owned();
    let mut spent = Usage::default();
    for halving in 0..=HALVINGS_MAX {
        let mut items = told.to_vec();
        items.push(Item::UserMessage { text: request.clone() });
        let asked = Prompt { items: &items, output_schema: None, ..*prompt };
        match sample(provider, &asked, &Unseen(watch), &Partial::default()).await {
            Err(ModelError::ContextOverflow { .. }) if halving < HALVINGS_MAX && told.len() > 1 => {
                told = told.get(told.len() / 2..).unwrap_or_default();
            }
            Err(error) => return Err(error),
            Ok(Answer { usage, stop: Stop::Length, .. }) if request == REQUEST => {
                spent += usage;
                request.push_str(SHORTER);
            }
            Ok(Answer { items, usage, stop: Stop::End }) => {
                let text = text(&items, prompt.items).ok_or(ModelError::NoSummary { stop: Stop::End })?;
                return Ok(Summary { text, usage: spent + usage });
            }
            // What a model says in place of a summary must not become all that is known of the conversation.
            Ok(Answer { stop, .. }) => return Err(ModelError::NoSummary { stop }),
        }
    }
    Err(ModelError::NoSummary { stop: Stop::End })
}

/// The summary with the person's last message; none where the model wrote nothing.
fn text(answer: &[Item], before: &[Item]) -> Option<String> {
    let said = answer.iter().filter_map(|item| match item {
        Item::AgentMessage { text } => Some(text.as_str()),
        _ => None,
    });
    let summary = said.collect::<Vec<_>>().join("\n\n");
    if summary.trim().is_empty() {
        return None;
    }
    let last = before.iter().rev().find_map(|item| match item {
        Item::UserMessage { text } => Some(word_for_word(text)),
        _ => None,
    });
    Some(match last {
        Some(last) => format!("{summary}\n\n{last}"),
        None => summary,
    })
}

/// The person's last message, which no summary may lose; where it is too long, its beginning, and that it is no more.
fn word_for_word(text: &str) -> String {
    match text.char_indices().nth(LAST_CHARS_MAX) {
        None => format!("The person's last message, word for word:\n\n{text}"),
        Some((end, _)) => format!(
            "The beginning of the person's last message, word for word; {} more characters are left out:\n\n{}",
            text.get(end..).unwrap_or_default().chars().count(),
            text.get(..end).unwrap_or_default()
        ),
    }
}

/// Lets through what is not of the answer itself.
struct Unseen<'a>(&'a dyn Watch);

impl Watch for Unseen<'_> {
    fn see(&self, seen: super::Seen<'_>) {
        if let super::Seen::Again { .. } = seen {
            self.0.see(seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_cut_is_said_to_be() {
        let short = "é".repeat(LAST_CHARS_MAX);
        let expect = format!("The person's last message, word for word:\n\n{short}");
        assert!(word_for_word(&short) == expect);
        let told = word_for_word(&format!("{short}more"));
        assert!(told.starts_with("The beginning of the person's last message") && told.ends_with(&short));
        assert!(told.contains("; 4 more characters are left out:"));
    }
}
