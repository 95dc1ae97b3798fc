//! The resolver inside: allowed names have addresses that stand for them, all others do not exist.
//!
//! No question of a program's leaves the machine as it came: a name that is denied is answered at once, and a name that is allowed is
//! looked up by [`super::lookup`], which asks for addresses alone. Callers: the gate's sockets.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::timeout;
use weir_protocol::gate::DNS_PORT;
use weir_protocol::policy::Host;

use super::Core;
use super::decision::resolvable;
use super::failure::{Failed, Failure};
use super::lookup::{Family, LookupError};
use super::names::MAX_NAMES;
use super::refusal::{Attempt, Reason, Refusal};

/// How long a program may keep an answer.
pub const TTL_S: u32 = 60;

/// Bytes of a question: a name, and options.
pub const MAX_QUESTION_BYTES: usize = 4096;

/// Questions that are looked up at a time.
const MAX_WAITING: usize = 256;

/// The option that carries an extended error, and its codes (RFC 8914).
const EXTENDED_ERROR: u16 = 15;
const BLOCKED: u16 = 15;
const NOT_SUPPORTED: u16 = 21;
const NO_REACHABLE_AUTHORITY: u16 = 22;
const NETWORK_ERROR: u16 = 23;

/// Most bytes of the text of an extended error: an answer stays below what one datagram carries.
const MAX_TEXT_BYTES: usize = 400;

/// How long a connection may wait for its next question.
const IDLE: Duration = Duration::from_secs(10);

/// What to do about one message.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// Nothing: it is no question.
    Nothing,
    /// This is the answer.
    Answer(Message),
    /// A question about a name.
    Question(Question),
}

/// A question that can be answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    message: Message,
    query: Query,
}

impl Question {
    /// The name that it is about.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.query.name
    }
}

/// Reads what a program sent. Pure.
#[must_use]
pub fn read(bytes: &[u8]) -> Reading {
    let Ok(message) = Message::from_vec(bytes) else { return Reading::Nothing };
    if message.metadata.message_type != MessageType::Query {
        return Reading::Nothing;
    }
    let [query] = message.queries.as_slice() else {
        return Reading::Answer(reply(&message, ResponseCode::FormErr));
    };
    if message.metadata.op_code != OpCode::Query {
        return Reading::Answer(reply(&message, ResponseCode::NotImp));
    }
    if query.query_class != DNSClass::IN {
        return Reading::Answer(reply(&message, ResponseCode::Refused));
    }
    let query = query.clone();
    Reading::Question(Question { message, query })
}

fn reply(to: &Message, code: ResponseCode) -> Message {
    let mut reply = Message::response(to.metadata.id, to.metadata.op_code);
    reply.metadata.response_code = code;
    reply.metadata.recursion_desired = to.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    reply.queries.clone_from(&to.queries);
    if to.edns.is_some() {
        reply.set_edns(Edns::new());
    }
    reply
}

/// The host that a name of the wire means; `None` where no rule could name it.
#[must_use]
pub fn host(name: &Name) -> Option<Host> {
    let mut text = String::new();
    for label in name.iter() {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !label.iter().all(plain) {
            return None;
        }
        text.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
        text.push('.');
    }
    match Host::parse(&text) {
        Ok(Host::Name(name)) if text.strip_suffix('.') == Some(&name) => Some(Host::Name(name)),
        _ => None,
    }
}

/// What a question comes to.
enum Outcome {
    /// These addresses, perhaps none.
    Addresses(Vec<IpAddr>),
    /// As a code, with the reason for the record and for whoever reads extended errors.
    Refused(ResponseCode, Refusal),
    /// The same of an allowed name that could not be looked up.
    Failed(ResponseCode, Failed),
}

