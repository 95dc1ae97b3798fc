//! The network behind the gate, in a real sandbox: whatever is connected to arrives at one of two sockets that this process holds, with
//! where it was to go; nothing else leaves.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its support as well")]

#[path = "support/control.rs"]
mod control;
#[path = "support/policy.rs"]
mod policy;
#[path = "support/skip.rs"]
mod skip;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use control::control;
use skip::skip;
use weir_protocol::AbsPath;
use weir_protocol::policy::{Access, Network, NetworkParts, Origin, Policy, PolicyParts, Sourced};
use weir_sandbox_linux::compile::{Facts, compile};
use weir_sandbox_linux::control::{MAX_WORD_BYTES, Word};
use weir_sandbox_linux::gate::Socket;
use weir_sandbox_linux::host::{Host, Namespaces, Way};
use weir_sandbox_linux::plan::Credentials;
use weir_sandbox_linux::prepare::{Command, Prepared};
use weir_sandbox_linux::start::{First, Source, Wires, start};
use weir_sandbox_linux::step::{FAILURE_BYTES, Failure};
use weir_sandbox_linux::survey::Survey;

/// A running command, and the sockets that came out of its sandbox.
struct Run {
    sockets: BTreeMap<&'static str, OwnedFd>,
    said: std::io::PipeReader,
    first: First,
    _control: OwnedFd,
}

fn policy(loopback: bool) -> Policy {
    let path = |text| AbsPath::parse(text).unwrap();
    let sourced = |value| Sourced { value, origin: Origin::implied("a test") };
    let rules = [(&path("/"), Access::Read), (&path("/dev/null"), Access::Write)];
    let network = Network::new(NetworkParts {
        enabled: sourced(true),
        domains: Some(Vec::new()),
        loopback: sourced(loopback),
        ..NetworkParts::default()
    });
    PolicyParts { network, ..policy::of_rules(&rules, []).into() }.into()
}

/// One word from inside and the descriptor that came with it.
fn hear(control: &OwnedFd) -> (Word, Option<OwnedFd>) {
    let mut bytes = [0_u8; MAX_WORD_BYTES];
    let mut space = [0_u64; 8];
    let mut data = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: all-zero is a valid message.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut data;
    message.msg_iovlen = 1;
    message.msg_control = space.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&space);
    // SAFETY: the message points at live locals.
    let read = unsafe { libc::recvmsg(control.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) };
    let word = Word::from_bytes(&bytes[..usize::try_from(read).unwrap()]).unwrap();
    // SAFETY: the kernel filled the message in.
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    if header.is_null() {
        return (word, None);
    }
    // SAFETY: a header that the kernel wrote.
    let place = unsafe { libc::CMSG_DATA(header) };
    // SAFETY: one descriptor lies behind the header; it may be unaligned.
    let descriptor = unsafe { place.cast::<libc::c_int>().read_unaligned() };
    // SAFETY: the kernel made the descriptor for this process.
    (word, Some(unsafe { OwnedFd::from_raw_fd(descriptor) }))
}

fn host(way: Way) -> Host {
    let host = Host::probe();
    if way == Way::Direct { host } else { Host { direct: Namespaces::UNTRIED, ..host } }
}

/// Starts a script behind the gate.
fn run(way: Way, loopback: bool, script: &str) -> Run {
    let host = host(way);
    let policy = policy(loopback);
    let maker = Credentials { uid: host.identity.uid, gid: host.identity.gid, groups: Vec::new() };
    let survey = Survey::take(&policy).unwrap();
    let plan = compile(&policy, &Facts::new(&host, &survey, &maker));
    let plan = plan.unwrap_or_else(|error| panic!("{error}"));
    let argv = ["bash", "-c", script].map(|word| word.as_bytes().to_vec()).to_vec();
    let env = vec![(b"PATH".to_vec(), b"/usr/bin:/bin".to_vec())];
    let prepared =
        Prepared::new(&plan, &Command { argv, env, cwd: AbsPath::root(), umask: None }, &maker).unwrap();
    let (said, output) = std::io::pipe().unwrap();
    let (mut told, error) = std::io::pipe().unwrap();
    let (ours, theirs) = control();
    let other = output.try_clone().unwrap();
    let stdio = [Source::Closed, Source::Descriptor(output.into()), Source::Descriptor(other.into())];
    let wires = Wires { error: error.into(), control: theirs, stdio, size: None, group: None };
    let first = start(&prepared, &wires).unwrap_or_else(|failure| panic!("{failure}"));
    drop(wires);
    let mut record = Vec::new();
    told.read_to_end(&mut record).unwrap();
    if let Ok(record) = <[u8; FAILURE_BYTES]>::try_from(record.as_slice()) {
        panic!("{}", Failure::from_bytes(&record).unwrap());
    }
    let mut sockets = BTreeMap::new();
    while !sockets.contains_key(Socket::Resolver.name()) {
        let (Word::Socket(kind), Some(socket)) = hear(&ours) else { panic!("another word") };
        sockets.insert(kind.name(), socket);
    }
    Run { sockets, said, first, _control: ours }
}

impl Run {
    fn take<T: From<OwnedFd>>(&mut self, socket: Socket) -> T {
        self.sockets.remove(socket.name()).unwrap().into()
    }

