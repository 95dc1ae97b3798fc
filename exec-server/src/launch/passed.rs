//! Descriptors that travel with the word of a launch, by name. The launcher names them in their order; the server part takes each by its
//! name and opens none itself.

use std::io::Read as _;
use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

/// What a descriptor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Passed {
    /// The controlling side of the sandbox's terminal.
    Terminal,
    /// The network gate's socket for connections of version 4.
    TcpV4,
    /// The same for version 6.
    TcpV6,
    /// The gate's socket for questions of names.
    Resolver,
    /// What the gate's table refuses is told on it.
    Refused,
    /// The gate's HTTP endpoint on the host's loopback, where no network of the sandbox leads to the gate.
    HttpProxy,
    /// The same for the SOCKS5 endpoint.
    SocksProxy,
    /// The sockets of published ports, which wait on this one.
    Published,
    /// The host's `/etc/resolv.conf`, to be read.
    ResolvConf,
    /// The host's `/etc/hosts`, to be read.
    Hosts,
    /// The host's certificates of authorities, to be read.
    Roots,
}

/// Most bytes of a file that is passed to be read.
pub const MAX_FILE_BYTES: u64 = 4 << 20;

/// Descriptors with their names.
#[derive(Debug, Default)]
pub struct Descriptors(Vec<(Passed, OwnedFd)>);

impl Descriptors {
    /// Takes one descriptor for each name; `None` where one has not come, or is named twice.
    pub fn take(names: &[Passed], mut next: impl FnMut() -> Option<OwnedFd>) -> Option<Self> {
        let mut taken: Vec<(Passed, OwnedFd)> = Vec::new();
        for name in names {
            if taken.iter().any(|(other, _)| other == name) {
                return None;
            }
            taken.push((*name, next()?));
        }
        Some(Self(taken))
    }

    /// Adds one.
    pub fn add(&mut self, name: Passed, descriptor: OwnedFd) {
        self.0.push((name, descriptor));
    }

    /// The descriptors and their names, in one order.
    pub fn list(&self) -> impl Iterator<Item = (Passed, &OwnedFd)> {
        self.0.iter().map(|(name, descriptor)| (*name, descriptor))
    }

    /// The one of this name.
    pub fn remove(&mut self, name: Passed) -> Option<OwnedFd> {
        let at = self.0.iter().position(|(other, _)| *other == name)?;
        Some(self.0.swap_remove(at).1)
    }

    /// What the file of this name holds, up to [`MAX_FILE_BYTES`]; nothing where there is none or it cannot be read.
    pub fn read(&mut self, name: Passed) -> Option<Vec<u8>> {
        let file = std::fs::File::from(self.remove(name)?);
        let mut content = Vec::new();
        file.take(MAX_FILE_BYTES).read_to_end(&mut content).ok().map(|_| content)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn each_is_taken_by_its_name_once() {
        let (hosts, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"127.0.0.1 localhost").unwrap();
        let mut waiting = vec![OwnedFd::from(hosts), OwnedFd::from(writer)];
        let names = [Passed::Resolver, Passed::Hosts];
        let mut found = Descriptors::take(&names, || waiting.pop()).unwrap();
        assert!(found.remove(Passed::Terminal).is_none());
        drop(found.remove(Passed::Resolver).unwrap());
        assert_eq!(found.read(Passed::Hosts).unwrap(), b"127.0.0.1 localhost");
        assert!(found.read(Passed::Hosts).is_none());
    }

    #[test]
    fn what_does_not_come_or_comes_twice_is_refused() {
        let two = || (0..2).map(|_| OwnedFd::from(std::io::pipe().unwrap().0)).collect::<Vec<_>>();
        let mut waiting = two();
        assert!(Descriptors::take(&[Passed::Hosts, Passed::Hosts], || waiting.pop()).is_none());
        let mut waiting = two();
        let names = [Passed::Hosts, Passed::Roots, Passed::Resolver];
        assert!(Descriptors::take(&names, || waiting.pop()).is_none());
    }
}
