//! Calls that a recorded run lets go on after they were looked at: looks, changes of attributes, executions, and listening.
//!
//! This is **recording, not deciding**. What such a call may do is decided by mounts, Landlock, modes and the strict filter, as in every
//! run; nothing of it is refused here, so nothing is lost when the caller's memory says something else by the time that the
//! kernel reads it: the record is then wrong about this one call, and a proposal that is made of it asks for too much or too little,
//! which a person reads before it is used. Hence the kernel may go on with the caller's own arguments
//! (`SECCOMP_USER_NOTIF_FLAG_CONTINUE`), which it must never do after the broker has *judged* a path. The two kinds have
//! types of their own: a [`Watched`] cannot be performed, a [`super::Request`] cannot go on; no call is both, opening aside, which is
//! watched where it asks for a place alone (`O_PATH`, in a register) and performed otherwise.
//!
//! Trapped where a run is recorded and nowhere else ([`super::Traps::looks`]).

use weir_protocol::denial::Act;

use super::request::{AT_FDCWD, Named, word};
use crate::bpf::Arch;
use crate::seccomp;

/// `AT_SYMLINK_NOFOLLOW` and `AT_EMPTY_PATH` (`linux/fcntl.h`).
pub(crate) const AT_NOFOLLOW: u32 = 0x100;
pub(crate) const AT_EMPTY_PATH: u32 = 0x1000;
/// `O_PATH` (`asm-generic/fcntl.h`); the same on both architectures.
pub(crate) const O_PATH: u32 = 0o10_000_000;

/// A call that goes on: what it does to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Watched {
    pub(crate) act: Act,
    /// The path; at no address where the descriptor itself is meant.
    pub(crate) at: Named,
    /// `AT_SYMLINK_NOFOLLOW` and `AT_EMPTY_PATH`, as far as they are set.
    pub(crate) flags: u32,
}

/// Which arguments name something.
#[derive(Debug, Clone, Copy)]
enum Spot {
    /// A path.
    Here(usize),
    /// A directory's descriptor, and a path behind it.
    At(usize),
    /// A descriptor.
    Descriptor(usize),
}

/// What becomes of a link at the end.
#[derive(Debug, Clone, Copy)]
enum Link {
    Followed,
    Kept,
    /// As the flags say that are this argument.
    By(usize),
}

use Act::{Alter, Bind, Execute, Look, Read};
use Link::{By, Followed, Kept};
use Spot::{At, Descriptor, Here};

/// All of them. Of file descriptors only changes are told: what is open was seen when it was opened.
const WATCHED: [(&str, Act, Spot, Link); 39] = [
    ("stat", Look, Here(0), Followed),
    ("lstat", Look, Here(0), Kept),
    ("newfstatat", Look, At(0), By(3)),
    ("statx", Look, At(0), By(2)),
    ("access", Look, Here(0), Followed),
    ("faccessat", Look, At(0), Followed),
    ("faccessat2", Look, At(0), By(3)),
    ("readlink", Look, Here(0), Kept),
    ("readlinkat", Look, At(0), Kept),
    ("statfs", Look, Here(0), Followed),
    ("chdir", Look, Here(0), Followed),
    ("getxattr", Look, Here(0), Followed),
    ("lgetxattr", Look, Here(0), Kept),
    ("getxattrat", Look, At(0), By(2)),
    ("listxattr", Look, Here(0), Followed),
    ("llistxattr", Look, Here(0), Kept),
    ("listxattrat", Look, At(0), By(2)),
    ("inotify_add_watch", Read, Here(1), Followed),
    ("listen", Bind, Descriptor(0), Followed),
    ("chmod", Alter, Here(0), Followed),
    ("fchmod", Alter, Descriptor(0), Followed),
    ("fchmodat", Alter, At(0), Followed),
    ("fchmodat2", Alter, At(0), By(3)),
    ("chown", Alter, Here(0), Followed),
    ("lchown", Alter, Here(0), Kept),
    ("fchown", Alter, Descriptor(0), Followed),
    ("fchownat", Alter, At(0), By(4)),
    ("utime", Alter, Here(0), Followed),
    ("utimes", Alter, Here(0), Followed),
    ("futimesat", Alter, At(0), Followed),
    ("utimensat", Alter, At(0), By(3)),
    ("setxattr", Alter, Here(0), Followed),
    ("lsetxattr", Alter, Here(0), Kept),
    ("fsetxattr", Alter, Descriptor(0), Followed),
    ("setxattrat", Alter, At(0), By(2)),
    ("removexattr", Alter, Here(0), Followed),
    ("lremovexattr", Alter, Here(0), Kept),
    ("execve", Execute, Here(0), Followed),
    ("execveat", Execute, At(0), By(4)),
];

/// Opening, by the argument that holds its flags: watched where they say `O_PATH`.
const OPENING: [(&str, Spot, usize); 2] = [("open", Here(0), 1), ("openat", At(0), 2)];

/// Whether a call is watched, and if it is, which of its arguments says by `AT_EMPTY_PATH` that most probably a descriptor is meant, of
/// which there is nothing to tell: fstat(3) is newfstatat(2) in many libraries.
pub(super) fn is_watched(name: &str) -> Option<Option<u8>> {
    let (_, act, _, link) = WATCHED.iter().find(|(watched, ..)| *watched == name)?;
    Some(match link {
        By(flags) if *act == Look => u8::try_from(*flags).ok(),
        _ => None,
    })
}

