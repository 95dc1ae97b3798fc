//! Acts on sockets, queues, shared memory and keys.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::FromRawFd as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram, UnixListener, UnixStream};

use super::call::{address, address_mut, call, path, text};
use super::{Answer, Error, number, word};

/// Sockets that are made while the working directory changes.
const ASTRAY: usize = 3_000;

pub(crate) fn attempt(verb: &str, words: &[OsString]) -> Option<Answer> {
    let done = |result: Result<i64, Error>| result.map(|_| String::new());
    Some(match verb {
        "socket" => done(three(words).and_then(|arguments| call(libc::SYS_socket, arguments))),
        "tcp" => tcp(words),
        "tcp-name" => tcp_name(words),
        "tcp-self" => tcp_self(words),
        "tcp-bind" => socket_address(words).and_then(|at| Ok(TcpListener::bind(at).map(|_| String::new())?)),
        "udp-bind" => {
            socket_address(words).and_then(|at| Ok(std::net::UdpSocket::bind(at).map(|_| String::new())?))
        }
        "udp-self" => udp_self(words),
        "send" => send(words),
        "udp" => udp(words),
        "unix" => word(words, 0).and_then(|at| greet(UnixStream::connect(at)?)),
        "abstract" => abstract_address(words).and_then(|at| greet(UnixStream::connect_addr(&at)?)),
        "abstract-datagram" => abstract_address(words).and_then(|at| {
            UnixDatagram::unbound()?.send_to_addr(b"x", &at)?;
            Ok(String::new())
        }),
        "unix-datagram" => word(words, 0).and_then(|at| {
            UnixDatagram::unbound()?.send_to(b"x", at)?;
            Ok(String::new())
        }),
        "unix-listen" => word(words, 0).and_then(|at| Ok(UnixListener::bind(at).map(|_| String::new())?)),
        "unix-listen-astray" => astray(words),
        "receive-descriptor" => word(words, 0).and_then(|at| receive(&UnixStream::connect(at)?)),
        "shm" => done(number(words, 0).and_then(|key| call(libc::SYS_shmget, [key, 0, 0]))),
        "msg" => done(number(words, 0).and_then(|key| call(libc::SYS_msgget, [key, 0]))),
        "sem" => done(number(words, 0).and_then(|key| call(libc::SYS_semget, [key, 0, 0]))),
        "mq" => done(word(words, 0).and_then(|name| queue(name, libc::O_RDONLY))),
        "mq-make" => done(word(words, 0).and_then(|name| queue(name, libc::O_RDWR | libc::O_CREAT))),
        "mq-remove" => done(word(words, 0).and_then(|name| {
            let name = text(name)?;
            call(libc::SYS_mq_unlink, [path(&name)])
        })),
        "sysv-make" => done(number(words, 0).and_then(make)),
        "sysv-remove" => done(number(words, 0).and_then(remove)),
        "add-key" => done(add_key()),
        "request-key" => done(request_key()),
        // KEYCTL_GET_KEYRING_ID of the session's keyring.
        "keyring" => done(call(libc::SYS_keyctl, [0, -3, 1])),
        "io-uring" => {
            let mut room = [0_u64; 32];
            done(call(libc::SYS_io_uring_setup, [1, address_mut(&mut room)]))
        }
        _ => return None,
    })
}

fn three(words: &[OsString]) -> Result<[i64; 3], Error> {
    Ok([number(words, 0)?, number(words, 1)?, number(words, 2)?])
}

/// `tcp ADDRESS`: connects and reads what the server says first.
fn tcp(words: &[OsString]) -> Answer {
    let mut found = String::new();
    TcpStream::connect(socket_address(words)?)?.read_to_string(&mut found)?;
    Ok(found)
}

/// `tcp-name HOST:PORT`: the same where the name leads.
fn tcp_name(words: &[OsString]) -> Answer {
    let mut found = String::new();
    TcpStream::connect(word(words, 0)?.to_str().unwrap_or_default())?.read_to_string(&mut found)?;
    Ok(found)
}

/// `send FAMILY TYPE PROTOCOL HEX`: sends the bytes to the kernel, or whoever the socket is connected to, and answers what its error says
/// (`struct nlmsgerr` behind a header of 16 bytes).
fn send(words: &[OsString]) -> Answer {
    let socket = call(libc::SYS_socket, three(words)?)?;
    let text = word(words, 3)?.to_str().unwrap_or_default().as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or_default();
    let bytes: Vec<u8> = text
        .as_chunks::<2>()
        .0
        .iter()
        .filter_map(|[high, low]| u8::try_from(digit(*high) * 16 + digit(*low)).ok())
        .collect();
    call(
        libc::SYS_sendto,
        [socket, address(bytes.as_slice()), i64::try_from(bytes.len()).unwrap_or(0), 0, 0, 0],
    )?;
    let mut room = [0_u8; 64];
    call(libc::SYS_recvfrom, [socket, address_mut(&mut room), 64, 0, 0, 0])?;
    match i32::from_ne_bytes([room[16], room[17], room[18], room[19]]) {
        0 => Ok(String::new()),
        error => Err(Error::Kernel(-error)),
    }
}

