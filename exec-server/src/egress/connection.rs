//! One connection after another: what all connections of one sandbox share, and how each is decided about and carried.
//!
//! Called by whatever accepts for a sandbox: the gate's listeners, its proxies. What is refused or breaks is recorded here.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use weir_protocol::Policy;
use weir_protocol::gate::{DNS_PORT, HTTP_PORT, PROXY, RESOLVER, SOCKS_PORT};
use weir_protocol::policy::Host;

use super::asking::Questions;
use super::decision::{self, Grant, decide};
use super::ending::{Carried, Ending, Word};
use super::failure::{Failure, Failures, Unconnected};
use super::inspect::Inspector;
use super::limits::Limits;
use super::lookup::Lookup;
use super::names::{Names, is_synthetic};
use super::refusal::{Attempt, Reason, Refusal, Refusals};
use super::relay::Broken;
use super::upstream::Upstream;
use super::{dial, opening, proxy, relay, resolver};

/// What all connections of one sandbox share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(super) policy: RefCell<Arc<Policy>>,
    pub(super) questions: Option<Questions>,
    pub(crate) names: RefCell<Names>,
    pub(crate) lookup: Lookup,
    pub(crate) refusals: Refusals,
    pub(crate) failures: Failures,
    pub(crate) inspector: Option<Inspector>,
    pub(crate) upstream: Option<Upstream>,
    pub(crate) limits: Limits,
    /// Turns for connecting.
    pub(crate) dialing: Semaphore,
    pub(super) open: Cell<usize>,
    pub(crate) ending: Ending,
    /// Bytes that wait for a side that does not read.
    pub(crate) held: Cell<usize>,
    /// Pipes through which much is carried.
    #[cfg(target_os = "linux")]
    pub(crate) pipes: Cell<usize>,
}

/// A program's connection, and what was read of it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) read: Vec<u8>,
    pub(crate) word: Word,
}

impl Core {
    pub(crate) async fn serve(self: Rc<Self>, stream: TcpStream, destination: SocketAddr, word: Word) {
        let Some(_open) = Open::count(&self) else {
            let target = decision::target(&Host::Address(destination.ip()), destination.port());
            let reason = Reason::TooMany(self.limits.connections);
            return self.refuse(&stream, Refusal { attempt: Attempt::Connect, target, reason, origin: None });
        };
        let place = |address: Ipv4Addr, port| destination == SocketAddr::from((address, port));
        if place(RESOLVER, DNS_PORT) {
            drop(word);
            resolver::serve_tcp(&self, stream).await;
        } else if place(PROXY, HTTP_PORT) {
            proxy::http::serve(&self, stream, word).await;
        } else if place(PROXY, SOCKS_PORT) {
            proxy::socks::serve(&self, stream, word).await;
        } else {
            let client = Client { stream, read: Vec::new(), word };
            match self.granted(&Host::Address(destination.ip()), destination.port()).await {
                Ok(grant) if grant.limited => {
                    let _held = Held::hold(&self.names, &grant);
                    self.pass_limited(client, grant.clone()).await;
                }
                Ok(grant) => self.pass(client, &grant).await,
                Err(refusal) => self.refuse(&client.stream, refusal),
            }
        }
    }

    /// What a connection to this host is granted. An address that stands for a name is that name.
    pub(crate) fn grant(&self, host: &Host, port: u16) -> Result<Grant, Refusal> {
        if let Some(meant) = self.meant(host) {
            return decide(&self.policy(), &meant, port);
        }
        let own = [RESOLVER, PROXY].map(IpAddr::from).map(Host::Address).contains(host);
        let reason = if own { Reason::NoSuchPort } else { Reason::Stale };
        let target = decision::target(host, port);
        Err(Refusal { attempt: Attempt::Connect, target, reason, origin: None })
    }

    /// The host itself, or the name that an address stands for; `None` where it stands for none (any more).
    pub(super) fn meant(&self, host: &Host) -> Option<Host> {
        let Host::Address(address) = host else { return Some(host.clone()) };
        let address = address.to_canonical();
        if !is_synthetic(address) {
            return Some(Host::Address(address));
        }
        self.names.borrow_mut().name(address).map(|name| Host::Name(name.to_string()))
    }

