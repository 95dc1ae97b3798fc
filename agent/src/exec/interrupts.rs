//! Signals that end a turn, as something to await.
//!
//! By signal-hook and a socket for each: tokio's own would turn its signal driver on wherever one build holds this crate, and the
//! exec-server's filter forbids what that driver makes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::pipe;
use tokio::net::UnixStream;

use crate::run::signals::is_ignored;

/// Ctrl-C, a supervisor, a terminal that closes.
const SIGNALS: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// What is added to a signal's number to make an exit code of it.
const SIGNALLED: i32 = 128;

/// The signals, from when it is made. When it goes nobody hears them any more, and one ends the process at once, whatever that waits for:
/// what is left then is to write the rest of what was said.
pub(super) struct Interrupts {
    is_over: Arc<AtomicBool>,
    heard: Vec<(i32, UnixStream)>,
}

impl Interrupts {
    /// Hears the signals; one that was ignored when this program started stays ignored.
    pub(super) fn new() -> io::Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let heeded = SIGNALS.into_iter().filter(|signal| !is_ignored(*signal));
        let heard = heeded.map(|signal| hear(signal, &is_over)).collect::<io::Result<_>>()?;
        Ok(Self { is_over, heard })
    }

    /// Hears no more: from now on a signal ends the process. One that has come and was not heard.
    pub(super) fn end(self) -> Option<i32> {
        self.is_over.store(true, Ordering::SeqCst);
        let has_come = |stream: &UnixStream| matches!(rustix::io::read(stream, &mut [0; 16]), Ok(1..));
        self.heard.iter().find(|(_, stream)| has_come(stream)).map(|(signal, _)| *signal)
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> io::Result<i32> {
        if self.heard.is_empty() {
            std::future::pending::<()>().await;
        }
        let each = self.heard.iter().map(|(signal, stream)| Box::pin(arrival(*signal, stream)));
        futures_util::future::select_all(each).await.0
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
    }
}

fn hear(signal: i32, is_over: &Arc<AtomicBool>) -> io::Result<(i32, UnixStream)> {
    let (read, write) = std::os::unix::net::UnixStream::pair()?;
    pipe::register(signal, write)?;
    flag::register_conditional_shutdown(signal, SIGNALLED + signal, Arc::clone(is_over))?;
    read.set_nonblocking(true)?;
    Ok((signal, UnixStream::from_std(read)?))
}

async fn arrival(signal: i32, stream: &UnixStream) -> io::Result<i32> {
    loop {
        stream.readable().await?;
        match stream.try_read(&mut [0; 16]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
            Ok(_) => return Ok(signal),
        }
    }
}
