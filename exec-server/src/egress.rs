//! The network gate: what the programs of one sandbox reach, and nothing else.
//!
//! Sockets that were made inside a sandbox's network namespace are accepted here, in the unprivileged server part. A name that the
//! policy allows has an address inside that stands for it; a connection to that address is decided about once more, by name and
//! port, and then led to an address of the name that was checked just before it is connected to. No path is opened. Whatever is
//! refused is recorded.
//!
//! Everything runs in tasks of one thread and ends with the [`Gate`].

pub mod arrival;
pub mod asking;
pub mod authority;
pub mod begin;
mod connection;
#[cfg(target_os = "linux")]
mod datagrams;
pub mod decision;
pub mod dial;
pub mod ending;
pub mod failure;
mod folded;
pub mod inspect;
mod limited;
pub mod limits;
pub mod lookup;
pub mod names;
pub mod opening;
mod own;
pub mod proxy;
#[cfg(target_os = "linux")]
mod publish;
pub mod refusal;
mod relay;
pub mod resolver;
#[cfg(target_os = "linux")]
mod sys;
pub mod upstream;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use weir_protocol::Policy;
use weir_protocol::denial::Ledger;
use weir_protocol::gate::{HTTP_PORT, PROXY, SOCKS_PORT};
use weir_protocol::policy::Host;
use weir_protocol::policy::lease::LeaseError;
use weir_protocol::unreached::Unreached;

pub(crate) use arrival::raise_descriptors;
use asking::{Asks, Questions};
use authority::Authority;
pub(crate) use connection::{Client, Core, Held};
use ending::{Ending, Parting, Word};
use failure::Failures;
use inspect::{Inspector, Law};
use limits::Limits;
use lookup::Lookup;
use refusal::Refusals;
use upstream::Upstream;

/// Sockets that were made inside.
#[derive(Debug)]
pub struct Sockets {
    /// Listening, one for each family.
    pub tcp: Vec<OwnedFd>,
    /// UDP, bound to the resolver's address.
    pub resolver: OwnedFd,
    /// On which the kernel tells what it refused inside, where it does.
    pub refused: Option<OwnedFd>,
}

/// Listening sockets of the proxy endpoints, on the host's own loopback.
#[derive(Debug)]
pub struct Endpoints {
    /// HTTP.
    pub http: OwnedFd,
    /// SOCKS5.
    pub socks: OwnedFd,
}

/// What the gate knows of the host.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The bytes of `resolv.conf`.
    pub resolv_conf: Vec<u8>,
    /// The bytes of `hosts`.
    pub hosts: Vec<u8>,
    /// Certificates that the host trusts, as PEM.
    pub roots: Option<Vec<u8>>,
    /// The host's proxy, where the profile lets it be used.
    pub upstream: Option<Upstream>,
    /// Who is asked about hosts that no rule covers.
    pub asks: Option<Asks>,
    /// How much of everything there may be.
    pub limits: Limits,
}

/// What a gate tells of one run.
#[derive(Debug, Default)]
pub struct Account {
    /// What was refused.
    pub denials: Ledger,
    /// What was allowed and not reached.
    pub unreached: Unreached,
}

/// Turns that tasks get at the end: those that have accepted a connection have decided about it by then.
const LAST_TURNS: usize = 8;

async fn take_turns() {
    for _ in 0..LAST_TURNS {
        tokio::task::yield_now().await;
    }
}

/// The gate of one sandbox.
#[derive(Debug)]
pub struct Gate {
    core: Rc<Core>,
    tasks: RefCell<JoinSet<()>>,
    /// The same sockets as the tasks accept on, and where all of a socket's connections are meant to go, if that is one place.
    listeners: RefCell<Vec<(std::net::TcpListener, Option<SocketAddr>)>>,
    /// Whether connections of the sandbox lead here.
    is_gate: Cell<bool>,
    #[cfg(target_os = "linux")]
    log: RefCell<Option<Rc<datagrams::Log>>>,
    #[cfg(target_os = "linux")]
    doors: RefCell<Option<Rc<publish::Doors>>>,
}

