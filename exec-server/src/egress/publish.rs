//! Published ports: programs of the host connect to servers inside.
//!
//! A connection that is accepted on the host's loopback is joined to one that is made inside, with a socket that init made there: this
//! process has no way into the sandbox's network of its own. Such sockets are few, and used again and again; what is beyond waits in the
//! kernel's queue, and whoever has had a server's last word makes room for it. Nothing inside is connected to but the ports of the rules.
//! Whoever is on the machine can connect, whatever their user.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{Shutdown, shutdown, sockopt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::relay::{either_ends, pump};
use super::{Core, arrival};
use crate::launch::published::{Piece, unpack};

/// How long a server inside may take to accept; it is on the same machine.
const CONNECT: Duration = Duration::from_secs(10);

/// How long clients have, after the sandbox has ended, to take what servers said last.
const LAST: Duration = Duration::from_secs(2);

/// The published ports of one sandbox.
#[derive(Debug)]
pub(super) struct Doors {
    v4: RefCell<VecDeque<OwnedFd>>,
    v6: RefCell<VecDeque<OwnedFd>>,
    /// One for each connection that may be open.
    turns: Semaphore,
    /// Clients whose connections are open, by number.
    open: RefCell<HashMap<u64, Client>>,
    count: Cell<u64>,
    /// Rung when a connection has ended, or its server's side of it.
    ended: Notify,
}

/// A client whose connection is open.
#[derive(Debug)]
struct Client {
    stream: Rc<TcpStream>,
    /// Whether the server has said all that it will.
    is_answered: bool,
}

/// Where connections arrive, and at which port inside they end.
pub(super) type Listeners = Vec<(TcpListener, u16)>;

impl Doors {
    /// From what the launcher sent.
    ///
    /// # Errors
    /// The system's, where a socket is none.
    pub(super) fn unpack(bundle: &OwnedFd) -> io::Result<(Rc<Self>, Listeners)> {
        let (mut v4, mut v6, mut listeners) = (VecDeque::new(), VecDeque::new(), Vec::new());
        for (piece, socket) in unpack(bundle) {
            match piece {
                Piece::Listener { inside } => listeners.push((arrival::listener(socket)?, inside)),
                Piece::InnerV4 => v4.push_back(socket),
                Piece::InnerV6 => v6.push_back(socket),
            }
        }
        let doors = Self {
            turns: Semaphore::new(v4.len()),
            v4: RefCell::new(v4),
            v6: RefCell::new(v6),
            open: RefCell::default(),
            count: Cell::default(),
            ended: Notify::new(),
        };
        Ok((Rc::new(doors), listeners))
    }

