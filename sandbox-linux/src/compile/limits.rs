//! Limits: for each process by setrlimit(2); for the tree where the host can.

use weir_protocol::policy::{Degradation, Resource};

use super::Compiler;
use super::refusal::Lack;
use crate::plan::{LimitKind, ProcessLimit};

/// The limits of each process. Wall time is the server's to hold.
pub(super) fn compile(compiler: &mut Compiler<'_>) -> Vec<ProcessLimit> {
    let mut out = vec![ProcessLimit { kind: LimitKind::Core, value: NO_CORE }];
    let limits: Vec<_> =
        compiler.policy.resources().iter().map(|(resource, limit)| (resource, limit.clone())).collect();
    for (resource, limit) in limits {
        let rule = limit.origin.clone();
        let kind = match resource {
            Resource::OpenFiles => Some(LimitKind::OpenFiles),
            Resource::FileSize => Some(LimitKind::FileSize),
            Resource::WallTime => None,
            Resource::Output => {
                compiler.lacks.push(Lack::OutputLimit { rule });
                None
            }
            Resource::Memory => {
                compiler.give_up(Degradation::ProcessLimits, PER_PROCESS, Lack::Limit { resource, rule });
                Some(LimitKind::AddressSpace)
            }
            Resource::Processes => {
                compiler.give_up(Degradation::ProcessLimits, PER_PROCESS, Lack::Limit { resource, rule });
                Some(LimitKind::Processes)
            }
            Resource::Cpu => {
                compiler.lacks.push(Lack::Limit { resource, rule });
                None
            }
        };
        out.extend(kind.map(|kind| ProcessLimit { kind, value: limit.value }));
    }
    out
}

/// A core file would be written by the kernel, wherever the host's pattern says, past every rule; and where the pattern names a
/// program, that runs on the host. One byte is too little for a file, and the one value at which no program is run (core(5)).
const NO_CORE: u64 = 1;

const PER_PROCESS: &str = "memory is limited for each process, processes for the user, not for the tree";
