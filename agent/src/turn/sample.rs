//! One request to a model: again where that is worth it, with what came so far.

use std::cell::RefCell;
use std::time::Duration;

use futures_util::StreamExt;

use super::machine::Answer;
use super::{Seen, Watch};
use crate::item::{Item, Usage};
use crate::model::{Backoff, Came, Event, ModelError, Prompt, Provider, Stop};

/// What the model has said in an answer that is not complete.
#[derive(Default)]
pub(super) struct Partial {
    /// Its messages that are.
    messages: RefCell<Vec<Item>>,
    /// What it has written of the next one.
    text: RefCell<String>,
}

impl Partial {
    /// Its messages; the last one may be the beginning of one.
    pub(super) fn take(&self) -> Vec<Item> {
        let (mut messages, text) = (self.messages.take(), self.text.take());
        if !text.is_empty() {
            messages.push(Item::AgentMessage { text });
        }
        messages
    }
}

/// Asks until there is a whole answer, or no sense in asking again. Nothing of an attempt that failed is kept.
pub(super) async fn sample(
    provider: &dyn Provider,
    prompt: &Prompt<'_>,
    watch: &dyn Watch,
    partial: &Partial,
) -> Result<Answer, ModelError> {
    let mut backoff = Backoff::new(provider.retries());
    let mut attempt = 0_u32;
    loop {
        let mut came = Came::Nothing;
        let error = match once(provider, prompt, watch, partial, &mut came).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let Some(pause) = backoff.pause(&error, came) else { return Err(error) };
        attempt += 1;
        drop(partial.take());
        watch.see(Seen::Again { attempt, pause, error: &error });
        wait(pause).await;
    }
}

/// A pause before the provider is asked again: it is for the provider's sake, and no event ends it but the turn's end.
async fn wait(pause: Duration) {
    let _ = tokio::time::timeout(pause, std::future::pending::<()>()).await;
}

async fn once(
    provider: &dyn Provider,
    prompt: &Prompt<'_>,
    watch: &dyn Watch,
    partial: &Partial,
    came: &mut Came,
) -> Result<Answer, ModelError> {
    let mut events = provider.respond(prompt).await?;
    let mut answer = Answer { items: Vec::new(), usage: Usage::default(), stop: Stop::End };
    while let Some(event) = events.next().await {
        let event = event?;
        // An answer that is there already is no reason to hear and to show nothing before its end.
        tokio::task::consume_budget().await;
        *came = Came::Something;
        match event {
            Event::Text(text) => {
                watch.see(Seen::Text(&text));
                partial.text.borrow_mut().push_str(&text);
            }
            Event::Reasoning(text) => watch.see(Seen::Reasoning(&text)),
            Event::Item(item) => {
                if matches!(item, Item::AgentMessage { .. }) {
                    partial.text.borrow_mut().clear();
                    partial.messages.borrow_mut().push(item.clone());
                }
                answer.items.push(item);
            }
            Event::Usage(usage) => answer.usage = usage,
            Event::Done { stop } => {
                answer.stop = stop;
                return Ok(answer);
            }
        }
    }
    Err(ModelError::CutShort)
}