    /// Accepts for ever, as many at a time as there are sockets inside.
    pub(super) async fn accept_all(self: Rc<Self>, core: Rc<Core>, listener: TcpListener, inside: u16) {
        let mut connections = JoinSet::new();
        loop {
            let arrived = async {
                let turn = self.turn().await;
                let arrived = listener.accept().await;
                // The connection gives it back.
                arrived.is_ok().then(|| turn.forget());
                arrived
            };
            tokio::select! {
                arrived = arrived => match arrived {
                    Ok((client, _)) => {
                        connections.spawn_local(Rc::clone(&self).lead(Rc::clone(&core), client, inside));
                    }
                    Err(_) => { let _ = timeout(arrival::REST, self.ended.notified()).await; }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    /// The turn of one more connection.
    async fn turn(&self) -> SemaphorePermit<'_> {
        loop {
            if let Ok(turn) = self.turns.try_acquire() {
                return turn;
            }
            self.make_room();
            tokio::select! {
                Ok(turn) = self.turns.acquire() => return turn,
                () = self.ended.notified() => {}
            }
        }
    }

    /// Ends what clients leave open that have had their answer and say nothing: others wait.
    fn make_room(&self) {
        for client in self.open.borrow().values().filter(|client| client.is_answered) {
            let mut waiting = [PollFd::new(&client.stream, PollFlags::IN)];
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            if poll(&mut waiting, Some(&now)) == Ok(0) {
                let _ = shutdown(&client.stream, Shutdown::Read);
            }
        }
    }

    /// Carries one connection to its end.
    async fn lead(self: Rc<Self>, core: Rc<Core>, client: TcpStream, inside: u16) {
        let client = Rc::new(client);
        let open = Open::new(&self, &client);
        let Some(server) = self.connect(inside).await else {
            let _ = client.set_zero_linger();
            return;
        };
        let _ = client.set_nodelay(true);
        let _ = server.stream.set_nodelay(true);
        // Nothing is judged on the way in.
        let last = Cell::new(Instant::now());
        let answer = async {
            pump(&core, &server.stream, &client, &last).await?;
            open.is_answered();
            Ok(())
        };
        let both = async { tokio::try_join!(pump(&core, &client, &server.stream, &last), answer).map(drop) };
        if either_ends(&core, both, &last).await.is_err() {
            let _ = client.set_zero_linger();
            server.reset();
        }
    }

    /// Connects to a server inside, of whichever version it listens on.
    async fn connect(self: &Rc<Self>, inside: u16) -> Option<Inner> {
        for (pool, address) in
            [(&self.v4, IpAddr::from(Ipv4Addr::LOCALHOST)), (&self.v6, Ipv6Addr::LOCALHOST.into())]
        {
            let Some(socket) = pool.borrow_mut().pop_front() else { continue };
            let found = timeout(CONNECT, connected(&socket, SocketAddr::new(address, inside))).await;
            let taken = Taken { socket: Some(socket), doors: Rc::clone(self), is_v6: address.is_ipv6() };
            if let Ok(Ok(stream)) = found {
                return Some(Inner { stream, taken });
            }
        }
        None
    }

    /// Gives the last words of servers that are gone time to be taken.
    pub(super) async fn finish(&self) {
        for client in self.open.borrow().values() {
            // Nobody inside hears it any more, so that only what was said inside is waited for.
            let _ = shutdown(&client.stream, Shutdown::Read);
        }
        let all = async {
            while !self.open.borrow().is_empty() {
                self.ended.notified().await;
            }
        };
        let _ = timeout(LAST, all).await;
    }
}

/// Connects a socket that may have been connected before.
async fn connected(socket: &OwnedFd, to: SocketAddr) -> io::Result<TcpStream> {
    // Only now: what was sent over it last had its time to arrive (tcp(7): a disconnected socket forgets it).
    forget(socket);
    let socket = std::net::TcpStream::from(socket.try_clone()?);
    TcpSocket::from_std_stream(socket).connect(to).await
}

/// Takes a socket back to where it was before it was connected, resetting what is open.
fn forget(socket: &OwnedFd) {
    let _ = rustix::net::connect_unspec(socket);
    // What became of the last connection is not said of the next.
    let _ = sockopt::socket_error(socket);
}

/// A connection inside.
struct Inner {
    stream: TcpStream,
    taken: Taken,
}

impl Inner {
    fn reset(self) {
        self.taken.socket.iter().for_each(forget);
    }
}

/// A socket that goes back to the others, behind them.
struct Taken {
    socket: Option<OwnedFd>,
    doors: Rc<Doors>,
    is_v6: bool,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let pool = if self.is_v6 { &self.doors.v6 } else { &self.doors.v4 };
        pool.borrow_mut().extend(self.socket.take());
    }
}

/// A connection that is open until this goes, and its turn with it.
struct Open<'a> {
    doors: &'a Doors,
    number: u64,
}

impl<'a> Open<'a> {
    fn new(doors: &'a Doors, client: &Rc<TcpStream>) -> Self {
        let number = doors.count.get();
        doors.count.set(number + 1);
        let client = Client { stream: Rc::clone(client), is_answered: false };
        doors.open.borrow_mut().insert(number, client);
        Self { doors, number }
    }

    fn is_answered(&self) {
        if let Some(client) = self.doors.open.borrow_mut().get_mut(&self.number) {
            client.is_answered = true;
        }
        self.doors.ended.notify_waiters();
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.doors.open.borrow_mut().remove(&self.number);
        self.doors.turns.add_permits(1);
        self.doors.ended.notify_waiters();
    }
}
