//! What a process finds around itself: descriptors, environment, terminal; and the wrappers that make surroundings.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use super::call::{address, call};
use super::{Answer, Error, number, word};

/// Least Landlock ABI that holds files alone (truncation).
const ABI_TRUNCATE: i64 = 3;

pub(crate) fn attempt(verb: &str, words: &[OsString]) -> Option<Answer> {
    let done = |result: Result<i64, Error>| result.map(|_| String::new());
    Some(match verb {
        "descriptor" => descriptor(words),
        "variable" => variable(words),
        "ioctl" => done(ioctl(words)),
        "call" => done(raw(words)),
        "descriptors" => descriptors(),
        "writable-below" => word(words, 0).map(|root| writable_below(root.as_ref())),
        _ => return None,
    })
}

/// `descriptor N`: reads from an inherited descriptor.
fn descriptor(words: &[OsString]) -> Answer {
    use std::os::fd::FromRawFd as _;
    let number = i32::try_from(number(words, 0)?).map_err(|_| Error::Kernel(libc::EBADF))?;
    call(libc::SYS_fcntl, [i64::from(number), i64::from(libc::F_GETFD)])?;
    // SAFETY: it is open, as the line above found, and nothing else of this process uses it.
    let mut file = unsafe { File::from_raw_fd(number) };
    let mut found = String::new();
    file.read_to_string(&mut found)?;
    Ok(found)
}

fn variable(words: &[OsString]) -> Answer {
    let found = std::env::var_os(word(words, 0)?);
    found.map(|value| value.to_string_lossy().into_owned()).ok_or(Error::Kernel(libc::ENOENT))
}

/// `ioctl DESCRIPTOR REQUEST BYTE`: a request with the address of one byte.
fn ioctl(words: &[OsString]) -> Result<i64, Error> {
    let byte = [number(words, 2)?.to_ne_bytes()[0], 0];
    call(libc::SYS_ioctl, [number(words, 0)?, number(words, 1)?, address(&byte)])
}

/// `call NUMBER ARGUMENT…`: any system call with numbers.
fn raw(words: &[OsString]) -> Result<i64, Error> {
    let mut arguments = [0; 6];
    for (at, slot) in arguments.iter_mut().enumerate().take(words.len().saturating_sub(1)) {
        *slot = number(words, at + 1)?;
    }
    call(number(words, 0)?, arguments)
}

/// Numbers of all open descriptors but the one that lists them.
fn descriptors() -> Answer {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if std::fs::read_link(format!("/proc/self/fd/{name}")).is_ok_and(|to| !to.ends_with("fd")) {
            found.push(name);
        }
    }
    found.sort();
    Ok(found.join(" "))
}

/// Every file below a directory that can be opened for writing, directories of processes aside.
fn writable_below(root: &std::path::Path) -> String {
    use std::os::unix::fs::OpenOptionsExt as _;
    let (mut open, mut found) = (vec![root.to_owned()], Vec::new());
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            let is_process = entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit());
            if kind.is_dir() && !is_process {
                open.push(entry.path());
            }
            let mut options = std::fs::OpenOptions::new();
            options.write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
            if kind.is_file() && options.open(entry.path()).is_ok() {
                found.push(entry.path().to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found.join(" ")
}

/// Succeeds where Landlock holds files alone.
pub(crate) fn landlock() -> ExitCode {
    match call(libc::SYS_landlock_create_ruleset, [0, 0, 1]) {
        Ok(abi) if abi >= ABI_TRUNCATE => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Executes a command to which the kernel refuses user namespaces, as a hardened host or a container's filter does: unshare
/// and clone with that flag answer EPERM, and clone3, whose flags no filter sees, is missing.
pub(crate) fn refuse_user_namespaces(words: &[OsString]) -> ExitCode {
    let Some((program, arguments)) = words.split_first() else { return ExitCode::FAILURE };
    if let Err(error) = install() {
        eprintln!("weir-probe: {error:?}");
        return ExitCode::FAILURE;
    }
    let error = Command::new(program).args(arguments).exec();
    eprintln!("weir-probe: {}: {error}", program.display());
    ExitCode::FAILURE
}

fn install() -> Result<(), Error> {
    const LOAD: u16 = 0x20;
    const EQUAL: u16 = 0x15;
    const ANY_BIT: u16 = 0x45;
    const RETURN: u16 = 0x06;
    const ALLOW: u32 = 0x7fff_0000;
    const ERRNO: u32 = 0x0005_0000;
    let number = |call: i64| u32::try_from(call).unwrap_or(u32::MAX);
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let flag = libc::CLONE_NEWUSER.cast_unsigned();
    let filter = [
        step(LOAD, 0, 0, 0),
        step(EQUAL, 5, 0, number(libc::SYS_clone3)),
        step(EQUAL, 1, 0, number(libc::SYS_unshare)),
        step(EQUAL, 0, 2, number(libc::SYS_clone)),
        step(LOAD, 0, 0, 16),
        step(ANY_BIT, 2, 0, flag),
        step(RETURN, 0, 0, ALLOW),
        step(RETURN, 0, 0, ERRNO | libc::ENOSYS.cast_unsigned()),
        step(RETURN, 0, 0, ERRNO | libc::EPERM.cast_unsigned()),
    ];
    let length = u16::try_from(filter.len()).unwrap_or_default();
    let program = libc::sock_fprog { len: length, filter: filter.as_ptr().cast_mut() };
    call(libc::SYS_prctl, [i64::from(libc::PR_SET_NO_NEW_PRIVS), 1, 0, 0, 0])?;
    let mode = i64::from(libc::SECCOMP_SET_MODE_FILTER);
    call(libc::SYS_seccomp, [mode, 0, address(&program)]).map(drop)
}
