//! What a filter answers: `SECCOMP_RET_*` of `linux/seccomp.h`, and the error numbers that Weir's filters use.

use std::fmt;

/// `SECCOMP_RET_DATA`: the bits an action carries along.
const DATA: u32 = 0xffff;

/// An error number. Those named here are the same on x86-64 and aarch64 (`asm-generic/errno*.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Errno(pub u16);

impl Errno {
    /// Operation not permitted.
    pub const EPERM: Self = Self(1);
    /// Permission denied: what socket(2) documents for a socket that policy forbids.
    pub const EACCES: Self = Self(13);
    /// Inappropriate ioctl for device: what a file system without a request answers.
    pub const ENOTTY: Self = Self(25);
    /// Function not implemented: what a kernel built without the call answers.
    pub const ENOSYS: Self = Self(38);
    /// Protocol not supported.
    pub const EPROTONOSUPPORT: Self = Self(93);
    /// Operation not supported: what landlock(7) documents for a kernel that was started without it.
    pub const EOPNOTSUPP: Self = Self(95);
    /// Address family not supported by protocol.
    pub const EAFNOSUPPORT: Self = Self(97);
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::EPERM => f.write_str("EPERM"),
            Self::EACCES => f.write_str("EACCES"),
            Self::ENOTTY => f.write_str("ENOTTY"),
            Self::ENOSYS => f.write_str("ENOSYS"),
            Self::EPROTONOSUPPORT => f.write_str("EPROTONOSUPPORT"),
            Self::EOPNOTSUPP => f.write_str("EOPNOTSUPP"),
            Self::EAFNOSUPPORT => f.write_str("EAFNOSUPPORT"),
            Self(other) => write!(f, "errno {other}"),
        }
    }
}

/// A filter's verdict on one call (seccomp(2), "SECCOMP_RET_*").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The call proceeds.
    Allow,
    /// The call proceeds and is logged.
    Log,
    /// The call is skipped and answers this error.
    Errno(Errno),
    /// The thread gets SIGSYS.
    Trap(u16),
    /// A tracer decides.
    Trace(u16),
    /// A listener decides.
    Notify,
    /// The thread ends.
    KillThread,
    /// The process ends with SIGSYS; the kernel writes an audit record.
    KillProcess,
}

impl Action {
    /// The value a program returns for it.
    #[must_use]
    pub const fn encode(self) -> u32 {
        match self {
            Self::Allow => 0x7fff_0000,
            Self::Log => 0x7ffc_0000,
            Self::Trace(data) => 0x7ff0_0000 | data as u32,
            Self::Notify => 0x7fc0_0000,
            Self::Errno(errno) => 0x0005_0000 | errno.0 as u32,
            Self::Trap(data) => 0x0003_0000 | data as u32,
            Self::KillThread => 0,
            Self::KillProcess => 0x8000_0000,
        }
    }

    /// The action in a returned value. As in the kernel, what it does not know kills the process.
    #[must_use]
    pub const fn decode(value: u32) -> Self {
        let bytes = (value & DATA).to_le_bytes();
        let data = u16::from_le_bytes([bytes[0], bytes[1]]);
        match value & !DATA {
            0x7fff_0000 => Self::Allow,
            0x7ffc_0000 => Self::Log,
            0x7ff0_0000 => Self::Trace(data),
            0x7fc0_0000 => Self::Notify,
            0x0005_0000 => Self::Errno(Errno(data)),
            0x0003_0000 => Self::Trap(data),
            0 => Self::KillThread,
            _ => Self::KillProcess,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow => f.write_str("allow"),
            Self::Log => f.write_str("log"),
            Self::Errno(errno) => write!(f, "{errno}"),
            Self::Trap(data) => write!(f, "trap {data}"),
            Self::Trace(data) => write!(f, "trace {data}"),
            Self::Notify => f.write_str("notify"),
            Self::KillThread => f.write_str("kill thread"),
            Self::KillProcess => f.write_str("kill process"),
        }
    }
}
