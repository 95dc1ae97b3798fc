//! The caller of a trapped call, seen through its `/proc` directory, and its memory.

use std::cell::{Cell, OnceCell};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::rc::Rc;

use super::super::abi::errno;
use super::call::{self, Kernel};
use super::listener::{Listener, Notification};
use super::resolve::World;
use crate::broker::MAX_PATH;

/// Memory is mapped in pages of at least this: a read within one cannot fail half way.
const PAGE: u64 = 4_096;
/// How much of a path is read first: most are shorter.
const SHORT: usize = 256;
/// How much of `/proc/PID/status` is read: the names, masks and signals come within it.
const STATUS_BYTES: usize = 2_048;
/// What new files may be given when the mask cannot be read: the owner's permissions alone.
const CAUTIOUS_UMASK: u32 = 0o077;

/// A calling thread. Its directory, once opened, stands for this very thread: were it gone and its number taken, every look-up would
/// fail.
#[derive(Debug)]
pub(super) struct Tracee {
    pid: u32,
    call: u64,
    world: Rc<World>,
    listener: Rc<Listener>,
    dir: OnceCell<Rc<OwnedFd>>,
    /// Its file-mode mask, once it was asked for.
    umask: Cell<Option<u32>>,
}

impl Tracee {
    /// The thread that made a call. Whether what is read of its memory is its own is certain only after the notification has been found
    /// valid.
    pub(super) fn new(call: &Notification, world: &Rc<World>, listener: &Rc<Listener>) -> Self {
        let (world, listener) = (Rc::clone(world), Rc::clone(listener));
        Self { pid: call.pid, call: call.id, world, listener, dir: OnceCell::new(), umask: Cell::new(None) }
    }

