//! The host's `resolv.conf` and `hosts` as bytes that somebody else has read (resolv.conf(5), hosts(5)).
//!
//! Pure and bounded. A search list is not used: a name means itself, so that no rule for one name opens another.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use weir_protocol::gate::DNS_PORT;
use weir_protocol::policy::Host;

/// Name servers that are asked, as in glibc (`MAXNS`).
pub const MAX_SERVERS: usize = 3;

/// Names that are taken from `hosts`; lists that block advertisements have some hundred thousand.
const MAX_HOSTS: usize = 1 << 19;

/// Addresses of one name in `hosts`.
const MAX_ADDRESSES: usize = 32;

/// Longest time for one server that an option may ask for, as in glibc (`RES_MAXRETRANS`).
const MAX_TIMEOUT_S: u64 = 30;

/// Most turns that an option may ask for, as in glibc (`RES_MAXRETRY`).
const MAX_ATTEMPTS: u32 = 5;

/// Who is asked, and how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Servers {
    /// In the order in which they are asked.
    pub servers: Vec<SocketAddr>,
    /// Time for one server.
    pub timeout: Duration,
    /// Turns through all servers.
    pub attempts: u32,
}

impl Servers {
    /// Reads `resolv.conf`; what is unknown or broken in it is passed over, as the C library does.
    #[must_use]
    pub fn read(text: &[u8]) -> Self {
        let mut read = Self { servers: Vec::new(), timeout: Duration::from_secs(5), attempts: 2 };
        for line in text.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok()) {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") if read.servers.len() < MAX_SERVERS => {
                    read.servers.extend(words.next().and_then(server));
                }
                Some("options") => words.for_each(|word| read.option(word)),
                _ => {}
            }
        }
        read
    }

    fn option(&mut self, word: &str) {
        let number = |text: &str| text.parse::<u64>().ok().filter(|number| *number > 0);
        if let Some(seconds) = word.strip_prefix("timeout:").and_then(number) {
            self.timeout = Duration::from_secs(seconds.min(MAX_TIMEOUT_S));
        } else if let Some(turns) = word.strip_prefix("attempts:").and_then(number) {
            self.attempts = u32::try_from(turns).unwrap_or(MAX_ATTEMPTS).min(MAX_ATTEMPTS);
        }
    }
}

/// An address, with `%` and the number of an interface where it is of one link; `[address]:port` as on OpenBSD.
fn server(text: &str) -> Option<SocketAddr> {
    if let Some((address, port)) = text.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
        return Some(SocketAddr::new(address.parse().ok()?, port.parse().ok()?));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(SocketAddr::new(address, DNS_PORT));
    }
    format!("[{text}]:{DNS_PORT}").parse().ok()
}

/// The addresses of names, lower case, as `hosts` has them.
#[must_use]
pub fn hosts(text: &[u8]) -> HashMap<String, Vec<IpAddr>> {
    let mut found: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for line in text.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok()) {
        let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
        for word in words {
            let Ok(Host::Name(name)) = Host::parse(word) else { continue };
            if found.len() >= MAX_HOSTS && !found.contains_key(&name) {
                return found;
            }
            let addresses = found.entry(name).or_default();
            if addresses.len() < MAX_ADDRESSES && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_as_the_c_library_reads_them() {
        let text = b"# comment\nsearch corp.example\nnameserver 127.0.0.53\nnameserver nonsense\nnameserver [x]:1\nnameserver fe80::1%2\n\
            options edns0 timeout:1 attempts:9\nnameserver [10.0.0.1]:5353\nnameserver 10.0.0.2\n\xff\xff\noptions timeout:0";
        let read = Servers::read(text);
        let expect = ["127.0.0.53:53", "[fe80::1%2]:53", "10.0.0.1:5353"];
        assert_eq!(read.servers.iter().map(ToString::to_string).collect::<Vec<_>>(), expect);
        assert_eq!((read.timeout, read.attempts), (Duration::from_secs(1), MAX_ATTEMPTS));
        assert_eq!(Servers::read(b"").servers, []);
    }

    #[test]
    fn hosts_are_read_by_name() {
        let read = hosts(b"127.0.0.1 localhost\n10.0.0.9 DB db.Example.org. # db2\n::9\tdb\n10.0.0.9 db\nx y\n1.2.3.4 127.1\n");
        let of =
            |name: &str| read.get(name).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(of("db"), Some(vec!["10.0.0.9".to_owned(), "::9".to_owned()]));
        assert_eq!(of("db.example.org"), Some(vec!["10.0.0.9".to_owned()]));
        assert_eq!((of("db2"), of("y"), read.len()), (None, None, 3));
    }
}
