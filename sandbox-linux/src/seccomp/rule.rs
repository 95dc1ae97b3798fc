//! Verdicts that depend on arguments, as data: cases tried in order, each a set of masked comparisons.
//!
//! Every argument looked at here is 32 bits wide in the kernel (`int`, `unsigned int`, `umode_t`, or flags of which only
//! the low half is read), so only the low half of the register is compared: what a caller puts above it changes
//! nothing. The one exception, a pointer, is compared in both halves.

use super::{Grant, Network};
use crate::bpf::{Action, Errno, Half, SeccompData};

/// A comparison: the word of `seccomp_data` at `offset`, masked, equals `value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// Byte offset of the word.
    pub offset: u32,
    /// The bits that count.
    pub mask: u32,
    /// What they must be.
    pub value: u32,
}

/// A set of conditions that all must hold, and the action then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The conditions.
    pub when: Vec<Condition>,
    /// The action.
    pub then: Action,
}

/// Cases in order; the first that holds decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The cases.
    pub cases: Vec<Case>,
    /// The action when none holds.
    pub otherwise: Action,
}

impl Rule {
    /// The action for a call: the meaning that compiled code must have.
    #[must_use]
    pub fn decide(&self, data: &SeccompData) -> Action {
        let holds = |c: &Condition| data.word(c.offset).is_some_and(|word| word & c.mask == c.value);
        let case = self.cases.iter().find(|case| case.when.iter().all(holds));
        case.map_or(self.otherwise, |case| case.then)
    }
}

const ALLOW: Action = Action::Allow;
const EPERM: Action = Action::Errno(Errno::EPERM);
const EACCES: Action = Action::Errno(Errno::EACCES);
const NO_PROTOCOL: Action = Action::Errno(Errno::EPROTONOSUPPORT);
const NOT_SUPPORTED: Action = Action::Errno(Errno::EOPNOTSUPP);
const NO_FAMILY: Action = Action::Errno(Errno::EAFNOSUPPORT);

const WHOLE: u32 = u32::MAX;

/// `CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET` (`linux/sched.h`).
const CLONE_NEW: u32 = 0x7e02_0000;
/// `CLONE_PARENT`: the new process is a sibling, so the launcher would get children it never made.
const CLONE_PARENT: u32 = 0x8000;
/// `CLONE_NEWTIME`: for unshare only; in clone these bits are the exit signal.
const CLONE_NEWTIME: u32 = 0x80;

const AF_UNIX: u32 = 1;
const AF_INET: u32 = 2;
const AF_NETLINK: u32 = 16;
/// Leaves `AF_INET` of both 2 (`AF_INET`) and 10 (`AF_INET6`), and of nothing else.
const EITHER_INET: u32 = !8;
/// `SOCK_TYPE_MASK`: the rest of the type argument is flags.
const SOCK_TYPE: u32 = 0xf;
const SOCK_STREAM: u32 = 1;
const SOCK_DGRAM: u32 = 2;
const SOCK_SEQPACKET: u32 = 5;
const NETLINK_ROUTE: u32 = 0;
const IPPROTO_DEFAULT: u32 = 0;
const IPPROTO_ICMP: u32 = 1;
const IPPROTO_TCP: u32 = 6;
const IPPROTO_UDP: u32 = 17;
const IPPROTO_ICMPV6: u32 = 58;
const MSG_FASTOPEN: u32 = 0x2000_0000;

/// Requests of ioctl_tty(2) and ioctl_console(2) that are refused; the numbers are those of `asm-generic/ioctls.h` and
/// `linux/kd.h`, the same on both architectures.
const IOCTLS: [u32; 8] = [
    0x5412, // TIOCSTI: types into the terminal
    0x541c, // TIOCLINUX: pastes into the console
    0x5423, // TIOCSETD: loads a line discipline
    0x4b47, // KDSKBENT: remaps a console key
    0x4b49, // KDSKBSENT: gives a console key a text
    0x4b4b, // KDSKBDIACR: remaps accents
    0x4bfb, // KDSKBDIACRUC: the same, Unicode
    0x4b4d, // KDSETKEYCODE: remaps scan codes
];

/// `ADDR_NO_RANDOMIZE | UNAME26 | PER_LINUX32`: personalities that change the caller's own view only.
const PERSONALITY: u32 = 0x0004_0000 | 0x0002_0000 | 8;
/// Asks for the personality and sets nothing.
const PERSONALITY_QUERY: u32 = u32::MAX;

const S_IFMT: u32 = 0o170_000;
const S_IFCHR: u32 = 0o020_000;
const S_IFBLK: u32 = 0o060_000;

fn low(index: u8, mask: u32, value: u32) -> Condition {
    Condition { offset: SeccompData::arg(index, Half::Low), mask, value }
}

fn case<const N: usize>(when: [Condition; N], then: Action) -> Case {
    Case { when: when.into(), then }
}

/// clone(2): the first argument on both architectures; the kernel reads its low half.
pub(super) fn clone() -> Rule {
    Rule { cases: vec![case([low(0, CLONE_NEW | CLONE_PARENT, 0)], ALLOW)], otherwise: EPERM }
}

/// unshare(2).
pub(super) fn unshare() -> Rule {
    Rule { cases: vec![case([low(0, CLONE_NEW | CLONE_NEWTIME, 0)], ALLOW)], otherwise: EPERM }
}

/// ioctl(2): the request is an `unsigned int` in the kernel.
pub(super) fn ioctl() -> Rule {
    let cases = IOCTLS.into_iter().map(|request| case([low(1, WHOLE, request)], EPERM));
    Rule { cases: cases.collect(), otherwise: ALLOW }
}