    /// Its directory: opened by its number when it is first needed, and its own as long as its call waits.
    pub(super) fn dir(&self) -> Kernel<BorrowedFd<'_>> {
        if let Some(dir) = self.dir.get() {
            return Ok(dir.as_fd());
        }
        let dir = call::open_path(self.world.proc(), &number(self.pid), libc::O_DIRECTORY)?;
        if !self.listener.is_valid(self.call) {
            return Err(libc::ESRCH);
        }
        let dir = Rc::new(dir);
        self.world.remember_caller(self.pid, &dir);
        Ok(self.dir.get_or_init(|| dir).as_fd())
    }

    /// Acts in its directory, which is kept from its last call where no other thread has called since. Was that one of a thread that
    /// has ended, it is empty, and this one's is opened.
    fn within<T>(&self, act: impl Fn(BorrowedFd<'_>) -> Kernel<T>) -> Kernel<T> {
        if let (None, Some(kept)) = (self.dir.get(), self.world.last_caller(self.pid)) {
            match act(kept.as_fd()) {
                Err(libc::ENOENT | libc::ESRCH) => {}
                found => return found,
            }
        }
        act(self.dir()?)
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// The working directory.
    pub(super) fn cwd(&self) -> Kernel<OwnedFd> {
        self.within(|dir| call::open_path(dir, c"cwd", 0))
    }

    /// The root directory.
    pub(super) fn root(&self) -> Kernel<OwnedFd> {
        self.within(|dir| call::open_path(dir, c"root", 0))
    }

    /// What one of its descriptors refers to, as a place.
    pub(super) fn descriptor(&self, fd: i32) -> Kernel<OwnedFd> {
        let fd = u32::try_from(fd).map_err(|_| libc::EBADF)?;
        let name = below("fd/", fd);
        self.within(|dir| call::open_path(dir, &name, 0)).map_err(|errno| match errno {
            libc::ENOENT => libc::EBADF,
            other => other,
        })
    }

    /// A path out of its memory.
    ///
    /// # Errors
    /// EFAULT, ENAMETOOLONG, ENOENT for an empty one, as the calls themselves.
    pub(super) fn path(&self, address: u64) -> Kernel<CString> {
        let mut bytes = [0; MAX_PATH];
        let mut have = 0;
        while have < MAX_PATH {
            let at = address.checked_add(have as u64).ok_or(libc::EFAULT)?;
            let page = usize::try_from(PAGE - at % PAGE).map_err(|_| libc::EFAULT)?;
            let some = if have == 0 { SHORT } else { MAX_PATH };
            let end = MAX_PATH.min(have + page.min(some));
            let read = self.read(at, &mut bytes[have..end])?;
            if let Ok(path) = CStr::from_bytes_until_nul(&bytes[..have + read]) {
                return if path.is_empty() { Err(libc::ENOENT) } else { Ok(path.to_owned()) };
            }
            if read < end - have {
                return Err(libc::EFAULT);
            }
            have = end;
        }
        Err(libc::ENAMETOOLONG)
    }

    /// Bytes out of its memory; less than asked for where it ends.
    pub(super) fn read(&self, address: u64, into: &mut [u8]) -> Kernel<usize> {
        let pid = libc::pid_t::try_from(self.pid).map_err(|_| libc::ESRCH)?;
        let address = usize::try_from(address).map_err(|_| libc::EFAULT)?;
        let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
        let base = std::ptr::without_provenance_mut(address);
        let remote = libc::iovec { iov_base: base, iov_len: into.len() };
        let (local, remote) = (&raw const local, &raw const remote);
        // SAFETY: the kernel writes to `into` only; the other address is looked up in the other process.
        let read = unsafe { libc::process_vm_readv(pid, local, 1, remote, 1, 0) };
        match usize::try_from(read).map_err(|_| errno()) {
            // A filter around this process may refuse the call.
            Err(libc::EPERM | libc::ENOSYS) => self.read_by_file(address, into),
            other => other,
        }
    }

    fn read_by_file(&self, address: usize, into: &mut [u8]) -> Kernel<usize> {
        let file = call::openat(self.dir()?, c"mem", 0).map_err(|_| libc::EPERM)?;
        let offset = libc::off_t::try_from(address).map_err(|_| libc::EFAULT)?;
        // SAFETY: `into` is valid for its length.
        let read = unsafe { libc::pread(file.as_raw_fd(), into.as_mut_ptr().cast(), into.len(), offset) };
        match usize::try_from(read) {
            Ok(0) | Err(_) => Err(libc::EFAULT),
            Ok(read) => Ok(read),
        }
    }

    /// Its file-mode mask.
    pub(super) fn umask(&self) -> u32 {
        let umask = self.umask.get().unwrap_or_else(|| self.read_umask());
        self.umask.set(Some(umask));
        umask
    }

    fn read_umask(&self) -> u32 {
        let status = self.status();
        let field = status.as_ref().and_then(|status| status.field(b"Umask:"));
        field.and_then(|text| u32::from_str_radix(text, 8).ok()).unwrap_or(CAUTIOUS_UMASK)
    }

    /// The longest file that it may make. Nothing where that cannot be read, for then it may have a limit.
    pub(super) fn most_file_bytes(&self) -> u64 {
        let limits = self.file(c"limits").map(Status);
        let field = limits.as_ref().and_then(|limits| limits.field(b"Max file size"));
        match field.and_then(|text| text.split_whitespace().next()) {
            Some("unlimited") => u64::MAX,
            most => most.and_then(|most| most.parse().ok()).unwrap_or(0),
        }
    }

    /// The process that it is a thread of.
    pub(super) fn process(&self) -> Kernel<u32> {
        let status = self.status().ok_or(libc::EPERM)?;
        status.field(b"Tgid:").and_then(|text| text.parse().ok()).ok_or(libc::EPERM)
    }

    /// Whether a signal waits for it that its process neither blocks nor ignores, and how its call would then end.
    pub(super) fn interruption(&self) -> Option<i32> {
        /// `ERESTARTSYS`: the call starts again after the handler if that wants it so. The kernel keeps it from programs as
        /// long as a signal waits.
        const RESTART: i32 = 512;
        let status = self.status()?;
        let mask = |name| status.field(name).and_then(|text| u64::from_str_radix(text, 16).ok()).unwrap_or(0);
        let open = !(mask(b"SigBlk:") | mask(b"SigIgn:"));
        if mask(b"SigPnd:") & open != 0 {
            return Some(RESTART);
        }
        // Another thread may take it meanwhile; then there is none for this one, and the number would show.
        let alone = status.field(b"Threads:") == Some("1");
        (mask(b"ShdPnd:") & open != 0).then_some(if alone { RESTART } else { libc::EINTR })
    }

    fn status(&self) -> Option<Status> {
        let bytes = self.file(c"status")?;
        Some(Status(bytes))
    }

    /// The start of one of its `/proc` files.
    pub(super) fn file(&self, name: &CStr) -> Option<Vec<u8>> {
        let file = self.within(|dir| call::openat(dir, name, 0)).ok()?;
        let mut bytes = vec![0; STATUS_BYTES];
        // SAFETY: `bytes` is valid for its length.
        let read = unsafe { libc::read(file.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) };
        bytes.truncate(usize::try_from(read).ok()?);
        Some(bytes)
    }
}

/// The text of `/proc/PID/status`, or of another file with a name on each line.
struct Status(Vec<u8>);

impl Status {
    fn field(&self, name: &[u8]) -> Option<&str> {
        let line = self.0.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name))?;
        std::str::from_utf8(line).ok().map(str::trim)
    }
}

/// A decimal number as a name.
pub(super) fn number(value: u32) -> CString {
    below("", value)
}

/// A decimal number behind a prefix.
pub(super) fn below(prefix: &str, value: u32) -> CString {
    CString::new(format!("{prefix}{value}")).unwrap_or_default()
}
