//! Acts on files and directories.

use std::ffi::{CString, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use super::call::{address, address_mut, call, path, text};
use super::{Answer, Error, number, word};

/// Most bytes of a file that are shown.
const SHOWN: u64 = 200;

const DONE: Answer = Ok(String::new());

pub(crate) fn attempt(verb: &str, words: &[OsString]) -> Option<Answer> {
    let done = |result: std::io::Result<()>| result.map(|()| String::new()).map_err(Error::from);
    let one = || word(words, 0);
    let two = || Ok::<_, Error>((word(words, 0)?, word(words, 1)?));
    Some(match verb {
        "read" => one().and_then(|at| read(File::open(at)?)),
        "list" => one().and_then(|at| list(at.as_ref())),
        "stat" => one().and_then(|at| Ok(format!("{}", fs::symlink_metadata(at)?.len()))),
        "open-write" => one().and_then(|at| done(OpenOptions::new().write(true).open(at).map(drop))),
        "write" => one().and_then(|at| write(OpenOptions::new().append(true).open(at)?)),
        "create" => one().and_then(|at| write(OpenOptions::new().create_new(true).write(true).open(at)?)),
        "truncate" => one().and_then(truncate),
        "mkdir" => one().and_then(|at| done(fs::create_dir(at))),
        "rmdir" => one().and_then(|at| done(fs::remove_dir(at))),
        "unlink" => one().and_then(|at| done(fs::remove_file(at))),
        "chmod" => one().and_then(|at| done(fs::set_permissions(at, fs::Permissions::from_mode(0o777)))),
        "chown" => one().and_then(|at| done(chown(at, Some(1), Some(1)))),
        "rename" => two().and_then(|(from, to)| done(fs::rename(from, to))),
        "exchange" => two().and_then(|(from, to)| exchange(from, to)),
        "link" => two().and_then(|(from, to)| done(fs::hard_link(from, to))),
        "symlink" => two().and_then(|(to, at)| done(symlink(to, at))),
        "readlink" => one().and_then(|at| Ok(fs::read_link(at)?.to_string_lossy().into_owned())),
        "mknod" => mknod(words),
        "exec" => exec(words),
        "opath" => one().and_then(|at| opath(at.as_ref())),
        "tmpfile" => one().and_then(|at| tmpfile(at.as_ref(), word(words, 1).ok())),
        "chdir" => one().and_then(|at| done(std::env::set_current_dir(at))),
        "chroot" => one().and_then(|at| done(std::os::unix::fs::chroot(at))),
        "handle" => one().and_then(handle),
        "xattr" => one().and_then(xattr),
        "swap" => swap(words),
        _ => return None,
    })
}

fn read(file: File) -> Answer {
    let mut found = Vec::new();
    file.take(SHOWN).read_to_end(&mut found)?;
    Ok(String::from_utf8_lossy(&found).into_owned())
}

fn write(mut file: File) -> Answer {
    file.write_all(b"written\n")?;
    DONE
}

fn list(at: &Path) -> Answer {
    let mut names = Vec::new();
    for entry in fs::read_dir(at)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names.join(" "))
}

fn truncate(at: &OsString) -> Answer {
    let at = text(at)?;
    call(libc::SYS_truncate, [path(&at), 0]).map(|_| String::new())
}

fn exchange(from: &OsString, to: &OsString) -> Answer {
    let (from, to) = (text(from)?, text(to)?);
    let here = i64::from(libc::AT_FDCWD);
    let flags = i64::from(libc::RENAME_EXCHANGE);
    call(libc::SYS_renameat2, [here, path(&from), here, path(&to), flags]).map(|_| String::new())
}

/// `mknod PATH MODE DEVICE`.
fn mknod(words: &[OsString]) -> Answer {
    let (mode, device) = (number(words, 1)?, number(words, 2)?);
    let at = text(word(words, 0)?)?;
    call(libc::SYS_mknodat, [i64::from(libc::AT_FDCWD), path(&at), mode, device]).map(|_| String::new())
}

/// Runs a program to its end; its output is the answer.
fn exec(words: &[OsString]) -> Answer {
    let output = Command::new(word(words, 0)?).args(&words[1..]).stdin(Stdio::null()).output()?;
    if !output.status.success() {
        return Err(Error::Other(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr))));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Opens a place without access to it, and opens it again through /proc.
fn opath(at: &Path) -> Answer {
    let place = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(at)?;
    read(File::open(format!("/proc/self/fd/{}", place.as_raw_fd()))?)
}

/// Makes a file without a name, and gives it one where that is asked for.
fn tmpfile(below: &Path, name: Option<&OsString>) -> Answer {
    let file = OpenOptions::new().write(true).custom_flags(libc::O_TMPFILE).open(below)?;
    file.write_all_at(b"unnamed", 0)?;
    let Some(name) = name else { return DONE };
    let from = text(format!("/proc/self/fd/{}", file.as_raw_fd()).as_ref())?;
    let (to, here) = (text(name)?, i64::from(libc::AT_FDCWD));
    let flags = i64::from(libc::AT_SYMLINK_FOLLOW);
    call(libc::SYS_linkat, [here, path(&from), here, path(&to), flags]).map(|_| String::new())
}

/// `struct file_handle` with room for any.
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    room: [u8; 128],
}

/// Asks for a file's handle and opens the file by it, from any directory of its file system (open_by_handle_at(2)).
fn handle(at: &OsString) -> Answer {
    let mut handle = Handle { bytes: 128, kind: 0, room: [0; 128] };
    let (name, mut mount) = (text(at)?, 0_i32);
    let here = i64::from(libc::AT_FDCWD);
    call(
        libc::SYS_name_to_handle_at,
        [here, path(&name), address_mut(&mut handle), address_mut(&mut mount), 0],
    )?;
    let anchor = File::open(Path::new(at).parent().unwrap_or(Path::new("/")))?;
    let found = call(libc::SYS_open_by_handle_at, [i64::from(anchor.as_raw_fd()), address(&handle), 0])?;
    read(File::open(format!("/proc/self/fd/{found}"))?)
}

/// Sets an extended attribute of the user's.
fn xattr(at: &OsString) -> Answer {
    let (at, name): (_, CString) = (text(at)?, c"user.weir".to_owned());
    call(libc::SYS_setxattr, [path(&at), path(&name), address(b"x"), 1, 0]).map(|_| String::new())
}

/// `swap LINK GOOD BAD ROUNDS`: points a symbolic link to and fro in one thread and reads through it in another. Answers what
/// was read that is not in GOOD.
fn swap(words: &[OsString]) -> Answer {
    let (link, good, bad) = (word(words, 0)?, word(words, 1)?, word(words, 2)?);
    let rounds = number(words, 3)?;
    let expected = fs::read(good)?;
    let aside = Path::new(link).with_extension("aside");
    let over = std::sync::atomic::AtomicBool::new(false);
    let leaked = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                for target in [good, bad] {
                    let _ = symlink(target, &aside).and_then(|()| fs::rename(&aside, link));
                }
            }
        });
        let leaked = (0..rounds).filter_map(|_| fs::read(link).ok()).find(|found| *found != expected);
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        leaked
    });
    match leaked {
        Some(found) => Ok(format!("leaked {}", String::from_utf8_lossy(&found))),
        None => Err(Error::Other("nothing leaked".to_owned())),
    }
}
