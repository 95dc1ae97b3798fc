//! What a service manager hears of the server (sd_notify(3)); nothing where there is none.
//!
//! A socket is made for each word, so that no process that the supervisor makes holds one.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// What there is to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Clients are taken.
    Ready,
    /// The requirements are read again; [`State::Ready`] follows.
    Reloading,
    /// No more clients are taken, and what runs comes to its end.
    Stopping,
}

impl State {
    const fn text(self) -> &'static str {
        match self {
            Self::Ready => "READY=1",
            Self::Reloading => "RELOADING=1",
            Self::Stopping => "STOPPING=1",
        }
    }
}

/// The service manager, where one listens.
#[derive(Debug)]
pub(super) struct Manager(Option<OsString>);

impl Manager {
    /// That of this process's environment.
    pub(super) fn of_this_process() -> Self {
        Self(std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()))
    }

    /// Says it.
    ///
    /// # Errors
    /// socket(2)'s and sendto(2)'s.
    pub(super) fn hears(&self, state: State) -> io::Result<()> {
        let Some(name) = &self.0 else { return Ok(()) };
        let address = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        // A manager that hears nothing just now does not hold up the server.
        socket.set_nonblocking(true)?;
        socket.send_to_addr(state.text().as_bytes(), &address).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 64];
        let count = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    }

    #[test]
    fn both_kinds_of_address_are_spoken_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        Manager(Some(path.clone().into())).hears(State::Ready).unwrap();
        assert_eq!(heard(&by_path), "READY=1");
        let name = format!("weir-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let by_name = UnixDatagram::bind_addr(&address).unwrap();
        Manager(Some(format!("@{name}").into())).hears(State::Stopping).unwrap();
        assert_eq!(heard(&by_name), "STOPPING=1");
        Manager(None).hears(State::Reloading).unwrap();
        drop(by_path);
        assert!(Manager(Some(path.into())).hears(State::Reloading).is_err());
    }
}
