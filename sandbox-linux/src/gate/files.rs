//! The files by which programs find names, as a sandbox behind the gate sees them (resolv.conf(5), nsswitch.conf(5), hosts(5)).
//!
//! Pure: what the host's own say is given. They are shown over the host's, which stays as it is; where a host has none of them, a
//! program's library asks 127.0.0.1, and the gate's table leads that to the resolver as well.

use weir_protocol::gate::RESOLVER;

/// The resolver, and where names without a dot are looked for.
pub const RESOLV_CONF: &str = "/etc/resolv.conf";
/// In which order users, groups and names are looked for.
pub const NSSWITCH: &str = "/etc/nsswitch.conf";
/// Names that need no resolver.
pub const HOSTS: &str = "/etc/hosts";

/// Every one.
pub const NAME_FILES: [&str; 3] = [RESOLV_CONF, NSSWITCH, HOSTS];

/// Where programs look for the certificates of authorities as one file.
pub const BUNDLES: [&str; 8] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/lib/ssl/cert.pem",
    "/var/lib/ca-certificates/ca-bundle.pem",
];

/// Where Java looks for them.
pub const KEY_STORES: [&str; 3] =
    ["/etc/ssl/certs/java/cacerts", "/etc/pki/java/cacerts", "/etc/pki/ca-trust/extracted/java/cacerts"];

/// Most bytes of a host's own file that are looked at.
pub const MAX_HOST_BYTES: u64 = 64 << 10;

/// Most bytes of the line with domains that are searched, more than any library takes.
const MAX_SEARCH_BYTES: usize = 1024;

/// How names of hosts are looked for: nothing else inside could answer.
const HOSTS_LINE: &str = "hosts: files dns";

/// What the file holds inside; `own` is what the host's own holds.
#[must_use]
pub fn content(name: &str, own: &[u8]) -> Vec<u8> {
    let own = String::from_utf8_lossy(own);
    let text = match name {
        RESOLV_CONF => resolv_conf(&own),
        NSSWITCH => nsswitch(&own),
        _ => "127.0.0.1 localhost weir\n::1 localhost ip6-localhost ip6-loopback\n".to_owned(),
    };
    text.into_bytes()
}

/// The one resolver; the host's domains stay searched. The last such line counts.
fn resolv_conf(own: &str) -> String {
    let searches = |line: &&str| matches!(line.split_whitespace().next(), Some("search" | "domain"));
    let search = own.lines().rfind(searches).filter(|line| line.len() <= MAX_SEARCH_BYTES);
    let search = search.map(|line| format!("{}\n", line.trim())).unwrap_or_default();
    format!("nameserver {RESOLVER}\n{search}")
}

/// The host's own with another line for names.
fn nsswitch(own: &str) -> String {
    let other = own.lines().filter(|line| !line.trim_start().starts_with("hosts:"));
    other.chain([HOSTS_LINE]).map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, own: &str, expect: &str) {
        assert_eq!(String::from_utf8_lossy(&content(name, own.as_bytes())), expect, "{name}: {own:?}");
    }

    #[test]
    fn the_one_resolver_and_the_host_s_domains() {
        check(RESOLV_CONF, "", "nameserver 198.18.0.1\n");
        let own =
            "nameserver 10.0.0.1\n# search no\ndomain old.example\n search a.example b.example\noptions x\n";
        check(RESOLV_CONF, own, "nameserver 198.18.0.1\nsearch a.example b.example\n");
        check(RESOLV_CONF, &format!("search {}", "a".repeat(2000)), "nameserver 198.18.0.1\n");
    }

    #[test]
    fn only_the_line_for_hosts_is_another() {
        check(NSSWITCH, "", "hosts: files dns\n");
        check(
            NSSWITCH,
            "passwd: files sss\nhosts: files mdns4_minimal [NOTFOUND=return] resolve\ngroup: files",
            "passwd: files sss\ngroup: files\nhosts: files dns\n",
        );
    }

    #[test]
    fn localhost_is_a_name() {
        let hosts = content(HOSTS, b"10.0.0.1 secret.example\n");
        assert!(hosts.starts_with(b"127.0.0.1 localhost"), "{hosts:?}");
        assert!(!String::from_utf8_lossy(&hosts).contains("secret"));
    }
}
