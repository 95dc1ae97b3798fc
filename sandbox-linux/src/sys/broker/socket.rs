//! connect(2) and bind(2), on a copy of the caller's socket.

use std::ffi::{CStr, CString};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::rc::Rc;

use weir_protocol::AbsPath;
use weir_protocol::denial::Act;
use weir_protocol::policy::Operation;
use weir_protocol::recorded::DATAGRAMS;

use super::super::abi::{check, owned};
use super::super::process::{pidfd_open, pidfd_open_thread};
use super::call::{self, Kernel, NONBLOCK};
use super::directory::{Identity, identity, kind};
use super::listener::Notification;
use super::resolve::{DIRECTORY, NO_MAGIC};
use super::tracee::Tracee;
use super::{Answer, Broker};
use crate::broker::{Event, Named, Roots, SocketRules, Split};
use crate::seccomp::Grant;

/// Longest address (`sizeof(struct sockaddr_storage)`).
const MAX_ADDRESS: usize = 128;
/// Where the path starts in a `struct sockaddr_un`.
const PATH_AT: usize = 2;
/// Longest path in one.
const MAX_UNIX_PATH: usize = 108;
/// Most sockets bound inside that are remembered, each by a descriptor; of more the oldest can only be reached by rule.
const MAX_BOUND: usize = 256;

/// What connections are judged by.
#[derive(Debug)]
pub(super) struct Sockets {
    rules: SocketRules,
    /// Sockets that the sandbox bound, held so that their numbers stay theirs.
    bound: Vec<(Identity, OwnedFd)>,
}

/// An address, copied.
#[derive(Debug, Clone)]
struct Address {
    bytes: [u8; MAX_ADDRESS],
    length: usize,
}

impl Sockets {
    pub(super) fn new(rules: SocketRules) -> Self {
        Self { rules, bound: Vec::new() }
    }

    fn allows(&self, socket: BorrowedFd<'_>, path: &[u8]) -> Kernel<bool> {
        if let Some(verdict) = AbsPath::parse(path).ok().and_then(|path| self.rules.rule(&path)) {
            return Ok(verdict == Grant::Allowed);
        }
        let found = identity(&call::stat(socket)?);
        let private = self.rules.private_devices.contains(&found.0);
        Ok(private || self.bound.iter().any(|(bound, _)| *bound == found))
    }

    /// Remembers a socket that was bound now. One that is older was put there by somebody else meanwhile.
    fn remember(&mut self, socket: OwnedFd, since_ns: i128) {
        let Ok(stat) = call::stat(socket.as_fd()) else { return };
        let is_new = call::birth_ns(socket.as_fd()).is_some_and(|birth| birth >= since_ns);
        if kind(&stat) != libc::S_IFSOCK || !is_new {
            return;
        }
        if self.bound.len() == MAX_BOUND {
            self.bound.retain(|(_, held)| call::stat(held.as_fd()).is_ok_and(|stat| stat.st_nlink > 0));
        }
        if self.bound.len() == MAX_BOUND {
            self.bound.remove(0);
        }
        self.bound.push((identity(&stat), socket));
    }
}

impl Address {
    /// Copies an address as the kernel does.
    fn read(tracee: &Tracee, address: u64, length: i32) -> Kernel<Self> {
        let length = usize::try_from(length).map_err(|_| libc::EINVAL)?;
        let mut bytes = [0; MAX_ADDRESS];
        let room = bytes.get_mut(..length).ok_or(libc::EINVAL)?;
        if length > 0 && tracee.read(address, room)? < length {
            return Err(libc::EFAULT);
        }
        Ok(Self { bytes, length })
    }

    /// One that leads through a directory of the broker's to a name.
    fn through(directory: BorrowedFd<'_>, name: Option<&[u8]>) -> Kernel<Self> {
        let mut path = format!("/proc/self/fd/{}", directory.as_raw_fd()).into_bytes();
        if let Some(name) = name {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        if path.len() >= MAX_UNIX_PATH {
            return Err(libc::ENAMETOOLONG);
        }
        let mut bytes = [0; MAX_ADDRESS];
        bytes[..PATH_AT]
            .copy_from_slice(&libc::sa_family_t::try_from(libc::AF_UNIX).unwrap_or(1).to_ne_bytes());
        let length = PATH_AT + path.len() + 1;
        bytes.get_mut(PATH_AT..length - 1).ok_or(libc::ENAMETOOLONG)?.copy_from_slice(&path);
        Ok(Self { bytes, length })
    }

    /// What it names, when it is a unix address.
    fn unix(&self) -> Option<Unix<'_>> {
        let family = libc::sa_family_t::from_ne_bytes([self.bytes[0], self.bytes[1]]);
        if self.length < PATH_AT || i32::from(family) != libc::AF_UNIX {
            return None;
        }
        let rest = &self.bytes[PATH_AT..self.length.min(PATH_AT + MAX_UNIX_PATH)];
        Some(match rest.first() {
            None => Unix::Unnamed,
            Some(0) => Unix::Abstract(rest),
            Some(_) => Unix::Path(rest.split(|byte| *byte == 0).next().unwrap_or_default()),
        })
    }