    /// What the command has written when all of it has ended.
    fn ended(mut self) -> String {
        let mut text = String::new();
        self.said.read_to_string(&mut text).unwrap();
        // SAFETY: waits for a child of this process; no status is asked for.
        unsafe { libc::waitpid(self.first.pid, std::ptr::null_mut(), 0) };
        text
    }
}

fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(false).unwrap();
    listener.accept().unwrap().0
}

/// Where a connection was to go (`SO_ORIGINAL_DST`, the same number in both families).
fn destination(stream: &TcpStream) -> SocketAddr {
    const ORIGINAL_DST: libc::c_int = 80;
    let mut room = [0_u8; 28];
    let mut length = libc::socklen_t::try_from(room.len()).unwrap();
    let level = if stream.local_addr().unwrap().is_ipv4() { libc::SOL_IP } else { libc::SOL_IPV6 };
    let (place, size) = (room.as_mut_ptr().cast(), &raw mut length);
    // SAFETY: the kernel writes at most `length` bytes to the array.
    let asked = unsafe { libc::getsockopt(stream.as_raw_fd(), level, ORIGINAL_DST, place, size) };
    assert_eq!(asked, 0, "{}", std::io::Error::last_os_error());
    let port = u16::from_be_bytes([room[2], room[3]]);
    if level == libc::SOL_IP {
        return (Ipv4Addr::from(<[u8; 4]>::try_from(&room[4..8]).unwrap()), port).into();
    }
    (Ipv6Addr::from(<[u8; 16]>::try_from(&room[8..24]).unwrap()), port).into()
}

fn each(id: &str, check: impl Fn(Way)) {
    let host = Host::probe();
    let ways = [(Way::Direct, host.direct), (Way::UserNamespace, host.nested)];
    for (way, found) in ways {
        if found.essential().and(found.network).and(found.gate).works() {
            check(way);
        } else {
            skip(&format!("{id}_{}", way.name()), "no network gate can be made in this way here");
        }
    }
}

/// Loopback, private, public; of both versions; also the listeners' own addresses.
const PLACES: [&str; 9] = [
    "203.0.113.5:443",
    "198.18.1.7:80",
    "10.0.0.1:22",
    "169.254.169.254:80",
    "198.18.0.3:65535",
    "198.18.0.4:1",
    "127.0.0.1:80",
    "[2606:4700::1]:443",
    "[2001:2::3]:65535",
];

#[test]
fn every_connection_arrives_with_where_it_was_to_go() {
    each("gate_live::connections", |way| {
        let connects = PLACES.map(|place| {
            let (host, port) = place.rsplit_once(':').unwrap();
            let host = host.trim_matches(['[', ']']);
            format!("exec 3<>/dev/tcp/{host}/{port} && head -c2 <&3 && exec 3>&-")
        });
        let mut run = run(way, false, &connects.join("; "));
        let v4: TcpListener = run.take(Socket::TcpV4);
        let v6: TcpListener = run.take(Socket::TcpV6);
        for place in PLACES {
            let place: SocketAddr = place.parse().unwrap();
            let mut stream = accept(if place.is_ipv4() { &v4 } else { &v6 });
            assert_eq!(destination(&stream), place);
            std::io::Write::write_all(&mut stream, b"ok").unwrap();
        }
        assert_eq!(run.ended(), "ok".repeat(PLACES.len()));
    });
}

#[test]
fn questions_for_names_arrive_and_are_answered_and_nothing_else_is_sent() {
    each("gate_live::datagrams", |way| {
        let ask = |at: &str| format!("exec 3<>/dev/udp/{at}/53 && echo question >&3 && head -c6 <&3");
        let lost = "exec 3<>/dev/udp/203.0.113.5/53; echo lost >&3";
        let quic = "exec 3<>/dev/udp/2606:4700::1/443; echo lost >&3";
        let script =
            [&ask("198.18.0.1"), &ask("127.0.0.1"), &ask("127.0.0.53"), lost, quic, "true"].join("; ");
        let mut run = run(way, false, &script);
        let resolver: UdpSocket = run.take(Socket::Resolver);
        resolver.set_nonblocking(false).unwrap();
        for _ in 0..3 {
            let mut room = [0; 16];
            let (count, from) = resolver.recv_from(&mut room).unwrap();
            assert_eq!(&room[..count], b"question\n");
            resolver.send_to(b"answer", from).unwrap();
        }
        let said = run.ended();
        assert!(said.starts_with(&"answer".repeat(3)), "{said}");
        assert_eq!(said.matches("Operation not permitted").count(), 2, "{said}");
    });
}

/// A server inside is reached where the profile says so, and else the gate is asked.
#[test]
fn loopback_is_the_sandbox_s_own_or_the_gate_s() {
    each("gate_live::loopback", |way| {
        let script = "python3 -c '
import socket
server = socket.create_server((\"127.0.0.1\", 0))
client = socket.create_connection(server.getsockname())
server.settimeout(5)
server.accept()[0].sendall(b\"inside\")
print(client.recv(9).decode())'";
        assert_eq!(run(way, true, script).ended().trim(), "inside");
        let mut closed = run(way, false, &script.replace("settimeout(5)", "settimeout(0.1)"));
        let v4: TcpListener = closed.take(Socket::TcpV4);
        assert!(destination(&accept(&v4)).ip().is_loopback());
        assert!(closed.ended().contains("timed out"));
    });
}