impl Gate {
    /// Serves these sockets from now on, in tasks of the current `LocalSet`.
    ///
    /// # Errors
    /// The system's, where a socket is none.
    pub fn open(
        policy: Arc<Policy>,
        sockets: Sockets,
        surroundings: Surroundings,
        authority: Option<Authority>,
    ) -> io::Result<Rc<Self>> {
        let gate = Self::without_sockets(policy, surroundings, authority)?;
        let mut tasks = gate.tasks.borrow_mut();
        for listener in sockets.tcp {
            gate.listeners.borrow_mut().push((listener.try_clone()?.into(), None));
            let listener = arrival::listener(listener)?;
            tasks.spawn_local(arrival::accept_all(Rc::clone(&gate.core), listener));
        }
        let resolver = arrival::datagrams(sockets.resolver)?;
        tasks.spawn_local(resolver::serve_udp(Rc::clone(&gate.core), resolver));
        #[cfg(target_os = "linux")]
        if let Some(log) = sockets.refused {
            let log = Rc::new(datagrams::Log::new(log)?);
            tasks.spawn_local(Rc::clone(&log).record_all(Rc::clone(&gate.core)));
            gate.log.replace(Some(log));
        }
        drop(tasks);
        Ok(gate)
    }

    /// Serves proxies alone, where no network leads to the gate.
    ///
    /// # Errors
    /// The system's, where a socket is none.
    pub fn open_proxies(
        policy: Arc<Policy>,
        endpoints: Endpoints,
        surroundings: Surroundings,
    ) -> io::Result<Rc<Self>> {
        let gate = Self::without_sockets(policy, surroundings, None)?;
        for (socket, port) in [(endpoints.http, HTTP_PORT), (endpoints.socks, SOCKS_PORT)] {
            let meant = SocketAddr::from((PROXY, port));
            gate.listeners.borrow_mut().push((socket.try_clone()?.into(), Some(meant)));
            let accepting = arrival::accept_for(Rc::clone(&gate.core), arrival::listener(socket)?, meant);
            gate.tasks.borrow_mut().spawn_local(accepting);
        }
        Ok(gate)
    }

    /// A gate to which connections are brought by [`Gate::serve`] alone. Limited mode takes an authority and the host's roots.
    ///
    /// # Errors
    /// When the host's roots cannot be used.
    pub fn without_sockets(
        policy: Arc<Policy>,
        surroundings: Surroundings,
        authority: Option<Authority>,
    ) -> io::Result<Rc<Self>> {
        let Surroundings { resolv_conf, hosts, roots, upstream, asks, limits } = surroundings;
        let denied: Vec<_> = policy.network().denials().cloned().collect();
        let policy_uses_upstream = policy.network().allow_upstream_proxy.value;
        let inspector = authority.map(|authority| {
            Inspector::new(Law::of(&policy), authority, roots.as_deref().unwrap_or_default())
        });
        let core = Core {
            policy: RefCell::new(policy),
            questions: asks.map(Questions::new),
            inspector: inspector
                .transpose()
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?,
            names: RefCell::default(),
            lookup: Lookup::new(&resolv_conf, &hosts).denying(denied.into_iter()),
            refusals: Refusals::default(),
            failures: Failures::default(),
            // The profile has the last word.
            upstream: upstream.filter(|_| policy_uses_upstream),
            dialing: Semaphore::new(limits.dialing),
            limits,
            open: Cell::new(0),
            ending: Ending::default(),
            held: Cell::new(0),
            #[cfg(target_os = "linux")]
            pipes: Cell::new(0),
        };
        Ok(Rc::new(Self {
            core: Rc::new(core),
            tasks: RefCell::default(),
            listeners: RefCell::default(),
            is_gate: Cell::new(true),
            #[cfg(target_os = "linux")]
            log: RefCell::default(),
            #[cfg(target_os = "linux")]
            doors: RefCell::default(),
        }))
    }

