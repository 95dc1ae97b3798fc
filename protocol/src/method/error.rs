//! Why a request failed: a code, its name for programs, a text for people, and what to do.
//!
//! Name and hint belong to the code and travel in `data`, so that a client needs no table of its own.

use serde::{Deserialize, Serialize};

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
#[serde(from = "Carried", into = "Carried")]
pub struct Error {
    /// The kind of failure, one of [`code`].
    pub code: i64,
    /// For people: what, where, and what to do.
    pub message: String,
}

impl Error {
    /// What is known of its kind; nothing for a code of another version.
    #[must_use]
    pub fn kind(&self) -> Option<&'static Kind> {
        KINDS.iter().find(|kind| kind.code == self.code)
    }
}

/// One kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Its number.
    pub code: i64,
    /// Its name, which no version changes.
    pub name: &'static str,
    /// What has happened.
    pub meaning: &'static str,
    /// What the one who asked can do.
    pub hint: &'static str,
}

/// An error as it travels.
#[derive(Serialize, Deserialize)]
struct Carried {
    code: i64,
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<Data>,
}

/// `data` of an error.
#[derive(Serialize, Deserialize)]
struct Data {
    name: String,
    hint: String,
}

impl From<Error> for Carried {
    fn from(error: Error) -> Self {
        let data = error.kind().map(|kind| Data { name: kind.name.to_owned(), hint: kind.hint.to_owned() });
        Self { code: error.code, message: error.message, data }
    }
}

impl From<Carried> for Error {
    fn from(carried: Carried) -> Self {
        Self { code: carried.code, message: carried.message }
    }
}

