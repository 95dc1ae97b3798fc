//! Output that the server carries: how much of it is under way, how long it is kept, and how its completeness is proved.
//!
//! The server reads a command's streams and sends them as data frames, as far as the client's credit goes. A credit frame of
//! the client says two things: which bytes it has (they need not be kept) and how far the server may go. What is beyond the
//! credit is held in memory, then on disk; when that is full the command waits. A client that was cut off attaches again
//! at the offset it has.

use serde::{Deserialize, Serialize};

use super::process::{End, Enforcement, Exited, ProcessId};
use crate::bytes::{ByteString, first_words};
use crate::frame::Stream;
use crate::members;
use crate::policy::Digest;
use crate::unreached::Unreached;

/// Most bytes of a command's words that `process/list` tells of each: with a thousand commands in it a list fits in a frame, however the words
/// are escaped.
pub const MAX_LISTED_WORDS_BYTES: usize = 512;

/// Most bytes, as JSON, of a command's end that `process/list` tells of each with all details.
pub const MAX_LISTED_END_BYTES: usize = 4096;

/// What happens to output, and to the command, that nobody reads just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// How far the server may go on each stream without another word, in bytes.
    #[serde(default)]
    pub credit: u64,
    /// What becomes of the command when its client goes.
    #[serde(default)]
    pub when_left: WhenLeft,
    /// Which bytes are kept.
    #[serde(default)]
    pub keep: Keep,
    /// What happens when no more can be held.
    #[serde(default)]
    pub overflow: Overflow,
}

/// What becomes of a command whose client goes without a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenLeft {
    /// It is ended, whole.
    #[default]
    End,
    /// It goes on, and its output is held for whoever attaches.
    Stay,
}

/// Which bytes of a stream are kept for a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// Those that its client has not said to have.
    #[default]
    Unread,
    /// All, until the command is forgotten.
    All,
}

/// What happens when a stream has more than may be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Overflow {
    /// The command waits in its write. Nothing is lost.
    #[default]
    #[serde(deserialize_with = "members::none")]
    Wait,
    /// The command goes on; of each stream the first and the last bytes are held, and [`Gap`] says what is missing.
    HeadAndTail {
        /// Bytes held from the start.
        head: u64,
        /// Bytes held from the end, at least.
        tail: u64,
    },
}

/// Bytes of a stream that are not there any more: dropped because head and tail alone were asked for, or taken by the owner before this reader
/// came to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The command.
    pub id: ProcessId,
    /// The stream.
    pub stream: Stream,
    /// Offset of the first byte that is missing.
    pub from: u64,
    /// Offset of the first byte that is there again.
    pub to: u64,
}

/// Everything that a command wrote has been sent: the last word about it. Follows end-of-file of every stream and the end of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// The command.
    pub id: ProcessId,
    /// One account for each stream that the server carried.
    pub streams: Vec<Account>,
}

/// What a stream carried from its start to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The stream.
    pub stream: Stream,
    /// Bytes that were written to it.
    pub bytes: u64,
    /// Their BLAKE3 digest, in hexadecimal.
    pub blake3: String,
    /// How many of them this reader was told to be missing since it attached, in each [`Gap`] together.
    pub dropped: u64,
}

/// Parameters of `process/attach`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attach {
    /// The command.
    pub id: ProcessId,
    /// Offsets from which standard output and standard error are wanted; what is no longer kept is not sent.
    #[serde(default)]
    pub from: [u64; 2],
    /// How far beyond `from` the server may go without another word, in bytes.
    #[serde(default)]
    pub credit: u64,
    /// In which part.
    #[serde(default)]
    pub role: Role,
}

/// What a client is to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It takes over: its input is the command's, what it has read is forgotten, and whoever did so before reads on.
    #[default]
    Owner,
    /// It reads.
    Reader,
}

/// Result of `process/attach`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// The command.
    pub listed: Listed,
    /// How it is confined.
    pub enforcement: Enforcement,
    /// Offsets at which standard output and standard error begin: `from`, or the first that is still kept.
    pub from: [u64; 2],
    /// Offset at which standard input goes on: bytes that the server has of it. Absent where none is to be sent.
    #[serde(default)]
    pub input: Option<u64>,
}

