//! The gate's connections in limited mode: plain or TLS is told by the first byte, and the rest is [`Inspector`]'s.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::decision::Grant;
use super::dial;
use super::inspect::{Dial, MAX_CONNECTIONS, Refused, Target, Why, Wire};
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
    type Error = Reason;

    async fn dial(&self) -> Result<TcpStream, Reason> {
        let dialed = dial::dial(&self.core, &self.grant).await;
        if let Err(reason) = &dialed {
            self.core.refusals.record(self.grant.refuse(Attempt::Connect, reason.clone()));
        }
        dialed
    }
}

impl Core {
    /// Serves one connection of a client to a host that is granted for limited use.
    pub(crate) async fn pass_limited(self: &Rc<Self>, client: Client, grant: Grant) {
        let Client { stream, read } = client;
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
        let dial = Granted { core: Rc::clone(self), grant };
        let core = Rc::clone(self);
        let record = move |Refused { target, why }| {
            let origin = Some(Box::new(core.policy.network().mode.origin.clone()));
            let reason = Reason::Limited(why);
            core.refusals.record(Refusal { attempt: Attempt::Request, target, reason, origin });
        };
        inspector.serve(Replayed { read, stream }, target, dial, record).await;
    }
}

async fn first_byte(client: &TcpStream) -> io::Result<Option<u8>> {
    let mut first = [0];
    let count = client.peek(&mut first).await?;
    Ok((count > 0).then_some(first[0]))
}

/// A stream of which something was read already.
struct Replayed {
    read: Vec<u8>,
    stream: TcpStream,
}

impl AsyncRead for Replayed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let count = self.read.len().min(buffer.remaining());
        buffer.put_slice(&self.read[..count]);
        self.read.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Replayed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
