//! The plan by which one command is started on macOS, as data: program, arguments, environment, descriptors, limits, and
//! how its tree is ended.
//!
//! Pure: nothing is started here. The launcher carries the plan out step by step and adds nothing to it. The program is
//! `/usr/bin/sandbox-exec` by that path, never by a search. Caller: the exec-server's launcher on macOS.

pub mod denial;
pub mod environment;
pub mod tree;

use std::collections::BTreeMap;

use weir_protocol::AbsPath;
use weir_protocol::policy::{Policy, Resource};

use crate::compile::{CompileError, Compiled, Host, Run, compile};

/// The only program that is ever started to confine another.
pub const SANDBOX_EXEC: &str = "/usr/bin/sandbox-exec";

/// Most bytes of the whole argument list that Weir hands over, in bytes: `ARG_MAX` of macOS (1 MiB) without room for the
/// environment.
pub const MAX_ARGUMENT_BYTES: usize = 960 << 10;

/// What a client asks to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program, found by the server on the command's own `PATH`.
    pub program: AbsPath,
    /// Its arguments after its own name.
    pub arguments: Vec<Vec<u8>>,
    /// Where it starts.
    pub working_directory: AbsPath,
    /// Its variables, after the policy's rules about the caller's.
    pub environment: BTreeMap<String, Vec<u8>>,
}

/// A property of the new process, for `posix_spawnattr_setflags`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpawnFlag {
    /// `POSIX_SPAWN_CLOEXEC_DEFAULT`: no descriptor passes but those named.
    CloseAll,
    /// `POSIX_SPAWN_SETPGROUP`: a process group of its own in the launcher's session. Its parent is in another group of that
    /// session, so that the kernel lets a terminal stop it.
    OwnGroup,
    /// `POSIX_SPAWN_SETSIGDEF`: every signal as it is at the start of a program.
    DefaultSignals,
    /// `POSIX_SPAWN_SETSIGMASK`: no signal held back.
    NoSignalMask,
    /// `POSIX_SPAWN_SETEXEC`: the process that asks becomes the program. It is a child of the launcher that has waited until the
    /// launcher watches it, and has taken on the limits, which no attribute can give.
    Replace,
}

/// A limit for `setrlimit`, soft and hard alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProcessLimit {
    /// `RLIMIT_NOFILE`.
    OpenFiles(u64),
    /// `RLIMIT_FSIZE`, in bytes.
    FileSize(u64),
    /// `RLIMIT_CORE` of 0: a core file would hold what the command held.
    NoCore,
}

/// A limit that the reaper measures, for the system cannot hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MeasuredLimit {
    /// Memory of the tree, in bytes: the sum of `ri_phys_footprint` (`proc_pid_rusage`).
    Memory(u64),
    /// Processes of the tree.
    Processes(u64),
}

/// One step of ending a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndingStep {
    /// What is done.
    pub act: Ending,
    /// Why, and why not earlier or later.
    pub reason: &'static str,
}

/// What is done to end a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ending {
    /// `kqueue` with `EVFILT_PROC`: `NOTE_EXIT` and `NOTE_FORK` on the command and on each process that is found.
    Watch,
    /// `SIGSTOP` to every process that is known to belong to the tree.
    Freeze,
    /// `SIGKILL` to the process group and to each member.
    Kill,
    /// `proc_listpids` over everything, following parents, sessions and groups; back to `Freeze` while anything new is found.
    LookAgain,
    /// `wait4` for the command, once every other has been seen to end.
    Reap,
    /// The scratch directory is removed.
    Sweep,
}

/// The order in which a tree is ended, for want of a PID namespace.
pub const ENDING: [EndingStep; 6] = [
    EndingStep { act: Ending::Watch, reason: "set before the command starts, so that no exit is missed" },
    EndingStep {
        act: Ending::Freeze,
        reason: "a stopped process starts no other while the rest is looked for",
    },
    EndingStep {
        act: Ending::Kill,
        reason: "after all are stopped, so that none sees another die and flees",
    },
    EndingStep {
        act: Ending::LookAgain,
        reason: "what was started before its parent stopped has a parent that is known",
    },
    EndingStep {
        act: Ending::Reap,
        reason: "after the last look: end-of-file of every stream is certain from here on",
    },
    EndingStep { act: Ending::Sweep, reason: "last, when nobody is left to write there" },
];