/// The answer to a question.
async fn answer(core: &Core, question: &Question) -> Message {
    let Question { message, query } = question;
    match outcome(core, query).await {
        Outcome::Addresses(addresses) => {
            let mut reply = reply(message, ResponseCode::NoError);
            reply.add_answers(addresses.into_iter().map(|address| record(&query.name, address)));
            reply
        }
        Outcome::Refused(code, refusal) => {
            let kind = if refusal.reason == Reason::RecordType { NOT_SUPPORTED } else { BLOCKED };
            let reply = with_error(reply(message, code), Some(kind), &refusal);
            core.refusals.record(refusal);
            reply
        }
        Outcome::Failed(code, failed) => {
            let kind = match failed.failure {
                Failure::Lookup(LookupError::NoSuchName) => None,
                Failure::Lookup(LookupError::Timeout) => Some(NO_REACHABLE_AUTHORITY),
                _ => Some(NETWORK_ERROR),
            };
            let reply = with_error(reply(message, code), kind, &failed);
            core.failures.record(failed);
            reply
        }
    }
}

/// With an extended error, where there is one of this kind and the question understands it.
fn with_error(mut reply: Message, kind: Option<u16>, what: &impl fmt::Display) -> Message {
    if let (Some(kind), Some(edns)) = (kind, &mut reply.edns) {
        edns.options_mut().insert(extended(kind, what));
    }
    reply
}