    /// A socket's own (getsockname(2)).
    fn of(socket: BorrowedFd<'_>) -> Kernel<Self> {
        let mut bytes = [0; MAX_ADDRESS];
        let mut length = libc::socklen_t::try_from(MAX_ADDRESS).unwrap_or(0);
        let (place, room) = (bytes.as_mut_ptr().cast(), &raw mut length);
        // SAFETY: `bytes` is valid for the length that is told.
        check(unsafe { libc::getsockname(socket.as_raw_fd(), place, room) }.into())?;
        let length = usize::try_from(length).unwrap_or(0).min(MAX_ADDRESS);
        Ok(Self { bytes, length })
    }

    /// The Internet address, when it is one.
    fn internet(&self) -> Option<SocketAddr> {
        let bytes = self.bytes.get(..self.length)?;
        let family = libc::sa_family_t::from_ne_bytes(*bytes.first_chunk()?);
        let port = u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
        let address: IpAddr = match i32::from(family) {
            libc::AF_INET => Ipv4Addr::from(*bytes.get(4..)?.first_chunk::<4>()?).into(),
            libc::AF_INET6 => Ipv6Addr::from(*bytes.get(8..)?.first_chunk::<16>()?).into(),
            _ => return None,
        };
        Some(SocketAddr::new(address, port))
    }

    fn connect(&self, socket: BorrowedFd<'_>) -> Kernel<()> {
        let (address, length) = self.parts();
        // SAFETY: the address is valid for its length.
        check(unsafe { libc::connect(socket.as_raw_fd(), address, length) }.into()).map(drop)
    }

    fn bind(&self, socket: BorrowedFd<'_>) -> Kernel<()> {
        let (address, length) = self.parts();
        // SAFETY: the address is valid for its length.
        check(unsafe { libc::bind(socket.as_raw_fd(), address, length) }.into()).map(drop)
    }

    fn parts(&self) -> (*const libc::sockaddr, libc::socklen_t) {
        (self.bytes.as_ptr().cast(), libc::socklen_t::try_from(self.length).unwrap_or(0))
    }
}

