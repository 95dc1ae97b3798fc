//! Numbers and structures of the kernel that the C library's crate lacks (`linux/mount.h`, `linux/landlock.h`, `linux/openat2.h`,
//! `linux/securebits.h`, `linux/capability.h`), and the one way a raw call's result is read.

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
pub(crate) const FSCONFIG_SET_STRING: u32 = 1;
pub(crate) const FSCONFIG_CMD_CREATE: u32 = 6;

pub(crate) const RESOLVE_NO_MAGICLINKS: u64 = 0x2;
pub(crate) const RESOLVE_NO_SYMLINKS: u64 = 0x4;

pub(crate) const CLONE_PIDFD: u64 = 0x1000;

/// No rights for uid 0, no ambient capabilities, and nobody may change that again.
pub(crate) const SECURE_BITS: libc::c_ulong = 0x1 | 0x2 | 0x20 | 0x40 | 0x80;

pub(crate) const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

pub(crate) const LANDLOCK_RULE_PATH_BENEATH: libc::c_long = 1;

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

/// `struct open_how`.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct OpenHow {
    pub(crate) flags: u64,
    pub(crate) mode: u64,
    pub(crate) resolve: u64,
}

/// `struct landlock_path_beneath_attr`, which is packed.
#[repr(C, packed)]
#[derive(Debug)]
pub(crate) struct PathBeneath {
    pub(crate) allowed_access: u64,
    pub(crate) parent_fd: i32,
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
