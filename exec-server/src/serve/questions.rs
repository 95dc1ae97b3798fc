//! Questions of a command's gate, put to the client that owns the command, and what comes of the answers.
//!
//! The launcher is asked before the client is, and again before a grant takes effect: it holds the ceiling and writes the record. Where
//! nobody owns the command nobody is asked.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use tokio::sync::{mpsc, oneshot};
use weir_protocol::method::network::{Asking, Decision, HostQuestion, QuestionId};
use weir_protocol::method::process::Event;
use weir_protocol::method::{Error, code};
use weir_protocol::policy::DomainPattern;

use super::Server;
use super::command::Command;
use crate::egress::asking::{Asked, Reply};
use crate::launch::Stage;

/// The questions of one command.
#[derive(Debug, Default)]
pub(super) struct Questions {
    last: Cell<QuestionId>,
    /// Put to the client and not answered.
    open: RefCell<HashMap<QuestionId, oneshot::Sender<Decision>>>,
}

impl Questions {
    fn put(&self) -> (QuestionId, oneshot::Receiver<Decision>) {
        let question = self.last.get() + 1;
        self.last.set(question);
        let (answer, answered) = oneshot::channel();
        self.open.borrow_mut().insert(question, answer);
        (question, answered)
    }

    /// Whoever was asked is gone.
    pub(super) fn leave(&self) {
        self.open.borrow_mut().clear();
    }

    /// Takes the answer to an open question.
    ///
    /// # Errors
    /// [`code::NO_QUESTION`].
    pub(super) fn answer(&self, question: QuestionId, decision: Decision) -> Result<(), Error> {
        let waiting = self.open.borrow_mut().remove(&question);
        waiting.and_then(|waiting| waiting.send(decision).ok()).ok_or_else(|| no_question(question))
    }
}

pub(super) fn no_question(question: QuestionId) -> Error {
    let message = format!("there is no open question {question} of this command for this client");
    Error { code: code::NO_QUESTION, message }
}

/// Puts every question to the command's owner, until its gate is gone.
pub(super) async fn attend(
    server: Rc<Server>,
    command: Rc<Command>,
    mut asked: mpsc::Receiver<Asked>,
    bounds: Asking,
) {
    while let Some(asked) = asked.recv().await {
        tokio::task::spawn_local(settle(Rc::clone(&server), Rc::clone(&command), asked, bounds));
    }
}

async fn settle(server: Rc<Server>, command: Rc<Command>, asked: Asked, bounds: Asking) {
    let Asked { host, port, rule, mut reply } = asked;
    let pattern = DomainPattern::one(host.clone(), port);
    if let Some(above) = command.weigh(&pattern, Stage::Question).await {
        return drop(reply.send(Reply::Above(above)));
    }
    let Some(owner) = command.owners_outbox() else { return };
    let (question, answered) = command.questions.put();
    let event = Event::Question(Box::new(HostQuestion {
        id: command.id,
        question,
        context: command.context,
        host: host.to_string(),
        port,
        rule: rule.map(|rule| *rule),
        answer_ms: bounds.answer_ms,
    }));
    let answer = async {
        owner.event(event).await.ok()?;
        answered.await.ok()
    };
    let decision = tokio::select! {
        decision = answer => decision,
        () = reply.closed() => None,
    };
    command.questions.open.borrow_mut().remove(&question);
    let stage = decision.map_or(Stage::Silence, Stage::Answer);
    let above = command.weigh(&pattern, stage).await;
    let said = match (decision, above) {
        (None, _) => return,
        (Some(Decision::Deny), _) => Reply::Denied,
        (_, Some(above)) => Reply::Above(above),
        (Some(Decision::Once), None) => Reply::Once,
        (Some(Decision::Context), None) => {
            share(&server, &command, &pattern);
            Reply::Always
        }
    };
    let _ = reply.send(said);
}

/// Grants a host to everything else of the command's context, now and later. Where it cannot be kept, it holds for this command alone.
fn share(server: &Server, command: &Command, pattern: &DomainPattern) {
    let Some(context) = command.context else { return };
    if server.contexts.lease_host(context, pattern).is_err() {
        return;
    }
    let others = server.commands().into_iter();
    for other in others.filter(|other| other.context == Some(context) && other.id != command.id) {
        let pattern = pattern.clone();
        tokio::task::spawn_local(async move {
            if other.weigh(&pattern, Stage::Answer(Decision::Context)).await.is_none() {
                other.widen(&pattern);
            }
        });
    }
}
