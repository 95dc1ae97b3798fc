//! Raw system calls, and the names of errors.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt as _;

use super::Error;

/// One argument: a number, or the address of something that outlives the call.
pub(crate) type Argument = i64;

/// The system call `number` with these arguments, the rest zero.
pub(crate) fn call<const N: usize>(number: i64, arguments: [Argument; N]) -> Result<i64, Error> {
    let mut all = [0; 6];
    all[..N].copy_from_slice(&arguments);
    let [a, b, c, d, e, f] = all;
    // SAFETY: callers pass numbers, and addresses of values that they keep until this returns.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result < 0 { Err(std::io::Error::last_os_error().into()) } else { Ok(result) }
}

/// The address of a value, which the caller keeps.
pub(crate) fn address<T: ?Sized>(value: &T) -> Argument {
    std::ptr::from_ref(value).cast::<u8>().expose_provenance().cast_signed() as Argument
}

/// The address of a value that the kernel writes.
pub(crate) fn address_mut<T: ?Sized>(value: &mut T) -> Argument {
    std::ptr::from_mut(value).cast::<u8>().expose_provenance().cast_signed() as Argument
}

/// A word as a C string.
pub(crate) fn text(word: &OsStr) -> Result<CString, Error> {
    CString::new(word.as_bytes()).map_err(|_| Error::Other("a NUL byte".to_owned()))
}

/// The address of a C string, which the caller keeps.
pub(crate) fn path(text: &CString) -> Argument {
    text.as_ptr().expose_provenance().cast_signed() as Argument
}

/// The name of an error.
pub(crate) fn name(errno: i32) -> String {
    const NAMES: [(i32, &str); 35] = [
        (libc::EPERM, "EPERM"),
        (libc::ENOENT, "ENOENT"),
        (libc::ESRCH, "ESRCH"),
        (libc::EIO, "EIO"),
        (libc::ENXIO, "ENXIO"),
        (libc::EBADF, "EBADF"),
        (libc::ECHILD, "ECHILD"),
        (libc::EAGAIN, "EAGAIN"),
        (libc::EACCES, "EACCES"),
        (libc::EFAULT, "EFAULT"),
        (libc::EBUSY, "EBUSY"),
        (libc::EEXIST, "EEXIST"),
        (libc::EXDEV, "EXDEV"),
        (libc::ENODEV, "ENODEV"),
        (libc::ENOTDIR, "ENOTDIR"),
        (libc::EISDIR, "EISDIR"),
        (libc::EINVAL, "EINVAL"),
        (libc::ENOTTY, "ENOTTY"),
        (libc::ETXTBSY, "ETXTBSY"),
        (libc::ENOSPC, "ENOSPC"),
        (libc::EROFS, "EROFS"),
        (libc::ENOSYS, "ENOSYS"),
        (libc::ENOTEMPTY, "ENOTEMPTY"),
        (libc::ELOOP, "ELOOP"),
        (libc::ENOMSG, "ENOMSG"),
        (libc::EOPNOTSUPP, "EOPNOTSUPP"),
        (libc::EPROTONOSUPPORT, "EPROTONOSUPPORT"),
        (libc::EAFNOSUPPORT, "EAFNOSUPPORT"),
        (libc::EADDRNOTAVAIL, "EADDRNOTAVAIL"),
        (libc::ENETUNREACH, "ENETUNREACH"),
        (libc::ECONNREFUSED, "ECONNREFUSED"),
        (libc::ECONNRESET, "ECONNRESET"),
        (libc::EHOSTUNREACH, "EHOSTUNREACH"),
        (libc::ENOKEY, "ENOKEY"),
        (libc::ESTALE, "ESTALE"),
    ];
    let known = NAMES.iter().find(|(number, _)| *number == errno);
    known.map_or_else(|| format!("errno {errno}"), |(_, name)| (*name).to_owned())
}
