//! Connecting to a granted host: every address is checked right before it is connected to, and it is the checked address that
//! is connected to, never a name. Several addresses are tried side by side as RFC 8305 says.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use weir_protocol::policy::Host;

use super::Core;
use super::decision::{Grant, admit, target};
use super::failure::{Failure, Unconnected};
use super::lookup::{Family, LookupError};
use super::own::is_own;
use super::upstream::{self, Upstream};

/// How long one address has before the next one is tried as well (RFC 8305, section 8).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How long the second family's addresses are waited for when the first one's are there (RFC 8305, section 3).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

/// Addresses that are tried.
const MAX_CANDIDATES: usize = 16;

/// A connection to the host.
///
/// # Errors
/// Why there is none.
pub(crate) async fn dial(core: &Core, grant: &Grant) -> Result<TcpStream, Unconnected> {
    let tried = Cell::new(None);
    let within = timeout(core.limits.connect, async {
        let _turn = core.dialing.acquire().await;
        match core.upstream.as_ref().filter(|upstream| upstream.serves(&grant.host, grant.port)) {
            Some(upstream) => Ok(through(core, upstream, grant, &tried).await?),
            None => directly(core, grant, &tried).await,
        }
    });
    let late = |_| Err(tried.get().map_or(Failure::NotTried, Failure::Timeout).into());
    within.await.unwrap_or_else(late)
}

/// The address that was tried last.
type Tried = Cell<Option<SocketAddr>>;

/// Through the host's proxy, whose own address is the host's choice.
async fn through(
    core: &Core,
    upstream: &Upstream,
    grant: &Grant,
    tried: &Tried,
) -> Result<TcpStream, Failure> {
    let proxy = || target(&upstream.host, upstream.port);
    let of_proxy = |failure| Failure::Proxy { proxy: proxy(), failure: Box::new(failure) };
    let addresses = match &upstream.host {
        Host::Address(address) => vec![*address],
        Host::Name(name) => {
            resolve(core, name).await.map_err(Failure::from).and_then(some).map_err(of_proxy)?
        }
    };
    let places = addresses.into_iter().map(|address| SocketAddr::new(address, upstream.port));
    let stream = race(places.take(MAX_CANDIDATES).collect(), tried).await.map_err(of_proxy)?;
    upstream::tunnel(&stream, upstream, grant).await?;
    Ok(stream)
}

async fn directly(core: &Core, grant: &Grant, tried: &Tried) -> Result<TcpStream, Unconnected> {
    let addresses = match &grant.host {
        Host::Address(address) => vec![*address],
        Host::Name(name) => some(resolve(core, name).await?)?,
    };
    let mut candidates = Vec::new();
    let mut refused = None;
    for address in addresses {
        match admit(&core.policy(), grant, address, is_own) {
            Ok(place) => candidates.push(place),
            Err(reason) => refused = refused.or(Some(reason)),
        }
    }
    match refused {
        Some(reason) if candidates.is_empty() => return Err(reason.into()),
        _ => candidates.truncate(MAX_CANDIDATES),
    }
    Ok(race(candidates, tried).await?)
}

async fn race(candidates: Vec<SocketAddr>, tried: &Tried) -> Result<TcpStream, Failure> {
    let (mut rest, mut attempts) = (candidates.into_iter(), JoinSet::new());
    let mut failure = Failure::NoAddress;
    loop {
        if let Some(place) = rest.next() {
            tried.set(Some(place));
            attempts.spawn_local(async move {
                TcpStream::connect(place).await.map_err(|error| failed(place, &error))
            });
        } else if attempts.is_empty() {
            return Err(failure);
        }
        let ended = if rest.len() == 0 {
            attempts.join_next().await
        } else {
            match timeout(ATTEMPT_DELAY, attempts.join_next()).await {
                Ok(ended) => ended,
                Err(_) => continue,
            }
        };
        match ended {
            Some(Ok(Ok(stream))) => return Ok(stream),
            Some(Ok(Err(failed))) => failure = failed,
            Some(Err(_)) | None => {}
        }
    }
}

fn failed(address: SocketAddr, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::TimedOut => Failure::Timeout(address),
        kind => Failure::Connect { address, kind },
    }
}

/// All addresses of a name, perhaps none, the families taking turns, IPv6 first (RFC 8305, section 4).
async fn resolve(core: &Core, name: &str) -> Result<Vec<IpAddr>, LookupError> {
    let (mut v4, mut v6) =
        (pin!(core.lookup.addresses(name, Family::V4)), pin!(core.lookup.addresses(name, Family::V6)));
    let some = |answer: &Result<super::lookup::Found, LookupError>| {
        answer.as_ref().is_ok_and(|found| !found.addresses.is_empty())
    };
    let (v4, v6) = tokio::select! {
        first = &mut v4 => {
            let second = if some(&first) { timeout(RESOLUTION_DELAY, v6).await.ok() } else { Some(v6.await) };
            (Some(first), second)
        }
        first = &mut v6 => {
            let second = if some(&first) { timeout(RESOLUTION_DELAY, v4).await.ok() } else { Some(v4.await) };
            (second, Some(first))
        }
    };
    let error = [&v4, &v6].into_iter().flatten().find_map(|answer| answer.as_ref().err().cloned());
    let of = |answer: Option<Result<super::lookup::Found, LookupError>>| {
        answer.and_then(Result::ok).map(|found| found.addresses.to_vec()).unwrap_or_default()
    };
    let all = interleave(of(v6), of(v4));
    match error {
        Some(error) if all.is_empty() => Err(error),
        _ => Ok(all),
    }
}

fn some(addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, Failure> {
    if addresses.is_empty() { Err(Failure::NoAddress) } else { Ok(addresses) }
}

fn interleave(first: Vec<IpAddr>, second: Vec<IpAddr>) -> Vec<IpAddr> {
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut all = Vec::new();
    loop {
        let before = all.len();
        all.extend(first.next());
        all.extend(second.next());
        if all.len() == before {
            return all;
        }
    }
}
