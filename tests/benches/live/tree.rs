//! Whole commands over a tree of 60,000 files: without a server, as the first at a server that listens, and as later ones.
//!
//! A later command must not pay for the tree: the server keeps what its launchers have listed.

use std::time::{Duration, Instant};

use weir_tests::sandbox::{Way, World, grow_old};

use super::peer::Server;
use super::{head, row};

const DIRECTORIES: usize = 6_000;
const FILES_EACH: usize = 10;
/// Every so many files one matches.
const MATCHES_EVERY: usize = 66;
/// Servers that are started.
const SERVERS: usize = 5;
/// Later commands at each.
const LATER: usize = 15;
/// What has changed within a second is not kept; the kernel's clock ticks within it.
const OLD: Duration = Duration::from_secs(2);

/// Prints the table.
pub(super) fn measure(way: Way, scale: usize) {
    let directories = DIRECTORIES / scale;
    let small = "\":project_roots\" = { \".\" = \"write\", \"**/*.env\" = \"none\" }";
    let cases = [
        ("an empty tree, live", 0, small),
        ("no pattern", directories, "\":project_roots\" = \"write\""),
        ("live", directories, small),
    ];
    println!(
        "{} files, {} of them match",
        directories * FILES_EACH,
        directories * FILES_EACH / MATCHES_EVERY
    );
    head("milliseconds", &["later", "first", "no server", "bare walk"]);
    for (name, directories, rules) in cases {
        let world = World::new(way);
        fill(&world, directories);
        world.profile(rules, "");
        grow_old(OLD);
        row(name, &figures(&world), 2);
    }
}

/// The median of the later commands, of the first ones, of those without a server, and of a plain walk.
fn figures(world: &World) -> [f64; 4] {
    let [mut later, mut first, mut alone, mut walk] = [const { Vec::new() }; 4];
    for at in 0..SERVERS {
        let server = Server::start_at(world, world.at(format!("server{at}.sock")), &[]);
        let socket = server.socket().display().to_string();
        first.push(command(world, &socket));
        later.extend((0..LATER).map(|_| command(world, &socket)));
        alone.push(command(world, "none"));
        let start = Instant::now();
        std::hint::black_box(plain(&world.at("work")));
        walk.push(start.elapsed().as_secs_f64() * 1e3);
    }
    [later, first, alone, walk].map(|mut all| {
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    })
}

/// Milliseconds of `true` at this server.
fn command(world: &World, server: &str) -> f64 {
    let start = Instant::now();
    let mut command = world.weir(["--quiet", "--server", server]);
    let run = weir_tests::sandbox::finish(command.arg("true"));
    assert_eq!(run.code, 0, "{}", run.stderr);
    start.elapsed().as_secs_f64() * 1e3
}

fn plain(path: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let below = |entry: std::fs::DirEntry| {
        let is_directory = entry.file_type().is_ok_and(|found| found.is_dir());
        1 + if is_directory { plain(&entry.path()) } else { 0 }
    };
    entries.map(below).sum()
}

fn fill(world: &World, directories: usize) {
    for at in 0..directories * FILES_EACH {
        let directory = at / FILES_EACH;
        let kind = if at % MATCHES_EVERY == 0 { "env" } else { "rs" };
        let place = format!("work/part{}/module{}/dir{directory}", directory % 20, directory % 300);
        world.file(format!("{place}/source_file_{at}.{kind}"), "");
    }
}
