//! Where a running server is, and whether it may be spoken with.
//!
//! A server is asked to run commands and is believed in what it says of them, so who listens must be root or this user: whoever
//! else made a socket at a place where one was expected gets no word (`SO_PEERCRED`, unix(7): the user at the time of
//! listen(2)). The command line calls this.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tokio::net::unix::pipe::Receiver;
use weir_protocol::method::Call;
use weir_protocol::method::server::{Hello, VERSION, Welcome};

use super::{Link, LinkError, Message, Server, result};

/// Names a socket, or `none`.
const VARIABLE: &str = "WEIR_SERVER";

/// Below `$XDG_RUNTIME_DIR`: the server of this user.
const OWN: &str = "weir/exec-server.sock";

/// The system's server.
const SYSTEM: &str = "/run/weir/exec-server.sock";

/// The word for no server.
const NONE: &str = "none";

/// How long a server is waited for that says nothing: one that is there answers at once, and one that starts on a busy machine in seconds.
const GREETING: Duration = Duration::from_secs(30);

/// Which running server is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Which {
    /// The one that `$WEIR_SERVER` names, or else this user's, or else the system's where its mode lets this user connect; where
    /// nothing listens, none.
    #[default]
    Found,
    /// The one at this socket, and no other.
    At(PathBuf),
    /// None.
    None,
}

/// `none`, or a socket.
impl From<OsString> for Which {
    fn from(text: OsString) -> Self {
        if text == NONE { Self::None } else { Self::At(text.into()) }
    }
}

/// Connects to the server that is meant, or starts one for one command alone where none is meant or runs.
///
/// # Errors
/// [`LinkError`] when one is there and cannot be used, or none can be started.
pub fn find_or_embed(which: &Which) -> Result<Link, LinkError> {
    find(which)?.map_or_else(Link::embedded, Ok)
}

/// Connects to the server that is meant; `None` where it is none, or none runs.
///
/// # Errors
/// [`LinkError`] when one is there and cannot be used. None is used in its place.
pub fn find(which: &Which) -> Result<Option<Link>, LinkError> {
    dial(which)?.map(Dialled::greet).transpose()
}

/// The same for whoever waits for other things as well. Within a runtime.
///
/// # Errors
/// As [`find`].
pub async fn find_while(which: &Which) -> Result<Option<Link>, LinkError> {
    match dial(which)? {
        Some(dialled) => dialled.greet_while().await.map(Some),
        None => Ok(None),
    }
}

/// Connects to the server that is meant, and says nothing yet.
fn dial(which: &Which) -> Result<Option<Dialled>, LinkError> {
    match which {
        Which::None => Ok(None),
        Which::At(path) => match connect(path)? {
            Some(dialled) => Ok(Some(dialled)),
            None => Err(LinkError::NoServer { looked: vec![path.clone()] }),
        },
        Which::Found => {
            let named = set(VARIABLE).is_some();
            for path in places() {
                match connect(&path) {
                    // Nobody has said that this user uses it.
                    Err(LinkError::Connect { source, .. })
                        if !named && source.kind() == ErrorKind::PermissionDenied => {}
                    Ok(None) => {}
                    found => return found,
                }
            }
            Ok(None)
        }
    }
}

/// Connects to the server that is meant.
///
/// # Errors
/// As [`find`], and [`LinkError::NoServer`].
pub fn reach(which: &Which) -> Result<Link, LinkError> {
    let looked = || if *which == Which::Found { places() } else { Vec::new() };
    find(which)?.ok_or_else(|| LinkError::NoServer { looked: looked() })
}

/// The sockets at which a server may listen, best first.
fn places() -> Vec<PathBuf> {
    match set(VARIABLE) {
        Some(none) if none == NONE => Vec::new(),
        Some(path) => vec![path.into()],
        None => {
            let own = set("XDG_RUNTIME_DIR").map(|base| Path::new(&base).join(OWN));
            own.into_iter().chain([PathBuf::from(SYSTEM)]).collect()
        }
    }
}

