//! The first process's watch over the command: reaps whatever ends, tells what happens to the command, forwards signals, and
//! ends everything when the command or the launcher is gone.

use super::super::abi::{check_int, errno};
use super::super::descendants::{self, Bound};
use super::super::process::exit;
use std::os::fd::{AsFd as _, AsRawFd as _};

use crate::broker::{Broker, Event, Events, Failure};
use crate::control::{ORDER_BYTES, Order, Word};
use crate::prepare::Prepared;
use weir_protocol::method::process::Receivers;

/// The command and what is heard of it.
#[derive(Debug)]
pub(super) struct Charge {
    /// Its first process, until that is reaped.
    pub(super) leader: Option<libc::pid_t>,
    /// Readable when a child has changed.
    pub(super) children: libc::c_int,
    /// The terminal's side of the command, kept open so that it lasts as long as the sandbox.
    pub(super) terminal: Option<libc::c_int>,
    /// What performs the command's calls that bring names into being.
    pub(super) broker: Option<Broker>,
}

/// Who is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// The command, and whoever else.
    Command,
    /// What it has started.
    Others,
    Nobody,
}

/// A descriptor that is readable when a child has changed; signals are blocked already.
pub(super) fn children() -> Result<libc::c_int, i32> {
    // SAFETY: all-zero is a valid set.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: changes a local set.
    unsafe { libc::sigaddset(&raw mut set, libc::SIGCHLD) };
    // SAFETY: makes a descriptor.
    check_int(unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) })
}

/// Watches until the command has ended, or the last of what it started where that is kept, or the launcher is gone; and ends everything.
pub(super) fn until_the_end(prepared: &Prepared, control: libc::c_int, mut charge: Charge) -> ! {
    // A change of a child shows in the descriptor of signals, so that calls cost no look at children.
    let mut may_have_changed = true;
    let code = loop {
        let had_command = charge.leader.is_some();
        let left = may_have_changed.then(|| reap(control, &mut charge));
        may_have_changed = false;
        match left {
            None | Some(Left::Command) => {}
            Some(Left::Others) if prepared.keeps => {
                if had_command {
                    tell(control, &Word::Background);
                }
            }
            Some(Left::Others | Left::Nobody) => break 0,
        }
        match wait(control, &charge) {
            Heard::Calls => serve(control, &mut charge),
            Heard::Children => {
                drain(charge.children);
                may_have_changed = true;
            }
            Heard::Orders => match take_order(control) {
                Some(order) => {
                    forward(order, &charge, prepared.bound());
                    tell(control, &Word::Done);
                }
                None => break super::FAILED,
            },
            Heard::Failure => break super::FAILED,
        }
    };
    if !prepared.own_pids {
        descendants::end_all(prepared.bound());
    }
    exit(code)
}

enum Heard {
    Calls,
    Children,
    Orders,
    /// poll(2) itself.
    Failure,
}

fn wait(control: libc::c_int, charge: &Charge) -> Heard {
    let watched = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // A negative descriptor is passed over.
    let listener = charge.broker.as_ref().map_or(-1, |broker| broker.as_fd().as_raw_fd());
    let mut descriptors = [watched(charge.children), watched(control), watched(listener)];
    loop {
        // SAFETY: three valid entries.
        let ready = unsafe { libc::poll(descriptors.as_mut_ptr(), 3, -1) };
        match descriptors.map(|entry| entry.revents != 0) {
            // Waiting again would only fail again: as if the launcher were gone.
            _ if ready < 0 && errno() != libc::EINTR => return Heard::Failure,
            _ if ready <= 0 => {}
            [true, ..] => return Heard::Children,
            [_, true, _] => return Heard::Orders,
            _ => return Heard::Calls,
        }
    }
}

/// Serves one call. A listener that fails, or that nobody is under any more, is closed: what it would have held fails.
fn serve(control: libc::c_int, charge: &mut Charge) {
    let Some(broker) = &mut charge.broker else { return };
    let served = broker.serve();
    pass_on(control, charge);
    if served.is_err() {
        charge.broker = None;
        tell(control, &Word::Listener);
    }
}

