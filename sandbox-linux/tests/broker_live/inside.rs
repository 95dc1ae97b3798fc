//! Runs a command under the broker's filter and serves it until it ends.

use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus};

use weir_sandbox_linux::bpf::{Arch, Insn, Program};
use weir_sandbox_linux::broker::{self, Broker, Event, Events, Guard, Roots, SocketRules, Traps, Wait};
use weir_sandbox_linux::live::LiveRules;

#[cfg(target_arch = "x86_64")]
const HERE: Arch = Arch::X86_64;
#[cfg(target_arch = "aarch64")]
const HERE: Arch = Arch::Aarch64;

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
    pub(crate) events: Vec<Event>,
    pub(crate) served: u64,
}

/// What to enforce.
pub(crate) struct Rules {
    pub(crate) traps: Traps,
    pub(crate) guards: Vec<Guard>,
    pub(crate) sockets: SocketRules,
    pub(crate) live: Option<LiveRules>,
    pub(crate) recorded: bool,
    /// [`Wait::Interruptible`] installs the filter as on a kernel that knows no other.
    pub(crate) wait: Wait,
}

impl Rules {
    pub(crate) fn names(guards: Vec<Guard>) -> Self {
        let traps = Traps { names: true, ..Traps::default() };
        Self {
            traps,
            guards,
            sockets: SocketRules::STRICT,
            live: None,
            recorded: false,
            wait: Wait::Killable,
        }
    }

    /// Under live rules, with all that is used recorded.
    pub(crate) fn recorded(rules: LiveRules, wait: Wait) -> Self {
        let live = Self::live(rules);
        Self { traps: Traps { looks: true, ..live.traps }, recorded: true, wait, ..live }
    }

    pub(crate) fn live(rules: LiveRules) -> Self {
        let traps = Traps { opens: true, ..Traps::default() };
        Self { traps, live: Some(rules), ..Self::names(Vec::new()) }
    }

    pub(crate) fn sockets(sockets: SocketRules) -> Self {
        let traps = Traps { names: true, unix_connect: true, ..Traps::default() };
        Self { traps, guards: Vec::new(), sockets, live: None, recorded: false, wait: Wait::Killable }
    }
}

/// Runs a command to its end, with the filter when there are rules; its output goes through a file.
pub(crate) fn run(mut command: Command, rules: Option<Rules>) -> Outcome {
    // A broker's process takes on the mask of the caller that it served last.
    // SAFETY: sets a property of this process.
    unsafe { libc::umask(0o022) };
    let output = tempfile::tempfile().unwrap();
    command.stdout(output.try_clone().unwrap()).stderr(output.try_clone().unwrap());
    let Some(rules) = rules else {
        let status = command.status().unwrap();
        return Outcome { status, output: text(output), events: Vec::new(), served: 0 };
    };
    let (child, mut broker) = start(command, rules);
    let (status, served, events) = serve(child, &mut broker);
    Outcome { status, output: text(output), events, served }
}

/// Starts a command under the filter.
pub(crate) fn start(mut command: Command, rules: Rules) -> (Child, Broker) {
    let program = broker::filter(&rules.traps, HERE).unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (socket, wait) = (theirs.as_raw_fd(), rules.wait);
    // SAFETY: the closure makes system calls over memory that was there before the fork.
    unsafe { command.pre_exec(move || enter(&program, socket, wait)) };
    let (told, tells) = UnixStream::pair().unwrap();
    // The execution itself may be a call that waits for the broker.
    let spawning = std::thread::spawn(move || {
        let child = command.spawn();
        drop((tells, theirs));
        child
    });
    let mut handover = broker::receive(ours.as_fd()).unwrap();
    handover.wait = rules.wait;
    // As init is.
    // SAFETY: sets a property of this process.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
    let mut broker =
        Broker::new(handover, rules.guards, rules.sockets, Roots::Same, rules.live.as_ref()).unwrap();
    if rules.recorded {
        broker.record();
    }
    while !is_over(&told, &broker) {
        broker.serve().unwrap();
    }
    (spawning.join().unwrap().unwrap(), broker)
}