/// An extended error, whose text programs such as `dig` show (RFC 8914).
fn extended(kind: u16, what: &impl fmt::Display) -> EdnsOption {
    let mut text = format!("weir: {what}");
    let end = (0..=MAX_TEXT_BYTES.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.truncate(end.unwrap_or_default());
    EdnsOption::Unknown(EXTENDED_ERROR, [&kind.to_be_bytes(), text.as_bytes()].concat())
}

async fn outcome(core: &Core, query: &Query) -> Outcome {
    let refuse = |code, target, reason| {
        Outcome::Refused(code, Refusal { attempt: Attempt::Resolve, target, reason, origin: None })
    };
    let Some(host @ Host::Name(_)) = host(&query.name) else {
        return refuse(ResponseCode::NXDomain, query.name.to_ascii(), Reason::BadName);
    };
    if host.is_loopback() {
        return Outcome::Addresses(match query.query_type {
            RecordType::A => vec![Ipv4Addr::LOCALHOST.into()],
            RecordType::AAAA => vec![Ipv6Addr::LOCALHOST.into()],
            _ => Vec::new(),
        });
    }
    if let Err(refusal) = resolvable(&core.policy(), &host) {
        if core.may_ask_for(&host) {
            return stand_in(core, &host, query.query_type);
        }
        return Outcome::Refused(ResponseCode::NXDomain, refusal);
    }
    match query.query_type {
        RecordType::A => addresses(core, &host, Family::V4).await,
        RecordType::AAAA => addresses(core, &host, Family::V6).await,
        RecordType::HTTPS | RecordType::SVCB => Outcome::Addresses(Vec::new()),
        kind => refuse(ResponseCode::Refused, format!("{host} {kind}"), Reason::RecordType),
    }
}

/// The address of a name that is asked about when it is connected to, and looked up by nobody before. Which families it has outside is
/// not known; inside one is enough.
fn stand_in(core: &Core, host: &Host, kind: RecordType) -> Outcome {
    let found = match kind {
        RecordType::A => core.names.borrow_mut().addresses(&host.to_string()),
        _ => return Outcome::Addresses(Vec::new()),
    };
    Outcome::Addresses(found.map(|(v4, _)| vec![v4.into()]).unwrap_or_default())
}

/// The address that stands for a name, where it has one of the family outside.
async fn addresses(core: &Core, host: &Host, family: Family) -> Outcome {
    let name = host.to_string();
    // Where a proxy knows the names, it hears of them when they are connected to.
    let upstream = core.upstream.as_ref().is_some_and(|upstream| upstream.serves(host, DNS_PORT));
    let found = if upstream { Ok(None) } else { core.lookup.addresses(&name, family).await.map(Some) };
    let refuse = |target, reason| {
        let refusal = Refusal { attempt: Attempt::Resolve, target, reason, origin: None };
        Outcome::Refused(ResponseCode::ServFail, refusal)
    };
    match found {
        Ok(Some(found)) if found.addresses.is_empty() => Outcome::Addresses(Vec::new()),
        Ok(_) => {
            let stands = core.names.borrow_mut().addresses(&name);
            match (stands, family) {
                (Some((v4, _)), Family::V4) => Outcome::Addresses(vec![v4.into()]),
                (Some((_, v6)), Family::V6) => Outcome::Addresses(vec![v6.into()]),
                (None, _) => refuse(name, Reason::TooManyNames(MAX_NAMES)),
            }
        }
        Err(LookupError::DeniedAlias { alias, rule }) => {
            let (reason, origin) = (Reason::DeniedAlias { alias, rule: rule.clone() }, Some(rule));
            let refusal = Refusal { attempt: Attempt::Resolve, target: name, reason, origin };
            Outcome::Refused(ResponseCode::NXDomain, refusal)
        }
        Err(error) => {
            let code = match error {
                LookupError::NoSuchName => ResponseCode::NXDomain,
                _ => ResponseCode::ServFail,
            };
            Outcome::Failed(code, Failed { attempt: Attempt::Resolve, host: name, failure: error.into() })
        }
    }
}

fn record(name: &Name, address: IpAddr) -> Record {
    let data = match address {
        IpAddr::V4(v4) => RData::A(A(v4)),
        IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
    };
    Record::from_rdata(name.clone(), TTL_S, data)
}

/// Answers datagrams for ever.
pub(crate) async fn serve_udp(core: Rc<Core>, socket: UdpSocket) {
    let socket = Rc::new(socket);
    let mut waiting = JoinSet::new();
    let mut buffer = vec![0; MAX_QUESTION_BYTES];
    loop {
        tokio::select! {
            received = socket.recv_from(&mut buffer), if waiting.len() < MAX_WAITING => {
                let Ok((count, from)) = received else { continue };
                match read(buffer.get(..count).unwrap_or_default()) {
                    Reading::Nothing => {}
                    Reading::Answer(answer) => send(&socket, &answer, from).await,
                    Reading::Question(question) => {
                        let (core, socket) = (Rc::clone(&core), Rc::clone(&socket));
                        waiting.spawn_local(async move {
                            let answer = answer(&core, &question).await;
                            send(&socket, &answer, from).await;
                        });
                    }
                }
            }
            Some(_) = waiting.join_next() => {}
        }
    }
}

async fn send(socket: &UdpSocket, answer: &Message, to: SocketAddr) {
    if let Ok(bytes) = answer.to_vec() {
        // Whoever asked may have gone.
        let _ = socket.send_to(&bytes, to).await;
    }
}

/// Answers the questions of one connection.
pub(crate) async fn serve_tcp(core: &Core, mut stream: TcpStream) {
    loop {
        let Ok(Ok(length)) = timeout(IDLE, stream.read_u16()).await else { return };
        let length = usize::from(length);
        if length > MAX_QUESTION_BYTES {
            return;
        }
        let mut bytes = vec![0; length];
        if !matches!(timeout(IDLE, stream.read_exact(&mut bytes)).await, Ok(Ok(_))) {
            return;
        }
        let answer = match read(&bytes) {
            Reading::Nothing => return,
            Reading::Answer(answer) => answer,
            Reading::Question(question) => answer(core, &question).await,
        };
        let Ok(bytes) = answer.to_vec() else { return };
        let Ok(length) = u16::try_from(bytes.len()) else { return };
        let framed = [&length.to_be_bytes(), bytes.as_slice()].concat();
        if !matches!(timeout(IDLE, stream.write_all(&framed)).await, Ok(Ok(()))) {
            return;
        }
    }
}
