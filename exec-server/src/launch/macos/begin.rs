//! One launch on macOS: find the program, plan, make what the run needs, start, and hear whether the program was started.

use std::collections::BTreeMap;
use std::ffi::{CString, NulError};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::rc::Rc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetpgrp, tcsetwinsize};
use tempfile::TempDir;
use weir_protocol::method::code;
use weir_protocol::method::process::{Degraded, Enforcement, Mechanism};
use weir_protocol::policy::{Access, NetworkMode, Origin, Policy};
use weir_protocol::{AbsPath, ByteString};
use weir_sandbox_macos::compile::CompileError;
use weir_sandbox_macos::launch::tree::Tree;
use weir_sandbox_macos::launch::{Command, LaunchError, SpawnFlag, environment, plan};
use weir_sandbox_macos::{Gate, Host, LaunchPlan, LetterCase, Run, RunTag, gap};

use super::child;
use super::denials::Denials;
use super::running::{Parts, Running};
use super::sys::{self, Patience, Program, Queue};
use crate::launch::endpoints::Endpoints;
use crate::launch::passed::{Descriptors, Passed};
use crate::launch::program::{ProgramError, find};
use crate::launch::{Image, Launch, Source, Told, hostfile, is_directory};

/// How a confined run is enforced here.
const WAY: &str = "seatbelt";

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub(super) enum BeginError {
    /// The program is not there, or is none.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The policy cannot be held, or the command not expressed.
    #[error(transparent)]
    Plan(#[from] LaunchError),
    /// Another user was asked for.
    #[error("on macOS a command runs as nobody but its caller")]
    User,
    /// Calls on files were asked for.
    #[error("on macOS no calls on files are carried out yet")]
    Files,
    /// What limited mode trusts cannot be shown to programs here.
    #[error(
        "{0}: on macOS `mode = \"limited\"` cannot be kept yet: nothing shows programs the sandbox's own authority"
    )]
    Limited(Origin),
    /// Descriptors that were announced did not come.
    #[error("a descriptor that was announced did not come")]
    NoDescriptor,
    /// A directory as standard input, output or error.
    #[error(
        "standard input, output or error is a directory; a command could walk out of the sandbox from it"
    )]
    Directory,
    /// A NUL byte where none can be.
    #[error("a path, an argument or a variable holds a NUL byte, which no program can be given")]
    Nul(#[from] NulError),
    /// The working directory.
    #[error("{0}: working directory: {1}")]
    WorkingDirectory(AbsPath, io::Error),
    /// Something that the run needs cannot be made, or the program that confines does not start.
    #[error("the sandbox could not be made; nothing was run ({0}: {1})")]
    System(&'static str, io::Error),
}

impl BeginError {
    pub(super) fn told(&self) -> Told {
        let code = match self {
            Self::Program(ProgramError::NotFound(_)) => code::COMMAND_NOT_FOUND,
            Self::Program(ProgramError::NotExecutable(_)) => code::COMMAND_NOT_EXECUTABLE,
            Self::Plan(LaunchError::Compile(
                CompileError::NoGate | CompileError::Unenforceable { .. } | CompileError::Parameter(_),
            ))
            | Self::Limited(_) => code::UNENFORCEABLE,
            Self::Plan(_)
            | Self::User
            | Self::Files
            | Self::NoDescriptor
            | Self::Directory
            | Self::Nul(_) => code::QUESTION,
            Self::WorkingDirectory(..) | Self::System(..) => code::LAUNCH,
        };
        Told::Refused { code, message: self.to_string() }
    }
}

/// Names what failed.
fn of(what: &'static str) -> impl Fn(io::Error) -> BeginError {
    move |error| BeginError::System(what, error)
}

/// What is made for one run.
#[derive(Default)]
struct Own {
    scratch: Option<TempDir>,
    terminal: Option<Terminal>,
    /// The gate's, where the policy grants a network.
    endpoints: Option<Endpoints>,
}

/// A terminal of the run's own.
struct Terminal {
    controlling: OwnedFd,
    other: OwnedFd,
    name: AbsPath,
}

/// Starts the command and answers when its program, which confines it, has been started. `server` is no part of it.
pub(super) fn begin(
    launch: &Rc<Launch>,
    queue: &Queue,
    server: i32,
    mut passed: impl FnMut() -> Option<OwnedFd>,
) -> Result<(Running, Enforcement), BeginError> {
    let started = Instant::now();
    let lent = lent(launch, &mut passed)?;
    let own = Own::make(launch)?;
    let run = run(&own)?;
    let plan = compiled(launch, &run)?;
    let directory = launch.cwd.as_path();
    if let Err(error) = std::fs::read_dir(directory).map(drop)
        && !matches!(error.kind(), io::ErrorKind::PermissionDenied)
    {
        return Err(BeginError::WorkingDirectory(launch.cwd.clone(), error));
    }
    let stdio: [Option<RawFd>; 3] = std::array::from_fn(|at| match launch.stdio.get(at) {
        Some(Source::Terminal) => own.terminal.as_ref().map(|terminal| terminal.other.as_raw_fd()),
        _ => lent.get(at).and_then(Option::as_ref).map(|descriptor| descriptor.as_raw_fd()),
    });
    let denials = plan.compiled.as_ref().and_then(|_| Denials::follow(&run.tag));
    let (first, tree) = match start(
        &plan,
        queue,
        &own,
        &stdio,
        [server].into_iter().chain(denials.as_ref().and_then(Denials::pid)),
    ) {
        Ok(found) => found,
        Err(error) => {
            denials.map(|denials| denials.end(&launch.policy));
            return Err(error);
        }
    };
    if let Some(output) = denials.as_ref().and_then(Denials::output) {
        // Where this fails, what the log has told is read at the end.
        let _ = queue.watch_readable(output);
    }
    let (controlling, terminal) = own.terminal.map(|terminal| (terminal.controlling, terminal.other)).unzip();
    let measured = plan.measured.clone();
    let mut descriptors = Descriptors::default();
    controlling.into_iter().for_each(|controlling| descriptors.add(Passed::Terminal, controlling));
    if let Some(endpoints) = own.endpoints {
        endpoints.sockets.into_iter().for_each(|(name, socket)| descriptors.add(name, socket));
        hostfile::add_all(&launch.policy, &mut descriptors);
    }
    let parts = Parts { first, tree, measured, denials, descriptors, terminal, scratch: own.scratch };
    Ok((Running::new(parts, started, Rc::clone(launch)), enforcement(&launch.policy, &plan)))
}

/// The caller's own descriptors, from which no path leads anywhere.
fn lent(
    launch: &Launch,
    passed: &mut impl FnMut() -> Option<OwnedFd>,
) -> Result<[Option<OwnedFd>; 3], BeginError> {
    let mut lent: [Option<OwnedFd>; 3] = [None, None, None];
    for (slot, _) in lent.iter_mut().zip(launch.stdio).filter(|(_, source)| *source == Source::Passed) {
        let descriptor = passed().ok_or(BeginError::NoDescriptor)?;
        if is_directory(&descriptor).map_err(of("descriptor"))? {
            return Err(BeginError::Directory);
        }
        *slot = Some(descriptor);
    }
    Ok(lent)
}

/// How a command would be enforced, and every step; nothing is made and nothing runs.
pub(super) fn planned(launch: &Launch) -> Result<(Enforcement, String), BeginError> {
    // The ports would be others then.
    let endpoints = launch.is_gated().then(Endpoints::open).transpose().map_err(of("network gate"))?;
    let plan = compiled(launch, &run(&Own { endpoints, ..Own::default() })?)?;
    Ok((enforcement(&launch.policy, &plan), plan.listing()))
}

fn start(
    plan: &LaunchPlan,
    queue: &Queue,
    own: &Own,
    stdio: &[Option<RawFd>; 3],
    beside: impl Iterator<Item = i32>,
) -> Result<(weir_sandbox_macos::launch::tree::Process, Tree), BeginError> {
    let program = program(plan)?;
    let child = child::make(&program, &plan.limits, stdio).map_err(of("process"))?;
    let pid = child.pid;
    let launcher = i32::try_from(std::process::id()).map_err(io::Error::other);
    let watched = match (sys::process(pid), &launcher) {
        // In another's session the tree could not be told from the other's processes.
        (Some(first), Ok(leader)) if first.session == *leader => queue.watch_process(pid).map(|()| first),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    // From here on nothing of it is missed, and a terminal is the command's from its first instruction on.
    let foreground = own.terminal.as_ref().zip(rustix::process::Pid::from_raw(pid));
    let released = watched.and_then(|first| {
        if let Some((terminal, group)) = foreground {
            tcsetpgrp(&terminal.other, group)?;
        }
        child.release().map(|()| first)
    });
    let first = released.map_err(|error| {
        let _ = sys::signal(pid, libc::SIGKILL);
        let _ = sys::changed(pid, Patience::Wait);
        BeginError::System("sandbox-exec", error)
    })?;
    Ok((first, Tree::of(first, beside.chain(launcher.ok()))))
}

fn program(plan: &LaunchPlan) -> Result<Program, BeginError> {
    let strings = |bytes: Vec<Vec<u8>>| bytes.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>();
    let variable = |(name, value): (&String, &Vec<u8>)| [name.as_bytes(), b"=", value.as_slice()].concat();
    Ok(Program {
        path: CString::new(plan.program.as_bytes())?,
        arguments: strings(plan.arguments.clone())?,
        environment: strings(plan.environment.iter().map(variable).collect())?,
        directory: CString::new(plan.working_directory.as_bytes())?,
        flags: plan.flags.iter().fold(0, |flags, flag| flags | bit(*flag)),
    })
}

fn bit(flag: SpawnFlag) -> libc::c_int {
    match flag {
        SpawnFlag::CloseAll => libc::POSIX_SPAWN_CLOEXEC_DEFAULT,
        SpawnFlag::OwnGroup => libc::POSIX_SPAWN_SETPGROUP,
        SpawnFlag::DefaultSignals => libc::POSIX_SPAWN_SETSIGDEF,
        SpawnFlag::NoSignalMask => libc::POSIX_SPAWN_SETSIGMASK,
        SpawnFlag::Replace => libc::POSIX_SPAWN_SETEXEC,
    }
}

fn compiled(launch: &Launch, run: &Run) -> Result<LaunchPlan, BeginError> {
    if launch.image == Image::Files {
        return Err(BeginError::Files);
    }
    if launch.user.is_some() {
        return Err(BeginError::User);
    }
    let mode = &launch.policy.network().mode;
    if launch.is_gated() && mode.value == NetworkMode::Limited {
        return Err(BeginError::Limited(mode.origin.clone()));
    }
    let value = |wanted: &[u8]| {
        let found = launch.env.iter().find(|(name, _)| name.0 == wanted);
        found.map(|(_, value)| value.0.as_slice())
    };
    let mut argv = launch.argv.iter().map(|argument| &argument.0);
    let name = argv.next().map(Vec::as_slice).unwrap_or_default();
    let command = Command {
        program: find(name, value(b"PATH"), &launch.cwd)?,
        arguments: argv.cloned().collect(),
        working_directory: launch.cwd.clone(),
        environment: variables(&launch.env),
    };
    Ok(plan(&launch.policy, host(&launch.policy), run, &command)?)
}

/// A variable whose name is no text passes to no command on macOS.
fn variables(env: &[(ByteString, ByteString)]) -> BTreeMap<String, Vec<u8>> {
    let text = |(name, value): &(ByteString, ByteString)| {
        Some((String::from_utf8(name.0.clone()).ok()?, value.0.clone()))
    };
    env.iter().filter_map(text).collect()
}

/// Whether each volume with a granted place tells capital and small letters apart.
fn host(policy: &Policy) -> Host {
    let granted = policy.filesystem().rules().iter().filter(|rule| rule.access != Access::None);
    let mut told =
        granted.filter_map(|rule| sys::tells_letter_case(&CString::new(rule.path.as_bytes()).ok()?));
    // Without a word about it, as the system formats volumes.
    let first = told.next().unwrap_or(false);
    let letter_case =
        if first && told.all(|tells| tells) { LetterCase::Distinct } else { LetterCase::Ignored };
    Host { letter_case }
}

fn run(own: &Own) -> Result<Run, BeginError> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let tag = RunTag::parse(&format!("weir-{:x}-{:x}", std::process::id(), since.as_nanos()))
        .map_err(LaunchError::from)?;
    let scratch = match &own.scratch {
        Some(scratch) => Some(place(scratch.path()).map_err(of("scratch directory"))?),
        None => None,
    };
    let terminal = own.terminal.as_ref().map(|terminal| terminal.name.clone());
    let gate = own.endpoints.as_ref().map(|&Endpoints { http, socks, .. }| Gate { http, socks });
    Ok(Run { tag, gate, scratch, terminal })
}

/// The name by which the kernel knows a place.
fn place(path: &Path) -> io::Result<AbsPath> {
    AbsPath::from_host(&path.canonicalize()?).ok_or_else(|| io::ErrorKind::InvalidFilename.into())
}

impl Own {
    fn make(launch: &Launch) -> Result<Self, BeginError> {
        let has_stand_ins =
            !launch.policy.is_unrestricted() && !launch.policy.filesystem().private().is_empty();
        let scratch = has_stand_ins.then(scratch).transpose().map_err(of("scratch directory"))?;
        let terminal = launch.size.map(terminal).transpose().map_err(of("terminal"))?;
        let endpoints = launch.is_gated().then(Endpoints::open).transpose().map_err(of("network gate"))?;
        Ok(Self { scratch, terminal, endpoints })
    }
}

/// An empty directory with the two that stand in for home and temporary directory.
fn scratch() -> io::Result<TempDir> {
    let made = tempfile::Builder::new().prefix("weir-").tempdir()?;
    let at = place(made.path())?;
    for below in [environment::home(&at), environment::temporary(&at)] {
        std::fs::create_dir(std::ffi::OsStr::from_bytes(&below))?;
    }
    Ok(made)
}

/// A terminal that is the controlling one of this process's session.
fn terminal([rows, columns]: [u16; 2]) -> io::Result<Terminal> {
    let controlling = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    rustix::io::fcntl_setfd(&controlling, rustix::io::FdFlags::CLOEXEC)?;
    grantpt(&controlling)?;
    unlockpt(&controlling)?;
    let name = ptsname(&controlling, Vec::new())?;
    // The leader of a session without a terminal gets the one that it opens; some systems want to be told.
    let other = rustix::fs::open(&name, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::process::ioctl_tiocsctty(&other)?;
    tcsetwinsize(&other, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })?;
    let name = AbsPath::parse(name.as_bytes()).map_err(io::Error::other)?;
    Ok(Terminal { controlling, other, name })
}

fn enforcement(policy: &Policy, plan: &LaunchPlan) -> Enforcement {
    let mechanism = |name: &str, detail: String| Mechanism { name: name.to_owned(), detail };
    let mut mechanisms = Vec::new();
    if let Some(compiled) = &plan.compiled {
        let rules: usize = compiled.profile.sections.iter().map(|section| section.rules.len()).sum();
        let detail = format!("{rules} rules, {} parameters", compiled.parameters.len());
        mechanisms.push(mechanism(weir_protocol::denial::Mechanism::Seatbelt.word(), detail));
    }
    mechanisms.push(mechanism("reaper", "the tree, by descent, process group and session".to_owned()));
    let concerning: Vec<_> = gap::concerning(policy).collect();
    let given_up = concerning.iter().filter_map(|gap| {
        let name = gap.degradation?;
        let origin = policy.degradations().get(&name)?.clone();
        Some(Degraded { name, origin, lost: gap.says.to_owned() })
    });
    let remarks = concerning.iter().filter(|gap| gap.degradation.is_none());
    Enforcement {
        profile: policy.profile().to_owned(),
        digest: policy.digest(),
        way: if plan.compiled.is_some() { WAY } else { "unrestricted" }.to_owned(),
        mechanisms,
        degradations: given_up.collect(),
        remarks: remarks.map(|gap| format!("{}: {}", gap.key, gap.says)).collect(),
    }
}
