//! Ends a tree for want of a PID namespace: `sandbox-macos` says which processes belong to it, this stops and ends them.

use std::time::Duration;

use weir_sandbox_macos::launch::tree::{Process, Tree};

use super::sys::{self, Queue};

/// Most looks while a tree is stopped. One that starts processes faster than they can be stopped is ended as far as it is known, and
/// looked for again.
const MAX_STOPPING_LOOKS: usize = 64;

/// How long the end of processes that were ended is waited for before the next look.
const NEXT_LOOK: Duration = Duration::from_millis(50);

/// Stops all, so that none starts another, and ends them; until nobody is left. `queue` hears of their ends.
pub(super) fn end(tree: &mut Tree, queue: &Queue) {
    stop(tree);
    while let Ok(table) = sys::table() {
        tree.look(&table);
        let living: Vec<Process> = tree.living(&table).copied().collect();
        if living.is_empty() {
            return;
        }
        for process in &living {
            let _ = queue.watch_process(process.pid);
            let _ = sys::signal(process.pid, libc::SIGKILL);
        }
        if queue.wait(Some(NEXT_LOOK)).is_err() {
            return;
        }
    }
}

fn stop(tree: &mut Tree) {
    for _ in 0..MAX_STOPPING_LOOKS {
        let Ok(table) = sys::table() else { return };
        let is_new = !tree.look(&table).is_empty();
        for process in tree.living(&table) {
            let _ = sys::signal(process.pid, libc::SIGSTOP);
        }
        if !is_new {
            return;
        }
    }
}

/// Ends whoever is in this process's session but this process: what a launcher that is gone has left.
pub(super) fn end_session() {
    let Some(own) = i32::try_from(std::process::id()).ok().and_then(sys::process) else { return };
    let (Ok(table), Ok(queue)) = (sys::table(), Queue::new()) else { return };
    if let Some(mut tree) = Tree::left_in(own.session, [own.pid], &table) {
        end(&mut tree, &queue);
    }
}
