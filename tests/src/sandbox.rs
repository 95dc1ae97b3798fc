//! Commands in a real sandbox: `weir run` as a user types it, in a world of temporary directories, in each of the [`Way`]s.
//!
//! For tests of every crate. A [`World`] is a fresh directory that belongs to the user of its way, with a home, a `WEIR_HOME`, a
//! working directory and a profile. [`World::run`] runs a command under Weir, [`World::outside`] the same command without it: the
//! positive control, without which a refusal proves nothing. Nothing here may touch a file outside the world, or a process that
//! it did not start.
//!
//! ```no_run
//! use weir_tests::sandbox::{Way, World};
//!
//! Way::each("area::case", |way| {
//!     let world = World::new(way);
//!     world.file("work/seen", "yes");
//!     world.profile(r#""{w}/work" = "write""#, "");
//!     assert_eq!(world.outside(["cat", "seen"]).text(), "yes");
//!     assert_eq!(world.run(["cat", "seen"]).text(), "yes");
//! });
//! ```

pub mod kin;
pub mod probe;
pub mod programs;
pub mod way;

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub use probe::{Act, act};
pub use programs::programs;
pub use way::Way;

/// Where programs are looked for, inside and outside.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Exit code of `weir run` when it refused or failed.
pub const REFUSED: i32 = 125;

/// A fresh directory with everything that a run needs. It vanishes with the value.
#[derive(Debug)]
pub struct World {
    dir: TempDir,
    way: Way,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its exit code; 128 and the signal's number when a signal ended it.
    pub code: i32,
    /// Everything on standard output.
    pub stdout: Vec<u8>,
    /// Everything on standard error.
    pub stderr: String,
}

