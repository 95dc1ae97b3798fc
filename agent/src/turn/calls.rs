//! Carrying out the calls of one answer, at once where the model asks for several.

use std::cell::RefCell;
use std::collections::VecDeque;

use futures_util::{StreamExt, stream};
use weir_protocol::method::process::{End, ProcessId};

use super::machine::{Happened, Machine};
use super::{Call, Running, Seen, Tools, interrupted};
use crate::item::{CommandStatus, Did, Item, ToolOutcome};
use crate::thread::{ItemId, ThreadError};
use crate::tool::{Observer, Progress, ToolSchema};

/// Calls that are carried out at once; further ones wait.
const AT_ONCE: usize = 16;

/// How much of an interrupted command's output is told, in bytes.
const TAIL_BYTES_MAX: usize = 4 << 10;

/// A call that has begun, and what is known of it should it be interrupted.
struct Begun {
    id: ItemId,
    call: Call,
    command: RefCell<Option<(ProcessId, Vec<String>)>>,
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
        }
    }

    /// What an interrupted call came to.
    fn interrupted(&self) -> ToolOutcome {
        const TOLD: &str = "Interrupted by the person before it was over.";
        let Some((process, argv)) = self.command.take() else { return ToolOutcome::failed(TOLD) };
        let tail: Vec<u8> = self.tail.take().into();
        let did = Did::Command {
            process: Some(process),
            argv,
            status: CommandStatus::Ended { end: End::Cancelled },
            output_tail: String::from_utf8_lossy(&tail).into_owned(),
            streams: Vec::new(),
            denials: Vec::new(),
        };
        ToolOutcome { told: format!("{TOLD} The command was ended."), did }
    }
}

impl Running<'_> {
    /// Carries out calls; each result is kept when it is there. On a word they are ended, and have a result all the same.
    pub(super) async fn call(
        &mut self,
        calls: Vec<Call>,
        machine: &mut Machine,
    ) -> Result<Happened, ThreadError> {
        let begun: Vec<_> = calls.into_iter().map(|call| self.begin(call)).collect();
        let mut open: Vec<_> = (0..begun.len()).collect();
        let (turn, schemas) = (self.turn, std::mem::take(&mut self.schemas));
        let each = begun.iter().enumerate().map(|(at, begun)| {
            let schemas = &schemas;
            async move {
                let progress = |progress: Progress<'_>| {
                    begun.note(&progress);
                    turn.watch.see(Seen::CallProgress { id: begun.id, progress });
                };
                (at, carry_out(turn.tools, schemas, &begun.call, &progress).await)
            }
        });
        let mut results = stream::iter(each).buffer_unordered(AT_ONCE);
        let happened = loop {
            let next = tokio::select! {
                biased;
                () = interrupted(self.words, machine) => break Happened::Interrupted { partial: String::new() },
                next = results.next() => next,
            };
            let Some((at, outcome)) = next else { break Happened::Called };
            open.retain(|open| *open != at);
            if let Some(begun) = begun.get(at) {
                self.result(begun, outcome)?;
            }
        };
        // Ends what is under way.
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
        Begun { id, call, command: RefCell::default(), tail: RefCell::default() }
    }

    fn result(&mut self, begun: &Begun, outcome: ToolOutcome) -> Result<(), ThreadError> {
        self.turn.watch.see(Seen::CallEnded { id: begun.id, call: &begun.call, outcome: &outcome });
        self.conversation.keep(self.id, begun.id, Item::ToolResult { call: begun.call.id.clone(), outcome })
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
