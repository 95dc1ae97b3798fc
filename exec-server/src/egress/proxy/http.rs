//! The HTTP endpoint: CONNECT, and requests for `http://` whole (RFC 9110, 9.3.6; RFC 9112, 3.2.2).
//!
//! A request for `http://` is the last one of its connection: the next one may be meant for another host. What is refused gets an
//! answer that a person can read.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;

use httparse::{EMPTY_HEADER, Request, Status};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use weir_protocol::gate::HTTP_PORT;
use weir_protocol::policy::Host;

use super::body::Body;
use super::{TIMEOUT, more, part, unreadable};
use crate::egress::decision::Grant;
use crate::egress::ending::{Carried, Word};
use crate::egress::failure::{Failure, Unconnected};
use crate::egress::opening::MAX_HTTP_BYTES;
use crate::egress::opening::http::{authority, end};
use crate::egress::refusal::{Attempt, Reason, Refusal};
use crate::egress::relay::{Broken, either_ends, pump, send};
use crate::egress::{Client, Core, Held};

/// The answer to CONNECT.
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// Headers of one request.
const MAX_HEADERS: usize = 128;

/// Headers that are between a client and its proxy alone.
const HOP: [&str; 6] =
    ["connection", "proxy-connection", "keep-alive", "proxy-authorization", "te", "upgrade"];

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A tunnel.
    Tunnel(Host, u16),
    /// One request, as the server is to see it.
    Forward {
        /// Whose.
        host: Host,
        /// At which port.
        port: u16,
        /// The head.
        head: Vec<u8>,
        /// What follows it.
        body: Body,
    },
}

/// Reads a whole head. Pure.
///
/// # Errors
/// [`Reason::BrokenProxy`] and [`Reason::BrokenHttp`].
pub fn read(head: &[u8]) -> Result<Asked, Reason> {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut request = Request::new(&mut headers);
    if !matches!(request.parse(head), Ok(Status::Complete(_))) {
        return Err(Reason::BrokenHttp);
    }
    let (Some(method), Some(target)) = (request.method, request.path) else { return Err(Reason::BrokenHttp) };
    if method == "CONNECT" {
        let port = target.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).filter(|port| *port != 0);
        return match (authority(target), port) {
            (Some(host), Some(port)) => Ok(Asked::Tunnel(host, port)),
            _ => Err(Reason::BrokenProxy),
        };
    }
    let scheme = target.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://"));
    let rest = scheme.and_then(|_| target.get(7..)).ok_or(Reason::BrokenProxy)?;
    let (place, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority(place).ok_or(Reason::BrokenProxy)?;
    let port = match place.rsplit_once(':') {
        Some((_, port)) if !port.contains(']') => {
            port.parse().ok().filter(|port| *port != 0).ok_or(Reason::BrokenProxy)?
        }
        _ => 80,
    };
    let body = Body::announced(request.headers)?;
    let head = rewrite(method, place, path, &request);
    Ok(Asked::Forward { host, port, head, body })
}

/// The head as the server is to see it: for itself, with the host of the target, and the last one.
fn rewrite(method: &str, place: &str, path: &str, request: &Request<'_, '_>) -> Vec<u8> {
    let slash = if path.starts_with('/') { "" } else { "/" };
    let path = path.split('#').next().unwrap_or_default();
    let mut head = format!("{method} {slash}{path} HTTP/1.1\r\nHost: {place}\r\n").into_bytes();
    let named = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("connection"));
    let named: Vec<String> = named
        .flat_map(|header| header.value.split(|byte| *byte == b','))
        .map(|name| String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase())
        .collect();
    for header in request.headers.iter() {
        let name = header.name.to_ascii_lowercase();
        let framing = ["content-length", "transfer-encoding"].contains(&name.as_str());
        if name == "host" || HOP.contains(&name.as_str()) || named.contains(&name) && !framing {
            continue;
        }
        head.extend_from_slice(header.name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(header.value);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"Connection: close\r\n\r\n");
    head
}

/// An answer that a person can read.
#[must_use]
pub fn answer(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

fn status(reason: &Reason) -> &'static str {
    match reason {
        Reason::BrokenHttp | Reason::BrokenProxy | Reason::BadName => "400 Bad Request",
        _ => "403 Forbidden",
    }
}

