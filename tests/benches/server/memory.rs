//! How much memory a process and all below it take: proportional set size, so that what is shared counts once.

use std::fs;

/// Kilobytes of a process and everything that descends from it (proc_pid_smaps_rollup(5), `Pss`).
pub(super) fn of_tree(root: i32) -> u64 {
    let mut all = vec![root];
    let mut at = 0;
    while let Some(parent) = all.get(at) {
        let tasks = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
        let lines = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        let children: Vec<i32> = lines
            .flat_map(|line| line.split_whitespace().flat_map(str::parse).collect::<Vec<i32>>())
            .collect();
        all.extend(children);
        at += 1;
    }
    all.into_iter().filter_map(of_one).sum()
}

fn of_one(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.split_whitespace().next()?.parse().ok()
}
