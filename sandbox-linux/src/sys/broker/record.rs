//! The record of what callers use: what a call does is noted as it is judged, and told once it has succeeded.

use std::collections::BTreeSet;

use weir_protocol::denial::Act;

use super::call;
use super::listener::Notification;
use super::resolve::World;
use super::tracee::Tracee;
use super::{Answer, Broker, HERE};
use crate::broker::{Recorder, Watched, Watches};

/// What the kernel puts behind the path of a program whose file is gone (proc_pid_exe(5)).
const DELETED: &[u8] = b" (deleted)";

/// What is recorded, and what the call under way has done so far.
#[derive(Debug)]
pub(super) struct Record {
    /// Calls that go on.
    watches: Watches,
    recorder: Recorder,
    doing: Vec<(Act, Vec<u8>)>,
    /// Ports of streams that the kernel chose.
    chosen: BTreeSet<u16>,
}

impl Broker {
    /// Tells of all that is done from now on. Live rules, if only empty ones, make every call that opens a file come here.
    pub fn record(&mut self) {
        let (recorder, doing, chosen) = Default::default();
        self.record = Some(Record { watches: Watches::new(HERE), recorder, doing, chosen });
    }

    /// What a call names that is to go on; nothing where nothing is recorded.
    pub(super) fn watched(&self, call: &Notification) -> Option<Watched> {
        self.record.as_ref()?.watches.decode(call.nr, &call.args)
    }

    /// Whether anything is recorded: what is asked for a record alone is not asked otherwise.
    pub(super) const fn is_recorded(&self) -> bool {
        self.record.is_some()
    }

    /// Notes what the call under way does; whatever is done to a name counts as making one.
    pub(super) fn note(&mut self, act: Act, path: &[u8]) {
        if let Some(record) = &mut self.record {
            let act = if act.needs_directory() { Act::Create } else { act };
            record.doing.push((act, path.to_vec()));
        }
    }

    /// Remembers a port of a stream that was left to the kernel.
    pub(super) fn remember_port(&mut self, port: Option<u16>) {
        if let Some(record) = &mut self.record {
            record.chosen.extend(port);
        }
    }

    /// Whether the kernel chose a port.
    pub(super) fn chose_port(&self, port: u16) -> bool {
        self.record.as_ref().is_some_and(|record| record.chosen.contains(&port))
    }

    /// The call has failed: what it would have done is nothing that was used.
    pub(super) fn forget_record(&mut self) {
        self.record.iter_mut().for_each(|record| record.doing.clear());
    }

    /// The call has its answer, and its caller still waits for it.
    pub(super) fn keep_record(&mut self, call: &Notification, answer: &Answer) {
        match answer {
            // A connection that is under way.
            Answer::Errno(libc::EINPROGRESS) => self.keep_uses(call),
            Answer::Errno(_) => self.forget_record(),
            Answer::Done | Answer::Descriptor(_) | Answer::Delegated => self.keep_uses(call),
        }
    }

    /// What the call has noted was used.
    pub(super) fn keep_uses(&mut self, call: &Notification) {
        let Some(record) = &mut self.record else { return };
        let doing = std::mem::take(&mut record.doing);
        let tracee = Tracee::new(call, &self.world, &self.listener);
        record.recorder.record(&mut self.queue, program(&self.world, &tracee), doing);
    }
}

/// The program that a caller executes; nothing before the command's own process executes one.
fn program(world: &World, tracee: &Tracee) -> Option<Vec<u8>> {
    let program = call::read_link(tracee.dir().ok()?, c"exe").ok()?;
    let is_told = program.first() == Some(&b'/') && !program.ends_with(DELETED);
    let is_own = || call::read_link(world.proc(), c"self/exe").is_ok_and(|own| own == program);
    (is_told && !is_own()).then_some(program)
}