/// Records a refusal and tells it.
async fn refuse(core: &Core, client: &TcpStream, refusal: Refusal) {
    let word = answer(status(&refusal.reason), &format!("weir: {refusal}\n"));
    core.refusals.record(refusal);
    part(client, &word).await;
}

/// Records why a granted host is not reached, and tells it.
async fn give_up(core: &Core, client: &TcpStream, grant: &Grant, why: Unconnected) {
    let failure = match why {
        Unconnected::Refused(reason) => {
            return refuse(core, client, grant.refuse(Attempt::Connect, reason)).await;
        }
        Unconnected::Failed(failure) => failure,
    };
    let status = if failure.is_timeout() { "504 Gateway Timeout" } else { "502 Bad Gateway" };
    let failed = grant.fail(failure);
    let word = answer(status, &format!("weir: {failed}\n"));
    core.failures.record(failed);
    part(client, &word).await;
}

/// Serves one client.
pub(crate) async fn serve(core: &Rc<Core>, stream: TcpStream, word: Word) {
    let mut read_so_far = Vec::new();
    let asked = match timeout(TIMEOUT, head(&stream, &mut read_so_far)).await {
        Ok(Ok(Some(head))) => read(&head),
        Ok(Err(reason)) => Err(reason),
        Ok(Ok(None)) | Err(_) => return,
    };
    let (host, port) = match &asked {
        Ok(Asked::Tunnel(host, port) | Asked::Forward { host, port, .. }) => (host, *port),
        Err(reason) => {
            let word = answer(status(reason), &format!("weir: {reason}\n"));
            core.refusals.record(unreadable(HTTP_PORT, reason.clone()));
            return part(&stream, &word).await;
        }
    };
    let grant = match core.granted(host, port).await {
        Ok(grant) => grant,
        Err(refusal) => return refuse(core, &stream, refusal).await,
    };
    let _held = Held::hold(&core.names, &grant);
    if grant.limited {
        let read = match asked {
            Ok(Asked::Forward { head, .. }) => [head, read_so_far].concat(),
            _ if send(&stream, ESTABLISHED).await.is_err() => return,
            _ => read_so_far,
        };
        return core.pass_limited(Client { stream, read, word }, grant.clone()).await;
    }
    let server = match core.connect(&grant).await {
        Ok(server) => server,
        Err(why) => return give_up(core, &stream, &grant, why).await,
    };
    let client = Client { stream, read: read_so_far, word };
    match asked {
        Ok(Asked::Forward { head, body, .. }) => forward(core, client, &server, &grant, (head, body)).await,
        _ => {
            if send(&client.stream, ESTABLISHED).await.is_ok() {
                core.tunnel(client, server, &grant).await;
            }
        }
    }
}

/// Reads a head; what was read beyond it stays in `read`.
async fn head(stream: &TcpStream, read: &mut Vec<u8>) -> Result<Option<Vec<u8>>, Reason> {
    let mut searched = 0;
    loop {
        if let Some(end) = end(read, searched) {
            let rest = read.split_off(end);
            return Ok(Some(std::mem::replace(read, rest)));
        }
        searched = read.len();
        if searched > MAX_HTTP_BYTES {
            return Err(Reason::BrokenHttp);
        }
        if !more(stream, read).await.unwrap_or(false) {
            return Ok(None);
        }
    }
}

/// Carries one request and its answer.
async fn forward(
    core: &Core,
    client: Client,
    server: &TcpStream,
    grant: &Grant,
    (head, mut body): (Vec<u8>, Body),
) {
    let Client { stream, read, word } = client;
    let last = Cell::new(Instant::now());
    let upwards = async {
        send(server, &head).await?;
        let mut bytes = read;
        loop {
            let count = body.take(&bytes).map_err(Broken::from)?;
            send(server, bytes.get(..count).unwrap_or_default()).await?;
            last.set(Instant::now());
            bytes.clear();
            if body.is_whole() {
                return Ok(());
            }
            if !more(&stream, &mut bytes).await? {
                return Err(Broken::Reset);
            }
        }
    };
    let upwards = async {
        core.ending.within(server, &last, pin!(upwards)).await.unwrap_or_else(|| Err(Failure::Cut.into()))?;
        word.is_said();
        Ok(())
    };
    let both = async { tokio::try_join!(upwards, pump(core, server, &stream, &last)).map(drop) };
    let carried = Carried::new(core, grant, server, &word);
    let outcome = carried.end(either_ends(core, both, &last).await);
    core.end(&stream, grant, outcome);
}
