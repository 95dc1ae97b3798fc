//! What a connection has to do with commands: its part in each, from the answer to a start or an attachment to the last word.
//!
//! A client hears of a command in this order: the answer, then its streams as far as the credit goes, `process/exited`, and when all
//! of the output was sent `process/closed`. Whose input counts is the command's to know (its owner).

use std::rc::Rc;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use weir_protocol::frame::{Credit, Place, Stream};
use weir_protocol::method::output::{Account, Attach, Attached, Closed, Role, WhenLeft};
use weir_protocol::method::process::Event;

use super::super::command::Command;
use super::super::outbox::OutboxError;
use super::{Connection, state, value};
use crate::answer::response;
use crate::wire::{Violation, WireError};

/// What a client reads of one command.
#[derive(Debug)]
pub(super) struct Attachment {
    command: Rc<Command>,
    limits: [watch::Sender<u64>; 2],
    role: Role,
}

impl Connection {
    pub(super) async fn attach(self: &Rc<Self>, id: u64, attach: &Attach) -> Result<(), WireError> {
        let command = match self.server.command(attach.id) {
            Ok(command) => command,
            Err(error) => return self.answer(id, Err(error)).await,
        };
        if self.attachments.borrow().contains_key(&attach.id) {
            return self.answer(id, Err(state("this connection is attached already"))).await;
        }
        let from = starts(&command, attach);
        // From here on nobody else's input counts.
        self.take(attach, from, &command);
        let takes_input = attach.role == Role::Owner && !command.has_ended();
        let attached = Attached {
            listed: command.listed(),
            enforcement: command.enforcement.clone(),
            from,
            input: command.input().filter(|_| takes_input).and_then(|input| input.next()),
        };
        let said = self.outbox.answer_first(response(Some(id), value(attached)), None).await;
        self.begin(from, &command, said.map_err(|_| WireError::Gone)?);
        Ok(())
    }

    /// From here on this connection's end is the command's business, and its credit counts.
    pub(super) fn take(&self, attach: &Attach, from: [u64; 2], command: &Rc<Command>) {
        let limits = from.map(|from| watch::Sender::new(from.saturating_add(attach.credit)));
        if attach.role == Role::Owner {
            command.set_owner(Some(self.number));
        }
        let attachment = Attachment { command: Rc::clone(command), limits, role: attach.role };
        self.attachments.borrow_mut().insert(command.id, attachment);
        self.attached.send_modify(|attached| *attached += 1);
    }

    /// From here on the client hears of the command, and reads its streams as soon as it has heard what was `said` before.
    pub(super) fn begin(self: &Rc<Self>, from: [u64; 2], command: &Rc<Command>, said: oneshot::Receiver<()>) {
        command.add_hearer(self.number, self.outbox.clone());
        let attachments = self.attachments.borrow();
        let Some(attachment) = attachments.get(&command.id) else { return };
        let mut sending = Vec::new();
        for ((stream, from), limit) in command.streams().iter().zip(from).zip(&attachment.limits) {
            if let Some(stream) = stream {
                let at = (command.id, from);
                sending.push(Rc::clone(stream).send(Rc::clone(&self.wire), at, limit.subscribe()));
            }
        }
        let input = command.input().filter(|_| attachment.role == Role::Owner);
        let granting = input.map(|input| Rc::clone(input).grant(Rc::clone(&self.wire), command.id));
        let (this, command) = (Rc::clone(self), Rc::clone(command));
        self.tasks.borrow_mut().spawn_local(async move {
            if said.await.is_ok() && this.follow(&command, sending, granting).await.is_ok() {
                this.finished(&command);
            }
        });
    }

    /// The command's end, all of its output, and the last word.
    async fn follow(
        &self,
        command: &Command,
        sending: Vec<impl Future<Output = Result<Account, OutboxError>> + 'static>,
        granting: Option<impl Future<Output = Result<(), OutboxError>> + 'static>,
    ) -> Result<(), OutboxError> {
        let (mut streams, mut grants) = (JoinSet::new(), JoinSet::new());
        granting.into_iter().for_each(|granting| drop(grants.spawn_local(granting)));
        let carried = !sending.is_empty();
        let mut accounts = Vec::new();
        for sending in sending {
            streams.spawn_local(sending);
        }
        if let Some(exited) = command.ended().await {
            self.outbox.event(Event::Exited(Box::new(exited))).await?;
        }
        while let Some(sent) = streams.join_next().await {
            accounts.push(sent.unwrap_or(Err(OutboxError::Gone))?);
        }
        if carried {
            accounts.sort_by_key(|account| account.stream);
            self.outbox.event(Event::Closed(Closed { id: command.id, streams: accounts })).await?;
        }
        Ok(())
    }

    /// The client has heard all of it.
    fn finished(&self, command: &Rc<Command>) {
        command.remove_hearer(self.number);
        let attachment = self.attachments.borrow_mut().remove(&command.id);
        self.attached.send_modify(|attached| *attached = attached.saturating_sub(1));
        // Whoever has taken it over since has still to hear all of it.
        if attachment.is_some() && command.owner() == Some(self.number) {
            command.set_owner(None);
            if command.output.when_left == WhenLeft::End {
                self.server.drop_command(command.id);
            }
        }
    }

    pub(super) fn input(&self, place: Place, bytes: &[u8]) -> Result<(), WireError> {
        let command = self.server.command(place.id).ok();
        let owned = command.filter(|command| command.owner() == Some(self.number));
        // A command that has ended in the meantime reads nothing more.
        let Some(command) = owned else { return Ok(()) };
        let accepted = match command.input() {
            Some(input) if place.stream == Stream::Input => input.accept(place.offset, bytes),
            _ => Err(Violation::Nowhere),
        };
        accepted.map_err(|why| WireError::Input { command: place.id, why })
    }

    pub(super) fn credit(&self, credit: Credit) {
        let attachments = self.attachments.borrow();
        let Some(attachment) = attachments.get(&credit.received.id) else { return };
        let at = match credit.received.stream {
            Stream::Input | Stream::Content => return,
            Stream::Output => 0,
            Stream::Error => 1,
        };
        if let Some(limit) = attachment.limits.get(at) {
            limit.send_if_modified(|limit| {
                let more = credit.limit > *limit;
                *limit = credit.limit.max(*limit);
                more
            });
        }
        // What a reader has, or who owned it before, the owner may not have yet.
        if attachment.command.owner() == Some(self.number)
            && let Some(stream) = attachment.command.stream(credit.received.stream)
        {
            stream.release(credit.received.offset);
        }
    }

    /// The client is gone.
    pub(super) fn leave(&self) {
        let attachments = std::mem::take(&mut *self.attachments.borrow_mut());
        for attachment in attachments.into_values() {
            attachment.command.remove_hearer(self.number);
            if attachment.role == Role::Owner {
                self.leave_command(&attachment.command);
            }
        }
        self.tasks.borrow_mut().abort_all();
    }

    fn leave_command(&self, command: &Rc<Command>) {
        if command.owner() != Some(self.number) {
            return;
        }
        command.set_owner(None);
        if command.output.when_left == WhenLeft::End {
            self.server.end(command);
        }
    }
}

fn starts(command: &Command, attach: &Attach) -> [u64; 2] {
    let mut from = attach.from;
    for (from, stream) in from.iter_mut().zip(command.streams()) {
        *from = stream.as_ref().map_or(0, |stream| stream.start(*from));
    }
    from
}
