//! What `weir policy explain` names is what refuses, and in whose name the report tells it: the same act, asked about and tried.

use std::fs;
use std::os::unix::net::UnixListener;

use weir_protocol::denial::Mechanism;
use weir_protocol::held::Held;
use weir_protocol::method::policy::Explained;
use weir_tests::sandbox::{Way, World, finish, programs};

use super::case::{prepare, reported};

/// What `weir policy explain` answers.
fn explained(world: &World, question: &[&str]) -> Explained {
    let words = question.iter().map(|word| world.expand(word));
    let run = finish(world.command(&programs().weir).args(["policy", "explain", "--json"]).args(words));
    serde_json::from_str(&run.text()).unwrap()
}

/// An act, what is asked about it, what refuses it with mounts and without, and in whose name it is told.
struct Asked {
    act: &'static [&'static str],
    question: &'static [&'static str],
    mounted: (Mechanism, Option<Mechanism>),
    alone: (Mechanism, Option<Mechanism>),
}

const LIVE: (Mechanism, Option<Mechanism>) = (Mechanism::Live, Some(Mechanism::Live));
const GUARD: (Mechanism, Option<Mechanism>) = (Mechanism::Broker, Some(Mechanism::Broker));

/// A secret, a pattern, what nothing grants, what may only be read, names that must not come into being, no network.
const ACTS: [Asked; 10] = [
    Asked {
        act: &["read", "{w}/work/closed/file"],
        question: &["--path", "{w}/work/closed/file"],
        mounted: (Mechanism::Mounts, Some(Mechanism::Broker)),
        alone: LIVE,
    },
    Asked {
        act: &["list", "{w}/work/closed"],
        question: &["--path", "{w}/work/closed"],
        mounted: LIVE,
        alone: LIVE,
    },
    Asked { act: &["read", "{w}/work/a.env"], question: &["--path", "a.env"], mounted: LIVE, alone: LIVE },
    Asked {
        act: &["create", "{w}/work/new.env"],
        question: &["--path", "new.env", "--access", "write"],
        mounted: LIVE,
        alone: LIVE,
    },
    Asked {
        act: &["create", "{w}/other/new"],
        question: &["--path", "{w}/other/new", "--access", "write"],
        mounted: (Mechanism::Mounts, Some(Mechanism::Broker)),
        alone: (Mechanism::Landlock, Some(Mechanism::Broker)),
    },
    // Programs look for what is not there all the time: nothing is told of that.
    Asked {
        act: &["read", "{w}/other/secret"],
        question: &["--path", "{w}/other/secret"],
        mounted: (Mechanism::Mounts, None),
        alone: (Mechanism::Landlock, Some(Mechanism::Broker)),
    },
    Asked {
        act: &["create", "{w}/data/new"],
        question: &["--path", "{w}/data/new", "--access", "write"],
        mounted: (Mechanism::Mounts, Some(Mechanism::Broker)),
        alone: (Mechanism::Landlock, Some(Mechanism::Broker)),
    },
    Asked {
        act: &["open-write", "{w}/work/.git/config"],
        question: &["--path", ".git/config", "--access", "write"],
        mounted: (Mechanism::Live, Some(Mechanism::Broker)),
        alone: (Mechanism::Live, Some(Mechanism::Broker)),
    },
    Asked {
        act: &["mkdir", "{w}/work/.git/hooks"],
        question: &["--path", ".git/hooks", "--access", "write"],
        mounted: GUARD,
        alone: GUARD,
    },
    Asked {
        act: &["tcp", "192.0.2.1:443"],
        question: &["--host", "192.0.2.1:443"],
        mounted: (Mechanism::Seccomp, None),
        alone: (Mechanism::Seccomp, None),
    },
];

const PROFILE: &str = r#"
"{w}/work" = "write"
"{w}/work/closed" = "none"
"{w}/work/**/*.env" = "none"
"{w}/data" = "read"
"#;

#[test]
fn what_explain_names_is_what_refuses_and_tells() {
    Way::each("denials::explained", |way| {
        let world = World::new(way);
        for Asked { act, question, mounted, alone } in &ACTS {
            world.clear();
            prepare(&world);
            world.file("work/.git/config", "");
            world.file("work/.git/HEAD", "");
            world.profile(PROFILE, "");
            let (first, told) = *(if way == Way::Bare { alone } else { mounted });
            let found = explained(&world, question);
            assert!(!found.explanation.allowed, "{found:?}");
            let held = found.held.unwrap();
            let Held::By { way: told_way, .. } = &held else { panic!("{held:?}") };
            assert_eq!(told_way, way.name());
            assert_eq!(
                (held.refused().map(|one| one.mechanism), held.told_by()),
                (Some(first), told),
                "{act:?} {held:?}"
            );
            let (run, exited) = reported(&world, &[], act);
            assert!(!run.text().starts_with("ok"), "{act:?}: {run:?}");
            let recorded: Vec<Mechanism> = exited.denials.iter().map(|one| one.mechanism).collect();
            assert_eq!(recorded, told.into_iter().collect::<Vec<_>>(), "{act:?}: {:?}", exited.denials);
            let rules: Vec<_> = exited.denials.iter().map(|one| one.origin.as_ref()).collect();
            assert!(
                rules.iter().all(|rule| *rule == found.explanation.origin.as_ref()),
                "{act:?}: {rules:?}"
            );
        }
    });
}

