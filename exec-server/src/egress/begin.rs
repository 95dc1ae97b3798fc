//! From what a launch passes to an open gate.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tokio::sync::mpsc;
use tokio::task::LocalSet;
use weir_protocol::gate::PROXY;
use weir_protocol::method::network::Asking;
use weir_protocol::policy::{Host, NetworkMode};
use weir_protocol::{ByteString, Policy};

use super::asking::{Asked, Asks};
use super::authority::{Authority, AuthorityError};
use super::ending::Parting;
use super::limits::Limits;
use super::opening::http::authority;
use super::upstream::Upstream;
use super::{Account, Endpoints, Gate, Sockets, Surroundings};
use crate::launch::Launch;
use crate::launch::passed::{Descriptors, Passed};

/// A variable and its value.
type Variable = (ByteString, ByteString);

/// Variables that name a proxy, those that are asked first at the front (curl(1), "ENVIRONMENT").
const PROXIES: [&str; 3] = ["https_proxy", "http_proxy", "all_proxy"];

/// What the gate of a sandbox that is asked for decides by.
#[derive(Debug)]
pub struct Intent {
    policy: Arc<Policy>,
    authority: Option<Authority>,
    upstream: Option<Upstream>,
    asks: Option<Asks>,
    is_gated: bool,
    /// On macOS a port leads to itself, and needs nobody here.
    #[cfg(target_os = "linux")]
    publishes: bool,
}

impl Intent {
    /// What the launch needs; nothing where it has no gate. In limited mode an authority is made, whose certificate travels with the launch.
    /// `caller` is the caller's environment, of which the launch's holds what the profile lets through: a proxy that the profile lets be used
    /// is looked for in both.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub fn of(launch: &mut Launch, caller: &[Variable]) -> Result<Option<Self>, AuthorityError> {
        let is_gated = launch.is_gated();
        if !is_gated && !launch.publishes() {
            return Ok(None);
        }
        let authority = match launch.policy.network().mode.value {
            NetworkMode::Limited if is_gated => Some(Authority::new()?),
            _ => None,
        };
        launch.certificate = authority.as_ref().map(|authority| authority.certificate_pem().to_owned());
        let upstream = if is_gated { take_proxy(&mut launch.env, caller) } else { None };
        Ok(Some(Self {
            policy: Arc::new(launch.policy.clone()),
            authority,
            upstream,
            asks: None,
            is_gated,
            #[cfg(target_os = "linux")]
            publishes: launch.publishes(),
        }))
    }

    /// The policy by which it decides.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy)
    }

    /// With questions within these bounds, and where they come out.
    pub fn ask(&mut self, bounds: Asking) -> mpsc::Receiver<Asked> {
        let (asks, asked) = Asks::within(bounds);
        self.asks = Some(asks);
        asked
    }

    /// Opens the gate of the sandbox from which these descriptors came, in tasks of the current `LocalSet`.
    ///
    /// # Errors
    /// A socket has not come, or is none; the host's authorities cannot be used. Then nothing inside reaches anything.
    pub fn open(self, passed: Descriptors) -> io::Result<Rc<Gate>> {
        #[cfg(target_os = "linux")]
        if self.publishes {
            return self.open_with_ports(passed);
        }
        self.open_gate(passed)
    }

    #[cfg(target_os = "linux")]
    fn open_with_ports(self, mut passed: Descriptors) -> io::Result<Rc<Gate>> {
        let bundle = passed.remove(Passed::Published).ok_or_else(missing)?;
        let gate = self.open_gate(passed)?;
        gate.publish(&bundle)?;
        Ok(gate)
    }

    fn open_gate(self, mut passed: Descriptors) -> io::Result<Rc<Gate>> {
        if !self.is_gated {
            return Gate::for_published_alone(self.policy);
        }
        let surroundings = Surroundings {
            resolv_conf: passed.read(Passed::ResolvConf).unwrap_or_default(),
            hosts: passed.read(Passed::Hosts).unwrap_or_default(),
            roots: passed.read(Passed::Roots),
            upstream: self.upstream,
            asks: self.asks,
            limits: Limits::default(),
        };
        if let (Some(http), Some(socks)) =
            (passed.remove(Passed::HttpProxy), passed.remove(Passed::SocksProxy))
        {
            return Gate::open_proxies(self.policy, Endpoints { http, socks }, surroundings);
        }
        let tcp = [passed.remove(Passed::TcpV4).ok_or_else(missing)?];
        let tcp = tcp.into_iter().chain(passed.remove(Passed::TcpV6)).collect();
        let resolver = passed.remove(Passed::Resolver).ok_or_else(missing)?;
        let refused = passed.remove(Passed::Refused);
        Gate::open(self.policy, Sockets { tcp, resolver, refused }, surroundings, self.authority)
    }

    /// Makes a thread of its own for it, for a server part that has nothing else to wait for many. It is made before there is a sandbox, while
    /// the launcher makes one, and waits for what comes out of that: [`Apart::open`], which also tells where there is no thread.
    #[must_use]
    pub fn apart(self) -> Apart {
        super::raise_descriptors();
        let (pass, passed) = sync_channel(1);
        let (tell, opened) = sync_channel(1);
        let (settle, account) = sync_channel(1);
        let (stop, stopped) = mpsc::channel(MOST_WORDS);
        let failed = tell.clone();
        let thread = std::thread::Builder::new().name("gate".to_owned()).spawn(move || {
            if let Err(error) = self.serve_apart(&passed, &tell, stopped, &settle) {
                let _ = tell.send(Err(error));
            }
        });
        if let Err(error) = thread {
            let _ = failed.send(Err(error));
        }
        Apart { pass, opened, stop, account }
    }

    fn serve_apart(
        self,
        passed: &Receiver<Descriptors>,
        tell: &SyncSender<io::Result<()>>,
        mut told: mpsc::Receiver<Word>,
        settle: &SyncSender<Option<Account>>,
    ) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // None come where there is no sandbox.
        let Ok(passed) = passed.recv() else { return Ok(()) };
        runtime.block_on(LocalSet::new().run_until(async {
            let gate = self.open(passed)?;
            let _ = tell.send(Ok(()));
            // Nobody has said how where nobody waits for it.
            let (parting, over) = match told.recv().await {
                Some(Word::Settle(parting, over)) => (parting, over),
                Some(Word::GiveUp) | None => (Parting::Forced, None),
            };
            let mut settling = pin!(gate.settle(parting));
            tokio::select! {
                biased;
                () = &mut settling => {}
                _ = told.recv() => {
                    gate.give_up();
                    settling.await;
                }
            }
            let _ = settle.send(gate.account());
            drop(over);
            Ok(())
        }))
    }
}

