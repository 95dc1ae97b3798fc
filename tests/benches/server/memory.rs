//! How much memory a process and all below it take: proportional set size, so that what is shared counts once.

use std::fs;

use weir_tests::sandbox::kin::family;

/// Kilobytes of a process and everything that descends from it (proc_pid_smaps_rollup(5), `Pss`).
pub(super) fn of_tree(root: i32) -> u64 {
    family(root).into_iter().filter_map(|process| of_one(process.pid)).sum()
}

fn of_one(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.split_whitespace().next()?.parse().ok()
}
