//! A server that several users share: `weir-exec-server --listen`.
//!
//! ```text
//! supervisor (root, or the user)     accepts, asks the kernel who connected, makes the others; reads nothing of a client
//!  ├─ server part (nobody)           one for each user: reads clients, carries output
//!  ├─ resolver (that user)           reads profiles
//!  └─ launcher (that user, and what making a sandbox takes)   one for each command
//! ```

mod indexes;
mod kernel_audit;
mod listen;
mod notify;
mod peer;
pub(crate) mod post;
mod remote;
mod supervisor;
mod sys;
mod tally;

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use nix::unistd::User;
use weir_protocol::audit::{FILE_NAME, SYSTEM_STATE};

use crate::audit::Audit;
use crate::peer::Peer;
use kernel_audit::KernelAudit;
use listen::Listening;
pub use remote::run as run_remote;
use supervisor::Supervisor;
pub(crate) use supervisor::complain;

/// The user of the server parts, where root serves.
const SERVER_USER: &str = "weir";

/// What `--audit` is given by who wants none.
const NO_AUDIT: &str = "none";

/// Commands of one user at once.
const COMMANDS: u64 = 1024;

/// Time that commands may still take once the server is told to stop, in seconds.
const STOP_AFTER_SECONDS: u64 = 10;

/// Digits of a digest that tell apart with which groups a user connects.
const GROUPS_DIGITS: usize = 16;

/// Connections of one user at once.
const CONNECTIONS: u64 = 256;

/// Why the server could not begin.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// An argument.
    #[error("{0}; see `weir-exec-server --help`")]
    Argument(String),
    /// No place to listen.
    #[error("{0}")]
    Listen(#[from] listen::ListenError),
    /// The user of the server parts does not exist.
    #[error("there is no user `{0}`; make it (`useradd --system {0}`), or name another: --server-user NAME")]
    NoUser(String),
    /// Decisions cannot be recorded.
    #[error("cannot record to {}: {source}", .path.display())]
    Audit {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A system call that it cannot do without.
    #[error("cannot serve: {0}")]
    System(#[from] io::Error),
}

/// Bounds for each user.
#[derive(Debug, Clone, Copy)]
struct Limits {
    commands: u64,
    connections: u64,
}

/// How to serve.
#[derive(Debug)]
struct Options {
    limits: Limits,
    idle_exit: Option<Duration>,
    /// What runs may still take so long when the server is told to stop.
    stop_after: Duration,
    /// Whom the server parts become, where this is root.
    server_user: Option<(u32, u32)>,
    state: PathBuf,
    /// Where decisions are recorded.
    audit: Option<PathBuf>,
    /// What is done with the kernel's audit.
    kernel_audit: KernelAudit,
}

/// The words of the command line.
#[derive(Debug, Default)]
struct Words {
    socket: Option<PathBuf>,
    group: Option<String>,
    idle_exit: Option<u64>,
    stop_after: Option<u64>,
    server_user: Option<String>,
    state: Option<PathBuf>,
    audit: Option<PathBuf>,
    commands: Option<u64>,
    connections: Option<u64>,
    kernel_audit: KernelAudit,
}

impl Words {
    fn read(arguments: impl Iterator<Item = OsString>) -> Result<Self, DaemonError> {
        let mut words = Self::default();
        let mut arguments = arguments.peekable();
        while let Some(argument) = arguments.next() {
            let option = argument.to_string_lossy().into_owned();
            if words.socket.is_none() && !option.starts_with("--") {
                words.socket = Some(argument.into());
                continue;
            }
            let value = arguments
                .next()
                .ok_or_else(|| DaemonError::Argument(format!("`{option}` needs a value, or is unknown")))?;
            let text = value.to_string_lossy().into_owned();
            let number = || {
                let wrong = |_| DaemonError::Argument(format!("`{option} {text}`: not a number"));
                text.parse().map_err(wrong)
            };
            match option.as_str() {
                "--group" => words.group = Some(text),
                "--idle-exit" => words.idle_exit = Some(number()?),
                "--stop-after" => words.stop_after = Some(number()?),
                "--server-user" => words.server_user = Some(text),
                "--state" => words.state = Some(value.into()),
                "--kernel-audit" => words.kernel_audit = KernelAudit::read(&text)?,
                "--audit" => words.audit = Some(value.into()),
                "--max-commands" => words.commands = Some(number()?),
                "--max-connections" => words.connections = Some(number()?),
                _ => return Err(DaemonError::Argument(format!("`{option}` is no option of --listen"))),
            }
        }
        Ok(words)
    }
}

/// Serves on a socket until it is told to end. `arguments` are those behind `--listen`.
///
/// # Errors
/// [`DaemonError`].
pub fn run(arguments: impl Iterator<Item = OsString>) -> Result<ExitCode, DaemonError> {
    let mut words = Words::read(arguments)?;
    let handed = sys::take_handed(listen::handed_numbers(listen::handed_count()))?;
    let listening = if handed.is_empty() {
        let path = words.socket.take().map_or_else(listen::default_path, Ok)?;
        vec![Listening::at(&path, words.group.as_deref())?]
    } else {
        Listening::handed(handed)?
    };
    let options = options(words)?;
    hide()?;
    let audit = options.open_audit()?;
    let switched = options.kernel_audit.begin(&options.state)?;
    let served = Supervisor::new(listening, options, audit)?.serve();
    switched.end();
    Ok(served?)
}

/// Nobody looks into this process, and it may have as many files as all its users together need.
fn hide() -> io::Result<()> {
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    sys::ignore_file_limit()
}

fn options(words: Words) -> Result<Options, DaemonError> {
    let server_user = server_user(words.server_user.as_deref())?;
    options_with(words, server_user)
}

fn options_with(words: Words, server_user: Option<(u32, u32)>) -> Result<Options, DaemonError> {
    let state = words.state.map_or_else(state, Ok)?;
    let audit = words.audit.unwrap_or_else(|| state.join(FILE_NAME));
    Ok(Options {
        limits: Limits {
            commands: words.commands.unwrap_or(COMMANDS),
            connections: words.connections.unwrap_or(CONNECTIONS),
        },
        idle_exit: words.idle_exit.map(Duration::from_secs),
        stop_after: Duration::from_secs(words.stop_after.unwrap_or(STOP_AFTER_SECONDS)),
        server_user,
        audit: (audit != Path::new(NO_AUDIT)).then_some(audit),
        state,
        kernel_audit: words.kernel_audit,
    })
}

/// Only root can become another.
fn server_user(name: Option<&str>) -> Result<Option<(u32, u32)>, DaemonError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let name = name.unwrap_or(SERVER_USER);
    match User::from_name(name).ok().flatten() {
        Some(user) if user.uid.is_root() => {
            Err(DaemonError::Argument("the server parts must not be root".to_owned()))
        }
        Some(user) => Ok(Some((user.uid.as_raw(), user.gid.as_raw()))),
        None => Err(DaemonError::NoUser(name.to_owned())),
    }
}

fn state() -> Result<PathBuf, DaemonError> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from(SYSTEM_STATE));
    }
    let below = |name: &str, rest: &str| std::env::var_os(name).map(|base| Path::new(&base).join(rest));
    below("XDG_STATE_HOME", "weir")
        .or_else(|| below("HOME", ".local/state/weir"))
        .ok_or_else(|| DaemonError::Argument("neither XDG_STATE_HOME nor HOME is set: --state".to_owned()))
}

