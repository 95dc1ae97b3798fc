//! Numbers and structures of the kernel that the C library's crate lacks (`linux/mount.h`, `linux/landlock.h`,
//! `linux/securebits.h`, `linux/capability.h`), the one way a raw call's result is read, and the calls that several parts make
//! alike. Nothing here allocates.

use std::os::fd::{FromRawFd as _, OwnedFd};

use crate::bpf::Insn;

/// Read-only, no set-user-ID, no devices, no programs: attributes of a mount (mount_setattr(2)).
pub(crate) const MOUNT_ATTR_RDONLY: u64 = 0x1;
pub(crate) const MOUNT_ATTR_NOSUID: u64 = 0x2;
pub(crate) const MOUNT_ATTR_NODEV: u64 = 0x4;
pub(crate) const MOUNT_ATTR_NOEXEC: u64 = 0x8;

pub(crate) const OPEN_TREE_CLONE: u32 = 1;
pub(crate) const OPEN_TREE_CLOEXEC: u32 = 0o2_000_000;
pub(crate) const AT_RECURSIVE: u32 = 0x8000;
pub(crate) const AT_EMPTY_PATH: u32 = 0x1000;
pub(crate) const MOVE_MOUNT_F_EMPTY_PATH: u32 = 0x4;
pub(crate) const MOVE_MOUNT_T_EMPTY_PATH: u32 = 0x40;

pub(crate) const FSOPEN_CLOEXEC: u32 = 1;
pub(crate) const FSMOUNT_CLOEXEC: u32 = 1;
pub(crate) const FSCONFIG_SET_FLAG: u32 = 0;
pub(crate) const FSCONFIG_SET_STRING: u32 = 1;
pub(crate) const FSCONFIG_CMD_CREATE: u32 = 6;

pub(crate) const CLONE_PIDFD: u64 = 0x1000;
/// Linux 5.7.
pub(crate) const CLONE_INTO_CGROUP: u64 = 1 << 33;

/// No rights for uid 0, no ambient capabilities, and nobody may change that again.
pub(crate) const SECURE_BITS: libc::c_ulong = 0x1 | 0x2 | 0x20 | 0x40 | 0x80;

pub(crate) const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

pub(crate) const LANDLOCK_RULE_PATH_BENEATH: libc::c_long = 1;
pub(crate) const LANDLOCK_RULE_NET_PORT: libc::c_long = 2;

pub(crate) const CLOSE_RANGE_CLOEXEC: libc::c_long = 4;

/// `struct mount_attr`.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct MountAttr {
    pub(crate) set: u64,
    pub(crate) clear: u64,
    pub(crate) propagation: u64,
    pub(crate) userns_fd: u64,
}

/// `struct landlock_path_beneath_attr`, which is packed.
#[repr(C, packed)]
#[derive(Debug)]
pub(crate) struct PathBeneath {
    pub(crate) allowed_access: u64,
    pub(crate) parent_fd: i32,
}

/// `struct landlock_net_port_attr`.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct NetPort {
    pub(crate) allowed_access: u64,
    pub(crate) port: u64,
}

/// `struct __user_cap_header_struct`.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct CapHeader {
    pub(crate) version: u32,
    pub(crate) pid: i32,
}

/// The error number of the calling thread.
pub(crate) fn errno() -> i32 {
    // SAFETY: the pointer is the calling thread's own and always valid.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: as above; an int that nothing else writes while this thread reads.
    unsafe { *place }
}

/// A result of the C library's `-1 and errno` kind.
pub(crate) fn check(result: libc::c_long) -> Result<libc::c_long, i32> {
    if result < 0 { Err(errno()) } else { Ok(result) }
}

/// The same for calls that return an int.
pub(crate) fn check_int(result: libc::c_int) -> Result<libc::c_int, i32> {
    if result < 0 { Err(errno()) } else { Ok(result) }
}

/// Takes a descriptor that a call just made.
pub(crate) fn owned(result: libc::c_long) -> Result<OwnedFd, i32> {
    let fd = libc::c_int::try_from(check(result)?).map_err(|_| libc::EBADF)?;
    // SAFETY: the kernel just made this descriptor for us; nothing else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Installs a filter in the calling thread (seccomp(2)); answers what the kernel does: 0, or a listener with that flag.
pub(crate) fn install_filter(program: &[Insn], flags: u64) -> Result<libc::c_long, i32> {
    let len = u16::try_from(program.len()).map_err(|_| libc::EINVAL)?;
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast::<libc::sock_filter>().cast_mut() };
    let mode = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: `program` points at `len` instructions laid out as `struct sock_filter`, which the kernel copies.
    check(unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program) })
}