/// The watched calls of one architecture, by number.
#[derive(Debug)]
pub(crate) struct Watches {
    calls: Vec<(u32, (Act, Spot, Link))>,
    opening: Vec<(u32, (Spot, usize))>,
}

impl Watches {
    pub(crate) fn new(arch: Arch) -> Self {
        let number = |name| seccomp::by_name(name).and_then(|call| call.number(arch)).map(u32::from);
        Self {
            calls: WATCHED
                .iter()
                .filter_map(|&(name, act, spot, link)| Some((number(name)?, (act, spot, link))))
                .collect(),
            opening: OPENING
                .iter()
                .filter_map(|&(name, spot, flags)| Some((number(name)?, (spot, flags))))
                .collect(),
        }
    }

    /// The call with this number and these registers, where it is watched.
    pub(crate) fn decode(&self, nr: u32, args: &[u64; 6]) -> Option<Watched> {
        let argument = |index: usize| args.get(index).copied().unwrap_or(0);
        let named = |spot| match spot {
            Here(index) => Named { dir: AT_FDCWD, path: argument(index) },
            At(index) => Named { dir: word(argument(index)).cast_signed(), path: argument(index + 1) },
            Descriptor(index) => Named { dir: word(argument(index)).cast_signed(), path: 0 },
        };
        if let Some((_, (spot, flags))) = self.opening.iter().find(|(number, _)| *number == nr) {
            let is_place = word(argument(*flags)) & O_PATH != 0;
            return is_place.then(|| Watched { act: Look, at: named(*spot), flags: 0 });
        }
        let (_, (act, spot, link)) = self.calls.iter().find(|(number, _)| *number == nr)?;
        let flags = match link {
            Followed => 0,
            Kept => AT_NOFOLLOW,
            By(index) => word(argument(*index)) & (AT_NOFOLLOW | AT_EMPTY_PATH),
        };
        Some(Watched { act: *act, at: named(*spot), flags })
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::Forms;
    use super::*;

    const PATH: u64 = 0x7fff_1234_5678;

    fn decoded(name: &str, args: [u64; 6]) -> Vec<Option<Watched>> {
        let of = |arch: &Arch| {
            let number = seccomp::by_name(name).unwrap().number(*arch)?;
            Some(Watches::new(*arch).decode(number.into(), &args))
        };
        Arch::ALL.iter().filter_map(of).collect()
    }

    #[test]
    fn registers_are_read_as_the_kernel_does() {
        let high = 0xdead_beef_0000_0000_u64;
        let cwd = u64::from(AT_FDCWD.cast_unsigned());
        let at = |dir| Named { dir, path: PATH };
        let watched = |act, at, flags| Some(Watched { act, at, flags });
        let cases: [(&str, [u64; 6], Option<Watched>); 9] = [
            ("stat", [PATH, 0, 0, 0, 0, 0], watched(Look, at(AT_FDCWD), 0)),
            ("lstat", [PATH, 0, 0, 0, 0, 0], watched(Look, at(AT_FDCWD), AT_NOFOLLOW)),
            ("statx", [cwd | high, PATH, 0x100, 0, 0, 0], watched(Look, at(AT_FDCWD), AT_NOFOLLOW)),
            ("fchownat", [7, PATH, 0, 0, 0x1000, 0], watched(Alter, at(7), AT_EMPTY_PATH)),
            ("fchmod", [3, 0o644, 0, 0, 0, 0], watched(Alter, Named { dir: 3, path: 0 }, 0)),
            ("execve", [PATH, 0, 0, 0, 0, 0], watched(Execute, at(AT_FDCWD), 0)),
            ("openat", [5, PATH, u64::from(O_PATH), 0, 0, 0], watched(Look, at(5), 0)),
            ("openat", [5, PATH, 0, 0, 0, 0], None),
            ("inotify_add_watch", [3, PATH, 0, 0, 0, 0], watched(Read, at(AT_FDCWD), 0)),
        ];
        for (name, args, want) in cases {
            let found = decoded(name, args);
            assert!(!found.is_empty() && found.iter().all(|found| *found == want), "{name}: {found:?}");
        }
    }

    /// What is judged is performed by the broker, and never goes on.
    #[test]
    fn no_call_is_watched_and_performed() {
        let fillings = [[0; 6], [u64::from(O_PATH); 6], [u64::MAX; 6], [0o101; 6]];
        for arch in Arch::ALL {
            let (forms, watches) = (Forms::new(arch), Watches::new(arch));
            let opening = OPENING.map(|(name, ..)| seccomp::by_name(name).and_then(|call| call.number(arch)));
            for nr in 0..512 {
                for args in fillings {
                    let performed = forms.decode(nr, &args).is_some();
                    let is_open = opening.contains(&u16::try_from(nr).ok());
                    let is_place = is_open && args[0] & u64::from(O_PATH) != 0;
                    let watched = watches.decode(nr, &args).is_some();
                    assert!(!watched || !performed || is_place, "{arch} {nr} {args:x?}");
                }
            }
        }
    }
}
