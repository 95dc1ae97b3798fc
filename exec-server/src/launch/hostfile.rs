//! Files of the host that the network gate goes by. The launcher opens them as the user whom it serves; the server part only reads.

use std::os::fd::OwnedFd;

use rustix::fs::{FileType, Mode, OFlags};
use weir_protocol::Policy;
use weir_protocol::policy::NetworkMode;

use super::passed::{Descriptors, Passed};

/// Where the host's resolvers are named.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Where the host names some itself.
const HOSTS: &str = "/etc/hosts";

/// Where systems keep the certificates of authorities as one file; the first that exists.
pub(super) const ROOTS: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/var/lib/ca-certificates/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Adds what there is of them.
pub(super) fn add_all(policy: &Policy, to: &mut Descriptors) {
    let roots: &[&str] = match policy.network().mode.value {
        NetworkMode::Limited => &ROOTS,
        NetworkMode::Full => &[],
    };
    let wanted =
        [(Passed::ResolvConf, &[RESOLV_CONF][..]), (Passed::Hosts, &[HOSTS]), (Passed::Roots, roots)];
    for (name, paths) in wanted {
        if let Some(file) = paths.iter().find_map(|path| open(path)) {
            to.add(name, file);
        }
    }
}

/// A regular file, open for reading. Nothing else is waited for.
pub(super) fn open(path: &str) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    let found = rustix::fs::fstat(&file).ok()?;
    (FileType::from_raw_mode(found.st_mode) == FileType::RegularFile).then_some(file)
}
