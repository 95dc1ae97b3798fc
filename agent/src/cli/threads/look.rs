//! `weir threads list`, `show`, `turns` and `path`.

use std::fmt::Write;

use clap::Args;
use serde_json::json;

use super::super::table::table;
use super::super::{Exit, output, standpoint};
use super::{One, OrderWord, ThreadsError, line};
use crate::item::{Did, Item};
use crate::thread::{
    Archived, Cursor, Filter, ListCursor, Listing, Makers, Order, Page, Sort, Store, Summary, ThreadId, Turn,
    TurnStatus,
};

/// Letters of a thread's title in the table.
const TITLE_LETTERS: usize = 60;

/// Lines of one message that are shown.
const MESSAGE_LINES: usize = 12;

/// Options of `weir threads list`.
#[derive(Debug, Args)]
pub(in super::super) struct ListOptions {
    /// Those of the working directory alone
    #[arg(long)]
    here: bool,
    /// Those that were put away, in place of the others
    #[arg(long)]
    archived: bool,
    /// Those with TEXT in their name or first message
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Those that another thread gave their work to as well
    #[arg(long)]
    all: bool,
    /// In the order of their making, in place of their last change
    #[arg(long)]
    by_creation: bool,
    /// Most threads of one page
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Go on where an earlier page ended
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Options of `weir threads turns`.
#[derive(Debug, Args)]
pub(in super::super) struct TurnsOptions {
    #[command(flatten)]
    one: One,
    /// Which turns come first
    #[arg(long, value_enum, default_value = "latest-first")]
    order: OrderWord,
    /// Most turns of one page
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=100))]
    limit: u64,
    /// Go on where an earlier page ended
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

pub(super) fn list(store: &Store, options: &ListOptions) -> Result<Exit, ThreadsError> {
    let cwd = options.here.then(standpoint::here).transpose()?;
    let filter = Filter {
        archived: if options.archived { Archived::Yes } else { Archived::No },
        cwd: cwd.map(|cwd| cwd.display().into_owned()),
        search: options.search.clone(),
        makers: if options.all { Makers::All } else { Makers::People },
        sort: if options.by_creation { Sort::Created } else { Sort::Updated },
    };
    let cursor: Option<ListCursor> = options.cursor.as_deref().map(str::parse).transpose()?;
    let listing = store.list(&filter, cursor.as_ref(), options.limit)?;
    Ok(if options.json { output::json(&listing) } else { output::text(&list_text(&listing)) })
}

fn list_text(Listing { threads, next }: &Listing) -> String {
    let rows = threads.iter().map(|thread| {
        [
            thread.thread.to_string(),
            thread.updated.get(..16).unwrap_or(&thread.updated).replace('T', " "),
            thread.turns.to_string(),
            line(&thread.model),
            thread.cwd.display().into_owned(),
            title(thread),
        ]
    });
    let mut text = table(["THREAD", "UPDATED (UTC)", "TURNS", "MODEL", "DIRECTORY", "ABOUT"], rows);
    if let Some(next) = next {
        let _ = writeln!(text, "There are more: --cursor {next}");
    }
    text
}

fn title(thread: &Summary) -> String {
    let text = thread.name.as_deref().or(thread.preview.as_deref()).unwrap_or("");
    line(&text.chars().take(TITLE_LETTERS).collect::<String>())
}

pub(super) fn show(store: &Store, one: &One) -> Result<Exit, ThreadsError> {
    let summary = store.show(store.find(&one.thread)?)?;
    Ok(if one.json { output::json(&summary) } else { output::text(&summary_text(&summary)) })
}

