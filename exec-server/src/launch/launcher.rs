//! The launcher's life: waits for orders, makes a sandbox, watches it to its end. One sandbox at a time, one thread.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::RecvFlags;
use weir_protocol::audit::By;
use weir_protocol::denial::Denial;
use weir_protocol::method::code;
use weir_protocol::policy::DomainPattern;
use weir_sandbox_linux::start::NetworkAhead;

use super::begin::{BeginError, Compiled, Ground, begin, enforcement, leave};
use super::inquiry::Inquiry;
use super::machine::Machine;
use super::records::Records;
use super::running::{Heard, Running};
use super::{
    Bound, Ended, Launch, LeaseNote, Order, Stage, Told, advice, copying, granting, holding, hostfile, sys,
};
use crate::answer::policy::around;
use crate::copies::Copies;
use crate::profile::ceiling::Caller;
use crate::profile::standing::Standing;
use crate::wire::{self, Read, Wire, WireError};

/// Serves the server part until it is gone or its one command has ended; ends what runs then. The caller has tied this process to the client: where
/// that goes without a word it must not wait for anything, and with it goes the rest.
#[must_use]
pub fn run(channel: Wire, server: i32) -> ExitCode {
    // The memory of this process holds policies.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    // Where there is no PID namespace, orphans of a sandbox come here.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    let machine = Machine::presumed();
    // Records come in the machine's own network namespace.
    let records = Records::open();
    let network = NetworkAhead::enter();
    let launcher = Launcher {
        channel,
        server: Some(server),
        bound: None,
        machine,
        network,
        records,
        running: None,
        recorded: None,
    };
    let served = launcher.serve_to_the_end();
    // Its end of the channel is closed, and then the server part goes: nobody else might reap it.
    let _ = sys::reap(server);
    served
}

/// As [`run`], for a server part that is another process's child and may ask for anything. One user, who is this process's, and
/// nothing above the ceiling.
#[must_use]
pub fn run_bound(channel: Wire, mut bound: Bound) -> ExitCode {
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    let machine = Machine::presumed();
    let records = std::mem::take(&mut bound.records);
    Launcher {
        channel,
        server: None,
        bound: Some(bound),
        machine,
        network: None,
        records,
        running: None,
        recorded: None,
    }
    .serve_to_the_end()
}

struct Launcher {
    channel: Wire,
    /// The server part, where it is a child of this process.
    server: Option<i32>,
    bound: Option<Bound>,
    machine: Machine,
    /// Made while the server part decides.
    network: Option<NetworkAhead>,
    /// The kernel's audit records, until a sandbox runs.
    records: Records,
    running: Option<Running>,
    /// What runs, for the record of its end: what was asked for, the first process, the way.
    recorded: Option<(Rc<Launch>, i32, String)>,
}

/// No effect without a record.
fn unrecorded(error: &std::io::Error) -> Told {
    let message = format!("nothing was run: the audit record could not be written: {error}");
    Told::Refused { code: code::AUDIT, message }
}

/// Records what becomes of a lease. Where there is no log there is nothing to write.
fn lease_note(bound: Option<&Bound>, note: LeaseNote) -> Told {
    match bound.map_or(Ok(()), |bound| bound.lease(note)) {
        Ok(()) => Told::Recorded,
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            let message = "what the lease grants is too long for the audit record; ask for less at once";
            Told::Refused { code: code::AUDIT, message: message.to_owned() }
        }
        Err(error) => {
            let message = format!("no lease is given: the audit record could not be written: {error}");
            Told::Refused { code: code::AUDIT, message }
        }
    }
}

/// What there is to do.
enum Ready {
    Orders,
    Words,
    Records,
    End,
    /// The first process does not pass on what asks for the end.
    Unheard,
}

/// Whether the sandbox goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    On,
    End,
}

impl Launcher {
    fn serve_to_the_end(mut self) -> ExitCode {
        let served = self.serve();
        if let Some(running) = self.running.take() {
            running.end();
            let _ = self.record_end(&running.reap());
        }
        match served {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        }
    }

    /// Why this must not be launched, whoever decided that it may.
    fn refusal(&self, launch: &Launch) -> Option<Told> {
        let bound = self.bound.as_ref()?;
        let (code, message) = if launch.user.is_some() {
            (code::QUESTION, "a command runs as nobody but its caller".to_owned())
        } else {
            let caller = Caller::of_this_process();
            let above = bound.ceiling.check(&launch.policy, caller, &around(&launch.standpoint)).err()?;
            (code::CEILING, above.to_string())
        };
        Some(match bound.refuses(launch, &message) {
            Ok(()) => Told::Refused { code, message },
            Err(error) => unrecorded(&error),
        })
    }

