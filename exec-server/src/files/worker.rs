//! The worker's life inside its sandbox: one call after another until nobody asks any more.
//!
//! It begins on a copy of the launcher's memory with nothing open but its pipes. It must never hold more than one call's bounded
//! memory, and never anything of a call when that is answered.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;

use rustix::fs::{FileType, Mode, OFlags};
use serde::Serialize;
use weir_protocol::method::file::Ask;
use weir_protocol::policy::{Operation, Request, RuleRef};
use weir_protocol::{AbsPath, Policy};

use super::link::Link;
use super::{Fault, Outcome, Told, change, copy, failure, find, list, patch, procfs, read, search};

/// Serves the calls on standard input; the exit code.
pub(crate) fn run() -> i32 {
    match serve(Link::standard()) {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

fn serve(mut link: Link) -> io::Result<()> {
    let Some(policy) = link.next()? else { return Ok(()) };
    let mut worker = Worker { policy: serde_json::from_slice(&policy)?, link };
    drop(policy);
    while let Some(payload) = worker.link.next()? {
        if payload.is_empty() {
            // Meant to call off what was answered in the meantime.
            continue;
        }
        let told = carry_out(serde_json::from_slice(&payload)?, &worker)?;
        worker.link.say(&told)?;
    }
    Ok(())
}

/// What a call is carried out with.
#[derive(Debug)]
pub(super) struct Worker {
    link: Link,
    /// What the sandbox was made to hold. It holds what was there when it was made; see [`Worker::check_late`].
    policy: Policy,
}

/// Opens a regular file. Whatever else it is, opening it waits for nobody and has no effect.
fn open_regular(path: &AbsPath, flags: OFlags) -> Result<File, Fault> {
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path.as_path(), flags, Mode::from_bits_truncate(0o666)) {
        // A pipe without a reader, a socket, a device that is not there.
        Err(rustix::io::Errno::NXIO) => return Err(Fault::Special),
        opened => opened?,
    };
    match FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) {
        FileType::RegularFile if procfs::is_of_a_process(&file) => Err(Fault::OfAProcess),
        FileType::RegularFile => Ok(file.into()),
        FileType::Directory => Err(Fault::System(libc::EISDIR)),
        _ => Err(Fault::Special),
    }
}

impl Worker {
    /// # Errors
    /// [`Fault::CalledOff`] where nobody waits for the call any more.
    pub(super) fn check(&self) -> Result<(), Fault> {
        self.link.check()
    }

    /// Opens a regular file that is there.
    pub(super) fn open(&self, path: &AbsPath, flags: OFlags) -> Result<File, Fault> {
        let file = open_regular(path, flags)?;
        let writes = !(flags & (OFlags::WRONLY | OFlags::RDWR)).is_empty();
        let operation = if writes { Operation::Write } else { Operation::Read };
        // The name of what was opened, whatever the path leads to by now.
        let opened = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok();
        let opened = opened.and_then(|opened| AbsPath::from_host(&opened));
        self.check_late(&opened.unwrap_or_else(|| super::real(path)), operation)?;
        Ok(file)
    }

    /// Opens a regular file, and makes it where there is none.
    pub(super) fn make(&self, path: &AbsPath, flags: OFlags) -> Result<File, Fault> {
        open_regular(path, flags | OFlags::CREATE)
    }

    /// A name that is to go.
    pub(super) fn check_name(&self, path: &AbsPath) -> Result<(), Fault> {
        let directory = path.parent().map(|parent| super::real(&parent));
        let name = path.file_name().unwrap_or_default();
        let real = directory.and_then(|directory| directory.join(name).ok());
        match fs::symlink_metadata(path.as_path()) {
            Ok(found) if found.is_file() => self.check_late(real.as_ref().unwrap_or(path), Operation::Write),
            _ => Ok(()),
        }
    }

    /// What has appeared since the sandbox was made, or has taken another's place by a rename, is as closed here as it would be to a
    /// command that starts now. The kernel decides about everything else: places without a rule are stand-ins or are not there.
    fn check_late(&self, real: &AbsPath, operation: Operation) -> Result<(), Fault> {
        let verdict = self.policy.verdict(&Request::Path { path: real, operation });
        let by_rule = matches!(verdict.rule, RuleRef::Glob(_) | RuleRef::Path(_));
        if !verdict.allowed && by_rule && verdict.conditions.stand_in.is_none() {
            return Err(Fault::System(libc::EACCES));
        }
        Ok(())
    }
}

fn carry_out(ask: Ask, worker: &Worker) -> io::Result<Told> {
    // Files are looked at again when they are opened; names are not.
    if let Some(path) = ask.paths().into_iter().find(|path| procfs::leads_to_a_process(path)) {
        let operation = if ask.only_looks() { Operation::Read } else { Operation::Write };
        return Ok(Told::Failed(failure(Fault::OfAProcess, path, operation)));
    }
    match ask {
        Ask::Read(ask) => match read::read(&ask, worker) {
            Ok((content, bytes)) => {
                worker.link.content(0, &bytes)?;
                told(Ok(content))
            }
            Err(failure) => Ok(Told::Failed(failure)),
        },
        Ask::Write(ask) => told(change::write(&ask, worker)),
        Ask::Patch(ask) => told(patch::patch(&ask, worker)),
        Ask::List(ask) => told(list::list(&ask, worker)),
        Ask::Stat(ask) => told(list::stat(&ask)),
        Ask::Copy(ask) => told(copy::copy(&ask, worker)),
        Ask::Move(ask) => told(copy::rename(&ask, worker)),
        Ask::Remove(ask) => told(change::remove(&ask, worker)),
        Ask::Glob(ask) => told(find::glob(&ask, worker)),
        Ask::Search(ask) => told(search::search(&ask, worker)),
    }
}

fn told<T: Serialize>(outcome: Outcome<T>) -> io::Result<Told> {
    Ok(match outcome {
        Ok(result) => Told::Done(serde_json::to_value(result)?),
        Err(failure) => Told::Failed(failure),
    })
}

/// The most that is told: what was asked for, within a bound.
pub(super) fn limit(asked: Option<u32>, most: u32) -> usize {
    usize::try_from(asked.unwrap_or(most).min(most)).unwrap_or(usize::MAX)
}

/// So much is more than is taken.
pub(super) fn too_large(found: u64, what: &str, most: u64) -> Fault {
    Fault::TooLarge(format!("{found} {what}; one call takes at most {most}"))
}

#[cfg(test)]
mod tests;
