//! The gate's connections in limited mode: plain or TLS is told by the first byte, and the rest is [`Inspector`]'s.

use std::io;
use std::pin::pin;
use std::rc::Rc;

use tokio::io::{AsyncReadExt as _, join};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::decision::Grant;
use super::failure::{Failure, Unconnected};
use super::inspect::{Dial, MAX_CONNECTIONS, Progress, Refused, Target, Why, Wire};
use super::refusal::{Attempt, Reason, Refusal};
use super::{Client, Core};

/// The first byte of TLS: a record of the handshake (RFC 8446, 5.1). No method of HTTP begins with it.
const TLS_HANDSHAKE: u8 = 22;

/// The way to a granted host.
struct Granted {
    core: Rc<Core>,
    grant: Grant,
}

impl Dial for Granted {
    type Stream = TcpStream;
    type Error = Unconnected;

    async fn dial(&self) -> Result<TcpStream, Unconnected> {
        let dialed = self.core.connect(&self.grant).await;
        if let Err(why) = &dialed {
            self.core.record(&self.grant, why.clone());
        }
        dialed
    }
}

impl Core {
    /// Serves one connection of a client to a host that is granted for limited use.
    pub(crate) async fn pass_limited(self: &Rc<Self>, client: Client, grant: Grant) {
        let Client { stream, read, word: _word } = client;
        let refuse = |reason| {
            let _ = stream.set_zero_linger();
            self.refusals.record(grant.refuse(Attempt::Connect, reason));
        };
        let Some(inspector) = &self.inspector else { return refuse(Reason::NoInspection) };
        let Some(_turn) = inspector.turn() else { return refuse(Reason::TooMany(MAX_CONNECTIONS)) };
        let first = match read.first() {
            Some(first) => *first,
            // A protocol in which the server speaks first cannot pass anyway.
            None => match timeout(self.limits.opening, first_byte(&stream)).await {
                Ok(Ok(Some(first))) => first,
                Ok(Ok(None) | Err(_)) => return,
                Err(_) => return refuse(Reason::Limited(Why::Silent)),
            },
        };
        let wire = if first == TLS_HANDSHAKE { Wire::Tls } else { Wire::Plain };
        let target = Target { host: grant.host.clone(), port: grant.port, wire };
        let dial = Granted { core: Rc::clone(self), grant: grant.clone() };
        let core = Rc::clone(self);
        let record = move |Refused { target, why }| {
            let origin = Some(Box::new(core.policy().network().mode.origin.clone()));
            let reason = Reason::Limited(why);
            core.refusals.record(Refusal { attempt: Attempt::Request, target, reason, origin });
        };
        let (reader, writer) = stream.into_split();
        // What was read already comes first.
        let client = join(std::io::Cursor::new(read).chain(reader), writer);
        let progress = Progress::new();
        let serving = Box::pin(inspector.serve(client, target, dial, record, progress.clone()));
        if self.ending.moving(progress.last(), pin!(serving)).await.is_none() {
            self.record(&grant, Failure::Unanswered.into());
        }
    }
}

async fn first_byte(client: &TcpStream) -> io::Result<Option<u8>> {
    let mut first = [0];
    let count = client.peek(&mut first).await?;
    Ok((count > 0).then_some(first[0]))
}