/// Tells what the broker has seen.
fn pass_on(control: libc::c_int, charge: &mut Charge) {
    let Some(broker) = &mut charge.broker else { return };
    let Events { list, dropped } = broker.events();
    for event in list {
        tell(
            control,
            &match event {
                Event::NameRefused { path, pid, .. } => Word::RefusedName { pid, path },
                Event::FileRefused { act, path, pid } => {
                    Word::Failed { act, how: Failure::Closed, pid, path }
                }
                Event::SocketRefused { path, pid } => Word::RefusedSocket { pid, path },
                Event::Failed { act, how, path, pid } => Word::Failed { act, how, pid, path },
                Event::Repository { path } => Word::Repository(path),
                Event::Program { path } => Word::Program(path),
                Event::Used { act, path, program } => Word::Used { act, program, path },
                Event::RecordFull => Word::RecordFull,
            },
        );
    }
    if dropped > 0 {
        tell(control, &Word::Dropped(i32::try_from(dropped).unwrap_or(i32::MAX)));
    }
}

/// Empties the descriptor of signals: several may have been folded into one.
fn drain(children: libc::c_int) {
    let mut room = [0_u8; size_of::<libc::signalfd_siginfo>()];
    // SAFETY: a local array of that size.
    while unsafe { libc::read(children, room.as_mut_ptr().cast(), room.len()) } > 0 {}
}

/// The next order; nothing when the launcher is gone.
fn take_order(control: libc::c_int) -> Option<Order> {
    let mut bytes = [0_u8; ORDER_BYTES];
    // SAFETY: a local array of that size.
    let read = unsafe { libc::recv(control, bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    match read {
        0 => None,
        read if read < 0 => None,
        _ => Some(Order::from_bytes(&bytes).unwrap_or(NOTHING)),
    }
}

/// Signal 0 reaches nobody.
const NOTHING: Order = Order { signal: 0, to: Receivers::Leader };

fn forward(order: Order, charge: &Charge, bound: Bound) {
    // Job control is the caller's shell's, which knows the command's own group alone.
    let job_control = matches!(order.signal, libc::SIGTSTP | libc::SIGCONT);
    let terminals = || charge.terminal.and_then(group_of);
    let to = match (order.to, charge.leader) {
        (Receivers::Group, Some(leader)) if job_control => -leader,
        (Receivers::Leader, Some(leader)) => leader,
        (Receivers::Group, Some(leader)) => -terminals().unwrap_or(leader),
        // Its number may be another's by now.
        (Receivers::Leader, None) => return,
        (Receivers::Group | Receivers::All, _) => return descendants::signal_all(bound, order.signal),
    };
    // SAFETY: the leader is a child that is not reaped yet; a terminal's group is one of the sandbox's session.
    unsafe { libc::kill(to, order.signal) };
}

/// The group in the terminal's foreground, which may have been made by the command's own shell.
fn group_of(terminal: libc::c_int) -> Option<libc::pid_t> {
    let mut group: libc::pid_t = 0;
    // SAFETY: the kernel writes one id.
    let asked = unsafe { libc::ioctl(terminal, libc::TIOCGPGRP, &raw mut group) };
    (asked == 0 && group > 0).then_some(group)
}

/// Reaps whatever has ended. The keeper is no child that this call sees.
fn reap(control: libc::c_int, charge: &mut Charge) -> Left {
    loop {
        let mut status: libc::c_int = 0;
        // SAFETY: the kernel writes one status.
        let child = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::WUNTRACED) };
        match child {
            ..0 => return Left::Nobody,
            0 if charge.leader.is_none() => return Left::Others,
            0 => return Left::Command,
            _ if charge.leader != Some(child) => {}
            _ if libc::WIFSTOPPED(status) => tell(control, &Word::Stopped(libc::WSTOPSIG(status))),
            _ => {
                charge.leader = None;
                pass_on(control, charge);
                tell(control, &end(status));
            }
        }
    }
}

/// How the command ended.
fn end(status: libc::c_int) -> Word {
    if libc::WIFSIGNALED(status) {
        Word::Signalled(libc::WTERMSIG(status))
    } else {
        Word::Exited(libc::WEXITSTATUS(status))
    }
}

fn tell(control: libc::c_int, word: &Word) {
    let bytes = word.to_bytes();
    // SAFETY: the slice is valid for its length. A launcher that is gone is noticed on the next wait.
    unsafe { libc::send(control, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
}
