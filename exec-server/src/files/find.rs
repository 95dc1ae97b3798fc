//! The walk through directories, and `file/glob`.
//!
//! It follows no symbolic link, holds one directory open for each level and sorts nothing before the answer is bounded.

use std::ffi::OsStr;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use ignore::{DirEntry, Walk, WalkBuilder};
use weir_protocol::method::file::{
    Cut, Glob, Globbed, MAX_ENTRIES, MAX_FOUND_BYTES, MAX_PATTERN_BYTES, MAX_PATTERNS, MAX_VISITED,
    PassedOver,
};
use weir_protocol::{AbsPath, ByteString};

use super::worker::{Worker, limit, too_large};
use super::{Fault, On as _, Outcome};

/// How a walk ended.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// What could not be read.
    pub(super) unreadable: u64,
    /// Why it ended early.
    pub(super) cut: Option<Cut>,
}

/// Patterns of which one must match.
pub(super) fn patterns(patterns: &[String]) -> Result<GlobSet, Fault> {
    if patterns.len() > MAX_PATTERNS {
        return Err(too_large(patterns.len() as u64, "patterns", MAX_PATTERNS as u64));
    }
    let wrong = |error: globset::Error| Fault::Pattern(error.to_string());
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        check_length(pattern)?;
        set.add(GlobBuilder::new(pattern).literal_separator(true).build().map_err(wrong)?);
    }
    set.build().map_err(wrong)
}

/// A pattern has a bounded length.
pub(super) fn check_length(pattern: &str) -> Result<(), Fault> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(too_large(pattern.len() as u64, "bytes of one pattern", MAX_PATTERN_BYTES as u64));
    }
    Ok(())
}

/// Names that the walk opens by itself, and must not wait at.
const HEEDED: [&str; 4] = [".gitignore", ".ignore", ".git", ".git/info/exclude"];

/// Whether opening what says what is ignored in a directory might wait for somebody: a pipe under such a name.
fn waits(directory: &Path) -> bool {
    let is_special = |name: &str| {
        fs::metadata(directory.join(name)).is_ok_and(|found| !found.is_file() && !found.is_dir())
    };
    HEEDED.into_iter().any(is_special)
}

/// The walk; `closed` counts the directories that are not entered because it might wait there.
fn walker(root: &AbsPath, scope: PassedOver, closed: &Arc<AtomicU64>) -> Walk {
    let heeds = scope != PassedOver::All;
    let mut builder = WalkBuilder::new(root.as_path());
    builder.hidden(scope == PassedOver::Visible).parents(heeds).ignore(heeds);
    // What is ignored must not depend on a home that is the worker's own.
    builder.git_global(false).git_ignore(heeds).git_exclude(heeds).require_git(false);
    if heeds {
        let closed = Arc::clone(closed);
        builder.filter_entry(move |entry| {
            let waits = entry.file_type().is_some_and(|kind| kind.is_dir()) && waits(entry.path());
            closed.fetch_add(waits.into(), Ordering::Relaxed);
            !waits
        });
    }
    builder.follow_links(false).build()
}

/// Walks below a directory; `each` gets what is found with its path below the root.
pub(super) fn walk(
    root: &AbsPath,
    scope: PassedOver,
    worker: &Worker,
    mut each: impl FnMut(&DirEntry, &OsStr, &mut Walked) -> Result<ControlFlow<Cut>, Fault>,
) -> Outcome<Walked> {
    // The walk itself would only count a root that cannot be read.
    fs::read_dir(root.as_path()).reading(root)?;
    if scope != PassedOver::All && root.as_path().ancestors().any(waits) {
        return Err(Fault::Special).reading(root);
    }
    let (mut walked, mut visited) = (Walked::default(), 0);
    let closed = Arc::default();
    for entry in walker(root, scope, &closed) {
        worker.check().reading(root)?;
        visited += 1;
        if visited > MAX_VISITED {
            walked.cut = Some(Cut::Visited);
            break;
        }
        let Ok(entry) = entry else {
            walked.unreadable += 1;
            continue;
        };
        let Ok(below) = entry.path().strip_prefix(root.as_path()) else { continue };
        if below.as_os_str().is_empty() {
            continue;
        }
        let below = below.as_os_str().to_owned();
        if let ControlFlow::Break(cut) = each(&entry, &below, &mut walked).reading(root)? {
            walked.cut = Some(cut);
            break;
        }
    }
    walked.unreadable += closed.load(Ordering::Relaxed);
    Ok(walked)
}

pub(super) fn glob(ask: &Glob, worker: &Worker) -> Outcome<Globbed> {
    let root = &ask.root;
    let patterns = patterns(&ask.patterns).reading(root)?;
    let (limit, mut bytes) = (limit(ask.limit, MAX_ENTRIES), 0);
    let mut paths = Vec::new();
    let walked = walk(root, ask.scope, worker, |_, below, _| {
        if !patterns.is_match(below) {
            return Ok(ControlFlow::Continue(()));
        }
        if paths.len() == limit {
            return Ok(ControlFlow::Break(Cut::Limit));
        }
        bytes += below.len();
        if bytes > MAX_FOUND_BYTES {
            return Ok(ControlFlow::Break(Cut::Bytes));
        }
        paths.push(ByteString(below.as_bytes().to_vec()));
        Ok(ControlFlow::Continue(()))
    })?;
    paths.sort();
    Ok(Globbed { paths, unreadable: walked.unreadable, cut: walked.cut })
}
