//! `/dev/tty`: the caller's controlling terminal, which a process of another session cannot open by that name.

use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};

use super::call::{self, Kernel};
use super::resolve::World;
use super::socket::copy_descriptor;
use super::tracee::{Tracee, below};

/// Major numbers of the terminals of devpts, each with 256 minors (`UNIX98_PTY_SLAVE_MAJOR`).
pub(super) const PTS_MAJORS: std::ops::RangeInclusive<u32> = 136..=143;
const MINORS: u32 = 256;
/// Descriptors of the caller that are tried: the standard ones and those that shells keep.
const TRIED: u32 = 256;

/// Opens the caller's terminal: by its name in the sandbox, where what has that name is admitted, else anew through a descriptor of the caller's, else as a copy of that
/// descriptor.
///
/// # Errors
/// ENXIO when there is none, as the kernel says.
pub(super) fn open(
    world: &World,
    tracee: &Tracee,
    flags: u32,
    admits: impl Fn(&libc::stat) -> bool,
) -> Kernel<OwnedFd> {
    let device = device(tracee).ok_or(libc::ENXIO)?;
    let major = libc::major(device);
    let name = match (major, libc::minor(device)) {
        (major, minor) if PTS_MAJORS.contains(&major) => {
            Some(below("dev/pts/", (major - PTS_MAJORS.start()) * MINORS + minor))
        }
        (4, minor) => Some(below("dev/tty", minor)),
        (5, 1) => CString::new("dev/console").ok(),
        _ => None,
    };
    if let Some(name) = name
        && let Ok(stat) = call::stat_at(world.root(), &name, 0)
        && stat.st_rdev == device
        && admits(&stat)
    {
        return call::openat(world.root(), &name, flags);
    }
    through_descriptor(tracee, device, flags)
}

fn through_descriptor(tracee: &Tracee, device: libc::dev_t, flags: u32) -> Kernel<OwnedFd> {
    let mut refused = libc::ENXIO;
    for fd in 0..TRIED {
        let name = below("fd/", fd);
        let Ok(stat) = call::stat_at(tracee.dir()?, &name, 0) else { continue };
        if stat.st_rdev != device || stat.st_mode & libc::S_IFMT != libc::S_IFCHR {
            continue;
        }
        match call::openat(tracee.dir()?, &name, flags) {
            Ok(file) => return Ok(file),
            Err(errno) => refused = errno,
        }
        let mode = libc::O_ACCMODE.cast_unsigned();
        let copy = copy_descriptor(tracee, fd.cast_signed())?;
        let held = call::flags(copy.as_fd())? & mode;
        if held == libc::O_RDWR.cast_unsigned() || held == flags & mode {
            return Ok(copy);
        }
    }
    Err(refused)
}

/// The number of the terminal, from the seventh field of `/proc/PID/stat`.
fn device(tracee: &Tracee) -> Option<libc::dev_t> {
    let stat = tracee.file(c"stat")?;
    // The second field is the command in brackets, and may hold anything.
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let text = std::str::from_utf8(stat.get(end + 2..)?).ok()?;
    let device: i32 = text.split(' ').nth(4)?.parse().ok()?;
    let device = u64::from(device.cast_unsigned());
    // The old encoding: minor in bits 0 to 7 and 20 to 31, major in bits 8 to 19 (`new_encode_dev`).
    let minor = (device & 0xff) | ((device >> 12) & 0xfff00);
    let major = (device >> 8) & 0xfff;
    let (major, minor) = (u32::try_from(major).ok()?, u32::try_from(minor).ok()?);
    (device != 0).then(|| libc::makedev(major, minor))
}
