//! The agent's own confinement: before its first turn it gives up everything that it does not need, for good and for every thread.
//!
//! It reads what others wrote, a model and whatever that has read, and so it must be of no use to whoever takes it over: it can
//! start no program, reach no files but Weir's own, and connect to no port but its provider's. What it asks the exec-server for is
//! decided there, whatever becomes of this process.
//!
//! Called once, after the connection to the exec-server and the terminal were opened and before anything starts a thread.

mod bounds;
#[cfg(target_os = "linux")]
mod filter;
#[cfg(target_os = "linux")]
mod ruleset;

use std::fmt;
use std::io;

use serde::Serialize;

pub use bounds::Bounds;

/// What the process has given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Confined {
    /// Starting programs, and other calls that an agent has no use for.
    pub programs: Hold,
    /// Files beyond the bounds.
    pub files: Hold,
    /// TCP ports beyond the bounds, and listening.
    pub tcp: Hold,
    /// UDP ports beyond the bounds.
    pub udp: Hold,
    /// Unix sockets beyond the exec-server's.
    pub unix_sockets: Hold,
}

/// Whether the kernel holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Hold {
    /// It does.
    Held {
        /// By what.
        by: &'static str,
    },
    /// It does, and more than was wanted.
    Closed {
        /// What does not work either.
        cost: &'static str,
    },
    /// It does not.
    Open {
        /// What is missing.
        missing: &'static str,
    },
}

/// Why the process is not confined; it must not go on.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// Threads run that would not be confined.
    #[error("{count} threads run; the agent confines itself before it starts any")]
    Threads {
        /// How many.
        count: usize,
    },
    /// It cannot be told how many threads run.
    #[error("cannot tell how many threads run: {0}")]
    Counting(io::Error),
    /// A place that must stay reachable cannot be opened.
    #[error("cannot open {}: {source}", .path.display())]
    Place {
        /// The place.
        path: std::path::PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel refused rules for files and ports.
    #[cfg(target_os = "linux")]
    #[error("the kernel refused the rules for files and ports: {0}")]
    Ruleset(#[from] landlock::RulesetError),
    /// The filter for system calls cannot be made or was refused.
    #[cfg(target_os = "linux")]
    #[error("the filter for system calls cannot be put in force: {0}")]
    Filter(#[from] seccompiler::Error),
    /// The probing thread went away.
    #[error("the thread that tried the confinement went away")]
    Probe,
}

#[cfg(target_os = "linux")]
impl From<seccompiler::BackendError> for ConfineError {
    fn from(error: seccompiler::BackendError) -> Self {
        Self::Filter(error.into())
    }
}

/// Confines this process, which must have one thread.
///
/// # Errors
/// [`ConfineError`]; the process may be confined in part then, and must end. What a kernel is too old for is no error, but is told.
#[cfg(target_os = "linux")]
pub fn confine(bounds: &Bounds) -> Result<Confined, ConfineError> {
    let count = std::fs::read_dir("/proc/self/task").map_err(ConfineError::Counting)?.count();
    if count != 1 {
        return Err(ConfineError::Threads { count });
    }
    confine_thread(bounds)
}

/// Confines this thread and those that it starts.
#[cfg(target_os = "linux")]
fn confine_thread(bounds: &Bounds) -> Result<Confined, ConfineError> {
    let mut confined = ruleset::enforce(bounds)?;
    let unix = match confined.unix_sockets {
        Hold::Held { .. } => filter::Unix::Some,
        Hold::Open { .. } | Hold::Closed { .. } => filter::Unix::None,
    };
    filter::enforce(unix)?;
    if unix == filter::Unix::None {
        confined.unix_sockets =
            Hold::Closed { cost: "a lost connection to the exec-server is not made again" };
    }
    Ok(confined)
}

/// What holds on this host: a thread of its own is confined, and tries.
///
/// # Errors
/// [`ConfineError`].
#[cfg(target_os = "linux")]
pub fn probe(bounds: &Bounds) -> Result<Confined, ConfineError> {
    std::thread::scope(|scope| scope.spawn(|| confine_thread(bounds)).join())
        .map_err(|_| ConfineError::Probe)?
}

/// Confines nothing: this system offers a process no way to give something up without a profile at its start.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn confine(_: &Bounds) -> Result<Confined, ConfineError> {
    Ok(Confined::nothing())
}

/// What holds on this host.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn probe(_: &Bounds) -> Result<Confined, ConfineError> {
    Ok(Confined::nothing())
}

impl Confined {
    #[cfg(not(target_os = "linux"))]
    fn nothing() -> Self {
        let open = || Hold::Open { missing: "Linux" };
        Self { programs: open(), files: open(), tcp: open(), udp: open(), unix_sockets: open() }
    }
}

impl fmt::Display for Confined {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("starts no program", &self.programs),
            ("reaches Weir's own files alone", &self.files),
            ("connects to the provider's port alone", &self.tcp),
            ("sends datagrams to the resolver alone", &self.udp),
            ("speaks to the exec-server alone on this machine", &self.unix_sockets),
        ];
        for (what, hold) in parts {
            match hold {
                Hold::Held { by } => writeln!(out, "  yes  {what} ({by})")?,
                Hold::Closed { cost } => writeln!(out, "  yes  {what}; {cost}")?,
                Hold::Open { missing } => writeln!(out, "  no   {what}: {missing} is missing")?,
            }
        }
        Ok(())
    }
}
