//! The network gate: what the programs of one sandbox reach, and nothing else.
//!
//! Sockets that were made inside a sandbox's network namespace are accepted here, in the unprivileged server part. A name that the
//! policy allows has an address inside that stands for it; a connection to that address is decided about once more, by name and
//! port, and then led to an address of the name that was checked just before it is connected to. No path is opened. Whatever is
//! refused is recorded.
//!
//! Everything runs in tasks of one thread and ends with the [`Gate`].

pub mod arrival;
pub mod authority;
pub mod decision;
pub mod dial;
pub mod inspect;
mod limited;
pub mod lookup;
pub mod names;
mod own;
pub mod refusal;
mod relay;
pub mod resolver;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use weir_protocol::Policy;
use weir_protocol::gate::{DNS_PORT, RESOLVER};
use weir_protocol::method::process::Denial;
use weir_protocol::policy::Host;

use authority::Authority;
use decision::{Grant, decide};
use inspect::{Inspector, Law};
use lookup::Lookup;
use names::{Names, is_synthetic};
use refusal::{Attempt, Reason, Refusal, Refusals};

/// Sockets that were made inside.
#[derive(Debug)]
pub struct Sockets {
    /// Listening, one for each family.
    pub tcp: Vec<OwnedFd>,
    /// UDP, bound to the resolver's address.
    pub resolver: OwnedFd,
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
}

/// A proxy of the host's, for HTTP CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Its name or address.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// The value of `Proxy-Authorization`, where it wants one.
    pub authorization: Option<String>,
}

/// What all connections of one sandbox share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) policy: Arc<Policy>,
    pub(crate) names: RefCell<Names>,
    pub(crate) lookup: Lookup,
    pub(crate) refusals: Refusals,
    pub(crate) open: Cell<usize>,
    pub(crate) inspector: Option<Inspector>,
}

/// The gate of one sandbox.
#[derive(Debug)]
pub struct Gate {
    core: Rc<Core>,
    tasks: RefCell<JoinSet<()>>,
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
        let gate = Self::without_sockets(policy, &surroundings, authority)?;
        let mut tasks = gate.tasks.borrow_mut();
        for listener in sockets.tcp {
            let listener = arrival::listener(listener)?;
            tasks.spawn_local(arrival::accept_all(Rc::clone(&gate.core), listener));
        }
        let resolver = arrival::datagrams(sockets.resolver)?;
        tasks.spawn_local(resolver::serve_udp(Rc::clone(&gate.core), resolver));
        drop(tasks);
        Ok(gate)
    }

    /// A gate to which connections are brought by [`Gate::serve`] alone. Limited mode takes an authority and the host's roots.
    ///
    /// # Errors
    /// When the host's roots cannot be used.
    pub fn without_sockets(
        policy: Arc<Policy>,
        surroundings: &Surroundings,
        authority: Option<Authority>,
    ) -> io::Result<Rc<Self>> {
        let inspector = authority.map(|authority| {
            let roots = surroundings.roots.as_deref().unwrap_or_default();
            Inspector::new(Law::of(&policy), authority, roots)
        });
        let core = Core {
            policy,
            inspector: inspector
                .transpose()
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?,
            names: RefCell::default(),
            lookup: Lookup::new(&surroundings.resolv_conf, &surroundings.hosts),
            refusals: Refusals::default(),
            open: Cell::new(0),
        };
        Ok(Rc::new(Self { core: Rc::new(core), tasks: RefCell::default() }))
    }

    /// Serves one connection that was meant for `destination`, to its end.
    pub async fn serve(&self, stream: TcpStream, destination: SocketAddr) {
        Rc::clone(&self.core).serve(stream, destination).await;
    }

    /// What was refused so far, the same taken together.
    #[must_use]
    pub fn denials(&self) -> Vec<Denial> {
        self.core.refusals.denials()
    }

    /// Ends every task and every connection.
    pub fn close(&self) {
        self.tasks.borrow_mut().abort_all();
    }
}

impl Core {
    pub(crate) async fn serve(self: Rc<Self>, stream: TcpStream, destination: SocketAddr) {
        if destination == SocketAddr::from((RESOLVER, DNS_PORT)) {
            return resolver::serve_tcp(&self, stream).await;
        }
        let outcome = match self.target(destination) {
            Ok(grant) if grant.limited => return self.pass_limited(stream, Vec::new(), grant).await,
            Ok(grant) => self.pass(&stream, &grant).await,
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = outcome {
            // Closing with a reset says at once that there is nothing to be read.
            let _ = stream.set_zero_linger();
            self.refusals.record(refusal);
        }
    }

    /// What a connection to this address is meant for.
    fn target(&self, destination: SocketAddr) -> Result<Grant, Refusal> {
        let (address, port) = (destination.ip().to_canonical(), destination.port());
        if !is_synthetic(address) {
            return decide(&self.policy, &Host::Address(address), port);
        }
        let name = self.names.borrow_mut().name(address);
        match name {
            Some(name) => decide(&self.policy, &Host::Name(name.to_string()), port),
            None => Err(Refusal {
                attempt: Attempt::Connect,
                target: decision::target(&Host::Address(address), port),
                reason: Reason::Stale,
                origin: None,
            }),
        }
    }

    async fn pass(&self, client: &TcpStream, grant: &Grant) -> Result<(), Refusal> {
        if grant.limited {
            return Err(grant.refuse(Attempt::Connect, Reason::NoInspection));
        }
        let server =
            dial::dial(self, grant).await.map_err(|reason| grant.refuse(Attempt::Connect, reason))?;
        if relay::relay(client, &server).await.is_err() {
            let _ = client.set_zero_linger();
            let _ = server.set_zero_linger();
        }
        Ok(())
    }
}
