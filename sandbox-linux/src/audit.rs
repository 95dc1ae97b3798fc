//! The kernel's audit records of what Landlock and the system call filter refuse, read for one sandbox.
//!
//! Pure: text in, refusals out. The kernel writes one record a message; records of one event share a serial number and may come in
//! any order, between those of others. An access that Landlock refuses (1423) names its domain; the record of the domain (1424)
//! comes with the first refusal and names the process that made it, which is the sandbox's init; the system call (1300) names who
//! asked. A call that a filter refuses (1326) stands alone. Everything is bounded, and what belongs to no sandbox of ours is dropped.
//!
//! Sources: Documentation/admin-guide/LSM/landlock.rst, `linux/audit.h`, `security/lsm_audit.c`. Caller: the launcher, over
//! [`Reader`].

mod blocker;
mod fields;
mod follow;

pub use blocker::Blocker;
pub use fields::{Fields, Stamp};
pub use follow::{Follower, MAX_OPEN_EVENTS, Object, Refused};

pub use crate::sys::audit::{MESSAGE_BYTES, Reader, Received, Status, mark, status, switch};

/// A system call (`AUDIT_SYSCALL`).
pub const SYSCALL: u16 = 1300;
/// The end of an event of several records (`AUDIT_EOE`).
pub const END_OF_EVENT: u16 = 1320;
/// A call that a filter refused (`AUDIT_SECCOMP`).
pub const SECCOMP: u16 = 1326;
/// An access that Landlock refused (`AUDIT_LANDLOCK_ACCESS`).
pub const LANDLOCK_ACCESS: u16 = 1423;
/// A domain that refused for the first time, or is gone (`AUDIT_LANDLOCK_DOMAIN`).
pub const LANDLOCK_DOMAIN: u16 = 1424;

/// First Landlock ABI that makes records.
pub const ABI_RECORDS: u32 = 7;
