//! System calls by descriptor and name, each a typed function that answers the kernel's error number.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use super::super::abi::{check, errno, owned};
use crate::live::FileId;

/// A result, or the kernel's positive error number.
pub(super) type Kernel<T> = Result<T, i32>;

/// Tries of a lookup that the kernel gave up because a directory moved meanwhile (openat2(2), EAGAIN).
const MAX_LOOKUPS: u32 = 16;
/// `PROC_SUPER_MAGIC` (`linux/magic.h`).
const PROC_MAGIC: i64 = 0x9fa0;
/// Room for the text of a link: `PATH_MAX`.
const LINK_ROOM: usize = 4_096;

fn done(result: libc::c_int) -> Kernel<()> {
    check(result.into()).map(drop)
}

/// An absolute path as one below `/`.
pub(super) fn below_root(path: &[u8]) -> Kernel<CString> {
    let below = path.strip_prefix(b"/").filter(|below| !below.is_empty()).unwrap_or(b".");
    CString::new(below).map_err(|_| libc::EINVAL)
}

/// openat2(2). `flags` are an int's bits.
pub(super) fn openat2(
    dir: BorrowedFd<'_>,
    path: &CStr,
    flags: u32,
    mode: u32,
    resolve: u64,
) -> Kernel<OwnedFd> {
    // SAFETY: all-zero is a valid request.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = flags.into();
    how.mode = mode.into();
    how.resolve = resolve;
    let (how, size) = (&raw const how, size_of::<libc::open_how>());
    let mut tries = 0;
    loop {
        // SAFETY: the path is a C string, `how` is valid for its size.
        let result = unsafe { libc::syscall(libc::SYS_openat2, dir.as_raw_fd(), path.as_ptr(), how, size) };
        tries += 1;
        match owned(result) {
            Err(libc::EAGAIN) if tries < MAX_LOOKUPS && flags & NONBLOCK == 0 => {}
            other => return other,
        }
    }
}

/// `O_NONBLOCK` as bits.
pub(super) const NONBLOCK: u32 = libc::O_NONBLOCK.cast_unsigned();

/// openat(2) of an existing file. Follows links, magic ones too, unless the flags say otherwise.
pub(super) fn openat(dir: BorrowedFd<'_>, path: &CStr, flags: u32) -> Kernel<OwnedFd> {
    let flags = flags.cast_signed() | libc::O_CLOEXEC;
    // SAFETY: the path is a C string.
    owned(unsafe { libc::openat(dir.as_raw_fd(), path.as_ptr(), flags) }.into())
}

/// Opens a place without opening what is there (`O_PATH`).
pub(super) fn open_path(dir: BorrowedFd<'_>, path: &CStr, flags: libc::c_int) -> Kernel<OwnedFd> {
    openat(dir, path, (flags | libc::O_PATH).cast_unsigned())
}

/// Opens an absolute path of our own.
pub(super) fn open_absolute(path: &CStr, flags: libc::c_int) -> Kernel<OwnedFd> {
    // SAFETY: the path is a C string.
    owned(unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC) }.into())
}

/// fstat(2).
pub(super) fn stat(fd: BorrowedFd<'_>) -> Kernel<libc::stat> {
    // SAFETY: all-zero is a valid value of this plain structure.
    let mut found: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `found` is a valid place for the result.
    done(unsafe { libc::fstat(fd.as_raw_fd(), &raw mut found) })?;
    Ok(found)
}

/// fstatat(2); `flags` are `AT_SYMLINK_NOFOLLOW` or 0.
pub(super) fn stat_at(dir: BorrowedFd<'_>, name: &CStr, flags: libc::c_int) -> Kernel<libc::stat> {
    // SAFETY: all-zero is a valid value of this plain structure.
    let mut found: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the name is a C string, `found` a valid place for the result.
    done(unsafe { libc::fstatat(dir.as_raw_fd(), name.as_ptr(), &raw mut found, flags) })?;
    Ok(found)
}

