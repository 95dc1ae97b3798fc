//! What the sandbox's first process does between its birth and the command's: raw system calls over prepared data, in the order
//! of [`Step`]. No allocation, no formatting, no lock, no environment, no panic; a failure is one record over a pipe, and then
//! the process ends, so that nothing is ever run less confined than was prepared. Called by [`super::first`] only.

pub(super) mod gate;
mod identity;
mod landlock;
pub(super) mod network;
pub(super) mod tree;

use std::ffi::CStr;

use super::abi::{check, check_int, install_filter};
use crate::prepare::{LandlockOp, Prepared};
use crate::step::{Failure, Step};

/// The result of a step.
pub(super) type Done = Result<(), Failure>;

/// Names the step that failed.
pub(super) trait At<T> {
    fn at(self, step: Step) -> Result<T, Failure>;
    fn item(self, step: Step, item: usize) -> Result<T, Failure>;
}

impl<T> At<T> for Result<T, i32> {
    fn at(self, step: Step) -> Result<T, Failure> {
        self.item(step, 0)
    }

    fn item(self, step: Step, item: usize) -> Result<T, Failure> {
        self.map_err(|errno| Failure { step, errno, item: u32::try_from(item).unwrap_or(u32::MAX) })
    }
}

/// Everything up to a private file tree, network and name.
pub(super) fn surroundings(prepared: &Prepared) -> Done {
    // SAFETY: starts a session; the process is no group leader, being just born.
    check_int(unsafe { libc::setsid() }).at(Step::Session)?;
    if let Some([uids, gids]) = &prepared.maps {
        // The launcher cannot be dumped, and then these files belong to root; undone before anything foreign runs.
        // SAFETY: sets a property of this process only.
        check_int(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) }).at(Step::UserMap)?;
        write_file(c"/proc/self/setgroups", b"deny").at(Step::GroupMap)?;
        write_file(c"/proc/self/uid_map", uids.as_bytes()).at(Step::UserMap)?;
        write_file(c"/proc/self/gid_map", gids.as_bytes()).at(Step::GroupMap)?;
    }
    if !prepared.mounts.is_empty() {
        tree::build(prepared)?;
    }
    if prepared.loopback {
        network::loopback_up().at(Step::Loopback)?;
    }
    if prepared.own_name {
        let name = b"weir";
        // SAFETY: four bytes of a constant; names the process's own UTS namespace.
        check_int(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }).at(Step::HostName)?;
    }
    Ok(())
}

/// Gives every privilege away, for good.
pub(super) fn privileges(prepared: &Prepared) -> Done {
    if !prepared.confined {
        return identity::become_other(prepared);
    }
    identity::drop_privileges(prepared)?;
    // SAFETY: sets a property of this process that nothing can unset.
    check_int(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }).at(Step::NoNewPrivs)?;
    // The memory of this process holds the policy; nobody inside may read it.
    // SAFETY: sets a property of this process only.
    check_int(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) }).at(Step::Undumpable)?;
    if prepared.own_pids {
        // SAFETY: sets a property of this process only.
        check_int(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) })
            .at(Step::ParentDeath)?;
    }
    match &prepared.landlock {
        Some(ruleset) => landlock::restrict(ruleset),
        None => Ok(()),
    }
}

/// Puts the calling process, and all that it will ever start, under a ruleset of its own, where there is one: [`Prepared::fence`],
/// [`Prepared::reading`].
pub(super) fn restrict(ruleset: Option<&LandlockOp>) -> Result<(), i32> {
    ruleset.map_or(Ok(()), landlock::restrict).map_err(|failure| failure.errno)
}

/// Installs the compiled filter in the calling process.
pub(super) fn filter(prepared: &Prepared) -> Result<(), i32> {
    /// `SECCOMP_FILTER_FLAG_LOG`: refusals can be logged where the administrator wants it.
    const LOG: u64 = 2;
    install_filter(&prepared.filter, LOG).map(drop)
}

fn write_file(path: &CStr, text: &[u8]) -> Result<(), i32> {
    // SAFETY: the path is a C string; the descriptor is closed below.
    let file = check_int(unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) })?;
    // SAFETY: the slice is valid for its length.
    let written = unsafe { libc::write(file, text.as_ptr().cast(), text.len()) };
    let written = check(written as libc::c_long).map(drop);
    close(file);
    written
}

/// Closes a descriptor of this process.
pub(super) fn close(descriptor: libc::c_int) {
    // SAFETY: callers own the descriptor and do not use it again.
    unsafe { libc::close(descriptor) };
}
