//! Work that may wait for another process: done by a process of its own, watched by a second one that ends it when its caller
//! is gone or interrupted. The broker goes on at once; init reaps the watcher like any other child.

use std::os::fd::{AsRawFd as _, OwnedFd};

use super::super::process::{self, exit, kill, pidfd_open, pidfd_open_thread, reap};
use super::call::Kernel;
use super::listener::Notification;
use super::tracee::Tracee;
use super::{Answer, Broker, Wait};

/// How often the watcher looks whether the caller still waits and no signal has come for it. Nobody is told by an event that a
/// notification has become void; that a caller has ended is told.
const WATCH_INTERVAL_MS: libc::c_int = 50;

impl Broker {
    /// Lets another process act and answer.
    pub(super) fn delegate(
        &self,
        call: &Notification,
        tracee: &Tracee,
        act: &dyn Fn() -> Kernel<Answer>,
    ) -> Answer {
        match fork() {
            Ok(Fork::Parent(_)) => Answer::Delegated,
            Ok(Fork::Child) => self.watch(call, tracee, act),
            Err(_) => Answer::Errno(libc::ENOMEM),
        }
    }

    /// The watcher. It is as small as init, and holds what init holds until it ends.
    fn watch(&self, call: &Notification, tracee: &Tracee, act: &dyn Fn() -> Kernel<Answer>) -> ! {
        let worker = match fork() {
            Ok(Fork::Child) => {
                let answer = act().unwrap_or_else(Answer::Errno);
                self.listener.conclude(call, answer);
                exit(0)
            }
            Ok(Fork::Parent(worker)) => worker,
            Err(_) => {
                self.listener.conclude(call, Answer::Errno(libc::ENOMEM));
                exit(0)
            }
        };
        let Ok(end) = pidfd_open(worker, 0) else { exit(0) };
        // Linux before 6.9 has none of a thread that is not its process's first; the end of that one is noticed a little later.
        let caller = pidfd_open_thread(call.pid).or_else(|_| pidfd_open(call.pid.cast_signed(), 0)).ok();
        while !ends(&end, caller.as_ref()) {
            if !self.listener.is_valid(call.id) {
                kill(worker);
                break;
            }
            let interruption =
                if self.listener.wait() == Wait::Killable { tracee.interruption() } else { None };
            if let Some(errno) = interruption {
                kill(worker);
                // While it is not gone, its end of a FIFO counts, and the caller is not to go on before.
                reap(worker);
                self.listener.conclude(call, Answer::Errno(errno));
                exit(0)
            }
        }
        reap(worker);
        exit(0)
    }
}

enum Fork {
    Parent(libc::pid_t),
    Child,
}

/// Forks; the child ends with its parent.
fn fork() -> Kernel<Fork> {
    match process::fork()? {
        0 => {
            // SAFETY: sets a property of this process.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            Ok(Fork::Child)
        }
        child => Ok(Fork::Parent(child)),
    }
}

/// Waits a while for the worker's end, or the caller's; whether it was the worker's.
fn ends(worker: &OwnedFd, caller: Option<&OwnedFd>) -> bool {
    let watched = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // A negative descriptor is passed over.
    let caller = caller.map_or(-1, |caller| caller.as_raw_fd());
    let mut wait = [watched(worker.as_raw_fd()), watched(caller)];
    // SAFETY: two valid entries.
    let ready = unsafe { libc::poll(wait.as_mut_ptr(), 2, WATCH_INTERVAL_MS) };
    ready > 0 && wait[0].revents != 0
}
