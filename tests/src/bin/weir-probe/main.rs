//! `weir-probe WORDS… , WORDS… ,`: tries single acts, one after the other, and says what the kernel answered.
//!
//! One line for each act: `ok`, with what it found behind it, or the name of the error. An act never stops the next one. It
//! must never do more than its words say: tests run the same acts outside any sandbox, as positive controls. Started by
//! `weir_tests::sandbox` only.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for tests, whose answer is its output"
)]

mod call;
mod files;
mod mounts;
mod processes;
mod surroundings;
mod talk;
mod timed;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

/// The answer to one act.
type Answer = Result<String, Error>;

/// Why an act did not work.
#[derive(Debug)]
enum Error {
    /// The kernel's answer.
    Kernel(i32),
    /// Something was there, but not what was wanted.
    Other(String),
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        match error.raw_os_error() {
            Some(errno) => Self::Kernel(errno),
            None => Self::Other(error.kind().to_string()),
        }
    }
}

impl From<i32> for Error {
    fn from(errno: i32) -> Self {
        Self::Kernel(errno)
    }
}

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    match words.first().and_then(|word| word.to_str()) {
        Some("refuse-user-namespaces") => surroundings::refuse_user_namespaces(&words[1..]),
        Some("landlock") => surroundings::landlock(),
        _ => {
            for act in words.split(|word| word == ",").filter(|act| !act.is_empty()) {
                println!("{}", line(attempt(act)));
                let _ = std::io::stdout().flush();
            }
            ExitCode::SUCCESS
        }
    }
}

/// An answer on one line.
fn line(answer: Answer) -> String {
    match answer {
        Ok(found) if found.is_empty() => "ok".to_owned(),
        Ok(found) => format!("ok {}", found.trim().escape_default()),
        Err(Error::Kernel(errno)) => call::name(errno),
        Err(Error::Other(text)) => format!("no: {}", text.escape_default()),
    }
}

fn attempt(act: &[OsString]) -> Answer {
    let Some((verb, rest)) = act.split_first() else { return Ok(String::new()) };
    let verb = verb.to_str().unwrap_or_default();
    let families = [
        files::attempt,
        mounts::attempt,
        processes::attempt,
        talk::attempt,
        surroundings::attempt,
        timed::attempt,
    ];
    let found = families.into_iter().find_map(|family| family(verb, rest));
    found.unwrap_or_else(|| Err(Error::Other(format!("no act {act:?}"))))
}

/// The word at this place.
fn word(words: &[OsString], at: usize) -> Result<&OsString, Error> {
    words.get(at).ok_or_else(|| Error::Other(format!("word {at} is missing")))
}

/// The number at this place, decimal or hexadecimal.
fn number(words: &[OsString], at: usize) -> Result<i64, Error> {
    let text = word(words, at)?.to_str().unwrap_or_default();
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).map(u64::cast_signed),
        None => text.parse(),
    };
    parsed.map_err(|_| Error::Other(format!("`{text}` is no number")))
}
