//! Acts on mounts and namespaces. Outside a sandbox they are tried in a mount namespace of the caller's own only.

use std::ffi::OsString;

use super::call::{Argument, address, call, path, text};
use super::{Answer, Error, number, word};

/// `OPEN_TREE_CLONE`.
const CLONE: Argument = 1;
/// `AT_EMPTY_PATH | AT_RECURSIVE`.
const EMPTY_RECURSIVE: Argument = 0x1000 | 0x8000;
/// `MOVE_MOUNT_F_EMPTY_PATH`.
const FROM_EMPTY: Argument = 4;

pub(crate) fn attempt(verb: &str, words: &[OsString]) -> Option<Answer> {
    let done = |result: Result<i64, Error>| result.map(|_| String::new());
    Some(match verb {
        "mount-tmpfs" => done(mount(None, words.first(), Some("tmpfs"), 0)),
        "mount-proc" => done(mount(None, words.first(), Some("proc"), 0)),
        "mount-bind" => done(mount(words.first(), words.get(1), None, libc::MS_BIND | libc::MS_REC)),
        "mount-move" => done(mount(words.first(), words.get(1), None, libc::MS_MOVE)),
        "remount-writable" => done(mount(None, words.first(), None, libc::MS_REMOUNT | libc::MS_BIND)),
        "umount" => done(umount(words)),
        "pivot-root" => done(pivot_root(words)),
        "fsopen" => done(fsopen()),
        "open-tree" => done(open_tree(words)),
        "move-mount" => done(move_mount(words)),
        "mount-setattr" => done(mount_setattr(words)),
        "unshare" => done(number(words, 0).and_then(|flags| call(libc::SYS_unshare, [flags]))),
        "setns" => done(setns(words)),
        _ => return None,
    })
}

fn mount(
    source: Option<&OsString>,
    target: Option<&OsString>,
    kind: Option<&str>,
    flags: u64,
) -> Result<i64, Error> {
    let source = text(source.map_or("none".as_ref(), |word| word))?;
    let target = text(target.map_or("/".as_ref(), |word| word))?;
    let kind = text(kind.unwrap_or("none").as_ref())?;
    call(libc::SYS_mount, [path(&source), path(&target), path(&kind), flags.cast_signed(), 0])
}

fn umount(words: &[OsString]) -> Result<i64, Error> {
    let target = text(word(words, 0)?)?;
    call(libc::SYS_umount2, [path(&target), i64::from(libc::MNT_DETACH)])
}

fn pivot_root(words: &[OsString]) -> Result<i64, Error> {
    let target = text(word(words, 0)?)?;
    call(libc::SYS_pivot_root, [path(&target), path(&target)])
}

fn fsopen() -> Result<i64, Error> {
    let kind = c"tmpfs".to_owned();
    call(libc::SYS_fsopen, [path(&kind), 0])
}

fn open_tree(words: &[OsString]) -> Result<i64, Error> {
    let target = text(word(words, 0)?)?;
    call(libc::SYS_open_tree, [i64::from(libc::AT_FDCWD), path(&target), CLONE | 0x8000])
}

fn move_mount(words: &[OsString]) -> Result<i64, Error> {
    let tree = open_tree(words)?;
    let (target, empty) = (text(word(words, 1)?)?, c"".to_owned());
    call(libc::SYS_move_mount, [tree, path(&empty), i64::from(libc::AT_FDCWD), path(&target), FROM_EMPTY])
}

/// Clears the read-only attribute of everything below a mount.
fn mount_setattr(words: &[OsString]) -> Result<i64, Error> {
    let target = text(word(words, 0)?)?;
    // Set, clear, propagation, user namespace (mount_setattr(2)).
    let attributes: [u64; 4] = [0, 1, 0, 0];
    let flags = EMPTY_RECURSIVE & 0x8000;
    call(libc::SYS_mount_setattr, [i64::from(libc::AT_FDCWD), path(&target), flags, address(&attributes), 32])
}

/// Enters the namespace that a file of /proc stands for.
fn setns(words: &[OsString]) -> Result<i64, Error> {
    use std::os::fd::AsRawFd as _;
    let file = std::fs::File::open(word(words, 0)?)?;
    call(libc::SYS_setns, [i64::from(file.as_raw_fd()), 0])
}
