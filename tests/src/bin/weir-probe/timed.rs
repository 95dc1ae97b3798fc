//! What an act costs that is done again and again: for benchmarks.

use std::ffi::{CString, OsString};
use std::time::Instant;

use super::call::{address_mut, call, path, text};
use super::{Answer, Error, number, word};

/// Where the caller is.
const HERE: i64 = libc::AT_FDCWD as i64;

/// `timed COUNT ACT PATH`: nanoseconds for one of so many acts on this path. `rename` moves it to a name beside it and back, which are two;
/// `create` makes a new file beside it and removes it.
pub(crate) fn attempt(verb: &str, words: &[OsString]) -> Option<Answer> {
    (verb == "timed").then(|| timed(words))
}

fn timed(words: &[OsString]) -> Answer {
    let count = number(words, 0)?;
    let kind = word(words, 1)?.to_str().unwrap_or_default();
    let name = word(words, 2)?;
    let at = text(name)?;
    let mut beside = name.clone();
    beside.push("-beside");
    let beside = text(&beside)?;
    let act: &dyn Fn() -> Result<(), Error> = match kind {
        "open" => &|| open(&at, libc::O_RDONLY),
        "stat" => &|| stat(&at),
        "rename" => &|| rename(&at, &beside).and_then(|()| rename(&beside, &at)),
        "create" => {
            &|| open(&beside, libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY).and_then(|()| unlink(&beside))
        }
        _ => return Err(Error::Other(format!("no act {kind}"))),
    };
    let steps = if kind == "rename" { 2 } else { 1 };
    let start = Instant::now();
    for _ in 0..count / steps {
        act()?;
    }
    let done = u128::try_from(count / steps * steps).unwrap_or(0).max(1);
    Ok((start.elapsed().as_nanos() / done).to_string())
}

/// Opens and closes.
fn open(at: &CString, flags: libc::c_int) -> Result<(), Error> {
    let fd = call(libc::SYS_openat, [HERE, path(at), i64::from(flags | libc::O_CLOEXEC), 0o644])?;
    call(libc::SYS_close, [fd]).map(drop)
}

fn stat(at: &CString) -> Result<(), Error> {
    let mut found = std::mem::MaybeUninit::<libc::stat>::uninit();
    call(libc::SYS_newfstatat, [HERE, path(at), address_mut(&mut found), 0]).map(drop)
}

fn rename(from: &CString, to: &CString) -> Result<(), Error> {
    call(libc::SYS_renameat2, [HERE, path(from), HERE, path(to), 0]).map(drop)
}

fn unlink(at: &CString) -> Result<(), Error> {
    call(libc::SYS_unlinkat, [HERE, path(at), 0]).map(drop)
}
