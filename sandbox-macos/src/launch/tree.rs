//! Which processes belong to a run, for want of a PID namespace: by descent, process group and session.
//!
//! Pure over tables of processes as `proc_listallpids` and `proc_pidinfo` (`PROC_PIDTBSDINFO`) give them. The reaper looks again and
//! again, stopping what it finds, until a look finds nothing new; a stopped process starts no other, so that the looks
//! end. An id that was given to another process in between is told by its start, so that nothing foreign is ever ended.
//! Caller: the reaper of the exec-server on macOS.

use std::collections::{BTreeMap, BTreeSet};

/// One process in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// The id of its parent; 1 once that has gone.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// Its session.
    pub session: i32,
    /// When it started, in microseconds of the system's clock.
    pub started_us: u64,
}

/// The processes of one run, as far as they have been seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// The session in which the run began. Its leader outlives the run, so its number is never another's.
    session: i32,
    /// Processes of that session that are Weir's own. They outlive the run as well.
    beside: BTreeSet<i32>,
    /// Each member that was ever seen, by id, with its start.
    members: BTreeMap<i32, u64>,
    /// Process groups and sessions of members that live.
    groups: BTreeSet<i32>,
}

impl Tree {
    /// A tree of one process, in a session in which there is nobody else but `beside`: Weir's own processes.
    #[must_use]
    pub fn of(first: Process, beside: impl IntoIterator<Item = i32>) -> Self {
        let beside = beside.into_iter().collect();
        let mut tree =
            Self { session: first.session, beside, members: BTreeMap::new(), groups: BTreeSet::new() };
        tree.add(&first);
        tree
    }

    /// The tree of a run whose launcher is gone: whoever is left in `session`. `None` where nobody is.
    #[must_use]
    pub fn left_in(session: i32, beside: impl IntoIterator<Item = i32>, table: &[Process]) -> Option<Self> {
        let beside: BTreeSet<i32> = beside.into_iter().collect();
        let one =
            table.iter().find(|process| process.session == session && !beside.contains(&process.pid))?;
        Some(Self::of(*one, beside))
    }

    /// Takes in a table and gives the members that it shows for the first time.
    pub fn look(&mut self, table: &[Process]) -> Vec<Process> {
        self.forget(table);
        let mut found = Vec::new();
        loop {
            let new: Vec<Process> = table
                .iter()
                .filter(|process| !self.holds(process) && self.claims(process))
                .copied()
                .collect();
            if new.is_empty() {
                return found;
            }
            new.iter().for_each(|process| self.add(process));
            found.extend(new);
        }
    }

