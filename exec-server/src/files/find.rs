//! The walk through directories, and `file/glob`.
//!
//! It follows no symbolic link, holds one directory open for each level and sorts nothing before the answer is bounded.

use std::ffi::OsStr;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use ignore::{DirEntry, Walk, WalkBuilder};
use weir_protocol::method::file::{
    Cut, Glob, Globbed, MAX_ENTRIES, MAX_FOUND_BYTES, MAX_PATTERN_BYTES, MAX_PATTERNS, MAX_VISITED, Scope,
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

fn walker(root: &AbsPath, scope: Scope) -> Walk {
    let heeds = scope != Scope::All;
    let mut builder = WalkBuilder::new(root.as_path());
    builder.hidden(scope == Scope::Visible).parents(heeds).ignore(heeds);
    // What is ignored must not depend on a home that is the worker's own.
    builder.git_global(false).git_ignore(heeds).git_exclude(heeds).require_git(false);
    builder.follow_links(false).build()
}

/// Walks below a directory; `each` gets what is found with its path below the root.
pub(super) fn walk(
    root: &AbsPath,
    scope: Scope,
    worker: &Worker,
    mut each: impl FnMut(&DirEntry, &OsStr, &mut Walked) -> Result<ControlFlow<Cut>, Fault>,
) -> Outcome<Walked> {
    // The walk itself would only count a root that cannot be read.
    fs::read_dir(root.as_path()).reading(root)?;
    let (mut walked, mut visited) = (Walked::default(), 0);
    for entry in walker(root, scope) {
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
