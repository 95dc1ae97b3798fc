//! What the agent needs once it runs: places and ports, as data.

use std::path::{Path, PathBuf};

/// What a resolver, TLS and the C library read: all of it anyone's to read, and none of it a person's.
const READ: [&str; 21] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/localtime",
    "/etc/ld.so.cache",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/share/zoneinfo",
    "/usr/local/share/ca-certificates",
    "/run/systemd/resolve",
    // The C library loads its resolver's parts when they are first asked for.
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/dev/urandom",
    "/proc/self",
];

/// Devices that are read and written.
const DEVICES: [&str; 2] = ["/dev/null", "/dev/tty"];

/// Variables that name certificates (OpenSSL's, and rustls-native-certs').
const CERTIFICATES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// The port of name servers.
#[cfg(target_os = "linux")]
pub(super) const RESOLVER_PORT: u16 = 53;

/// What stays reachable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Directories and files that are read and written.
    pub write: Vec<PathBuf>,
    /// Directories and files that are read.
    pub read: Vec<PathBuf>,
    /// TCP ports that are connected to.
    pub ports: Vec<u16>,
    /// Where the exec-server listens, if it is to be reached again after its connection was lost.
    pub server: Option<PathBuf>,
}

impl Bounds {
    /// What an agent needs whose files lie below `weir_home`, and whose provider is at these ports.
    #[must_use]
    pub fn new(weir_home: &Path, ports: &[u16]) -> Self {
        let named = CERTIFICATES.into_iter().filter_map(std::env::var_os).map(PathBuf::from);
        Self {
            write: DEVICES.iter().map(PathBuf::from).chain([weir_home.to_owned()]).collect(),
            read: READ.iter().map(PathBuf::from).chain(named).collect(),
            ports: ports.to_vec(),
            server: None,
        }
    }
}