#[test]
fn a_host_and_a_socket_are_held_by_the_gate_and_by_init() {
    Way::each_of(&[Way::Root, Way::User], "denials::explained-hosts", |way| {
        let world = World::new(way);
        let network = "[permissions.test.network]\nenabled = true\n\
                       [permissions.test.network.domains]\n\"203.0.113.5\" = \"deny\"\n\"*.example.org\" = \"allow\"\n\
                       [permissions.test.network.unix_sockets]\n\"{w}/work/other.sock\" = \"allow\"";
        world.profile("\"{w}/work\" = \"write\"", network);
        let path = world.at("work/host.sock");
        let listener = UnixListener::bind(&path).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let _greeting = std::thread::spawn(move || listener.incoming().for_each(drop));
        let cases: [(&[&str], &[&str], Mechanism); 2] = [
            (&["tcp", "203.0.113.5:443"], &["--host", "203.0.113.5:443"], Mechanism::NetworkGate),
            (&["unix", "{w}/work/host.sock"], &["--unix-socket", "host.sock"], Mechanism::Broker),
        ];
        for (act, question, mechanism) in cases {
            let held = explained(&world, question).held.unwrap();
            assert_eq!(
                (held.refused().map(|one| one.mechanism), held.told_by()),
                (Some(mechanism), Some(mechanism)),
                "{held:?}"
            );
            let (run, exited) = reported(&world, &[], act);
            assert!(!run.text().starts_with("ok"), "{act:?}: {run:?}");
            let recorded: Vec<Mechanism> = exited.denials.iter().map(|one| one.mechanism).collect();
            assert_eq!(recorded, [mechanism], "{act:?}: {:?}", exited.denials);
        }
    });
}

/// What the file tree adds to the policy is part of the answer: a repository further down is protected where it was there at start.
#[test]
fn a_repository_further_down_is_explained_as_it_is_held() {
    Way::each("denials::explained-repository", |way| {
        let world = World::new(way);
        prepare(&world);
        world.file("work/sub/.git/HEAD", "");
        world.directory("work/sub/.git/hooks");
        world.profile("\"{w}/work\" = \"write\"", "");
        for (name, allowed) in [("sub/.git/hooks/pre-commit", false), ("sub/.git/index", true)] {
            let found = explained(&world, &["--path", name, "--access", "write"]);
            assert_eq!(found.explanation.allowed, allowed, "{found:?}");
            assert_eq!(found.held.unwrap().refused().is_none(), allowed, "{name}");
            let (run, _) = reported(&world, &[], &["create", &format!("{{w}}/work/{name}")]);
            assert_eq!(run.text().starts_with("ok"), allowed, "{name}: {run:?}");
        }
    });
}

/// Commands, and whether they can be started.
#[test]
fn a_command_starts_where_its_explanation_says_so() {
    Way::each("denials::explained-command", |way| {
        let world = World::new(way);
        prepare(&world);
        world.script("work/script", "#!/bin/sh\nexit 0\n");
        world.script("work/by-env", "#!/usr/bin/env sh\nexit 0\n");
        world.script("work/bare", "exit 0\n");
        world.script("work/far", world.expand("#!{w}/other/tool\n"));
        world.script("work/odd", "#!/nowhere/sh\n");
        world.file("work/plain", "#!/bin/sh\n");
        world.link("work/leads", "../other/tool");
        world.link("other/back", "../work/script");
        world.profile("\"{w}/work\" = \"write\"", "");
        let cases: [(&[&str], bool); 13] = [
            (&["true"], true),
            (&["sh", "-c", "exit 0"], true),
            (&["./script"], true),
            (&["./by-env"], true),
            (&["./bare"], true),
            (&["./far"], false),
            (&["./odd"], false),
            (&["./plain"], false),
            (&["./leads"], false),
            (&["{w}/other/back"], way == Way::Bare),
            (&["{w}/other/tool"], false),
            (&["no-such-program"], false),
            (&["env", "--", "true"], true),
        ];
        for (words, starts) in cases {
            let question = [&["--command"], words].concat();
            let found = explained(&world, &question);
            assert_eq!(found.explanation.allowed, starts, "{words:?}: {found:#?}");
            let run = finish(world.weir::<&str>([]).args(words.iter().map(|word| world.expand(word))));
            assert_eq!(run.code == 0, starts, "{words:?}: {run:?}");
        }
        for (directory, starts) in [("{w}/work", true), ("{w}/home", true), ("{w}/other", way == Way::Bare)] {
            let directory = world.expand(directory);
            let found = explained(&world, &["-C", &directory, "--command", "true"]);
            assert_eq!(found.explanation.allowed, starts, "{directory}: {found:#?}");
            let run = finish(world.weir(["-C", &directory]).arg("true"));
            assert_eq!(run.code == 0, starts, "{directory}: {run:?}");
        }
    });
}
