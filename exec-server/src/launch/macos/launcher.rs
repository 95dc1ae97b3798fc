//! The launcher's life on macOS: waits for orders, starts one command, watches its tree to the end. One thread.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::process::ExitCode;
use std::rc::Rc;

use weir_protocol::method::code;

use super::begin::{begin, planned};
use super::holding::held_here;
use super::running::{Course, Running};
use super::sys::{self, Queue, Seen};
use crate::launch::{Launch, Order, Told, advice, granting};
use crate::profile::standing::Standing;
use crate::wire::{Read, Wire, WireError};

/// Serves the server part until it is gone or its one command has ended; ends what runs then.
#[must_use]
pub fn run(channel: Wire, server: i32) -> ExitCode {
    // The terminal of a command is this session's: it may go, and its foreground is another group's.
    sys::ignore(&[libc::SIGHUP, libc::SIGTTOU, libc::SIGTTIN]);
    let served = serve(channel, server);
    // Its end of the channel is closed, and then the server part goes: nobody else might reap it.
    let _ = crate::launch::sys::reap(server);
    if served.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn serve(channel: Wire, server: i32) -> Result<(), WireError> {
    let queue = Queue::new()?;
    queue.watch_readable(channel.as_fd())?;
    let mut launcher = Launcher { channel, queue, server, running: None, asked: None };
    let served = launcher.serve();
    if let Some(running) = launcher.running.take() {
        running.end(&launcher.queue);
    }
    served
}

struct Launcher {
    channel: Wire,
    queue: Queue,
    server: i32,
    running: Option<Running>,
    /// What runs.
    asked: Option<Rc<Launch>>,
}

impl Launcher {
    fn serve(&mut self) -> Result<(), WireError> {
        loop {
            while let Some(order) = self.channel.take()? {
                self.carry_out(serde_json::from_slice(&order)?)?;
            }
            if self.follow()? == Course::End {
                return self.ended();
            }
            let seen = self.queue.wait(self.running.as_ref().and_then(Running::look_again))?;
            let channel = self.channel.as_fd().as_raw_fd();
            for seen in &seen {
                match (seen, &mut self.running) {
                    (Seen::Process, Some(running)) => running.note_change(),
                    (Seen::Readable(descriptor), Some(running)) if *descriptor != channel => {
                        running.read_log()
                    }
                    _ => {}
                }
            }
            if seen.contains(&Seen::Readable(channel)) && self.channel.read()? == Read::End {
                return Ok(());
            }
        }
    }

    /// Tells of a stop, and says whether the command goes on.
    fn follow(&mut self) -> Result<Course, WireError> {
        let Some(running) = &mut self.running else { return Ok(Course::On) };
        let course = running.follow(&self.queue)?;
        for signal in running.take_stops() {
            self.channel.say(&Told::Stopped { signal }, &[])?;
        }
        Ok(course)
    }

    fn carry_out(&mut self, order: Order) -> Result<(), WireError> {
        match order {
            Order::Plan(launch) => {
                let told = match planned(&launch) {
                    Ok((enforcement, listing)) => Told::Planned { enforcement, listing },
                    Err(error) => error.told(),
                };
                self.channel.say(&told, &[])
            }
            Order::Hold(inquiry) => self.channel.say(&Told::Held(held_here(&inquiry)), &[]),
            Order::Examine => self.channel.say(&Told::examined(), &[]),
            Order::Copies(_) => {
                let message = "there are no copies on macOS".to_owned();
                self.channel.say(&Told::Refused { code: code::UNENFORCEABLE, message }, &[])
            }
            Order::Launch(_) if self.running.is_some() => self.channel.say(&Told::busy(), &[]),
            Order::Launch(launch) => self.launch(launch.into()),
            Order::Signal { signal, to } => {
                // What stopped the command before this signal is told before the answer to it.
                self.follow()?;
                if let Some(running) = &mut self.running {
                    running.signal(signal, to);
                }
                self.channel.say(&Told::Signalled, &[])
            }
            Order::Weigh { pattern, .. } => {
                let above = match &self.asked {
                    Some(launch) => granting::above(launch, &pattern, &Standing::read()),
                    None => Some("no command runs".to_owned()),
                };
                self.channel.say(&Told::Weighed { above }, &[])
            }
            // There is no server for several users here, and so no log.
            Order::Lease(_) => self.channel.say(&Told::Recorded, &[]),
            Order::Refused(_) => Ok(()),
            Order::End => {
                self.running.iter_mut().for_each(Running::end_soon);
                Ok(())
            }
        }
    }

    fn launch(&mut self, launch: Rc<Launch>) -> Result<(), WireError> {
        let Self { channel, queue, server, .. } = self;
        match begin(&launch, queue, *server, || channel.take_descriptor()) {
            Err(error) => channel.say(&error.told(), &[]),
            Ok((mut running, enforcement)) => {
                let descriptors = running.take_descriptors();
                let names = descriptors.list().map(|(name, _)| name).collect();
                let passed: Vec<BorrowedFd<'_>> =
                    descriptors.list().map(|(_, descriptor)| descriptor.as_fd()).collect();
                self.asked = Some(launch);
                let told = Told::Launched { pid: running.pid(), enforcement, passed: names };
                self.running = Some(running);
                self.channel.say(&told, &passed)
            }
        }
    }

    fn ended(&mut self) -> Result<(), WireError> {
        let Some(running) = self.running.take() else { return Ok(()) };
        let mut ended = running.end(&self.queue);
        if let Some(launch) = self.asked.as_ref().filter(|_| ended.denials.iter().any(advice::is_given)) {
            advice::below(&Standing::read(), &launch.policy, &launch.standpoint, &mut ended.denials);
        }
        self.channel.say(&Told::Ended(Box::new(ended)), &[])
    }
}
