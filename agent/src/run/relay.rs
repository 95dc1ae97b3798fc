//! Relays a command's terminal: keys to it, its screen to the caller.
//!
//! Waits for nothing by itself: [`run`](super::run) polls what [`Relay::interests`] names and tells what is ready. A byte that was
//! taken from the command is written or the relay hangs up; none is dropped while somebody reads. Both directions hold at most
//! [`RELAY_BYTES`], so a slow reader slows the command.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::fs::{Mode, OFlags};
use rustix::stdio::{stdin, stdout};
use rustix::termios::{LocalModes, SpecialCodeIndex, tcgetattr, tcsetwinsize};
use signal_hook::consts::{SIGINT, SIGQUIT};

use super::terminal::{CallerTerminal, size};

/// Most bytes on the way in one direction: what a pipe holds.
const RELAY_BYTES: usize = 64 << 10;

/// Which of the three descriptors can be used now: standard input, the command's terminal, standard output.
pub(super) type Ready = [bool; 3];

/// What to wait for, in the order of [`Ready`]; empty flags and `None` mean nothing.
pub(super) type Interests<'relay> = [Option<(BorrowedFd<'relay>, PollFlags)>; 3];

/// The way between the caller's streams and a command's terminal.
pub(super) struct Relay {
    terminal: CallerTerminal,
    master: Option<File>,
    output: File,
    keys: Passage,
    screen: Passage,
    stage: Stage,
    has_input: bool,
    /// Signals that keys on the way to the command stand for.
    pressed: Vec<i32>,
}

/// How far the command's output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The command runs.
    Running,
    /// It runs, but nobody holds its terminal open.
    Silent,
    /// It has ended; what it wrote is still to be read.
    Ending,
    /// All it wrote has been read.
    AtEnd,
}

impl Relay {
    /// Takes the caller's terminal, and sets the size again, which may have changed.
    pub(super) fn new(master: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&master, true)?;
        let mut relay = Self {
            terminal: CallerTerminal::new(),
            master: Some(master.into()),
            output: writer(stdout())?,
            keys: Passage::default(),
            screen: Passage::default(),
            stage: Stage::Running,
            has_input: true,
            pressed: Vec::new(),
        };
        relay.resize()?;
        relay.take_terminal();
        Ok(relay)
    }

    /// Gives the command's terminal the size of the caller's.
    pub(super) fn resize(&self) -> io::Result<()> {
        match &self.master {
            Some(master) => Ok(tcsetwinsize(master, size())?),
            None => Ok(()),
        }
    }

    pub(super) fn take_terminal(&mut self) {
        self.terminal.take();
    }

    pub(super) fn give_terminal_back(&mut self) {
        self.terminal.give_back();
    }

    /// The command has ended: what remains is to read what it wrote.
    pub(super) fn finish(&mut self) {
        self.stage = if self.master.is_some() { Stage::Ending } else { Stage::AtEnd };
        self.has_input = false;
        self.keys.clear();
    }

    /// Closes the command's terminal: what was on it is lost, and the kernel tells the command by `SIGHUP`.
    pub(super) fn hang_up(&mut self) {
        self.master = None;
        self.stage = Stage::AtEnd;
        self.has_input = false;
        self.keys.clear();
        self.screen.clear();
    }

    /// Whether every byte that the command wrote has been written to the caller.
    pub(super) fn is_drained(&self) -> bool {
        self.stage == Stage::AtEnd && self.screen.is_empty()
    }

    pub(super) fn interests(&self) -> Interests<'_> {
        let when = |condition: bool, flags| if condition { flags } else { PollFlags::empty() };
        let reads = self.has_input && self.keys.is_empty();
        let shows = self.screen.is_empty() && matches!(self.stage, Stage::Running | Stage::Ending);
        let of_master = when(shows, PollFlags::IN) | when(!self.keys.is_empty(), PollFlags::OUT);
        [
            Some((stdin(), when(reads && self.terminal.is_readable(), PollFlags::IN))),
            self.master.as_ref().map(|master| (master.as_fd(), of_master)),
            Some((self.output.as_fd(), when(!self.screen.is_empty(), PollFlags::OUT))),
        ]
    }

    /// The longest that [`Self::turn`] may wait although nothing is ready.
    pub(super) fn look_again(&self) -> Option<Duration> {
        self.terminal.look_again().filter(|_| self.has_input)
    }

    /// Moves what can be moved.
    pub(super) fn turn(&mut self, [input, master, output]: Ready) {
        if !self.terminal.is_readable() {
            // A shell may have put this process into the foreground without a word.
            self.take_terminal();
        } else if input {
            self.read_keys();
        }
        if input || master {
            self.write_keys();
        }
        if master && self.screen.is_empty() {
            self.read_screen();
        }
        if master || output {
            self.write_screen();
        }
    }

    /// Shows what the command has written so far, as far as it goes without waiting.
    pub(super) fn catch_up(&mut self) {
        while self.screen.is_empty() && self.master.is_some() {
            self.read_screen();
            if self.screen.is_empty() {
                return;
            }
            self.write_screen();
        }
    }

    /// Whether a key of this signal was passed to the command's terminal.
    pub(super) fn has_passed(&self, signal: i32) -> bool {
        self.pressed.contains(&signal)
    }

    fn read_keys(&mut self) {
        let Self { keys, master, pressed, .. } = self;
        let read = |bytes: &mut [u8]| {
            let count = rustix::io::read(stdin(), &mut *bytes)?;
            let meant = master.as_ref().map(|master| signals_of(master, &bytes[..count]));
            pressed.extend(meant.into_iter().flatten());
            Ok(count)
        };
        match keys.fill(read) {
            Step::Moved | Step::Later => {}
            Step::Ended => {
                self.has_input = false;
                if !io::stdin().is_terminal() {
                    self.end_input();
                }
            }
        }
    }

    /// Tells the command that a file or pipe has ended, as a person would: by the terminal's end-of-file character. Twice, for
    /// on a line that has begun the first one only ends the line.
    fn end_input(&mut self) {
        let Some(Ok(modes)) = self.master.as_ref().map(tcgetattr) else { return };
        if modes.local_modes.contains(LocalModes::ICANON) {
            let end = [modes.special_codes[SpecialCodeIndex::VEOF]; 2];
            self.keys.fill(|mut bytes| bytes.write(&end));
        }
    }

    fn write_keys(&mut self) {
        let Some(mut master) = self.master.as_ref() else { return };
        if self.keys.empty(|bytes| master.write(bytes)) == Step::Ended {
            self.keys.clear();
        }
    }

    fn read_screen(&mut self) {
        let Some(mut master) = self.master.as_ref() else { return };
        if self.screen.fill(|bytes| master.read(bytes)) == Step::Ended {
            self.stage = if self.stage == Stage::Ending { Stage::AtEnd } else { Stage::Silent };
        }
    }

    /// Nobody reads any more: the same as a terminal that goes away.
    fn write_screen(&mut self) {
        if self.screen.empty(|bytes| self.output.write(bytes)) == Step::Ended {
            self.hang_up();
        }
    }
}