fn missing() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "a socket of the network gate did not come")
}

/// The host's proxy, as the command's environment names it, else the caller's, for HTTPS before HTTP. The variables go from the command's
/// environment, for inside they lead nowhere; what names the gate's own endpoints stays, and is no proxy of the host's.
fn take_proxy(env: &mut Vec<Variable>, caller: &[Variable]) -> Option<Upstream> {
    let text = |value: &ByteString| String::from_utf8_lossy(&value.0).into_owned();
    let is = |name: &ByteString, word: &str| name.0.eq_ignore_ascii_case(word.as_bytes());
    let found = |word: &'static str| {
        let named = env.iter().chain(caller).filter(move |(name, _)| is(name, word));
        named.map(move |(_, value)| text(value))
    };
    let direct = found("no_proxy").next().unwrap_or_default();
    let upstream = PROXIES
        .into_iter()
        .filter_map(|word| found(word).find(|value| !names_gate(value)))
        .find_map(|value| Upstream::read(&value, &direct));
    env.retain(|(name, value)| !PROXIES.iter().any(|word| is(name, word)) || names_gate(&text(value)));
    upstream
}

/// Whether the value of such a variable names an endpoint of a gate's.
fn names_gate(value: &str) -> bool {
    let rest = value.split_once("://").map_or(value, |(_, rest)| rest);
    let place = rest.split('/').next().unwrap_or_default();
    let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
    authority(place) == Some(Host::Address(PROXY.into()))
}

/// A gate with a thread of its own.
#[derive(Debug)]
pub struct Apart {
    pass: SyncSender<Descriptors>,
    opened: Receiver<io::Result<()>>,
    stop: mpsc::Sender<Word>,
    account: Receiver<Option<Account>>,
}

