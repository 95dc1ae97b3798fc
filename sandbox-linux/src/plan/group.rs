//! The control group of a sandbox, as data: where it is made, which controllers it needs, and what is written to its files
//! (cgroups(7); `Documentation/admin-guide/cgroup-v2.rst` of the kernel).

use serde::{Deserialize, Serialize};

/// A controller that limits a whole tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "named in the enum's own line")]
pub enum Controller {
    Memory,
    Processes,
    Cpu,
}

impl Controller {
    /// Its name in `cgroup.controllers`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Processes => "pids",
            Self::Cpu => "cpu",
        }
    }
}

/// A limit for the whole tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupLimit {
    /// What holds it.
    pub controller: Controller,
    /// Bytes of memory; processes and threads, Weir's own included; thousandths of a core.
    pub value: u64,
}

/// A control group to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The directory of the group below which it is made.
    pub below: String,
    /// Controllers that must be enabled there first. They stay enabled: another sandbox may be held by them by then.
    pub enable: Vec<Controller>,
    /// Its limits.
    pub limits: Vec<GroupLimit>,
    /// What becomes of swap where memory is limited.
    pub swap: Swap,
}

/// Whether memory could be had beyond the limit by swapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Swap {
    /// It could; the group gets none.
    Forbidden,
    /// The kernel was built without, and has no file to forbid it.
    Absent,
}

/// One file of a group, and what is written to it. Without it the limit does not hold, so it must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub file: &'static str,
    /// What is written.
    pub text: String,
}

/// Most that `pids.max` takes (`PID_MAX_LIMIT`, `linux/threads.h`); no machine has more.
const MOST_PIDS: u64 = 4 << 20;

/// Microseconds in which a share of the processors is granted: the kernel's own default.
const PERIOD_US: u64 = 100_000;

/// The longest that the kernel takes, for shares of which the default period would hold less than the least quota.
const LONG_PERIOD_US: u64 = 1_000_000;

/// The least quota that the kernel takes, in microseconds.
const LEAST_QUOTA_US: u64 = 1_000;

/// More than any machine's processors give in one period, and less than the kernel's limit of 2^44.
const MOST_QUOTA_US: u64 = 1 << 40;

impl Group {
    /// Everything that is written, in order.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        self.limits.iter().flat_map(|limit| limit.settings(self.swap)).collect()
    }

    /// The limits in words, for reports.
    #[must_use]
    pub fn words(&self) -> String {
        let words = self.limits.iter().map(|limit| match limit.controller {
            Controller::Memory => format!("memory {} bytes, no swap", limit.value),
            Controller::Processes => format!("{} processes with Weir's own", limit.value),
            Controller::Cpu => format!("{}.{:03} cores", limit.value / 1000, limit.value % 1000),
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

impl GroupLimit {
    fn settings(&self, swap: Swap) -> Vec<Setting> {
        let setting = |file, text| Setting { file, text };
        match self.controller {
            Controller::Memory => {
                let mut out = vec![setting("memory.max", self.value.to_string())];
                if swap == Swap::Forbidden {
                    out.push(setting("memory.swap.max", "0".to_owned()));
                }
                // The tree ends whole: what is left when the kernel picks one process could take it for a success.
                out.push(setting("memory.oom.group", "1".to_owned()));
                out
            }
            Controller::Processes => vec![setting("pids.max", self.value.min(MOST_PIDS).to_string())],
            Controller::Cpu => {
                let quota = |period_us: u64| self.value.saturating_mul(period_us) / 1000;
                let period_us = if quota(PERIOD_US) < LEAST_QUOTA_US { LONG_PERIOD_US } else { PERIOD_US };
                let quota_us = quota(period_us).clamp(LEAST_QUOTA_US, MOST_QUOTA_US);
                vec![setting("cpu.max", format!("{quota_us} {period_us}"))]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_written_as_the_kernel_takes_them() {
        let check = |controller, value, expect: &[(&str, &str)]| {
            let settings = GroupLimit { controller, value }.settings(Swap::Forbidden);
            let found: Vec<_> = settings.iter().map(|one| (one.file, one.text.as_str())).collect();
            assert_eq!(found, expect, "{controller:?} {value}");
        };
        let memory = [("memory.max", "67108864"), ("memory.swap.max", "0"), ("memory.oom.group", "1")];
        check(Controller::Memory, 64 << 20, &memory);
        let without_swap = GroupLimit { controller: Controller::Memory, value: 1 }.settings(Swap::Absent);
        let files: Vec<_> = without_swap.iter().map(|one| one.file).collect();
        assert_eq!(files, ["memory.max", "memory.oom.group"]);
        check(Controller::Processes, 65, &[("pids.max", "65")]);
        check(Controller::Processes, u64::MAX, &[("pids.max", "4194304")]);
        check(Controller::Cpu, 1500, &[("cpu.max", "150000 100000")]);
        check(Controller::Cpu, 10, &[("cpu.max", "1000 100000")]);
        check(Controller::Cpu, 1, &[("cpu.max", "1000 1000000")]);
        check(Controller::Cpu, u64::MAX, &[("cpu.max", "1099511627776 100000")]);
    }

    #[test]
    fn limits_are_told_in_words() {
        let limit = |controller, value| GroupLimit { controller, value };
        let limits = vec![
            limit(Controller::Memory, 1 << 20),
            limit(Controller::Processes, 9),
            limit(Controller::Cpu, 1050),
        ];
        let group = Group { below: "/g".to_owned(), enable: Vec::new(), limits, swap: Swap::Absent };
        assert_eq!(group.words(), "memory 1048576 bytes, no swap, 9 processes with Weir's own, 1.050 cores");
    }
}