/// When a file was made, in nanoseconds since the epoch, where its file system knows (statx(2)).
pub(super) fn birth_ns(fd: BorrowedFd<'_>) -> Option<i128> {
    // SAFETY: all-zero is a valid value of this plain structure.
    let mut found: libc::statx = unsafe { std::mem::zeroed() };
    let flags = libc::AT_EMPTY_PATH;
    let (path, place) = (c"".as_ptr(), &raw mut found);
    // SAFETY: the path is a C string, `found` a valid place for the result.
    let result = unsafe { libc::statx(fd.as_raw_fd(), path, flags, libc::STATX_BTIME, place) };
    (result == 0 && found.stx_mask & libc::STATX_BTIME != 0)
        .then(|| i128::from(found.stx_btime.tv_sec) * 1_000_000_000 + i128::from(found.stx_btime.tv_nsec))
}

/// What tells a file from all others.
pub(super) fn file_id(fd: BorrowedFd<'_>, stat: &libc::stat) -> FileId {
    let birth_ns = birth_ns(fd).and_then(|birth| i64::try_from(birth).ok());
    FileId { device: stat.st_dev, inode: stat.st_ino, birth_ns }
}

/// A queue of what happens to directories (inotify_init1(2)), which is never waited for.
pub(super) fn inotify() -> Kernel<OwnedFd> {
    // SAFETY: makes a descriptor.
    owned(unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) }.into())
}

/// Watches an open directory (inotify_add_watch(2)); answers its number in the events.
pub(super) fn watch(queue: BorrowedFd<'_>, directory: BorrowedFd<'_>, told: u32) -> Kernel<i32> {
    let path = CString::new(format!("/proc/self/fd/{}", directory.as_raw_fd())).map_err(|_| libc::EINVAL)?;
    // SAFETY: the path is a C string.
    let number = unsafe { libc::inotify_add_watch(queue.as_raw_fd(), path.as_ptr(), told) };
    check(number.into()).map(|_| number)
}

/// read(2).
pub(super) fn read(fd: BorrowedFd<'_>, into: &mut [u8]) -> Kernel<usize> {
    // SAFETY: `into` is valid for its length.
    let read = unsafe { libc::read(fd.as_raw_fd(), into.as_mut_ptr().cast(), into.len()) };
    usize::try_from(read).map_err(|_| errno())
}

/// The clock that file systems stamp with, in nanoseconds since the epoch.
pub(super) fn stamp_ns() -> i128 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid place for the result; the clock exists.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &raw mut now) };
    i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
}

/// The file system's magic number (statfs(2)).
pub(super) fn magic(fd: BorrowedFd<'_>) -> Kernel<i64> {
    // SAFETY: all-zero is a valid value of this plain structure.
    let mut found: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: `found` is a valid place for the result.
    done(unsafe { libc::fstatfs(fd.as_raw_fd(), &raw mut found) })?;
    Ok(found.f_type)
}

/// Whether a place lies on a procfs. What cannot be asked is taken for one.
pub(super) fn is_proc(fd: BorrowedFd<'_>) -> bool {
    !magic(fd).is_ok_and(|magic| magic != PROC_MAGIC)
}

/// readlinkat(2); an empty name reads the link that the descriptor itself stands for.
pub(super) fn read_link(dir: BorrowedFd<'_>, name: &CStr) -> Kernel<Vec<u8>> {
    let mut text = vec![0; LINK_ROOM];
    let room = text.as_mut_ptr().cast();
    // SAFETY: the name is a C string, `text` is valid for its length.
    let read = unsafe { libc::readlinkat(dir.as_raw_fd(), name.as_ptr(), room, text.len()) };
    let read = usize::try_from(read).map_err(|_| errno())?;
    text.truncate(read);
    Ok(text)
}

/// The path of a place as the kernel tells it, with a name behind it; empty where it cannot be told.
pub(super) fn path_of(place: BorrowedFd<'_>, name: Option<&[u8]>) -> Vec<u8> {
    let mut path = std::fs::read_link(format!("/proc/self/fd/{}", place.as_raw_fd()))
        .map(|path| std::os::unix::ffi::OsStringExt::into_vec(path.into_os_string()))
        .unwrap_or_default();
    if let Some(name) = name.filter(|_| !path.is_empty()) {
        if path.last() != Some(&b'/') {
            path.push(b'/');
        }
        path.extend_from_slice(name);
    }
    path
}

/// The user that files are looked up and made as.
pub(super) fn user() -> libc::uid_t {
    // SAFETY: no preconditions.
    unsafe { libc::geteuid() }
}