/// Everything that is needed to start one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchPlan {
    /// The program to start.
    pub program: AbsPath,
    /// Its arguments, its own name first; no byte of them is NUL.
    pub arguments: Vec<Vec<u8>>,
    /// Every variable, sorted by name; nothing else passes.
    pub environment: BTreeMap<String, Vec<u8>>,
    /// Where it starts.
    pub working_directory: AbsPath,
    /// Properties of the process.
    pub flags: [SpawnFlag; 5],
    /// Limits of each process.
    pub limits: Vec<ProcessLimit>,
    /// Limits of the tree.
    pub measured: Vec<MeasuredLimit>,
    /// How the tree is ended.
    pub ending: &'static [EndingStep],
    /// The profile it runs under; `None` where no rule holds.
    pub compiled: Option<Compiled>,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    /// No profile.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// A NUL byte inside an argument.
    #[error("argument {position} holds a NUL byte, which no program can be given")]
    NulInArgument {
        /// Counted from 1.
        position: usize,
    },
    /// More than [`MAX_ARGUMENT_BYTES`].
    #[error("{length} bytes of arguments are more than the {MAX_ARGUMENT_BYTES} that macOS takes")]
    TooLong {
        /// Length found, in bytes.
        length: usize,
    },
}

/// Plans the start of `command` under `policy`.
///
/// # Errors
/// [`LaunchError`] when the policy has no profile or the command cannot be passed on.
pub fn plan(policy: &Policy, host: Host, run: &Run, command: &Command) -> Result<LaunchPlan, LaunchError> {
    let compiled = compile(policy, host, run)?;
    let confined = !policy.is_unrestricted();
    let own = std::iter::once(command.program.as_bytes().to_vec()).chain(command.arguments.iter().cloned());
    let (program, arguments) = if confined {
        let mut arguments = sandbox_arguments(&compiled);
        arguments.extend(own);
        (AbsPath::parse(SANDBOX_EXEC).unwrap_or_else(|_| AbsPath::root()), arguments)
    } else {
        (command.program.clone(), own.collect())
    };
    check(&arguments)?;
    Ok(LaunchPlan {
        program,
        arguments,
        environment: environment::adapted(policy, run, &command.environment),
        working_directory: command.working_directory.clone(),
        flags: [
            SpawnFlag::CloseAll,
            SpawnFlag::OwnGroup,
            SpawnFlag::DefaultSignals,
            SpawnFlag::NoSignalMask,
            SpawnFlag::Replace,
        ],
        limits: limits(policy),
        measured: measured(policy),
        ending: &ENDING,
        compiled: confined.then_some(compiled),
    })
}

impl LaunchPlan {
    /// Every step, for people: what `--dry-run` prints.
    #[must_use]
    pub fn listing(&self) -> String {
        let mut out = format!("start {}\n", self.program);
        for argument in self.arguments.iter().skip(1).filter(|argument| !argument.starts_with(b"(version")) {
            out.push_str(&format!("  {}\n", argument.escape_ascii()));
        }
        out.push_str(&format!(
            "in {}\nwith {:?}\nlimits {:?}\n",
            self.working_directory, self.flags, self.limits
        ));
        if !self.measured.is_empty() {
            out.push_str(&format!("measured {:?}\n", self.measured));
        }
        for EndingStep { act, reason } in self.ending {
            out.push_str(&format!("at the end {act:?}: {reason}\n"));
        }
        if let Some(compiled) = &self.compiled {
            out.push_str(&format!("under the profile\n{}", compiled.profile));
        }
        out
    }
}

/// `sandbox-exec -p PROFILE -D NAME=VALUE … --`.
fn sandbox_arguments(compiled: &Compiled) -> Vec<Vec<u8>> {
    let mut out = vec![SANDBOX_EXEC.as_bytes().to_vec(), b"-p".to_vec()];
    out.push(compiled.profile.to_string().into_bytes());
    for parameter in &compiled.parameters {
        out.push(b"-D".to_vec());
        out.push(format!("{}={}", parameter.name, parameter.value).into_bytes());
    }
    out.push(b"--".to_vec());
    out
}

fn check(arguments: &[Vec<u8>]) -> Result<(), LaunchError> {
    if let Some(at) = arguments.iter().position(|argument| argument.contains(&0)) {
        return Err(LaunchError::NulInArgument { position: at + 1 });
    }
    let length = arguments.iter().map(|argument| argument.len() + 1 + size_of::<usize>()).sum();
    if length > MAX_ARGUMENT_BYTES {
        return Err(LaunchError::TooLong { length });
    }
    Ok(())
}

fn limits(policy: &Policy) -> Vec<ProcessLimit> {
    let limit = |resource| policy.resources().limit(resource).map(|limit| limit.value);
    let mut out = vec![ProcessLimit::NoCore];
    out.extend(limit(Resource::OpenFiles).map(ProcessLimit::OpenFiles));
    out.extend(limit(Resource::FileSize).map(ProcessLimit::FileSize));
    out
}

fn measured(policy: &Policy) -> Vec<MeasuredLimit> {
    let limit = |resource| policy.resources().limit(resource).map(|limit| limit.value);
    let memory = limit(Resource::Memory).map(MeasuredLimit::Memory);
    memory.into_iter().chain(limit(Resource::Processes).map(MeasuredLimit::Processes)).collect()
}
