//! Standard input, output and error are the caller's: what a caller passes does not lead out of the sandbox.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, Stdio};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use weir_tests::sandbox::{REFUSED, Run, Way, World, finish};

const PROFILE: &str = "\":root\" = \"read\"\n\"{w}/work\" = \"write\"";

/// Sends to a socket of the host's by the one that it finds as standard input.
const SEND: &str = "import socket, sys; socket.socket(fileno=0).sendto(b'out', sys.argv[1])";

fn with(command: &mut Command, input: impl Into<OwnedFd>) -> Run {
    finish(command.stdin(Stdio::from(input.into())))
}

#[test]
fn a_socket_that_can_be_connected_elsewhere_is_refused() {
    Way::each("containment::sockets_passed", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let named = UnixListener::bind(world.at("named")).unwrap();
        let sockets: [(&str, OwnedFd); 6] = [
            ("tcp", TcpStream::connect(listener.local_addr().unwrap()).unwrap().into()),
            ("tcp, listening", listener.into()),
            ("udp", UdpSocket::bind("127.0.0.1:0").unwrap().into()),
            ("unix, listening", named.into()),
            ("unix, datagrams", UnixDatagram::unbound().unwrap().into()),
            ("unix, a pair of datagrams", UnixDatagram::pair().unwrap().0.into()),
        ];
        for (what, socket) in sockets {
            let found = with(world.weir::<&str>([]).arg("true"), socket);
            assert_eq!(found.code, REFUSED, "{way:?}, {what}: {}", found.stderr);
            assert!(found.stderr.contains("put a pipe between"), "{way:?}, {what}: {}", found.stderr);
        }
    });
}

/// Without Weir it leads to every socket of the host.
#[test]
fn a_datagram_socket_reaches_no_other() {
    Way::each("containment::datagrams_passed", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "");
        let place = world.at("host");
        let host = UnixDatagram::bind(&place).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(&place, mode).unwrap();
        host.set_nonblocking(true).unwrap();
        let mut bytes = [0; 8];
        let send = |command: &mut Command| {
            let command = command.args(["-c", SEND]).arg(&place);
            with(command, UnixDatagram::unbound().unwrap())
        };
        assert_eq!(send(&mut world.command("/usr/bin/python3")).code, 0);
        assert_eq!(host.recv(&mut bytes).unwrap(), 3);
        assert_eq!(send(world.weir::<&str>([]).arg("/usr/bin/python3")).code, REFUSED);
        assert_eq!(host.recv(&mut bytes).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    });
}

/// What ssh, service managers and runners of tests pass.
#[test]
fn a_connected_unix_stream_is_passed() {
    Way::each("containment::streams_passed", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "");
        let cat = |ours: OwnedFd, theirs: OwnedFd| {
            rustix::io::write(&ours, b"through").unwrap();
            rustix::net::shutdown(&ours, rustix::net::Shutdown::Write).unwrap();
            with(world.weir::<&str>([]).arg("cat"), theirs).text()
        };
        let (ours, theirs) = UnixStream::pair().unwrap();
        assert_eq!(cat(ours.into(), theirs.into()), "through", "{way:?}");
        let packets = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        let (ours, theirs) = packets.unwrap();
        assert_eq!(cat(ours, theirs), "through", "{way:?}");
    });
}

/// Where the network is the host's own a connection is passed: the command can make the same.
#[test]
fn a_connection_is_passed_where_the_network_is_the_hosts() {
    Way::each("containment::connections_passed", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "[permissions.test.network]\nenabled = true");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut ours, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut ours, b"through").unwrap();
        drop(ours);
        assert_eq!(with(world.weir::<&str>([]).arg("cat"), theirs).text(), "through", "{way:?}");
    });
}
