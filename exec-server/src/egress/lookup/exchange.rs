//! One question to the host's name servers, and the judgement of what comes back.
//!
//! An answer is taken only from the server that was asked, with the number and the question that were sent, on a port that was
//! chosen for this one question.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout_at};
use weir_protocol::policy::{DomainRule, Host};

use super::config::Servers;
use super::{Family, Found, LookupError, MAX_ADDRESSES};
use crate::egress::decision::NO_PORT;

/// What a UDP answer may hold (DNS flag day 2020).
const PAYLOAD_BYTES: u16 = 1232;

/// Most bytes of an answer over TCP that are read.
const MAX_ANSWER_BYTES: usize = 16 << 10;

/// Aliases that are followed from one name.
const MAX_ALIASES: usize = 8;

/// How long an answer without a time of its own holds.
const NEGATIVE: Duration = Duration::from_secs(5);

/// What one answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Addresses, perhaps none.
    Found(Found),
    /// The name is another name's, of which the answer does not tell.
    Alias(Name),
    /// There is no such name.
    NoSuchName,
    /// The answer was cut.
    Cut,
    /// This server cannot answer.
    Failed,
}

/// Follows aliases, but asks nobody for one that a rule denies.
pub(super) async fn ask(
    servers: &Servers,
    name: &str,
    family: Family,
    denied: &[DomainRule],
) -> Result<Found, LookupError> {
    let mut name = wire(name).ok_or(LookupError::NoSuchName)?;
    for _ in 0..MAX_ALIASES {
        match ask_all(servers, &name, family).await? {
            Said::Found(found) => return Ok(found),
            Said::Alias(target) => {
                check(&target, denied)?;
                name = target;
            }
            Said::NoSuchName => return Err(LookupError::NoSuchName),
            Said::Cut | Said::Failed => return Err(LookupError::Failed),
        }
    }
    Err(LookupError::Failed)
}

/// Whether nobody may be asked for an alias: one of these rules denies it, whatever the port, or none could.
fn check(alias: &Name, denied: &[DomainRule]) -> Result<(), LookupError> {
    let host = Host::parse(&alias.to_ascii()).map_err(|_| LookupError::BadAlias)?;
    let denies = |rule: &&DomainRule| rule.pattern.port.is_none() && rule.pattern.matches(&host, NO_PORT);
    match denied.iter().find(denies) {
        Some(rule) => {
            Err(LookupError::DeniedAlias { alias: host.to_string(), rule: Box::new(rule.origin.clone()) })
        }
        None => Ok(()),
    }
}

/// Asks one server after the other.
async fn ask_all(servers: &Servers, name: &Name, family: Family) -> Result<Said, LookupError> {
    let mut error = LookupError::NoServer;
    for _ in 0..servers.attempts {
        for server in &servers.servers {
            match ask_one(*server, servers.timeout, name, family).await {
                Ok(Said::Failed | Said::Cut) => error = LookupError::Failed,
                Ok(said) => return Ok(said),
                Err(failed) if failed.kind() == io::ErrorKind::TimedOut => error = LookupError::Timeout,
                Err(_) => error = LookupError::Failed,
            }
        }
    }
    Err(error)
}

async fn ask_one(server: SocketAddr, timeout: Duration, name: &Name, family: Family) -> io::Result<Said> {
    let question = ask_for(name, family);
    let bytes = question.to_vec().map_err(io::Error::other)?;
    let until = Instant::now() + timeout;
    let said = timeout_at(until, over_udp(server, &question, &bytes)).await??;
    if said != Said::Cut {
        return Ok(said);
    }
    timeout_at(until + timeout, over_tcp(server, &question, &bytes)).await?
}

/// The question for a name's addresses; `None` where no such name can be asked for. Pure.
#[must_use]
pub fn question(name: &str, family: Family) -> Option<Message> {
    wire(name).map(|name| ask_for(&name, family))
}

/// A name, and nothing of a search list behind it.
fn wire(name: &str) -> Option<Name> {
    Name::from_ascii(format!("{name}.")).ok()
}

fn ask_for(name: &Name, family: Family) -> Message {
    let kind = if family == Family::V4 { RecordType::A } else { RecordType::AAAA };
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name.clone(), kind));
    let mut edns = Edns::new();
    edns.set_max_payload(PAYLOAD_BYTES);
    message.set_edns(edns);
    message
}

async fn over_udp(server: SocketAddr, question: &Message, bytes: &[u8]) -> io::Result<Said> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let mut buffer = [0; PAYLOAD_BYTES as usize];
    loop {
        let count = socket.recv(&mut buffer).await?;
        // What is no answer to this question is somebody's guess.
        if let Some(said) = said(question, buffer.get(..count).unwrap_or_default()) {
            return Ok(said);
        }
    }
}

async fn over_tcp(server: SocketAddr, question: &Message, bytes: &[u8]) -> io::Result<Said> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await?;
    let length = usize::from(stream.read_u16().await?);
    if length > MAX_ANSWER_BYTES {
        return Ok(Said::Failed);
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await?;
    Ok(said(question, &answer).unwrap_or(Said::Failed))
}

/// What an answer says; `None` where it is none to this question. Pure.
#[must_use]
pub fn said(question: &Message, bytes: &[u8]) -> Option<Said> {
    let answer = Message::from_vec(bytes).ok()?;
    let (asked, echoed) = (question.queries.first()?, answer.queries.first()?);
    let same = answer.metadata.id == question.metadata.id
        && answer.metadata.message_type == MessageType::Response
        && answer.queries.len() == 1
        && echoed.query_type == asked.query_type
        && echoed.name == asked.name;
    if !same {
        return None;
    }
    if answer.metadata.truncation {
        return Some(Said::Cut);
    }
    Some(match answer.metadata.response_code {
        ResponseCode::NoError => addresses(&answer, &asked.name, asked.query_type),
        ResponseCode::NXDomain => Said::NoSuchName,
        _ => Said::Failed,
    })
}

/// Follows aliases within the answer; records about other names do not count.
fn addresses(answer: &Message, asked: &Name, kind: RecordType) -> Said {
    let mut name = asked.clone();
    for _ in 0..=MAX_ALIASES {
        let about = answer.answers.iter().filter(|record| record.name == name);
        let (mut found, mut lasts) = (Vec::new(), None::<u32>);
        let mut alias = None;
        for record in about {
            match &record.data {
                _ if record.record_type() != RecordType::CNAME && record.record_type() != kind => continue,
                RData::A(address) => found.push(IpAddr::V4(address.0)),
                RData::AAAA(address) => found.push(IpAddr::V6(address.0)),
                RData::CNAME(target) => alias = Some(target.0.clone()),
                _ => continue,
            }
            lasts = Some(lasts.map_or(record.ttl, |least| least.min(record.ttl)));
        }
        found.truncate(MAX_ADDRESSES);
        match alias {
            Some(target) if found.is_empty() => name = target,
            _ if found.is_empty() && name != *asked => return Said::Alias(name),
            _ => {
                let lasts = lasts.map_or(NEGATIVE, |seconds| Duration::from_secs(seconds.into()));
                return Said::Found(Found { addresses: found.into(), lasts });
            }
        }
    }
    Said::Failed
}
