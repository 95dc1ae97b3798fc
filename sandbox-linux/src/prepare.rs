//! A plan and a command, turned into what raw system calls take: C strings, arrays, numbers. Nothing is restricted here and
//! nothing is opened; whatever can fail or allocate happens before the first process exists. Called by the launcher.

use std::ffi::{CString, NulError};
use std::sync::Arc;
use weir_protocol::policy::Background;

use weir_protocol::AbsPath;

use crate::bpf::Insn;
use crate::compile::landlock::{FILE_RIGHTS, SCOPE_SIGNAL};
use crate::gate::{Gate, INNER_SOCKETS};
use crate::plan::{
    Brokered, Credentials, Devices, Landlock, LimitKind, Loopback, MountStep, Namespace, Owned, Plan,
    Privilege, Writable,
};
use crate::sys::abi;
use crate::sys::descendants::Bound;

/// Where a command without `PATH` is looked for (as confstr(3) `_CS_PATH`).
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// What executes a file that the kernel does not know how to execute (execvp(3)).
const SHELL: &str = "/bin/sh";

/// Most places in which a command is looked for.
const MAX_CANDIDATES: usize = 256;

/// Directories on which the scaffold may be mounted, in its own mount namespace; the first that exists.
const SCAFFOLDS: [&str; 4] = ["/tmp", "/run", "/mnt", "/usr"];

/// A command, with everything that decides how it is executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Its arguments, the program first.
    pub argv: Vec<Vec<u8>>,
    /// Its environment.
    pub env: Vec<(Vec<u8>, Vec<u8>)>,
    /// Its working directory.
    pub cwd: AbsPath,
    /// Permission bits that its new files do not have; the launcher's own where absent.
    pub umask: Option<u32>,
}

/// What goes on in the command's place where nothing is to be executed: a function of this program. It begins on a copy of the
/// launcher's memory, in the command's process, after every step but the last. The launcher has one thread, so no lock is held
/// in the copy and the function may allocate. Only standard input, output and error are open. What it returns is the exit code.
pub type Inside = fn() -> i32;

/// Why a plan cannot be prepared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// No program was named.
    #[error("no command was given")]
    NoCommand,
    /// A NUL byte, which no argument can hold.
    #[error("an argument or variable holds a NUL byte: {0}")]
    Nul(#[from] NulError),
    /// Nowhere to build.
    #[error("none of {SCAFFOLDS:?} exists to build the file tree on")]
    NoScaffold,
}

/// One step of the tree, ready for system calls. Paths are relative to the root of the tree.
#[derive(Debug)]
pub(crate) struct MountOp {
    pub(crate) act: MountAct,
    pub(crate) at: CString,
}

/// What to do at the place.
#[derive(Debug)]
pub(crate) enum MountAct {
    Tmpfs {
        mode: CString,
        owner: Option<[CString; 2]>,
    },
    Bind {
        attributes: u64,
    },
    /// The attributes that a copy of the mount there gets, and loses.
    Again {
        set: u64,
        clear: u64,
    },
    Copied {
        state: CString,
    },
    MaskFile,
    MaskDirectory,
    Proc {
        attributes: u64,
    },
    ProcReadOnly,
    Terminals,
    Directory {
        mode: u32,
        owned: bool,
    },
    File,
    /// A copy of one of [`Prepared::contents`].
    Content {
        source: usize,
    },
    Link {
        target: CString,
    },
    Seal,
}

/// A file that is made in the scaffold and shown in one place or several.
#[derive(Debug)]
pub(crate) struct Content {
    /// Its name in the scaffold.
    pub(crate) name: CString,
    pub(crate) bytes: Arc<[u8]>,
}

/// A Landlock ruleset, ready for system calls.
#[derive(Debug)]
pub(crate) struct LandlockOp {
    /// `struct landlock_ruleset_attr`, as far as the ABI knows it.
    pub(crate) attributes: [u64; 3],
    pub(crate) size: usize,
    pub(crate) rules: Vec<LandlockRuleOp>,
    /// Ports that may be connected to.
    pub(crate) ports: Vec<u64>,
    /// The flags of entering it: what is recorded.
    pub(crate) records: libc::c_long,
}

/// One rule: the place, and the rights on a directory and on anything else.
#[derive(Debug)]
pub(crate) struct LandlockRuleOp {
    pub(crate) at: CString,
    pub(crate) directory: u64,
    pub(crate) file: u64,
}

/// Ids to become, where they are not the launcher's own.
#[derive(Debug)]
pub(crate) struct Become {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
}

/// Arrays of C strings that end with a null pointer.
#[derive(Debug)]
pub(crate) struct Strings {
    pub(crate) pointers: Vec<*const libc::c_char>,
    _owned: Vec<CString>,
}

