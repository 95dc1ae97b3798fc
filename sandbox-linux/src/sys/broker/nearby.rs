//! Keeps a caller on this processor while it is given a descriptor.
//!
//! Other answers wake their caller where the broker runs (`SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP`). A descriptor is installed by the caller
//! itself, which `SECCOMP_IOCTL_NOTIF_ADDFD` wakes like any sleeper: on an idle processor if there is one. That one has to
//! be woken first, which costs several times what the call does. So the caller may run here alone for that moment, and right
//! after everywhere it could before. It sleeps in its call meanwhile and can ask for no other processors, nor can another thread for
//! it (`seccomp` lets a thread speak of itself alone). Where no processor is idle that costs more than it gives; how long giving takes tells
//! whether it is worth it, and nothing but the place where a thread is woken depends on it.

use std::cell::Cell;
use std::mem::size_of;
use std::time::{Duration, Instant};

use super::super::abi::check;

/// Giving a descriptor takes some microseconds on one processor, and longer than this where another one has to be woken for it.
const FAR: Duration = Duration::from_micros(25);
/// How many descriptors are given nearby, at first and once that was found to pay, before it is tried without.
const NEARBY_CALLS: u32 = 64;
/// How many processors a set holds.
const SET: usize = libc::CPU_SETSIZE.cast_unsigned() as usize;

/// Whether callers are kept on this processor, for as long as that pays.
#[derive(Debug)]
pub(super) struct Nearness {
    left: Cell<u32>,
}

impl Default for Nearness {
    /// At first they are: most commands are short, and start while little else runs.
    fn default() -> Self {
        Self { left: Cell::new(NEARBY_CALLS) }
    }
}

impl Nearness {
    /// Gives a thread a descriptor.
    pub(super) fn within<T>(&self, thread: u32, give: impl FnOnce() -> T) -> T {
        if let Some(left) = self.left.get().checked_sub(1) {
            self.left.set(left);
            let _kept = Kept::here(thread);
            return give();
        }
        let start = Instant::now();
        let given = give();
        if start.elapsed() > FAR {
            self.left.set(NEARBY_CALLS);
        }
        given
    }
}

/// A thread that may run on this processor alone, until this is dropped.
#[derive(Debug)]
struct Kept {
    thread: libc::pid_t,
    before: libc::cpu_set_t,
}

impl Kept {
    /// Nothing where the thread may not run here, can run nowhere else, or cannot be told where to run: then it is woken wherever the kernel
    /// likes.
    fn here(thread: u32) -> Option<Self> {
        // Number 0, a thread that this process cannot see, would be the broker itself.
        let thread = libc::pid_t::try_from(thread).ok().filter(|thread| *thread > 0)?;
        let before = allowed(thread)?;
        // SAFETY: asks for a number.
        let here = usize::try_from(unsafe { libc::sched_getcpu() }).ok().filter(|here| *here < SET)?;
        // SAFETY: a set, and a number that it holds.
        let is_allowed = unsafe { libc::CPU_ISSET(here, &before) };
        // SAFETY: a set.
        if !is_allowed || unsafe { libc::CPU_COUNT(&before) } < 2 {
            return None;
        }
        // SAFETY: all-zero is the empty set.
        let mut only: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: a set, and a number that it holds.
        unsafe { libc::CPU_SET(here, &mut only) };
        allow(thread, &only).then_some(Self { thread, before })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // It may have ended.
        let _ = allow(self.thread, &self.before);
    }
}

/// The processors that a thread may run on (sched_getaffinity(2)); nothing on a machine that has more than a set holds.
fn allowed(thread: libc::pid_t) -> Option<libc::cpu_set_t> {
    // SAFETY: all-zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is a valid place for the result, of that size.
    let result = unsafe { libc::sched_getaffinity(thread, size_of::<libc::cpu_set_t>(), &raw mut set) };
    check(result.into()).ok().map(|_| set)
}

/// Lets a thread run on these processors alone (sched_setaffinity(2)); whether that was done.
fn allow(thread: libc::pid_t, set: &libc::cpu_set_t) -> bool {
    // SAFETY: `set` is valid for that size.
    let result = unsafe { libc::sched_setaffinity(thread, size_of::<libc::cpu_set_t>(), &raw const *set) };
    result == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers in a set.
    fn numbers(set: &libc::cpu_set_t) -> Vec<usize> {
        // SAFETY: a set, and numbers that it holds.
        (0..SET).filter(|at| unsafe { libc::CPU_ISSET(*at, set) }).collect()
    }

    fn this_thread() -> u32 {
        // SAFETY: asks for a number.
        unsafe { libc::gettid() }.cast_unsigned()
    }

    #[test]
    fn a_thread_is_kept_on_one_processor_and_then_let_go() {
        let thread = this_thread();
        let before = numbers(&allowed(thread.cast_signed()).unwrap_or_else(|| panic!("its processors")));
        if before.len() < 2 {
            assert!(Kept::here(thread).is_none());
            return;
        }
        let kept = Kept::here(thread);
        assert!(kept.is_some());
        assert_eq!(allowed(thread.cast_signed()).map(|set| numbers(&set).len()), Some(1));
        // One that can run nowhere else is left alone.
        assert!(Kept::here(thread).is_none());
        drop(kept);
        assert_eq!(allowed(thread.cast_signed()).map(|set| numbers(&set)), Some(before));
        assert!(Kept::here(0).is_none());
        assert!(Kept::here(u32::MAX).is_none());
    }

    #[test]
    fn threads_are_kept_as_long_as_giving_would_take_long() {
        let nearness = Nearness::default();
        let wait = || {
            let start = Instant::now();
            while start.elapsed() <= FAR {}
        };
        for _ in 0..2 {
            assert_eq!(nearness.left.get(), NEARBY_CALLS);
            for left in (0..NEARBY_CALLS).rev() {
                nearness.within(0, || ());
                assert_eq!(nearness.left.get(), left);
            }
            nearness.within(0, wait);
        }
    }
}
