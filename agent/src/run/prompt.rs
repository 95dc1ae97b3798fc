//! Questions about hosts, put to whoever sits at the controlling terminal: one key answers.
//!
//! Waits for nothing by itself: [`run`](super::run) polls the terminal while a question is on it. Keys that were typed before a question
//! stood there do not answer it. In the background, or where the time is over, nothing is granted.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::termios::{
    LocalModes, OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcgetpgrp, tcsetattr,
};
use weir_protocol::method::network::{Answer, Decision, HostQuestion};

use super::job;
use crate::shown;

/// The terminal that controls this process (tty(4)).
const TERMINAL: &str = "/dev/tty";

/// Whether there is a terminal at which somebody could answer.
#[must_use]
pub fn can_ask() -> bool {
    open().is_some()
}

fn open() -> Option<File> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(TERMINAL, flags, Mode::empty()).ok().map(File::from)
}

/// The questions that wait, the first of them on the terminal.
#[derive(Default)]
pub(super) struct Prompt {
    waiting: VecDeque<(HostQuestion, Instant)>,
    /// The terminal, as it was before.
    shown: Option<(File, Termios)>,
}

impl Prompt {
    /// Adds a question.
    pub(super) fn put(&mut self, question: HostQuestion) {
        let until = Instant::now() + Duration::from_millis(question.answer_ms);
        self.waiting.push_back((question, until));
    }

    /// Whether the terminal is the prompt's now, and nobody else's.
    pub(super) const fn has_terminal(&self) -> bool {
        self.shown.is_some()
    }

    /// Whether there is something to ask.
    pub(super) fn is_wanted(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What to wait for.
    pub(super) fn terminal(&self) -> Option<BorrowedFd<'_>> {
        self.shown.as_ref().map(|(terminal, _)| terminal.as_fd())
    }

    /// How long the first question's time still is.
    pub(super) fn left(&self) -> Option<Duration> {
        self.waiting.front().map(|(_, until)| until.saturating_duration_since(Instant::now()))
    }

    /// Puts the first question onto the terminal, where it is this process's to use; otherwise it is denied.
    pub(super) fn show(&mut self) -> Option<Answer> {
        let (question, _) = self.waiting.front()?;
        let text = text(question);
        let taken = open().filter(is_foreground).and_then(|terminal| {
            let before = tcgetattr(&terminal).ok()?;
            let mut keys = before.clone();
            keys.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
            tcflush(&terminal, QueueSelector::IFlush).ok()?;
            tcsetattr(&terminal, OptionalActions::Now, &keys).ok()?;
            Some((terminal, before))
        });
        let Some((mut terminal, before)) = taken else { return self.answer(Decision::Deny) };
        let written = terminal.write_all(text.as_bytes());
        self.shown = Some((terminal, before));
        written.err().and_then(|_| self.answer(Decision::Deny))
    }

    /// Gives the terminal back.
    pub(super) fn hide(&mut self) {
        if let Some((terminal, before)) = self.shown.take() {
            let _ = tcsetattr(&terminal, OptionalActions::Now, &before);
        }
    }

    /// Reads what was typed: the answer, once it is one.
    pub(super) fn read(&mut self) -> Option<Answer> {
        let (terminal, _) = self.shown.as_mut()?;
        let mut keys = [0; 64];
        match terminal.read(&mut keys) {
            Ok(0) | Err(_) => self.answer(Decision::Deny),
            Ok(count) => {
                let decision = keys.get(..count).unwrap_or_default().iter().find_map(|key| decision(*key))?;
                self.answer(decision)
            }
        }
    }

    /// Drops questions whose time is over; the server has refused them by then.
    pub(super) fn expire(&mut self) {
        let now = Instant::now();
        if self.waiting.front().is_some_and(|(_, until)| *until <= now) {
            self.say("no answer in time");
            self.hide();
        }
        self.waiting.retain(|(_, until)| *until > now);
    }

    /// The command has ended: nothing is asked any more.
    pub(super) fn cancel(&mut self) {
        if self.shown.is_some() {
            self.say("the command has ended");
        }
        self.hide();
        self.waiting.clear();
    }

    fn answer(&mut self, decision: Decision) -> Option<Answer> {
        self.say(match decision {
            Decision::Once => "once",
            Decision::Context => "for this run",
            Decision::Deny => "no",
        });
        self.hide();
        let (HostQuestion { id, question, .. }, _) = self.waiting.pop_front()?;
        Some(Answer { id, question, answer: decision })
    }

    fn say(&mut self, word: &str) {
        if let Some((terminal, _)) = &mut self.shown {
            let _ = terminal.write_all(format!("{word}\r\n").as_bytes());
        }
    }
}

impl Drop for Prompt {
    fn drop(&mut self) {
        self.hide();
    }
}

fn is_foreground(terminal: &File) -> bool {
    tcgetpgrp(terminal).is_ok_and(job::is_own_group)
}

fn decision(key: u8) -> Option<Decision> {
    match key {
        b'y' | b'Y' => Some(Decision::Once),
        b'a' | b'A' => Some(Decision::Context),
        b'n' | b'N' | b'\r' | b'\n' | 0x1b => Some(Decision::Deny),
        _ => None,
    }
}

/// Host and rule as the server names them.
fn text(question: &HostQuestion) -> String {
    let HostQuestion { host, port, rule, .. } = question;
    let rule = match rule {
        Some(rule) => format!("only the default covers it: {rule}"),
        None => "no rule covers it".to_owned(),
    };
    let line = format!("weir: the command wants to reach {host}:{port}; {rule}");
    let line = shown::exact(line.as_bytes());
    format!("\r\n{line}\r\nweir: allow it? [y] once, [a] for this run, [N] no: ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_answers_and_the_default_is_no() {
        let cases = [
            (b'y', Some(Decision::Once)),
            (b'A', Some(Decision::Context)),
            (b'n', Some(Decision::Deny)),
            (b'\r', Some(Decision::Deny)),
            (b'x', None),
        ];
        for (key, expect) in cases {
            assert_eq!(decision(key), expect, "{key}");
        }
    }

    #[test]
    fn a_name_gives_the_terminal_no_orders() {
        let host = "a\u{1b}[2J.example\r\n".to_owned();
        let question =
            HostQuestion { id: 1, question: 1, context: None, host, port: 443, rule: None, answer_ms: 1 };
        let text = text(&question);
        assert!(text.contains("a\\u{1b}[2J.example\\r\\n:443; no rule covers it"), "{text}");
        assert!(!text.contains('\u{1b}'));
    }
}
