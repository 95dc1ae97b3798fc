//! Applying that is ended at any moment: nothing is half, and the next one finishes it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use weir_tests::sandbox::{Way, World, programs};

use super::settle::{WAYS, assert_clean, changes, left, shell, world};

/// How often applying is ended, in each way.
const ROUNDS: u32 = 30;

/// Files of each kind of change.
const FILES: usize = 12;

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
    world
}

const ACT: &str = "for f in changed-*; do cat $f > /tmp/x; tr o n < /tmp/x > $f; done; rm removed-*; \
    for d in anew-*; do rm -r $d; mkdir $d; echo new > $d/new; mkdir added-$d; cp changed-0 added-$d/f; done";

/// Ends the exec-server that applies, and `weir` with it, after so long; whether it was under way.
fn strike(world: &World, after: Duration) -> bool {
    let mut apply: Command = world.command(&programs().weir);
    let mut child = apply.arg("apply").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    // Waited for without sleeping: the moment matters, not the processor.
    while begun.elapsed() < after {
        std::hint::spin_loop();
    }
    let under_way = child.try_wait().unwrap().is_none();
    for process in descendants(child.id()) {
        let _ = Command::new("kill").args(["-9", &process.to_string()]).stderr(Stdio::null()).status();
    }
    let _ = child.kill();
    child.wait().unwrap();
    under_way
}

/// The processes that descend from one, itself last.
fn descendants(of: u32) -> Vec<u32> {
    let listed = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    let children: Vec<u32> = listed.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    let mut all: Vec<u32> = children.into_iter().flat_map(descendants).collect();
    all.push(of);
    all
}

#[test]
fn applying_that_is_killed_leaves_nothing_half_and_is_finished_by_the_next() {
    Way::each_of(&WAYS, "copy::killed", |way| {
        let world = filled(way);
        let old = files(&world.at("work"));
        shell(&world, ACT);
        let begun = Instant::now();
        assert_eq!(left(&world, &["apply"]), []);
        let whole = begun.elapsed();
        let new = files(&world.at("work"));
        assert_ne!(old, new);
        let (mut struck, mut finished) = (0, 0);
        for round in 0..ROUNDS {
            let world = filled(way);
            shell(&world, ACT);
            struck += u32::from(strike(&world, whole * round / ROUNDS));
            let now = files(&world.at("work"));
            for (path, content) in &now {
                let is_whole = old.get(path) == Some(content) || new.get(path) == Some(content);
                assert!(is_whole, "{round}: {} is half", path.display());
            }
            finished += u32::from(now != old && now != new);
            // A command that comes between runs on one side or the other, never on a mixture of both.
            let between = world.run(["true"]);
            assert!(between.code == 0 || between.stderr.contains("`weir apply` finishes it"), "{}", between.stderr);
            assert_eq!(left(&world, &["apply"]), [], "{round}");
            assert_eq!(files(&world.at("work")), new, "{round}");
            assert_eq!(changes(&world), Vec::<String>::new());
            assert_clean(&world);
        }
        println!("{way:?}: {struck} of {ROUNDS} were under way, {finished} were finished by the next, in {whole:?} each");
        assert!(struck > 0);
    });
}
