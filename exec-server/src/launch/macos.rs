//! The launcher on macOS: carries out the plan of `sandbox-macos`, and ends what it has started, for want of a PID namespace.
//!
//! ```text
//! launcher (leads a session)
//!  ├─ server part (same session)
//!  ├─ /usr/bin/log (same session)        tells of denials
//!  └─ command (same session, a group of its own), under /usr/bin/sandbox-exec
//! ```
//!
//! Whoever else is in the session is the run's. Type-checked, and never run on a Mac (docs/MACOS.md).

pub mod launcher;

mod begin;
mod child;
mod denials;
mod holding;
mod reaper;
mod running;
mod sys;

pub use holding::held_here;

/// Ends whatever a launcher that is gone has left in this process's session, but this process.
pub(crate) fn end_session() {
    reaper::end_session();
}
