//! The loopback interface of an own network namespace (netdevice(7)).

use super::super::abi::check_int;
use super::close;

/// Brings `lo` up.
pub(in crate::sys) fn loopback_up() -> Result<(), i32> {
    // SAFETY: makes a descriptor, which is closed below.
    let socket = check_int(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: all-zero is a valid request.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (slot, byte) in request.ifr_name.iter_mut().zip(*b"lo") {
        // Signed on one architecture, unsigned on the other.
        *slot = libc::c_char::from_ne_bytes([byte]);
    }
    request.ifr_ifru.ifru_flags = UP;
    // SAFETY: the kernel reads the request, which outlives the call.
    let set = check_int(unsafe { libc::ioctl(socket, libc::SIOCSIFFLAGS, &raw mut request) }).map(drop);
    close(socket);
    set
}

/// `IFF_UP`.
const UP: libc::c_short = 1;
