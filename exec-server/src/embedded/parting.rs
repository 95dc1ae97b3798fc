//! From the end of the command to the word of it: its gate sends what is on its way, and the client may say that it does not wait.

use std::os::fd::AsFd as _;

use rustix::event::{PollFd, PollFlags};
use weir_protocol::method::process::{End, Event};

use super::{ONLY, Ready, Session, Stage};
use crate::egress::Account;
use crate::egress::begin::Settling;
use crate::egress::ending::{Parting, asks_for_end};
use crate::ended::exited;
use crate::launch::{Ended, advice};
use crate::profile::standing::Standing;
use crate::wire::{self, Wire, WireError};

/// A command that has ended, whose gate has not.
#[derive(Debug)]
pub(super) struct Parted {
    ended: Ended,
    /// For what the server ended it.
    end: Option<End>,
    gate: Settling,
}

impl Parted {
    /// Waits for the gate and the client. Nothing else counts any more: the launcher's end is no news, and the command's time is not running.
    pub(super) fn wait(&self, client: &Wire) -> Result<Ready, WireError> {
        let Some(gate) = self.gate.over() else { return Ok(Ready::Gate) };
        let mut watched = [
            PollFd::from_borrowed_fd(gate, PollFlags::IN),
            PollFd::from_borrowed_fd(client.as_fd(), PollFlags::IN),
        ];
        loop {
            wire::wait(&mut watched, None)?;
            match watched.iter().position(|entry| !entry.revents().is_empty()) {
                Some(0) => return Ok(Ready::Gate),
                Some(_) => return Ok(Ready::Client),
                None => {}
            }
        }
    }

    /// A signal for a command that is not there any more.
    pub(super) fn hear(&self, signal: i32) {
        if asks_for_end(signal) {
            self.gate.give_up();
        }
    }
}

impl Session {
    /// The command has ended, and these signals have not reached it.
    pub(super) fn part(
        &mut self,
        ended: Ended,
        mut unheard: impl Iterator<Item = i32>,
    ) -> Result<(), WireError> {
        let deadline = self.deadline.take().filter(|deadline| deadline.told);
        let end = deadline.map(|deadline| End::TimedOut { limit_ms: deadline.limit_ms });
        let Some(gate) = self.gate.take() else { return self.tell_end(ended, end, None) };
        let parting =
            if unheard.any(asks_for_end) { Parting::Forced } else { Parting::of(end.unwrap_or(ended.end)) };
        let gate = gate.settle(parting);
        self.parted = Some(Parted { ended, end, gate });
        Ok(())
    }

    /// So has its gate.
    pub(super) fn over(&mut self) -> Result<(), WireError> {
        let Some(Parted { ended, end, gate }) = self.parted.take() else { return Ok(()) };
        let mut account = gate.account();
        if let (Some(account), Some((policy, standpoint))) = (&mut account, &self.advised) {
            let denials = account.denials.list_mut();
            if denials.iter().any(advice::is_given) {
                advice::below(&Standing::read(), policy, standpoint, denials);
            }
        }
        self.tell_end(ended, end, account)
    }

    fn tell_end(
        &mut self,
        ended: Ended,
        end: Option<End>,
        account: Option<Account>,
    ) -> Result<(), WireError> {
        let exited = exited(ONLY, ended, end, account, &self.limits);
        self.stage = Stage::Over;
        self.event(Event::Exited(Box::new(exited)))
    }
}
