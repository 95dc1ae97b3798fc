//! Answers that nobody heard. Before Linux 5.19 a signal interrupts a caller although its call was performed; when it comes
//! again with the same call it gets the result, and not EEXIST from its own first try. One gap cannot be closed: the kernel
//! accepts an answer and interrupts the caller all the same when the signal comes in between
//! (`seccomp_do_user_notification` before it takes its lock again).

use super::listener::Notification;
use super::{Answer, Wait};

/// Most answers kept; the oldest goes first. Each may hold an open file.
const MAX_UNHEARD: usize = 16;

/// The answers, by caller.
#[derive(Debug)]
pub(super) struct Replay {
    wait: Wait,
    unheard: Vec<(Notification, Answer)>,
}

impl Replay {
    pub(super) fn new(wait: Wait) -> Self {
        Self { wait, unheard: Vec::new() }
    }

    /// Keeps an answer. Where callers cannot be interrupted only the dead do not hear.
    pub(super) fn keep(&mut self, call: &Notification, answer: Answer) {
        if self.wait == Wait::Killable {
            return;
        }
        if self.unheard.len() == MAX_UNHEARD {
            self.unheard.remove(0);
        }
        self.unheard.push((*call, answer));
    }

    /// The answer to the call that this one repeats. Any other call of the same thread ends the wait for its second try.
    pub(super) fn take(&mut self, call: &Notification) -> Option<Answer> {
        let at = self.unheard.iter().position(|(first, _)| first.pid == call.pid)?;
        let (first, answer) = self.unheard.remove(at);
        (first.nr == call.nr && first.args == call.args).then_some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(pid: u32, first: u64) -> Notification {
        Notification { id: 1, pid, nr: 83, args: [first, 0, 0, 0, 0, 0] }
    }

    #[test]
    fn the_same_call_gets_the_first_answer_once() {
        let mut replay = Replay::new(Wait::Interruptible);
        replay.keep(&call(1, 7), Answer::Done);
        replay.keep(&call(2, 7), Answer::Done);
        assert!(replay.take(&call(3, 7)).is_none());
        assert!(matches!(replay.take(&call(1, 7)), Some(Answer::Done)));
        assert!(replay.take(&call(1, 7)).is_none());
        assert!(replay.take(&call(2, 8)).is_none());
        assert!(replay.take(&call(2, 7)).is_none());
        for pid in 0..40 {
            replay.keep(&call(pid, 0), Answer::Done);
        }
        assert_eq!(replay.unheard.len(), MAX_UNHEARD);
        let mut killable = Replay::new(Wait::Killable);
        killable.keep(&call(1, 7), Answer::Done);
        assert!(killable.take(&call(1, 7)).is_none());
    }
}
