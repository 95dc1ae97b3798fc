//! Signals that end a turn, as something to await.
//!
//! By signal-hook and a socket for each: tokio's own would turn its signal driver on wherever one build holds this crate, and the
//! exec-server's filter forbids what that driver makes.

use std::io;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use tokio::net::UnixStream;

use crate::run::signals::is_ignored;

/// Ctrl-C, a supervisor, a terminal that closes.
const SIGNALS: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// The signals, from when it is made.
pub(super) struct Interrupts {
    heard: Vec<(i32, UnixStream)>,
}

impl Interrupts {
    /// Hears the signals; one that was ignored when this program started stays ignored.
    pub(super) fn new() -> io::Result<Self> {
        let heard = SIGNALS.into_iter().filter(|signal| !is_ignored(*signal)).map(hear);
        Ok(Self { heard: heard.collect::<io::Result<_>>()? })
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

fn hear(signal: i32) -> io::Result<(i32, UnixStream)> {
    let (read, write) = std::os::unix::net::UnixStream::pair()?;
    pipe::register(signal, write)?;
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
