//! Texts that the tests expect, kept as files under `golden/`.
//!
//! `WEIR_BLESS=1` writes what was found instead of comparing; the result is to be read before it is committed.

use std::fs;
use std::path::{Path, PathBuf};

use similar::TextDiff;

/// Lines of context in a difference.
const CONTEXT_LINES: usize = 3;

/// Compares a text with its golden, or writes the golden under `WEIR_BLESS=1`.
///
/// # Errors
/// The difference, or a sentence on how to make the missing golden.
///
/// # Panics
/// When the golden cannot be written.
pub(crate) fn compare(name: &str, found: &str) -> Result<(), String> {
    let path = directory().join(name);
    let expected = fs::read_to_string(&path).ok();
    if expected.as_deref() == Some(found) {
        return Ok(());
    }
    if std::env::var_os("WEIR_BLESS").is_some_and(|value| value == "1") {
        write(&path, found);
        return Ok(());
    }
    let Some(expected) = expected else {
        return Err(format!("golden/{name} is missing; WEIR_BLESS=1 writes it. Found:\n{found}"));
    };
    let difference = TextDiff::from_lines(expected.as_str(), found);
    let mut unified = difference.unified_diff();
    unified.context_radius(CONTEXT_LINES).header(&format!("golden/{name}"), "found");
    Err(unified.to_string())
}

/// The names of the goldens in a directory below `golden/`, sorted; none when it does not exist.
#[must_use]
pub(crate) fn names(group: &str) -> Vec<String> {
    let entries = fs::read_dir(directory().join(group)).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn write(path: &Path, text: &str) {
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, text));
    assert!(written.is_ok(), "{}: {written:?}", path.display());
}
