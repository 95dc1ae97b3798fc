//! The gate's proxies on the host's loopback: where nothing leads a sandbox's connections to the gate, they are all that it can reach.
//!
//! Made by the launcher, as the user, for the server part can listen nowhere by itself.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;

use super::passed::Passed;

/// Listening sockets.
#[derive(Debug)]
pub(super) struct Endpoints {
    /// The port of the HTTP endpoint.
    pub(super) http: u16,
    /// The port of the SOCKS5 endpoint.
    pub(super) socks: u16,
    /// By name.
    pub(super) sockets: [(Passed, OwnedFd); 2],
}

impl Endpoints {
    /// Both, at ports that are free.
    pub(super) fn open() -> io::Result<Self> {
        let open = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let (http, socks) = (open()?, open()?);
        let ports = [http.local_addr()?.port(), socks.local_addr()?.port()];
        let sockets = [(Passed::HttpProxy, http.into()), (Passed::SocksProxy, socks.into())];
        Ok(Self { http: ports[0], socks: ports[1], sockets })
    }
}
