//! The listener of a seccomp filter: notifications in, answers and descriptors out (seccomp_unotify(2)).

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use super::super::abi::{check, errno};
use super::call::Kernel;
use super::nearby::Nearness;
use super::{Answer, Noticed, Opened, Wait};

/// `SECCOMP_IOCTL_NOTIF_RECV`, `_SEND`, `_ID_VALID`, `_ADDFD`, `_SET_FLAGS` (`linux/seccomp.h`): direction, size, `!`, number.
const RECEIVE: libc::c_ulong = request(3, size_of::<libc::seccomp_notif>(), 0);
const SEND: libc::c_ulong = request(3, size_of::<libc::seccomp_notif_resp>(), 1);
const ID_VALID: libc::c_ulong = request(1, size_of::<u64>(), 2);
const SET_FLAGS: libc::c_ulong = request(1, size_of::<u64>(), 4);
const ADD_DESCRIPTOR: libc::c_ulong = request(1, size_of::<libc::seccomp_notif_addfd>(), 3);
/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP`: caller and broker take turns on one processor (Linux 6.6).
const SYNC_WAKE_UP: u64 = 1;
/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE` (Linux 5.5).
const CONTINUE: u32 = 1;
/// `SECCOMP_ADDFD_FLAG_SEND`: the descriptor is the answer (Linux 5.14).
const ADD_AND_SEND: u32 = 1 << 1;

#[expect(clippy::cast_possible_truncation, reason = "sizes of three small structures")]
const fn request(direction: u32, size: usize, number: u32) -> libc::c_ulong {
    ((direction << 30) | ((size as u32) << 16) | ((b'!' as u32) << 8) | number) as libc::c_ulong
}

/// One call that waits for an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Notification {
    pub(super) id: u64,
    /// The calling thread.
    pub(super) pid: u32,
    pub(super) nr: u32,
    pub(super) args: [u64; 6],
}

/// The listening end.
#[derive(Debug)]
pub(super) struct Listener {
    fd: OwnedFd,
    wait: Wait,
    nearness: Nearness,
}

impl Listener {
    pub(super) fn new(fd: OwnedFd, wait: Wait) -> Self {
        // SAFETY: the argument is a number. A kernel that does not know it wakes callers as it always did.
        unsafe { libc::ioctl(fd.as_raw_fd(), SET_FLAGS, SYNC_WAKE_UP) };
        Self { fd, wait, nearness: Nearness::default() }
    }

    pub(super) fn wait(&self) -> Wait {
        self.wait
    }

