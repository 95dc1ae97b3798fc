//! What of the server part has no safe form: waiting for a descriptor, and how SQLite asks the kernel.

#[cfg(target_os = "linux")]
use std::ffi::c_int;
use std::io;
use std::os::fd::OwnedFd;

#[cfg(target_os = "linux")]
use rusqlite::ffi;
use tokio::io::unix::AsyncFd;

/// A descriptor that this thread's runtime watches. It does not block from now on.
///
/// # Errors
/// ioctl(2)'s and epoll_ctl(2)'s; a regular file cannot be watched.
pub(super) fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    rustix::io::ioctl_fionbio(&descriptor, true)?;
    // SAFETY: an `OwnedFd` owns an open descriptor, and nobody replaces or closes it while it is owned.
    Ok(unsafe { AsyncFd::register(descriptor) }?)
}

/// Has SQLite ask for the size of an open file by fstat(2) itself. The C library asks by newfstatat(2), which can take a path and is
/// therefore closed to a server part: without this a log is never written back, and fails when it outgrows its first piece of shared
/// memory. Before the first database is opened.
#[cfg(target_os = "linux")]
pub(super) fn let_sqlite_ask() {
    // SAFETY: a null pointer asks for the default file system, which SQLite has for the life of the process (sqlite3_vfs_find).
    let files = unsafe { ffi::sqlite3_vfs_find(std::ptr::null()) };
    // SAFETY: it is null or points to what SQLite made, which nobody changes while no database is open.
    let Some(set) = (unsafe { files.as_ref() }).and_then(|files| files.xSetSystemCall) else { return };
    let ask: unsafe extern "C" fn(c_int, *mut libc::stat) -> c_int = fstat;
    // SAFETY: SQLite calls it by the type that it has for this name (os_unix.c: `int(*)(int,struct stat*)`), and never as it is here.
    let ask = unsafe {
        std::mem::transmute::<unsafe extern "C" fn(c_int, *mut libc::stat) -> c_int, unsafe extern "C" fn()>(
            ask,
        )
    };
    // SAFETY: name and function live as long as the process, and `files` is what the call was found in.
    let done = unsafe { set(files, c"fstat".as_ptr(), Some(ask)) };
    debug_assert_eq!(done, ffi::SQLITE_OK);
}

/// fstat(2), as the C library would call it.
#[cfg(target_os = "linux")]
unsafe extern "C" fn fstat(descriptor: c_int, found: *mut libc::stat) -> c_int {
    // SAFETY: the caller gives room for what the kernel writes, which on the 64-bit machines that Weir knows is the C library's own form.
    let answer = unsafe { libc::syscall(libc::SYS_fstat, descriptor, found) };
    c_int::try_from(answer).unwrap_or(-1)
}
