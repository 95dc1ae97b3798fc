//! Descendants of this process, where no PID namespace bounds them: found through /proc, ended through descriptors, so that a
//! number that was given to another process in between is never hit.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use super::abi::check;

/// Ends every process that descends from this one, and reaps those that are its children; `spared` and what descends from it
/// stay. Returns when there is none. This process must be the reaper of its descendants (prctl(2), `PR_SET_CHILD_SUBREAPER`).
pub(crate) fn end_all(spared: Option<libc::pid_t>) {
    // SAFETY: asks for the process's own id.
    let own = unsafe { libc::getpid() };
    loop {
        let family = Family::read(spared);
        for process in family.below(own) {
            kill(process, own, spared);
        }
        let children = Family::read(spared).children(own);
        if children.is_empty() {
            return;
        }
        for child in children {
            // SAFETY: waits for a child of this process; no status is asked for.
            unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
        }
    }
}

fn kill(process: libc::pid_t, own: libc::pid_t, spared: Option<libc::pid_t>) {
    let Some(handle) = open(process) else { return };
    // The number may have been given away since the list was read: it must still descend from here.
    if Family::read(spared).below(own).contains(&process) {
        let handle = handle.as_raw_fd();
        let none = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: a descriptor that is open, and no further information.
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, handle, libc::SIGKILL, none, 0) };
    }
}

fn open(process: libc::pid_t) -> Option<OwnedFd> {
    // SAFETY: makes a descriptor.
    let handle = check(unsafe { libc::syscall(libc::SYS_pidfd_open, process, 0) }).ok()?;
    let handle = libc::c_int::try_from(handle).ok()?;
    // SAFETY: the kernel just made this descriptor for us; nothing else knows it.
    Some(unsafe { OwnedFd::from_raw_fd(handle) })
}

/// Who is whose child, at one moment.
struct Family(BTreeMap<libc::pid_t, Vec<libc::pid_t>>);

impl Family {
    fn read(spared: Option<libc::pid_t>) -> Self {
        let mut children: BTreeMap<libc::pid_t, Vec<libc::pid_t>> = BTreeMap::new();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if let Some(parent) = parent(process).filter(|_| Some(process) != spared) {
                children.entry(parent).or_default().push(process);
            }
        }
        Self(children)
    }

    fn children(&self, of: libc::pid_t) -> Vec<libc::pid_t> {
        self.0.get(&of).cloned().unwrap_or_default()
    }

    /// Every process below `root`, parents first.
    fn below(&self, root: libc::pid_t) -> Vec<libc::pid_t> {
        let mut found = Vec::new();
        let mut open = vec![root];
        while let Some(process) = open.pop() {
            let next = self.children(process);
            found.extend(&next);
            open.extend(next);
        }
        found
    }
}

/// The parent of a process (proc_pid_stat(5)).
fn parent(process: libc::pid_t) -> Option<libc::pid_t> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
