//! The operations of Seatbelt that Weir's profiles name.
//!
//! A name that the system's compiler does not know makes the whole profile fail to load, so the list holds only what
//! macOS 13 and later know. Source: the profiles that Apple ships below `/System/Library/Sandbox/Profiles`.

/// One operation, or with a `*` a family of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Contents, metadata and extended attributes.
    FileRead,
    /// `stat` and the targets of symbolic links.
    FileReadMetadata,
    /// `access` with `F_OK`.
    FileTestExistence,
    /// Mapping a file as code.
    FileMapExecutable,
    /// Contents, creation, removal, modes, owners, times, attributes.
    FileWrite,
    /// Creating a name, also as the target of a rename.
    FileWriteCreate,
    /// Removing a name, also as the source of a rename.
    FileWriteUnlink,
    /// Setting the set-user-id or set-group-id bit.
    FileWriteSetugid,
    /// Giving a file a second name.
    FileLink,
    /// Cloning a file on APFS.
    FileClone,
    /// Device control.
    FileIoctl,
    /// Starting a program, or the interpreter of a script.
    ProcessExec,
    /// `fork`, `vfork`, `posix_spawn`.
    ProcessFork,
    /// Looking at processes.
    ProcessInfo,
    /// Sending a signal.
    Signal,
    /// Opening a pseudo-terminal.
    PseudoTty,
    /// Reading a kernel variable.
    SysctlRead,
    /// Looking up a mach service.
    MachLookup,
    /// POSIX semaphores.
    PosixSemaphore,
    /// Reading POSIX shared memory.
    PosixSharedMemoryRead,
    /// Reading preferences of the user.
    UserPreferenceRead,
    /// Sockets of other families than IP.
    SystemSocket,
    /// Connecting, or sending to an address.
    NetworkOutbound,
    /// Accepting, or receiving from an address.
    NetworkInbound,
    /// Binding a socket.
    NetworkBind,
}

impl Operation {
    /// The word in a profile.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FileRead => "file-read*",
            Self::FileReadMetadata => "file-read-metadata",
            Self::FileTestExistence => "file-test-existence",
            Self::FileMapExecutable => "file-map-executable",
            Self::FileWrite => "file-write*",
            Self::FileWriteCreate => "file-write-create",
            Self::FileWriteUnlink => "file-write-unlink",
            Self::FileWriteSetugid => "file-write-setugid",
            Self::FileLink => "file-link",
            Self::FileClone => "file-clone",
            Self::FileIoctl => "file-ioctl",
            Self::ProcessExec => "process-exec*",
            Self::ProcessFork => "process-fork",
            Self::ProcessInfo => "process-info*",
            Self::Signal => "signal",
            Self::PseudoTty => "pseudo-tty",
            Self::SysctlRead => "sysctl-read",
            Self::MachLookup => "mach-lookup",
            Self::PosixSemaphore => "ipc-posix-sem",
            Self::PosixSharedMemoryRead => "ipc-posix-shm-read*",
            Self::UserPreferenceRead => "user-preference-read",
            Self::SystemSocket => "system-socket",
            Self::NetworkOutbound => "network-outbound",
            Self::NetworkInbound => "network-inbound",
            Self::NetworkBind => "network-bind",
        }
    }
}
