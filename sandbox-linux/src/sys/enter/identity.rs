//! Gives away ids and capabilities, in the order that the kernel needs (capabilities(7), credentials(7)).

use super::super::abi::{CAPABILITY_VERSION_3, CapHeader, SECURE_BITS, check, check_int};
use super::{At as _, Done};
use crate::plan::Privilege;
use crate::prepare::{Become, Prepared};
use crate::step::Step;

/// Highest capability that any kernel may have: the bounding set is walked until the kernel knows no more.
const CAPABILITIES: libc::c_ulong = 64;

pub(super) fn drop_privileges(prepared: &Prepared) -> Done {
    if prepared.privilege == Privilege::Held {
        empty_bounding_set().at(Step::BoundingSet)?;
        // SAFETY: sets a property of this process only.
        check_int(unsafe { libc::prctl(libc::PR_SET_SECUREBITS, SECURE_BITS, 0, 0, 0) })
            .at(Step::SecureBits)?;
    }
    become_other(prepared)?;
    drop_capabilities().at(Step::Capabilities)
}

fn empty_bounding_set() -> Result<(), i32> {
    for capability in 0..CAPABILITIES {
        // SAFETY: changes this process only.
        match check_int(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) }) {
            Ok(_) => {}
            Err(libc::EINVAL) => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Becomes the command's user, where that is another than the launcher's; what is left undone by a profile that confines nothing,
/// this is not.
pub(super) fn become_other(prepared: &Prepared) -> Done {
    prepared.become_user.as_ref().map_or(Ok(()), become_user)
}

/// By raw calls: the C library's would tell other threads, of which there are none, and take locks.
fn become_user(user: &Become) -> Done {
    let (groups, count) = (user.groups.as_ptr(), user.groups.len());
    // SAFETY: the kernel reads `count` numbers of the array.
    check(unsafe { libc::syscall(libc::SYS_setgroups, count, groups) }).at(Step::Groups)?;
    let gid = user.gid;
    // SAFETY: changes this process only.
    check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) }).at(Step::GroupId)?;
    let uid = user.uid;
    // SAFETY: changes this process only.
    check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }).at(Step::UserId)?;
    Ok(())
}

fn drop_capabilities() -> Result<(), i32> {
    let header = CapHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    // Effective, permitted and inheritable, low and high: the ambient set cannot outlast them.
    let none = [0_u32; 6];
    // SAFETY: the kernel reads both, laid out as it wants them; changes this process only.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) }).map(drop)
}
