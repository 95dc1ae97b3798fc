//! One process of a run is ended by SIGKILL at some moment, and the rest must go with it.
//!
//! Each way is struck [`ROUNDS`] times here; `WEIR_LIFE_ROUNDS=300` makes it the full number, which takes some minutes.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use weir_tests::sandbox::kin::{self, Process};
use weir_tests::sandbox::{Way, World, programs};

/// Rounds in each way, where nothing else is asked for: each of the four is struck as often.
const ROUNDS: u64 = 24;

/// Milliseconds in which everything must be gone.
pub(super) const GONE_MS: u32 = 100;

/// Latest moment of a strike, in microseconds after the start: by then everything has been started.
const LATEST_US: u64 = 80_000;

/// Processes of a whole brood.
const BROOD: usize = 10;

/// Longest wait for the process to strike to be there.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Who is struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Client,
    Launcher,
    Server,
    First,
    /// Launcher and first process in the same moment.
    Both,
}

const VICTIMS: [Victim; 4] = [Victim::Client, Victim::Launcher, Victim::Server, Victim::First];

impl Victim {
    /// The processes to strike, where all are there.
    fn find(self, client: i32) -> Option<Vec<Process>> {
        let launcher = || kin::children(client).first().copied();
        let parts = || launcher().map(|launcher| kin::children(launcher.pid));
        let one = match self {
            Self::Client => kin::family(client).into_iter().find(|one| one.pid == client),
            Self::Launcher => launcher(),
            Self::Server => parts()?.first().copied(),
            Self::First => first(&parts()?),
            Self::Both => return Some(vec![launcher()?, first(&parts()?)?]),
        };
        Some(vec![one?])
    }
}

/// The first process among the launcher's children, of which the server is the oldest: others try things out and end by themselves, so in
/// the way in which that happens it is the one that has started the brood.
fn first(parts: &[Process]) -> Option<Process> {
    let has_brood = |one: &Process| {
        kin::children(one.pid).iter().any(|child| kin::arguments(child.pid).contains("weir-brood weir-life"))
    };
    parts.iter().skip(1).copied().find(|one| kin::has_own_pids(one.pid) || has_brood(one))
}

/// Numbers that are different in each round and the same in each run (Knuth's linear congruence).
fn moment_us(round: u64) -> u64 {
    let mixed = (round + 1).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (mixed >> 33) % LATEST_US
}

fn rounds() -> u64 {
    std::env::var("WEIR_LIFE_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS)
}

struct Run {
    child: Child,
    mark: String,
}

impl Run {
    fn start(world: &World, mark: &str) -> Self {
        let brood = programs().probe.with_file_name("weir-brood");
        let mut command = world.weir(["--quiet"]);
        command.arg(brood).arg(mark).env(kin::VARIABLE, mark);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { child, mark: mark.to_owned() }
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Strikes after so long, or as soon as there is somebody to strike; what was there then.
    fn strike(&mut self, victim: Victim, after_us: u64) -> BTreeSet<Process> {
        let (begun, after) = (Instant::now(), Duration::from_micros(after_us));
        loop {
            let due = begun.elapsed() >= after;
            if let Some(struck) = victim.find(self.pid()).filter(|_| due) {
                let known = kin::family(self.pid());
                struck.into_iter().for_each(kin::kill);
                return known;
            }
            assert!(begun.elapsed() < PATIENCE, "{victim:?} never came to be");
            assert!(self.child.try_wait().unwrap().is_none(), "the run ended by itself");
        }
    }

    /// Waits until nothing is left, or for too long.
    fn check_gone(&mut self, known: &BTreeSet<Process>, what: &str) {
        let mut ticks = 0;
        loop {
            let left = kin::living(&self.mark, known);
            if left.is_empty() {
                break;
            }
            if ticks >= GONE_MS {
                let told: Vec<_> = left.iter().map(|one| kin::account(one.pid)).collect();
                left.iter().copied().for_each(kin::kill);
                panic!("{what}: {GONE_MS} ms later there are {told:?}");
            }
            ticks += kin::wait_for_ends(&left, GONE_MS - ticks);
        }
        assert_ne!(self.child.wait().unwrap().code(), Some(0), "{what}");
    }
}

/// Mounts of this namespace that are or lie below the world, or where a tree is built.
fn mounts(world: &World) -> Vec<String> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let place = |line: &str| line.split(' ').nth(4).map(str::to_owned);
    let own = |at: &String| {
        Path::new(at).starts_with(world.root()) || ["/tmp", "/run", "/mnt", "/usr"].contains(&at.as_str())
    };
    table.lines().filter_map(place).filter(own).collect()
}

/// Everything in the world, by name.
fn files(below: &Path) -> BTreeSet<std::path::PathBuf> {
    let mut found = BTreeSet::new();
    let mut open = vec![below.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            }
            found.insert(entry.path());
        }
    }
    found
}