/// One command of `process/list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The command.
    pub id: ProcessId,
    /// Its first process, as the host numbers it.
    pub pid: i32,
    /// What was started: all of its words, or in a list the first `MAX_LISTED_WORDS_BYTES` of them.
    pub argv: Vec<ByteString>,
    /// Where words are left out: a digest of all, as SHA-256 of `weir-words-1`, their number, and each of them; number and lengths are 8 bytes, big
    /// endian, and stand before what they are about, the text's own length too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole_argv: Option<Digest>,
    /// Its profile.
    pub profile: String,
    /// The digest of the policy that holds it.
    pub digest: Digest,
    /// When it was started, in milliseconds since 1970 (UTC).
    pub started_ms: u64,
    /// Bytes written to standard output and standard error so far, as far as the server carries them.
    pub written: [u64; 2],
    /// Whether a client is attached as its owner.
    pub owned: bool,
    /// Whether it has a terminal of the server's.
    pub terminal: bool,
    /// Whether the server carries its output: what it does not carry, nobody can attach to.
    #[serde(default)]
    pub carried: bool,
    /// What becomes of it when its client goes.
    #[serde(default)]
    pub when_left: WhenLeft,
    /// How the command itself ended, where what it has started goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<End>,
    /// How it ended, if it has.
    pub exited: Option<Exited>,
    /// Whether details of its end are left out, because in a list they are too long: `process/wait` tells all. Denials are counted as left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_end_cut: bool,
}

impl Listed {
    /// Leaves out what is more of its end than a list has room for.
    pub fn cut_end(&mut self) {
        let Some(exited) = &mut self.exited else { return };
        if serde_json::to_vec(exited).is_ok_and(|text| text.len() <= MAX_LISTED_END_BYTES) {
            return;
        }
        for denial in exited.denials.drain(..) {
            exited.sight.left_out = exited.sight.left_out.saturating_add(denial.count);
        }
        (exited.unreached, exited.recorded) = (Unreached::default(), None);
        exited.new_repositories.clear();
        exited.stuck.clear();
        self.is_end_cut = true;
    }
}

/// A command's words as a list tells them, and where that is not all, the digest of all.
#[must_use]
pub fn listed_words(argv: &[ByteString]) -> (Vec<ByteString>, Option<Digest>) {
    let first = first_words(argv, MAX_LISTED_WORDS_BYTES);
    let whole = (first != argv).then(|| Digest::of_words(argv));
    (first, whole)
}

/// Result of `process/list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// The caller's commands, by number.
    pub commands: Vec<Listed>,
}

/// Parameters of the methods that need nothing but a command: `process/wait`, `process/close-input`, `process/forget`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Of {
    /// The command.
    pub id: ProcessId,
}

/// Parameters of `process/resize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resize {
    /// The command.
    pub id: ProcessId,
    /// Rows and columns.
    pub size: [u16; 2],
}

/// Parameters of `process/kill`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kill {
    /// The command.
    pub id: ProcessId,
    /// Milliseconds between the request to end (`SIGTERM`, to everything in the sandbox) and the end itself.
    pub grace_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_beyond_the_limit_are_left_out_and_told_by_their_digest() {
        let words = |lengths: &[usize]| -> Vec<ByteString> {
            lengths.iter().map(|length| ByteString(vec![1; *length])).collect()
        };
        let whole = words(&[1, 0, MAX_LISTED_WORDS_BYTES - 1]);
        assert_eq!(listed_words(&whole), (whole, None));
        for (lengths, expect) in [
            (&[1, 0, MAX_LISTED_WORDS_BYTES][..], &[1, 0, MAX_LISTED_WORDS_BYTES - 1][..]),
            (&[MAX_LISTED_WORDS_BYTES, 0, 1], &[MAX_LISTED_WORDS_BYTES, 0]),
            (&[0; MAX_LISTED_WORDS_BYTES + 1], &[0; MAX_LISTED_WORDS_BYTES]),
        ] {
            let all = words(lengths);
            assert_eq!(listed_words(&all), (words(expect), Some(Digest::of_words(&all))));
        }
        // Where a word ends counts.
        assert_ne!(Digest::of_words(&["ab", "c"]), Digest::of_words(&["a", "bc"]));
    }
}
