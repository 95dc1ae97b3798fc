//! Denials of one run, from the system's log.
//!
//! The program that reads the log is started before the command and never waited for: the log decides nothing, and what it does
//! not tell in time is not told (`denials-from-the-log` of the declared list).

use std::io::Read as _;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::SystemTime;

use weir_protocol::Policy;
use weir_protocol::audit::{since_1970_ms, time};
use weir_protocol::denial::Ledger;
use weir_sandbox_macos::RunTag;
use weir_sandbox_macos::launch::denial::{LOG, Reader, stream_arguments};

use super::sys;

/// Bytes read at once.
const READ_BYTES: usize = 16 << 10;

/// The program that reads the log.
#[derive(Debug)]
pub(super) struct Denials {
    program: Child,
    /// Nothing once it has ended.
    output: Option<ChildStdout>,
    reader: Reader,
}

impl Denials {
    /// Begins to follow. Where that cannot be, nothing is told: the log is not everybody's.
    pub(super) fn follow(tag: &RunTag) -> Option<Self> {
        let mut program = Command::new(LOG)
            .args(stream_arguments(tag).iter().skip(1))
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .ok()?;
        let output = program.stdout.take();
        if let Some(output) = &output {
            let _ = rustix::io::ioctl_fionbio(output, true);
        }
        Some(Self { program, output, reader: Reader::new(tag.clone()) })
    }

    pub(super) fn pid(&self) -> Option<i32> {
        self.program.id().try_into().ok()
    }

    /// Readable when something was told.
    pub(super) fn output(&self) -> Option<BorrowedFd<'_>> {
        self.output.as_ref().map(|output| output.as_fd())
    }

    /// Reads what is there.
    pub(super) fn read(&mut self, policy: &Policy) {
        let mut chunk = [0; READ_BYTES];
        while let Some(output) = &mut self.output {
            match output.read(&mut chunk) {
                Ok(count) if count > 0 => {
                    let now = time(since_1970_ms(SystemTime::now()));
                    self.reader.take_in(chunk.get(..count).unwrap_or_default(), policy, &now);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                _ => self.output = None,
            }
        }
    }

    /// Ends the program, and gives everything that it has told.
    pub(super) fn end(mut self, policy: &Policy) -> Ledger {
        if let Some(pid) = self.pid() {
            let _ = sys::signal(pid, libc::SIGTERM);
        }
        if let Some(output) = &self.output {
            // Its end is what is waited for now.
            let _ = rustix::io::ioctl_fionbio(output, false);
        }
        self.read(policy);
        let _ = self.program.wait();
        self.reader.into_found()
    }
}
