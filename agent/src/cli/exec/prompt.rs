//! What is asked: an argument, standard input, or both.

use std::io::{IsTerminal, Read};

use crate::thread::MAX_LINE_BYTES;

/// The longest prompt, in bytes: no model reads more.
const PROMPT_BYTES_MAX: u64 = 16 << 20;

/// Bytes that a record has around its text, and more.
const RECORD_BYTES: usize = 1 << 10;

/// Why there is nothing to ask.
#[derive(Debug, thiserror::Error)]
pub(super) enum PromptError {
    /// Neither an argument nor anything on standard input.
    #[error("there is no prompt: give one as an argument, or `-` and standard input")]
    None,
    /// Standard input cannot be read, or is no text.
    #[error("cannot read the prompt from standard input: {0}")]
    Read(std::io::Error),
    /// It is longer than anything a model reads.
    #[error("the prompt is longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: u64,
    },
    /// A thread could not keep it.
    #[error(
        "the prompt is longer than a record of a thread may be: {bytes} bytes, with quotes and ends of lines escaped, of {limit}"
    )]
    Unkept {
        /// Its size in a record.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}

/// The prompt. Standard input is read where it is asked for, or where nothing else is given: whoever starts a program with a
/// prompt may leave it a standard input that never ends.
pub(super) fn read(argument: Option<&str>, and_stdin: bool) -> Result<String, PromptError> {
    let text = match argument {
        Some("-") => stdin()?,
        Some(text) if and_stdin => format!("{text}\n\n<stdin>\n{}\n</stdin>", stdin()?.trim_end()),
        Some(text) => text.to_owned(),
        None if std::io::stdin().is_terminal() => return Err(PromptError::None),
        None => stdin()?,
    };
    if text.trim().is_empty() {
        return Err(PromptError::None);
    }
    fits(&text)?;
    Ok(text)
}

/// Whether a record can keep it, as which it is longer: quotes and ends of lines are escaped.
fn fits(text: &str) -> Result<(), PromptError> {
    let limit = MAX_LINE_BYTES - RECORD_BYTES;
    match serde_json::to_string(text).map_or(usize::MAX, |kept| kept.len()) {
        bytes if bytes > limit => Err(PromptError::Unkept { bytes, limit }),
        _ => Ok(()),
    }
}

fn stdin() -> Result<String, PromptError> {
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(PROMPT_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(PromptError::Read)?;
    match u64::try_from(text.len()) {
        Ok(bytes) if bytes <= PROMPT_BYTES_MAX => Ok(text),
        _ => Err(PromptError::TooLong { limit: PROMPT_BYTES_MAX }),
    }
}
