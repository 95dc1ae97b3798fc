//! What live rules cost real work: the same program under the same profile with them, and with the guarantee given up, in one run.
//!
//! Prints the fastest of several alternating runs in seconds, and their ratio. `cargo test -p weir-tests --bench live` measures the
//! programs as they were built for tests.
#![cfg(target_os = "linux")]
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Instant;

use weir_tests::sandbox::{Way, World, finish};

/// Runs of each kind.
const ROUNDS: usize = 5;
/// Files of the repository.
const FILES: usize = 3_000;
/// Files in one of its directories.
const PER_DIRECTORY: usize = 30;

const RULES: &str = "\":project_roots\" = { \".\" = \"write\", \"**/*.env\" = \"none\" }";

fn main() {
    let way = if Way::Root.available().is_ok() { Way::Root } else { Way::User };
    let cargo = PathBuf::from(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let toolchain = cargo.ancestors().nth(2).map(PathBuf::from).unwrap_or_default();
    let held = World::new(way);
    let free = World::new(way);
    let rules = format!("{RULES}\n{toolchain:?} = \"read\"");
    held.profile(&rules, "");
    free.profile_giving_up(&["snapshot-globs"], &rules, "");
    for world in [&held, &free] {
        repository(world);
        package(world);
    }
    println!("{:<16} {:>9} {:>9} {:>6}", "seconds", "without", "live", "ratio");
    let git = "git -C repo status --short";
    let build = "rm -rf target; \"$0\" build --quiet --offline && ./target/debug/small";
    for (name, script) in [("true", "true"), ("git status", git), ("cargo build", build)] {
        let [mut without, mut with] = [f64::MAX; 2];
        for _ in 0..ROUNDS {
            without = without.min(seconds(&free, script, &cargo));
            with = with.min(seconds(&held, script, &cargo));
        }
        println!("{name:<16} {without:>9.3} {with:>9.3} {:>6.2}", with / without);
    }
}

/// One run, which must succeed.
fn seconds(world: &World, script: &str, cargo: &std::path::Path) -> f64 {
    let bin = cargo.parent().map(|bin| bin.display().to_string()).unwrap_or_default();
    let words: [OsString; 4] =
        ["sh".into(), "-c".into(), format!("PATH={bin}:$PATH; {script}").into(), cargo.into()];
    let start = Instant::now();
    let run = finish(world.weir(["--quiet"]).args(words));
    assert_eq!(run.code, 0, "{script}: {}", run.stderr);
    start.elapsed().as_secs_f64()
}

fn repository(world: &World) {
    for at in 0..FILES {
        world.file(format!("work/repo/d{}/f{at}", at / PER_DIRECTORY), "content");
    }
    let script = "cd repo && git init -q && git add . && git -c user.name=a -c user.email=a@b commit -qm one";
    assert_eq!(world.outside(["sh", "-c", script]).code, 0);
}

fn package(world: &World) {
    let manifest = "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n";
    world.file("work/Cargo.toml", manifest);
    let modules = 0..20;
    let names: String = modules.clone().map(|at| format!("mod m{at};\n")).collect();
    let sum: String = modules.clone().map(|at| format!("m{at}::value() + ")).collect();
    world.file("work/src/main.rs", format!("{names}fn main() {{ assert!({sum}0 > 0); }}\n"));
    for at in modules {
        let body = "v.iter().map(|x| x * 3).filter(|x| x % 2 == 0).sum::<u64>() + 1";
        let text = format!("pub fn value() -> u64 {{ let v: Vec<u64> = (0..{at}).collect(); {body} }}\n");
        world.file(format!("work/src/m{at}.rs"), text);
    }
}