impl Apart {
    /// Opens the gate of the sandbox from which these descriptors came.
    ///
    /// # Errors
    /// As [`Intent::open`].
    pub fn open(&self, passed: Descriptors) -> io::Result<()> {
        let gone = || io::Error::other("the network gate's thread has ended");
        // Where nobody takes them it has been told why.
        let _ = self.pass.send(passed);
        self.opened.recv().unwrap_or_else(|_| Err(gone()))
    }

    /// Lets it send what is on its way.
    #[must_use]
    pub fn settle(self, parting: Parting) -> Settling {
        let (over, told) = std::io::pipe().map_or((None, None), |(over, told)| (Some(over), Some(told)));
        let _ = self.stop.try_send(Word::Settle(parting, told));
        Settling { stop: self.stop, account: self.account, over }
    }
}

/// What a gate's thread is told at the end.
#[derive(Debug)]
enum Word {
    /// The sandbox has ended in this way. The pipe is closed when the account has been told.
    Settle(Parting, Option<PipeWriter>),
    /// Nobody waits any more.
    GiveUp,
}

/// Words that wait to be heard: each is said once.
const MOST_WORDS: usize = 2;

/// A gate that sends what is on its way, and will then tell its account.
#[derive(Debug)]
pub struct Settling {
    stop: mpsc::Sender<Word>,
    account: Receiver<Option<Account>>,
    over: Option<PipeReader>,
}

impl Settling {
    /// Has a hang-up when the account is there. None where there is no such descriptor, and [`Settling::account`] waits.
    #[must_use]
    pub fn over(&self) -> Option<BorrowedFd<'_>> {
        self.over.as_ref().map(PipeReader::as_fd)
    }

    /// Nobody waits for what is on its way: it is cut, and the account tells it.
    pub fn give_up(&self) {
        // Where it was said before there may be no room.
        let _ = self.stop.try_send(Word::GiveUp);
    }

    /// What it has to tell. Taking down what it was made of is not waited for: nothing is in the sandbox any more.
    #[must_use]
    pub fn account(self) -> Option<Account> {
        self.account.recv().ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_of_the_environment_is_the_gates_and_no_programs() {
        let mut env: Vec<Variable> = [
            ("PATH", "/bin"),
            ("HTTP_PROXY", "http://second:1"),
            ("https_proxy", "http://first:2"),
            ("ALL_PROXY", "socks5h://198.18.0.2:1080"),
            ("no_proxy", "corp.example"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
        assert_eq!(
            take_proxy(&mut env, &[("https_proxy".into(), "http://other:3".into())]),
            Upstream::read("http://first:2", "corp.example")
        );
        let left: Vec<String> = env.iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(left, ["PATH", "ALL_PROXY", "no_proxy"]);
    }

    /// Few profiles let the variables through.
    #[test]
    fn a_proxy_of_the_callers_that_no_program_sees_is_the_gates() {
        let caller = [("no_proxy", "corp.example"), ("https_proxy", "http://first:2")]
            .map(|(name, value)| (name.into(), value.into()));
        let mut env: Vec<Variable> = vec![("PATH".into(), "/bin".into())];
        assert_eq!(take_proxy(&mut env, &caller), Upstream::read("http://first:2", "corp.example"));
        assert_eq!(env.len(), 1);
    }
    /// A profile may name them itself, and a gate may stand in another's sandbox: there is nothing at this address on the host.
    #[test]
    fn the_gates_own_endpoints_are_no_proxy_of_the_hosts() {
        let pairs = |all: &[(&str, &str)]| -> Vec<Variable> {
            all.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
        };
        let own = [
            ("https_proxy", "http://198.18.0.2:3128"),
            ("HTTP_PROXY", "198.18.0.2:3128"),
            ("all_proxy", "http://me:word@198.18.0.2:3128/"),
        ];
        let mut env = pairs(&own);
        assert_eq!(take_proxy(&mut env, &pairs(&own)), None);
        assert_eq!(env, pairs(&own));
        let caller = pairs(&[("HTTPS_PROXY", "http://198.18.0.20:1"), ("no_proxy", "198.18.0.2")]);
        let expect = Upstream::read("http://198.18.0.20:1", "198.18.0.2");
        assert!(expect.is_some());
        assert_eq!(take_proxy(&mut env, &caller), expect);
        assert_eq!(take_proxy(&mut caller.clone(), &[]), expect);
    }
}
