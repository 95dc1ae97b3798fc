//! A process that makes a control group and removes it: whoever holds the other end of its socket may be ended at any moment, and then
//! it ends what is in the group, waits until nothing is, and removes it. It is the only one that ever removes a group, so
//! the way after a SIGKILL is the way of every run.
//!
//! It is in a session of its own, out of reach of a signal to the launcher's group, and outside the group that it sweeps. It
//! makes system calls over what was prepared before it was started, and nothing else. Called by [`crate::group`].

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use super::abi::{check_int, errno, owned};
use super::process::{exit, reap, stand_apart, wait_for_end};

/// The group inside, which holds the processes. The one around it holds the limits, out of sight of a command that mounts the
/// hierarchy in a namespace of its own: such a mount shows the inner group alone.
pub(crate) const INNER: &str = "tree";

/// Milliseconds between two looks at a group that still holds something, where the kernel does not tell of its end.
const LOOK_MS: libc::c_int = 100;

/// Most looks: ten minutes. A process that the kernel cannot end keeps its group, whoever waits.
const MAX_LOOKS: u32 = 6_000;

/// `CGROUP2_SUPER_MAGIC` (`linux/magic.h`).
const CGROUP2_MAGIC: u64 = 0x6367_7270;

/// A control group, and the process that removes it.
#[derive(Debug)]
pub(crate) struct Sweeper {
    names: Names,
    /// The sweeper waits for its end.
    held: Option<OwnedFd>,
    process: libc::pid_t,
}

/// What the sweeper needs: the directory above, and paths below it.
#[derive(Debug)]
struct Names {
    above: OwnedFd,
    group: CString,
    inner: CString,
    kill: CString,
    events: CString,
}

impl Names {
    fn new(above: OwnedFd, name: &str) -> Result<Self, i32> {
        let path = |below: &str| CString::new(format!("{name}{below}")).map_err(|_| libc::EINVAL);
        Ok(Self {
            above,
            group: path("")?,
            inner: path(&format!("/{INNER}"))?,
            kill: path("/cgroup.kill")?,
            events: path("/cgroup.events")?,
        })
    }
}

impl Sweeper {
    /// Makes a group of this name, which must be new, below the one with this directory. Only a single-threaded process may call
    /// this.
    pub(crate) fn start(above: &CStr, name: &str) -> Result<Self, i32> {
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
        // SAFETY: the path is a C string.
        let above = owned(unsafe { libc::open(above.as_ptr(), flags) }.into())?;
        check_hierarchy(&above)?;
        let names = Names::new(above, name)?;
        let mut pair = [-1; 2];
        let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
        // SAFETY: the kernel writes two descriptors.
        check_int(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, pair.as_mut_ptr()) })?;
        // SAFETY: just made, and known to nothing else.
        let [held, theirs] = pair.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
        // SAFETY: as fork(2) of a process with one thread; the child goes on in `keep`, which makes system calls only.
        let process = check_int(unsafe { libc::fork() })?;
        if process == 0 {
            keep(&names, theirs.as_raw_fd());
        }
        drop(theirs);
        let sweeper = Self { names, held: Some(held), process };
        match sweeper.made() {
            0 => Ok(sweeper),
            // Nothing was made, so nothing may be swept: a group of that name is another's.
            errno => {
                let mut sweeper = sweeper;
                sweeper.let_go();
                Err(errno)
            }
        }
    }

    /// What became of making the group: 0, or the error number.
    fn made(&self) -> i32 {
        let Some(held) = &self.held else { return libc::EPIPE };
        let mut told = [0_u8; 4];
        loop {
            // SAFETY: a local array of that size.
            let read = unsafe { libc::read(held.as_raw_fd(), told.as_mut_ptr().cast(), told.len()) };
            match read {
                4 => return i32::from_ne_bytes(told),
                read if read < 0 && errno() == libc::EINTR => {}
                _ => return libc::EPIPE,
            }
        }
    }

    /// Lets the sweeper go and waits for its end.
    fn let_go(&mut self) {
        if self.held.take().is_some() {
            reap(self.process);
            self.process = 0;
        }
    }

    /// Lets the sweeper go and does not wait: it goes on until it can remove the group, or for as long as it looks.
    pub(crate) fn leave(mut self) {
        self.held = None;
        self.process = 0;
    }

    /// The number of the sweeping process.
    pub(crate) const fn process(&self) -> libc::pid_t {
        self.process
    }

    /// The group's name.
    pub(crate) fn name(&self) -> &str {
        self.names.group.to_str().unwrap_or_default()
    }

    /// Makes the inner group.
    pub(crate) fn make_inner(&self) -> Result<(), i32> {
        make(&self.names.above, &self.names.inner)
    }

    /// Opens something in the group, by a path below it; the empty one is the group.
    pub(crate) fn open(&self, path: &str, flags: libc::c_int) -> Result<OwnedFd, i32> {
        let path = CString::new(format!("{}/{path}", self.name())).map_err(|_| libc::EINVAL)?;
        open_at(&self.names.above, &path, flags)
    }

    /// Ends everything in the group at once (Linux 5.14).
    pub(crate) fn end(&self) {
        kill(&self.names);
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        let is_ours = self.held.is_some();
        self.let_go();
        if is_ours {
            // Where the sweeper itself was ended; otherwise there is nothing left to remove.
            sweep(&self.names);
        }
    }
}

