//! Limits: for each process by setrlimit(2); for the whole tree by a control group, where the host gives one.

use weir_protocol::AbsPath;
use weir_protocol::policy::{Degradation, Origin, Resource, Sourced};

use super::Compiler;
use super::landlock::ABI_SCOPES;
use super::refusal::Lack;
use crate::host::{Cgroup2, Way};
use crate::plan::{Controller, Group, GroupLimit, LimitKind, ProcessLimit};

/// What limits the command.
#[derive(Debug, Default)]
pub(super) struct Limits {
    /// Each process by itself.
    pub(super) processes: Vec<ProcessLimit>,
    /// The whole tree.
    pub(super) group: Option<Group>,
}

/// All limits. Wall time and output are the server's to hold.
pub(super) fn compile(compiler: &mut Compiler<'_>) -> Limits {
    let mut out = Limits::default();
    out.processes.push(ProcessLimit { kind: LimitKind::Core, value: NO_CORE });
    let limits: Vec<_> =
        compiler.policy.resources().iter().map(|(resource, limit)| (resource, limit.clone())).collect();
    for (resource, limit) in limits {
        let kind = match resource {
            Resource::OpenFiles => Some(LimitKind::OpenFiles),
            Resource::FileSize => Some(LimitKind::FileSize),
            Resource::WallTime | Resource::Output => None,
            Resource::Memory => of_the_tree(
                compiler,
                &mut out,
                &limit,
                (resource, Controller::Memory, Some(LimitKind::AddressSpace)),
            ),
            Resource::Processes => of_the_tree(
                compiler,
                &mut out,
                &limit,
                (resource, Controller::Processes, Some(LimitKind::Processes)),
            ),
            Resource::Cpu => of_the_tree(compiler, &mut out, &limit, (resource, Controller::Cpu, None)),
        };
        out.processes.extend(kind.map(|kind| ProcessLimit { kind, value: limit.value }));
    }
    out
}

/// A limit of the whole tree: by the control group; otherwise, where the profile says so by name and there is such a limit, for each
/// process, of which the kind is answered.
fn of_the_tree(
    compiler: &mut Compiler<'_>,
    limits: &mut Limits,
    limit: &Sourced<u64>,
    (resource, controller, instead): (Resource, Controller, Option<LimitKind>),
) -> Option<LimitKind> {
    let rule = limit.origin.clone();
    let groups = compiler.facts.host.cgroups.version2.as_ref();
    let Some(found) = groups.filter(|found| found.holds(controller.name())) else {
        let lack = Lack::Limit { resource, rule };
        match instead {
            Some(_) => compiler.give_up(Degradation::ProcessLimits, PER_PROCESS, lack),
            None => compiler.lacks.push(lack),
        }
        return instead;
    };
    if limits.group.is_none() {
        out_of_reach(compiler, found, &rule);
    }
    let group = limits.group.get_or_insert_with(|| Group {
        below: found.below.clone(),
        enable: Vec::new(),
        limits: Vec::new(),
        swap: found.swap,
    });
    if !found.delegated.iter().any(|name| name == controller.name()) {
        group.enable.push(controller);
    }
    let own = if controller == Controller::Processes { own_processes(compiler) } else { 0 };
    group.limits.push(GroupLimit { controller, value: limit.value.saturating_add(own) });
    None
}

/// Processes of Weir's own in the group: the first one, and where Landlock bounds signals in place of a PID namespace the keeper.
fn own_processes(compiler: &Compiler<'_>) -> u64 {
    let has_keeper = compiler.way == Way::Bare && compiler.facts.host.landlock.abi >= ABI_SCOPES;
    1 + u64::from(has_keeper)
}

/// Whoever can write to the hierarchy can lift the limit or leave the group, as far as its files' modes let. Where there are mounts,
/// `/sys` is read-only; elsewhere nothing of it may be granted for writing.
fn out_of_reach(compiler: &mut Compiler<'_>, found: &Cgroup2, limit: &Origin) {
    let mounts = [&found.mount].into_iter().chain(&found.elsewhere);
    let places: Vec<AbsPath> = mounts.filter_map(|mount| AbsPath::parse(mount).ok()).collect();
    for path in places {
        if compiler.way != Way::Bare && path.starts_with(&super::tree::path("/sys")) {
            continue;
        }
        let inside = |at: &AbsPath| at.starts_with(&path);
        let filesystem = compiler.policy.filesystem();
        let mut rules = filesystem.rules().iter();
        let below = rules.find(|rule| rule.access.writes() && inside(&rule.path));
        let writable = below
            .map(|rule| rule.origin.clone())
            .or_else(|| compiler.access(&path).writes().then(|| compiler.origin(&path)));
        if let Some(rule) = writable {
            compiler.lacks.push(Lack::GroupsWritable { path, rule, limit: limit.clone() });
        }
    }
}

/// A core file would be written by the kernel, wherever the host's pattern says, past every rule; and where the pattern names a
/// program, that runs on the host. One byte is too little for a file, and the one value at which no program is run (core(5)).
const NO_CORE: u64 = 1;

const PER_PROCESS: &str = "memory is limited for each process, processes for the user, not for the tree";

#[cfg(test)]
mod tests;
