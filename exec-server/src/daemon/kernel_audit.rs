//! The kernel's audit, which tells what Landlock refuses: switched on where the administrator wants that, and left as it was found.
//!
//! It is a setting of the whole machine: with it on, the kernel writes records of other things too, to a daemon or to its own log. So
//! nothing is switched without the option. That this server has switched it on stands in a file in the state directory until it has
//! switched it off again: one that was killed leaves the word to its next start.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use weir_sandbox_linux::audit::{status, switch};

use super::{DaemonError, complain};

/// Says that this server has switched auditing on.
const SWITCHED: &str = "kernel-audit-switched-on";

/// What is done with the kernel's audit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum KernelAudit {
    /// Nothing.
    #[default]
    AsFound,
    /// It is switched on while this server runs.
    Enable,
}

/// What is to be undone.
#[derive(Debug)]
pub(super) struct Switched(Option<PathBuf>);

impl KernelAudit {
    pub(super) fn read(text: &str) -> Result<Self, DaemonError> {
        match text {
            "as-found" => Ok(Self::AsFound),
            "enable" => Ok(Self::Enable),
            _ => Err(DaemonError::Argument(format!("`--kernel-audit {text}`: `enable` or `as-found`"))),
        }
    }

    /// Switches it on where it is wanted and off; undoes what an earlier server has left.
    pub(super) fn begin(self, state: &Path) -> io::Result<Switched> {
        let (word, failed) = (state.join(SWITCHED), io::Error::from_raw_os_error);
        let left = word.exists();
        if self == Self::AsFound {
            Switched(left.then_some(word)).end();
            return Ok(Switched(None));
        }
        let found = status().map_err(failed)?;
        if found.enabled {
            return Ok(Switched(left.then_some(word)));
        }
        fs::create_dir_all(state)?;
        fs::write(&word, "")?;
        switch(true).map_err(failed)?;
        Ok(Switched(Some(word)))
    }
}

impl Switched {
    /// Switches it off again, unless somebody else has come to need it: a daemon that takes records, or one who has locked it.
    pub(super) fn end(self) {
        let Some(word) = self.0 else { return };
        let is_ours = status().is_ok_and(|found| found.enabled && !found.locked && !found.has_daemon);
        let restored = if is_ours { switch(false) } else { Ok(()) };
        match restored {
            Ok(()) => drop(fs::remove_file(word)),
            Err(errno) => {
                let error = io::Error::from_raw_os_error(errno);
                complain(&format!("the kernel's audit could not be switched off again: {error}"));
            }
        }
    }
}