    /// Records a refusal and resets the program's connection, so that it knows at once.
    pub(crate) fn refuse(&self, client: &TcpStream, refusal: Refusal) {
        let _ = client.set_zero_linger();
        self.refusals.record(refusal);
    }

    /// Carries a connection that was granted, to its end. The server is connected to while the client's first bytes are heard, so that
    /// a server that speaks first is heard as well; nothing of the client goes out before it is judged.
    async fn pass(&self, client: Client, grant: &Grant) {
        let Client { stream, read, word } = client;
        let _held = Held::hold(&self.names, grant);
        let outcome = async {
            let mut opening = pin!(opening::hear(&stream, read, self, grant));
            let mut dialing = pin!(self.connect(grant));
            let (server, first) = tokio::select! {
                biased;
                first = &mut opening => { let first = first?; (dialing.await?, Some(first)) }
                server = &mut dialing => (server?, None),
            };
            let opening = async { if let Some(first) = first { Ok(first) } else { opening.await } };
            self.carry(&stream, &server, (grant, &word), opening).await
        };
        self.end(&stream, grant, outcome.await);
    }

    /// Connects to what was granted.
    pub(crate) async fn connect(&self, grant: &Grant) -> Result<TcpStream, Unconnected> {
        self.ending
            .bounded(Box::pin(dial::dial(self, grant)).as_mut())
            .await
            .unwrap_or_else(|| Err(Failure::Cut.into()))
    }

    /// As [`Core::pass`], behind a server that is connected to.
    pub(crate) async fn tunnel(&self, client: Client, server: TcpStream, grant: &Grant) {
        let Client { stream, read, word } = client;
        let opening = opening::hear(&stream, read, self, grant);
        let outcome = self.carry(&stream, &server, (grant, &word), opening).await;
        self.end(&stream, grant, outcome);
    }

    /// Relays; what breaks on the way resets both sides.
    async fn carry(
        &self,
        client: &TcpStream,
        server: &TcpStream,
        (grant, word): (&Grant, &Word),
        opening: impl Future<Output = Result<opening::Heard, Broken>>,
    ) -> Result<(), Broken> {
        // What is read goes on at once: waiting to fill a segment is the programs' own choice.
        let _ = client.set_nodelay(true);
        let _ = server.set_nodelay(true);
        let carried = Carried::new(self, grant, server, word);
        carried.end(Box::pin(relay::relay(self, client, server, word, opening)).await)
    }

    /// Resets the program's connection where it broke, so that it knows at once, and records why; what breaks on the way is nobody's refusal.
    pub(crate) fn end(&self, client: &TcpStream, grant: &Grant, outcome: Result<(), Broken>) {
        let Err(broken) = outcome else { return };
        let _ = client.set_zero_linger();
        if let Broken::Told(why) = broken {
            self.record(grant, why);
        }
    }

    /// Records why a host that was granted is not reached: as a refusal, or as a failure, which is none.
    pub(crate) fn record(&self, grant: &Grant, why: Unconnected) {
        match why {
            Unconnected::Refused(reason) => self.refusals.record(grant.refuse(Attempt::Connect, reason)),
            Unconnected::Failed(failure) => self.failures.record(grant.fail(failure)),
        }
    }
}

/// One connection, counted however it ends.
struct Open<'a>(&'a Core);

impl<'a> Open<'a> {
    fn count(core: &'a Core) -> Option<Self> {
        let open = core.open.get();
        (open < core.limits.connections).then(|| {
            core.open.set(open + 1);
            Self(core)
        })
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get().saturating_sub(1));
    }
}

/// Keeps the addresses of a name while a connection to it is open.
pub(crate) struct Held<'a>(&'a RefCell<Names>, &'a Grant);

impl<'a> Held<'a> {
    pub(crate) fn hold(names: &'a RefCell<Names>, grant: &'a Grant) -> Self {
        if let Host::Name(name) = &grant.host {
            names.borrow_mut().begin(name);
        }
        Self(names, grant)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Host::Name(name) = &self.1.host {
            self.0.borrow_mut().end(name);
        }
    }
}
