//! From a decided policy to a running sandbox: the launcher, and what the server part says to it.
//!
//! The launcher has one thread and is there before any runtime. It alone makes sandboxes and is the parent of each, so that
//! they end when it does. It reads nothing that a client wrote but the bounded, typed [`Launch`], and it decides for itself as
//! whom a command may run.

#[cfg(target_os = "linux")]
pub mod launcher;
#[cfg(target_os = "macos")]
pub mod macos;

pub(crate) mod advice;
#[cfg(target_os = "linux")]
mod attempt;
#[cfg(target_os = "linux")]
mod begin;
#[cfg(target_os = "linux")]
mod copying;
mod endpoints;
mod granting;
#[cfg(target_os = "linux")]
mod holding;
mod hostfile;
pub mod inquiry;
#[cfg(target_os = "linux")]
pub(crate) mod lent;
#[cfg(target_os = "linux")]
mod machine;
pub mod passed;
pub(crate) mod program;
#[cfg(target_os = "linux")]
pub(crate) mod published;
#[cfg(target_os = "linux")]
mod record;
#[cfg(target_os = "linux")]
pub mod records;
#[cfg(target_os = "linux")]
mod refused;
#[cfg(target_os = "linux")]
mod running;
#[cfg(target_os = "linux")]
mod spelled;
#[cfg(target_os = "linux")]
mod standard;
pub mod sys;
#[cfg(target_os = "linux")]
mod trust;
#[cfg(target_os = "linux")]
mod unseen;
pub(crate) mod user;

#[cfg(target_os = "linux")]
pub use holding::held_here;
#[cfg(target_os = "macos")]
pub use macos::{held_here, launcher};

use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_protocol::audit::LeaseRecord;
use weir_protocol::denial::{Denial, Sight};
use weir_protocol::method::changes::Ask;
use weir_protocol::method::network::Decision;
use weir_protocol::method::policy::Standpoint;
use weir_protocol::method::process::{End, Enforcement, Receivers, Usage};
use weir_protocol::method::{Examined, code};
use weir_protocol::policy::{Digest, DomainPattern};
use weir_protocol::recorded::Recorded;
use weir_protocol::{AbsPath, ByteString, Policy};

use crate::answer::doctor;
#[cfg(target_os = "linux")]
use crate::audit::Audit;
#[cfg(target_os = "linux")]
use crate::profile::standing::Standing;
use inquiry::{Answered, Inquiry};
use passed::Passed;

/// Where one of the command's standard descriptors comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// It stays closed.
    Closed,
    /// The next descriptor that travels along.
    Passed,
    /// The sandbox's own terminal.
    Terminal,
}

/// What goes on in a sandbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Image {
    /// The command is executed.
    #[default]
    Command,
    /// This program carries out calls on files; of a command only the name for the record is used.
    Files,
}

/// A sandbox to be made.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    /// What the command may do.
    pub policy: Policy,
    /// The command.
    pub argv: Vec<ByteString>,
    /// Its whole environment.
    pub env: Vec<(ByteString, ByteString)>,
    /// Where it starts.
    pub cwd: AbsPath,
    /// Permission bits that its new files do not have; this launcher's own where absent.
    #[serde(default)]
    pub umask: Option<u32>,
    /// Standard input, output and error.
    pub stdio: [Source; 3],
    /// Rows and columns of a terminal of its own.
    pub size: Option<[u16; 2]>,
    /// Another user to run as.
    pub user: Option<String>,
    /// Where the caller stands: what the ceiling's special paths mean.
    pub standpoint: Standpoint,
    /// What goes on in it.
    #[serde(default)]
    pub image: Image,
    /// Whether what it uses is recorded.
    #[serde(default)]
    pub recorded: bool,
    /// The certificate of the authority that inspects connections, as PEM, in limited mode.
    #[serde(default)]
    pub certificate: Option<String>,
}

impl Launch {
    /// Whether every connection of the sandbox goes through the network gate. Calls on files make none. On macOS any network is the
    /// gate's, for the sandbox there knows no addresses but the host's own.
    #[must_use]
    pub fn is_gated(&self) -> bool {
        let network = self.policy.network();
        let every = cfg!(target_os = "macos") && network.enabled.value;
        self.image == Image::Command && !self.policy.is_unrestricted() && (network.is_gated() || every)
    }
}

impl Launch {
    /// Whether ports of the host's loopback lead inside. A worker for files listens nowhere.
    #[must_use]
    pub fn publishes(&self) -> bool {
        let is_command = self.image == Image::Command && !self.policy.is_unrestricted();
        cfg!(target_os = "linux") && is_command && !self.policy.network().publish.is_empty()
    }
}

/// Most bytes of a certificate.
pub const MAX_CERTIFICATE_BYTES: usize = 8 << 10;

/// What a launcher is held to that serves a part which may not be believed.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub struct Bound {
    /// The administrator's ceiling.
    pub ceiling: Standing,
    /// Where it records what it does.
    pub audit: Audit,
    /// The kernel's records, opened with a right that the launcher does not have.
    pub records: records::Records,
    /// What earlier launchers of this user have found, until a sandbox is made.
    pub index: Option<lent::Lent>,
}

