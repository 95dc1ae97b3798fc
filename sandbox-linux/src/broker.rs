//! The broker: names that must never come into being, and unix sockets that must not be reached, where mounts and
//! Landlock cannot say so.
//!
//! A mount can cover what exists and Landlock can deny what exists; neither can deny one name in a writable directory as
//! long as it does not exist, and no placeholder may be left on the host. So the calls that bring a name into being are
//! handed to the sandbox's init by a seccomp listener (seccomp_unotify(2)), which performs them itself: it copies the path
//! out of the caller's memory once, finds the directory, decides, acts on (directory, last name), and answers with
//! the result. It never tells the kernel to continue with the caller's own arguments, which another thread could have
//! changed since. Only where a run is recorded do some go on, which it takes down and decides nothing about (`watched`, which has the argument).
//!
//! The pure half is here: which calls are trapped ([`filter`]), what a trapped call asks for, how a path ends, which name is
//! guarded, which socket is granted. The system calls are in `sys::broker`. [`hand_over`] is called by the command's
//! side of the fork in `enter`, [`receive`] and [`Broker`] by the sandbox's init, which lives under the same Landlock domain,
//! mounts and user as the command, so that the broker can do nothing that the command could not.
//!
//! **What it needs**: init may not be under the strict filter, which refuses reading other processes' memory; the command's Landlock
//! domain must be init's own or nested in it, so init restricts itself before it forks the command; that domain must allow
//! reading the sandbox's `/proc`; Yama's `ptrace_scope` must be 0 or 1 (init is every caller's ancestor). Where one is missing
//! every trapped call fails with EPERM. The broker changes its process's umask as it works.
//!
//! **What it must never do**: wait for anything that a caller controls (whatever may block is done by a process of its own),
//! follow a link of the caller's into init's own `/proc` directory, or hold a file open for writing when the caller goes on
//! (its next exec of that file would fail with ETXTBSY).
//!
//! **What differs inside while names are guarded**: `openat2` and `io_uring` answer ENOSYS and `landlock_create_ruleset`
//! EOPNOTSUPP, because a call made by the broker would not be held by a domain that the caller put on itself;
//! `prctl(PR_SET_DUMPABLE, 0)` answers EPERM, and a program that is not dumpable for another reason (its file may not be
//! read) gets EPERM for a trapped call, because nobody can read its memory; a peer that asks for the process id of who
//! connected sees the broker's; a terminal opened with `O_CREAT` does not become the controlling one; a second
//! listener cannot be installed (EBUSY, one for each process); a signal that comes before the broker has taken a call up ends it
//! with EINTR where the handler has no SA_RESTART (nothing was done then); a caller at its limit of descriptors gets EMFILE after
//! the file was made. An overlay mounted inside a nested user namespace writes
//! to its upper directory without a call that could be trapped: the two must not be granted together.

mod event;
mod filter;
mod guard;
mod image;
mod path;
mod recorder;
mod request;
mod socket;
mod watched;

pub use crate::sys::broker::{Broker, Handover, HandoverFailure, HandoverStep, Wait, hand_over, receive};
pub use event::{Event, Events, Failure, MAX_EVENTS};
pub use filter::{Traps, filter, verdict};
pub use guard::{Folding, Guard};
pub use image::{HEAD_BYTES, interpreter};
pub use socket::{SocketGrant, SocketRules};

pub(crate) use event::Queue;
pub(crate) use guard::{NameIndex, on_the_way};
pub(crate) use image::MAX_INTERPRETERS;
pub(crate) use path::{MAX_PATH, Split};
pub(crate) use recorder::Recorder;
pub(crate) use request::{AT_FDCWD, AT_REMOVEDIR, Forms, Named, Request};
pub(crate) use watched::{AT_EMPTY_PATH, AT_NOFOLLOW, Watched, Watches};

/// Whether callers inside may have another root directory than the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Roots {
    /// The filter refuses chroot, pivot_root and mount namespaces: every caller's `/` is the broker's.
    Same,
    /// Nested user namespaces are granted: each caller's root is asked for.
    Own,
}
