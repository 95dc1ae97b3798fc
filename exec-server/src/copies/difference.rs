//! What differs, line by line, for people: of text alone, and bounded.

use std::io::Read as _;

use diffy::DiffOptions;
use weir_protocol::method::changes::{ChangeKind, MAX_COMPARED_BYTES, What};

use super::look::Found;
use super::state::State;
use super::tree::Tree;

/// Bytes in which a NUL makes a file no text.
const LOOKED_AT_BYTES: usize = 8 << 10;

/// The difference of one change, as far as there is room for it.
pub(super) fn of(state: &State, found: &Found, room: &mut usize) -> Option<String> {
    if found.what != What::File || found.kind == ChangeKind::Mode {
        return None;
    }
    let name = String::from_utf8_lossy(&found.path);
    let (upper, host) = (state.upper().ok()?, state.host().ok()?);
    let old = if found.host.is_some() { content(&host, &found.path)? } else { Vec::new() };
    let new = if found.kind == ChangeKind::Removed { Vec::new() } else { content(&upper, &found.path)? };
    if !is_text(&old) || !is_text(&new) {
        return Some(format!("{name}: not text, {} bytes before, {} after\n", old.len(), new.len()));
    }
    let mut options = DiffOptions::new();
    options.set_original_filename(format!("a/{name}"));
    options.set_modified_filename(format!("b/{name}"));
    let text = String::from_utf8_lossy(&options.create_patch_bytes(&old, &new).to_bytes()).into_owned();
    if text.len() > *room {
        return Some(format!("{name}: the difference is left out, for it is too long\n"));
    }
    *room -= text.len();
    Some(text)
}

fn content(tree: &Tree, path: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = tree.file(path).ok()?;
    file.take(MAX_COMPARED_BYTES + 1).read_to_end(&mut bytes).ok()?;
    Some(bytes).filter(|bytes| bytes.len() as u64 <= MAX_COMPARED_BYTES)
}

fn is_text(bytes: &[u8]) -> bool {
    !bytes.iter().take(LOOKED_AT_BYTES).any(|byte| *byte == 0)
}
