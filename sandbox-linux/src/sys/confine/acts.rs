//! What the tests of a confined thread try.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// What a confined thread may be refused, by name.
pub(crate) const ACTS: [&str; 9] = [
    "read a file",
    "list a directory",
    "make a file",
    "make a nameless file",
    "connect",
    "make a pair",
    "execute",
    "fork",
    "signal",
];

/// Tries everything; `place` is a directory of the test's own with a file `there` in it.
pub(crate) fn tried(place: &File, path: &Path) -> Vec<bool> {
    let done = |result: libc::c_int| result >= 0;
    let opened = |name: &str, flags| {
        let name = CString::new(name).unwrap();
        // SAFETY: a string that outlives the call; the descriptor is left to the process.
        done(unsafe { libc::openat(place.as_raw_fd(), name.as_ptr(), flags | libc::O_CLOEXEC, 0o600) })
    };
    let connects = || {
        let address = path.join("socket");
        UnixStream::connect(address).is_ok()
    };
    let pair = || UnixStream::pair().is_ok();
    let executes = || {
        // SAFETY: both arrays end with null; the name is a directory, which no kernel executes, so this returns.
        unsafe { libc::execve(c"/".as_ptr(), [std::ptr::null()].as_ptr(), [std::ptr::null()].as_ptr()) };
        io::Error::last_os_error().raw_os_error() == Some(libc::EACCES)
    };
    let forks = || {
        // SAFETY: the child only ends.
        match unsafe { libc::fork() } {
            // SAFETY: ends the child at once.
            0 => unsafe { libc::_exit(0) },
            pid => {
                done(pid) && {
                    // SAFETY: reaps the child that was made above.
                    unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) == pid }
                }
            }
        }
    };
    let own = libc::pid_t::try_from(std::process::id()).unwrap();
    // SAFETY: the signal 0 is never delivered.
    let signals = || done(unsafe { libc::kill(own, 0) });
    vec![
        opened("there", libc::O_RDONLY),
        opened(".", libc::O_RDONLY | libc::O_DIRECTORY),
        opened("new", libc::O_WRONLY | libc::O_CREAT),
        opened(".", libc::O_TMPFILE | libc::O_RDWR | libc::O_EXCL),
        connects(),
        pair(),
        executes(),
        forks(),
        signals(),
    ]
}

/// Whether a file without a name can be made there, and then be given the name `named`.
pub(crate) fn nameless(at: &File) -> (bool, bool) {
    // SAFETY: a constant string; the descriptor is left to the process.
    let made = unsafe { libc::openat(at.as_raw_fd(), c".".as_ptr(), libc::O_TMPFILE | libc::O_RDWR, 0o600) };
    let link = CString::new(format!("/proc/self/fd/{made}")).unwrap();
    let (from, to, follow) = (link.as_ptr(), c"named".as_ptr(), libc::AT_SYMLINK_FOLLOW);
    // SAFETY: strings that outlive the call.
    let linked = made >= 0 && unsafe { libc::linkat(libc::AT_FDCWD, from, at.as_raw_fd(), to, follow) } == 0;
    (made >= 0, linked)
}
