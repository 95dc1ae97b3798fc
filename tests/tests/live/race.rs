//! Paths that change while they are looked at, from several threads and from the host.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use weir_tests::sandbox::{Way, World, finish};

use crate::inside::RULES;

/// How long each race lasts, and as much longer as its attempts take on a busy machine.
const SECONDS: &str = "4";

fn line(output: &mut impl BufRead) -> String {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    line.trim().to_owned()
}

/// Puts the program that races into a world's project.
pub(crate) fn compiled(world: &World) {
    world.file("work/flip.c", include_str!("flip.c"));
    let mut compiler = world.command("cc");
    compiler.args(["-O1", "-pthread", "-o", "flip", "flip.c"]);
    assert_eq!(finish(&mut compiler).code, 0);
}

/// Races in a directory, seen from the project, from the moment that the host has changed what is there: attempts, reads of open files,
/// reads of closed ones.
pub(crate) fn raced(world: &World, place: &Path, change: impl Fn(&World)) -> [u64; 3] {
    let place = place.display();
    // The shell waits for that moment.
    let script = format!(
        "echo started; until test -e go; do :; done; flip=\"$PWD/flip\"; cd {place} && exec \"$flip\" {SECONDS}"
    );
    let mut command = world.weir(["--quiet"]);
    command.args(["sh", "-c", &script]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    assert_eq!(line(&mut output), "started");
    change(world);
    world.file("work/go", "");
    let told = line(&mut output);
    assert!(child.wait().unwrap().success());
    let mut numbers = told.split(' ').map(|word| word.parse().unwrap());
    std::array::from_fn(|_| numbers.next().unwrap())
}

/// Races in a world whose closed files come into being after the start.
fn race(world: &World) -> [u64; 3] {
    compiled(world);
    world.file("work/ok.txt", "opened");
    world.file("work/d/ok.txt", "opened");
    world.file("work/hidden", "closed");
    raced(world, Path::new("."), |world| {
        world.file("work/d/no.env", "closed");
        std::fs::rename(world.at("work/hidden"), world.at("work/no.env")).unwrap();
    })
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