impl Strings {
    fn new(owned: Vec<CString>) -> Self {
        let pointers = owned.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect();
        Self { pointers, _owned: owned }
    }
}

/// The program to execute.
#[derive(Debug)]
pub(crate) struct Program {
    /// Where it may be, in order.
    pub(crate) candidates: Vec<CString>,
    pub(crate) argv: Strings,
    pub(crate) envp: Strings,
    /// For a file without a known format: `/bin/sh`, whose second argument is set to the candidate.
    pub(crate) shell: CString,
    pub(crate) shell_argv: Vec<*const libc::c_char>,
}

/// What the sandbox is for.
#[derive(Debug)]
pub(crate) enum Image {
    Program(Program),
    Function(Inside),
}

/// Everything that `enter` needs.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) clone_flags: u64,
    pub(crate) maps: Option<[CString; 2]>,
    pub(crate) scaffold: CString,
    pub(crate) mounts: Vec<MountOp>,
    pub(crate) contents: Vec<Content>,
    pub(crate) loopback: bool,
    pub(crate) gate: Option<Gate>,
    /// How many of each version.
    pub(crate) inner_sockets: usize,
    pub(crate) own_name: bool,
    pub(crate) own_pids: bool,
    pub(crate) confined: bool,
    pub(crate) privilege: Privilege,
    pub(crate) become_user: Option<Become>,
    pub(crate) landlock: Option<LandlockOp>,
    /// The command's own, below that.
    pub(crate) reading: Option<LandlockOp>,
    /// Where no PID namespace does so: keeps the command from signalling the first process, which is under the other ruleset.
    pub(crate) fence: Option<LandlockOp>,
    pub(crate) filter: Vec<Insn>,
    pub(crate) brokered: Option<Brokered>,
    pub(crate) private: Vec<CString>,
    pub(crate) limits: Vec<(LimitKind, u64)>,
    /// Whether the first process waits for what the command leaves running.
    pub(crate) keeps: bool,
    pub(crate) cwd: CString,
    pub(crate) umask: Option<u32>,
    pub(crate) image: Image,
}

impl Prepared {
    /// Prepares a plan for a command.
    ///
    /// # Errors
    /// [`PrepareError`]; nothing has been done then.
    pub fn new(plan: &Plan, command: &Command, maker: &Credentials) -> Result<Self, PrepareError> {
        let cwd = CString::new(command.cwd.as_bytes())?;
        let prepared = Self::with(plan, Image::Program(program(command)?), cwd, maker)?;
        Ok(Self { umask: command.umask, ..prepared })
    }

    /// Prepares a plan for a function of this program, which begins in `/`.
    ///
    /// # Errors
    /// [`PrepareError`]; nothing has been done then.
    pub fn inside(plan: &Plan, function: Inside, maker: &Credentials) -> Result<Self, PrepareError> {
        Self::with(plan, Image::Function(function), CString::from(c"/"), maker)
    }

    fn with(plan: &Plan, image: Image, cwd: CString, maker: &Credentials) -> Result<Self, PrepareError> {
        let nested = plan.namespaces.contains(&Namespace::User);
        let maps = if nested { Some([map(maker.uid)?, map(maker.gid)?]) } else { None };
        let confinement = plan.confinement.as_ref();
        let brokered = confinement.and_then(|held| held.brokered.as_ref());
        // In a user namespace there is nobody else to become, and the compiler has refused it.
        let becomes = plan.credentials != *maker && !nested;
        let become_user = becomes.then(|| Become {
            uid: plan.credentials.uid,
            gid: plan.credentials.gid,
            groups: plan.credentials.groups.clone(),
        });
        let owner = if becomes { Some(&plan.credentials) } else { None };
        let mut contents = Vec::new();
        let mounts = plan.mounts.iter().map(|step| mount(step, owner, &mut contents));
        Ok(Self {
            clone_flags: plan.namespaces.iter().fold(0, |flags, namespace| flags | flag(*namespace)),
            maps,
            scaffold: if plan.mounts.is_empty() { CString::default() } else { scaffold()? },
            mounts: mounts.collect::<Result<_, _>>()?,
            contents,
            loopback: plan.loopback == Loopback::Up,
            gate: plan.gate.clone(),
            inner_sockets: if plan.publish.is_empty() { 0 } else { INNER_SOCKETS },
            own_name: plan.namespaces.contains(&Namespace::Uts),
            own_pids: plan.namespaces.contains(&Namespace::Pid),
            confined: confinement.is_some(),
            privilege: plan.privilege,
            become_user,
            landlock: confinement.and_then(|held| held.landlock.as_ref()).map(landlock).transpose()?,
            reading: confinement.and_then(|held| held.reading.as_ref()).map(landlock).transpose()?,
            fence: confinement.and_then(|held| held.landlock.as_ref()).and_then(|held| fence(plan, held)),
            filter: confinement.map(|held| held.filter.insns().to_vec()).unwrap_or_default(),
            private: brokered
                .iter()
                .flat_map(|held| &held.private)
                .map(relative)
                .collect::<Result<_, _>>()?,
            brokered: brokered.cloned(),
            limits: plan.limits.iter().map(|limit| (limit.kind, limit.value)).collect(),
            keeps: plan.background == Background::Keep,
            cwd,
            umask: None,
            image,
        })
    }

