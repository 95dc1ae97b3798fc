//! The caller's terminal: raw while the command's own terminal is relayed, and given back on every way out.
//!
//! Never touches a terminal in which this process is in the background. A panic gives it back too, also where panics abort.
//! Only [`relay`](super::relay) and [`wiring`](super::wiring) call this.

use std::io::IsTerminal;
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Termios, Winsize, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr};

use super::job;

/// Size where no terminal tells one, in rows and columns: what terminals have had since the VT100.
const DEFAULT_SIZE: Winsize = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };

/// How often a process in the background looks whether it has been called: a shell's `fg` need not tell a job that runs. Short
/// beside the time a person takes from there to the first key, and long beside what a look costs.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How the terminal was before it was taken; nothing while it is not taken.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// The terminal that is the caller's standard input, if it is one.
#[derive(Debug)]
pub(super) struct CallerTerminal {
    exists: bool,
    is_taken: bool,
}

impl CallerTerminal {
    /// Nothing is changed yet.
    pub(super) fn new() -> Self {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let next = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                next(panic);
            }));
        });
        Self { exists: std::io::stdin().is_terminal(), is_taken: false }
    }

    /// Whether what is typed may be read: standard input is no terminal, or this process holds it.
    pub(super) fn is_readable(&self) -> bool {
        !self.exists || self.is_taken
    }

    /// In the background: when it is time for another [`Self::take`].
    pub(super) fn look_again(&self) -> Option<Duration> {
        (!self.is_readable()).then_some(LOOK_AGAIN)
    }

    /// Makes the terminal raw where this process is in the foreground. After a stop, whatever a shell has set meanwhile is
    /// replaced; what is given back at the end is how the terminal was when it was taken.
    pub(super) fn take(&mut self) {
        if !self.exists || !is_foreground() {
            return;
        }
        let Ok(found) = tcgetattr(stdin()) else { return };
        let mut raw = found.clone();
        raw.make_raw();
        BEFORE.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(found);
        self.is_taken = tcsetattr(stdin(), OptionalActions::Drain, &raw).is_ok();
    }

    /// Restores the terminal. In the background its modes are a shell's already.
    pub(super) fn give_back(&mut self) {
        restore();
        self.is_taken = false;
    }
}

impl Drop for CallerTerminal {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// The size of the caller's terminal.
pub(super) fn size() -> Winsize {
    tcgetwinsize(stdout()).or_else(|_| tcgetwinsize(stdin())).unwrap_or(DEFAULT_SIZE)
}

/// Also where nobody can tell: the terminal controls another session, or belongs to a group outside of this PID namespace.
fn is_foreground() -> bool {
    match tcgetpgrp(stdin()) {
        Ok(group) => job::is_own_group(group),
        Err(error) => matches!(error, Errno::NOTTY | Errno::OPNOTSUPP),
    }
}

/// Called in a panic as well: waits for no lock.
fn restore() {
    let Ok(mut before) = BEFORE.try_lock() else { return };
    if let Some(before) = before.take()
        && is_foreground()
    {
        let _ = tcsetattr(stdin(), OptionalActions::Drain, &before);
    }
}
