//! What the server keeps of the file tree from one command to the next: a later command lists nothing that is known, and whatever the host
//! has changed in between is closed or protected in it.
//!
//! Who lists what is seen with strace(1), which looks into every process of the server; so only root can see it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use weir_tests::sandbox::way::is_root;
use weir_tests::sandbox::{Way, World};

use super::peer::{Server, start};

/// Directories of the tree in which nothing is closed, so that nothing but the search lists them.
const DIRECTORIES: usize = 30;

/// Commands after which all that is old enough is known. What is younger than a second is listed again, and a command takes part of one.
const TRIES: usize = 400;

/// `EXT4_SUPER_MAGIC`, `XFS_SUPER_MAGIC`, `BTRFS_SUPER_MAGIC`, `TMPFS_MAGIC` (statfs(2)).
const RELIABLE: [i64; 4] = [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994];

/// A tree with files, and a server for it.
fn served(way: Way, filesystem: &str, given_up: &[&str]) -> Option<(World, Server)> {
    let world = World::new(way);
    let kind = rustix::fs::statfs(world.root()).unwrap().f_type;
    if !is_root() {
        weir_tests::skip("server::index", "only root can see what a server's processes list");
        return None;
    }
    if !RELIABLE.contains(&kind) {
        weir_tests::skip("server::index", "the stamps of this file system are not believed");
        return None;
    }
    for at in 0..DIRECTORIES {
        world.file(format!("work/tree/e{at}/plain"), "plain\n");
    }
    world.file("work/tree/d/a.env", "secret\n");
    world.profile_giving_up(given_up, filesystem, "");
    let server = Server::start(&world);
    Some((world, server))
}

/// What a command prints, and how many of the directories were listed for it.
fn run(world: &World, server: &Server, script: &str) -> (String, usize) {
    let log = world.at("listed");
    let mut tracer = Command::new("strace")
        .args(["-f", "-y", "-e", "trace=getdents64", "-o"])
        .arg(&log)
        .args(["-p", &server.pid().to_string()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(tracer.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.contains("attached"), "{line}");
    let outcome = server.client().run(start(world, &["sh", "-c", script])).unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(tracer.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    drop(std::io::copy(&mut said, &mut std::io::sink()));
    tracer.wait().unwrap();
    let listed = fs::read_to_string(&log).unwrap();
    let place = world.at("work/tree/e").display().to_string();
    let calls = listed.lines().filter(|line| line.contains("getdents64(") && line.contains(&place));
    // The second call for a directory finds its end.
    let ends = calls.filter(|line| line.trim_end().ends_with("= 0")).count();
    (String::from_utf8(outcome.output[0].clone()).unwrap(), ends)
}

/// Runs commands until one needs no listing; the first one must.
fn until_known(world: &World, server: &Server) {
    let (_, listed) = run(world, server, "true");
    assert!(listed >= DIRECTORIES, "the first command lists {listed}");
    let known = (0..TRIES).any(|_| run(world, server, "true").1 == 0);
    assert!(known, "each command lists again");
}

fn at(world: &World, name: &str) -> PathBuf {
    world.at("work/tree").join(name)
}

#[test]
fn a_later_command_lists_nothing_and_sees_what_the_host_has_changed() {
    Way::each("server::index", |way| {
        let rules = r#""{w}/work/tree" = { "." = "read", "**/*.env" = "none" }"#;
        let Some((world, server)) = served(way, rules, &["snapshot-globs"]) else { return };
        until_known(&world, &server);
        type Change = fn(&World);
        let changes: [(&str, Change); 4] = [
            ("e1/new.env", |world| drop(world.file("work/tree/e1/new.env", "secret\n"))),
            ("e2/copy", |world| fs::hard_link(at(world, "d/a.env"), at(world, "e2/copy")).unwrap()),
            ("e3/moved.env", |world| fs::rename(at(world, "e3/plain"), at(world, "e3/moved.env")).unwrap()),
            ("e4/of-another.env", |world| {
                world.file("work/other/of-another.env", "secret\n");
                fs::rename(at(world, "e4"), world.at("work/away")).unwrap();
                fs::rename(world.at("work/other"), at(world, "e4")).unwrap();
            }),
        ];
        for (name, change) in changes {
            change(&world);
            let outside = world.outside(["cat", at(&world, name).to_str().unwrap()]);
            assert_eq!((outside.code, outside.stdout.is_empty()), (0, false), "{name}");
            let script = format!("cat tree/e9/plain; cat tree/{name}");
            let (said, listed) = run(&world, &server, &script);
            assert_eq!(said, "plain\n", "{name}");
            // What has changed lately; for the further names of a denied file once more.
            assert!(listed < DIRECTORIES / 2, "{name}: for what has changed now {listed} are listed");
        }
    });
}

#[test]
fn a_repository_that_the_host_makes_between_two_commands_is_protected() {
    Way::each("server::index", |way| {
        let rules = r#""{w}/work/tree" = "write""#;
        let Some((world, server)) = served(way, rules, &[]) else { return };
        until_known(&world, &server);
        let script =
            "echo x >> tree/e1/.git/config; echo y >> tree/e1/plain; cat tree/e1/.git/config tree/e1/plain";
        world.file("work/tree/e1/.git/config", "[core]\n");
        let (said, _) = run(&world, &server, script);
        assert_eq!(said, "[core]\nplain\ny\n");
        // Where there is no repository, the same name is written.
        fs::rename(at(&world, "e1/.git"), at(&world, "e1/no.git")).unwrap();
        let (said, _) = run(&world, &server, "echo x >> tree/e1/no.git/config; cat tree/e1/no.git/config");
        assert_eq!(said, "[core]\nx\n");
    });
}

/// Nothing in a sandbox, and no process of the server's that reads clients, has any of it.
#[test]
fn an_index_reaches_no_sandbox_and_no_server_part() {
    Way::each("server::index", |way| {
        let rules = r#""{w}/work/tree" = { "." = "read", "**/*.env" = "none" }"#;
        let Some((world, server)) = served(way, rules, &["snapshot-globs"]) else { return };
        until_known(&world, &server);
        let mut client = server.client();
        let started =
            client.ask("process/start", start(&world, &["sh", "-c", "echo ready; exec cat /dev/zero"]));
        let id = started["result"]["id"].as_u64().unwrap();
        // It writes, so it runs, and what made it is as it stays.
        while !matches!(client.hear(), super::peer::Heard::Data(..)) {}
        let holds = |pid: i32| {
            let links = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
            links.filter_map(|link| fs::read_link(link.path()).ok()).any(|to| is_index(&to))
                || maps.lines().any(|line| line.contains("memfd:weir-index"))
        };
        assert!(holds(server.pid()), "the supervisor has it");
        for pid in server.descendants() {
            assert!(!holds(pid), "{:?}", fs::read(format!("/proc/{pid}/cmdline")));
        }
        client.ask("process/kill", serde_json::json!({ "id": id }));
    });
}

fn is_index(target: &Path) -> bool {
    target.to_string_lossy().contains("memfd:weir-index")
}
