//! What a recorded run may do besides, so that there is something to record: it widens the policy before the ceiling is asked.
//!
//! Loopback of the sandbox's own reaches nobody outside. Sockets of the host are reached where the client asks for it by name, and never
//! those behind which somebody acts for whoever speaks to them: what is done there is done outside of the sandbox.

use weir_protocol::method::process::{Recording, Start};
use weir_protocol::policy::{Network, NetworkParts, Origin, PolicyParts, SocketRule};
use weir_protocol::{AbsPath, ByteString, Policy};

/// Sockets, and directories of such, that never open to a recorded run; below the home where they are relative.
const POWERFUL: [(&str, &str); 27] = [
    ("/run/docker.sock", CONTAINERS),
    ("/run/docker", CONTAINERS),
    ("/run/containerd", CONTAINERS),
    ("/run/podman", CONTAINERS),
    ("/run/crio", CONTAINERS),
    ("/run/buildkit", CONTAINERS),
    ("/run/libvirt", CONTAINERS),
    ("/run/lxd", CONTAINERS),
    ("/run/incus", CONTAINERS),
    ("/var/lib/lxd", CONTAINERS),
    ("/var/lib/incus", CONTAINERS),
    ("/var/snap/lxd", CONTAINERS),
    ("/run/snapd.socket", CONTAINERS),
    ("/run/snapd-snap.socket", CONTAINERS),
    (".docker", CONTAINERS),
    (".colima", CONTAINERS),
    (".lima", CONTAINERS),
    (".orbstack", CONTAINERS),
    ("/run/dbus", BUS),
    ("/run/systemd", BUS),
    ("/run/user", SESSION),
    ("/tmp/.X11-unix", SESSION),
    ("/run/pcscd", AGENT),
    (".1password", AGENT),
    (".bitwarden-ssh-agent.sock", AGENT),
    (".gnupg", AGENT),
    (".ssh", AGENT),
];

const CONTAINERS: &str = "whoever speaks to this daemon is as good as root on this machine";
const BUS: &str = "whoever speaks there can have programs started outside of the sandbox";
const SESSION: &str =
    "agents, buses and displays of the session are there: whoever speaks to them acts as the person";
const AGENT: &str = "an agent acts with the person's keys for whoever speaks to it";

/// Variables that name such sockets, as a path or behind `unix:` and its like.
const NAMED: [(&str, &str); 5] = [
    ("SSH_AUTH_SOCK", AGENT),
    ("GPG_AGENT_INFO", AGENT),
    ("DOCKER_HOST", CONTAINERS),
    ("CONTAINER_HOST", CONTAINERS),
    ("DBUS_SESSION_BUS_ADDRESS", BUS),
];

/// The policy under which a run is recorded.
pub(super) fn widened(policy: Policy, start: &Start, recording: Recording) -> Policy {
    let policy = if recording.hosts { policy.with_gate() } else { policy };
    let policy = if recording.loopback { policy.with_loopback() } else { policy };
    if recording.sockets { with_sockets(policy, start) } else { policy }
}

/// The same with every unix socket that no rule speaks of, but those.
fn with_sockets(policy: Policy, start: &Start) -> Policy {
    let mut parts = PolicyParts::from(policy);
    let mut network: NetworkParts = parts.network.into();
    let closed = powerful(start);
    let is_spoken_of = |path: &AbsPath, rules: &[SocketRule]| rules.iter().any(|rule| rule.path == *path);
    let all = (AbsPath::root(), true, Origin::implied("what is connected to is recorded"));
    let denied = closed.into_iter().map(|(path, reason)| (path, false, Origin::implied(reason)));
    for (path, allow, origin) in std::iter::once(all).chain(denied) {
        if !is_spoken_of(&path, &network.unix_sockets) {
            network.unix_sockets.push(SocketRule { path, allow, origin });
        }
    }
    parts.network = Network::new(network);
    parts.into()
}

fn powerful(start: &Start) -> Vec<(AbsPath, &'static str)> {
    let home = start.choice.standpoint.home.as_path();
    let known = POWERFUL.iter().map(|(path, reason)| (home.join(path), *reason));
    let value = |name: &str| {
        let named = |(other, _): &&(ByteString, ByteString)| other.0 == name.as_bytes();
        start.env.iter().chain(&start.set).rfind(named).and_then(|(_, value)| path_in(&value.0))
    };
    let named = NAMED.iter().filter_map(|(name, reason)| Some((value(name)?, *reason)));
    let all = known.filter_map(|(path, reason)| Some((AbsPath::from_host(&path)?, reason))).chain(named);
    all.collect()
}

/// The path in an address: the address itself, or what stands behind `unix://` or `unix:path=`, up to the next key.
fn path_in(address: &[u8]) -> Option<AbsPath> {
    let start = address.iter().position(|byte| *byte == b'/')?;
    let path = address.get(start..)?.split(|byte| matches!(byte, b',' | b';' | b':')).next()?;
    let path = std::str::from_utf8(path).ok()?.trim_start_matches('/');
    AbsPath::parse(format!("/{path}").as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_sockets_are_read() {
        let cases = [
            ("/tmp/ssh-a/agent.1", Some("/tmp/ssh-a/agent.1")),
            ("unix:///srv/docker.sock", Some("/srv/docker.sock")),
            ("unix:path=/run/user/1/bus,guid=7", Some("/run/user/1/bus")),
            ("/home/u/.gnupg/S.gpg-agent:7:1", Some("/home/u/.gnupg/S.gpg-agent")),
            ("none", None),
        ];
        for (address, want) in cases {
            let found = path_in(address.as_bytes()).map(|path| path.to_string());
            assert_eq!(found.as_deref(), want, "{address}");
        }
    }
}
