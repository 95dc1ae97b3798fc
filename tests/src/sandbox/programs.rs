//! The programs under test, built where they are missing or older than their sources, and reachable for every user.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::must;
use super::way::is_root;

/// Names of the programs; the second must stand beside the first.
const NAMES: [&str; 3] = ["weir", "weir-exec-server", "weir-probe"];

/// Crates that they are built from.
const PACKAGES: [&str; 6] = ["-p", "weir-agent", "-p", "weir-exec-server", "-p", "weir-tests"];

/// Where the programs are.
#[derive(Debug)]
pub struct Programs {
    /// `weir`, beside its exec-server.
    pub weir: PathBuf,
    /// `weir-probe`, which tries single acts.
    pub probe: PathBuf,
}

/// The programs, found once for this process.
///
/// # Panics
/// When they cannot be built.
pub fn programs() -> &'static Programs {
    static FOUND: OnceLock<Programs> = OnceLock::new();
    FOUND.get_or_init(|| {
        let built = built();
        if NAMES.iter().any(|name| is_stale(&built, name)) {
            build(&built);
        }
        let place = if is_reachable(&built) { built } else { copy(&built) };
        Programs { weir: place.join(NAMES[0]), probe: place.join(NAMES[2]) }
    })
}

/// A directory for worlds, within reach of all their users and none of the temporary ones: that of the build, or what only
/// root may use.
pub fn room() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let target = built().parent().map(|target| target.join("tmp")).unwrap_or_default();
        let root = PathBuf::from("/srv");
        let _ = fs::create_dir(&target);
        let fits = |place: &PathBuf| {
            !is_temporary(place) && is_reachable(place) && tempfile::tempdir_in(place).is_ok()
        };
        [target, root].into_iter().find(fits).unwrap_or_else(|| PathBuf::from("/tmp"))
    })
}

/// The directory of this build: a test binary lies in its `deps`.
fn built() -> PathBuf {
    let here = must(std::env::current_exe(), Path::new("this program"));
    let above = here.ancestors().skip(1).find(|above| !above.ends_with("deps"));
    above.map_or_else(|| PathBuf::from("target/debug"), Path::to_path_buf)
}

/// Whether the program is missing, or a source that cargo lists for it is newer.
fn is_stale(directory: &Path, name: &str) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).ok();
    let Some(made) = changed(&directory.join(name)) else { return true };
    let listed = fs::read_to_string(directory.join(format!("{name}.d"))).unwrap_or_default();
    // A space inside a path is escaped; such a path is not found, and counts as old.
    let sources = listed.split_once(": ").map(|(_, sources)| sources).unwrap_or_default();
    sources.split_whitespace().filter_map(|path| changed(Path::new(path))).any(|source| source > made)
}

fn build(directory: &Path) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    command.args(["build", "--quiet", "--bins"]).args(PACKAGES);
    if let Some(target) = directory.parent() {
        command.arg("--target-dir").arg(target);
    }
    if directory.ends_with("release") {
        command.arg("--release");
    }
    let status = must(command.status(), directory);
    assert!(status.success(), "the programs could not be built");
}

/// Whether a command under a profile that does not grant it finds something else there.
fn is_temporary(directory: &Path) -> bool {
    let temporary = ["/tmp", "/var/tmp"].map(PathBuf::from).into_iter().chain([std::env::temp_dir()]);
    temporary.into_iter().any(|temporary| directory.starts_with(temporary))
}

/// Whether the users of all ways can pass through each directory on the way: this one, or where root tests, another.
fn is_reachable(directory: &Path) -> bool {
    let passes = |above: &Path| fs::metadata(above).is_ok_and(|found| found.permissions().mode() & 1 == 1);
    !is_root() || directory.ancestors().all(passes)
}

/// Copies in a directory that every user can reach, once for each build.
fn copy(from: &Path) -> PathBuf {
    let stamp: Vec<String> = NAMES.iter().map(|name| stamp(&from.join(name))).collect();
    let to = std::env::temp_dir().join(format!("weir-programs-{}", stamp.join("-")));
    if to.is_dir() {
        return to;
    }
    let parent = std::env::temp_dir();
    let made = must(tempfile::tempdir_in(&parent), &parent).keep();
    must(fs::set_permissions(&made, Permissions::from_mode(0o755)), &made);
    for name in NAMES {
        must(fs::copy(from.join(name), made.join(name)), &made);
    }
    // Another test may have been faster.
    if fs::rename(&made, &to).is_err() {
        must(fs::remove_dir_all(&made), &made);
    }
    to
}

fn stamp(program: &Path) -> String {
    use std::os::unix::fs::MetadataExt as _;
    let found = must(fs::metadata(program), program);
    format!("{:x}.{:x}", found.mtime(), found.mtime_nsec())
}