impl Run {
    /// Standard output as text, without white space at its ends.
    ///
    /// # Panics
    /// When the command failed: its output would be no answer.
    #[must_use]
    pub fn text(&self) -> String {
        assert_eq!(self.code, 0, "{}", self.stderr);
        String::from_utf8_lossy(&self.stdout).trim().to_owned()
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let signal = output.status.signal().map(|signal| 128 + signal);
        Self {
            code: output.status.code().or(signal).unwrap_or(-1),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Lets this much time pass, as file systems stamp it.
pub fn grow_old(by: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < by {
        std::thread::yield_now();
    }
}

impl World {
    /// A world for this way: `home`, `weir` (which is `WEIR_HOME`) and `work`, all of the way's user. It lies outside the
    /// temporary directories, which a command finds replaced.
    ///
    /// # Panics
    /// When it cannot be made; so does everything else here that only prepares.
    #[must_use]
    pub fn new(way: Way) -> Self {
        Self::below(way, programs::room())
    }

    /// The same below another directory, which must be open to every user.
    #[must_use]
    pub fn below(way: Way, parent: &Path) -> Self {
        let made = tempfile::Builder::new().prefix("weir-").tempdir_in(parent);
        let world = Self { dir: must(made, parent), way };
        let open = fs::set_permissions(world.root(), Permissions::from_mode(0o755));
        must(open, world.root());
        world.own(world.root());
        for name in ["home", "weir", "work"] {
            world.directory(name);
        }
        world
    }

    /// Removes everything but `weir`, and makes `home` and `work` anew.
    pub fn clear(&self) {
        for entry in must(fs::read_dir(self.root()), self.root()) {
            let place = must(entry, self.root()).path();
            if place.ends_with("weir") {
                continue;
            }
            let is_directory = must(place.symlink_metadata(), &place).is_dir();
            let removed = if is_directory { fs::remove_dir_all(&place) } else { fs::remove_file(&place) };
            must(removed, &place);
        }
        self.directory("home");
        self.directory("work");
    }

    /// Its way.
    #[must_use]
    pub fn way(&self) -> Way {
        self.way
    }

    /// Its directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    /// A path in it.
    #[must_use]
    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root().join(path)
    }

    /// `{w}` replaced by its directory.
    #[must_use]
    pub fn expand(&self, text: &str) -> String {
        text.replace("{w}", &self.root().to_string_lossy())
    }

    /// Makes a directory and those above it.
    pub fn directory(&self, path: impl AsRef<Path>) -> PathBuf {
        let place = self.at(path.as_ref());
        let mut missing: Vec<&Path> = place.ancestors().take_while(|above| !above.exists()).collect();
        while let Some(next) = missing.pop() {
            must(fs::create_dir(next), next);
            self.own(next);
        }
        place
    }

    /// Makes a file and the directories above it.
    pub fn file(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let place = self.at(path.as_ref());
        if let Some(parent) = path.as_ref().parent() {
            self.directory(parent);
        }
        must(fs::write(&place, content), &place);
        self.own(&place);
        place
    }

    /// Makes an executable script.
    pub fn script(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let place = self.file(path, content);
        must(fs::set_permissions(&place, Permissions::from_mode(0o755)), &place);
        place
    }

    /// Makes a symbolic link.
    pub fn link(&self, path: impl AsRef<Path>, target: impl AsRef<Path>) -> PathBuf {
        let place = self.at(path.as_ref());
        must(symlink(target, &place), &place);
        self.own(&place);
        place
    }

    /// Gives something to the way's user.
    fn own(&self, place: &Path) {
        if let Some(user) = self.way.user() {
            must(lchown(place, Some(user), Some(user)), place);
        }
    }

    /// Writes the profile in force. `filesystem` holds the lines of that table, `rest` any further tables of the profile
    /// (`[permissions.test.network]` …); in both `{w}` is the world. The probe can be read. Where user namespaces are missing it also gives up what
    /// no profile can have there ([`Way::degrade`]).
    pub fn profile(&self, filesystem: &str, rest: &str) {
        self.profile_giving_up(&[], filesystem, rest);
    }

    /// The same, giving up more guarantees by name.
    pub fn profile_giving_up(&self, names: &[&str], filesystem: &str, rest: &str) {
        let names: Vec<&str> = self.way.degrade().iter().chain(names).copied().collect();
        let text = format!(
            "default_permissions = \"test\"\n[permissions.test]\ndegrade = {names:?}\n\
             [permissions.test.filesystem]\n{:?} = \"read\"\n{filesystem}\n{rest}\n",
            programs().probe
        );
        self.file("weir/config.toml", self.expand(&text));
    }

    /// A command as the way's user, without Weir, in `work`, with nothing of this process's environment.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.way.command(program.as_ref());
        command.env_clear().env("PATH", PATH).env("HOME", self.at("home")).env("LANG", "C.UTF-8");
        // Whatever runs on this machine is not under test.
        command.env("WEIR_SERVER", "none");
        command.env("WEIR_HOME", self.at("weir")).current_dir(self.at("work")).stdin(Stdio::null());
        command
    }

    /// `weir run OPTIONS… --`, to which the command is still to be added.
    pub fn weir<S: AsRef<OsStr>>(&self, options: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.command(&programs().weir);
        command.arg("run").args(options).arg("--");
        command
    }

    /// Runs a command under the profile.
    pub fn run<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Run {
        finish(self.weir::<&str>([]).args(words))
    }

    /// The same, from another directory than `work`.
    pub fn run_in<S: AsRef<OsStr>>(
        &self,
        directory: impl AsRef<Path>,
        words: impl IntoIterator<Item = S>,
    ) -> Run {
        finish(self.weir::<&str>([]).args(words).current_dir(directory))
    }

    /// Runs the same command without Weir.
    pub fn outside<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Run {
        let mut words = words.into_iter();
        let program = words.next();
        let program = program.as_ref().map_or(OsStr::new("true"), AsRef::as_ref);
        finish(self.command(program).args(words))
    }
}

/// Runs a prepared command to its end.
///
/// # Panics
/// When it cannot be started.
pub fn finish(command: &mut Command) -> Run {
    match command.output() {
        Ok(output) => output.into(),
        Err(error) => panic!("{command:?}: {error}"),
    }
}

/// What only prepares a test must work.
fn must<T, E: std::fmt::Display>(result: Result<T, E>, place: &Path) -> T {
    result.unwrap_or_else(|error| panic!("{}: {error}", place.display()))
}
