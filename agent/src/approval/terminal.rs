//! Asking at the terminal of the process, whatever its standard streams are.
//!
//! Opened before the agent confines itself, as everything is. Nothing is read from standard input: a prompt may come from there.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;
use rustix::termios::{QueueSelector, tcflush, tcgetwinsize};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::sync::Mutex;

use super::fitted::{self, Size};
use super::gate::{Approver, Asking};
use super::question::{Answer, Question};

/// The terminal that controls the process (tty(4)).
const TERMINAL: &str = "/dev/tty";

/// Bytes of an answer that are read; the rest of a line is not.
const MAX_ANSWER_BYTES: usize = 4096;

/// A terminal, and whoever sits there.
#[derive(Debug)]
pub struct Terminal {
    file: File,
    /// The same: a receiver waits for any descriptor that can be waited for.
    input: Receiver,
    /// The same again.
    output: Sender,
    /// One question at a time: calls may want something at once.
    turn: Mutex<()>,
    /// What was typed and not yet taken.
    typed: RefCell<Vec<u8>>,
}

impl Terminal {
    /// The process's terminal. Within a runtime.
    ///
    /// # Errors
    /// Where it has none.
    pub fn open() -> io::Result<Self> {
        // Its own description, so that no other stream of this terminal learns not to wait.
        let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or_default();
        let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(TERMINAL)?;
        let input = Receiver::from_file_unchecked(file.try_clone()?)?;
        let output = Sender::from_file_unchecked(file.try_clone()?)?;
        Ok(Self { file, input, output, turn: Mutex::new(()), typed: RefCell::default() })
    }

    /// Writes all of it, however long the terminal takes.
    async fn say(&self, text: &str) -> io::Result<()> {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            self.output.writable().await?;
            match self.output.try_write(rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn size(&self) -> Size {
        match tcgetwinsize(&self.file) {
            Ok(size) if size.ws_row > 0 && size.ws_col > 0 => {
                Size { rows: size.ws_row.into(), columns: size.ws_col.into() }
            }
            _ => Size::USUAL,
        }
    }

    /// The next line that is typed, without its end; none where nobody will type any more.
    async fn line(&self) -> io::Result<Option<String>> {
        loop {
            if let Some(line) = self.typed_line() {
                return Ok(Some(line));
            }
            self.input.readable().await?;
            let mut buffer = [0; MAX_ANSWER_BYTES];
            match self.input.try_read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(count) => self.typed.borrow_mut().extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn typed_line(&self) -> Option<String> {
        let mut typed = self.typed.borrow_mut();
        let end = typed.iter().position(|&byte| byte == b'\n')?;
        let line: Vec<u8> = typed.drain(..=end).collect();
        Some(String::from_utf8_lossy(&line).trim().to_owned())
    }

    async fn answer(&self, question: &Question) -> io::Result<Answer> {
        let fitted = fitted::fit(&question.text(), self.size());
        let turn = if question.offers_turn() { "  [t] yes, until this turn ends" } else { "" };
        let all = if fitted.short.is_some() { "  [a] show all of it" } else { "" };
        let offer = format!(
            "[y] yes{turn}{all}  [n] no  [n WHY] no, and the model is told why  [q] no, and the turn ends\n> "
        );
        self.put(fitted.shown(), &offer).await?;
        loop {
            let Some(line) = self.line().await? else { return Ok(Answer::Cancel) };
            match (read(&line, question.offers_turn()), &fitted.short) {
                (Some(answer), _) => return Ok(answer),
                // What is answered is in sight again at the end.
                (None, Some(short)) if wants_all(&line) => {
                    self.put(&format!("{}\n{short}", fitted.whole), &offer).await?;
                }
                (None, _) => self.say(&offer).await?,
            }
        }
    }

    /// Puts a question. What was typed before it was seen is no answer to it.
    async fn put(&self, text: &str, offer: &str) -> io::Result<()> {
        self.say(&format!("\n{text}")).await?;
        self.typed.borrow_mut().clear();
        tcflush(&self.file, QueueSelector::IFlush)?;
        self.say(offer).await
    }
}

fn wants_all(line: &str) -> bool {
    matches!(line.to_lowercase().as_str(), "a" | "all")
}

fn read(line: &str, offers_turn: bool) -> Option<Answer> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match (word.to_lowercase().as_str(), rest.trim()) {
        ("y" | "yes", "") => Some(Answer::Once),
        ("t" | "turn", "") if offers_turn => Some(Answer::ForTurn),
        ("n" | "no", "") => Some(Answer::Deny { reason: None }),
        ("n" | "no", reason) => Some(Answer::Deny { reason: Some(reason.to_owned()) }),
        ("q" | "quit", "") => Some(Answer::Cancel),
        _ => None,
    }
}

impl Approver for Terminal {
    fn ask<'a>(&'a self, question: &'a Question) -> Asking<'a> {
        Box::pin(async move {
            let _turn = self.turn.lock().await;
            let reason =
                |error: io::Error| Answer::Deny { reason: Some(format!("the terminal fails: {error}")) };
            self.answer(question).await.unwrap_or_else(reason)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_one() {
        let cases = [
            ("y", Some(Answer::Once)),
            ("YES", Some(Answer::Once)),
            ("t", Some(Answer::ForTurn)),
            ("n", Some(Answer::Deny { reason: None })),
            ("no, that is wrong", None),
            ("n use the mirror", Some(Answer::Deny { reason: Some("use the mirror".to_owned()) })),
            ("q", Some(Answer::Cancel)),
            ("", None),
            ("y please", None),
            ("yy", None),
        ];
        for (line, expect) in cases {
            assert_eq!(read(line, true), expect, "{line:?}");
        }
        assert_eq!(read("t", false), None);
    }
}