/// Writes to a file of a group.
pub(crate) fn write(to: BorrowedFd<'_>, text: &str) -> Result<(), i32> {
    // SAFETY: the slice is valid for its length.
    let written = unsafe { libc::write(to.as_raw_fd(), text.as_ptr().cast(), text.len()) };
    if written < 0 { Err(errno()) } else { Ok(()) }
}

/// Whether a directory is one of the version 2 hierarchy.
fn check_hierarchy(directory: &OwnedFd) -> Result<(), i32> {
    // SAFETY: all-zero is a valid structure to be filled.
    let mut found: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills the structure.
    check_int(unsafe { libc::fstatfs(directory.as_raw_fd(), &raw mut found) })?;
    if u64::try_from(found.f_type) == Ok(CGROUP2_MAGIC) { Ok(()) } else { Err(libc::ENOTSUP) }
}

/// The sweeper's life.
fn keep(names: &Names, socket: libc::c_int) -> ! {
    if stand_apart([names.above.as_raw_fd(), socket]).is_err() {
        exit(1);
    }
    let made = make(&names.above, &names.group).err().unwrap_or(0);
    let told = made.to_ne_bytes();
    // SAFETY: four bytes of a local array. A launcher that is gone is noticed below.
    unsafe { libc::send(socket, told.as_ptr().cast(), told.len(), libc::MSG_NOSIGNAL) };
    if made != 0 {
        exit(1);
    }
    wait_for_end(socket);
    sweep(names);
    exit(0)
}

/// Ends what is in the group, waits until nothing is, and removes it. What is gone already is passed over.
fn sweep(names: &Names) {
    for look in 0..MAX_LOOKS {
        if remove(&names.above, &names.inner) && remove(&names.above, &names.group) {
            return;
        }
        if look == 0 {
            kill(names);
        }
        wait_for_change(names);
    }
}

/// Removes a group; false while something is in it.
fn remove(above: &OwnedFd, path: &CStr) -> bool {
    // SAFETY: the path is a C string.
    let removed = unsafe { libc::unlinkat(above.as_raw_fd(), path.as_ptr(), libc::AT_REMOVEDIR) };
    removed == 0 || errno() != libc::EBUSY
}

/// Waits until a group's last process has ended: the kernel tells by an event of the file.
fn wait_for_change(names: &Names) {
    let Ok(events) = open_at(&names.above, &names.events, libc::O_RDONLY) else { return };
    let mut text = [0_u8; 64];
    // From what was read last the kernel tells of changes.
    // SAFETY: a local array of that size.
    let read = unsafe { libc::read(events.as_raw_fd(), text.as_mut_ptr().cast(), text.len()) };
    let read = text.get(..usize::try_from(read).unwrap_or(0)).unwrap_or_default();
    let is_empty = read.windows(EMPTY.len()).any(|words| words == EMPTY);
    // Between the end of the last process and this: what kept the group is gone, and it is tried once more.
    if !is_empty {
        let mut watched = libc::pollfd { fd: events.as_raw_fd(), events: libc::POLLPRI, revents: 0 };
        // SAFETY: one valid entry.
        unsafe { libc::poll(&raw mut watched, 1, LOOK_MS) };
    }
}

/// What `cgroup.events` says of a group in which nothing runs.
const EMPTY: &[u8] = b"populated 0";

fn make(above: &OwnedFd, path: &CStr) -> Result<(), i32> {
    // SAFETY: the path is a C string.
    check_int(unsafe { libc::mkdirat(above.as_raw_fd(), path.as_ptr(), 0o755) }).map(drop)
}

fn kill(names: &Names) {
    if let Ok(kill) = open_at(&names.above, &names.kill, libc::O_WRONLY) {
        let everyone = b"1";
        // SAFETY: one byte of a constant.
        unsafe { libc::write(kill.as_raw_fd(), everyone.as_ptr().cast(), everyone.len()) };
    }
}

fn open_at(above: &OwnedFd, path: &CStr, flags: libc::c_int) -> Result<OwnedFd, i32> {
    // SAFETY: the path is a C string.
    owned(unsafe { libc::openat(above.as_raw_fd(), path.as_ptr(), flags | libc::O_CLOEXEC) }.into())
}
