//! What a procfs shows of a process is closed to calls on files.
//!
//! The worker is a copy of a launcher that has executed nothing, and the kernel lets every process read its own memory, whatever else it
//! keeps from it (ptrace(2), "Ptrace access mode checking"). No process in the worker's sandbox is the caller's, so nothing is lost.

use std::fs;
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fstat, fstatfs};
use weir_protocol::AbsPath;

/// Where a sandbox, and every host, has its procfs.
const PROC: &str = "/proc";

/// `PROC_ROOT_INO`: the number of a procfs's top directory.
const PROC_ROOT: u64 = 1;

/// Whether what is open lies in a process's directory on a procfs. What cannot be told counts: a procfs in another place.
pub(super) fn is_of_a_process(open: impl AsFd) -> bool {
    let open = open.as_fd();
    match fstatfs(open) {
        Ok(found) if found.f_type == rustix::fs::PROC_SUPER_MAGIC => {}
        Ok(_) => return false,
        Err(_) => return true,
    }
    let (Ok(found), Ok(top)) = (fstat(open), fs::metadata(PROC)) else { return true };
    if (found.st_dev, PROC_ROOT) != (top.dev(), top.ino()) {
        return true;
    }
    // The path of what was opened, whatever led there. It is the kernel's, and holds no link.
    let path = fs::read_link(format!("{PROC}/self/fd/{}", open.as_raw_fd()));
    path.map_or(true, |path| is_in_a_process_directory(&path))
}

/// Whether this is a place below `/proc/NUMBER`, or none below `/proc`.
fn is_in_a_process_directory(path: &Path) -> bool {
    let Ok(below) = path.strip_prefix(PROC) else { return true };
    let first = below.components().next();
    first.is_some_and(|first| first.as_os_str().as_bytes().iter().all(u8::is_ascii_digit))
}

/// Whether a name is one in a process's directory, or a link to such a place. Opens nothing for reading.
pub(super) fn leads_to_a_process(path: &AbsPath) -> bool {
    let open =
        |flags| rustix::fs::open(path.as_path(), OFlags::PATH | OFlags::CLOEXEC | flags, Mode::empty());
    let Ok(named) = open(OFlags::NOFOLLOW) else { return false };
    let is_link =
        fstat(&named).is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Symlink);
    is_of_a_process(&named) || is_link && open(OFlags::empty()).is_ok_and(is_of_a_process)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_a_process_is_told_from_the_rest() {
        let check = |path: &str, expect: [bool; 2]| {
            let opened = fs::File::open(path).is_ok_and(is_of_a_process);
            assert_eq!([leads_to_a_process(&AbsPath::parse(path).unwrap()), opened], expect, "{path}");
        };
        let own = format!("/proc/{}", std::process::id());
        for path in [
            "/proc/self/environ",
            "/proc/thread-self/environ",
            "/proc/self/maps",
            "/proc/self/task",
            "/proc/self/root/proc/1/status",
            "/proc/1/status",
            "/proc/self",
            &own,
            &format!("{own}/mem"),
            &format!("{own}/task/{}/mem", std::process::id()),
            "/proc/mounts",
            "/proc/net/dev",
        ] {
            check(path, [true, true]);
        }
        // The name is in the directory; where it leads is not.
        check("/proc/self/cwd", [true, false]);
        for path in
            ["/proc", "/proc/cpuinfo", "/proc/sys/kernel/ostype", "/", "/etc", "/dev/null", "/nowhere"]
        {
            check(path, [false, false]);
        }
    }
}
