//! System calls of the prober: some in place (they change nothing), the others in a child that ends.
//!
//! The child runs raw system calls over data prepared before the fork: no allocation, no lock, no library state. It tells
//! each result as one number over a pipe. Called by `host` only.

mod child;

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use super::abi::{check, owned};
use crate::gate::Gate;
use crate::host::Step;

pub(crate) use child::{in_child, start};

/// `SECCOMP_FILTER_FLAG_NEW_LISTENER` (`linux/seccomp.h`).
pub(crate) const FILTER_FLAG_NEW_LISTENER: u64 = 1 << 3;
/// `SECCOMP_GET_ACTION_AVAIL`.
const SECCOMP_GET_ACTION_AVAIL: libc::c_long = 2;
/// `LANDLOCK_CREATE_RULESET_VERSION` and `_ERRATA` (`linux/landlock.h`).
const LANDLOCK_VERSION: libc::c_long = 1;
const LANDLOCK_ERRATA: libc::c_long = 2;

/// One thing to do in the child.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act<'a> {
    /// unshare(2) with this flag.
    Unshare(libc::c_int),
    /// Opens a file for writing and writes to it once.
    Write { path: &'a CStr, text: &'a [u8] },
    /// Makes a mount tree private.
    MakePrivate(&'a CStr),
    /// Mounts a new file system.
    Mount { kind: &'a CStr, at: &'a CStr, data: &'a CStr },
    /// Makes a file system that is attached nowhere (fsopen(2), fsmount(2)).
    DetachedMount(&'a CStr),
    /// Copies the mount at a path, attached nowhere (open_tree(2)).
    CopyMount(&'a CStr),
    /// Makes a copy of the mount at a path read-only (mount_setattr(2)).
    ChangeMount(&'a CStr),
    /// Attaches a copy of the mount at a path on top of it (move_mount(2)).
    AttachMount(&'a CStr),
    /// Makes the mount at a path the root, with the old one on top of it (pivot_root(2)).
    PivotRoot(&'a CStr),
    /// mkdir(2).
    MakeDirectory(&'a CStr),
    /// Sets no-new-privs.
    NoNewPrivs,
    /// Installs a filter that allows everything.
    SeccompFilter { flags: u64 },
    /// Restricts the child by an empty Landlock ruleset.
    LandlockRestrict,
    /// Makes every address of this network namespace lead to the network gate.
    GateLinks(&'a Gate),
    /// Makes the gate's table.
    GateRules(&'a Gate),
    /// Makes a process in the control group of this directory.
    CloneInto(&'a CStr),
    /// Forks; what follows is done by the new process.
    Fork,
}

/// An act, what to call it, and the trials before it that must have worked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trial<'a> {
    pub(crate) step: Step,
    pub(crate) act: Act<'a>,
    pub(crate) needs: [Option<usize>; 2],
}

fn landlock_create(flags: libc::c_long) -> Result<u32, i32> {
    let no_attributes = std::ptr::null::<u8>();
    // SAFETY: with these flags the attributes must be null and the size 0; nothing is made.
    let result = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, no_attributes, 0_usize, flags) };
    u32::try_from(check(result)?).map_err(|_| libc::EOVERFLOW)
}

/// The Landlock ABI (landlock_create_ruleset(2)).
pub(crate) fn landlock_version() -> Result<u32, i32> {
    landlock_create(LANDLOCK_VERSION)
}

/// Bits of the errata that are fixed (Linux 6.15, and older ones that got the query with the fixes).
pub(crate) fn landlock_errata() -> Result<u32, i32> {
    landlock_create(LANDLOCK_ERRATA)
}

/// Whether the kernel knows a filter's action (seccomp(2), Linux 4.14).
pub(crate) fn seccomp_action_available(action: u32) -> Result<(), i32> {
    let action = &raw const action;
    // SAFETY: the kernel reads one u32 at the pointer and changes nothing.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, action) };
    check(result).map(drop)
}

/// pidfd_open(2) on the prober itself.
pub(crate) fn pidfd_open() -> Result<(), i32> {
    // SAFETY: asks for the process's own id.
    let own = unsafe { libc::getpid() };
    // SAFETY: makes a descriptor, which is closed at once.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, own, 0) }).map(drop)
}

/// clone3(2) without arguments: a kernel that has it answers EINVAL.
pub(crate) fn clone3() -> Result<(), i32> {
    // SAFETY: the size 0 is refused before the pointer is read.
    let result = unsafe { libc::syscall(libc::SYS_clone3, std::ptr::null::<u8>(), 0_usize) };
    match check(result) {
        Err(libc::EINVAL) | Ok(_) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// close_range(2) over a range in which no descriptor can be.
pub(crate) fn close_range() -> Result<(), i32> {
    // SAFETY: no process has a descriptor with this number (`fs.nr_open` is below it).
    check(unsafe { libc::syscall(libc::SYS_close_range, u32::MAX, u32::MAX, 0) }).map(drop)
}

/// Whether a file has this extended attribute, whatever it says (getxattr(2)).
pub(crate) fn has_attribute(path: &CStr, name: &CStr) -> bool {
    // SAFETY: both are C strings; without room nothing is written.
    unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), std::ptr::null_mut(), 0) >= 0 }
}

/// memfd_create(2).
pub(crate) fn memfd_create() -> Result<OwnedFd, i32> {
    // SAFETY: the name is a constant C string.
    let fd = unsafe { libc::memfd_create(c"weir-probe".as_ptr(), libc::MFD_CLOEXEC) };
    owned(libc::c_long::from(fd))
}

/// openat2(2) with size 0: a kernel that has it answers EINVAL.
pub(crate) fn openat2() -> Result<(), i32> {
    let null = std::ptr::null::<u8>();
    // SAFETY: the size 0 is refused before either pointer is read.
    let result = unsafe { libc::syscall(libc::SYS_openat2, libc::AT_FDCWD, null, null, 0_usize) };
    match check(result) {
        Err(libc::EINVAL) | Ok(_) => Ok(()),
        Err(errno) => Err(errno),
    }
}
