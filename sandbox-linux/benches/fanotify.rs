//! What fanotify(7) would do in the broker's place: what an open costs while a plain loop answers each permission event, and which acts on
//! closed names it lets pass.
//!
//! The reason why live rules are held by the broker even where Weir is privileged (docs/ENFORCEMENT.md). Needs `CAP_SYS_ADMIN` in the
//! machine's first user namespace; everything happens on a mount in a mount namespace of its own.

use std::ffi::{CStr, CString};
use std::fs;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Opens in one round.
const OPENS: u32 = 10_000;
/// Rounds of each kind; the fastest counts.
const ROUNDS: usize = 5;
/// Bytes of events that are read at once.
const EVENT_BYTES: usize = 4096;
/// What the loop takes for closed.
const CLOSED: &[u8] = b".env";

fn main() -> io::Result<()> {
    let place = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
    let (free, marked) = (place.path().join("free"), place.path().join("marked"));
    fs::create_dir(&free)?;
    fs::create_dir(&marked)?;
    fs::write(free.join("plain"), "x")?;
    let group = match mount_apart(&free, &marked).and_then(|()| group_on(&marked)) {
        Ok(group) => group,
        Err(error) => return writeln!(io::stdout(), "not measured, which takes root: {error}"),
    };
    // SAFETY: this process has one thread.
    let answering = unsafe { libc::fork() };
    if answering == 0 {
        let _ = answer(&group);
        // SAFETY: ends the child.
        unsafe { libc::_exit(0) };
    }
    let measured = cost(&free, &marked).and_then(|()| what_passes(&free, &marked));
    // SAFETY: ends the child made above.
    unsafe { libc::kill(answering, libc::SIGKILL) };
    // SAFETY: reaps it.
    unsafe { libc::waitpid(answering, std::ptr::null_mut(), 0) };
    drop(group);
    let after = told(fs::File::open(marked.join("closed.env")));
    writeln!(io::stdout(), "{:<52} {after}", "open a closed name, once nobody listens")?;
    unmount(&marked)?;
    measured
}