impl Options {
    /// The file of a user's contexts, in a directory of the server parts' own. Who connects with other groups may be allowed other things,
    /// and has another one.
    fn store(&self, peer: &Peer) -> io::Result<PathBuf> {
        let directory = self.state.join("contexts");
        DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        self.give(&directory)?;
        let mut groups = blake3::Hasher::new();
        for group in &peer.groups {
            groups.update(&group.to_be_bytes());
        }
        let groups = &groups.finalize().to_hex()[..GROUPS_DIGITS];
        Ok(directory.join(format!("{}-{}-{groups}.sqlite", peer.uid, peer.gid)))
    }

    /// Makes a directory the server parts' own; it may have been another user's, under whom an earlier server had them run.
    fn give(&self, directory: &Path) -> io::Result<()> {
        let own = || (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let (uid, gid) = self.server_user.unwrap_or_else(own);
        std::os::unix::fs::lchown(directory, Some(uid), Some(gid))
    }

    fn open_audit(&self) -> Result<Audit, DaemonError> {
        let Some(path) = &self.audit else { return Ok(Audit::default()) };
        let failed = |source| DaemonError::Audit { path: path.clone(), source };
        // Others pass through to their own places in it, and list nothing.
        DirBuilder::new().recursive(true).mode(0o711).create(&self.state).map_err(failed)?;
        Audit::open(path).map_err(failed)
    }

    /// The directory for output of this user that memory does not hold: the server part's own.
    fn spill_place(&self, uid: u32) -> io::Result<OwnedFd> {
        let place = self.state.join("spill").join(uid.to_string());
        DirBuilder::new().recursive(true).mode(0o711).create(self.state.join("spill"))?;
        match DirBuilder::new().mode(0o700).create(&place) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        self.give(&place)?;
        let flags =
            rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::CLOEXEC;
        Ok(rustix::fs::open(&place, flags | rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty())?)
    }
}
