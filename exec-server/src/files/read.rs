//! `file/read`, and opening what must be a regular file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{FileType, Mode, OFlags};
use weir_protocol::AbsPath;
use weir_protocol::method::file::{Content, MAX_READ_BYTES, Read};

use super::{Fault, On as _, Outcome};

/// Opens a regular file. Whatever else it is, opening it waits for nobody and has no effect.
pub(super) fn open(path: &AbsPath, flags: OFlags) -> Result<File, Fault> {
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path.as_path(), flags, Mode::from_bits_truncate(0o666)) {
        // A pipe without a reader, a socket, a device that is not there.
        Err(rustix::io::Errno::NXIO) => return Err(Fault::Special),
        opened => opened?,
    };
    match FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) {
        FileType::RegularFile => Ok(file.into()),
        FileType::Directory => Err(Fault::System(libc::EISDIR)),
        _ => Err(Fault::Special),
    }
}

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

pub(super) fn read(ask: &Read) -> Outcome<(Content, Vec<u8>)> {
    let file = open(&ask.path, OFlags::RDONLY).reading(&ask.path)?;
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
pub(super) fn whole(path: &AbsPath, most: u64) -> Outcome<Vec<u8>> {
    let file = open(path, OFlags::RDONLY).reading(path)?;
    let mut bytes = Vec::new();
    let read = io::Read::read_to_end(&mut io::Read::take(&file, most.saturating_add(1)), &mut bytes);
    read.reading(path)?;
    if bytes.len() as u64 > most {
        let size = file.metadata().reading(path)?.len();
        return Err(super::worker::too_large(size, "bytes", most)).reading(path);
    }
    Ok(bytes)
}