fn text(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

fn done(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Shows one directory at another path, in a mount namespace of this process's own.
fn mount_apart(from: &Path, at: &Path) -> io::Result<()> {
    let (from, at, none) = (text(from)?, text(at)?, std::ptr::null());
    // SAFETY: changes this process only.
    done(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    let private = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: the path is a constant; the other arguments are not looked at.
    done(unsafe { libc::mount(none, c"/".as_ptr(), none, private, none.cast()) })?;
    // SAFETY: both paths are C strings.
    done(unsafe { libc::mount(from.as_ptr(), at.as_ptr(), none, libc::MS_BIND, none.cast()) }).map(drop)
}

fn unmount(at: &Path) -> io::Result<()> {
    let at = text(at)?;
    // SAFETY: the path is a C string.
    done(unsafe { libc::umount2(at.as_ptr(), libc::MNT_DETACH) }).map(drop)
}

/// A group that is asked before anything on a mount is opened (fanotify_mark(2)).
fn group_on(mount: &Path) -> io::Result<OwnedFd> {
    let mount = text(mount)?;
    let flags = libc::FAN_CLASS_CONTENT | libc::FAN_CLOEXEC;
    // SAFETY: makes a descriptor.
    let made = done(unsafe { libc::fanotify_init(flags, libc::O_RDONLY.cast_unsigned()) })?;
    // SAFETY: just made, and nobody else's.
    let group = unsafe { OwnedFd::from_raw_fd(made) };
    let (how, events) = (libc::FAN_MARK_ADD | libc::FAN_MARK_MOUNT, libc::FAN_OPEN_PERM | libc::FAN_ONDIR);
    // SAFETY: the path is a C string.
    done(unsafe { libc::fanotify_mark(made, how, events, libc::AT_FDCWD, mount.as_ptr()) })?;
    Ok(group)
}

/// Answers each event by the path that the kernel tells of what was opened.
fn answer(group: &OwnedFd) -> io::Result<()> {
    let mut room = [0_u8; EVENT_BYTES];
    loop {
        // SAFETY: a local array of that size.
        let read = unsafe { libc::read(group.as_raw_fd(), room.as_mut_ptr().cast(), room.len()) };
        let mut rest = room.get(..usize::try_from(read).unwrap_or(0)).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        while rest.len() >= size_of::<libc::fanotify_event_metadata>() {
            // SAFETY: the kernel wrote a whole one here, of which every bit pattern is valid.
            let event: libc::fanotify_event_metadata =
                unsafe { std::ptr::read_unaligned(rest.as_ptr().cast()) };
            // SAFETY: the kernel gave it to this process with the event.
            let file = unsafe { OwnedFd::from_raw_fd(event.fd) };
            let path = fs::read_link(format!("/proc/self/fd/{}", event.fd))?;
            let is_closed = path.as_os_str().as_bytes().ends_with(CLOSED);
            let response = if is_closed { libc::FAN_DENY } else { libc::FAN_ALLOW };
            let told = libc::fanotify_response { fd: event.fd, response };
            // SAFETY: a local structure of that size.
            unsafe { libc::write(group.as_raw_fd(), (&raw const told).cast(), size_of_val(&told)) };
            drop(file);
            rest = rest.get(event.event_len as usize..).unwrap_or_default();
        }
    }
}

fn cost(free: &Path, marked: &Path) -> io::Result<()> {
    let (free, marked) = (text(&free.join("plain"))?, text(&marked.join("plain"))?);
    let (mut without, mut with) = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        without = without.min(round(&free)?);
        with = with.min(round(&marked)?);
    }
    let ratio = with / without;
    writeln!(
        io::stdout(),
        "open: {without:.2} µs without, {with:.2} µs with a permission event, {ratio:.1} ×"
    )
}

/// Microseconds for each open.
fn round(path: &CStr) -> io::Result<f64> {
    let started = Instant::now();
    for _ in 0..OPENS {
        // SAFETY: the path is a C string.
        let opened = done(unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) })?;
        // SAFETY: just made.
        unsafe { libc::close(opened) };
    }
    Ok(started.elapsed().as_secs_f64() * 1e6 / f64::from(OPENS))
}

fn told<T>(result: io::Result<T>) -> String {
    result.map_or_else(|error| format!("refused ({error})"), |_| "PASSES".to_owned())
}

/// Acts on closed names, each of which the broker refuses.
fn what_passes(free: &Path, marked: &Path) -> io::Result<()> {
    let at = |name: &str| marked.join(name);
    // What the host makes, seen through its own path.
    for name in ["closed.env", "moved.env", "cut.env"] {
        fs::write(free.join(name), "secret")?;
    }
    std::os::unix::fs::symlink("plain", at("link.env"))?;
    let made = told(fs::File::create_new(at("made.env")));
    let left = |path: PathBuf| if path.exists() { "and the file is there" } else { "and nothing is there" };
    let path = text(&at("cut.env"))?;
    // SAFETY: the path is a C string.
    let cut = told(done(unsafe { libc::truncate(path.as_ptr(), 0) }));
    let moved = fs::rename(at("moved.env"), at("moved")).and_then(|()| fs::read(at("moved")));
    let mut out = io::stdout();
    writeln!(out, "{:<52} {}", "open a closed name", told(fs::File::open(at("closed.env"))))?;
    writeln!(out, "{:<52} {}", "open by a symbolic link with a closed name", told(fs::read(at("link.env"))))?;
    writeln!(out, "{:<52} {}", "give a closed file another name, read it", told(moved))?;
    writeln!(out, "{:<52} {cut}", "truncate a closed file")?;
    writeln!(out, "{:<52} {made}, {}", "make a closed name", left(free.join("made.env")))
}
