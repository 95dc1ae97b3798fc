//! `weir threads name`, `archive`, `unarchive`, `delete` and `check`.

use std::fmt::Write;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::super::{Exit, output};
use super::{One, Several, ThreadsError, all, line};
use crate::thread::{Archived, Checked, Deleted, Filter, MAX_THREADS, Store, ThreadError, ThreadId};

/// Options of `weir threads name`.
#[derive(Debug, Args)]
pub(in super::super) struct NameOptions {
    #[command(flatten)]
    one: One,
    /// The name
    #[arg(value_name = "NAME")]
    name: String,
}

/// Options of `weir threads check`.
#[derive(Debug, Args)]
pub(in super::super) struct CheckOptions {
    /// Ids, beginnings of them, or names [default: all threads, archived ones too]
    #[arg(value_name = "THREAD")]
    threads: Vec<String>,
    /// Make the index anew first
    #[arg(long)]
    rebuild: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn name(store: &Store, options: &NameOptions) -> Result<Exit, ThreadsError> {
    let thread = store.find(&options.one.thread)?;
    store.name(thread, &options.name)?;
    Ok(told(options.one.json, &json!({ "thread": thread, "name": options.name })))
}

pub(super) fn archive(store: &Store, several: &Several) -> Result<Exit, ThreadsError> {
    each(store, several, |thread| store.archive(thread))
}

pub(super) fn unarchive(store: &Store, several: &Several) -> Result<Exit, ThreadsError> {
    each(store, several, |thread| store.unarchive(thread))
}

fn each(
    store: &Store,
    several: &Several,
    act: impl Fn(ThreadId) -> Result<(), ThreadError>,
) -> Result<Exit, ThreadsError> {
    let threads = all(store, several)?;
    for thread in &threads {
        act(*thread)?;
    }
    Ok(told(several.json, &json!({ "threads": threads })))
}

pub(super) fn delete(store: &Store, several: &Several) -> Result<Exit, ThreadsError> {
    let mut deleted = Vec::new();
    for thread in all(store, several)? {
        let kept_for = match store.delete(thread)? {
            Deleted::Whole => Vec::new(),
            Deleted::Kept(forks) => forks,
        };
        if !several.json && !kept_for.is_empty() {
            let forks: Vec<String> = kept_for.iter().map(ToString::to_string).collect();
            let text = format!("{thread}: what it shares with {} is kept for them", forks.join(", "));
            output::message(&text, Exit::Success);
        }
        deleted.push(json!({ "thread": thread, "kept_for": kept_for }));
    }
    Ok(told(several.json, &json!({ "deleted": deleted })))
}

/// The result for programs; people hear nothing where all is well.
fn told(as_json: bool, result: &impl Serialize) -> Exit {
    if as_json { output::json(result) } else { Exit::Success }
}

pub(super) fn check(store: &Store, options: &CheckOptions) -> Result<Exit, ThreadsError> {
    if options.rebuild {
        store.rebuild()?;
    }
    let threads = if options.threads.is_empty() { every(store)? } else { named(store, &options.threads)? };
    let checked: Vec<Checked> =
        threads.into_iter().map(|thread| store.check(thread)).collect::<Result<_, _>>()?;
    let strays = if options.threads.is_empty() { store.strays()? } else { Vec::new() };
    let sound = strays.is_empty() && checked.iter().all(Checked::is_sound);
    let written = if options.json {
        let strays: Vec<_> =
            strays.iter().map(|(path, reason)| json!({ "path": path, "reason": reason })).collect();
        output::json(&json!({ "sound": sound, "threads": checked, "strays": strays }))
    } else {
        output::text(&check_text(&checked, &strays))
    };
    Ok(if written == Exit::Success && !sound { Exit::No } else { written })
}

fn named(store: &Store, threads: &[String]) -> Result<Vec<ThreadId>, ThreadsError> {
    threads.iter().map(|what| Ok(store.find(what)?)).collect()
}

fn every(store: &Store) -> Result<Vec<ThreadId>, ThreadsError> {
    let mut threads = Vec::new();
    for archived in [Archived::No, Archived::Yes] {
        let filter = Filter { archived, sort: crate::thread::Sort::Created, ..Filter::default() };
        let mut cursor = None;
        loop {
            let listing = store.list(&filter, cursor.as_ref(), MAX_THREADS)?;
            threads.extend(listing.threads.iter().map(|thread| thread.thread));
            match listing.next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
    }
    Ok(threads)
}

fn check_text(checked: &[Checked], strays: &[(String, String)]) -> String {
    let mut text = String::new();
    for checked in checked {
        if !checked.is_sound() {
            let _ = writeln!(text, "{} ({}):", checked.thread, checked.path.display());
        }
        for damage in &checked.damage {
            let _ = writeln!(text, "  {}", line(&damage.to_string()));
        }
        if !checked.history {
            text.push_str("  the file that it continues is gone or cut short\n");
        }
        if !checked.bound {
            text.push_str(
                "  it does not say, or not rightly, what policy binds it: it cannot be continued\n",
            );
        }
    }
    for (path, reason) in strays {
        let _ = writeln!(text, "{}: no thread: {}", line(path), line(reason));
    }
    let records: u64 = checked.iter().map(|checked| checked.records).sum();
    let unsound = checked.iter().filter(|checked| !checked.is_sound()).count();
    let _ = writeln!(text, "{} threads, {records} records; {unsound} threads are damaged", checked.len());
    text
}
