//! The record of what callers use: what a call does is noted as it is judged, and told once it has succeeded.

use weir_protocol::denial::Act;

use super::call;
use super::listener::Notification;
use super::tracee::Tracee;
use super::{Answer, Broker};
use crate::broker::Recorder;

/// What the kernel puts behind the path of a program whose file is gone (proc_pid_exe(5)).
const DELETED: &[u8] = b" (deleted)";

/// What is recorded, and what the call under way has done so far.
#[derive(Debug, Default)]
pub(super) struct Record {
    recorder: Recorder,
    doing: Vec<(Act, Vec<u8>)>,
}

impl Broker {
    /// Tells of all that is done from now on. Live rules, if only empty ones, make every call that opens a file come here.
    pub fn record(&mut self) {
        self.record = Some(Record::default());
    }

    /// Notes what the call under way does; whatever is done to a name counts as making one.
    pub(super) fn note(&mut self, act: Act, path: &[u8]) {
        if let Some(record) = &mut self.record {
            let act = if act.needs_directory() { Act::Create } else { act };
            record.doing.push((act, path.to_vec()));
        }
    }

    /// The call has failed: what it would have done is nothing that was used.
    pub(super) fn forget_record(&mut self) {
        self.record.iter_mut().for_each(|record| record.doing.clear());
    }

    /// The call has its answer, and its caller still waits for it.
    pub(super) fn keep_record(&mut self, call: &Notification, answer: &Answer) {
        if matches!(answer, Answer::Errno(_)) {
            return self.forget_record();
        }
        let Some(record) = &mut self.record else { return };
        let doing = std::mem::take(&mut record.doing);
        let tracee = Tracee::new(call, &self.world, &self.listener);
        let program = tracee.dir().and_then(|dir| call::read_link(dir, c"exe"));
        let program = program.ok().filter(|path| path.first() == Some(&b'/') && !path.ends_with(DELETED));
        record.recorder.record(&mut self.queue, program, doing);
    }
}
