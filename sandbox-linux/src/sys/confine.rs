//! System calls by which a part of Weir confines its own thread.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use super::abi::{LANDLOCK_RULE_PATH_BENEATH, PathBeneath, check, install_filter, owned};
use crate::bpf::Insn;
use crate::confine::Wall;

/// Nothing that this thread executes ever gains a privilege (prctl(2), `PR_SET_NO_NEW_PRIVS`).
pub(crate) fn no_new_privileges() -> io::Result<()> {
    let (yes, none): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: sets a property of this thread that nothing can unset.
    let set = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, yes, none, none, none) };
    check(set.into()).map(drop).map_err(io::Error::from_raw_os_error)
}

/// Makes the ruleset and enters it (landlock(7)).
pub(crate) fn restrict(wall: &Wall, place: Option<BorrowedFd<'_>>) -> io::Result<()> {
    enter(wall, place).map_err(io::Error::from_raw_os_error)
}

fn enter(wall: &Wall, place: Option<BorrowedFd<'_>>) -> Result<(), i32> {
    let attributes = [wall.handled_fs, wall.handled_net, wall.scoped];
    // The structure grew by one field with ABI 4 and by one with ABI 6; a field of zeros may be left out.
    let fields = 3 - attributes.iter().rev().take_while(|field| **field == 0).count();
    let (start, size) = (attributes.as_ptr(), fields * size_of::<u64>());
    // SAFETY: the kernel reads `size` bytes of the array, which holds at least as many.
    let made = owned(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, start, size, 0) })?;
    if let Some(place) = place.filter(|_| wall.place != 0) {
        let rule = PathBeneath { allowed_access: wall.place, parent_fd: place.as_raw_fd() };
        let (ruleset, kind) = (made.as_raw_fd(), LANDLOCK_RULE_PATH_BENEATH);
        // SAFETY: the kernel reads the structure, which outlives the call.
        check(unsafe { libc::syscall(libc::SYS_landlock_add_rule, ruleset, kind, &raw const rule, 0) })?;
    }
    // SAFETY: restricts this thread only.
    check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, made.as_raw_fd(), 0) }).map(drop)
}

/// Installs the filter; what it refuses can be logged.
pub(crate) fn filter(program: &[Insn]) -> io::Result<()> {
    install_filter(program, libc::SECCOMP_FILTER_FLAG_LOG).map(drop).map_err(io::Error::from_raw_os_error)
}