/// The kind of a socket, `SOCK_STREAM` and its like (socket(7), `SO_TYPE`).
pub(super) fn socket_kind(socket: BorrowedFd<'_>) -> Kernel<libc::c_int> {
    let mut kind: libc::c_int = 0;
    let mut length = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or(0);
    let (level, option, place) = (libc::SOL_SOCKET, libc::SO_TYPE, (&raw mut kind).cast());
    // SAFETY: `kind` is a valid place of that length.
    done(unsafe { libc::getsockopt(socket.as_raw_fd(), level, option, place, &raw mut length) })?;
    Ok(kind)
}

/// A descriptor's number.
pub(super) fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// Sets the file-mode mask of this process.
pub(super) fn set_umask(umask: u32) {
    // SAFETY: sets a property of this process.
    unsafe { libc::umask(umask) };
}

/// fchdir(2).
pub(super) fn change_directory(dir: BorrowedFd<'_>) -> Kernel<()> {
    // SAFETY: sets a property of this process.
    done(unsafe { libc::fchdir(dir.as_raw_fd()) })
}

/// mkdirat(2).
pub(super) fn make_directory(dir: BorrowedFd<'_>, name: &CStr, mode: u32) -> Kernel<()> {
    // SAFETY: the name is a C string.
    done(unsafe { libc::mkdirat(dir.as_raw_fd(), name.as_ptr(), mode) })
}

/// mknodat(2).
pub(super) fn make_node(dir: BorrowedFd<'_>, name: &CStr, mode: u32, device: u32) -> Kernel<()> {
    // SAFETY: the name is a C string.
    done(unsafe { libc::mknodat(dir.as_raw_fd(), name.as_ptr(), mode, device.into()) })
}

/// symlinkat(2).
pub(super) fn symlink(target: &CStr, dir: BorrowedFd<'_>, name: &CStr) -> Kernel<()> {
    // SAFETY: both are C strings.
    done(unsafe { libc::symlinkat(target.as_ptr(), dir.as_raw_fd(), name.as_ptr()) })
}

/// unlinkat(2); `flags` are `AT_REMOVEDIR` or 0.
pub(super) fn remove(dir: BorrowedFd<'_>, name: &CStr, flags: u32) -> Kernel<()> {
    // SAFETY: the name is a C string.
    done(unsafe { libc::unlinkat(dir.as_raw_fd(), name.as_ptr(), flags.cast_signed()) })
}

/// ftruncate(2).
pub(super) fn truncate(file: BorrowedFd<'_>, length: i64) -> Kernel<()> {
    // SAFETY: no pointer.
    done(unsafe { libc::ftruncate(file.as_raw_fd(), length) })
}

/// Sends a signal to a thread (tgkill(2)).
pub(super) fn signal_thread(process: u32, thread: u32, signal: libc::c_int) {
    // SAFETY: no pointer. The thread is a caller's whose call still waits.
    unsafe { libc::syscall(libc::SYS_tgkill, process, thread, signal) };
}

/// linkat(2).
pub(super) fn link(
    from: BorrowedFd<'_>,
    old: &CStr,
    to: BorrowedFd<'_>,
    new: &CStr,
    flags: libc::c_int,
) -> Kernel<()> {
    // SAFETY: both names are C strings.
    done(unsafe { libc::linkat(from.as_raw_fd(), old.as_ptr(), to.as_raw_fd(), new.as_ptr(), flags) })
}

/// renameat2(2).
pub(super) fn rename(
    from: BorrowedFd<'_>,
    old: &CStr,
    to: BorrowedFd<'_>,
    new: &CStr,
    flags: u32,
) -> Kernel<()> {
    let (from, to, nr) = (from.as_raw_fd(), to.as_raw_fd(), libc::SYS_renameat2);
    // SAFETY: both names are C strings.
    check(unsafe { libc::syscall(nr, from, old.as_ptr(), to, new.as_ptr(), flags) }).map(drop)
}

/// Replaces the status flags that can be changed (fcntl(2), `F_SETFL`).
pub(super) fn set_flags(fd: BorrowedFd<'_>, flags: u32) -> Kernel<()> {
    // SAFETY: an int argument.
    done(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags.cast_signed()) })
}

/// The status flags and access mode (fcntl(2), `F_GETFL`).
pub(super) fn flags(fd: BorrowedFd<'_>) -> Kernel<u32> {
    // SAFETY: no argument.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    check(flags.into())?;
    Ok(flags.cast_unsigned())
}
