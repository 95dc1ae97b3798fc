//! What holds files: live rules and guarded names, which init holds; mounts; Landlock.

use weir_protocol::AbsPath;
use weir_protocol::denial::Mechanism;
use weir_protocol::policy::Operation;

use super::shown::{Listed, Shown, shown};
use super::{Found, Word};
use crate::broker::{Folding, Guard};
use crate::compile::landlock::{EXECUTE, READ_DIR, READ_FILE, WRITE_FILE, words};
use crate::live::{Judge, LiveRules, Refused};
use crate::plan::{Confinement, Landlock, Plan, Writable};

/// What an operation on a path comes to.
pub(super) fn holdings(
    plan: &Plan,
    held: &Confinement,
    (path, operation): (&AbsPath, Operation),
    word: Word,
) -> Found {
    let mut found = Found::default();
    // What may be read is not refused because it is missing.
    if operation == Operation::Write || word == Word::Denied {
        by_guards(held, path, &mut found);
    }
    let shown = (!plan.mounts.is_empty()).then(|| shown(&plan.mounts, path));
    let is_found = shown.is_none_or(|shown| is_found(plan, shown, path, operation));
    let judged = judged(held, path, operation);
    if is_found {
        by_live_rules(held, operation, judged, &mut found);
    }
    if let Some(shown) = shown {
        by_mounts(shown, operation, &mut found);
    }
    if !is_found {
        by_live_rules(held, operation, judged, &mut found);
    }
    if let Some(ruleset) = &held.landlock {
        by_landlock(ruleset, path, operation, "", &mut found);
    }
    if let Some(ruleset) = held.reading.as_ref().filter(|ruleset| !is_listed_by_init(ruleset, path)) {
        by_landlock(ruleset, path, operation, ", in the second ruleset, for what is only read", &mut found);
    }
    told(held, shown, operation, judged, &mut found);
    found
}

/// Whether init finds what is named, which comes before it judges that: what lies below something covered it does not, nor what is missing,
/// unless a name is to be made right there.
fn is_found(plan: &Plan, seen: Shown<'_>, path: &AbsPath, operation: Operation) -> bool {
    let parent = || path.parent().filter(|_| operation == Operation::Write);
    match seen {
        Shown::Covered(at) => path == at || parent().is_some_and(|parent| parent == *at),
        Shown::Absent => parent()
            .is_some_and(|parent| !matches!(shown(&plan.mounts, &parent), Shown::Absent | Shown::Covered(_))),
        _ => true,
    }
}

/// Whether a directory is one in which the second ruleset grants names one by one: those init lists.
fn is_listed_by_init(ruleset: &Landlock, path: &AbsPath) -> bool {
    let mut below =
        ruleset.rules.iter().filter(|rule| rule.rights & READ_FILE != 0 && rule.at.starts_with(path));
    below.any(|rule| rule.at != *path)
}

/// Whether live rules judge an act by its path: what is executed they do not, nor what is only read where that is left to the kernel.
fn live_rules(held: &Confinement, operation: Operation) -> Option<&LiveRules> {
    let live = held.brokered.as_ref()?.live.as_ref()?;
    let is_judged = match operation {
        Operation::Read => held.reading.is_none(),
        Operation::Write => true,
        Operation::Execute => false,
    };
    is_judged.then_some(live)
}

/// How init judges the path, where it does.
fn judged(held: &Confinement, path: &AbsPath, operation: Operation) -> Option<Refused> {
    live_rules(held, operation).and_then(|rules| Judge::new(rules).judge(path.as_bytes(), operation))
}

fn by_live_rules(held: &Confinement, operation: Operation, judged: Option<Refused>, found: &mut Found) {
    match (live_rules(held, operation), judged) {
        (None, _) => {}
        (_, Some(Refused::Closed)) => found.refuses(
            Mechanism::Live,
            "init, which performs every opening and naming by seccomp notification, judges the path and refuses it, now and later",
        ),
        (_, Some(Refused::ReadOnly)) => found.refuses(
            Mechanism::Live,
            "init, which performs every opening and naming by seccomp notification, judges the path and refuses to write there",
        ),
        (Some(_), None) => found.admits(
            Mechanism::Live,
            "init performs the call by seccomp notification, after it has judged the path",
        ),
    }
}

/// Names that must not come into being.
fn by_guards(held: &Confinement, path: &AbsPath, found: &mut Found) {
    let mut guards = held.brokered.iter().flat_map(|brokered| &brokered.guards);
    if guards.any(|guard| guards_path(guard, path)) {
        let how = "the name does not exist, and init, which performs the calls that make names, lets nobody make it";
        found.refuses(Mechanism::Broker, how);
    }
}

