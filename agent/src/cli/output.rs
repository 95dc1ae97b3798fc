//! Writing results: text or JSON on standard output, one clear message on standard error.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};

use serde::Serialize;
use weir_protocol::method::code;

use super::Exit;
use crate::exec::write_now;
use crate::link::LinkError;
use crate::shown::{self, harmless};

/// Writes bytes to standard output.
pub(super) fn bytes(bytes: &[u8]) -> Exit {
    let mut out = std::io::stdout().lock();
    written(out.write_all(bytes).and_then(|()| out.flush()))
}

/// What came of writing the result. A reader that went away is no failure of ours to report.
pub(super) fn written(result: std::io::Result<()>) -> Exit {
    match result {
        Ok(()) => Exit::Success,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Success,
        Err(error) => message(&format!("cannot write the result: {error}"), Exit::Failed),
    }
}

/// Writes text to standard output.
pub(super) fn text(text: &str) -> Exit {
    bytes(fit_for(&std::io::stdout(), text).as_bytes())
}

/// A text as a stream may have it: what others wrote does not write to a terminal.
fn fit_for<'a>(stream: &impl IsTerminal, text: &'a str) -> Cow<'a, str> {
    if stream.is_terminal() { Cow::Owned(harmless(text)) } else { Cow::Borrowed(text) }
}

/// Writes a value as indented JSON.
pub(super) fn json(value: &impl Serialize) -> Exit {
    match serde_json::to_string_pretty(value) {
        Ok(json) => bytes((shown::json(json) + "\n").as_bytes()),
        Err(error) => message(&format!("cannot write the result: {error}"), Exit::Failed),
    }
}

/// Writes a message to standard error.
pub(super) fn message(text: &str, exit: Exit) -> Exit {
    let mut out = std::io::stderr().lock();
    let _ = writeln!(out, "{}", fit_for(&out, text.trim_end()));
    exit
}

/// The same, where it can be written without waiting for whoever reads.
pub(super) fn message_now(text: &str, exit: Exit) -> Exit {
    let out = std::io::stderr();
    write_now(&out, format!("{}\n", fit_for(&out, text.trim_end())).as_bytes());
    exit
}

/// Says why a call failed: what the user can mend is bad input, the rest is Weir's failure.
pub(super) fn failure(error: &LinkError, as_json: bool) -> Exit {
    let exit = match error {
        LinkError::Refused(error) if error.code == code::BAD_REQUEST || error.code == code::BAD_CALL => {
            Exit::Failed
        }
        LinkError::Refused(_) => Exit::BadInput,
        _ => Exit::Failed,
    };
    failure_as(error, exit, as_json)
}

/// The same with another exit code.
pub(super) fn failure_as(error: &LinkError, exit: Exit, as_json: bool) -> Exit {
    if let (LinkError::Refused(error), true) = (error, as_json) {
        json(&serde_json::json!({ "error": error }));
        return exit;
    }
    let text = error.to_string();
    let told = text.starts_with("error:") || text.starts_with("warning:");
    message(&if told { text } else { format!("error: {text}") }, exit)
}
