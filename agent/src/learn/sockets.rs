//! Unix sockets that were connected to, and what listened inside.
//!
//! A socket of the host takes a rule of its own. What was bound inside, by path or on loopback, takes the sandbox's own loopback, and so
//! does whoever connects to it.

use std::collections::{BTreeMap, BTreeSet};

use weir_protocol::denial::Act;
use weir_protocol::policy::Request;
use weir_protocol::policy::glob::has_wildcard;
use weir_protocol::profile::read::key_of;
use weir_protocol::recorded::{DATAGRAMS, Recorded, Use};
use weir_protocol::{AbsPath, Policy};

use super::{Ground, Needed};

/// What of sockets needs a rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Sockets {
    /// Sockets of the host, by path.
    pub unix: BTreeMap<AbsPath, Needed>,
    /// Sockets of the host that no rule can name, by path.
    pub nameless: BTreeMap<AbsPath, Needed>,
    /// What needed loopback.
    pub loopback: Option<Needed>,
    /// Ports on which servers of TCP were to be found, the kernel's choice aside.
    pub ports: BTreeSet<u16>,
    /// Addresses of loopback that were connected to, where nothing inside listened.
    pub elsewhere: BTreeSet<String>,
}

/// What was used of sockets so far.
#[derive(Debug, Default)]
pub(super) struct Used {
    /// Paths that were bound inside.
    bound: BTreeSet<AbsPath>,
    /// Paths that were connected to.
    connected: BTreeMap<AbsPath, Needed>,
    /// Addresses that were connected to.
    near: BTreeMap<String, Needed>,
    sockets: Sockets,
}

impl Used {
    pub(super) fn add(&mut self, one: &Use, program: Option<&str>) {
        let path = AbsPath::parse(&one.path.0).ok();
        match (one.operation, path) {
            (Act::Bind, path) => {
                self.sockets.loopback.get_or_insert_default().add(Act::Bind, program);
                match path {
                    Some(path) => drop(self.bound.insert(path)),
                    None => self.sockets.ports.extend(port(&one.path.to_string())),
                }
            }
            (Act::Connect, Some(path)) => self.connected.entry(path).or_default().add(Act::Connect, program),
            (Act::Connect, None) => {
                self.near.entry(one.path.to_string()).or_default().add(Act::Connect, program);
            }
            _ => {}
        }
    }

    pub(super) fn finish(mut self, ground: Ground<'_>) -> Sockets {
        let private = ground.wide.filesystem().private();
        for (path, needed) in self.connected {
            let is_granted = |base: &Policy| base.verdict(&Request::UnixSocket { path: &path }).allowed;
            if self.bound.contains(&path) || private.iter().any(|private| path.starts_with(&private.path)) {
                self.sockets.loopback.get_or_insert_default().merge(needed);
            } else if !ground.base.is_some_and(is_granted) {
                let all = if rule_for(&path).is_some() {
                    &mut self.sockets.unix
                } else {
                    &mut self.sockets.nameless
                };
                all.insert(path, needed);
            }
        }
        for (address, needed) in self.near {
            match &mut self.sockets.loopback {
                Some(loopback) => loopback.merge(needed),
                None => {
                    self.sockets.elsewhere.insert(address);
                }
            }
        }
        if ground.base.is_some_and(|base| base.network().loopback.value) {
            self.sockets.loopback = None;
        }
        self.sockets
    }
}

/// A socket, or a directory of sockets, as a rule names it. A rule for sockets is no pattern, so what would need an escape in one has none.
pub(super) fn rule_for(path: &AbsPath) -> Option<String> {
    key_of(path).filter(|key| !has_wildcard(key))
}

/// The port that somebody chose for a stream.
fn port(address: &str) -> Option<u16> {
    let (_, port) = address.rsplit_once(':')?;
    port.parse().ok().filter(|port| *port != 0 && !address.starts_with(DATAGRAMS))
}

/// Paths of sockets that were connected to: whoever connects needs no rule for the file.
pub(super) fn connected(recorded: &Recorded) -> BTreeSet<&[u8]> {
    let connects = recorded.uses.iter().filter(|one| one.operation == Act::Connect);
    connects.map(|one| one.path.0.as_slice()).collect()
}
