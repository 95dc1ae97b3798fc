//! The SOCKS5 endpoint (RFC 1928): no authentication, CONNECT alone.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

use tokio::net::TcpStream;
use tokio::time::timeout;
use weir_protocol::gate::SOCKS_PORT;
use weir_protocol::policy::Host;

use super::{TIMEOUT, more, part, unreadable};
use crate::egress::ending::Word;
use crate::egress::failure::{Failure, Unconnected};
use crate::egress::lookup::LookupError;
use crate::egress::refusal::Reason;
use crate::egress::{Client, Core, Held, relay};

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const NO_ACCEPTABLE: u8 = 0xff;
const CONNECT: u8 = 1;

/// The answers that are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reply {
    /// Connected.
    Done = 0,
    /// Something failed.
    Failed = 1,
    /// A rule refuses it.
    NotAllowed = 2,
    /// No such host, or no way to it.
    Unreachable = 4,
    /// The server refused.
    Refused = 5,
    /// The time is over.
    Expired = 6,
    /// BIND, UDP ASSOCIATE, anything else.
    Command = 7,
    /// No such kind of address.
    AddressType = 8,
}

impl Reply {
    fn bytes(self) -> [u8; 10] {
        [VERSION, self as u8, 0, 1, 0, 0, 0, 0, 0, 0]
    }

    fn of(why: &Unconnected) -> Self {
        match why {
            Unconnected::Refused(_) => Self::NotAllowed,
            Unconnected::Failed(failure) if failure.is_timeout() => Self::Expired,
            Unconnected::Failed(failure) => match failure {
                Failure::Connect { kind: io::ErrorKind::ConnectionRefused, .. } => Self::Refused,
                Failure::Connect { .. } | Failure::NoAddress | Failure::Lookup(LookupError::NoSuchName) => {
                    Self::Unreachable
                }
                _ => Self::Failed,
            },
        }
    }
}

/// The methods of authentication that a client offers: whether none is among them, and how many bytes that took. `None` where bytes
/// are missing.
///
/// # Errors
/// [`Reason::BrokenProxy`]: it is not SOCKS5.
pub fn greeting(bytes: &[u8]) -> Result<Option<(bool, usize)>, Reason> {
    match bytes {
        [] | [VERSION] => Ok(None),
        [VERSION, count, methods @ ..] => {
            let count = usize::from(*count);
            Ok(methods.get(..count).map(|methods| (methods.contains(&NO_AUTHENTICATION), 2 + count)))
        }
        _ => Err(Reason::BrokenProxy),
    }
}

/// What a client asks for, and how many bytes that took. `None` where bytes are missing.
///
/// # Errors
/// What it is told.
pub fn request(bytes: &[u8]) -> Result<Option<(Host, u16, usize)>, Reply> {
    let [version, command, _, kind, rest @ ..] = bytes else { return Ok(None) };
    if *version != VERSION {
        return Err(Reply::Failed);
    }
    if *command != CONNECT {
        return Err(Reply::Command);
    }
    let (host, length) = match kind {
        1 => {
            let Some(octets) = rest.first_chunk::<4>() else { return Ok(None) };
            (Host::Address(Ipv4Addr::from(*octets).into()), 4)
        }
        3 => {
            let Some((length, name)) = rest.split_first() else { return Ok(None) };
            let length = usize::from(*length);
            let Some(name) = name.get(..length) else { return Ok(None) };
            let host = std::str::from_utf8(name).ok().and_then(|name| Host::parse(name).ok());
            (host.ok_or(Reply::NotAllowed)?, length + 1)
        }
        4 => {
            let Some(octets) = rest.first_chunk::<16>() else { return Ok(None) };
            let address = Ipv6Addr::from(*octets);
            (Host::Address(std::net::IpAddr::V6(address).to_canonical()), 16)
        }
        _ => return Err(Reply::AddressType),
    };
    let port = rest.get(length..).and_then(<[u8]>::first_chunk::<2>);
    Ok(port.map(|port| (host, u16::from_be_bytes(*port), 4 + length + 2)))
}

/// Serves one client.
pub(crate) async fn serve(core: &Rc<Core>, stream: TcpStream, word: Word) {
    let mut read = Vec::new();
    let Ok(Some((host, port))) = timeout(TIMEOUT, negotiate(core, &stream, &mut read)).await else { return };
    let grant = match core.granted(&host, port).await {
        Ok(grant) => grant,
        Err(refusal) => {
            core.refusals.record(refusal);
            return part(&stream, &Reply::NotAllowed.bytes()).await;
        }
    };
    let _held = Held::hold(&core.names, &grant);
    if grant.limited {
        if relay::send(&stream, &Reply::Done.bytes()).await.is_ok() {
            core.pass_limited(Client { stream, read, word }, grant.clone()).await;
        }
        return;
    }
    match core.connect(&grant).await {
        Ok(server) => {
            if relay::send(&stream, &Reply::Done.bytes()).await.is_ok() {
                core.tunnel(Client { stream, read, word }, server, &grant).await;
            }
        }
        Err(why) => {
            let word = Reply::of(&why).bytes();
            core.record(&grant, why);
            part(&stream, &word).await;
        }
    }
}

/// Hears what a client wants; `None` where it has been told why that cannot be. What it said beyond stays in `read`.
async fn negotiate(core: &Core, stream: &TcpStream, read: &mut Vec<u8>) -> Option<(Host, u16)> {
    let (acceptable, length) = loop {
        match greeting(read) {
            Ok(Some(greeting)) => break greeting,
            Ok(None) if more(stream, read).await.ok()? => {}
            _ => return None,
        }
    };
    read.drain(..length);
    if !acceptable {
        part(stream, &[VERSION, NO_ACCEPTABLE]).await;
        return None;
    }
    relay::send(stream, &[VERSION, NO_AUTHENTICATION]).await.ok()?;
    loop {
        match request(read) {
            Ok(Some((host, port, length))) => {
                read.drain(..length);
                return Some((host, port));
            }
            Ok(None) if more(stream, read).await.ok()? => {}
            Ok(None) => return None,
            Err(reply) => {
                let reason = if reply == Reply::NotAllowed { Reason::BadName } else { Reason::BrokenProxy };
                core.refusals.record(unreadable(SOCKS_PORT, reason));
                part(stream, &reply.bytes()).await;
                return None;
            }
        }
    }
}
