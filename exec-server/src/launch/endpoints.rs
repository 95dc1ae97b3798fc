//! The gate's proxies on the host's loopback: where nothing leads a sandbox's connections to the gate, they are all that it can reach.
//!
//! Made by the launcher, as the user, for the server part can listen nowhere by itself.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;

use weir_protocol::policy::{Degradation, NetworkMode};
use weir_sandbox_linux::gate::Proxies;
use weir_sandbox_linux::host::Way;

use super::Launch;
use super::passed::Passed;

/// Listening sockets.
#[derive(Debug)]
pub(super) struct Endpoints {
    /// Where they are.
    pub(super) ports: Proxies,
    /// By name.
    pub(super) sockets: Vec<(Passed, OwnedFd)>,
}

impl Endpoints {
    /// Whether the launch cannot do without, and its profile says so by name.
    pub(super) fn are_needed(launch: &Launch, way: Way) -> bool {
        let policy = &launch.policy;
        let in_full = policy.network().mode.value == NetworkMode::Full;
        let given_up = policy.degradations().contains_key(&Degradation::ProxyOnlyNetwork);
        launch.is_gated() && way == Way::Bare && in_full && given_up
    }

    /// Both, at ports that are free.
    pub(super) fn open() -> io::Result<Self> {
        let open = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let (http, socks) = (open()?, open()?);
        let ports = Proxies { http: http.local_addr()?.port(), socks: socks.local_addr()?.port() };
        Ok(Self {
            ports,
            sockets: vec![(Passed::HttpProxy, http.into()), (Passed::SocksProxy, socks.into())],
        })
    }
}
