//! What was refused in one sandbox, as the launcher hears it: from its first process, from the kernel's records, from its control group.

use std::time::SystemTime;

use weir_protocol::audit::{since_1970_ms, time};
use weir_protocol::denial::{
    Act, Denial, Ledger, Mechanism, Missing, Numbered, Observed, Process, Sight, Source,
};
use weir_protocol::policy::{Degradation, Operation, Request};
use weir_protocol::{AbsPath, ByteString, Policy};
use weir_sandbox_linux::audit::{Object, Refused};
use weir_sandbox_linux::bpf::{Action, Errno};
use weir_sandbox_linux::broker::Failure;
use weir_sandbox_linux::host::Arch;
use weir_sandbox_linux::live::LiveRules;
use weir_sandbox_linux::plan::Plan;
use weir_sandbox_linux::seccomp::{Class, Needs, Verdict, by_number};

use super::begin::Compiled;
use super::records::{Records, Watch};
use super::spelled;
use crate::ended::forks;

/// Most parents of a process that are looked at on the way to its sandbox's first.
const MAX_PARENTS: usize = 64;

/// The refusals of one sandbox.
#[derive(Debug)]
pub(super) struct Refusals {
    ledger: Ledger,
    sight: Sight,
    pub(super) watch: Watch,
    first: i32,
    numbered: Numbered,
    arch: Option<Arch>,
    is_confined: bool,
    /// Where names may have several spellings: the rules that hold for each.
    spelled: Option<LiveRules>,
}

impl Refusals {
    /// Of the sandbox with this first process, which this plan made.
    pub(super) fn new(first: i32, compiled: &Compiled) -> Self {
        let Compiled { plan, host, .. } = compiled;
        let watch = Watch::new(Records::default(), first, compiled);
        let has_own_pids = plan.namespaces.contains(&weir_sandbox_linux::plan::Namespace::Pid);
        let numbered = if has_own_pids { Numbered::Inside } else { Numbered::ByHost };
        let (arch, is_confined) = (host.arch, plan.confinement.is_some());
        let spelled =
            plan.confinement.as_ref().and_then(|held| spelled::rules(held.brokered.as_ref()?.live.as_ref()?));
        Self {
            ledger: Ledger::default(),
            sight: sight(plan),
            watch,
            first,
            numbered,
            arch,
            is_confined,
            spelled,
        }
    }

    /// A name that must not come into being, or a socket that must not be reached: the first process refuses nothing else of its own.
    pub(super) fn refused(&mut self, policy: &Policy, operation: Act, pid: u32, path: Vec<u8>) {
        self.ledger.add(self.observed(operation, pid, path).certain(policy));
    }

    /// A call that failed. It is a denial where the policy refuses it, and where something is absent, where the host has it.
    pub(super) fn failed(
        &mut self,
        policy: &Policy,
        (operation, how): (Act, Failure),
        pid: u32,
        path: Vec<u8>,
    ) {
        if how == Failure::Absent && !is_hidden(policy, operation, &path) {
            return;
        }
        let reason = (how == Failure::Absent).then(|| "what leads there is not there inside".to_owned());
        let mechanism = if how == Failure::Closed { Mechanism::Live } else { Mechanism::Broker };
        let observed = Observed { reason, mechanism, ..self.observed(operation, pid, path) };
        let rules = self.spelled.as_ref().filter(|_| how != Failure::Absent);
        let other = || spelled::denial(rules?, &observed, policy);
        let denial = observed.clone().joined(policy).or_else(other);
        denial.into_iter().for_each(|denial| self.ledger.add(denial));
    }

    fn observed(&self, operation: Act, pid: u32, path: Vec<u8>) -> Observed {
        let process = Process { pid, numbered: self.numbered, exe: None, command: None };
        Observed {
            operation,
            target: ByteString(path),
            mechanism: Mechanism::Broker,
            time: time(since_1970_ms(SystemTime::now())),
            process: Some(process),
            reason: None,
        }
    }

    /// Counts what the first process could not tell one by one.
    pub(super) fn dropped(&mut self, count: u64) {
        self.ledger.leave_out(count);
    }

    /// Reads the kernel's records as far as they have come.
    pub(super) fn read(&mut self, policy: &Policy) {
        let events = self.watch.take_in();
        self.events(policy, events);
    }

    fn events(&mut self, policy: &Policy, events: Vec<Vec<Refused>>) {
        for event in events {
            let observed: Vec<Observed> =
                event.into_iter().filter_map(|refused| self.record(refused)).collect();
            let joined: Vec<Denial> = observed.iter().cloned().filter_map(|one| one.joined(policy)).collect();
            if joined.is_empty() {
                // The kernel refused it, whatever the policy says.
                let first = observed.into_iter().next();
                first.into_iter().for_each(|one| self.ledger.add(one.certain(policy)));
            }
            joined.into_iter().for_each(|denial| self.ledger.add(denial));
        }
    }

