//! Which unix sockets may be connected to.

use weir_protocol::AbsPath;

use crate::seccomp::Grant;

/// One rule about sockets at or below a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketGrant {
    /// The path, as the sandbox sees it.
    pub path: AbsPath,
    /// Whether sockets there may be connected to.
    pub verdict: Grant,
}

/// What decides a connection to a unix socket. Allowed are sockets that a rule grants, that lie on a file system which only the
/// sandbox has, and that a process of the sandbox bound during this run; the rule with most components decides where one covers
/// the path, so a denial by rule also holds on private file systems.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketRules {
    /// Rules in any order; of several with the same path a denial wins.
    pub grants: Vec<SocketGrant>,
    /// `st_dev` of the file systems that were made for this sandbox (its `/tmp`, home, `/dev/shm`).
    pub private_devices: Vec<u64>,
    /// Abstract names: [`Grant::Allowed`] only where the network namespace is the sandbox's own.
    pub abstract_names: Grant,
}

impl SocketRules {
    /// No rule, no private file system, no abstract name: only what is bound inside can be reached.
    pub const STRICT: Self =
        Self { grants: Vec::new(), private_devices: Vec::new(), abstract_names: Grant::Denied };

    /// The rule for a path without symbolic links, if one covers it.
    pub(crate) fn rule(&self, path: &AbsPath) -> Option<Grant> {
        let covering = self.grants.iter().filter(|grant| path.starts_with(&grant.path));
        covering
            .max_by_key(|grant| (grant.path.depth(), grant.verdict == Grant::Denied))
            .map(|grant| grant.verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> AbsPath {
        AbsPath::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn the_longest_rule_decides() {
        let grant = |text, verdict| SocketGrant { path: path(text), verdict };
        let rules = SocketRules {
            grants: vec![
                grant("/run/a", Grant::Allowed),
                grant("/run", Grant::Denied),
                grant("/run/a/b", Grant::Denied),
                grant("/run/a/b/c.sock", Grant::Allowed),
                grant("/x", Grant::Allowed),
                grant("/x", Grant::Denied),
            ],
            ..SocketRules::STRICT
        };
        let cases = [
            ("/run/a", Some(Grant::Allowed)),
            ("/run/a/s", Some(Grant::Allowed)),
            ("/run/ab", Some(Grant::Denied)),
            ("/run/a/b/x", Some(Grant::Denied)),
            ("/run/a/b/c.sock", Some(Grant::Allowed)),
            ("/x/y", Some(Grant::Denied)),
            ("/y", None),
        ];
        for (at, want) in cases {
            assert_eq!(rules.rule(&path(at)), want, "{at}");
        }
    }
}