/// What the server part asks of the launcher.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Makes a sandbox; descriptors travel along.
    Launch(Box<Launch>),
    /// Compiles a plan and makes nothing.
    Plan(Box<Launch>),
    /// Says what of a plan holds the answers to questions, and makes nothing.
    Hold(Box<Inquiry>),
    /// Tries what this host can enforce for this launcher's user.
    Examine,
    /// Sends a signal.
    Signal {
        /// The signal.
        signal: i32,
        /// To whom.
        to: Receivers,
    },
    /// Weighs a host that no rule of the running command's policy covers.
    Weigh {
        /// The host and its port.
        pattern: DomainPattern,
        /// How far it is.
        stage: Stage,
    },
    /// Answers about copies, or does something with one.
    Copies(Box<Ask>),
    /// Records what becomes of a lease; [`Told::Recorded`] before it takes effect.
    Lease(Box<LeaseNote>),
    /// Ends the sandbox at once.
    End,
    /// What the network gate refused, for the record; once, after the end, where there is a gate.
    Refused(Vec<Denial>),
}

/// What becomes of a lease, for the record. The server part decides that, and bounds nothing but its own user by it: what a command may
/// do under a lease is a policy like any other, which the launcher checks against the ceiling.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseNote {
    /// What.
    pub turn: LeaseTurn,
    /// The profile of the context, and the digest of the policy that the lease is for; absent where there is no such context.
    pub base: Option<(String, Digest)>,
    /// The lease.
    pub lease: LeaseRecord,
    /// The command that it is for.
    pub argv: Vec<ByteString>,
    /// Why.
    pub reason: String,
}

/// What can become of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeaseTurn {
    /// It is given.
    Given,
    /// It is not.
    Refused,
    /// It is over.
    Over,
}

/// How far the question about a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// It is to be put to the client, where the ceiling lets it be granted.
    Question,
    /// The client has answered; a grant takes effect after the launcher's word.
    Answer(Decision),
    /// Nobody has answered in time.
    Silence,
}

/// What the launcher tells.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// The command has been executed.
    Launched {
        /// The sandbox's first process.
        pid: i32,
        /// How the policy is enforced.
        enforcement: Enforcement,
        /// The descriptors that travel along, in their order.
        passed: Vec<Passed>,
    },
    /// The plan.
    Planned {
        /// How the policy would be enforced.
        enforcement: Enforcement,
        /// Every step.
        listing: String,
    },
    /// The answers to [`Order::Hold`], in order.
    Held(Vec<Answered>),
    /// What [`Order::Copies`] asks for.
    Copies(Value),
    /// What was found by trying.
    Examined(Box<Examined>),
    /// There is no sandbox.
    Refused {
        /// A code of [`weir_protocol::method::code`].
        code: i64,
        /// For people.
        message: String,
    },
    /// What [`Order::Weigh`] asks for, in order.
    Weighed {
        /// Why the host must not be granted.
        above: Option<String>,
    },
    /// A signal was sent, or there was nobody left to get it.
    Signalled,
    /// The command was stopped.
    Stopped {
        /// By this signal.
        signal: i32,
    },
    /// The command has ended, and what it has started goes on.
    Background {
        /// How the command ended.
        end: End,
    },
    /// The sandbox has ended, whole.
    Ended(Box<Ended>),
    /// What becomes of a lease is on record.
    Recorded,
    /// What the gate refused is on record, as far as that was possible; and what is advised about it is below the ceiling.
    Refusals(Vec<Denial>),
}

impl Told {
    /// What [`Order::Examine`] asks for.
    fn examined() -> Self {
        match doctor() {
            Ok(examined) => Self::Examined(Box::new(examined)),
            Err(error) => Self::Refused { code: code::LAUNCH, message: error.to_string() },
        }
    }

    /// A launcher makes one sandbox.
    fn busy() -> Self {
        Self::Refused { code: code::STATE, message: "a command is running already".to_owned() }
    }
}

/// How a sandbox ended.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ended {
    /// Why.
    pub end: End,
    /// What it used.
    pub usage: Usage,
    /// What was refused, as far as the launcher can tell.
    pub denials: Vec<Denial>,
    /// How far that is.
    pub sight: Sight,
    /// Repositories that were made.
    pub new_repositories: Vec<ByteString>,
    /// What was used, where that was recorded.
    #[serde(default)]
    pub recorded: Option<Recorded>,
    /// Processes that the kernel did not end.
    #[serde(default)]
    pub stuck: Vec<i32>,
}

/// Whether paths lead on from a descriptor.
fn is_directory(descriptor: &OwnedFd) -> std::io::Result<bool> {
    let found = rustix::fs::fstat(descriptor)?;
    Ok(rustix::fs::FileType::from_raw_mode(found.st_mode) == rustix::fs::FileType::Directory)
}
