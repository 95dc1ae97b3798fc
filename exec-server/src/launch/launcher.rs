//! The launcher's life: waits for orders, makes a sandbox, watches it to its end. One sandbox at a time, one thread.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::process::ExitCode;
use std::rc::Rc;

use rustix::event::{PollFd, PollFlags};
use rustix::net::RecvFlags;
use rustix::process::Signal;
use weir_protocol::method::code;
use weir_sandbox_linux::start::NetworkAhead;

use super::begin::{BeginError, Compiled, Ground, begin, enforcement, leave};
use super::machine::Machine;
use super::running::{Heard, Running};
use super::{Order, Told, sys};
use crate::wire::{self, Read, Wire, WireError};

/// Serves the server part until it is gone or its one command has ended; ends what runs then.
#[must_use]
pub fn run(channel: Wire, server: i32) -> ExitCode {
    // The client is the parent. Where it goes without a word this process must not wait for anything, and with it goes the rest.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    // The memory of this process holds policies.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    // Where there is no PID namespace, orphans of a sandbox come here.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    let mut launcher = Launcher {
        channel,
        server,
        machine: Machine::presumed(),
        network: NetworkAhead::enter(),
        running: None,
    };
    let served = launcher.serve();
    if let Some(running) = launcher.running.take() {
        running.end();
        let _ = running.reap();
    }
    // Its end of the channel closes, and then the server part goes: nobody else might reap it.
    drop(launcher);
    let _ = sys::reap(server);
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

struct Launcher {
    channel: Wire,
    server: i32,
    machine: Machine,
    /// Made while the server part decides.
    network: Option<NetworkAhead>,
    running: Option<Running>,
}

/// What there is to do.
enum Ready {
    Orders,
    Words,
    End,
}

/// Whether the sandbox goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    On,
    End,
}

impl Launcher {
    fn serve(&mut self) -> Result<(), WireError> {
        loop {
            while let Some(order) = self.channel.take()? {
                self.carry_out(serde_json::from_slice(&order)?)?;
            }
            match self.wait()? {
                Ready::Orders => {
                    if self.channel.read()? == Read::End {
                        return Ok(());
                    }
                }
                Ready::Words if self.hear()? == Course::On => {}
                Ready::End | Ready::Words => return self.ended(),
            }
        }
    }

    fn wait(&self) -> Result<Ready, WireError> {
        let watch = |descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN);
        let running = self.running.as_ref();
        let more: Vec<BorrowedFd<'_>> =
            running.map(|running| vec![running.control(), running.handle()]).unwrap_or_default();
        let mut watched: Vec<_> = std::iter::once(self.channel.as_fd()).chain(more).map(watch).collect();
        loop {
            wire::wait(&mut watched, None)?;
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
        }
    }

    fn carry_out(&mut self, order: Order) -> Result<(), WireError> {
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
            Order::Launch(_) if self.running.is_some() => {
                let message = "a command is running already".to_owned();
                self.channel.say(&Told::Refused { code: code::STATE, message }, &[])
            }
            Order::Launch(launch) => self.launch(launch.into()),
            Order::Signal { signal, to } => {
                let sent = self.running.as_ref().is_some_and(|running| running.signal(signal, to).is_ok());
                // A sandbox that has ended needs no signal; the request is answered all the same.
                if sent { Ok(()) } else { self.channel.say(&Told::Signalled, &[]) }
            }
            Order::End => {
                self.running.iter().for_each(Running::end);
                Ok(())
            }
        }
    }

    fn plan(&mut self, launch: &super::Launch) -> Result<Compiled, BeginError> {
        leave(self.network.take())?;
        Ground::of(launch)?.compiled(launch, self.machine.probed())
    }

    fn launch(&mut self, launch: Rc<super::Launch>) -> Result<(), WireError> {
        let Self { channel, server, machine, network, .. } = self;
        let terminal = launch.size.is_some();
        match begin(&launch, machine, *server, network.take(), || channel.take_descriptor()) {
            Err(error) => channel.say(&error.told(), &[]),
            Ok((mut running, enforcement)) => {
                if terminal {
                    running.hear(RecvFlags::empty());
                }
                let terminal = running.take_terminal();
                let passed: Vec<BorrowedFd<'_>> = terminal.iter().map(std::os::fd::AsFd::as_fd).collect();
                let told = Told::Launched { pid: running.pid(), enforcement };
                self.running = Some(running);
                self.channel.say(&told, &passed)
            }
        }
    }

    fn hear(&mut self) -> Result<Course, WireError> {
        let Some(running) = &mut self.running else { return Ok(Course::On) };
        match running.hear(RecvFlags::DONTWAIT) {
            Heard::Stopped(signal) => self.channel.say(&Told::Stopped { signal }, &[])?,
            Heard::Done => self.channel.say(&Told::Signalled, &[])?,
            Heard::Noted => {}
            // Its side is closed, so it is ending.
            Heard::End => return Ok(Course::End),
        }
        Ok(Course::On)
    }

    fn ended(&mut self) -> Result<(), WireError> {
        let Some(running) = self.running.take() else { return Ok(()) };
        let ended = running.reap();
        self.channel.say(&Told::Ended(Box::new(ended)), &[])
    }
}