/// Whether a path, or a directory above it, is a guarded name.
fn guards_path(guard: &Guard, path: &AbsPath) -> bool {
    let Some(rest) = path.as_bytes().strip_prefix(guard.parent.as_bytes()) else { return false };
    let rest = match rest.strip_prefix(b"/") {
        Some(rest) => rest,
        None if guard.parent.is_root() => rest,
        None => return false,
    };
    let name = rest.split(|byte| *byte == b'/').next().unwrap_or_default();
    !name.is_empty() && guard.covers(name, Folding::Exact)
}

fn by_mounts(shown: Shown<'_>, operation: Operation, found: &mut Found) {
    let writes = operation == Operation::Write;
    let mounts = Mechanism::Mounts;
    match shown {
        Shown::Absent => found.refuses(mounts, "nothing is mounted there: inside there is no such path"),
        Shown::Covered(_) => found.refuses(mounts, "something empty that cannot be read is mounted over it"),
        Shown::Passage(Listed::Yes) if !writes => {
            found.admits(mounts, "inside it is the sandbox's own, and holds what is granted");
        }
        Shown::Passage(_) => {
            found.refuses(mounts, "inside it only leads to what is granted, and is sealed");
        }
        Shown::Private(at, _) => found.refuses(
            mounts,
            format!("a private directory of the sandbox's own is mounted at {at}, and what the host has there is not"),
        ),
        Shown::Host(at, Writable::No) if writes => {
            found.refuses(mounts, format!("{at} is mounted read-only"));
        }
        Shown::Copied(at, Writable::No) if writes => {
            found.refuses(mounts, format!("the copy is mounted read-only at {at}"));
        }
        Shown::Proc(Writable::No) if writes => found.refuses(mounts, "/proc is mounted read-only"),
        Shown::Content if writes => found.refuses(mounts, "a file of the sandbox's own is mounted there, read-only"),
        Shown::Host(at, writable) => {
            let how = if writable == Writable::Yes { "writable" } else { "read-only" };
            found.admits(mounts, format!("the host's own {at} is mounted, {how}"));
        }
        Shown::Copied(at, _) => found.admits(mounts, format!("{at} is mounted with changes in a copy (overlay)")),
        Shown::Proc(_) => found.admits(mounts, "the sandbox's own processes are mounted at /proc"),
        Shown::Terminals => found.admits(mounts, "the sandbox's own terminals are mounted at /dev/pts"),
        Shown::Content => found.admits(mounts, "a file of the sandbox's own is mounted there"),
    }
}

fn by_landlock(ruleset: &Landlock, path: &AbsPath, operation: Operation, which: &str, found: &mut Found) {
    let needed = ruleset.handled_fs
        & match operation {
            Operation::Read => READ_FILE | READ_DIR,
            Operation::Write => WRITE_FILE,
            Operation::Execute => EXECUTE,
        };
    if needed == 0 {
        return;
    }
    let covering = ruleset.rules.iter().filter(|rule| path.starts_with(&rule.at));
    let rights = covering.clone().fold(0, |rights, rule| rights | rule.rights) & ruleset.handled_fs;
    let nearest = covering.max_by_key(|rule| rule.at.depth());
    match nearest.filter(|_| rights & needed != 0) {
        Some(rule) => {
            let how = format!("rights {} are granted at {}{which}", words(rights), rule.at);
            found.admits(Mechanism::Landlock, how);
        }
        None => {
            let how = match rights & (READ_FILE | READ_DIR) {
                0 => format!("no rule grants anything there{which}"),
                _ => format!("the rules grant {} there and no more{which}", words(rights)),
            };
            found.refuses(Mechanism::Landlock, how);
        }
    }
}

/// What sees a refusal of the kernel's: init, where it performs the call. That something is missing is told only of what is to be made.
fn told(
    held: &Confinement,
    shown: Option<Shown<'_>>,
    operation: Operation,
    judged: Option<Refused>,
    found: &mut Found,
) {
    let Some(brokered) = &held.brokered else { return };
    let is_told_anyway = match found.first() {
        Some(Mechanism::Live) => judged == Some(Refused::Closed),
        Some(Mechanism::Broker) | None => true,
        Some(_) => false,
    };
    if is_told_anyway {
        return;
    }
    let performs = "init performs the call, sees it fail and tells of it";
    let makes = "init performs the calls that make, move or remove names, sees one fail and tells of it";
    let is_missing = matches!(shown, Some(Shown::Absent));
    match operation {
        // What is there is the sandbox's own, and works.
        _ if matches!(shown, Some(Shown::Private(..))) => {}
        Operation::Read if live_rules(held, operation).is_some() && !is_missing => {
            found.tells(Mechanism::Broker, performs)
        }
        Operation::Write if brokered.live.is_some() && !is_missing => {
            found.tells(Mechanism::Broker, performs)
        }
        Operation::Write if brokered.live.is_some() || !brokered.guards.is_empty() => {
            found.tells(Mechanism::Broker, makes);
        }
        _ => {}
    }
}