    /// What keeps a signal to everyone inside the sandbox.
    pub(crate) fn bound(&self) -> Bound {
        if self.own_pids || self.fence.is_some() { Bound::Kernel } else { Bound::Absent }
    }

    /// Whether the sandbox has a PID namespace, so that it ends with its first process.
    #[must_use]
    pub fn has_own_pids(&self) -> bool {
        self.own_pids
    }
}

fn map(id: u32) -> Result<CString, NulError> {
    CString::new(format!("{id} {id} 1\n"))
}

fn scaffold() -> Result<CString, PrepareError> {
    let found = SCAFFOLDS.into_iter().find(|path| std::path::Path::new(path).is_dir());
    Ok(CString::new(found.ok_or(PrepareError::NoScaffold)?)?)
}

const fn flag(namespace: Namespace) -> u64 {
    let flag = match namespace {
        Namespace::User => libc::CLONE_NEWUSER,
        Namespace::Mount => libc::CLONE_NEWNS,
        Namespace::Pid => libc::CLONE_NEWPID,
        Namespace::Ipc => libc::CLONE_NEWIPC,
        Namespace::Uts => libc::CLONE_NEWUTS,
        Namespace::Cgroup => libc::CLONE_NEWCGROUP,
        Namespace::Network => libc::CLONE_NEWNET,
    };
    flag.cast_unsigned() as u64
}

/// A path relative to the root of the tree; `.` for the root itself.
fn relative(path: &AbsPath) -> Result<CString, NulError> {
    let bytes = path.as_bytes();
    CString::new(if path.is_root() { b"." } else { &bytes[1..] })
}

fn mount(
    step: &MountStep,
    owner: Option<&Credentials>,
    contents: &mut Vec<Content>,
) -> Result<MountOp, NulError> {
    let proc = || AbsPath::parse("/proc").unwrap_or_else(|_| AbsPath::root());
    let (at, act) = match step {
        MountStep::Tmpfs { at, mode, owned } => {
            let owner = owner.filter(|_| *owned == Owned::ByCommand);
            let ids = |who: &Credentials| -> Result<[CString; 2], NulError> {
                Ok([CString::new(who.uid.to_string())?, CString::new(who.gid.to_string())?])
            };
            let owner = owner.map(ids).transpose()?;
            (at.clone(), MountAct::Tmpfs { mode: CString::new(format!("{mode:o}"))?, owner })
        }
        MountStep::Bind { at, writable, devices } => {
            (at.clone(), MountAct::Bind { attributes: bind_attributes(*writable, *devices) })
        }
        MountStep::Again { at, writable } => {
            let set = read_only(*writable);
            (at.clone(), MountAct::Again { set, clear: abi::MOUNT_ATTR_RDONLY & !set })
        }
        MountStep::Copied { at, state } => (at.clone(), MountAct::Copied { state: relative(state)? }),
        MountStep::MaskFile { at } => (at.clone(), MountAct::MaskFile),
        MountStep::MaskDirectory { at } => (at.clone(), MountAct::MaskDirectory),
        MountStep::Proc { writable } => {
            let attributes = inert() | read_only(*writable) | abi::MOUNT_ATTR_NOEXEC;
            (proc(), MountAct::Proc { attributes })
        }
        MountStep::ProcReadOnly { at } => (at.clone(), MountAct::ProcReadOnly),
        MountStep::Terminals => {
            (AbsPath::parse("/dev/pts").unwrap_or_else(|_| AbsPath::root()), MountAct::Terminals)
        }
        MountStep::Directory { at, mode, owned } => {
            let owned = *owned == Owned::ByCommand && owner.is_some();
            (at.clone(), MountAct::Directory { mode: *mode, owned })
        }
        MountStep::Content { at, bytes } => {
            let known = contents.iter().position(|content| content.bytes == *bytes);
            let source = known.unwrap_or(contents.len());
            if known.is_none() {
                let name = CString::new(format!("content-{source}"))?;
                contents.push(Content { name, bytes: Arc::clone(bytes) });
            }
            (at.clone(), MountAct::Content { source })
        }
        MountStep::File { at } => (at.clone(), MountAct::File),
        MountStep::Link { at, target } => {
            (at.clone(), MountAct::Link { target: CString::new(target.clone())? })
        }
        MountStep::Seal { at } => (at.clone(), MountAct::Seal),
    };
    Ok(MountOp { act, at: relative(&at)? })
}