fn summary_text(thread: &Summary) -> String {
    let usage = &thread.usage;
    let tokens = format!("{} in ({} cached), {} out", usage.input, usage.cached_input, usage.output);
    let forked = thread.forked_from.map(|from: ThreadId| from.to_string());
    let damage = (thread.damaged > 0)
        .then(|| format!("{} lines; `weir threads check {}` shows them", thread.damaged, thread.thread));
    let known = [
        ("thread", Some(thread.thread.to_string())),
        ("name", thread.name.as_deref().map(line)),
        ("about", thread.preview.as_deref().map(line)),
        ("directory", Some(thread.cwd.display().into_owned())),
        ("model", Some(format!("{} ({})", line(&thread.model), line(&thread.provider)))),
        ("profile", thread.profile.as_deref().map(line)),
        ("made", Some(format!("{} by {}", thread.created, thread.source))),
        ("updated", Some(thread.updated.clone())),
        ("turns", Some(thread.turns.to_string())),
        ("tokens", Some(tokens)),
        ("forked from", forked),
        ("delegated by", thread.delegated_by.map(|by| by.to_string())),
        ("archived", thread.archived.then(|| "yes".to_owned())),
        ("damaged", damage),
        ("file", Some(thread.path.display().to_string())),
    ];
    let lines = known.into_iter().filter_map(|(what, value)| Some(format!("{what:<12} {}\n", value?)));
    lines.collect()
}

pub(super) fn turns(store: &Store, options: &TurnsOptions) -> Result<Exit, ThreadsError> {
    let order = match options.order {
        OrderWord::LatestFirst => Order::Descending,
        OrderWord::OldestFirst => Order::Ascending,
    };
    let cursor: Option<Cursor> = options.cursor.as_deref().map(str::parse).transpose()?;
    let page = store.turns(store.find(&options.one.thread)?, cursor, options.limit, order)?;
    Ok(if options.one.json { output::json(&page) } else { output::text(&page_text(&page)) })
}

fn page_text(Page { turns, next, .. }: &Page) -> String {
    let mut text: String = turns.iter().map(turn_text).collect();
    if let Some(next) = next {
        let _ = writeln!(text, "There are more: --cursor {next}");
    }
    text
}

fn turn_text(turn: &Turn) -> String {
    let status = match &turn.status {
        TurnStatus::Open => "not ended".to_owned(),
        TurnStatus::Completed => "completed".to_owned(),
        TurnStatus::Interrupted => "interrupted".to_owned(),
        TurnStatus::Failed { message } => format!("failed: {}", line(message)),
    };
    let mut text = format!("== turn {} · {} · {} · {status}\n", turn.number, turn.turn, turn.started);
    for item in &turn.items {
        let (who, said) = item_text(&item.item);
        let lines: Vec<&str> = said.lines().collect();
        for (number, said) in lines.iter().take(MESSAGE_LINES).enumerate() {
            let _ = writeln!(text, "{:<8} {}", if number == 0 { who } else { "" }, line(said));
        }
        if lines.len() > MESSAGE_LINES {
            let _ = writeln!(text, "{:<8} … {} more lines", "", lines.len() - MESSAGE_LINES);
        }
    }
    text.push('\n');
    text
}

/// Who, and what: for people.
fn item_text(item: &Item) -> (&'static str, String) {
    match item {
        Item::UserMessage { text } => ("you", text.clone()),
        Item::AgentMessage { text } => ("agent", text.clone()),
        Item::Reasoning { text, .. } => ("thinks", text.clone()),
        Item::ToolCall { tool, arguments, .. } => ("calls", format!("{tool} {arguments}")),
        Item::ToolResult { outcome, .. } => match &outcome.did {
            Did::Failed { reason } => ("failed", reason.clone()),
            _ => ("result", outcome.told.clone()),
        },
        Item::Compaction { summary } => ("summary", summary.clone()),
        Item::Error { message } => ("error", message.clone()),
    }
}

pub(super) fn path(store: &Store, one: &One) -> Result<Exit, ThreadsError> {
    let path = store.path(store.find(&one.thread)?)?;
    Ok(if one.json {
        output::json(&json!({ "path": path }))
    } else {
        output::text(&format!("{}\n", path.display()))
    })
}
