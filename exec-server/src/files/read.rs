//! `file/read`, and reading a whole file for those who change it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use rustix::fs::OFlags;
use weir_protocol::AbsPath;
use weir_protocol::method::file::{Content, MAX_READ_BYTES, Read};

use super::worker::{Worker, too_large};
use super::{On as _, Outcome};

/// Reads until the buffer is full or the file ends; how many bytes.
fn fill(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset.saturating_add(done as u64)) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

pub(super) fn read(ask: &Read, worker: &Worker) -> Outcome<(Content, Vec<u8>)> {
    let file = worker.open(&ask.path, OFlags::RDONLY).reading(&ask.path)?;
    let size = file.metadata().reading(&ask.path)?.len();
    let length = ask.length.unwrap_or(MAX_READ_BYTES).min(MAX_READ_BYTES);
    let length = usize::try_from(length).unwrap_or(0);
    // One byte more tells whether the file ends. Offsets are signed for the kernel, and nothing lies behind the last.
    let mut bytes = vec![0; length + 1];
    let found = match i64::try_from(ask.offset) {
        Ok(_) => fill(&file, &mut bytes, ask.offset).reading(&ask.path)?,
        Err(_) => 0,
    };
    bytes.truncate(found.min(length));
    let blake3 = blake3::hash(&bytes).to_hex().to_string();
    Ok((Content { bytes: bytes.len() as u64, size, ends: found <= length, blake3 }, bytes))
}

/// The whole of a file that has at most so many bytes.
pub(super) fn whole(path: &AbsPath, most: u64, worker: &Worker) -> Outcome<Vec<u8>> {
    let file = worker.open(path, OFlags::RDONLY).reading(path)?;
    let mut bytes = Vec::new();
    let read = io::Read::read_to_end(&mut io::Read::take(&file, most.saturating_add(1)), &mut bytes);
    read.reading(path)?;
    if bytes.len() as u64 > most {
        let size = file.metadata().reading(path)?.len();
        return Err(too_large(size, "bytes", most)).reading(path);
    }
    Ok(bytes)
}