    fn record(&self, refused: Refused) -> Option<Observed> {
        let Refused { blocker, object, process, since_1970_ms } = refused;
        let (operation, mechanism, target, reason) = match (blocker, object) {
            (_, Object::Call(number)) => {
                let pid = process.as_ref()?.pid;
                let (name, reason) = told_call(self.arch?, number)?;
                if !is_below(pid, self.first.unsigned_abs()) {
                    return None;
                }
                (Act::Call, Mechanism::Seccomp, ByteString::from(name), Some(reason.to_owned()))
            }
            (blocker, object) => {
                let blocker = blocker?;
                let target = match object {
                    Object::Path(path) => ByteString(path),
                    Object::Address(address) => ByteString::from(address.as_str()),
                    _ => ByteString::from("outside"),
                };
                (blocker.act, Mechanism::Landlock, target, None)
            }
        };
        Some(Observed { operation, target, mechanism, time: time(since_1970_ms), process, reason })
    }

    /// Starts of processes that the control group refused.
    pub(super) fn forks(&mut self, policy: &Policy, count: u64) {
        self.ledger.add(forks(policy.resources(), count));
    }

    /// Everything, once the last process has ended.
    pub(super) fn settle(mut self, policy: &Policy) -> (Vec<Denial>, Sight) {
        if self.is_confined {
            let events = self.watch.settle();
            self.events(policy, events);
            self.watch.say(&mut self.sight);
        }
        let (denials, left_out) = self.ledger.into_parts();
        (denials, Sight { left_out, ..self.sight })
    }
}

/// What this way of holding a command lets be seen.
fn sight(plan: &Plan) -> Sight {
    let Some(held) = &plan.confinement else { return Sight::default() };
    let made = "names that are made: files, directories, links, renames";
    let guards = held.brokered.as_ref().is_some_and(|brokered| !brokered.guards.is_empty());
    let mut sources = vec![if guards {
        Source::present(Mechanism::Broker, made)
    } else {
        Source::missing(Mechanism::Broker, made, Missing::NoBroker)
    }];
    if held.brokered.as_ref().is_some_and(|brokered| brokered.live.is_some()) {
        sources.push(Source::present(
            Mechanism::Live,
            "what a pattern or `none` closes inside something granted",
        ));
    }
    if plan.degradations.iter().any(|given_up| given_up.name == Degradation::UntoldReadings) {
        sources.push(Source::missing(Mechanism::Live, "reading", Missing::GivenUp));
    }
    if !plan.mounts.is_empty() {
        let of = "reading what is closed or not granted, changing or removing what is read-only";
        sources.push(Source::missing(Mechanism::Mounts, of, Missing::NoRecord));
    }
    sources.push(Source::present(Mechanism::Resource, "limits: memory, processes, time, output"));
    Sight { sources, left_out: 0, lost: 0 }
}

/// Whether the host has what the policy does not show: the directory of what is to be made, or else the thing itself.
fn is_hidden(policy: &Policy, act: Act, path: &[u8]) -> bool {
    let Ok(path) = AbsPath::parse(path) else { return false };
    let Some(above) = path.parent() else { return false };
    let request = Request::Path { path: &above, operation: Operation::Read };
    let is_there = || if act.needs_directory() { above.as_path().is_dir() } else { path.as_path().exists() };
    !policy.verdict(&request).allowed && is_there()
}

/// The name of a call and why it is refused; nothing for one that is answered as on a kernel that does not have it, or not this family
/// of sockets, for programs try such calls and take another way.
fn told_call(arch: Arch, number: u32) -> Option<(&'static str, &'static str)> {
    let call = by_number(arch, number)?;
    let absent = Verdict::Always(Action::Errno(Errno::ENOSYS));
    let is_tried = matches!(call.class, Class::Socket | Class::Socketpair);
    let is_told = !is_tried && call.class.verdict(&Needs::STRICT) != absent;
    is_told.then(|| (call.name, call.class.reason()))
}

/// Whether a process that is still there descends from another (proc_pid_stat(5), `ppid`).
fn is_below(pid: u32, first: u32) -> bool {
    let mut at = pid;
    for _ in 0..MAX_PARENTS {
        if at == first {
            return true;
        }
        let Ok(text) = std::fs::read(format!("/proc/{at}/stat")) else { return false };
        let Some(above) = parent(&text).filter(|above| *above > 1) else { return false };
        at = above;
    }
    false
}

/// The name before it may hold anything, a parenthesis included: the last one ends it.
fn parent(stat: &[u8]) -> Option<u32> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_are_read_whatever_a_process_is_called() {
        assert_eq!(parent(b"7 (a) S 5) R 3 4 5"), Some(3));
        assert_eq!(parent(b"7 (sh) S 1 2"), Some(1));
        assert_eq!(parent(b"7"), None);
        let own = std::process::id();
        assert!(is_below(own, std::os::unix::process::parent_id()));
        assert!(!is_below(own, u32::MAX));
    }

    #[test]
    fn calls_that_programs_only_try_are_no_denials() {
        let told = |name: &str| {
            let call = weir_sandbox_linux::seccomp::by_name(name).unwrap();
            told_call(Arch::X86_64, u32::from(call.number(Arch::X86_64).unwrap())).is_some()
        };
        assert_eq!(
            ["ptrace", "mount", "unshare", "clone3", "socket"].map(told),
            [true, true, true, false, false]
        );
    }
}
