//! Carrying out the calls of one answer, at once where the model asks for several.

use std::cell::{Cell, OnceCell};
use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::{Instant, timeout};

use super::machine::{Happened, Machine};
use super::{Awaited, Call, Running, Seen, Tools, interrupted};
use crate::item::{CallId, Did, Item, ToolOutcome};
use crate::thread::{ItemId, ThreadError};
use crate::tool::capture::shortened;
use crate::tool::{GIVEN_UP, Observer, Progress, ToolSchema};

/// Calls that are carried out at once; further ones wait.
const AT_ONCE: usize = 16;

/// Bytes of a result that the model is told, and of the reason why there is none: with each byte escaped, and both in one record, it is no
/// longer than a record may be. A tool that tells much has a bound of its own below it.
const TOLD_BYTES: usize = 5 << 18;

/// How a call is called that its provider has given no id.
const NAMELESS: &str = "call";

/// How often the person is told what an interrupted turn still waits for.
const STILL: Duration = Duration::from_secs(5);

/// A call that was made.
struct Begun {
    id: ItemId,
    call: Call,
    /// What it has started.
    started: OnceCell<Awaited>,
    is_over: Cell<bool>,
}

impl Begun {
    fn note(&self, progress: &Progress<'_>) {
        // What a call has started stays what it is.
        let _ = match progress {
            Progress::Started { process, argv } => {
                self.started.set(Awaited::Command { process: *process, argv: argv.to_vec() })
            }
            Progress::Delegated { thread, .. } => self.started.set(Awaited::Helper { thread: *thread }),
            Progress::Output(_) => Ok(()),
        };
    }
}

impl Running<'_> {
    /// Carries out calls; each result is kept when it is there. On a word each comes to an end of its own, and that is waited for however
    /// long it takes: who does not wait drops the turn.
    pub(super) async fn call(
        &mut self,
        calls: Vec<Call>,
        machine: &mut Machine,
    ) -> Result<Happened, ThreadError> {
        let begun: Vec<_> = calls.into_iter().map(|call| self.begin(call)).collect();
        let (turn, schemas) = (self.turn, std::mem::take(&mut self.schemas));
        let since = Cell::new(None);
        let each = begun.iter().map(|begun| {
            let (schemas, since) = (&schemas, &since);
            async move {
                // One whose turn came when the turn was over is not begun.
                if since.get().is_some() {
                    return (begun, ToolOutcome::failed(GIVEN_UP));
                }
                let progress = |progress: Progress<'_>| {
                    begun.note(&progress);
                    turn.watch.see(Seen::CallProgress { id: begun.id, progress });
                };
                (begun, carry_out(turn.tools, schemas, &begun.call, &progress).await)
            }
        });
        let mut results = stream::iter(each).buffer_unordered(AT_ONCE);
        loop {
            let next = tokio::select! {
                biased;
                () = interrupted(self.words, machine), if since.get().is_none() => {
                    since.set(Some(Instant::now()));
                    turn.tools.interrupt();
                    self.tell_awaited(&begun, Duration::ZERO);
                    continue;
                }
                next = timeout(STILL, results.next()) => next,
            };
            match (next, since.get()) {
                (Ok(Some((begun, outcome))), _) => self.result(begun, outcome)?,
                (Ok(None), _) => break,
                (Err(_), Some(since)) => self.tell_awaited(&begun, since.elapsed()),
                (Err(_), None) => {}
            }
        }
        drop(results);
        self.schemas = schemas;
        let interrupted = || Happened::Interrupted { said: Vec::new() };
        Ok(since.get().map_or(Happened::Called, |_| interrupted()))
    }

    fn begin(&self, call: Call) -> Begun {
        let id = ItemId::new();
        self.turn.watch.see(Seen::CallStarted { id, call: &call });
        Begun { id, call, started: OnceCell::new(), is_over: Cell::new(false) }
    }

    fn result(&mut self, begun: &Begun, outcome: ToolOutcome) -> Result<(), ThreadError> {
        begun.is_over.set(true);
        let outcome = fitting(outcome);
        self.turn.watch.see(Seen::CallEnded { id: begun.id, call: &begun.call, outcome: &outcome });
        if let Did::Delegated { usage, .. } = outcome.did {
            self.count(usage)?;
        }
        self.conversation.keep(self.id, begun.id, Item::ToolResult { call: begun.call.id.clone(), outcome })
    }

    /// Tells what an interrupted turn waits for.
    fn tell_awaited(&self, begun: &[Begun], since: Duration) {
        let open = begun.iter().filter(|begun| !begun.is_over.get());
        let awaited: Vec<_> = open.filter_map(|begun| begun.started.get()).collect();
        self.turn.watch.see(Seen::Interrupting { awaited: &awaited, since });
    }
}

/// Gives calls of an answer another id where theirs is empty, or is that of a call before: some servers number them anew in each answer,
/// and a result belongs to one call.
pub(super) fn tell_apart(answer: &mut [Item], before: &BTreeSet<CallId>) {
    let mut here = BTreeSet::new();
    for item in answer {
        let Item::ToolCall { call, .. } = item else { continue };
        let is_taken = |id: &CallId| before.contains(id) || here.contains(id);
        if call.0.is_empty() || is_taken(call) {
            let stem = if call.0.is_empty() { NAMELESS } else { &call.0 };
            let next = (2_u64..).map(|number| CallId(format!("{stem}-{number}"))).find(|id| !is_taken(id));
            *call = next.unwrap_or_else(|| call.clone());
        }
        here.insert(call.clone());
    }
}

/// The same, no longer than a record can keep.
fn fitting(outcome: ToolOutcome) -> ToolOutcome {
    let ToolOutcome { told, did } = outcome;
    let did = match did {
        Did::Failed { reason } => Did::Failed { reason: shortened(reason, TOLD_BYTES) },
        did => did,
    };
    ToolOutcome { told: shortened(told, TOLD_BYTES), did }
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
