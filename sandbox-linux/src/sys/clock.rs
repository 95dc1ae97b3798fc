//! The clock by which the kernel stamps files, and whether somebody has set it. Called by `survey::index`.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use super::abi::{check_int, owned};
use super::walk::Time;

/// `TFD_TIMER_ABSTIME` and `TFD_TIMER_CANCEL_ON_SET` (timerfd_create(2)).
const UNTIL_SET: libc::c_int = libc::TFD_TIMER_ABSTIME | libc::TFD_TIMER_CANCEL_ON_SET;

/// When the timer would go off by itself: later than any server runs.
const NEVER_S: libc::time_t = 1 << 33;

/// The time that a change made now is stamped with, or a little less (`CLOCK_REALTIME_COARSE`): the clock's last tick.
pub(crate) fn now() -> Result<Time, i32> {
    read(libc::CLOCK_REALTIME_COARSE)
}

/// How long the machine has run, asleep or not (`CLOCK_BOOTTIME`): a clock that nobody can set.
pub(crate) fn since_boot() -> Result<Time, i32> {
    read(libc::CLOCK_BOOTTIME)
}

fn read(clock: libc::clockid_t) -> Result<Time, i32> {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let place = &raw mut now;
    // SAFETY: the kernel writes one `struct timespec` at the pointer.
    check_int(unsafe { libc::clock_gettime(clock, place) })?;
    let nanoseconds = u32::try_from(now.tv_nsec).map_err(|_| libc::EOVERFLOW)?;
    Ok(Time { seconds: now.tv_sec, nanoseconds })
}

/// A timer that the kernel cancels as soon as anybody sets the clock, and that then stays ready.
pub(crate) fn until_set() -> Result<OwnedFd, i32> {
    let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
    // SAFETY: makes a descriptor, which is taken at once.
    let timer = owned(libc::c_long::from(unsafe { libc::timerfd_create(libc::CLOCK_REALTIME, flags) }))?;
    let never = libc::timespec { tv_sec: NEVER_S, tv_nsec: 0 };
    let once = libc::itimerspec { it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 }, it_value: never };
    let place = &raw const once;
    // SAFETY: the descriptor is a timer's, and the kernel reads one `struct itimerspec` at the pointer.
    let set = unsafe { libc::timerfd_settime(timer.as_raw_fd(), UNTIL_SET, place, std::ptr::null_mut()) };
    check_int(set)?;
    Ok(timer)
}

/// Whether the clock was set since the timer was made. What cannot be asked counts as set.
pub(crate) fn was_set(timer: BorrowedFd<'_>) -> bool {
    let mut watched = libc::pollfd { fd: timer.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let place = &raw mut watched;
    // SAFETY: one entry at the pointer, which the kernel reads and fills; does not wait.
    let ready = unsafe { libc::poll(place, 1, 0) };
    ready != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_on_and_nobody_has_set_it() {
        let timer = until_set().unwrap();
        let before = now().unwrap();
        assert!(now().unwrap() >= before && before.seconds > 1_700_000_000);
        assert!(!was_set(timer.as_fd()));
    }
}
