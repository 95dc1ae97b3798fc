//! Closing descriptors that a process was born with and has no use for.

use super::super::abi::check;

/// Lowest descriptor that is none of the standard ones.
pub(super) const FIRST_FOREIGN: libc::c_long = 3;

/// The highest number that a range of descriptors may end with.
pub(super) const LAST: libc::c_long = u32::MAX as libc::c_long;

/// Closes everything from [`FIRST_FOREIGN`] on, but for these.
pub(in crate::sys) fn close_all_but<const COUNT: usize>(mut kept: [libc::c_int; COUNT]) -> Result<(), i32> {
    kept.sort_unstable();
    let mut next = FIRST_FOREIGN;
    for kept in kept.map(libc::c_long::from) {
        if kept > next {
            close_range(next, kept - 1, 0)?;
        }
        next = next.max(kept + 1);
    }
    close_range(next, LAST, 0)
}

/// close_range(2).
pub(super) fn close_range(first: libc::c_long, last: libc::c_long, flags: libc::c_long) -> Result<(), i32> {
    // SAFETY: whoever calls this has no further use for the descriptors in the range.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) }).map(drop)
}
