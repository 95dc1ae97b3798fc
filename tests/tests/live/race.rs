//! Paths that change while they are looked at, from several threads and from the host.

use std::process::Command;

use weir_tests::sandbox::{Run, Way, World, finish};

use crate::inside::RULES;

/// How long each race lasts.
const SECONDS: &str = "4";

/// Attempts, reads of the open file, reads of the closed one.
fn numbers(run: &Run) -> [u64; 3] {
    let text = run.text();
    let mut words = text.split_whitespace().map(|word| word.parse().unwrap());
    [words.next().unwrap(), words.next().unwrap(), words.next().unwrap()]
}

/// Races in a world whose closed files come into being after the start.
fn race(world: &World) -> [u64; 3] {
    world.file("work/flip.c", include_str!("flip.c"));
    let mut compiler = world.command("cc");
    compiler.args(["-O1", "-pthread", "-o", "flip", "flip.c"]);
    assert_eq!(finish(&mut compiler).code, 0);
    world.file("work/ok.txt", "opened");
    world.file("work/d/ok.txt", "opened");
    // The shell waits for the files that are closed only from then on.
    world.file("work/hidden", "closed");
    let script = format!("until test -e go; do :; done; exec ./flip {SECONDS}");
    let mut command: Command = world.weir(["--quiet"]);
    command.args(["sh", "-c", &script]).stdout(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    world.file("work/d/no.env", "closed");
    std::fs::rename(world.at("work/hidden"), world.at("work/no.env")).unwrap();
    world.file("work/go", "");
    numbers(&child.wait_with_output().unwrap().into())
}

#[test]
fn a_path_that_flips_never_reads_what_is_closed() {
    Way::each("live::race", |way| {
        let world = World::new(way);
        world.profile(RULES, "");
        let [attempts, opened, leaked] = race(&world);
        println!("{way:?}: {attempts} attempts, {opened} open reads, {leaked} closed reads");
        assert_eq!(leaked, 0, "{way:?}: of {attempts}");
        assert!(attempts > 1_000 && opened > 100, "{way:?}: {attempts} {opened}");
    });
}

/// That the race can fail at all: with the mechanism off it reads what appeared later.
#[test]
fn the_race_is_lost_without_live_rules() {
    Way::each_of(&[Way::Root, Way::User], "live::lost_race", |way| {
        let world = World::new(way);
        world.profile_giving_up(&["snapshot-globs"], RULES, "");
        let [attempts, _, leaked] = race(&world);
        println!("{way:?}: {attempts} attempts, {leaked} closed reads");
        assert!(leaked > 100, "{way:?}: {leaked} of {attempts}");
    });
}
