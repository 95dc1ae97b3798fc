//! Why a call is allowed or refused: the classes, the answer of each, and the reason for both.

use super::rule::{self, Rule};
use super::{Grant, Ipc, Needs, Network, Pids};
use crate::bpf::{Action, Errno};

/// What a filter does with a call of a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The number alone decides.
    Always(Action),
    /// The arguments decide.
    ByArguments(Rule),
}

impl Verdict {
    const ALLOW: Self = Self::Always(Action::Allow);

    const fn refuse(errno: Errno) -> Self {
        Self::Always(Action::Errno(errno))
    }
}

/// A group of calls that are decided alike, for one reason ([`Class::reason`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "Class::reason() documents each")]
pub enum Class {
    Ordinary,
    OtherProcess,
    KernelSurface,
    IoUring,
    Keyring,
    Mount,
    MountQuery,
    JoinNamespace,
    Unshare,
    Clone,
    Clone3,
    KernelImage,
    SystemState,
    SystemClock,
    HostName,
    FileHandle,
    IoPort,
    Fanotify,
    LsmState,
    Ioctl,
    Socket,
    Socketpair,
    Send,
    SendMessage,
    Listen,
    Personality,
    Mknod,
    Mknodat,
    Limits,
    Schedule,
    Priority,
    Ipc,
    Obsolete,
}

impl Class {
    /// The answer to a call of this class.
    #[must_use]
    pub fn verdict(self, needs: &Needs) -> Verdict {
        match self {
            Self::Ordinary => Verdict::ALLOW,
            Self::OtherProcess
            | Self::KernelSurface
            | Self::Keyring
            | Self::KernelImage
            | Self::SystemState
            | Self::SystemClock
            | Self::FileHandle
            | Self::IoPort
            | Self::Fanotify
            | Self::LsmState => Verdict::refuse(Errno::EPERM),
            Self::MountQuery | Self::Obsolete => Verdict::refuse(Errno::ENOSYS),
            Self::IoUring => unless(needs.io_uring, Verdict::refuse(Errno::ENOSYS)),
            Self::Mount | Self::JoinNamespace | Self::HostName => {
                nested(needs, Verdict::refuse(Errno::EPERM))
            }
            Self::Clone3 => nested(needs, Verdict::refuse(Errno::ENOSYS)),
            Self::Clone => nested(needs, Verdict::ByArguments(rule::clone())),
            Self::Unshare => nested(needs, Verdict::ByArguments(rule::unshare())),
            Self::Ipc => match needs.ipc {
                Ipc::Own => Verdict::ALLOW,
                Ipc::Shared => Verdict::refuse(Errno::ENOSYS),
            },
            Self::Limits => match needs.pids {
                Pids::Own => Verdict::ALLOW,
                Pids::Shared => Verdict::ByArguments(rule::prlimit()),
            },
            Self::Schedule => match needs.pids {
                Pids::Own => Verdict::ALLOW,
                Pids::Shared => Verdict::ByArguments(rule::own_process(0)),
            },
            Self::Priority => match needs.pids {
                Pids::Own => Verdict::ALLOW,
                Pids::Shared => Verdict::ByArguments(rule::own_process(1)),
            },
            Self::Ioctl => Verdict::ByArguments(rule::ioctl()),
            Self::Socket => Verdict::ByArguments(rule::socket(needs.network, needs.unix_sockets)),
            Self::Socketpair => Verdict::ByArguments(rule::socketpair(needs.unix_sockets)),
            Self::Send => proxied(needs, Verdict::ByArguments(rule::no_fast_open(3))),
            Self::SendMessage => proxied(needs, Verdict::ByArguments(rule::no_fast_open(2))),
            Self::Listen => proxied(needs, Verdict::refuse(Errno::EACCES)),
            Self::Personality => Verdict::ByArguments(rule::personality()),
            Self::Mknod => nested(needs, Verdict::ByArguments(rule::device_node(1))),
            Self::Mknodat => nested(needs, Verdict::ByArguments(rule::device_node(2))),
        }
    }

    /// Why the class is decided as it is, and why with that error.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Ordinary => "held by Landlock, mounts and namespaces where it touches anything outside",
            Self::OtherProcess => "reads, writes or steers another process, or takes descriptors from it",
            Self::KernelSurface => {
                "large parts of the kernel that no build or test needs; EPERM as for an unprivileged user"
            }
            Self::IoUring => {
                "opens files and sockets without passing a filter; ENOSYS, so that libraries take their other path"
            }
            Self::Keyring => "keyrings belong to the user, not to the sandbox, and outlive it",
            Self::Mount => {
                "could uncover what mounts hide; only a nested user namespace may mount, in its own tree"
            }
            Self::MountQuery => {
                "the mount table is read through the sandbox's own /proc; ENOSYS makes libmount do so"
            }
            Self::JoinNamespace => "enters a namespace by descriptor",
            Self::Unshare => {
                "makes namespaces, in which a process has capabilities over kernel code; other flags pass"
            }
            Self::Clone => "makes namespaces, or (CLONE_PARENT) children of the launcher; other flags pass",
            Self::Clone3 => {
                "its flags lie in memory, out of a filter's sight; ENOSYS makes every C library use clone"
            }
            Self::KernelImage => "loads or replaces kernel code, or ends the machine",
            Self::SystemState => "belongs to the administrator of the machine",
            Self::SystemClock => "sets the machine's clock",
            Self::HostName => "the sandbox's name is set before it starts",
            Self::FileHandle => "opens a file by number, past every path rule",
            Self::IoPort => "raw access to devices",
            Self::Fanotify => "watches or delays whole mounts; EPERM makes tools use inotify",
            Self::LsmState => "changes the confinement of the process",
            Self::Ioctl => {
                "only requests that inject input, rewrite a console keymap or load line disciplines are refused"
            }
            Self::Socket => {
                "TCP, UDP, ping, unix and route sockets as the profile says; a missing family or protocol answers as on \
                 a kernel without it, raw sockets EPERM as without CAP_NET_RAW"
            }
            Self::Socketpair => "pairs of unix sockets only; a datagram pair could still send to any path",
            Self::Send | Self::SendMessage => {
                "with MSG_FASTOPEN they connect past Landlock's port rules; refused where those hold the network, as on a kernel without it"
            }
            Self::Listen => {
                "without bind it takes a port past Landlock's rules; refused where those hold the network"
            }
            Self::Personality => "only the native one, its 32-bit uname and fixed addresses",
            Self::Mknod | Self::Mknodat => "device nodes are refused; fifos, sockets and files pass",
            Self::Limits => {
                "limits of a process outside could be lowered until it dies; one's own may be set"
            }
            Self::Schedule | Self::Priority => {
                "could slow down or pin any process of the user outside; the caller's own may be set, by the number 0"
            }
            Self::Ipc => {
                "System V and POSIX queues are found by number; without an own IPC namespace they are the host's"
            }
            Self::Obsolete => {
                "gone from the kernel, or kept only for programs of long ago; ENOSYS as on a kernel without it"
            }
        }
    }
}

fn unless(grant: Grant, refusal: Verdict) -> Verdict {
    match grant {
        Grant::Allowed => Verdict::ALLOW,
        Grant::Denied => refusal,
    }
}

/// What Landlock's port rules do not see, where they hold the network.
fn proxied(needs: &Needs, refusal: Verdict) -> Verdict {
    match needs.network {
        Network::Proxied => refusal,
        Network::None | Network::Private | Network::Host => Verdict::ALLOW,
    }
}

fn nested(needs: &Needs, refusal: Verdict) -> Verdict {
    unless(needs.nested_user_namespaces, refusal)
}
