//! Makes the prepared ruleset and enters it (landlock(7)).

use super::super::abi::{LANDLOCK_RULE_NET_PORT, LANDLOCK_RULE_PATH_BENEATH, NetPort, PathBeneath, check};
use super::{At as _, Done, close, tree};
use crate::compile::landlock::CONNECT_TCP;
use crate::prepare::LandlockOp;
use crate::step::Step;

/// Restricts this process, and all that it will ever start.
pub(super) fn restrict(ruleset: &LandlockOp) -> Done {
    let (attributes, size) = (ruleset.attributes.as_ptr(), ruleset.size);
    // SAFETY: the kernel reads `size` bytes of the array, which holds at least as many.
    let made = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, attributes, size, 0) };
    let made = check(made).at(Step::Landlock)?;
    let made = libc::c_int::try_from(made).map_err(|_| libc::EBADF).at(Step::Landlock)?;
    add_rules(made, ruleset)?;
    // SAFETY: restricts this process only.
    let entered = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, made, ruleset.records) };
    check(entered).at(Step::LandlockRestrict)?;
    close(made);
    Ok(())
}

fn add_rules(made: libc::c_int, ruleset: &LandlockOp) -> Done {
    for (item, port) in ruleset.ports.iter().enumerate() {
        add_port(made, *port).item(Step::LandlockRule, item)?;
    }
    if ruleset.rules.is_empty() {
        return Ok(());
    }
    let root = tree::open_root(c"/").at(Step::LandlockRule)?;
    for (item, rule) in ruleset.rules.iter().enumerate() {
        // What is not there needs no rule: what may come later has no name to be granted by.
        let place = match tree::open_below(root, &rule.at) {
            Ok(place) => place,
            Err(libc::ENOENT | libc::ENOTDIR | libc::ELOOP | libc::EACCES) => continue,
            Err(errno) => return Err(errno).item(Step::LandlockRule, item),
        };
        let allowed = if tree::is_directory(place) { rule.directory } else { rule.file };
        let added = if allowed == 0 { Ok(()) } else { add(made, place, allowed) };
        close(place);
        added.item(Step::LandlockRule, item)?;
    }
    close(root);
    Ok(())
}

fn add_port(ruleset: libc::c_int, port: u64) -> Result<(), i32> {
    let rule = NetPort { allowed_access: CONNECT_TCP, port };
    let kind = LANDLOCK_RULE_NET_PORT;
    // SAFETY: the kernel reads the structure, which outlives the call.
    check(unsafe { libc::syscall(libc::SYS_landlock_add_rule, ruleset, kind, &raw const rule, 0) }).map(drop)
}

fn add(ruleset: libc::c_int, place: libc::c_int, allowed_access: u64) -> Result<(), i32> {
    let rule = PathBeneath { allowed_access, parent_fd: place };
    let kind = LANDLOCK_RULE_PATH_BENEATH;
    // SAFETY: the kernel reads the structure, which outlives the call.
    check(unsafe { libc::syscall(libc::SYS_landlock_add_rule, ruleset, kind, &raw const rule, 0) }).map(drop)
}