const fn inert() -> u64 {
    abi::MOUNT_ATTR_NOSUID | abi::MOUNT_ATTR_NODEV
}

const fn read_only(writable: Writable) -> u64 {
    match writable {
        Writable::Yes => 0,
        Writable::No => abi::MOUNT_ATTR_RDONLY,
    }
}

const fn bind_attributes(writable: Writable, devices: Devices) -> u64 {
    let devices = match devices {
        Devices::Work => abi::MOUNT_ATTR_NOSUID | abi::MOUNT_ATTR_NOEXEC,
        Devices::Inert => inert(),
    };
    devices | read_only(writable)
}

/// A ruleset that scopes signals and nothing else.
fn fence(plan: &Plan, held: &Landlock) -> Option<LandlockOp> {
    let attributes = [0, 0, held.scoped & SCOPE_SIGNAL];
    let needed = !plan.namespaces.contains(&Namespace::Pid) && attributes[2] != 0;
    needed.then(|| LandlockOp {
        attributes,
        size: size_of_val(&attributes),
        rules: Vec::new(),
        ports: Vec::new(),
        records: 0,
    })
}

fn landlock(ruleset: &Landlock) -> Result<LandlockOp, NulError> {
    let attributes = [ruleset.handled_fs, ruleset.handled_net, ruleset.scoped];
    // The structure grew by one field with ABI 4 and by one with ABI 6; a field of zeros may be left out.
    let fields = 3 - attributes.iter().rev().take_while(|field| **field == 0).count();
    let rules = ruleset.rules.iter().map(|rule| {
        let (directory, file) = (rule.rights, rule.rights & FILE_RIGHTS);
        Ok(LandlockRuleOp { at: relative(&rule.at)?, directory, file })
    });
    let (size, rules) = (fields * size_of::<u64>(), rules.collect::<Result<_, _>>()?);
    let ports = ruleset.ports.iter().copied().map(u64::from).collect();
    Ok(LandlockOp { attributes, size, rules, ports, records: libc::c_long::from(ruleset.records) })
}

fn program(command: &Command) -> Result<Program, PrepareError> {
    let name = command.argv.first().ok_or(PrepareError::NoCommand)?;
    let strings = |list: Vec<Vec<u8>>| list.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>();
    let variables =
        command.env.iter().map(|(name, value)| [name.as_slice(), b"=", value.as_slice()].concat());
    let argv = Strings::new(strings(command.argv.clone())?);
    let mut shell_argv = vec![c"sh".as_ptr(), std::ptr::null()];
    shell_argv.extend(&argv.pointers[1..]);
    Ok(Program {
        candidates: strings(candidates(name, &command.env))?,
        envp: Strings::new(strings(variables.collect())?),
        shell: CString::new(SHELL)?,
        shell_argv,
        argv,
    })
}

/// Where the program may be (execvp(3)): the name itself where it holds a slash, else below each directory of `PATH`.
fn candidates(name: &[u8], env: &[(Vec<u8>, Vec<u8>)]) -> Vec<Vec<u8>> {
    if name.contains(&b'/') || name.is_empty() {
        return vec![name.to_vec()];
    }
    let path = env.iter().rev().find(|(key, _)| key == b"PATH").map_or(DEFAULT_PATH, |(_, value)| value);
    let below = path.split(|byte| *byte == b':').map(|directory| match directory {
        b"" => [b"./", name].concat(),
        directory => [directory, b"/", name].concat(),
    });
    below.take(MAX_CANDIDATES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_looked_for_as_a_shell_does() {
        let check = |name: &str, path: Option<&str>, expect: &[&str]| {
            let env: Vec<_> = path.map(|path| (b"PATH".to_vec(), path.into())).into_iter().collect();
            let found = candidates(name.as_bytes(), &env);
            assert_eq!(
                found,
                expect.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>(),
                "{name}"
            );
        };
        check("ls", Some("/a:/b"), &["/a/ls", "/b/ls"]);
        check("ls", Some("/a::b"), &["/a/ls", "./ls", "b/ls"]);
        check("./ls", Some("/a"), &["./ls"]);
        check("ls", None, &["/bin/ls", "/usr/bin/ls"]);
        check("", Some("/a"), &[""]);
    }

    #[test]
    fn a_nul_byte_is_refused() {
        let command = |argv: &[&[u8]]| Command {
            argv: argv.iter().map(|text| text.to_vec()).collect(),
            env: Vec::new(),
            cwd: AbsPath::root(),
            umask: None,
        };
        assert!(matches!(program(&command(&[b"a\0b"])), Err(PrepareError::Nul(_))));
        assert!(matches!(program(&command(&[])), Err(PrepareError::NoCommand)));
    }
}
