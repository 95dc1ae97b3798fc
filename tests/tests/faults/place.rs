//! A directory in which a command tries what its profile refuses, and `weir run` of it under strace.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::table::{Fault, PROFILE};

/// An ordinary user, for tests that root runs.
const USER: u32 = 61_234;
pub(crate) const USER_TEXT: &str = "61234";

/// With what the command ends.
pub(crate) const COMMANDS_OWN: i32 = 7;

/// Longest wait for one run, in seconds: strace ends with the last process, so one that stays is seen here.
const PATIENCE: &str = "20";

/// What the command tries, and leaves traces of where it may.
const ACT: &str = "echo ran > marker
cat ../secret/file > leak-secret 2>/dev/null
cat closed/file > leak-closed 2>/dev/null
echo leaked >> ../outside/file 2>/dev/null
exit 7
";

/// Refuses further user namespaces and drops every capability: Landlock and seccomp alone are left.
const WITHOUT_NAMESPACES: &str = "echo 0 > /proc/sys/user/max_user_namespaces && \
    exec setpriv --bounding-set -all --inh-caps -all \"$@\"";

/// How a sandbox is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Root,
    User,
    Bare,
}

impl Way {
    pub(crate) const fn id(self) -> &'static str {
        match self {
            Self::Root => "faults::root",
            Self::User => "faults::user",
            Self::Bare => "faults::bare",
        }
    }

    /// Whether it can be had here, or why not.
    pub(crate) fn available(self) -> Result<(), &'static str> {
        let user_namespaces = || {
            let mut command = self.command("unshare");
            command.args(["--user", "true"]).stderr(Stdio::null()).status().unwrap().success()
        };
        match self {
            Self::Root if !is_root() => Err("only root makes namespaces directly"),
            Self::User | Self::Bare if !user_namespaces() => {
                Err("an ordinary user may make no user namespace here")
            }
            _ => Ok(()),
        }
    }

    fn user(self) -> Option<u32> {
        (self != Self::Root && is_root()).then_some(USER)
    }

    /// A program as the way's user.
    fn command(self, program: &str) -> Command {
        let mut command = Command::new(program);
        if let Some(user) = self.user() {
            command.uid(user).gid(user);
        }
        command
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) message: String,
    /// The command left its marker.
    pub(crate) ran: bool,
    /// What it reached and should not have.
    pub(crate) leaks: Vec<&'static str>,
    /// What is there now and was not, or has changed.
    pub(crate) changed: Vec<PathBuf>,
}

/// The directory: a project that may be written, a secret and a file outside, and the programs.
pub(crate) struct Place {
    dir: TempDir,
    way: Way,
}

impl Place {
    pub(crate) fn new(way: Way) -> Self {
        let place =
            Self { dir: tempfile::Builder::new().prefix("weir-faults-").tempdir_in("/tmp").unwrap(), way };
        let root = place.dir.path();
        std::fs::set_permissions(root, PermissionsExt::from_mode(0o755)).unwrap();
        for name in ["home", "weir", "project", "project/closed", "secret", "outside"] {
            std::fs::create_dir(root.join(name)).unwrap();
        }
        place.write("weir/config.toml", &profile(root, way));
        place.write("project/act.sh", ACT);
        place.reset();
        place.give(root);
        place.add_programs();
        place
    }