/// personality(2).
pub(super) fn personality() -> Rule {
    let cases = vec![case([low(0, !PERSONALITY, 0)], ALLOW), case([low(0, WHOLE, PERSONALITY_QUERY)], ALLOW)];
    Rule { cases, otherwise: EPERM }
}

/// mknod(2) and mknodat(2): `mode` is argument `index`.
pub(super) fn device_node(index: u8) -> Rule {
    let cases = [S_IFCHR, S_IFBLK].map(|kind| case([low(index, S_IFMT, kind)], EPERM));
    Rule { cases: cases.into(), otherwise: ALLOW }
}

/// prlimit(2): a limit may be set for the caller (process 0) and read of anyone.
pub(super) fn prlimit() -> Rule {
    let new_limit_high = Condition { offset: SeccompData::arg(2, Half::High), mask: WHOLE, value: 0 };
    let cases = vec![case([low(0, WHOLE, 0)], ALLOW), case([low(2, WHOLE, 0), new_limit_high], ALLOW)];
    Rule { cases, otherwise: EPERM }
}

/// setpriority(2), ioprio_set(2) and the setting calls of sched(7): for the caller alone, which the number 0 at argument
/// `index` stands for. Of the kinds before it, 0 and 1 pass: setpriority's process and group, ioprio_set's process; no user.
pub(super) fn own_process(index: u8) -> Rule {
    let own = low(index, WHOLE, 0);
    let cases = match index {
        0 => vec![case([own], ALLOW)],
        _ => vec![case([own, low(0, !1, 0)], ALLOW)],
    };
    Rule { cases, otherwise: EPERM }
}

/// socket(2).
///
/// Route sockets are allowed everywhere: getifaddrs(3) and resolvers need them. What is sent over one lies in memory, where
/// a filter cannot look; that only reads pass is the kernel's own doing, which asks for `CAP_NET_ADMIN` over the
/// network namespace for every other request (`rtnetlink_rcv_msg`), and no capability is left inside. All other netlink
/// protocols (audit, netfilter, generic, uevents, socket diagnosis …) answer as if the kernel had none.
///
/// Stream sockets are TCP alone: Landlock's port rules do not see MPTCP, SCTP or SMC (erratum 1 of its ABI 4).
pub(super) fn socket(network: Network, unix_sockets: Grant) -> Rule {
    let family = |value| low(0, WHOLE, value);
    let inet = low(0, EITHER_INET, AF_INET);
    let kind = |value| low(1, SOCK_TYPE, value);
    let protocol = |value| low(2, WHOLE, value);
    let unix = match unix_sockets {
        Grant::Allowed => ALLOW,
        Grant::Denied => EACCES,
    };
    let mut cases = vec![
        case([family(AF_UNIX)], unix),
        case([family(AF_NETLINK), protocol(NETLINK_ROUTE)], ALLOW),
        case([family(AF_NETLINK)], NO_PROTOCOL),
    ];
    match network {
        Network::None => cases.push(case([inet], EACCES)),
        Network::Proxied => cases.extend([
            case([inet, kind(SOCK_STREAM), protocol(IPPROTO_DEFAULT)], ALLOW),
            case([inet, kind(SOCK_STREAM), protocol(IPPROTO_TCP)], ALLOW),
            case([inet, kind(SOCK_STREAM)], NO_PROTOCOL),
            case([inet], EACCES),
        ]),
        Network::Private | Network::Host => cases.extend([
            case([inet, kind(SOCK_STREAM), protocol(IPPROTO_DEFAULT)], ALLOW),
            case([inet, kind(SOCK_STREAM), protocol(IPPROTO_TCP)], ALLOW),
            case([inet, kind(SOCK_STREAM)], NO_PROTOCOL),
            case([inet, kind(SOCK_DGRAM), protocol(IPPROTO_DEFAULT)], ALLOW),
            case([inet, kind(SOCK_DGRAM), protocol(IPPROTO_UDP)], ALLOW),
            case([inet, kind(SOCK_DGRAM), protocol(IPPROTO_ICMP)], ALLOW),
            case([inet, kind(SOCK_DGRAM), protocol(IPPROTO_ICMPV6)], ALLOW),
            case([inet, kind(SOCK_DGRAM)], NO_PROTOCOL),
            case([inet], EPERM),
        ]),
    }
    Rule { cases, otherwise: NO_FAMILY }
}

/// sendto(2), sendmsg(2) and sendmmsg(2), whose flags are argument `index`: no connection by sending (tcp(7), `TCP_FASTOPEN`).
pub(super) fn no_fast_open(index: u8) -> Rule {
    Rule { cases: vec![case([low(index, MSG_FASTOPEN, MSG_FASTOPEN)], NOT_SUPPORTED)], otherwise: ALLOW }
}

/// socketpair(2). Without unix sockets, streams remain (a connected one can reach nothing else); a datagram socket could be
/// sent or connected to any path even when it came as a pair.
pub(super) fn socketpair(unix_sockets: Grant) -> Rule {
    let family = low(0, WHOLE, AF_UNIX);
    let cases = match unix_sockets {
        Grant::Allowed => vec![case([family], ALLOW)],
        Grant::Denied => vec![
            case([family, low(1, SOCK_TYPE, SOCK_STREAM)], ALLOW),
            case([family, low(1, SOCK_TYPE, SOCK_SEQPACKET)], ALLOW),
            case([family], EACCES),
        ],
    };
    Rule { cases, otherwise: NO_FAMILY }
}