/// Control groups that Weir made, but for those of other runs.
fn groups(known: &BTreeSet<Process>) -> Vec<String> {
    let ours = |name: &String| known.iter().any(|one| name.starts_with(&format!("weir-{}-", one.pid)));
    let found = files_of_groups(Path::new("/sys/fs/cgroup"));
    found.into_iter().filter(ours).collect()
}

fn files_of_groups(below: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![below.to_owned()];
    while let Some(next) = open.pop() {
        let entries = std::fs::read_dir(next).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_type().is_ok_and(|found| found.is_dir())) {
            found.push(entry.file_name().to_string_lossy().into_owned());
            open.push(entry.path());
        }
    }
    found
}

fn check(world: &World, round: u64, victim: Victim) {
    let (mounts_before, files_before) = (mounts(world), files(world.root()));
    let after_us = moment_us(round);
    let what = format!("{:?}, round {round}, {victim:?} after {after_us} µs", world.way());
    let mut run = Run::start(world, &format!("weir-life-{}-{round}", std::process::id()));
    let known = run.strike(victim, after_us);
    run.check_gone(&known, &what);
    assert_eq!(mounts(world), mounts_before, "{what}");
    assert_eq!(files(world.root()), files_before, "{what}");
    assert_eq!(groups(&known), Vec::<String>::new(), "{what}");
}

#[test]
fn nothing_outlives_whichever_process_is_killed() {
    Way::each("life::struck", |way| {
        let world = World::new(way);
        world.profile(&brood_rule(), "");
        for round in 0..rounds() {
            let victim = VICTIMS[usize::try_from(round).unwrap() % VICTIMS.len()];
            check(&world, round, victim);
        }
    });
}

#[test]
fn nothing_outlives_launcher_and_first_process_killed_at_once() {
    Way::each("life::struck_both", |way| {
        let world = World::new(way);
        world.profile(&brood_rule(), "");
        for round in 0..rounds() / 4 {
            check(&world, round, Victim::Both);
        }
    });
}

fn brood_rule() -> String {
    let brood = programs().probe.with_file_name("weir-brood");
    format!("{brood:?} = \"read\"\n\"{{w}}/work\" = \"write\"")
}

/// Without Weir the brood outlives its first process: what the tests above see is Weir's doing.
#[test]
fn outside_the_brood_outlives_its_parent() {
    let world = World::new(Way::User);
    let mark = format!("weir-life-{}-outside", std::process::id());
    let mut command = world.command(programs().probe.with_file_name("weir-brood"));
    let mut child = command.arg(&mark).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut ready = [0; 6];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
    let begun = Instant::now();
    while kin::living(&mark, &BTreeSet::new()).len() < BROOD {
        assert!(begun.elapsed() < PATIENCE, "the brood did not come to be");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let outlived = kin::living(&mark, &BTreeSet::new());
    // Before anything is judged: here nobody else ends them.
    loop {
        let left = kin::living(&mark, &BTreeSet::new());
        if left.is_empty() {
            break;
        }
        left.into_iter().for_each(kin::kill);
    }
    // Two links of the chain may have been there at once.
    assert!(outlived.len() >= BROOD - 2, "{outlived:?}");
}
