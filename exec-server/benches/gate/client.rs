//! The client that every sandbox is measured with: this program once more, started inside with [`WORD`]. It connects to the servers
//! of the benchmark, directly or by the `CONNECT` of the proxy that its environment names, and writes down what that took.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use percent_encoding::percent_decode_str;
use weir_protocol::gate::{HTTP_PORT, PROXY};

use super::{AT_ONCE, EACH_BYTES, median, transfer};

/// With which this program is the client.
pub(crate) const WORD: &str = "--client";

/// Connections that are set up one after the other.
const SETUPS: usize = 200;

/// Longest time for which anything is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Most bytes of a proxy's answer.
const MAX_ANSWER_BYTES: usize = 8 << 10;

/// Word before a measure that could not be taken.
const FAILED: &str = "failed";

/// What is measured, in the order in which it is told: one connection, the transfer, many connections at once.
pub(crate) const MEASURES: usize = 3;

/// A time, or why there is none.
pub(crate) type Measured = Result<Duration, String>;

/// How the servers are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// By a connection to them.
    Straight,
    /// By the proxy that the environment names (`HTTP_PROXY`).
    Proxy,
    /// By the proxy that stands where Weir's does; no variable is needed.
    WeirProxy,
}

impl Route {
    const ALL: [(Self, &str); 3] =
        [(Self::Straight, "straight"), (Self::Proxy, "proxy"), (Self::WeirProxy, "weir-proxy")];
}

/// What the client is told to do.
#[derive(Debug, Clone)]
pub(crate) struct Errand {
    pub(crate) route: Route,
    pub(crate) host: String,
    /// Ports of the server that gives each byte back, and of the one that takes them.
    pub(crate) ports: [u16; 2],
    pub(crate) mib: usize,
}

impl Errand {
    /// As arguments, and back by [`Errand::read`].
    pub(crate) fn words(&self) -> Vec<String> {
        let (_, route) = Route::ALL.into_iter().find(|(route, _)| *route == self.route).unwrap();
        let [echo, sink] = self.ports;
        vec![
            WORD.to_owned(),
            route.to_owned(),
            self.host.clone(),
            echo.to_string(),
            sink.to_string(),
            self.mib.to_string(),
        ]
    }

    /// From what follows [`WORD`].
    pub(crate) fn read(words: &[String]) -> Self {
        let [route, host, echo, sink, mib] = words else { panic!("{words:?}") };
        let (route, _) = Route::ALL.into_iter().find(|(_, name)| name == route).unwrap();
        let ports = [echo, sink].map(|port| port.parse().unwrap());
        Self { route, host: host.clone(), ports, mib: mib.parse().unwrap() }
    }

    /// Takes every measure, and tells each in a line.
    pub(crate) fn run(&self) -> String {
        let way = match Way::of(self) {
            Ok(way) => way,
            Err(error) => return format!("{FAILED} {error}\n").repeat(MEASURES),
        };
        let [echo, sink] = self.ports;
        let found: [io::Result<Duration>; MEASURES] =
            [way.set_up(echo), way.transfer(sink, self.mib), way.at_once(echo)];
        found.iter().fold(String::new(), |mut told, one| {
            let _ = match one {
                Ok(time) => writeln!(told, "{}", time.as_nanos()),
                Err(error) => writeln!(told, "{FAILED} {error}"),
            };
            told
        })
    }
}

/// What a client has told.
pub(crate) fn told(output: &str) -> Option<[Measured; MEASURES]> {
    let lines = output.lines().rev().take(MEASURES).collect::<Vec<_>>();
    let mut lines = lines.into_iter().rev().map(|line| match line.strip_prefix(FAILED) {
        Some(why) => Some(Err(why.trim().to_owned())),
        None => line.parse().ok().map(|nanoseconds| Ok(Duration::from_nanos(nanoseconds))),
    });
    Some([lines.next()??, lines.next()??, lines.next()??])
}

/// How connections are made.
struct Way {
    /// Host and port to which they go, where it is not the server.
    proxy: Option<(String, u16)>,
    /// The line that lets this client in there.
    permit: String,
    host: String,
}