fn set(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Connects and agrees on a version; `None` where nothing listens.
pub(super) fn reconnect(path: &Path) -> Result<Option<Link>, LinkError> {
    connect(path)?.map(Dialled::greet).transpose()
}

/// Connects; `None` where nothing listens.
fn connect(path: &Path) -> Result<Option<Dialled>, LinkError> {
    let socket = match UnixStream::connect(path) {
        Ok(socket) => socket,
        Err(error) if [ErrorKind::NotFound, ErrorKind::ConnectionRefused].contains(&error.kind()) => {
            return Ok(None);
        }
        Err(source) => return Err(LinkError::Connect { path: path.to_owned(), source }),
    };
    check_peer(&socket, path)?;
    Ok(Some(Dialled { link: Link::over(socket), path: path.to_owned() }))
}

/// A connection to a running server on which nothing was said.
struct Dialled {
    link: Link,
    path: PathBuf,
}

impl Dialled {
    fn greet(mut self) -> Result<Link, LinkError> {
        let greeted = self.link.greet();
        self.greeted(greeted)
    }

    async fn greet_while(mut self) -> Result<Link, LinkError> {
        let greeted = self.link.greet_while().await;
        self.greeted(greeted)
    }

    fn greeted(mut self, greeted: Result<(), LinkError>) -> Result<Link, LinkError> {
        let unwelcome = |source| LinkError::Unwelcome { path: self.path.clone(), source: Box::new(source) };
        greeted.map_err(unwelcome)?;
        self.link.server = Server::Running(self.path);
        Ok(self.link)
    }
}

impl Link {
    /// Agrees on a version.
    pub(super) fn greet(&mut self) -> Result<(), LinkError> {
        let until = Instant::now() + GREETING;
        let id = self.say_hello()?;
        while !self.is_welcome(id)? {
            let left = until.saturating_duration_since(Instant::now());
            // A timespec holds any time that is waited for here.
            let left = Timespec::try_from(left).unwrap_or_default();
            match poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&left)) {
                Ok(0) => return Err(LinkError::Silent { after: GREETING }),
                Ok(_) => self.read_ready()?,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(LinkError::Stream(errno.into())),
            }
        }
        Ok(())
    }

    /// The same for whoever waits for other things as well.
    pub(super) async fn greet_while(&mut self) -> Result<(), LinkError> {
        let agreed = async {
            let id = self.say_hello()?;
            while !self.is_welcome(id)? {
                // A receiver waits for any descriptor that can be waited for; a new one knows of nothing that was read already.
                let socket = self.socket.try_clone()?;
                Receiver::from_owned_fd_unchecked(socket.into())?.readable().await?;
                self.read_ready()?;
            }
            Ok(())
        };
        let late = |_| LinkError::Silent { after: GREETING };
        tokio::time::timeout(GREETING, agreed).await.map_err(late)?
    }

    fn say_hello(&mut self) -> Result<u64, LinkError> {
        let client = concat!("weir ", env!("CARGO_PKG_VERSION")).to_owned();
        self.send(Call::Hello(Hello { versions: vec![VERSION], client }), &[])
    }

    /// Whether the server has answered a greeting, and speaks this version.
    fn is_welcome(&mut self, id: u64) -> Result<bool, LinkError> {
        while let Some(message) = self.arrived()? {
            let Message::Answer(response) = message else { continue };
            if response.id.is_some_and(|answered| answered != id) {
                continue;
            }
            let welcome: Welcome = result(response)?;
            if welcome.version != VERSION {
                let other = serde::de::Error::custom(format!("it chose version {}", welcome.version));
                return Err(LinkError::Answer(other));
            }
            return Ok(true);
        }
        Ok(false)
    }
}

#[cfg(target_os = "linux")]
fn check_peer(socket: &UnixStream, path: &Path) -> Result<(), LinkError> {
    let failed = |source| LinkError::Connect { path: path.to_owned(), source };
    // rustix takes the number 0 of a process outside of this PID namespace for an error.
    let peer = getsockopt(socket, PeerCredentials).map_err(|errno| failed(errno.into()))?;
    if [0, rustix::process::geteuid().as_raw()].contains(&peer.uid()) {
        return Ok(());
    }
    Err(LinkError::Foreign { path: path.to_owned(), uid: peer.uid() })
}

/// Where nobody says who listens, nobody is trusted.
#[cfg(not(target_os = "linux"))]
fn check_peer(_socket: &UnixStream, path: &Path) -> Result<(), LinkError> {
    Err(LinkError::Connect { path: path.to_owned(), source: ErrorKind::Unsupported.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_and_a_path_are_told_apart() {
        let cases =
            [("none", Which::None), ("./none", Which::At("./none".into())), ("/s", Which::At("/s".into()))];
        for (text, expect) in cases {
            assert_eq!(Which::from(OsString::from(text)), expect);
        }
    }
}
