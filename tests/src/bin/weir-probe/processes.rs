//! Acts on other processes, and on the process's own rights.

use std::ffi::OsString;

use super::call::{address, address_mut, call};
use super::{Answer, Error, number, word};

pub(crate) fn attempt(verb: &str, words: &[OsString]) -> Option<Answer> {
    let done = |result: Result<i64, Error>| result.map(|_| String::new());
    Some(match verb {
        "kill" => done(two(words).and_then(|(process, signal)| call(libc::SYS_kill, [process, signal]))),
        "tgkill" => {
            done(two(words).and_then(|(process, signal)| call(libc::SYS_tgkill, [process, process, signal])))
        }
        "sigqueue" => done(sigqueue(words)),
        "pidfd-signal" => done(pidfd_signal(words)),
        "pidfd-getfd" => done(pidfd_getfd(words)),
        "ptrace" => done(ptrace(words)),
        "memory-read" => memory_read(words),
        "memory-write" => done(memory_write(words)),
        "kcmp" => done(number(words, 0).and_then(|other| call(libc::SYS_kcmp, [own(), other, 0, 0, 0]))),
        "prlimit" => done(prlimit(words)),
        "setpriority" => done(number(words, 0).and_then(|other| call(libc::SYS_setpriority, [0, other, 19]))),
        "affinity" => done(affinity(words)),
        "set-uid" => done(number(words, 0).and_then(|id| call(libc::SYS_setresuid, [id, id, id]))),
        "status" => status(words),
        "wait-all" => Ok(wait_all()),
        _ => return None,
    })
}

fn own() -> i64 {
    i64::from(std::process::id())
}

fn two(words: &[OsString]) -> Result<(i64, i64), Error> {
    Ok((number(words, 0)?, number(words, 1)?))
}

fn sigqueue(words: &[OsString]) -> Result<i64, Error> {
    let (process, signal) = two(words)?;
    // `siginfo_t` with `si_code` = `SI_QUEUE`.
    let mut information = [0_i32; 32];
    information[2] = -1;
    call(libc::SYS_rt_sigqueueinfo, [process, signal, address(&information)])
}

fn pidfd_signal(words: &[OsString]) -> Result<i64, Error> {
    let (process, signal) = two(words)?;
    let handle = call(libc::SYS_pidfd_open, [process, 0])?;
    call(libc::SYS_pidfd_send_signal, [handle, signal, 0, 0])
}

fn pidfd_getfd(words: &[OsString]) -> Result<i64, Error> {
    let (process, descriptor) = two(words)?;
    let handle = call(libc::SYS_pidfd_open, [process, 0])?;
    call(libc::SYS_pidfd_getfd, [handle, descriptor, 0])
}

/// Seizes a process, which does not stop it, and lets it go.
fn ptrace(words: &[OsString]) -> Result<i64, Error> {
    let process = number(words, 0)?;
    call(libc::SYS_ptrace, [i64::from(libc::PTRACE_SEIZE), process, 0, 0])
}

/// `struct iovec`.
#[repr(C)]
struct Part {
    base: i64,
    length: usize,
}

fn memory(words: &[OsString], number_of_call: i64, room: &mut [u8; 8]) -> Result<i64, Error> {
    let (process, at) = two(words)?;
    let here = Part { base: address_mut(room), length: room.len() };
    let there = Part { base: at, length: room.len() };
    call(number_of_call, [process, address(&here), 1, address(&there), 1, 0])
}

fn memory_read(words: &[OsString]) -> Answer {
    let mut room = [0; 8];
    memory(words, libc::SYS_process_vm_readv, &mut room)?;
    Ok(String::from_utf8_lossy(&room).into_owned())
}

fn memory_write(words: &[OsString]) -> Result<i64, Error> {
    memory(
        words,
        libc::SYS_process_vm_writev,
        &mut *b"changed\0".to_vec().first_chunk_mut().unwrap_or(&mut [0; 8]),
    )
}

/// Sets a limit of another process to what it is.
fn prlimit(words: &[OsString]) -> Result<i64, Error> {
    let process = number(words, 0)?;
    let mut limit = [0_u64; 2];
    let which = libc::RLIMIT_CORE as i64;
    call(libc::SYS_prlimit64, [process, which, 0, address_mut(&mut limit)])?;
    call(libc::SYS_prlimit64, [process, which, address(&limit), 0])
}

/// Sets the processors of another process to what they are.
fn affinity(words: &[OsString]) -> Result<i64, Error> {
    let process = number(words, 0)?;
    let mut set = [0_u64; 128];
    let bytes = call(libc::SYS_sched_getaffinity, [process, 1024, address_mut(&mut set)])?;
    call(libc::SYS_sched_setaffinity, [process, bytes, address(&set)])
}

/// `status KEY`: a line of the process's own status (proc_pid_status(5)).
fn status(words: &[OsString]) -> Answer {
    let key = word(words, 0)?.to_str().unwrap_or_default();
    let text = std::fs::read_to_string("/proc/self/status")?;
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(name, _)| *name == key);
    found
        .map(|(_, value)| value.split_whitespace().collect::<Vec<_>>().join(" "))
        .ok_or_else(|| Error::Other("no such line".to_owned()))
}

/// Waits for every child; answers how many there were.
fn wait_all() -> String {
    let mut count = 0;
    while call(libc::SYS_wait4, [-1, 0, 0, 0]).is_ok() {
        count += 1;
    }
    count.to_string()
}