/// Waits for the end of this stream, or for a call.
fn is_over(told: &UnixStream, broker: &Broker) -> bool {
    let entry = |fd: RawFd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut waits = [entry(told.as_raw_fd()), entry(broker.as_fd().as_raw_fd())];
    // SAFETY: two valid entries.
    while unsafe { libc::poll(waits.as_mut_ptr(), 2, -1) } < 0 {}
    waits[0].revents != 0
}

fn enter(program: &Program, socket: RawFd, wait: Wait) -> std::io::Result<()> {
    let insns: &[Insn] = program.insns();
    // SAFETY: sets a flag of this thread.
    unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // SAFETY: the parent's end of the fork keeps it open until after the exec.
    let socket = unsafe { std::os::fd::BorrowedFd::borrow_raw(socket) };
    if wait == Wait::Interruptible {
        return old_hand_over(insns, socket);
    }
    broker::hand_over(insns, socket).map_err(|failure| std::io::Error::from_raw_os_error(failure.errno))
}

/// Installs a listener whose callers any signal interrupts, and sends it.
fn old_hand_over(insns: &[Insn], socket: std::os::fd::BorrowedFd<'_>) -> std::io::Result<()> {
    /// `SECCOMP_FILTER_FLAG_NEW_LISTENER`.
    const NEW_LISTENER: libc::c_ulong = 1 << 3;
    let filter = insns.as_ptr().cast::<libc::sock_filter>().cast_mut();
    let program = libc::sock_fprog { len: u16::try_from(insns.len()).unwrap_or(0), filter };
    let (mode, program) = (libc::SECCOMP_SET_MODE_FILTER, &raw const program);
    // SAFETY: the program is laid out as the kernel reads it.
    let listener = unsafe { libc::syscall(libc::SYS_seccomp, mode, NEW_LISTENER, program) };
    let listener = RawFd::try_from(listener).unwrap_or(-1);
    let mut byte = 0_u8;
    let mut data = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let mut control = [0_u64; 8];
    // SAFETY: all-zero is a valid message.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut data, 1);
    // SAFETY: arithmetic.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(4) } as usize;
    message.msg_control = control.as_mut_ptr().cast();
    // SAFETY: arithmetic.
    let cmsg_len = unsafe { libc::CMSG_LEN(4) } as usize;
    let header = libc::cmsghdr { cmsg_len, cmsg_level: libc::SOL_SOCKET, cmsg_type: libc::SCM_RIGHTS };
    // SAFETY: there is room for a header.
    let place = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    // SAFETY: as above.
    unsafe { place.write(header) };
    // SAFETY: as above.
    let place = unsafe { libc::CMSG_DATA(place) };
    // SAFETY: there is room for an int.
    unsafe { place.cast::<RawFd>().write_unaligned(listener) };
    // SAFETY: the message points at live locals.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, 0) };
    // SAFETY: made above.
    unsafe { libc::close(listener) };
    if sent == 1 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Serves until the command ends.
pub(crate) fn serve(mut child: Child, broker: &mut Broker) -> (ExitStatus, u64, Vec<Event>) {
    let end = pidfd(&child);
    let mut served = 0;
    let mut events = Vec::new();
    loop {
        let entry = |fd: RawFd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let mut waits = [entry(broker.as_fd().as_raw_fd()), entry(end.as_raw_fd())];
        // SAFETY: two valid entries.
        let ready = unsafe { libc::poll(waits.as_mut_ptr(), 2, -1) };
        if ready < 0 {
            continue;
        }
        if waits[0].revents & libc::POLLIN != 0 {
            broker.serve().unwrap();
            served += 1;
        }
        let Events { list, dropped } = broker.events();
        assert_eq!(dropped, 0);
        events.extend(list);
        if waits[1].revents != 0 && waits[0].revents & libc::POLLIN == 0 {
            return (child.wait().unwrap(), served, events);
        }
    }
}

fn pidfd(child: &Child) -> OwnedFd {
    // SAFETY: makes a descriptor.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) };
    let fd = RawFd::try_from(fd).unwrap();
    assert!(fd >= 0, "pidfd_open");
    // SAFETY: the kernel just made it for us.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn text(mut file: File) -> String {
    use std::io::{Read as _, Seek as _};
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}