    fn serve(&mut self) -> Result<(), WireError> {
        loop {
            while let Some(order) = self.channel.take()? {
                match serde_json::from_slice(&order)? {
                    Order::End if self.running.is_some() => return self.end(),
                    order => self.carry_out(order)?,
                }
            }
            match self.wait()? {
                Ready::Orders => {
                    if self.channel.read()? == Read::End {
                        return Ok(());
                    }
                }
                Ready::Records => self.running.iter_mut().for_each(Running::read_records),
                Ready::Words if self.hear()? == Course::On => {}
                Ready::End | Ready::Words => return self.ended(),
                Ready::Unheard => {
                    self.running.iter_mut().for_each(Running::give_up);
                    return self.ended();
                }
            }
        }
    }

    fn wait(&self) -> Result<Ready, WireError> {
        let watch = |descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN);
        let running = self.running.as_ref();
        let more: Vec<BorrowedFd<'_>> =
            running.map(|running| vec![running.control(), running.handle()]).unwrap_or_default();
        let more = more.into_iter().chain(running.and_then(Running::records));
        let mut watched: Vec<_> = std::iter::once(self.channel.as_fd()).chain(more).map(watch).collect();
        loop {
            let left = running.and_then(Running::patience);
            let time = left.and_then(|left| Timespec::try_from(left).ok());
            wire::wait(&mut watched, time.as_ref())?;
            let ready = |at: usize| watched.get(at).is_some_and(|entry| !entry.revents().is_empty());
            // The end first: a first process that is gone has nothing more to tell but what reaping hears.
            if ready(2) {
                return Ok(Ready::End);
            }
            if ready(1) {
                return Ok(Ready::Words);
            }
            if ready(0) {
                return Ok(Ready::Orders);
            }
            if ready(3) {
                return Ok(Ready::Records);
            }
            if left == Some(Duration::ZERO) {
                return Ok(Ready::Unheard);
            }
        }
    }

    fn carry_out(&mut self, order: Order) -> Result<(), WireError> {
        let launch = match &order {
            Order::Plan(launch) | Order::Launch(launch) => Some(&**launch),
            Order::Hold(inquiry) => Some(&inquiry.launch),
            _ => None,
        };
        if let Some(refused) = launch.and_then(|launch| self.refusal(launch)) {
            return self.channel.say(&refused, &[]);
        }
        match order {
            Order::Plan(launch) => {
                let told = match self.plan(&launch) {
                    Ok(found) => Told::Planned {
                        enforcement: enforcement(&launch, &found.plan),
                        listing: found.plan.listing(),
                    },
                    Err(error) => error.told(),
                };
                self.channel.say(&told, &[])
            }
            Order::Hold(inquiry) => {
                let told = self.held(&inquiry);
                self.channel.say(&told, &[])
            }
            Order::Examine => self.channel.say(&Told::examined(), &[]),
            Order::Copies(ask) => {
                let told = copying::answer(&ask, self.bound.as_ref());
                self.channel.say(&told, &[])
            }
            Order::Lease(note) => {
                let told = lease_note(self.bound.as_ref(), *note);
                self.channel.say(&told, &[])
            }
            Order::Launch(_) if self.running.is_some() => self.channel.say(&Told::busy(), &[]),
            Order::Launch(launch) => self.launch(launch.into()),
            Order::Signal { signal, to } => {
                let sent = self.running.as_mut().is_some_and(|running| running.signal(signal, to).is_ok());
                // A sandbox that has ended needs no signal; the request is answered all the same.
                if sent { Ok(()) } else { self.channel.say(&Told::Signalled, &[]) }
            }
            Order::Weigh { pattern, stage } => {
                self.channel.say(&Told::Weighed { above: self.weigh(&pattern, stage) }, &[])
            }
            // There is nothing to tell before the end.
            Order::Refused(_) | Order::End => Ok(()),
        }
    }

    /// Ends the sandbox and tells of it. Nothing else is done any more.
    fn end(&mut self) -> Result<(), WireError> {
        self.running.iter().for_each(Running::end);
        self.ended()
    }

    /// Why this host must not be granted to the running command; what comes of a question is recorded first.
    fn weigh(&self, pattern: &DomainPattern, stage: Stage) -> Option<String> {
        let Some((launch, ..)) = &self.recorded else { return Some("no command runs".to_owned()) };
        let Some(bound) = &self.bound else { return granting::above(launch, pattern, &Standing::read()) };
        let above = granting::above(launch, pattern, &bound.ceiling);
        match bound.answered(launch, pattern, stage, above.as_deref()) {
            Err(error) => Some(format!("the audit record could not be written: {error}")),
            Ok(()) => above,
        }
    }

    fn plan(&mut self, launch: &Launch) -> Result<Compiled, BeginError> {
        leave(self.network.take())?;
        let copies = Copies::planned(&launch.policy, &launch.standpoint);
        let index = self.bound.as_ref().and_then(|bound| bound.index.as_ref());
        Ground::of(launch, &copies, index)?.compiled(launch, self.machine.probed())
    }

    fn held(&mut self, inquiry: &Inquiry) -> Told {
        if let Err(error) = leave(self.network.take()) {
            return error.told();
        }
        let index = self.bound.as_ref().and_then(|bound| bound.index.as_ref());
        Told::Held(holding::held(inquiry, &mut self.machine, index))
    }

    fn launch(&mut self, launch: Rc<Launch>) -> Result<(), WireError> {
        let Self { channel, server, machine, bound, network, records, .. } = self;
        if let Some(bound) = bound
            && let Err(error) = bound.starts(&launch, machine.host_for(&launch.policy))
        {
            return channel.say(&unrecorded(&error), &[]);
        }
        let index = bound.as_mut().and_then(|bound| bound.index.take());
        let passed = || channel.take_descriptor();
        match begin(&launch, machine, *server, network.take(), records, index, passed) {
            Err(error) => {
                // Nothing runs, whether this can be recorded or not.
                let _ = bound.as_ref().map(|bound| bound.failed(&launch, &error.to_string()));
                channel.say(&error.told(), &[])
            }
            Ok((mut running, enforcement)) => {
                let mut descriptors = running.take_descriptors();
                if launch.is_gated() {
                    hostfile::add_all(&launch.policy, &mut descriptors);
                }
                self.recorded = Some((launch, running.pid(), enforcement.way.clone()));
                let passed = descriptors.list().map(|(name, _)| name).collect();
                let with: Vec<BorrowedFd<'_>> =
                    descriptors.list().map(|(_, descriptor)| descriptor.as_fd()).collect();
                let told = Told::Launched { pid: running.pid(), enforcement, passed };
                self.running = Some(running);
                self.channel.say(&told, &with)
            }
        }
    }

    /// A command that has ended stays ended, whether this can be recorded or not. What was asked for is kept: freeing it may wait until
    /// the end has been told.
    fn record_end(&self, ended: &Ended) -> std::io::Result<()> {
        self.record_refused(&ended.denials, By::Launcher)?;
        match (&self.bound, &self.recorded) {
            (Some(bound), Some((launch, pid, way))) => bound.ended(launch, *pid, way, ended),
            _ => Ok(()),
        }
    }

    fn record_refused(&self, denials: &[Denial], by: By) -> std::io::Result<()> {
        match (&self.bound, &self.recorded) {
            (Some(bound), Some((launch, pid, _))) => bound.denied(launch, *pid, denials, by),
            _ => Ok(()),
        }
    }

    fn hear(&mut self) -> Result<Course, WireError> {
        let Some(running) = &mut self.running else { return Ok(Course::On) };
        match running.hear(RecvFlags::DONTWAIT) {
            Heard::Stopped(signal) => self.channel.say(&Told::Stopped { signal }, &[])?,
            Heard::Background(end) => self.channel.say(&Told::Background { end }, &[])?,
            Heard::Done => self.channel.say(&Told::Signalled, &[])?,
            Heard::Noted => {}
            // Its side is closed, so it is ending.
            Heard::End => return Ok(Course::End),
        }
        Ok(Course::On)
    }

    fn ended(&mut self) -> Result<(), WireError> {
        let Some(running) = self.running.take() else { return Ok(()) };
        let mut ended = running.reap();
        self.advise(&mut ended.denials);
        let _ = self.record_end(&ended);
        let is_gated = self.recorded.as_ref().is_some_and(|(launch, ..)| launch.is_gated());
        self.channel.say(&Told::Ended(Box::new(ended)), &[])?;
        if is_gated && self.bound.is_some() { self.hear_refused() } else { Ok(()) }
    }

    /// Nothing is advised that the ceiling would refuse.
    fn advise(&self, denials: &mut [Denial]) {
        let Some((launch, ..)) = &self.recorded else { return };
        if !denials.iter().any(advice::is_given) {
            return;
        }
        match &self.bound {
            Some(bound) => advice::below(&bound.ceiling, &launch.policy, &launch.standpoint, denials),
            None => advice::below(&Standing::read(), &launch.policy, &launch.standpoint, denials),
        }
    }

    /// What the gate refused is the server part's to tell, once, and this process's to record. Nothing else is done any more.
    fn hear_refused(&mut self) -> Result<(), WireError> {
        loop {
            while let Some(order) = self.channel.take()? {
                match serde_json::from_slice(&order)? {
                    Order::Refused(mut denials) => {
                        self.advise(&mut denials);
                        let _ = self.record_refused(&denials, By::ServerPart);
                        return self.channel.say(&Told::Refusals(denials), &[]);
                    }
                    Order::Weigh { pattern, stage } => {
                        self.channel.say(&Told::Weighed { above: self.weigh(&pattern, stage) }, &[])?;
                    }
                    // Nobody is left to get it.
                    Order::Signal { .. } => self.channel.say(&Told::Signalled, &[])?,
                    Order::End => {}
                    Order::Launch(_)
                    | Order::Plan(_)
                    | Order::Hold(_)
                    | Order::Examine
                    | Order::Copies(_)
                    | Order::Lease(_) => return Ok(()),
                }
            }
            if self.channel.read()? == Read::End {
                return Ok(());
            }
        }
    }
}
