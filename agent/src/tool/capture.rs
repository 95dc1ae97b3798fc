//! Output between one look at a command and the next: its beginning and its end, as much as a model is told, and all of it in a file.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use weir_protocol::method::process::ProcessId;

use crate::item::CallId;
use crate::thread::TurnId;

/// What a command wrote since it was last looked at.
#[derive(Debug)]
pub(crate) struct Capture {
    budget: usize,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    bytes: u64,
}

impl Capture {
    /// One that tells `budget` bytes at most, half from the beginning and half from the end.
    pub(crate) fn new(budget: usize) -> Self {
        Self { budget, head: Vec::new(), tail: VecDeque::new(), bytes: 0 }
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        let half = self.budget / 2;
        let (first, rest) = bytes.split_at(bytes.len().min(half.saturating_sub(self.head.len())));
        self.head.extend_from_slice(first);
        let most = self.budget - half;
        let rest = rest.get(rest.len().saturating_sub(most)..).unwrap_or_default();
        self.tail.extend(rest);
        self.tail.drain(..self.tail.len().saturating_sub(most));
    }

    /// Bytes that were written.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The text, with the gap stated to the byte. What is no UTF-8 is replaced, as a terminal would.
    pub(crate) fn text(&self) -> String {
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        let left_out = self.bytes - (self.head.len() + tail.len()) as u64;
        if left_out == 0 {
            let all: Vec<u8> = self.head.iter().chain(&tail).copied().collect();
            return String::from_utf8_lossy(&all).into_owned();
        }
        let (head, tail) = (String::from_utf8_lossy(&self.head), String::from_utf8_lossy(&tail));
        format!("{head}\n[… {left_out} bytes left out …]\n{tail}")
    }
}

/// A text of `budget` bytes at most, with the gap stated where it was longer.
pub(crate) fn shortened(text: String, budget: usize) -> String {
    if text.len() <= budget {
        return text;
    }
    let mut capture = Capture::new(budget);
    capture.add(text.as_bytes());
    capture.text()
}

impl Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.add(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A call among all of a thread. Its provider chose the id, which is no name of a file, and may give it again where it is not told of it any
/// more: after a summary of the conversation.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallOf<'a> {
    /// The turn that it belongs to; none before the first.
    pub(super) turn: Option<TurnId>,
    pub(super) call: &'a CallId,
}

impl CallOf<'_> {
    /// What of a file's name is of the call.
    fn suffix(self) -> String {
        let turn = self.turn.map(|turn| turn.to_string()).unwrap_or_default();
        let digest = blake3::hash(format!("{turn}\0{}", self.call.0).as_bytes()).to_hex();
        format!("-{}", digest.get(..16).unwrap_or_default())
    }
}

/// All that one command writes, in a file that its owner alone can read.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) path: PathBuf,
    file: File,
}

impl Kept {
    /// A new file in `directory`, for what a call has started.
    pub(super) fn create(directory: &Path, process: ProcessId, call: CallOf<'_>) -> io::Result<Self> {
        let path = directory.join(format!("{process}{}", call.suffix()));
        let file = File::options().create_new(true).append(true).mode(0o600).open(&path)?;
        Ok(Self { path, file })
    }

    /// The same file, without what is in it.
    pub(super) fn anew(path: PathBuf) -> io::Result<Self> {
        let file = File::options().write(true).truncate(true).open(&path)?;
        Ok(Self { path, file })
    }

    /// The file of what a call has started, with the number of the process; none where nothing was.
    pub(super) fn find(directory: &Path, call: CallOf<'_>) -> io::Result<Option<(ProcessId, PathBuf)>> {
        let suffix = call.suffix();
        for entry in directory.read_dir()? {
            let entry = entry?;
            let name = entry.file_name();
            let process = name.to_str().and_then(|name| name.strip_suffix(&suffix)?.parse().ok());
            if let Some(process) = process {
                return Ok(Some((process, entry.path())));
            }
        }
        Ok(None)
    }

    pub(super) fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_and_the_end_are_told_and_the_gap_between_them() {
        let cases: [(&[&str], &str); 5] = [
            (&[], ""),
            (&["ab", "cd"], "abcd"),
            (&["abcdefgh"], "abcdefgh"),
            (&["abcdefghij"], "abcd\n[… 2 bytes left out …]\nghij"),
            (&["abcde", "fghij", "klmnopqrstuvwxyz"], "abcd\n[… 18 bytes left out …]\nwxyz"),
        ];
        for (pieces, expect) in cases {
            let mut capture = Capture::new(8);
            pieces.iter().for_each(|piece| capture.add(piece.as_bytes()));
            assert_eq!(capture.text(), expect, "{pieces:?}");
            assert_eq!(capture.bytes(), pieces.iter().map(|piece| piece.len() as u64).sum::<u64>());
        }
    }

    /// The same number at another server and the same id after a summary are another command.
    #[test]
    fn each_call_of_a_thread_has_a_file_of_its_own() {
        let ground = tempfile::tempdir().unwrap();
        let (call, process) = (CallId("call_1_0".to_owned()), 1);
        let turns = [TurnId::new(), TurnId::new(), TurnId::new()];
        let of = |turn: TurnId| CallOf { turn: Some(turn), call: &call };
        for (turn, wrote) in [(turns[0], "one"), (turns[1], "two")] {
            Kept::create(ground.path(), process, of(turn)).unwrap().add(wrote.as_bytes()).unwrap();
        }
        let found = |turn| Kept::find(ground.path(), of(turn)).unwrap();
        let text = |turn| found(turn).map(|(_, path)| std::fs::read_to_string(path).unwrap());
        assert_eq!(text(turns[0]).as_deref(), Some("one"));
        assert_eq!(text(turns[1]).as_deref(), Some("two"));
        assert_eq!(text(turns[2]), None);
        assert!(Kept::create(ground.path(), process, of(turns[0])).is_err(), "nothing is written over");
    }
}
