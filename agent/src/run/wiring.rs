//! Where the command's input and output go: the caller's own descriptors, or a terminal of the sandbox's own.
//!
//! Only [`run`](super::run) and the command line call this.

use std::io::IsTerminal;
use std::os::fd::BorrowedFd;

use rustix::io::fcntl_getfd;
use rustix::stdio::{stderr, stdin, stdout};
use weir_protocol::method::process::Stdio;

/// Whether the command gets a terminal of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Tty {
    /// Where standard input and output are terminals
    Auto,
    /// In any case, for all three streams
    Always,
    /// In no case: the command gets the caller's descriptors
    Never,
}

/// The three streams of a command.
#[derive(Debug)]
pub struct Wiring {
    has_terminal: bool,
    /// The caller's own that travel along.
    own: [bool; 3],
    travelling: Vec<BorrowedFd<'static>>,
}

impl Wiring {
    /// Looks at the caller's standard input, output and error, and changes nothing.
    #[must_use]
    pub fn choose(tty: Tty) -> Self {
        let both = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        let has_terminal = tty == Tty::Always || tty == Tty::Auto && both;
        let streams = [stdin(), stdout(), stderr()];
        let own = match (has_terminal, tty) {
            // The runtime of this program opens /dev/null for what the caller has closed, so this is almost always all.
            (false, _) => streams.map(|stream| fcntl_getfd(stream).is_ok()),
            (true, Tty::Auto) => [false, false, !std::io::stderr().is_terminal()],
            (true, _) => [false; 3],
        };
        let travelling = streams.into_iter().zip(own).filter(|(_, own)| *own).map(|(stream, _)| stream);
        Self { has_terminal, own, travelling: travelling.collect() }
    }

    /// The same with standard error in the place of standard output, where that is not a terminal of the command's own.
    #[must_use]
    pub fn leaving_output(mut self) -> Self {
        if !self.has_terminal {
            self.own[1] = self.own[2];
            let streams = [stdin(), stderr(), stderr()].into_iter().zip(self.own);
            self.travelling = streams.filter(|(_, own)| *own).map(|(stream, _)| stream).collect();
        }
        self
    }

    /// What the server is told.
    #[must_use]
    pub fn stdio(&self) -> Stdio {
        if !self.has_terminal {
            return Stdio::Descriptors { open: self.own };
        }
        Stdio::Terminal { size: super::terminal_size(), own: self.own }
    }

    pub(super) fn has_terminal(&self) -> bool {
        self.has_terminal
    }

    pub(super) fn travelling(&self) -> &[BorrowedFd<'static>] {
        &self.travelling
    }
}
