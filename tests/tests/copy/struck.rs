//! Applying that is ended at each of its system calls (strace(1), `-e inject`) while the host changes the same places: nothing of either
//! side goes, and what the host has changed stays a conflict.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use weir_tests::sandbox::{Way, World, finish, programs};

use super::killed::journal;
use super::settle::{WAYS, assert_clean, changes, left, shell, text, world};

/// The calls by which applying changes something. Not all are there on each processor.
const CALLS: &str =
    "?rename,?renameat,renameat2,?unlink,unlinkat,?rmdir,?mkdir,mkdirat,fsync,?chmod,fchmod,?fchmodat";

/// More calls than applying these changes makes.
const MAX_CALLS: u32 = 400;

/// What the command does, and what the host does once all is committed.
const BEFORE: &str = "mkdir d anew; for f in edited replaced gone other-gone d/f plain swapped lost removed; do echo old > $f; done; echo old > anew/f; \
    ln plain twin";
const INSIDE: &str = "for f in edited replaced plain swapped lost; do echo copy > $f; done; rm gone other-gone removed; rm -r d anew; \
    mkdir d anew tree; for f in d/f anew/f tree/f new added; do echo copy > $f; done";
const HOST: &str = "echo host >> edited; echo host > x; mv x replaced; echo host >> gone; echo host > x; mv x other-gone; echo host > d/g; \
    echo host > new";

/// Where the host has changed something, and what it has there.
const CONFLICTS: [&str; 7] = ["d", "edited", "gone", "new", "other-gone", "replaced", "swapped"];
const HOSTS: &str = "cat edited replaced gone other-gone d/f d/g new";
const OF_HOST: &str = "old\nhost\nhost\nold\nhost\nhost\nold\nhost\nhost";

/// What is applied without being asked again, and what everything is at the end.
const APPLIED: &str = "cat plain twin lost anew/f tree/f added; ls removed 2>&1 | grep -c 'No such'";
const OF_COPY: &str = "copy\nold\ncopy\ncopy\ncopy\ncopy\n1";
const ALL: &str = "cat edited replaced d/f new swapped plain; ls . d";
const WHOLE: &str = "copy\ncopy\ncopy\ncopy\ncopy\ncopy\n.:\nadded\nanew\nd\nedited\nlost\nnew\nplain\nreplaced\nswapped\ntree\ntwin\n\nd:\nf";

/// `weir apply`, ended at one of its calls, from 1; whether it came so far.
fn strike(world: &World, calls: &str, at: u32) -> bool {
    let mut traced = world.command("strace");
    traced.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
    traced.args(["-e", &format!("inject={calls}:signal=KILL:when={at}")]);
    // strace ends when the last process has.
    let run = finish(traced.arg(&programs().weir).arg("apply"));
    !matches!(run.code, 0 | 1)
}

/// The temporary name of a place, from the journal.
fn temporary(world: &World, path: &str) -> PathBuf {
    let text = fs::read(journal(world).unwrap()).unwrap();
    let journal: Value = serde_json::from_slice(&text).unwrap();
    let steps = journal["steps"].as_array().unwrap();
    let step = steps.iter().find(|step| self::text(&step["path"]) == path).unwrap();
    world.at("work").join(self::text(&step["temporary"]))
}

/// A world in which applying has been ended right behind its commit, and the host has changed some of the same places since.
fn begun(way: Way) -> World {
    let world = world(way);
    assert_eq!(world.outside(["sh", "-c", BEFORE]).code, 0);
    shell(&world, INSIDE);
    assert!(strike(&world, "renameat2", 1), "nothing was exchanged");
    assert_eq!(world.outside(["sh", "-c", HOST]).code, 0);
    // As it is between an exchange and its being put back, where the host was faster.
    let [swapped, waiting] = [world.at("work/swapped"), temporary(&world, "swapped")];
    assert_eq!(world.outside(["sh", "-c", "echo host >> swapped"]).code, 0);
    let aside = world.at("aside");
    for (from, to) in [(&swapped, &aside), (&waiting, &swapped), (&aside, &waiting)] {
        fs::rename(from, to).unwrap();
    }
    // Somebody cleans up.
    for path in ["lost", "added"] {
        fs::remove_file(temporary(&world, path)).unwrap();
    }
    world
}

/// The host's changes are where they were.
fn assert_hosts(world: &World, at: u32) {
    assert_eq!(world.outside(["sh", "-c", HOSTS]).text(), OF_HOST, "{at}");
}

/// It is finished, what the host has changed stays, and the copy still has what it has there.
fn assert_finished(world: &World, at: u32) {
    assert_hosts(world, at);
    let conflicts: Vec<(String, bool)> = CONFLICTS.iter().map(|path| ((*path).to_owned(), true)).collect();
    let mut found = left(world, &["apply"]);
    found.sort();
    assert_eq!(found, conflicts, "{at}");
    assert_hosts(world, at);
    assert_eq!(world.outside(["cat", "swapped"]).text(), "old\nhost", "{at}");
    assert_eq!(world.outside(["sh", "-c", APPLIED]).text(), OF_COPY, "{at}");
    assert_clean(world);
    assert_eq!(left(world, &["apply", "--force"]), [], "{at}");
    assert_eq!(world.outside(["sh", "-c", ALL]).text(), WHOLE, "{at}");
    assert_eq!(changes(world), Vec::<String>::new(), "{at}");
    assert_clean(world);
}

/// Of how many calls one is where applying is ended once; `WEIR_LIFE_ROUNDS` asks for each.
const STRIDE: usize = 7;

#[test]
fn what_the_host_changes_while_applying_is_interrupted_is_a_conflict() {
    Way::each_of(&WAYS, "copy::struck", |way| {
        let world = begun(way);
        assert_finished(&world, 0);
        // Ended again and again, each time one call later than before.
        let world = begun(way);
        let ends = (1..MAX_CALLS).find(|at| {
            assert_hosts(&world, *at);
            !strike(&world, CALLS, *at)
        });
        let ends = ends.unwrap();
        assert!(ends > 4, "{ends}");
        assert_finished(&world, ends);
    });
}

#[test]
fn it_is_one_wherever_it_is_interrupted() {
    Way::each_of(&WAYS, "copy::struck-once", |way| {
        let stride = if std::env::var_os("WEIR_LIFE_ROUNDS").is_some() { 1 } else { STRIDE };
        for at in (1..MAX_CALLS).step_by(stride) {
            let world = begun(way);
            let is_struck = strike(&world, CALLS, at);
            assert_finished(&world, at);
            if !is_struck {
                return;
            }
        }
        panic!("it makes more than {MAX_CALLS} calls");
    });
}
