//! Programs of every day: seconds of each outside, under a profile without a pattern whose readings are untold, under one whose guarantee for live
//! rules is given up, with it, and recorded by `weir learn`.

use std::path::{Path, PathBuf};

use weir_tests::sandbox::{Way, World, programs};

use super::{Holder, RULES, bare, beside, head, least, row, weir, words};

/// Runs of each kind: of what is short, and of the builds.
const ROUNDS: [usize; 2] = [9, 3];
/// Files of the repositories.
const FILES: [usize; 2] = [3_000, 20_000];
/// Files in one of their directories.
const PER_DIRECTORY: usize = 30;
/// Crates of the packages, and modules of each crate.
const CRATES: [(usize, usize); 2] = [(1, 20), (12, 20)];

/// Prints the table.
pub(super) fn measure(way: Way, scale: usize) {
    let cargo = PathBuf::from(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let holders = holders(way, &cargo, scale);
    let names: Vec<&str> = holders.iter().map(|holder| holder.name).collect();
    head("seconds", &names);
    let [few, many] = FILES.map(|files| files / scale);
    let build = |package: &str| {
        format!("cd {package} && rm -rf target && \"$0\" build --quiet --offline && ./target/debug/root")
    };
    let scripts = [
        ("true".to_owned(), "true".to_owned(), ROUNDS[0]),
        (format!("git status, {few}"), "git -C repo0 status --short".to_owned(), ROUNDS[0]),
        (format!("git status, {many}"), "git -C repo1 status --short".to_owned(), ROUNDS[0]),
        ("cargo build, one crate".to_owned(), build("package0"), ROUNDS[1]),
        (format!("cargo build, {} crates", CRATES[1].0), build("package1"), ROUNDS[1]),
    ];
    let bin = cargo.parent().map(|bin| bin.display().to_string()).unwrap_or_default();
    for (name, script, rounds) in scripts {
        let script = format!("PATH={bin}:$PATH; {script}");
        let words = words(["sh", "-c", &script, &cargo.display().to_string()]);
        row(&name, &least(&holders, rounds, |holder| holder.seconds(&words)), 4);
    }
}

fn holders(way: Way, cargo: &Path, scale: usize) -> Vec<Holder> {
    let toolchain = cargo.ancestors().nth(2).unwrap_or(cargo);
    let rules = format!("{RULES}\n{toolchain:?} = \"read\"");
    let [free, untold, given_up, live, learn] = [(); 5].map(|()| filled(way, scale));
    let plain = format!("\":project_roots\" = \"write\"\n{toolchain:?} = \"read\"");
    untold.profile_giving_up(&["untold-readings"], &plain, "");
    given_up.profile_giving_up(&["snapshot-globs"], &rules, "");
    live.profile(&rules, "");
    let learning = Holder::new("learn", move |words| {
        let mut command = learn.command(&programs().weir);
        command.args(["learn", "--output"]).arg(learn.at("learned.toml")).arg("--").args(words);
        command
    });
    let mut holders =
        vec![bare(free), weir("untold", untold), weir("given up", given_up), weir("live", live), learning];
    holders.extend(beside::found().into_iter().map(|sandbox| sandbox.holder(filled(way, scale))));
    holders
}

/// A world with the repositories and packages.
fn filled(way: Way, scale: usize) -> World {
    let world = World::new(way);
    world.directory("other");
    beside::closed(&world);
    for (at, files) in FILES.into_iter().enumerate() {
        repository(&world, &format!("repo{at}"), files / scale);
    }
    for (at, (crates, modules)) in CRATES.into_iter().enumerate() {
        package(&world, &format!("package{at}"), crates, modules);
    }
    world
}

fn repository(world: &World, name: &str, files: usize) {
    for at in 0..files {
        world.file(format!("work/{name}/d{}/f{at}", at / PER_DIRECTORY), "content");
    }
    let script = "git init -q && git add . && git -c user.name=a -c user.email=a@b commit -qm one";
    assert_eq!(world.outside(["sh", "-c", &format!("cd {name} && {script}")]).code, 0);
}

/// A program `root`, and the crates that it needs.
fn package(world: &World, name: &str, crates: usize, modules: usize) {
    let others: Vec<String> = (1..crates).map(|at| format!("c{at}")).collect();
    let needs: String = others.iter().map(|one| format!("{one} = {{ path = {one:?} }}\n")).collect();
    let manifest = |name: &str| {
        format!("[package]\nname = {name:?}\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\n")
    };
    world.file(format!("work/{name}/Cargo.toml"), format!("{}{needs}[workspace]\n", manifest("root")));
    let sum: String = others.iter().map(|one| format!("{one}::sum() + ")).collect();
    let main = format!("{}fn main() {{ assert!({sum}sum() > 0); }}\n", module(world, name, modules));
    world.file(format!("work/{name}/src/main.rs"), main);
    for one in &others {
        let place = format!("{name}/{one}");
        world.file(format!("work/{place}/Cargo.toml"), manifest(one));
        let text = module(world, &place, modules);
        world.file(format!("work/{place}/src/lib.rs"), text);
    }
}

/// Writes the modules, and gives the text that adds them up.
fn module(world: &World, place: &str, modules: usize) -> String {
    for at in 0..modules {
        let body = "v.iter().map(|x| x * 3).filter(|x| x % 2 == 0).sum::<u64>() + 1";
        let text = format!("pub fn value() -> u64 {{ let v: Vec<u64> = (0..{at}).collect(); {body} }}\n");
        world.file(format!("work/{place}/src/m{at}.rs"), text);
    }
    let names: String = (0..modules).map(|at| format!("mod m{at};\n")).collect();
    let sum: String = (0..modules).map(|at| format!("m{at}::value() + ")).collect();
    format!("{names}pub fn sum() -> u64 {{ {sum}0 }}\n")
}