    /// The programs, where every user can reach them: the same files, or copies where that cannot be.
    fn add_programs(&self) {
        let programs = self.dir.path().join("programs");
        std::fs::create_dir(&programs).unwrap();
        for name in ["weir", "weir-exec-server"] {
            let (built, place) = (built(name), programs.join(name));
            if std::fs::hard_link(&built, &place).is_err() {
                std::fs::copy(&built, &place).unwrap();
            }
        }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).unwrap();
    }

    /// As before the command.
    fn reset(&self) {
        for name in ["marker", "leak-secret", "leak-closed"] {
            let _ = std::fs::remove_file(self.dir.path().join("project").join(name));
        }
        for name in ["secret/file", "project/closed/file", "outside/file"] {
            self.write(name, "secret\n");
        }
    }

    /// Everything to the way's user.
    fn give(&self, path: &Path) {
        let Some(user) = self.way.user() else { return };
        chown(path, Some(user), Some(user)).unwrap();
        if path.is_dir() {
            std::fs::read_dir(path).unwrap().for_each(|entry| self.give(&entry.unwrap().path()));
        }
    }

    fn snapshot(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut open = vec![self.dir.path().to_owned()];
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                found.insert(path, Vec::new());
            } else if !path.starts_with(self.dir.path().join("programs")) {
                let content = std::fs::read(&path).unwrap();
                found.insert(path, content);
            }
        }
        found
    }

    /// A command with nothing of this process's environment, in the project.
    fn prepared(&self, mut command: Command) -> Command {
        let root = self.dir.path();
        command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("HOME", root.join("home"));
        command.env("WEIR_SERVER", "none");
        command.env("WEIR_HOME", root.join("weir")).current_dir(root.join("project")).stdin(Stdio::null());
        command
    }

    fn program(&self) -> PathBuf {
        self.dir.path().join("programs/weir")
    }

    /// `weir run` under a profile, as the way's user.
    pub(crate) fn weir(&self, profile: &str) -> Command {
        let mut command = self.prepared(self.way.command(self.program().to_str().unwrap()));
        command.args(["run", "--quiet", "--profile", profile]);
        command
    }

    /// Without Weir the command reaches everything; with it and without a fault nothing.
    pub(crate) fn check_control(&self) {
        let all = if self.way == Way::Bare { 2 } else { 3 };
        let mut outside = self.prepared(self.way.command("/bin/sh"));
        let ended = self.ended(outside.arg("act.sh"));
        assert_eq!((ended.code, ended.ran, ended.leaks.len()), (COMMANDS_OWN, true, all), "{ended:?}");
        // A call that nobody makes.
        let fault = Fault {
            inject: "swapoff:error=EPERM".to_owned(),
            profile: PROFILE,
            options: &[],
            expect: crate::Expect::Holds,
        };
        let ended = self.run(&fault);
        assert_eq!(
            (ended.code, ended.ran, ended.leaks.as_slice()),
            (COMMANDS_OWN, true, [].as_slice()),
            "{ended:?}"
        );
    }

    /// Runs the command under the profile and the fault.
    pub(crate) fn run(&self, fault: &Fault) -> Ended {
        let call = fault.inject.split(':').next().unwrap_or_default();
        let mut command = match self.way {
            Way::Root | Way::User => self.prepared(self.way.command("timeout")),
            Way::Bare => {
                let mut command = self.prepared(self.way.command("unshare"));
                command.args(["--user", "--map-root-user", "sh", "-c", WITHOUT_NAMESPACES, "sh", "timeout"]);
                command
            }
        };
        command.args(["--kill-after=1", PATIENCE, "strace", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null"]);
        command.args(["-e", &format!("trace={call}"), "-e", &format!("inject={}", fault.inject)]);
        command.arg(self.program()).args(["run", "--quiet", "--profile", fault.profile]).args(fault.options);
        self.ended(command.args(["--", "/bin/sh", "act.sh"]))
    }

    fn ended(&self, command: &mut Command) -> Ended {
        let before = self.snapshot();
        let output = command.output().unwrap();
        let after = self.snapshot();
        let content = |name: &str| after.get(&self.dir.path().join(name));
        let is_leaked = |name: &str| content(name).is_some_and(|content| !content.is_empty());
        // Without mounts, closing a place inside one that may be written is given up by name.
        let closed = self.way != Way::Bare && is_leaked("project/leak-closed");
        let leaks = [
            ("the secret", is_leaked("project/leak-secret")),
            ("the closed directory", closed),
            (
                "the file outside",
                content("outside/file") != before.get(&self.dir.path().join("outside/file")),
            ),
        ];
        let ended = Ended {
            code: output.status.code().unwrap_or(-1),
            message: String::from_utf8_lossy(&output.stderr).into_owned(),
            ran: content("project/marker").is_some(),
            leaks: leaks.into_iter().filter(|(_, leaked)| *leaked).map(|(name, _)| name).collect(),
            changed: after
                .iter()
                .filter(|(path, now)| before.get(*path) != Some(now))
                .map(|(path, _)| path.clone())
                .collect(),
        };
        self.reset();
        ended
    }
}

fn profile(root: &Path, way: Way) -> String {
    let degrade = match way {
        Way::Root | Way::User => "",
        Way::Bare => {
            "\"shared-processes\", \"shared-metadata\", \"shared-signals\", \"no-stand-ins\", \"no-carve-out\""
        }
    };
    let root = root.display();
    format!(
        "[permissions.fault]\ndegrade = [{degrade}]\n[permissions.fault.filesystem]\n\
         \"{root}/project\" = {{ \".\" = \"write\", \"closed\" = \"none\" }}\n\
         [permissions.without-landlock]\nextends = \"fault\"\ndegrade = [\"no-landlock\"]\n\
         [permissions.gated]\nextends = \"fault\"\n[permissions.gated.network]\nenabled = true\ndomains = []\n"
    )
}

/// A program of this build, which is made anew where it is older than its sources.
fn built(name: &str) -> PathBuf {
    let beside = PathBuf::from(env!("CARGO_BIN_EXE_weir-skips"));
    let package = if name == "weir" { "weir-agent" } else { name };
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--bins", "-p", package]).current_dir(env!("CARGO_MANIFEST_DIR"));
    assert!(build.status().unwrap().success(), "{name} cannot be built");
    beside.with_file_name(name)
}
