//! Carrying out the calls of one answer, at once where the model asks for several.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use futures_util::{Stream, StreamExt, stream};
use tokio::task::unconstrained;
use tokio::time::{Instant, timeout_at};
use weir_protocol::method::process::{End, ProcessId};

use super::machine::{Happened, Machine};
use super::{Call, Running, Seen, Tools, interrupted};
use crate::item::{CommandStatus, Did, Item, ToolOutcome, Usage};
use crate::thread::{ItemId, ThreadError, ThreadId, TurnStatus};
use crate::tool::{GIVEN_UP, Observer, Progress, ToolSchema};

/// Calls that are carried out at once; further ones wait.
const AT_ONCE: usize = 16;

/// How much of an interrupted command's output is told, in bytes.
const TAIL_BYTES_MAX: usize = 4 << 10;

/// A call that has begun, and what is known of it should it be interrupted.
struct Begun {
    id: ItemId,
    call: Call,
    command: RefCell<Option<(ProcessId, Vec<String>)>>,
    delegated: Cell<Option<ThreadId>>,
    tail: RefCell<VecDeque<u8>>,
}

impl Begun {
    fn note(&self, progress: &Progress<'_>) {
        match progress {
            Progress::Started { process, argv } => {
                *self.command.borrow_mut() = Some((*process, argv.to_vec()));
            }
            Progress::Output(bytes) => {
                let mut tail = self.tail.borrow_mut();
                tail.extend(*bytes);
                let surplus = tail.len().saturating_sub(TAIL_BYTES_MAX);
                tail.drain(..surplus);
            }
            Progress::Delegated { thread, .. } => self.delegated.set(Some(*thread)),
        }
    }

    /// What an interrupted call came to.
    fn interrupted(&self) -> ToolOutcome {
        if let Some(thread) = self.delegated.get() {
            let did = Did::Delegated { thread, status: TurnStatus::Interrupted, usage: Usage::default() };
            return ToolOutcome { told: GIVEN_UP.to_owned(), did };
        }
        let Some((process, argv)) = self.command.take() else { return ToolOutcome::failed(GIVEN_UP) };
        let tail: Vec<u8> = self.tail.take().into();
        let did = Did::Command {
            process: Some(process),
            argv,
            status: CommandStatus::Ended { end: End::Cancelled },
            output_tail: String::from_utf8_lossy(&tail).into_owned(),
            streams: Vec::new(),
            denials: Vec::new(),
        };
        ToolOutcome { told: format!("{GIVEN_UP} The command was ended."), did }
    }
}

impl Running<'_> {
    /// Carries out calls; each result is kept when it is there. On a word they come to an end of their own for as long as the tools say;
    /// what is under way then is dropped, and has a result all the same.
    pub(super) async fn call(
        &mut self,
        calls: Vec<Call>,
        machine: &mut Machine,
    ) -> Result<Happened, ThreadError> {
        let begun: Vec<_> = calls.into_iter().map(|call| self.begin(call)).collect();
        let mut open: Vec<_> = (0..begun.len()).collect();
        let (turn, schemas) = (self.turn, std::mem::take(&mut self.schemas));
        let until = Cell::new(None);
        let each = begun.iter().enumerate().map(|(at, begun)| {
            let (schemas, until) = (&schemas, &until);
            async move {
                // One whose turn came when the turn was over is not begun.
                if until.get().is_some() {
                    return (at, begun.interrupted());
                }
                let progress = |progress: Progress<'_>| {
                    begun.note(&progress);
                    turn.watch.see(Seen::CallProgress { id: begun.id, progress });
                };
                (at, carry_out(turn.tools, schemas, &begun.call, &progress).await)
            }
        });
        let mut results = stream::iter(each).buffer_unordered(AT_ONCE);
        let mut happened = Happened::Called;
        loop {
            let next = tokio::select! {
                biased;
                () = interrupted(self.words, machine), if until.get().is_none() => {
                    turn.watch.see(Seen::Interrupting);
                    until.set(Some(Instant::now() + turn.tools.interrupt()));
                    happened = Happened::Interrupted { partial: String::new() };
                    continue;
                }
                next = next(&mut results, until.get()) => next,
            };
            let Some((at, outcome)) = next else { break };
            open.retain(|open| *open != at);
            if let Some(begun) = begun.get(at) {
                self.result(begun, outcome)?;
            }
        }
        // Ends what is still under way.
        drop(results);
        self.schemas = schemas;
        for begun in open.into_iter().filter_map(|at| begun.get(at)) {
            self.result(begun, begun.interrupted())?;
        }
        Ok(happened)
    }

    fn begin(&self, call: Call) -> Begun {
        let id = ItemId::new();
        self.turn.watch.see(Seen::CallStarted { id, call: &call });
        Begun { id, call, command: RefCell::default(), delegated: Cell::default(), tail: RefCell::default() }
    }

    fn result(&mut self, begun: &Begun, outcome: ToolOutcome) -> Result<(), ThreadError> {
        self.turn.watch.see(Seen::CallEnded { id: begun.id, call: &begun.call, outcome: &outcome });
        if let Did::Delegated { usage, .. } = outcome.did {
            self.count(usage)?;
        }
        self.conversation.keep(self.id, begun.id, Item::ToolResult { call: begun.call.id.clone(), outcome })
    }
}

/// The next result; once the turn was stopped, of those calls alone that end in time. Each is asked once more at least, whatever else
/// this task has done since it last gave way.
async fn next<T>(results: &mut (impl Stream<Item = T> + Unpin), until: Option<Instant>) -> Option<T> {
    match until {
        None => results.next().await,
        Some(until) => timeout_at(until, unconstrained(results.next())).await.ok().flatten(),
    }
}

/// One call. What cannot be one goes back to the model in words that say how to mend it.
async fn carry_out(
    tools: &dyn Tools,
    schemas: &[ToolSchema],
    call: &Call,
    observer: Observer<'_>,
) -> ToolOutcome {
    if !schemas.iter().any(|schema| schema.name == call.tool) {
        let names: Vec<_> = schemas.iter().map(|schema| schema.name).collect();
        return ToolOutcome::failed(format!(
            "There is no tool {:?}. There are: {}.",
            call.tool,
            names.join(", ")
        ));
    }
    if let Err(error) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&call.arguments) {
        return ToolOutcome::failed(format!(
            "The arguments are no JSON object ({error}). Nothing was done; call again with arguments that are."
        ));
    }
    tools.call(call, observer).await
}
