//! System calls that an agent has no use for, by seccomp: they fail with EPERM for every thread that follows.
//!
//! Not a list of what is allowed: that would break with the next version of the C library, and files and ports are held by Landlock.
//! The exec-server's filters, which hold commands, are such lists.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};
use syscalls::Sysno;

use super::ConfineError;

/// EPERM (errno(3)).
const NOT_PERMITTED: u32 = 1;

/// ENOSYS: the C library asks clone(2) then, whose arguments a filter sees.
const NOT_IMPLEMENTED: u32 = 38;

/// AF_UNIX, AF_INET, AF_INET6, AF_NETLINK (socket(2)); the resolver looks for interfaces through the last one.
const UNIX: u64 = 1;
const INTERNET: [u64; 3] = [2, 10, 16];

/// TIOCSTI and TIOCLINUX, which type into a terminal (ioctl_tty(2)).
const TYPING: [u64; 2] = [0x5412, 0x541c];

/// CLONE_VM (clone(2)): without it, what is made is a process and no thread.
const SHARED_MEMORY: u64 = 0x100;

/// Calls with the x32 ABI have this bit, and are calls of x86-64 to a filter.
#[cfg(target_arch = "x86_64")]
const X32: i64 = 0x4000_0000;

/// Numbers that x32 has for itself (arch/x86/entry/syscalls/syscall_64.tbl): ioctl, execve, ptrace, kexec_load, process_vm_readv,
/// process_vm_writev, execveat.
#[cfg(target_arch = "x86_64")]
const X32_OWN: [i64; 7] = [514, 520, 521, 528, 539, 540, 545];

#[cfg(target_arch = "x86_64")]
const HERE: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const HERE: TargetArch = TargetArch::aarch64;

/// Calls that fail whatever their arguments.
const DENIED: &[Sysno] = &[
    Sysno::execve,
    Sysno::execveat,
    Sysno::ptrace,
    Sysno::process_vm_readv,
    Sysno::process_vm_writev,
    Sysno::process_madvise,
    Sysno::pidfd_getfd,
    Sysno::kcmp,
    Sysno::bpf,
    Sysno::perf_event_open,
    Sysno::userfaultfd,
    Sysno::add_key,
    Sysno::request_key,
    Sysno::keyctl,
    Sysno::mount,
    Sysno::umount2,
    Sysno::pivot_root,
    Sysno::chroot,
    Sysno::move_mount,
    Sysno::open_tree,
    Sysno::fsopen,
    Sysno::fsconfig,
    Sysno::fsmount,
    Sysno::fspick,
    Sysno::mount_setattr,
    Sysno::setns,
    Sysno::unshare,
    Sysno::kexec_load,
    Sysno::kexec_file_load,
    Sysno::init_module,
    Sysno::finit_module,
    Sysno::delete_module,
    Sysno::reboot,
    Sysno::swapon,
    Sysno::swapoff,
    Sysno::acct,
    Sysno::quotactl,
    Sysno::open_by_handle_at,
    Sysno::io_uring_setup,
    Sysno::io_uring_enter,
    Sysno::io_uring_register,
    Sysno::settimeofday,
    Sysno::clock_settime,
    Sysno::sethostname,
    Sysno::setdomainname,
    #[cfg(target_arch = "x86_64")]
    Sysno::fork,
    #[cfg(target_arch = "x86_64")]
    Sysno::vfork,
    #[cfg(target_arch = "x86_64")]
    Sysno::iopl,
    #[cfg(target_arch = "x86_64")]
    Sysno::ioperm,
];

/// Which unix sockets may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unix {
    /// None but pairs.
    None,
    /// Others as well, because Landlock holds what they connect to.
    Some,
}

/// Puts the filter in force for this thread and those that it starts.
pub(super) fn enforce(unix: Unix) -> Result<(), ConfineError> {
    let hidden = BTreeMap::from([(i64::from(Sysno::clone3.id()), Vec::new())]);
    for (rules, errno) in [(hidden, NOT_IMPLEMENTED), (rules(unix)?, NOT_PERMITTED)] {
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno), HERE)?;
        let program: BpfProgram = filter.try_into()?;
        seccompiler::apply_filter(&program)?;
    }
    Ok(())
}

fn rules(unix: Unix) -> Result<BTreeMap<i64, Vec<SeccompRule>>, ConfineError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        DENIED.iter().map(|call| (i64::from(call.id()), Vec::new())).collect();
    let is =
        |argument, operator, value| SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value);
    let families = INTERNET.into_iter().chain((unix == Unix::Some).then_some(UNIX));
    let others = families.map(|family| is(0, SeccompCmpOp::Ne, family)).collect::<Result<_, _>>()?;
    rules.insert(i64::from(Sysno::socket.id()), vec![SeccompRule::new(others)?]);
    let process = is(0, SeccompCmpOp::MaskedEq(SHARED_MEMORY), 0)?;
    rules.insert(i64::from(Sysno::clone.id()), vec![SeccompRule::new(vec![process])?]);
    let typing = TYPING.into_iter().map(|request| SeccompRule::new(vec![is(1, SeccompCmpOp::Eq, request)?]));
    rules.insert(i64::from(Sysno::ioctl.id()), typing.collect::<Result<_, _>>()?);
    #[cfg(target_arch = "x86_64")]
    {
        let also: Vec<i64> = rules.keys().copied().chain(X32_OWN).collect();
        rules.extend(also.into_iter().map(|call| (call | X32, Vec::new())));
    }
    Ok(rules)
}
