//! Applying that is ended at any moment: nothing is half, and the next one finishes it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use weir_tests::sandbox::{Way, World, kin, programs};

use super::settle::{assert_clean, changes, left, shell, world};

/// How long what was killed may take to end, in ticks of a millisecond.
const PATIENCE_TICKS: u32 = 60_000;

/// How often applying is ended, in each way; `WEIR_LIFE_ROUNDS` asks for more.
const ROUNDS: u32 = 8;

/// Files of each kind of change.
const FILES: usize = 6;

/// Names of one file, each of which gets a content of its own.
const NAMES: [&str; 4] = ["one-of-a-file", "two-of-a-file", "three-of-a-file", "four-of-a-file"];

type Files = BTreeMap<PathBuf, Vec<u8>>;

fn files(below: &Path) -> Files {
    let mut found = Files::new();
    let mut waiting = vec![below.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                waiting.push(path);
            } else if !entry.file_name().to_string_lossy().starts_with(".weir-apply-") {
                found.insert(path.strip_prefix(below).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    // What waits under a temporary name is under none of the person's.
    found.retain(|path, _| !path.iter().any(|name| name.to_string_lossy().starts_with(".weir-apply-")));
    found
}

fn filled(way: Way) -> World {
    let world = world(way);
    for at in 0..FILES {
        for name in [format!("changed-{at}"), format!("removed-{at}"), format!("anew-{at}/old")] {
            world.file(format!("work/{name}"), "old ".repeat(5000));
        }
    }
    world.file(format!("work/{}", NAMES[0]), "old");
    for name in &NAMES[1..] {
        fs::hard_link(world.at("work").join(NAMES[0]), world.at("work").join(name)).unwrap();
    }
    for name in ["shut/deep/changed", "open/changed"] {
        world.file(format!("work/{name}"), "old");
    }
    assert_eq!(world.outside(["chmod", "555", "shut/deep", "shut"]).code, 0);
    world
}

/// The modes of what is there before and after.
fn modes(world: &World) -> String {
    world.outside(["stat", "-c", "%a", "shut", "shut/deep", "open", "changed-0"]).text()
}

const ACT: &str = "for f in changed-*; do cat $f > /tmp/x; tr o n < /tmp/x > $f; done; rm removed-*; \
    for f in *-of-a-file; do echo $f > $f; done; \
    for d in anew-*; do rm -r $d; mkdir $d; echo new > $d/new; mkdir added-$d; cp changed-0 added-$d/f; done; \
    chmod 755 shut shut/deep; for d in shut/deep open; do echo new > $d/changed; echo new > $d/new; done; chmod 511 shut/deep; \
    chmod 500 shut open";

/// The journal of what is being applied, where it is.
pub(crate) fn journal(world: &World) -> Option<PathBuf> {
    let copies = fs::read_dir(world.at("weir/copies")).ok()?;
    copies.flatten().map(|copy| copy.path().join("journal")).find(|journal| journal.exists())
}

/// How long the journal is there while all of it is applied.
fn window(world: &World, since: Since) -> Duration {
    let mut child = applying(world);
    while !since.has_come(world) {
        assert!(child.try_wait().unwrap().is_none(), "nothing was begun");
    }
    let begun = Instant::now();
    while journal(world).is_some() {
        std::hint::spin_loop();
    }
    let window = begun.elapsed();
    assert!(child.wait().unwrap().success());
    window
}

/// From when on the moment of a stroke is counted.
#[derive(Debug, Clone, Copy)]
enum Since {
    /// The journal is there.
    Begun,
    /// Its commit is on the disk.
    Committed,
}

impl Since {
    fn has_come(self, world: &World) -> bool {
        match self {
            Self::Begun => journal(world).is_some(),
            Self::Committed => is_committed(world),
        }
    }
}

fn is_committed(world: &World) -> bool {
    journal(world)
        .and_then(|journal| fs::read_to_string(journal).ok())
        .is_some_and(|text| ["committed", "carried-out"].iter().any(|phase| text.contains(phase)))
}

fn applying(world: &World) -> Child {
    let mut apply: Command = world.command(&programs().weir);
    apply.arg("apply").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Ends whoever applies, so long after this; whether its commit was on the disk by then and its end was not.
fn strike(world: &World, since: Since, after: Duration) -> bool {
    let mut child = applying(world);
    let all = loop {
        let all = kin::family(child.id().try_into().unwrap());
        if since.has_come(world) || child.try_wait().unwrap().is_some() {
            break all;
        }
    };
    let begun = Instant::now();
    // Waited for without sleeping: the moment matters, not the processor.
    while begun.elapsed() < after {
        std::hint::spin_loop();
    }
    all.iter().copied().for_each(kin::kill);
    child.wait().unwrap();
    // What is killed is at work until the kernel has told it so.
    assert!(kin::wait_for_ends(&all, PATIENCE_TICKS) < PATIENCE_TICKS, "{all:?} are still there");
    is_committed(world)
}

#[test]
fn applying_that_is_killed_as_root_leaves_nothing_half_and_is_finished_by_the_next() {
    finished_by_the_next(Way::Root);
}

#[test]
fn applying_that_is_killed_as_a_user_leaves_nothing_half_and_is_finished_by_the_next() {
    finished_by_the_next(Way::User);
}

fn finished_by_the_next(way: Way) {
    Way::each_of(&[way], "copy::killed", |way| {
        let world = filled(way);
        let old = files(&world.at("work"));
        shell(&world, ACT);
        let whole = window(&world, Since::Begun);
        let new = files(&world.at("work"));
        assert_ne!(old, new);
        let (old_modes, new_modes) = (modes(&filled(way)), modes(&world));
        assert_eq!([&*old_modes, &*new_modes], ["555\n555\n755\n644", "500\n511\n500\n644"]);
        let world = filled(way);
        shell(&world, ACT);
        let last = window(&world, Since::Committed);
        let rounds = std::env::var("WEIR_LIFE_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
        let (mut committed, mut mixed) = (0, 0);
        for round in 0..rounds {
            let world = filled(way);
            shell(&world, ACT);
            // Every other one after the commit, where the rest is for the next to do; the first of them at once.
            let was_committed = match round % 2 {
                0 => strike(&world, Since::Begun, whole * round / rounds),
                _ => strike(&world, Since::Committed, last * (round - 1) / rounds),
            };
            committed += u32::from(was_committed);
            let now = files(&world.at("work"));
            for (path, content) in &now {
                let is_whole = old.get(path) == Some(content) || new.get(path) == Some(content);
                assert!(is_whole, "{round}: {} is half", path.display());
            }
            mixed += u32::from(now != old && now != new);
            // A command that comes between runs on one side or the other, never on a mixture of both.
            let between = world.run(["true"]);
            assert_eq!(between.code != 0, was_committed, "{round}: {}", between.stderr);
            assert!(
                between.code == 0 || between.stderr.contains("`weir apply` finishes it"),
                "{}",
                between.stderr
            );
            let found = modes(&world);
            assert!(was_committed || [&old_modes, &new_modes].contains(&&found), "{round}: {found}");
            assert_eq!(left(&world, &["apply"]), [], "{round}");
            assert_eq!(modes(&world), new_modes, "{round}");
            assert_eq!(files(&world.at("work")), new, "{round}");
            assert_eq!(changes(&world), Vec::<String>::new());
            assert_clean(&world);
        }
        assert!(
            committed > 0,
            "{way:?}: of {rounds} within {whole:?} and {last:?}, none was committed and {mixed} mixed"
        );
    });
}
