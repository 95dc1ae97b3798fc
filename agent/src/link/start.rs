//! Starts the exec-server, and nothing else: the one place of the agent that makes a process.
//!
//! The program is always the `weir-exec-server` beside this one, never one that a search path or a file names, and it gets
//! no argument that comes from a user, a model or a server. Of this process's descriptors it gets the socket and standard
//! error: everything else that this process opens is close-on-exec. What the caller left open above 2 is the server's to
//! close. One that runs commands is out of reach of the terminal's signals, which are this process's to understand: the
//! embedded one leaves the session itself, one that serves alone gets a process group of its own. Only [`Link`](super::Link)
//! calls this.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use super::LinkError;

/// File name of the exec-server, beside this program.
const SERVER: &str = "weir-exec-server";

/// How the server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Answers on standard output what standard input asks.
    Stdio,
    /// Standard input is a socket, which carries descriptors too; it runs commands.
    Embedded,
    /// Speaks on standard input and output as a running server does, for this process alone.
    Alone,
}

/// Starts the exec-server with one end of a new socket pair and returns it with the other.
pub(super) fn server(manner: Manner) -> Result<(Child, UnixStream), LinkError> {
    let here = std::env::current_exe().map_err(LinkError::Here)?;
    let path = here.with_file_name(SERVER);
    let (ours, theirs) = UnixStream::pair().map_err(LinkError::Socket)?;
    let theirs = OwnedFd::from(theirs);
    let both = || Ok::<Stdio, LinkError>(theirs.try_clone().map_err(LinkError::Socket)?.into());
    let (arguments, output): (&[&str], _) = match manner {
        Manner::Stdio => (&["--answer"], both()?),
        Manner::Embedded => (&["--embedded"], Stdio::null()),
        Manner::Alone => (&["--stdio", "--alone"], both()?),
    };
    let mut command = Command::new(&path);
    command.args(arguments).stdin(theirs).stdout(output);
    if manner == Manner::Alone {
        command.process_group(0);
    }
    let started = command.spawn();
    Ok((started.map_err(|source| LinkError::Start { path, source })?, ours))
}
