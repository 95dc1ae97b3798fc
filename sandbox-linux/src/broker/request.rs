//! What a trapped call asks for, read from its registers. What lies in memory stays an address here.

use crate::bpf::Arch;
use crate::seccomp;

/// `AT_FDCWD` (`linux/fcntl.h`).
pub(crate) const AT_FDCWD: i32 = -100;
/// `O_CREAT | O_WRONLY | O_TRUNC`, the flags of creat(2); the same on both architectures.
const CREAT: u32 = 0o100 | 0o1 | 0o1_000;

/// `AT_REMOVEDIR` (`linux/fcntl.h`).
pub(crate) const AT_REMOVEDIR: u32 = 0x200;

/// A path as a call names it: a directory's descriptor and an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Named {
    /// Where a relative path starts.
    pub(crate) dir: i32,
    /// Where the path lies in the caller's memory.
    pub(crate) path: u64,
}

/// One trapped call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    Open { at: Named, flags: u32, mode: u32 },
    MakeDirectory { at: Named, mode: u32 },
    MakeNode { at: Named, mode: u32, device: u32 },
    Symlink { target: u64, at: Named },
    Link { from: Named, to: Named, flags: u32 },
    Rename { from: Named, to: Named, flags: u32 },
    Truncate { path: u64, length: i64 },
    Remove { at: Named, flags: u32 },
    Connect { socket: i32, address: u64, length: i32 },
    Bind { socket: i32, address: u64, length: i32 },
}

/// The order of arguments of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Open,
    Openat,
    Creat,
    Mkdir,
    Mkdirat,
    Mknod,
    Mknodat,
    Symlink,
    Symlinkat,
    Link,
    Linkat,
    Rename,
    Renameat,
    Renameat2,
    Truncate,
    Unlink,
    Unlinkat,
    Rmdir,
    Connect,
    Bind,
}

const FORMS: [(&str, Form); 20] = [
    ("open", Form::Open),
    ("openat", Form::Openat),
    ("creat", Form::Creat),
    ("mkdir", Form::Mkdir),
    ("mkdirat", Form::Mkdirat),
    ("mknod", Form::Mknod),
    ("mknodat", Form::Mknodat),
    ("symlink", Form::Symlink),
    ("symlinkat", Form::Symlinkat),
    ("link", Form::Link),
    ("linkat", Form::Linkat),
    ("rename", Form::Rename),
    ("renameat", Form::Renameat),
    ("renameat2", Form::Renameat2),
    ("truncate", Form::Truncate),
    ("unlink", Form::Unlink),
    ("unlinkat", Form::Unlinkat),
    ("rmdir", Form::Rmdir),
    ("connect", Form::Connect),
    ("bind", Form::Bind),
];

/// The trapped calls of one architecture, by number.
#[derive(Debug)]
pub(crate) struct Forms(Vec<(u32, Form)>);

impl Forms {
    pub(crate) fn new(arch: Arch) -> Self {
        let number = |name| seccomp::by_name(name).and_then(|call| call.number(arch));
        Self(FORMS.iter().filter_map(|&(name, form)| Some((u32::from(number(name)?), form))).collect())
    }

