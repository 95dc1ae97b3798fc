//! A sandbox's control group: made by the launcher before the first process, which is born in it, and removed whatever ends first.
//!
//! It is two groups, one in the other: the outer one has the limits, the inner one the processes (`sys::sweeper` says why). A
//! process of its own makes and removes them. Nothing here decides: what is written is the plan's. Called by the launcher, and
//! by the prober, which makes one to see whether it can.

use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::plan;
use crate::sys::sweeper::{INNER, Sweeper, write};

/// Most names tried: another PID namespace's launcher of the same number may have a group in the same place.
const MAX_NAMES: u32 = 64;

/// Most bytes read of a file with events: a few short lines.
const MAX_EVENT_BYTES: u64 = 4096;

/// Why there is no group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// A group cannot be made.
    #[error("cannot make a control group below {below}: {}", reason(*.errno))]
    Make {
        /// Where it should be.
        below: String,
        /// The error number.
        errno: i32,
    },
    /// The group above does not give a controller.
    #[error("cannot enable the controller {controller} in {below}: {}", reason(*.errno))]
    Enable {
        /// The group above.
        below: String,
        /// The controller.
        controller: &'static str,
        /// The error number.
        errno: i32,
    },
    /// A limit cannot be set.
    #[error("cannot write `{text}` to {file} of a control group below {below}: {}", reason(*.errno))]
    Write {
        /// The group above.
        below: String,
        /// The file.
        file: &'static str,
        /// What was written.
        text: String,
        /// The error number.
        errno: i32,
    },
}

fn reason(errno: i32) -> std::io::Error {
    std::io::Error::from_raw_os_error(errno)
}

/// The way into a group.
#[derive(Debug)]
pub struct Door {
    /// Its directory, for a process to be born there.
    pub directory: OwnedFd,
    /// Its list of processes, for one that could not be.
    pub processes: OwnedFd,
}

/// What a group has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Events {
    /// Processes that the kernel has ended, for the group had no more memory.
    pub memory_kills: u64,
    /// Processes that were not made, for the group had as many as it may.
    pub refused_processes: u64,
}

/// A control group. Dropping it ends what is in it and removes it.
#[derive(Debug)]
pub struct Group {
    sweeper: Sweeper,
}

impl Group {
    /// Makes a group with the plan's limits, and nothing in it.
    ///
    /// # Errors
    /// [`GroupError`]; nothing is left then.
    pub fn make(plan: &plan::Group) -> Result<Self, GroupError> {
        let below = || plan.below.clone();
        for controller in &plan.enable {
            let controller = controller.name();
            enable(&plan.below, controller).map_err(|errno| GroupError::Enable {
                below: below(),
                controller,
                errno,
            })?;
        }
        let group = Self::bare(&plan.below).map_err(|errno| GroupError::Make { below: below(), errno })?;
        for plan::Setting { file, text } in plan.settings() {
            if let Err(errno) = group.set(file, &text) {
                return Err(GroupError::Write { below: below(), file, text, errno });
            }
        }
        Ok(group)
    }

    /// Makes a group without any limit.
    pub(crate) fn bare(below: &str) -> Result<Self, i32> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let directory = CString::new(below).map_err(|_| libc::EINVAL)?;
        for _ in 0..MAX_NAMES {
            let name = format!("weir-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
            match Sweeper::start(&directory, &name) {
                Err(libc::EEXIST) => {}
                Err(errno) => return Err(errno),
                Ok(sweeper) => {
                    sweeper.make_inner()?;
                    let group = Self { sweeper };
                    // Nobody makes groups below the inner one; they would keep it from being removed.
                    group.set("cgroup.max.descendants", "1")?;
                    return Ok(group);
                }
            }
        }
        Err(libc::EEXIST)
    }

    fn set(&self, file: &str, text: &str) -> Result<(), i32> {
        let file = self.sweeper.open(file, libc::O_WRONLY)?;
        write(file.as_fd(), text)
    }

    /// The way in.
    ///
    /// # Errors
    /// open(2)'s.
    pub fn door(&self) -> std::io::Result<Door> {
        let open = |path: &str, flags| self.sweeper.open(path, flags).map_err(reason);
        Ok(Door {
            directory: open(INNER, libc::O_PATH | libc::O_DIRECTORY)?,
            processes: open(&format!("{INNER}/cgroup.procs"), libc::O_WRONLY)?,
        })
    }

    /// Where its processes are, below the group above.
    pub(crate) fn inner(&self) -> String {
        format!("{}/{INNER}", self.sweeper.name())
    }

    /// Whether everything in it can be ended at once.
    pub(crate) fn can_end(&self) -> Result<(), i32> {
        self.sweeper.open("cgroup.kill", libc::O_WRONLY).map(drop)
    }

    /// Ends everything in it at once, where the kernel can (Linux 5.14).
    pub fn end(&self) {
        self.sweeper.end();
    }

    /// Lets it go while something is left in it that the kernel does not end: it is removed when that has ended.
    pub fn leave(self) {
        self.sweeper.leave();
    }

    /// What it has seen so far.
    #[must_use]
    pub fn events(&self) -> Events {
        Events {
            memory_kills: self.event("memory.events", "oom_kill"),
            refused_processes: self.event("pids.events", "max"),
        }
    }

    fn event(&self, file: &str, key: &str) -> u64 {
        use std::io::Read as _;
        let mut text = String::new();
        if let Ok(file) = self.sweeper.open(file, libc::O_RDONLY) {
            let _ = std::fs::File::from(file).take(MAX_EVENT_BYTES).read_to_string(&mut text);
        }
        count(&text, key)
    }

    /// The number of the process that removes it, which is no part of the sandbox.
    #[must_use]
    pub const fn sweeper(&self) -> i32 {
        self.sweeper.process()
    }
}

/// One count of a file with one key and one number a line.
fn count(text: &str, key: &str) -> u64 {
    let mut fields = text.lines().filter_map(|line| line.split_once(' '));
    let value = fields.find(|(name, _)| *name == key).map(|(_, value)| value);
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

fn enable(below: &str, controller: &str) -> Result<(), i32> {
    let written = std::fs::write(format!("{below}/cgroup.subtree_control"), format!("+{controller}"));
    written.map_err(|error| error.raw_os_error().unwrap_or(libc::EIO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_by_their_whole_name() {
        let text = "low 0\nhigh 0\nmax 31\noom 2\noom_kill 3\noom_group_kill 1\n";
        let cases = [("max", 31), ("oom", 2), ("oom_kill", 3), ("kill", 0), ("missing", 0)];
        for (key, expect) in cases {
            assert_eq!(count(text, key), expect, "{key}");
        }
        assert_eq!(count("max many\n", "max"), 0);
    }

    /// Nothing but a directory of the version 2 hierarchy is taken, so that nothing else is ever made or removed.
    #[test]
    fn a_group_is_made_in_the_hierarchy_only() {
        let elsewhere = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let below = elsewhere.path().to_string_lossy().into_owned();
        let plan = plan::Group {
            below: below.clone(),
            enable: Vec::new(),
            limits: Vec::new(),
            swap: plan::Swap::Absent,
        };
        let made = Group::make(&plan).map(|_| ());
        assert_eq!(made, Err(GroupError::Make { below, errno: libc::ENOTSUP }));
        assert_eq!(std::fs::read_dir(elsewhere.path()).map(Iterator::count).ok(), Some(0));
    }
}
