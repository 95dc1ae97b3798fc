//! A server on standard input and output: `ssh host weir-exec-server --stdio` makes a host a place to run commands.
//!
//! Where a server listens, this process carries bytes to it and back. Elsewhere, and with `--alone`, it makes one for this connection
//! alone, which goes, with all that it runs, when the connection does. That one serves nobody but who started it: as root, where the user
//! of the server parts does not exist, its parts stay root's, without capabilities and confined like any.
//!
//! Nothing of it stays behind because it is stopped: whoever goes wakes the next one, who looks what is left to do (`SIGCONT`, also as the
//! signal of prctl(2)'s `PR_SET_PDEATHSIG`; to whom it has nothing to tell it does nothing).

use std::fs::File;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use nix::sys::signal::{SigSet, SigmaskHow, Signal as Blocked, pthread_sigmask};
use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};

use super::listen;
use super::supervisor::Supervisor;
use super::{DaemonError, Words, hide, options_with, server_user};
use crate::launch::sys::{Half, divide};
use crate::peer::Peer;

/// The word for: even where a server listens, make one for this connection.
const ALONE: &str = "--alone";

/// Serves whoever is at the other end of standard input and output until they go. `arguments` are those behind `--stdio`, for a server
/// that is made here.
///
/// # Errors
/// [`DaemonError`].
pub fn run(arguments: impl Iterator<Item = std::ffi::OsString>) -> Result<ExitCode, DaemonError> {
    let mut arguments = arguments.peekable();
    let is_alone = arguments.next_if(|argument| argument == ALONE).is_some();
    let words = Words::read(arguments)?;
    set_parent_process_death_signal(Some(Signal::CONT)).map_err(io::Error::from)?;
    let server = if is_alone { None } else { running().map(|socket| Server { socket, supervisor: None }) };
    relay(&server.map_or_else(|| own(words), Ok)?)?;
    Ok(ExitCode::SUCCESS)
}

/// Who serves.
struct Server {
    socket: UnixStream,
    /// The process that was made for it.
    supervisor: Option<Pid>,
}

/// The connection to a server that listens.
fn running() -> Option<UnixStream> {
    let server = listen::places().into_iter().find_map(|path| UnixStream::connect(path).ok())?;
    is_trusted(server.as_fd()).then_some(server)
}

/// Whoever else made a socket where a server was expected is no server.
fn is_trusted(server: BorrowedFd<'_>) -> bool {
    let own = rustix::process::geteuid().as_raw();
    Peer::of(server).is_ok_and(|peer| peer.uid == 0 || peer.uid == own)
}

/// A server of this process's own, and the connection to it.
fn own(words: Words) -> Result<Server, DaemonError> {
    let user = match server_user(words.server_user.as_deref()) {
        Err(DaemonError::NoUser(_)) if words.server_user.is_none() => None,
        found => found?,
    };
    let mut options = options_with(words, user)?;
    // Nobody can come back to it.
    options.idle_exit = Some(std::time::Duration::ZERO);
    options.stop_after = std::time::Duration::ZERO;
    let audit = options.open_audit()?;
    let (ours, theirs) = UnixStream::pair()?;
    let relay = rustix::process::getpid();
    if let Half::Parent(supervisor) = divide()? {
        complain_anywhere()?;
        return Ok(Server { socket: ours, supervisor: Pid::from_raw(supervisor) });
    }
    drop(ours);
    // A terminal's keys are for the caller, and for the relay where the caller shares its group with it.
    let _ = rustix::process::setsid();
    let served = serve(relay, theirs, || Supervisor::new(Vec::new(), options, audit));
    std::process::exit(i32::from(served.is_err()));
}

/// From here on a terminal at which this process is in the background does not stop it where it writes to it (SIGTTOU, termios(3)): whoever
/// started it waits for its end. It starts nothing that could inherit this.
fn complain_anywhere() -> io::Result<()> {
    let mut blocked = SigSet::empty();
    blocked.add(Blocked::SIGTTOU);
    Ok(pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&blocked), None)?)
}

/// Where the relay dies, whatever this server runs ends as if the server were told to stop.
fn serve(
    relay: Pid,
    client: UnixStream,
    supervisor: impl FnOnce() -> io::Result<Supervisor>,
) -> io::Result<ExitCode> {
    let nothing = File::options().read(true).write(true).open("/dev/null")?;
    // Whoever reads the relay's output must not wait for this process.
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(&nothing)?;
    hide()?;
    let supervisor = supervisor()?;
    set_parent_process_death_signal(Some(Signal::CONT))?;
    if getppid() != Some(relay) {
        return Ok(ExitCode::SUCCESS);
    }
    supervisor.serve_one(client, relay)
}

/// Carries bytes both ways until the server has said its last word, or nobody hears it any more: whoever has what it wanted may go.
fn relay(server: &Server) -> io::Result<()> {
    let input = owned(io::stdin().as_fd())?;
    let output = owned(io::stdout().as_fd())?;
    let (towards, supervisor) = (server.socket.try_clone()?, server.supervisor);
    // It may wait for input as long as it likes: the process ends without it.
    std::thread::spawn(move || {
        let _ = carry(&input, &towards);
        let _ = towards.shutdown(Shutdown::Write);
        // Nobody reaps it before this process ends, so the number is its own.
        let _ = supervisor.map(|supervisor| kill_process(supervisor, Signal::CONT));
    });
    match carry(&server.socket, &output) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Bytes carried at once.
const CARRIED_BYTES: usize = 64 << 10;

/// By read(2) and write(2): while splice(2) waits for bytes it holds the pipe that they go to, and nobody can read what that has already.
fn carry(mut from: impl io::Read, mut to: impl io::Write) -> io::Result<()> {
    let mut buffer = vec![0; CARRIED_BYTES];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Without the buffers of the standard library's own handles.
fn owned(descriptor: BorrowedFd<'_>) -> io::Result<File> {
    descriptor.try_clone_to_owned().map(File::from)
}
