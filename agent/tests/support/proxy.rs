//! A way to a server that breaks where the test says, or changes what passes.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Bytes passed on at once.
const CHUNK_BYTES: usize = 16 << 10;

/// After how many bytes a connection is cut.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cut {
    /// Of those from the server.
    FromServer(usize),
    /// Of those to the server.
    ToServer(usize),
}

/// What is done to the bytes of the server.
pub(crate) type Change = fn(&mut [u8]);

struct Shared {
    server: PathBuf,
    /// One for each connection; those after them last.
    cuts: Mutex<VecDeque<Cut>>,
    made: AtomicUsize,
    change: Change,
}

/// Listens until the test ends.
pub(crate) struct Proxy {
    pub(crate) socket: PathBuf,
    shared: Arc<Shared>,
}

impl Proxy {
    pub(crate) fn new(directory: &Path, server: &Path, cuts: &[Cut], change: Change) -> Self {
        let socket = directory.join("proxy.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let cuts = Mutex::new(cuts.iter().copied().collect());
        let shared = Arc::new(Shared { server: server.to_owned(), cuts, made: AtomicUsize::new(0), change });
        let this = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                this.connect(client.unwrap());
            }
        });
        Self { socket, shared }
    }

    /// Connections made, and cuts that are still to come.
    pub(crate) fn state(&self) -> (usize, usize) {
        (self.shared.made.load(Ordering::SeqCst), self.shared.cuts.lock().unwrap().len())
    }
}

impl Shared {
    fn connect(self: &Arc<Self>, client: UnixStream) {
        let server = UnixStream::connect(&self.server).unwrap();
        self.made.fetch_add(1, Ordering::SeqCst);
        let (to, from) = match self.cuts.lock().unwrap().pop_front() {
            Some(Cut::FromServer(bytes)) => (usize::MAX, bytes),
            Some(Cut::ToServer(bytes)) => (bytes, usize::MAX),
            None => (usize::MAX, usize::MAX),
        };
        let (client_too, server_too) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || pass(client_too, server_too, to, |_| ()));
        let change = self.change;
        std::thread::spawn(move || pass(server, client, from, change));
    }
}

/// Passes so many bytes on and then cuts both ways.
fn pass(mut from: UnixStream, mut to: UnixStream, mut left: usize, change: Change) {
    let mut chunk = [0; CHUNK_BYTES];
    while left > 0 {
        let most = chunk.len().min(left);
        let count = match from.read(&mut chunk[..most]) {
            Ok(0) | Err(_) => break,
            Ok(count) => count,
        };
        change(&mut chunk[..count]);
        if to.write_all(&chunk[..count]).is_err() {
            break;
        }
        left -= count;
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