/// Signals for which these bytes stand at a command's terminal, as that is now (termios(3), `ISIG`).
fn signals_of(master: &File, bytes: &[u8]) -> Vec<i32> {
    let Ok(modes) = tcgetattr(master) else { return Vec::new() };
    if !modes.local_modes.contains(LocalModes::ISIG) {
        return Vec::new();
    }
    let keys = [(SpecialCodeIndex::VINTR, SIGINT), (SpecialCodeIndex::VQUIT, SIGQUIT)];
    let is_there = |key| bytes.contains(&modes.special_codes[key]);
    keys.into_iter().filter(|(key, _)| is_there(*key)).map(|(_, signal)| signal).collect()
}

/// Standard output or error, in a way that a write of more than fits does not wait: opened once more, for its flags are shared with the
/// caller. Where it cannot be opened again a write may wait, which only delays signals.
pub(super) fn writer(stream: BorrowedFd<'static>) -> io::Result<File> {
    let same = File::from(stream.try_clone_to_owned()?);
    if same.is_terminal() || same.metadata()?.file_type().is_fifo() {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let name = format!("/proc/self/fd/{}", stream.as_raw_fd());
        if let Ok(again) = rustix::fs::open(name, flags, Mode::empty()) {
            return Ok(again.into());
        }
    }
    Ok(same)
}

/// What became of a read or a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Moved,
    /// It would wait.
    Later,
    /// End of file, or the other side has gone.
    Ended,
}

/// Bytes on the way: those from `start` to `end` are to be written.
#[derive(Debug, Default)]
struct Passage {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Passage {
    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Reads once into the empty passage.
    fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> Step {
        self.bytes.resize(RELAY_BYTES, 0);
        let outcome = read(&mut self.bytes);
        (self.start, self.end) = (0, *outcome.as_ref().unwrap_or(&0));
        step(&outcome)
    }

    /// Writes once.
    fn empty(&mut self, write: impl FnOnce(&[u8]) -> io::Result<usize>) -> Step {
        if self.is_empty() {
            return Step::Later;
        }
        let outcome = write(self.bytes.get(self.start..self.end).unwrap_or_default());
        self.start += outcome.as_ref().unwrap_or(&0);
        step(&outcome)
    }
}

pub(super) fn step(outcome: &io::Result<usize>) -> Step {
    match outcome {
        Ok(0) => Step::Ended,
        Ok(_) => Step::Moved,
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Step::Later,
            _ => Step::Ended,
        },
    }
}
