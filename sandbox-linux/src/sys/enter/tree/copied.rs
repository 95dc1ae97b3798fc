//! A directory of the host with changes in a copy (overlayfs).
//!
//! The kernel is told of layers by path (mount(8), "overlay"), and paths could be led elsewhere: so both are opened below the host's
//! root without following a link, attached in the scaffold under names of its own, and let go when the overlay has them.

use std::ffi::CStr;

use super::super::super::abi::*;
use super::super::close;
use super::{Site, attach, configured, copy_tree, created, open_below};

/// Where the layers are attached: the host's place, and what keeps the copy.
pub(super) const PLACES: [&CStr; 2] = [c"lower", c"kept"];

/// No index of hard links: a name that is written becomes a file of its own, and layers may be changed while no command runs. The numbers of
/// files stay those that the layers tell (`xino`), by which closed files are known.
const OPTIONS: [(&CStr, &CStr); 5] = [
    (c"lowerdir", c"/lower"),
    (c"upperdir", c"/kept/upper"),
    (c"workdir", c"/kept/work"),
    (c"index", c"off"),
    (c"xino", c"off"),
];

pub(super) fn mount(site: &Site<'_>, at: &CStr, state: &CStr) -> Result<(), i32> {
    let [lower, kept] = PLACES;
    show(site, at, lower)?;
    show(site, state, kept)?;
    let context = configured(c"overlay", &OPTIONS)?;
    let none = std::ptr::null::<libc::c_char>();
    let flag = c"userxattr".as_ptr();
    // SAFETY: the key is a C string; a flag takes no value.
    check(unsafe { libc::syscall(libc::SYS_fsconfig, context, FSCONFIG_SET_FLAG, flag, none, 0) })?;
    let tree = created(context, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)?;
    for name in PLACES {
        // SAFETY: the path is a C string; acts on a mount that was made above, in this process's own mount namespace.
        check_int(unsafe { libc::umount2(name.as_ptr(), libc::MNT_DETACH) })?;
    }
    attach(tree, open_below(site.new, at)?)
}

/// Attaches a place of the host under a name of the scaffold, which is the working directory.
fn show(site: &Site<'_>, place: &CStr, name: &CStr) -> Result<(), i32> {
    let source = open_below(site.old, place)?;
    let tree = copy_tree(source, AT_RECURSIVE);
    close(source);
    attach(tree?, open_below(libc::AT_FDCWD, name)?)
}
