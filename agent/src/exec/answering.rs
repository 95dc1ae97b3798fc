//! Who answers what a turn has to ask, and that a no which ends the turn does so.

use std::rc::Rc;

use tokio::sync::mpsc;

use super::Outlet;
use crate::approval::{Answer, Approver, Asking, NoOne, Question, Terminal};
use crate::turn::Word;

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answering {
    /// Nobody: what would be asked is refused.
    Nobody,
    /// Whoever sits at the process's terminal; nobody where it has none.
    Terminal,
}

impl Answering {
    /// The approver of one run. Within a runtime.
    pub(super) fn approver(self, say: mpsc::Sender<Word>, outlet: &Outlet) -> Rc<dyn Approver> {
        let terminal = match self {
            Self::Nobody => None,
            Self::Terminal => Terminal::open().ok(),
        };
        match terminal {
            Some(terminal) => Rc::new(Ending { terminal, say, outlet: outlet.clone() }),
            None => Rc::new(NoOne),
        }
    }
}

/// A terminal at which the turn can be ended with an answer.
struct Ending {
    terminal: Terminal,
    say: mpsc::Sender<Word>,
    /// What shows the run, on the same terminal for all that is known.
    outlet: Outlet,
}

impl Approver for Ending {
    fn ask<'a>(&'a self, question: &'a Question) -> Asking<'a> {
        Box::pin(async move {
            // What the run says meanwhile could be taken for the question.
            let _quiet = self.outlet.quiet().await;
            let answer = self.terminal.ask(question).await;
            if answer == Answer::Cancel {
                // Where the channel is full, somebody has said it already.
                let _ = self.say.try_send(Word::Interrupt);
            }
            answer
        })
    }
}