    /// The call with this number and these registers; nothing for one that is not trapped.
    pub(crate) fn decode(&self, nr: u32, args: &[u64; 6]) -> Option<Request> {
        let (_, form) = self.0.iter().find(|(number, _)| *number == nr)?;
        let signed = |index: usize| word(args[index]).cast_signed();
        let here = |index: usize| Named { dir: AT_FDCWD, path: args[index] };
        let at = |index: usize| Named { dir: signed(index), path: args[index + 1] };
        let [a, b, c, d, e] = [args[0], word(args[1]).into(), args[2], args[3], args[4]];
        Some(match form {
            Form::Open => Request::Open { at: here(0), flags: word(b), mode: word(c) },
            Form::Openat => Request::Open { at: at(0), flags: word(c), mode: word(d) },
            Form::Creat => Request::Open { at: here(0), flags: CREAT, mode: word(b) },
            Form::Mkdir => Request::MakeDirectory { at: here(0), mode: word(b) },
            Form::Mkdirat => Request::MakeDirectory { at: at(0), mode: word(c) },
            Form::Mknod => Request::MakeNode { at: here(0), mode: word(b), device: word(c) },
            Form::Mknodat => Request::MakeNode { at: at(0), mode: word(c), device: word(d) },
            Form::Symlink => Request::Symlink { target: a, at: here(1) },
            Form::Symlinkat => Request::Symlink { target: a, at: at(1) },
            Form::Link => Request::Link { from: here(0), to: here(1), flags: 0 },
            Form::Linkat => Request::Link { from: at(0), to: at(2), flags: word(e) },
            Form::Rename => Request::Rename { from: here(0), to: here(1), flags: 0 },
            Form::Renameat => Request::Rename { from: at(0), to: at(2), flags: 0 },
            Form::Renameat2 => Request::Rename { from: at(0), to: at(2), flags: word(e) },
            Form::Truncate => Request::Truncate { path: args[0], length: args[1].cast_signed() },
            Form::Unlink => Request::Remove { at: here(0), flags: 0 },
            Form::Unlinkat => Request::Remove { at: at(0), flags: word(c) },
            Form::Rmdir => Request::Remove { at: here(0), flags: AT_REMOVEDIR },
            Form::Connect => Request::Connect { socket: signed(0), address: args[1], length: signed(2) },
            Form::Bind => Request::Bind { socket: signed(0), address: args[1], length: signed(2) },
        })
    }
}

/// The low half of a register, which is all that the kernel reads of an int.
pub(super) fn word(register: u64) -> u32 {
    let [a, b, c, d, ..] = register.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_read_as_the_kernel_does() {
        let high = 0xdead_beef_0000_0000_u64;
        let cwd = u64::from(AT_FDCWD.cast_unsigned());
        let pointer = 0x7fff_1234_5678_u64;
        let here = Named { dir: AT_FDCWD, path: pointer };
        let at = |dir| Named { dir, path: pointer };
        let cases: [(&str, [u64; 6], Request); 12] = [
            (
                "openat",
                [cwd | high, pointer, 0o101 | high, 0o644, 0, 0],
                Request::Open { at: here, flags: 0o101, mode: 0o644 },
            ),
            (
                "open",
                [pointer, 0o101 | high, 0o644, 0, 0, 0],
                Request::Open { at: here, flags: 0o101, mode: 0o644 },
            ),
            ("creat", [pointer, 0o600, 0, 0, 0, 0], Request::Open { at: here, flags: 0o1101, mode: 0o600 }),
            ("mkdirat", [5, pointer, 0o755, 0, 0, 0], Request::MakeDirectory { at: at(5), mode: 0o755 }),
            (
                "mknodat",
                [5, pointer, 0o010_600, 7, 0, 0],
                Request::MakeNode { at: at(5), mode: 0o010_600, device: 7 },
            ),
            ("symlinkat", [9, cwd, pointer, 0, 0, 0], Request::Symlink { target: 9, at: here }),
            (
                "linkat",
                [3, pointer, 4, pointer, 0x400, 0],
                Request::Link { from: at(3), to: at(4), flags: 0x400 },
            ),
            (
                "renameat2",
                [3, pointer, 4, pointer, 2, 0],
                Request::Rename { from: at(3), to: at(4), flags: 2 },
            ),
            ("truncate", [pointer, 9, 0, 0, 0, 0], Request::Truncate { path: pointer, length: 9 }),
            ("unlinkat", [5, pointer, 0x200, 0, 0, 0], Request::Remove { at: at(5), flags: AT_REMOVEDIR }),
            ("rmdir", [pointer, 0, 0, 0, 0, 0], Request::Remove { at: here, flags: AT_REMOVEDIR }),
            (
                "bind",
                [u64::from(u32::MAX), pointer, 16, 0, 0, 0],
                Request::Bind { socket: -1, address: pointer, length: 16 },
            ),
        ];
        for arch in Arch::ALL {
            let forms = Forms::new(arch);
            for (name, args, want) in cases {
                let Some(nr) = seccomp::by_name(name).and_then(|call| call.number(arch)) else { continue };
                assert_eq!(forms.decode(nr.into(), &args), Some(want), "{arch} {name}");
            }
            assert_eq!(forms.decode(5_000, &[0; 6]), None);
        }
    }
}