/// `udp-self ADDRESS`: a datagram to a socket of this process.
fn udp_self(words: &[OsString]) -> Answer {
    let receiver = std::net::UdpSocket::bind(socket_address(words)?)?;
    std::net::UdpSocket::bind(socket_address(words)?)?.send_to(b"x", receiver.local_addr()?)?;
    receiver.recv(&mut [0])?;
    Ok(String::new())
}

fn socket_address(words: &[OsString]) -> Result<SocketAddr, Error> {
    let text = word(words, 0)?.to_str().unwrap_or_default();
    text.parse().map_err(|_| Error::Other(format!("`{text}` is no address")))
}

/// `tcp-self ADDRESS`: a server and its client in this process.
fn tcp_self(words: &[OsString]) -> Answer {
    let listener = TcpListener::bind(socket_address(words)?)?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    listener.accept()?.0.write_all(b"x")?;
    let mut found = [0];
    client.read_exact(&mut found)?;
    Ok(String::new())
}

fn udp(words: &[OsString]) -> Answer {
    let to = socket_address(words)?;
    let from = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    std::net::UdpSocket::bind(from)?.send_to(b"x", to)?;
    Ok(String::new())
}

fn abstract_address(words: &[OsString]) -> Result<UnixAddr, Error> {
    Ok(UnixAddr::from_abstract_name(word(words, 0)?.as_encoded_bytes())?)
}

fn greet(mut stream: UnixStream) -> Answer {
    let mut found = String::new();
    stream.read_to_string(&mut found)?;
    Ok(found)
}

/// Receives one descriptor and reads the file behind it (`SCM_RIGHTS`, unix(7)).
fn receive(stream: &UnixStream) -> Answer {
    use std::os::fd::AsRawFd as _;
    let (mut byte, mut room) = ([0_u8; 1], [0_u64; 8]);
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    // SAFETY: all-zero is a valid message: no address, no flags.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = room.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&room);
    call(libc::SYS_recvmsg, [i64::from(stream.as_raw_fd()), address_mut(&mut message), 0])?;
    if message.msg_controllen == 0 {
        return Err(Error::Other("no descriptor came".to_owned()));
    }
    // A header of 16 bytes, and the number.
    let descriptor = i32::try_from(room[2] & 0xffff_ffff).map_err(|_| Error::Kernel(libc::EBADF))?;
    // SAFETY: the kernel just gave this descriptor to this process.
    let mut file = unsafe { File::from_raw_fd(descriptor) };
    let mut found = String::new();
    file.read_to_string(&mut found)?;
    Ok(found)
}

fn queue(name: &OsString, flags: i32) -> Result<i64, Error> {
    let name = text(name)?;
    call(libc::SYS_mq_open, [path(&name), i64::from(flags), 0o600, 0])
}

/// Shared memory, a queue and a semaphore under one key.
fn make(key: i64) -> Result<i64, Error> {
    let flags = i64::from(libc::IPC_CREAT | 0o600);
    call(libc::SYS_shmget, [key, 4096, flags])?;
    call(libc::SYS_msgget, [key, flags])?;
    call(libc::SYS_semget, [key, 1, flags])
}

fn remove(key: i64) -> Result<i64, Error> {
    let shared = call(libc::SYS_shmget, [key, 0, 0])?;
    call(libc::SYS_shmctl, [shared, 0, 0])?;
    let queue = call(libc::SYS_msgget, [key, 0])?;
    call(libc::SYS_msgctl, [queue, 0, 0])?;
    let semaphore = call(libc::SYS_semget, [key, 0, 0])?;
    call(libc::SYS_semctl, [semaphore, 0, 0])
}

/// A key in the process's own keyring, which goes with it.
fn add_key() -> Result<i64, Error> {
    let (kind, name) = (c"user".to_owned(), c"weir-probe".to_owned());
    call(libc::SYS_add_key, [path(&kind), path(&name), address(b"x"), 1, -2])
}

fn request_key() -> Result<i64, Error> {
    add_key()?;
    let (kind, name) = (c"user".to_owned(), c"weir-probe".to_owned());
    call(libc::SYS_request_key, [path(&kind), path(&name), 0, 0])
}

/// Makes sockets by a bare name while another thread goes from one directory to the other and back; whether there are some in each.
fn astray(words: &[OsString]) -> Answer {
    let places = [word(words, 0)?.clone(), word(words, 1)?.clone()];
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(relaxed) {
                places.iter().for_each(|place| drop(std::env::set_current_dir(place)));
            }
        });
        (0..ASTRAY).for_each(|number| drop(UnixListener::bind(format!("s{number}"))));
        is_over.store(true, relaxed);
    });
    let holds = |place| std::fs::read_dir(place).map(|mut entries| entries.next().is_some());
    Ok(format!("{} {}", holds(&places[0])?, holds(&places[1])?))
}