/// What a unix address names.
enum Unix<'a> {
    Unnamed,
    Abstract(&'a [u8]),
    Path(&'a [u8]),
}

impl Broker {
    pub(super) fn connect(
        &mut self,
        call: &Notification,
        tracee: &Tracee,
        socket: i32,
        (address, length): (u64, i32),
    ) -> Kernel<Answer> {
        let socket = copy_descriptor(tracee, socket)?;
        let address = Address::read(tracee, address, length)?;
        self.still(call)?;
        let world = Rc::clone(&self.world);
        let mut target = None;
        match address.unix() {
            Some(Unix::Abstract(name)) if self.sockets.rules.abstract_names == Grant::Denied => {
                return Err(self.refuse_socket(call, name.to_vec()));
            }
            Some(Unix::Path(path)) => {
                let path = CString::new(path).map_err(|_| libc::EINVAL)?;
                let named = Named { dir: libc::AT_FDCWD, path: 0 };
                let mut trail = world.trail();
                let found = world.look(tracee, named, &path, &mut trail)?;
                self.judge_trail(call, &trail)?;
                self.judge_file(call, &found, Operation::Read)?;
                let at = call::path_of(found.as_fd(), None);
                if kind(&call::stat(found.as_fd())?) == libc::S_IFSOCK
                    && !self.sockets.allows(found.as_fd(), &at)?
                {
                    return Err(self.refuse_socket(call, at));
                }
                self.note(Act::Connect, &at);
                target = Some(found);
            }
            _ if self.is_recorded() => self.note_connected(&address),
            _ => {}
        }
        let act = || {
            let address = match &target {
                Some(found) => Address::through(found.as_fd(), None)?,
                None => address.clone(),
            };
            Ok(Answer::from(address.connect(socket.as_fd())))
        };
        if call::flags(socket.as_fd())? & NONBLOCK != 0 {
            return act();
        }
        Ok(self.delegate(call, tracee, &act))
    }

    /// Notes a connection to loopback: whatever else is connected to is the gate's to tell.
    fn note_connected(&mut self, address: &Address) {
        if let Some(address) = address.internet().filter(|address| address.ip().to_canonical().is_loopback())
        {
            self.note(Act::Connect, address.to_string().as_bytes());
        }
    }

    /// Notes an address to which somebody inside could send: a datagram socket that leaves its port to the kernel is a client's. Of a stream the
    /// port is remembered that the kernel chose.
    fn note_bound(&mut self, socket: BorrowedFd<'_>, address: &Address) {
        let Some(address) = address.internet() else { return };
        if call::socket_kind(socket) == Ok(libc::SOCK_STREAM) {
            let chosen = Address::of(socket).ok().and_then(|chosen| chosen.internet());
            self.remember_port(chosen.filter(|_| address.port() == 0).map(|chosen| chosen.port()));
        } else if address.port() != 0 && is_near(&address) {
            self.note(Act::Bind, format!("{DATAGRAMS}{address}").as_bytes());
        }
    }

    /// Notes an address to which somebody inside could connect: port 0 stands for one that the kernel has chosen.
    pub(super) fn note_listening(&mut self, tracee: &Tracee, socket: i32) -> Kernel<()> {
        let socket = copy_descriptor(tracee, socket)?;
        let Some(mut address) = Address::of(socket.as_fd())?.internet() else { return Ok(()) };
        if self.chose_port(address.port()) {
            address.set_port(0);
        }
        if is_near(&address) {
            self.note(Act::Bind, address.to_string().as_bytes());
        }
        Ok(())
    }

    fn refuse_socket(&mut self, call: &Notification, path: Vec<u8>) -> i32 {
        self.queue.push(Event::SocketRefused { path, pid: call.pid });
        libc::EACCES
    }

    /// A socket's name is shown to its peers as it was given, so the address is used as it is, from where it was judged, if it leads to where it
    /// was judged for this process too: nobody inside changes a name meanwhile, for that is this process's to do. Where it leads by a magic
    /// link, or the last name is guarded, it is made in the very directory that was judged.
    pub(super) fn bind(
        &mut self,
        call: &Notification,
        tracee: &Tracee,
        socket: i32,
        (address, length): (u64, i32),
    ) -> Kernel<Answer> {
        let socket = copy_descriptor(tracee, socket)?;
        let address = Address::read(tracee, address, length)?;
        self.still(call)?;
        let Some(Unix::Path(path)) = address.unix() else {
            let bound = address.bind(socket.as_fd());
            if bound.is_ok() && self.is_recorded() {
                self.note_bound(socket.as_fd(), &address);
            }
            return Ok(bound.into());
        };
        self.adopt_umask(tracee);
        let world = Rc::clone(&self.world);
        let path = CString::new(path).map_err(|_| libc::EINVAL)?;
        let mut trail = world.trail();
        let located = world.locate(tracee, libc::AT_FDCWD, &path)?;
        let base = located.base.as_fd().try_clone_to_owned().map_err(|_| libc::EMFILE)?;
        let way = located.path.clone();
        let place = world.place(tracee, located, &mut trail)?;
        self.judge_trail(call, &trail)?;
        if call::is_proc(place.parent()) {
            return Err(libc::EACCES);
        }
        if self.exists_guarded(call, &place)? {
            return Err(libc::EADDRINUSE);
        }
        self.judge_new(call, &place, Act::MakeNode)?;
        let since_ns = call::stamp_ns();
        let name = place.name().unwrap_or_default();
        let is_guarded = self.guarded.is_name(name) || self.guarded.is_on_a_way(name);
        if is_guarded || world.roots() == Roots::Own || !leads(base.as_fd(), &way, place.parent()) {
            Address::through(place.parent(), Some(name))?.bind(socket.as_fd())?;
        } else {
            bind_from(base.as_fd(), &address, socket.as_fd())?;
        }
        self.arrived(&place);
        let bound = CString::new(name).map_err(|_| libc::EINVAL)?;
        if let Ok(bound) = call::open_path(place.parent(), &bound, libc::O_NOFOLLOW) {
            if self.is_recorded() {
                self.note(Act::Bind, &world.path_of(bound.as_fd(), None));
            }
            self.sockets.remember(bound, since_ns);
        }
        Ok(Answer::Done)
    }
}

/// Whether loopback leads there.
fn is_near(address: &SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    ip.is_loopback() || ip.is_unspecified()
}

/// Whether the parent of this path is this very directory, by links that mean the same to everybody.
fn leads(base: BorrowedFd<'_>, path: &CStr, to: BorrowedFd<'_>) -> bool {
    let Some(split) = Split::of(path.to_bytes()) else { return false };
    if split.parent.is_empty() {
        return true;
    }
    let found = CString::new(split.parent).map_err(|_| libc::EINVAL);
    let found = found.and_then(|parent| call::openat2(base, &parent, DIRECTORY, 0, NO_MAGIC));
    let found = found.and_then(|found| call::stat(found.as_fd()));
    let judged = call::stat(to);
    found.is_ok_and(|found| judged.is_ok_and(|judged| identity(&found) == identity(&judged)))
}

/// Binds from a directory, which counts where the address is relative.
fn bind_from(base: BorrowedFd<'_>, address: &Address, socket: BorrowedFd<'_>) -> Kernel<()> {
    let before = call::open_absolute(c".", libc::O_PATH | libc::O_DIRECTORY)?;
    call::change_directory(base)?;
    let bound = address.bind(socket);
    call::change_directory(before.as_fd())?;
    bound
}

/// A copy of a caller's descriptor (pidfd_getfd(2)).
pub(super) fn copy_descriptor(tracee: &Tracee, fd: i32) -> Kernel<OwnedFd> {
    let process = match pidfd_open_thread(tracee.pid()) {
        // Linux before 6.9: by the process, whose threads share their descriptors as a rule.
        Err(libc::EINVAL) => pidfd_open(tracee.process()?.cast_signed(), 0),
        other => other,
    }?;
    let process = process.as_raw_fd();
    // SAFETY: makes a descriptor.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process, fd, 0) })
}
