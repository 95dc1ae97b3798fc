//! The calls that a file tree is built with, each tried on the child's own mounts: as `enter` makes them, so that what works here
//! works there.

use std::ffi::CStr;
use std::os::fd::{AsRawFd as _, OwnedFd};

use super::super::super::abi::*;

/// A file system that is attached nowhere.
pub(super) fn make(kind: &CStr) -> Result<OwnedFd, i32> {
    let none = std::ptr::null::<libc::c_char>();
    // SAFETY: the name is a C string.
    let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) })?;
    let number = context.as_raw_fd();
    // SAFETY: this command takes no key and no value.
    check(unsafe { libc::syscall(libc::SYS_fsconfig, number, FSCONFIG_CMD_CREATE, none, none, 0) })?;
    let attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    // SAFETY: makes a descriptor, owned at once.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, number, FSMOUNT_CLOEXEC, attributes) })
}

/// A copy of the mount at a path, attached nowhere.
pub(super) fn copy(at: &CStr) -> Result<OwnedFd, i32> {
    let flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE;
    // SAFETY: the path is a C string; makes a descriptor, owned at once.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, at.as_ptr(), flags) })
}

/// Makes a copy of the mount at a path read-only, with all below it.
pub(super) fn change(at: &CStr) -> Result<libc::c_long, i32> {
    let tree = copy(at)?;
    let wanted = MountAttr { set: MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, ..MountAttr::default() };
    let (flags, size) = (AT_EMPTY_PATH | AT_RECURSIVE, size_of::<MountAttr>());
    let (tree, empty) = (tree.as_raw_fd(), c"".as_ptr());
    // SAFETY: the kernel reads `size` bytes of the structure.
    check(unsafe { libc::syscall(libc::SYS_mount_setattr, tree, empty, flags, &raw const wanted, size) })
}

/// Attaches a copy of the mount at a path on top of it.
pub(super) fn attach(at: &CStr) -> Result<libc::c_long, i32> {
    let tree = copy(at)?;
    let (tree, empty, flags) = (tree.as_raw_fd(), c"".as_ptr(), MOVE_MOUNT_F_EMPTY_PATH);
    // SAFETY: both paths are C strings.
    check(unsafe { libc::syscall(libc::SYS_move_mount, tree, empty, libc::AT_FDCWD, at.as_ptr(), flags) })
}

/// Makes the mount at a path the root, with the old one on top of it.
pub(super) fn pivot(at: &CStr) -> Result<libc::c_long, i32> {
    // SAFETY: the path is a C string; changes this child's working directory.
    check(unsafe { libc::chdir(at.as_ptr()) }.into())?;
    let here = c".".as_ptr();
    // SAFETY: both are C strings; acts on the mount namespace this child made for itself before.
    check(unsafe { libc::syscall(libc::SYS_pivot_root, here, here) })
}
