//! What a trapped call costs: each act under the filter, served by this process, beside the same act without, in one run.
//!
//! Prints microseconds per act and their ratio, with guarded names and under live rules. Rounds with and without alternate, and the fastest of each counts, so that
//! a busy machine disturbs both alike.

use std::ffi::CStr;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use weir_protocol::AbsPath;
use weir_protocol::policy::{Filesystem, FilesystemParts, Glob, GlobRule, Origin};
use weir_sandbox_linux::bpf::{Arch, Program};
use weir_sandbox_linux::broker::{self, Broker, Guard, Handover, Roots, SocketRules, Traps};
use weir_sandbox_linux::live::LiveRules;

#[cfg(target_arch = "x86_64")]
const HERE: Arch = Arch::X86_64;
#[cfg(target_arch = "aarch64")]
const HERE: Arch = Arch::Aarch64;

/// Acts in one round.
const ACTS: u32 = 5_000;
/// Rounds of each kind.
const ROUNDS: usize = 7;

/// An act, and what it is called.
type Act = (&'static str, fn());

const FILE: &CStr = c"file";
const NEW: &CStr = c"new";
const DEEP: &CStr = c"a/b/c/new";

fn open(path: &CStr, flags: libc::c_int) {
    // SAFETY: the path is a C string; the descriptor is closed at once.
    let fd = unsafe { libc::open(path.as_ptr(), flags, 0o644) };
    assert!(fd >= 0, "{path:?}");
    // SAFETY: made above.
    unsafe { libc::close(fd) };
}

fn unlink(path: &CStr, flags: libc::c_int) {
    // SAFETY: the path is a C string.
    let done = unsafe { libc::unlinkat(libc::AT_FDCWD, path.as_ptr(), flags) };
    assert_eq!(done, 0, "{path:?}");
}

const CREATE: libc::c_int = libc::O_CREAT | libc::O_WRONLY | libc::O_CLOEXEC;

fn stat(path: &CStr) {
    // SAFETY: the path is a C string.
    let found = unsafe { libc::access(path.as_ptr(), libc::F_OK) };
    assert_eq!(found, 0);
}

const ACTS_TRIED: [Act; 10] = [
    ("open", || open(FILE, libc::O_RDONLY)),
    ("open, deep", || open(c"a/b/c/file", libc::O_RDONLY)),
    ("open, a library", || open(c"/usr/lib/locale/C.utf8/LC_CTYPE", libc::O_RDONLY)),
    ("open, through a link", || open(c"link", libc::O_RDONLY)),
    ("access", || stat(FILE)),
    ("open, new file", || {
        open(NEW, CREATE | libc::O_EXCL);
        unlink(NEW, 0);
    }),
    ("open, new file, deep", || {
        open(DEEP, CREATE | libc::O_TRUNC);
        unlink(DEEP, 0);
    }),
    ("open, existing file", || open(FILE, CREATE)),
    ("mkdir", || {
        // SAFETY: the path is a C string.
        let made = unsafe { libc::mkdir(NEW.as_ptr(), 0o755) };
        assert_eq!(made, 0);
        unlink(NEW, libc::AT_REMOVEDIR);
    }),
    ("rename, both ways", || {
        for (old, new) in [(FILE, NEW), (NEW, FILE)] {
            // SAFETY: both paths are C strings.
            let moved = unsafe { libc::rename(old.as_ptr(), new.as_ptr()) };
            assert_eq!(moved, 0);
        }
    }),
];

fn main() -> io::Result<()> {
    // In memory, where a disk does not drown what is measured.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
    std::env::set_current_dir(dir.path())?;
    std::fs::write("file", "x")?;
    std::fs::create_dir_all("a/b/c")?;
    std::fs::write("a/b/c/file", "x")?;
    std::os::unix::fs::symlink("a/b/c/file", "link")?;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{:<24} {:>8} {:>8} {:>6} {:>8} {:>6}",
        "microseconds", "without", "names", "ratio", "live", "ratio"
    )?;
    for (name, act) in ACTS_TRIED {
        let [mut free, mut names, mut live] = [f64::MAX; 3];
        for _ in 0..ROUNDS {
            free = free.min(round(act, None, dir.path())?);
            names = names.min(round(act, Some(Held::Names), dir.path())?);
            live = live.min(round(act, Some(Held::Live), dir.path())?);
        }
        let (of_names, of_live) = (names / free, live / free);
        writeln!(out, "{name:<24} {free:>8.2} {names:>8.2} {of_names:>6.1} {live:>8.2} {of_live:>6.1}")?;
    }
    Ok(())
}

/// What is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    Names,
    Live,
}

impl Held {
    fn program(self) -> io::Result<Program> {
        let traps = Traps { names: self == Self::Names, opens: self == Self::Live, ..Traps::default() };
        broker::filter(&traps, HERE).map_err(io::Error::other)
    }

    fn broker(self, handover: Handover, dir: &Path) -> io::Result<Broker> {
        let parent = AbsPath::from_host(dir).ok_or(io::ErrorKind::InvalidInput)?;
        let pattern = Glob::below(&parent, "**/*.env").map_err(io::Error::other)?;
        let guards = match self {
            Self::Names => vec![Guard { parent, names: vec![b".git".to_vec(), b".mcp.json".to_vec()] }],
            Self::Live => Vec::new(),
        };
        let globs = vec![GlobRule { pattern, origin: Origin::implied("a benchmark") }];
        let filesystem = Filesystem::new(FilesystemParts { globs, ..FilesystemParts::default() });
        let rules = LiveRules::of(filesystem);
        let rules = (self == Self::Live).then_some(&rules);
        Broker::new(handover, guards, SocketRules::STRICT, Roots::Same, rules)
    }
}

/// One round in a child: microseconds per act.
fn round(act: fn(), held: Option<Held>, dir: &Path) -> io::Result<f64> {
    let program = held.map(Held::program).transpose()?;
    let (mut ours, mut theirs) = UnixStream::pair()?;
    // SAFETY: this process has one thread.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: sets a flag of this process.
        unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        let ready =
            program.as_ref().is_none_or(|program| broker::hand_over(program.insns(), theirs.as_fd()).is_ok());
        let start = Instant::now();
        (0..ACTS).for_each(|_| act());
        let micros = start.elapsed().as_secs_f64() * 1e6 / f64::from(ACTS);
        let told = ready && theirs.write_all(&micros.to_ne_bytes()).is_ok();
        // SAFETY: ends the child.
        unsafe { libc::_exit(i32::from(!told)) };
    }
    drop(theirs);
    if let Some(held) = held {
        serve(&mut held.broker(broker::receive(ours.as_fd())?, dir)?)?;
    }
    let mut micros = [0; 8];
    ours.read_exact(&mut micros)?;
    // SAFETY: reaps the child made above.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    Ok(f64::from_ne_bytes(micros))
}

/// Serves until nobody is under the filter.
fn serve(broker: &mut Broker) -> io::Result<()> {
    loop {
        let fd = broker.as_fd().as_raw_fd();
        let mut wait = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid entry.
        unsafe { libc::poll(&raw mut wait, 1, -1) };
        if wait.revents & libc::POLLIN != 0 {
            broker.serve()?;
        } else if wait.revents & libc::POLLHUP != 0 {
            return Ok(());
        }
    }
}
