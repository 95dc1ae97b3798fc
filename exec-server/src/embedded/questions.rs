//! Questions of the one command's gate: from its thread to the client and back, each weighed by the launcher on either way.
//!
//! Waits for nothing: what is to be said, and to whom, is returned. Time runs out in the gate itself.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{Receiver, channel};

use weir_protocol::method::network::{Asking, Decision, HostQuestion, QuestionId};
use weir_protocol::method::{Error, code};
use weir_protocol::policy::DomainPattern;

use super::ONLY;
use crate::egress::asking::{Asked, Reply};
use crate::egress::begin::Intent;
use crate::launch::{Order, Stage};

/// The questions of the one command.
#[derive(Debug)]
pub(super) struct Questions {
    bounds: Asking,
    /// Those that have come, bounded by the gate.
    arriving: Receiver<Asked>,
    /// A byte for each of them, to be waited for.
    bell: io::PipeReader,
    last: QuestionId,
    open: BTreeMap<QuestionId, Asked>,
    /// What the launcher weighs, in order.
    weighing: VecDeque<(QuestionId, Stage)>,
}

pub(super) fn no_question(question: QuestionId) -> Error {
    Error { code: code::NO_QUESTION, message: format!("there is no open question {question}") }
}

impl Questions {
    /// Those of the gate that is to be opened.
    ///
    /// # Errors
    /// A pipe or a thread cannot be made.
    pub(super) fn of(intent: &mut Intent, bounds: Asking) -> io::Result<Self> {
        let mut asked = intent.ask(bounds);
        let (pass, arriving) = channel();
        let (bell, mut ring) = io::pipe()?;
        std::thread::Builder::new().name("questions".to_owned()).spawn(move || {
            while let Some(asked) = asked.blocking_recv() {
                if pass.send(asked).is_err() || ring.write_all(&[0]).is_err() {
                    return;
                }
            }
        })?;
        let (open, weighing) = (BTreeMap::new(), VecDeque::new());
        Ok(Self { bounds, arriving, bell, last: 0, open, weighing })
    }

    /// Takes the next one: what the launcher is asked about it. The bell is rung for no other reason, but for the end of the gate.
    pub(super) fn next(&mut self) -> Option<Order> {
        let rung = self.bell.read(&mut [0]).ok().filter(|count| *count > 0);
        let asked = rung.and_then(|_| self.arriving.try_recv().ok())?;
        self.open.retain(|_, open| !open.reply.is_closed());
        self.last += 1;
        let order = order(&asked, Stage::Question);
        self.open.insert(self.last, asked);
        self.weighing.push_back((self.last, Stage::Question));
        Some(order)
    }

    /// Hears the launcher's word about the oldest that is weighed: the question that is to be put to the client now, if any.
    pub(super) fn weighed(&mut self, above: Option<String>) -> Option<HostQuestion> {
        let (question, stage) = self.weighing.pop_front()?;
        let asked = self.open.remove(&question)?;
        let reply = match (stage, above) {
            (Stage::Question, None) => {
                let told = self.told(question, &asked);
                self.open.insert(question, asked);
                return Some(told);
            }
            (Stage::Answer(Decision::Deny), _) => Reply::Denied,
            (_, Some(above)) => Reply::Above(above),
            (Stage::Answer(Decision::Once), None) => Reply::Once,
            (Stage::Answer(Decision::Context), None) => Reply::Always,
            (Stage::Silence, None) => return None,
        };
        // Its time may be over meanwhile.
        let _ = asked.reply.send(reply);
        None
    }

    fn told(&self, question: QuestionId, asked: &Asked) -> HostQuestion {
        HostQuestion {
            id: ONLY,
            question,
            context: None,
            host: asked.host.to_string(),
            port: asked.port,
            rule: asked.rule.as_deref().cloned(),
            answer_ms: self.bounds.answer_ms,
        }
    }

    /// Takes the client's answer to an open question: what the launcher is asked before it takes effect.
    pub(super) fn answer(&mut self, question: QuestionId, decision: Decision) -> Option<Order> {
        let asked = self.open.get(&question).filter(|asked| !asked.reply.is_closed())?;
        if self.weighing.iter().any(|(weighed, _)| *weighed == question) {
            return None;
        }
        let stage = Stage::Answer(decision);
        let order = order(asked, stage);
        self.weighing.push_back((question, stage));
        Some(order)
    }
}

impl AsFd for Questions {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

fn order(asked: &Asked, stage: Stage) -> Order {
    Order::Weigh { pattern: DomainPattern::one(asked.host.clone(), asked.port), stage }
}