    /// Takes one call; nothing when its caller has gone meanwhile.
    pub(super) fn receive(&self) -> Kernel<Option<Notification>> {
        loop {
            // SAFETY: all-zero is a valid value; the kernel insists on it.
            let mut call: libc::seccomp_notif = unsafe { std::mem::zeroed() };
            // SAFETY: `call` is a valid place for the result, of the size that the request tells.
            let result = unsafe { libc::ioctl(self.fd.as_raw_fd(), RECEIVE, &raw mut call) };
            match check(result.into()) {
                Ok(_) => {
                    let (nr, args) = (call.data.nr.cast_unsigned(), call.data.args);
                    return Ok(Some(Notification { id: call.id, pid: call.pid, nr, args }));
                }
                Err(libc::ENOENT) => return Ok(None),
                Err(libc::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Whether no process is under the filter any more.
    pub(super) fn is_over(&self) -> bool {
        let mut wait = libc::pollfd { fd: self.fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid entry.
        let ready = unsafe { libc::poll(&raw mut wait, 1, 0) };
        ready > 0 && wait.revents & libc::POLLIN == 0 && wait.revents & libc::POLLHUP != 0
    }

    /// Whether the caller still waits.
    pub(super) fn is_valid(&self, id: u64) -> bool {
        // SAFETY: the kernel reads one u64.
        let result = unsafe { libc::ioctl(self.fd.as_raw_fd(), ID_VALID, &raw const id) };
        result == 0
    }

    /// Answers. Gives the answer back when nobody heard it: the caller was interrupted and will come again, or is dead.
    pub(super) fn conclude(&self, call: &Notification, answer: Answer) -> Option<Answer> {
        let id = call.id;
        match answer {
            Answer::Delegated => None,
            Answer::Done => self.unheard(self.send(id, 0, 0), Answer::Done),
            Answer::Errno(number) => {
                // What an interrupted caller would be told again is found out again.
                let _ = self.send(id, 0, -number);
                None
            }
            Answer::Descriptor(opened) => self.descriptor(call, opened),
        }
    }

    fn unheard(&self, sent: Kernel<()>, answer: Answer) -> Option<Answer> {
        (sent == Err(libc::ENOENT)).then_some(answer)
    }

    /// Where others notice that a file is open and signals cannot interrupt the caller, its descriptor is made first, ours is closed, and then it
    /// goes on: were ours still open, the caller's exec of a file that it has just written would fail with ETXTBSY, and a FIFO that it
    /// has closed would still have its other end. Elsewhere making the descriptor and going on is one step, so that an
    /// interrupted caller has none that it does not know of.
    fn descriptor(&self, call: &Notification, opened: Opened) -> Option<Answer> {
        let id = call.id;
        if self.wait == Wait::Interruptible || opened.open == Noticed::No {
            match self.add(call, &opened, ADD_AND_SEND) {
                Ok(_) => return None,
                // Linux before 5.14 does not know the flag.
                Err(libc::EINVAL) => {}
                Err(errno) => return self.not_added(id, opened, errno),
            }
        }
        match self.add(call, &opened, 0) {
            Ok(number) => {
                drop(opened);
                let _ = self.send(id, number, 0);
                None
            }
            Err(errno) => self.not_added(id, opened, errno),
        }
    }

    fn not_added(&self, id: u64, opened: Opened, errno: i32) -> Option<Answer> {
        if errno == libc::ENOENT {
            return Some(Answer::Descriptor(opened));
        }
        drop(opened);
        // EMFILE among others: the caller's own limit.
        let _ = self.send(id, 0, -errno);
        None
    }

    fn add(&self, call: &Notification, opened: &Opened, flags: u32) -> Kernel<i64> {
        let (id, srcfd) = (call.id, opened.file.as_raw_fd().cast_unsigned());
        let add = libc::seccomp_notif_addfd { id, flags, srcfd, newfd: 0, newfd_flags: opened.cloexec };
        // SAFETY: `add` is valid for the size that the request tells; the kernel only reads it.
        let give = || unsafe { libc::ioctl(self.fd.as_raw_fd(), ADD_DESCRIPTOR, &raw const add) };
        loop {
            let number = self.nearness.within(call.pid, give);
            if number >= 0 {
                return Ok(number.into());
            }
            match errno() {
                libc::EINTR => {}
                // The caller went away while the descriptor was on its way.
                libc::ESRCH | libc::EINPROGRESS => return Err(libc::ENOENT),
                errno => return Err(errno),
            }
        }
    }

    /// Lets the kernel perform a call with the caller's own arguments, which may be others by now. Only for what nothing was decided about
    /// ([`super::watch`]).
    pub(super) fn go_on(&self, id: u64) {
        let answer = libc::seccomp_notif_resp { id, val: 0, error: 0, flags: CONTINUE };
        // SAFETY: `answer` is valid for the size that the request tells; the kernel only reads it. It fails where the caller is gone.
        unsafe { libc::ioctl(self.fd.as_raw_fd(), SEND, &raw const answer) };
    }

    /// Sends a value, or a negative error number.
    fn send(&self, id: u64, val: i64, error: i32) -> Kernel<()> {
        let answer = libc::seccomp_notif_resp { id, val, error, flags: 0 };
        // SAFETY: `answer` is valid for the size that the request tells; the kernel only reads it.
        let result = unsafe { libc::ioctl(self.fd.as_raw_fd(), SEND, &raw const answer) };
        check(result.into()).map(drop)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
