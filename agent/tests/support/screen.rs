//! A terminal with a program on it, and a person before it who waits for what appears.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// How long a person waits before something is wrong. Nothing takes this long where all is well.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Screen {
    keyboard: File,
    child: Child,
    seen: Vec<u8>,
}

impl Screen {
    /// Starts the program with the terminal as its streams, but for those that the caller has set and `free` spares, leading a session of its own.
    pub(crate) fn start(mut command: Command, free: [bool; 3]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let terminal = rustix::fs::open(name, flags, Mode::empty()).unwrap();
        set_size(&master, 30, 90);
        let stream = || terminal.try_clone().unwrap();
        if free[0] {
            command.stdin(stream());
        }
        if free[1] {
            command.stdout(stream());
        }
        if free[2] {
            command.stderr(stream());
        }
        let lead = move || {
            rustix::process::setsid()?;
            Ok(rustix::process::ioctl_tiocsctty(&terminal)?)
        };
        // SAFETY: between fork and exec the closure makes two system calls, on a descriptor that it owns; it allocates nothing.
        unsafe { command.pre_exec(lead) };
        let child = command.spawn().unwrap();
        Self { keyboard: master.into(), child, seen: Vec::new() }
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    pub(crate) fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until `text` has appeared since the last call, and returns all up to it.
    pub(crate) fn sees(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let at = self.seen.windows(text.len()).position(|window| window == text.as_bytes());
            if let Some(at) = at {
                let seen = self.seen.drain(..at + text.len()).collect::<Vec<_>>();
                return String::from_utf8_lossy(&seen).into_owned();
            }
            assert!(self.read(deadline), "`{text}` did not appear: {}", String::from_utf8_lossy(&self.seen));
        }
    }

    /// Waits for the program's end and returns its status and what has appeared since.
    pub(crate) fn ends(mut self) -> (ExitStatus, Vec<u8>) {
        let deadline = Instant::now() + PATIENCE;
        while self.read(deadline) {}
        assert!(Instant::now() < deadline, "no end: {}", String::from_utf8_lossy(&self.seen));
        (self.child.wait().unwrap(), self.seen)
    }

    pub(crate) fn resizes(&self, rows: u16, columns: u16) {
        set_size(&self.keyboard, rows, columns);
    }

    /// Whether the terminal edits lines, echoes and turns keys into signals, as it did at first.
    pub(crate) fn is_cooked(&self) -> bool {
        let cooked = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        tcgetattr(&self.keyboard).unwrap().local_modes.contains(cooked)
    }

    /// Reads once; false at the end of the terminal or of patience.
    fn read(&mut self, deadline: Instant) -> bool {
        let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now())).unwrap();
        let mut watched = [PollFd::new(&self.keyboard, PollFlags::IN)];
        let mut chunk = vec![0; 64 << 10];
        match poll(&mut watched, Some(&left)) {
            Ok(1) => match self.keyboard.read(&mut chunk) {
                Ok(0) | Err(_) => false,
                Ok(count) => {
                    self.seen.extend_from_slice(&chunk[..count]);
                    true
                }
            },
            Ok(_) => false,
            Err(error) => error == rustix::io::Errno::INTR,
        }
    }
}

fn set_size(terminal: impl std::os::fd::AsFd, rows: u16, columns: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).unwrap();
}