impl Way {
    fn of(errand: &Errand) -> Result<Self, String> {
        let host = errand.host.clone();
        let (proxy, permit) = match errand.route {
            Route::Straight => (None, String::new()),
            Route::WeirProxy => (Some((PROXY.to_string(), HTTP_PORT)), String::new()),
            Route::Proxy => {
                let named = std::env::var("HTTP_PROXY").map_err(|_| "HTTP_PROXY is not set".to_owned())?;
                let (proxy, permit) = proxy(&named).ok_or_else(|| format!("HTTP_PROXY={named}"))?;
                (Some(proxy), permit)
            }
        };
        Ok(Self { proxy, permit, host })
    }

    /// A connection on its way; a proxy has been asked, and has not yet answered.
    fn begin(&self, port: u16) -> io::Result<TcpStream> {
        let to = self.proxy.clone().unwrap_or_else(|| (self.host.clone(), port));
        let mut stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        if self.proxy.is_some() {
            let (host, permit) = (&self.host, &self.permit);
            let request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{permit}\r\n");
            stream.write_all(request.as_bytes())?;
        }
        Ok(stream)
    }

    /// The same connection, once it leads to the server: that says nothing by itself, so all that comes is the proxy's answer.
    fn finish(&self, mut stream: TcpStream) -> io::Result<TcpStream> {
        if self.proxy.is_none() {
            return Ok(stream);
        }
        let mut answer = Vec::new();
        let mut room = [0; 1024];
        while !answer.ends_with(b"\r\n\r\n") && answer.len() < MAX_ANSWER_BYTES {
            match stream.read(&mut room)? {
                0 => break,
                count => answer.extend(&room[..count]),
            }
        }
        let answer = String::from_utf8_lossy(&answer);
        match answer.split(' ').nth(1) {
            Some("200") => Ok(stream),
            _ => Err(io::Error::other(answer.lines().next().unwrap_or("the proxy said nothing").to_owned())),
        }
    }

    fn open(&self, port: u16) -> io::Result<TcpStream> {
        self.finish(self.begin(port)?)
    }

    fn set_up(&self, port: u16) -> io::Result<Duration> {
        let once = || {
            let begun = Instant::now();
            let mut stream = self.open(port)?;
            stream.write_all(b"\0")?;
            stream.read_exact(&mut [0])?;
            Ok(begun.elapsed())
        };
        let times: io::Result<Vec<Duration>> = (0..SETUPS).map(|_| once()).collect();
        times.map(|mut times| median(&mut times))
    }

    fn transfer(&self, port: u16, mib: usize) -> io::Result<Duration> {
        let mut stream = self.open(port)?;
        transfer(&mut stream, mib)
    }

    fn at_once(&self, port: u16) -> io::Result<Duration> {
        let begun = Instant::now();
        let word = vec![0; EACH_BYTES];
        let begun_all: Vec<TcpStream> = (0..AT_ONCE).map(|_| self.begin(port)).collect::<io::Result<_>>()?;
        let mut all: Vec<TcpStream> =
            begun_all.into_iter().map(|stream| self.finish(stream)).collect::<io::Result<_>>()?;
        for stream in &mut all {
            stream.write_all(&word)?;
        }
        let mut back = vec![1; EACH_BYTES];
        for stream in &mut all {
            stream.read_exact(&mut back)?;
        }
        Ok(begun.elapsed())
    }
}

/// Host and port of the proxy in a URL, and the line of a request that its user name and password make.
fn proxy(url: &str) -> Option<((String, u16), String)> {
    let place = url.strip_prefix("http://")?.trim_end_matches('/');
    let (user, place) = place.rsplit_once('@').map_or((None, place), |(user, place)| (Some(user), place));
    let (host, port) = place.rsplit_once(':')?;
    let permit = user.map(|user| {
        let user: Vec<u8> = percent_decode_str(user).collect();
        format!("Proxy-Authorization: Basic {}\r\n", BASE64.encode(&user))
    });
    Some(((host.to_owned(), port.parse().ok()?), permit.unwrap_or_default()))
}
