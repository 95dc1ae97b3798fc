//! A turn whose agent went away without a word: its calls get their results, and it gets its end, before the thread goes on.

use std::collections::BTreeMap;

use crate::item::{CallId, Item};
use crate::thread::{ItemId, Order, Record, Said, Thread, ThreadError, TurnEnded, TurnStatus};
use crate::tool::Tools;

/// Completes a thread's last turn, where that has not ended. What there is to say of it.
pub(super) async fn complete(thread: &mut Thread, tools: &Tools) -> Result<Option<String>, ThreadError> {
    let Some(turn) = thread.unfinished() else { return Ok(None) };
    let page = thread.turns(None, 1, Order::Descending)?;
    let items = page.turns.into_iter().filter(|last| last.turn == turn).flat_map(|last| last.items);
    let mut results = 0;
    for (call, (tool, arguments)) in open(items.map(|item| item.item)) {
        let outcome = tools.left(turn, &call, &tool, &arguments).await;
        results += 1;
        thread.append(Record::Item(Said {
            turn,
            id: ItemId::new(),
            item: Item::ToolResult { call, outcome },
        }))?;
    }
    thread.append(Record::TurnEnded(TurnEnded { turn, status: TurnStatus::Interrupted }))?;
    Ok(Some(format!("the last turn had not ended: its agent went away; {results} calls were completed")))
}

/// Calls without a result.
fn open(items: impl Iterator<Item = Item>) -> BTreeMap<CallId, (String, String)> {
    let mut open = BTreeMap::new();
    for item in items {
        match item {
            Item::ToolCall { call, tool, arguments } => drop(open.insert(call, (tool, arguments))),
            Item::ToolResult { call, .. } => drop(open.remove(&call)),
            _ => {}
        }
    }
    open
}
