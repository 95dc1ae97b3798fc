//! What a launcher that serves a part which may not be believed records of its one command: that it starts, that it does not,
//! how it ended. The user is who the launcher is, which the kernel said before it was made.

use std::io;

use weir_protocol::audit::{Action, By, MAX_DENIALS, Record};
use weir_protocol::denial::Denial;
use weir_protocol::method::network::Decision;
use weir_protocol::policy::DomainPattern;
use weir_sandbox_linux::host::Host;

use super::{Bound, Ended, Launch, LeaseNote, LeaseTurn, Stage};
use crate::audit::now;

fn own(action: Action) -> Record {
    let who = (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw());
    now(who, action, By::Launcher)
}

fn of(action: Action, launch: &Launch) -> Record {
    own(action).with_command(launch.policy.profile(), launch.policy.digest(), &launch.argv)
}

impl Bound {
    /// Before a command is started. Where this fails it must not be.
    pub(super) fn starts(&self, launch: &Launch, host: &Host) -> io::Result<()> {
        let way = if launch.policy.is_unrestricted() { "unrestricted" } else { host.way().name() };
        self.audit.write(&Record { way: Some(way.to_owned()), ..of(Action::Start, launch) })
    }

    /// Before the refusal is told.
    pub(super) fn refuses(&self, launch: &Launch, why: &str) -> io::Result<()> {
        self.audit.write(&of(Action::Refuse, launch).because(why))
    }

    /// A sandbox that was to start has not.
    pub(super) fn failed(&self, launch: &Launch, why: &str) -> io::Result<()> {
        self.audit.write(&of(Action::End, launch).because(why))
    }

    /// What comes of the question about a host. Before it takes effect.
    pub(super) fn answered(
        &self,
        launch: &Launch,
        pattern: &DomainPattern,
        stage: Stage,
        above: Option<&str>,
    ) -> io::Result<()> {
        let why = match (stage, above) {
            (Stage::Question, None) => return Ok(()),
            (Stage::Question | Stage::Answer(Decision::Once | Decision::Context), Some(above)) => {
                format!("{pattern} is not granted: {above}")
            }
            (Stage::Answer(Decision::Once), None) => format!("{pattern} is granted once"),
            (Stage::Answer(Decision::Context), None) => format!("{pattern} is granted for the context"),
            (Stage::Answer(Decision::Deny), _) => format!("{pattern} is denied"),
            (Stage::Silence, _) => format!("{pattern} is not granted: nobody answered in time"),
        };
        self.audit.write(&of(Action::Answer, launch).because(&why))
    }

    /// What becomes of a lease, as the server part tells it. Before it takes effect.
    pub(super) fn lease(&self, note: LeaseNote) -> io::Result<()> {
        let LeaseNote { turn, base, lease, argv, reason } = note;
        let action = match turn {
            LeaseTurn::Given => Action::Lease,
            LeaseTurn::Refused => Action::RefuseLease,
            LeaseTurn::Over => Action::EndLease,
        };
        let record = match base {
            Some((profile, digest)) => own(action).with_command(&profile, digest, &argv),
            None => own(action),
        };
        let mut record = Record { by: By::ServerPart, ..record.about_lease(lease).because(&reason) };
        if turn != LeaseTurn::Given && record.line().is_none() {
            record.lease.iter_mut().for_each(|lease| lease.grants.clear());
        }
        self.audit.write(&record)
    }

    /// Before something is done with a copy. Where this fails it must not be.
    pub(super) fn changes(&self, what: &str) -> io::Result<()> {
        self.audit.write(&own(Action::Changes).because(what))
    }

    /// What a command was refused, the first of many; those that the server part tells are its claims.
    pub(super) fn denied(&self, launch: &Launch, pid: i32, denials: &[Denial], by: By) -> io::Result<()> {
        for denial in denials.iter().take(MAX_DENIALS) {
            let record = Record { pid: Some(pid), by, ..own(Action::Deny) };
            self.audit.write(&record.about(launch.policy.profile(), launch.policy.digest(), denial))?;
        }
        Ok(())
    }

    /// How a command ended that was started.
    pub(super) fn ended(&self, launch: &Launch, pid: i32, way: &str, ended: &Ended) -> io::Result<()> {
        let (way, end) = (Some(way.to_owned()), Some(ended.end));
        self.audit.write(&Record { way, pid: Some(pid), end, ..of(Action::End, launch) })
    }
}