    /// The members that a table shows.
    pub fn living<'t>(&self, table: &'t [Process]) -> impl Iterator<Item = &'t Process> {
        table.iter().filter(|process| self.holds(process))
    }

    /// Whether this very process, and not another with its id, is known.
    #[must_use]
    pub fn holds(&self, process: &Process) -> bool {
        self.members.get(&process.pid) == Some(&process.started_us)
    }

    /// Drops members whose id now belongs to another process, and holds the groups and sessions in which somebody of the run
    /// is left: the numbers of the others may be given out again.
    fn forget(&mut self, table: &[Process]) {
        let reused = |pid: &i32, started: &u64| {
            table.iter().any(|process| process.pid == *pid && process.started_us != *started)
        };
        self.members.retain(|pid, started| !reused(pid, started));
        self.groups = self.living(table).flat_map(|process| [process.group, process.session]).collect();
    }

    /// Whether a process that is not known belongs to the run: a member started it, or it is in the run's session, or in a
    /// group or session that a member made. It cannot be older than the parent that is said to have started it.
    fn claims(&self, process: &Process) -> bool {
        if self.beside.contains(&process.pid) {
            return false;
        }
        if process.session == self.session {
            return true;
        }
        let descends =
            self.members.get(&process.parent).is_some_and(|started| *started <= process.started_us);
        descends || self.groups.contains(&process.group) || self.groups.contains(&process.session)
    }

    fn add(&mut self, process: &Process) {
        self.members.insert(process.pid, process.started_us);
        // In the session there are but the run and Weir's own, and groups never reach across sessions: every number is the run's.
        self.groups.extend([process.group, process.session]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn process(pid: i32, parent: i32, group: i32, session: i32, started_us: u64) -> Process {
        Process { pid, parent, group, session, started_us }
    }

    fn pids(found: &[Process]) -> Vec<i32> {
        found.iter().map(|process| process.pid).collect()
    }

    #[test]
    fn descent_groups_and_sessions_are_followed() {
        let first = process(10, 2, 10, 10, 5);
        let mut tree = Tree::of(first, []);
        let table = [
            process(1, 0, 1, 1, 0),
            process(2, 1, 2, 2, 1),
            first,
            process(11, 10, 10, 10, 6),
            process(12, 11, 12, 12, 7),
            // Its parent has gone, but it is still in the session.
            process(13, 1, 13, 10, 8),
            // A sibling of the launcher's, and another child of the launcher.
            process(14, 1, 14, 14, 8),
            process(15, 2, 15, 15, 9),
        ];
        assert_eq!(pids(&tree.look(&table)), [11, 13, 12]);
        assert!(tree.look(&table).is_empty());
        // A member that was seen stays one when it leaves session, group and parent.
        let fled = [first, process(12, 1, 12, 12, 7), process(16, 12, 16, 16, 9)];
        assert_eq!(pids(&tree.look(&fled)), [16]);
        assert_eq!(tree.living(&fled).count(), 3);
    }

    #[test]
    fn an_id_that_was_given_out_again_is_foreign() {
        let first = process(10, 2, 10, 10, 5);
        let mut tree = Tree::of(first, []);
        assert_eq!(pids(&tree.look(&[first, process(11, 10, 11, 11, 6)])), [11]);
        // 11 ended, and another user's shell got its id, its group and its session.
        let table = [first, process(11, 1, 11, 11, 50), process(12, 11, 11, 11, 51)];
        assert!(tree.look(&table).is_empty());
        assert_eq!(pids(&tree.living(&table).copied().collect::<Vec<_>>()), [10]);
    }

    #[test]
    fn what_weir_has_in_the_session_is_not_the_runs_and_orphans_are() {
        // The launcher leads the session; the server part and the reader of the log are in it.
        let own = [process(2, 1, 2, 2, 1), process(3, 2, 2, 2, 2), process(4, 2, 4, 2, 3)];
        let first = process(10, 2, 10, 2, 5);
        let mut tree = Tree::of(first, [2, 3, 4]);
        // The first has ended before anybody looked; what it started has gone to process 1.
        let orphans = [process(11, 1, 10, 2, 6), process(12, 1, 12, 2, 7), process(13, 12, 13, 13, 8)];
        let table = [&own[..], &orphans, &[process(14, 1, 14, 14, 9)]].concat();
        assert_eq!(pids(&tree.look(&table)), [11, 12, 13]);

        // The launcher is gone, and the server part is what is left of Weir's own.
        let left = [&own[1..2], &orphans].concat();
        let mut tree = Tree::left_in(2, [3], &left).unwrap();
        tree.look(&left);
        assert_eq!(pids(&tree.living(&left).copied().collect::<Vec<_>>()), [11, 12, 13]);
        assert_eq!(Tree::left_in(2, [3], &own[1..2]), None);
    }

    /// What a process does between two looks.
    #[derive(Debug, Clone, Copy)]
    enum Act {
        Fork,
        Leave,
        End,
    }

    fn acts() -> impl Strategy<Value = Vec<(usize, Act, bool)>> {
        let act = proptest::sample::select(&[Act::Fork, Act::Fork, Act::Leave, Act::End][..]);
        proptest::collection::vec((any::<usize>(), act, any::<bool>()), 0..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        /// Two families start beside each other. Whatever they do, no process of the other is ever claimed; and where a look
        /// comes after every step, none of ours is missed.
        #[test]
        fn none_is_missed_while_it_is_looked_for_and_none_is_foreign(acts in acts(), always in any::<bool>()) {
            let ours = process(10, 2, 10, 10, 1);
            let theirs = process(11, 2, 11, 11, 1);
            let mut table = vec![(ours, true), (theirs, false)];
            let mut tree = Tree::of(ours, []);
            for (next, (which, act, look)) in (12_i32..).zip(acts) {
                let at = which % table.len();
                let (actor, own) = table[at];
                match act {
                    Act::Fork => {
                        let started_us = u64::try_from(next).unwrap();
                        table.push((Process { pid: next, parent: actor.pid, started_us, ..actor }, own));
                    }
                    Act::Leave => table[at].0 = Process { group: actor.pid, session: actor.pid, ..actor },
                    Act::End if table.len() > 1 => {
                        table.remove(at);
                        table.iter_mut().filter(|(child, _)| child.parent == actor.pid).for_each(|(child, _)| child.parent = 1);
                    }
                    Act::End => {}
                }
                if look || always {
                    let shown: Vec<Process> = table.iter().map(|(process, _)| *process).collect();
                    tree.look(&shown);
                    for (process, own) in &table {
                        prop_assert!(*own || !tree.holds(process), "{:?} is foreign", process);
                        prop_assert!(!always || !*own || tree.holds(process), "{:?} was missed", process);
                    }
                }
            }
        }
    }
}