    /// Leads connections to published ports inside from now on; `bundle` is what the launcher packed.
    ///
    /// # Errors
    /// The system's, where a socket is none.
    #[cfg(target_os = "linux")]
    pub fn publish(&self, bundle: &OwnedFd) -> io::Result<()> {
        let (doors, listeners) = publish::Doors::unpack(bundle)?;
        for (listener, inside) in listeners {
            let accepting = Rc::clone(&doors).accept_all(Rc::clone(&self.core), listener, inside);
            self.tasks.borrow_mut().spawn_local(accepting);
        }
        self.doors.replace(Some(doors));
        Ok(())
    }

    /// Serves one connection that was meant for `destination`, to its end.
    pub async fn serve(&self, stream: TcpStream, destination: SocketAddr) {
        Rc::clone(&self.core).serve(stream, destination, Word::of(&self.core)).await;
    }

    /// What was refused so far, the same taken together.
    #[must_use]
    pub fn denials(&self) -> Ledger {
        #[cfg(target_os = "linux")]
        self.log.borrow().iter().for_each(|log| log.record_waiting(&self.core));
        self.core.refusals.denials(&self.core.policy.borrow())
    }

    /// Hosts that the policy allows and that were not reached, the same taken together.
    #[must_use]
    pub fn unreached(&self) -> Unreached {
        self.core.failures.unreached()
    }

    /// What it tells of the whole run; nothing where no connection of the sandbox's leads to it.
    #[must_use]
    pub fn account(&self) -> Option<Account> {
        let account = Account { denials: self.denials(), unreached: self.unreached() };
        self.is_gate.get().then_some(account)
    }

    /// Serves published ports alone: no connection of the sandbox's leads here.
    ///
    /// # Errors
    /// None that is known.
    pub fn for_published_alone(policy: Arc<Policy>) -> io::Result<Rc<Self>> {
        let gate = Self::without_sockets(policy, Surroundings::default(), None)?;
        gate.is_gate.set(false);
        Ok(gate)
    }

    /// Serves what the programs of a sandbox that has ended tried last to its end, within bounds: connections that wait are accepted, and
    /// all that was said on any of them goes out or is told as lost.
    pub async fn settle(&self, parting: Parting) {
        for (listener, meant) in self.listeners.borrow().iter() {
            arrival::accept_waiting(&self.core, listener, *meant, &mut self.tasks.borrow_mut());
        }
        take_turns().await;
        let ending = &self.core.ending;
        let finishing = ending.finish(parting);
        #[cfg(target_os = "linux")]
        let is_said = match self.doors.take() {
            Some(doors) => {
                let answering = async {
                    tokio::select! {
                        () = doors.finish() => {}
                        () = ending.given_up() => {}
                    }
                };
                tokio::join!(finishing, answering).0
            }
            None => finishing.await,
        };
        #[cfg(not(target_os = "linux"))]
        let is_said = finishing.await;
        if !is_said {
            // What is given up tells so before it is gone.
            self.close();
            take_turns().await;
        }
    }

    /// Nobody waits for what a sandbox that has ended still sends: it is cut, which [`Gate::account`] tells, and [`Gate::settle`] returns.
    pub fn give_up(&self) {
        self.core.ending.give_up();
    }

    /// From now on this host may be reached as well, by a lease.
    ///
    /// # Errors
    /// [`LeaseError`]: a rule denies it.
    pub fn widen(&self, host: &Host, port: u16) -> Result<(), LeaseError> {
        self.core.widen(host, port)
    }

    /// How many names have an address inside.
    #[must_use]
    pub fn names(&self) -> usize {
        self.core.names.borrow().len()
    }

    /// Bytes that wait for sides that do not read.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.core.held.get()
    }

    /// Ends every task and every connection.
    pub fn close(&self) {
        self.tasks.borrow_mut().abort_all();
    }
}