macro_rules! kinds {
    ($($(#[doc = $meaning:literal])+ $constant:ident = $code:literal, $name:literal, $hint:literal;)+) => {
        /// Codes of [`Error`]. Those below -32100 are the ones that JSON-RPC fixes.
        pub mod code {
            $($(#[doc = $meaning])+ pub const $constant: i64 = $code;)+
        }

        /// Every kind of failure.
        pub const KINDS: &[Kind] =
            &[$(Kind { code: $code, name: $name, meaning: concat!($($meaning),+), hint: $hint }),+];
    };
}

kinds! {
    /// Not JSON, or not a request.
    BAD_REQUEST = -32600, "bad-request",
        "send one JSON-RPC 2.0 object with `jsonrpc`, `id` and `method` in each control frame";
    /// Not a method of this version, or not its parameters.
    BAD_CALL = -32602, "bad-call",
        "see the methods and their parameters; a parameter that is not listed is refused";
    /// A document has errors.
    DOCUMENT = -32010, "document",
        "mend the file at the line that the message names; `policy/check` lists everything that is wrong";
    /// A file cannot be read or is not trusted.
    FILE = -32011, "file",
        "see that the file is there, readable, and written by nobody else";
    /// A profile does not exist, or cannot be put together or resolved.
    PROFILE = -32012, "profile",
        "name a profile that the configuration defines, or a built-in one such as `:workspace`";
    /// A layer that may only narrow would widen.
    WIDENED = -32013, "widened",
        "move the wider rule into the user's own configuration; a project may only narrow";
    /// The administrator's ceiling refuses.
    CEILING = -32014, "ceiling",
        "ask for less, or ask the administrator to change the rule of the requirements that the message names";
    /// The question itself makes no sense.
    QUESTION = -32015, "question",
        "change what was asked as the message says";
    /// This host cannot hold the policy, and the profile does not give the guarantee up by name.
    UNENFORCEABLE = -32020, "unenforceable",
        "`host/doctor` says what is missing and how to get it; or the profile gives it up by name with `degrade`";
    /// The sandbox could not be made; nothing ran.
    LAUNCH = -32021, "launch",
        "try again; where it stays so, `host/doctor` and the server's log say why";
    /// The command was not found.
    COMMAND_NOT_FOUND = -32022, "command-not-found",
        "see `PATH` of the request, and whether the profile lets the program be read";
    /// The command was found and cannot be executed.
    COMMAND_NOT_EXECUTABLE = -32023, "command-not-executable",
        "see the file's mode, its interpreter, and whether the profile lets both be read";
    /// The server is busy, or the call does not fit what has happened so far.
    STATE = -32024, "state",
        "see what the message says has to come first";
    /// There is no such command, or it is another user's.
    NO_COMMAND = -32025, "no-command",
        "`process/list` names the commands that there are";
    /// The caller has as many as it may have.
    QUOTA = -32026, "quota",
        "wait until one has ended, or end one";
    /// No version in common.
    VERSION = -32027, "version",
        "offer a version that the message names";
    /// There is no such context or lease, or it is another user's.
    NO_CONTEXT = -32028, "no-context",
        "`context/list` names the contexts that are open";
    /// A policy would be wider than the one that binds.
    WIDER = -32029, "wider",
        "keep to what binds the thread, ask for a lease, or begin another thread";
    /// A lease gives nothing here.
    LEASE = -32030, "lease",
        "ask for another lease: this one has ended, or was given for something else";
    /// What the server keeps could not be read or written.
    STORE = -32031, "store",
        "see that the server's state directory has room and is its own";
    /// What was asked could not be recorded, so it was not done.
    AUDIT = -32032, "audit",
        "the administrator has to make room for the audit log, or to mend it";
    /// There is no such question, it is answered already, or its time is over.
    NO_QUESTION = -32033, "no-question",
        "answer each `network/question` of a command of this connection once, within its time";
    /// Input is out of place: beyond the credit, not where the last one ended, behind its end, or for a command that has none.
    INPUT = -32034, "input",
        "send input in order, from where the last one ended or `process/attach` says, up to the `limit` of the last credit frame for it, and none after `process/close-input`";
    /// The answer is longer than a frame; what was asked may have been done.
    TOO_LONG = -32035, "too-long",
        "ask for less at a time: for one thing instead of a list of all";
    /// The profile does not let this be done to that file.
    FILE_DENIED = -32040, "file-denied",
        "the message names the rule and what would allow it; ask for a lease, or for another profile";
    /// There is no such file.
    FILE_MISSING = -32041, "file-missing",
        "see the path; `file/list` and `file/glob` say what is there";
    /// There is such a file already.
    FILE_EXISTS = -32042, "file-exists",
        "take another name, or say that what is there is to be replaced";
    /// It is a directory.
    FILE_IS_DIRECTORY = -32043, "file-is-directory",
        "name a file in it, or ask for the whole tree where the method can";
    /// It, or something on the way to it, is no directory.
    FILE_NOT_DIRECTORY = -32044, "file-not-directory",
        "see the path: every part but the last must be a directory";
    /// The directory is not empty.
    FILE_NOT_EMPTY = -32045, "file-not-empty",
        "ask for the whole tree, or remove what it holds first";
    /// More than a call takes.
    FILE_TOO_LARGE = -32046, "file-too-large",
        "ask for less, in several calls";
    /// It is a device, pipe or socket.
    FILE_SPECIAL = -32047, "file-special",
        "only regular files are read and written; a command can do more";
    /// A patch does not fit what is there; nothing was changed.
    FILE_MISMATCH = -32048, "file-mismatch",
        "read the file again and make the change from what it holds now";
    /// A pattern cannot be read.
    FILE_PATTERN = -32049, "file-pattern",
        "mend the pattern as the message says";
    /// No space, or a limit on space.
    FILE_SPACE = -32050, "file-space",
        "make room, or raise the limit of the profile on the size of a file";
    /// Anything else that the kernel says.
    FILE_SYSTEM = -32051, "file-system",
        "see what the message says";
    /// The worker ended before its answer; whether it was done is not known.
    FILE_WORKER = -32052, "file-worker",
        "look whether it was done, and ask again";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_is_another_and_says_what_to_do() {
        let codes: BTreeSet<i64> = KINDS.iter().map(|kind| kind.code).collect();
        let names: BTreeSet<&str> = KINDS.iter().map(|kind| kind.name).collect();
        assert_eq!((codes.len(), names.len()), (KINDS.len(), KINDS.len()));
        assert!(KINDS.iter().all(|kind| !kind.hint.is_empty() && !kind.meaning.is_empty()));
    }

    #[test]
    fn name_and_hint_travel_with_an_error() {
        let error = Error { code: code::QUOTA, message: "no more".to_owned() };
        let carried = serde_json::to_value(&error).unwrap();
        let data = json!({"name": "quota", "hint": "wait until one has ended, or end one"});
        assert_eq!(carried, json!({"code": -32026, "message": "no more", "data": data}));
        assert_eq!(serde_json::from_value::<Error>(carried).unwrap(), error);
        // Of a version that has more kinds.
        let newer = json!({"code": -32099, "message": "?", "data": {"name": "new", "hint": "", "more": 1}});
        let newer: Error = serde_json::from_value(newer).unwrap();
        assert_eq!(newer.kind(), None);
        assert_eq!(serde_json::to_value(&newer).unwrap(), json!({"code": -32099, "message": "?"}));
    }
}
