//! The three ways in which Weir holds a profile, and how a test gets each on one machine.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::programs;

/// An uid without an entry in any table, for tests that root runs as an ordinary user.
pub const USER: u32 = 61_234;

/// How a sandbox is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By root: namespaces without a user namespace.
    Root,
    /// By an ordinary user, in a user namespace.
    User,
    /// By an ordinary user to whom user namespaces are refused: Landlock and seccomp alone.
    Bare,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Root, Self::User, Self::Bare];

    /// Runs a test in each way that this machine has; the others are skipped by name, `WAY::ID`. A failure says in which way
    /// it happened.
    pub fn each(test_id: &str, test: impl Fn(Self)) {
        Self::each_of(&Self::ALL, test_id, test);
    }

    /// Runs a test in each of these ways, as [`Way::each`].
    pub fn each_of(ways: &[Self], test_id: &str, test: impl Fn(Self)) {
        for way in ways {
            if let Err(reason) = way.available() {
                crate::skip(&format!("{}::{test_id}", way.name()), reason);
                continue;
            }
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| test(*way))) {
                let _ =
                    std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("in the way {way:?}\n"));
                resume_unwind(panic);
            }
        }
    }

    /// Its name in reports of Weir.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "direct",
            Self::User => "user-namespace",
            Self::Bare => "bare",
        }
    }

    /// Whether it can be had here.
    ///
    /// # Errors
    /// Why not.
    pub fn available(self) -> Result<(), &'static str> {
        match self {
            Self::Root if !is_root() => Err("only root makes namespaces directly"),
            Self::User if !has_user_namespaces() => Err("an ordinary user may make no user namespace here"),
            Self::Bare if !has_landlock() => Err("this kernel has no Landlock that holds files alone"),
            _ => Ok(()),
        }
    }

    /// What every profile must give up by name in this way.
    #[must_use]
    pub const fn degrade(self) -> &'static [&'static str] {
        match self {
            Self::Root | Self::User => &[],
            Self::Bare => &["shared-processes", "shared-metadata", "no-stand-ins"],
        }
    }

    /// The user to whom things must be given, where it is another than this process's.
    #[must_use]
    pub fn user(self) -> Option<u32> {
        (self != Self::Root && is_root()).then_some(USER)
    }

    /// A command in the surroundings of this way.
    #[must_use]
    pub fn command(self, program: &OsStr) -> Command {
        let mut command = match self {
            Self::Root | Self::User => Command::new(program),
            Self::Bare => {
                let mut command = Command::new(&programs().probe);
                command.arg("refuse-user-namespaces").arg(program);
                command
            }
        };
        if let Some(user) = self.user() {
            command.uid(user).gid(user);
        }
        command
    }
}

/// Does something in a thread that is another user in a group of the same number and no other, where this process is root: to the kernel a
/// user is a thread's.
///
/// # Panics
/// When the thread cannot become the user, or `act` panics.
pub fn as_user<T: Send + 'static>(user: u32, act: impl FnOnce() -> T + Send + 'static) -> T {
    let acting = std::thread::spawn(move || {
        if is_root() {
            let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
            set_thread_groups(&[])?;
            set_thread_res_gid(gid, gid, gid)?;
            set_thread_res_uid(uid, uid, uid)?;
        }
        Ok::<_, rustix::io::Errno>(act())
    });
    match acting.join() {
        Ok(done) => done.unwrap_or_else(|errno| panic!("user {user}: {errno}")),
        Err(panic) => resume_unwind(panic),
    }
}

/// Whether this process is root.
#[must_use]
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

fn has_user_namespaces() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let mut command = Way::User.command(OsStr::new("unshare"));
        works(command.args(["--user", "--mount", "true"]))
    })
}

fn has_landlock() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| works(Command::new(&programs().probe).arg("landlock")))
}

fn works(command: &mut Command) -> bool {
    let quiet = command.current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}
