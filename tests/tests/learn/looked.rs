//! What a command only looks at, changes without opening, or has the kernel open.

use std::path::Path;

use weir_tests::sandbox::{Way, World, finish, programs};

use super::lesson::Lesson;

const PYTHON: &str = "/usr/bin/python3";

#[test]
fn a_program_that_only_looks_whether_something_is_there() {
    Lesson::each("looks", |lesson| {
        let world = &lesson.world;
        world.file("data/conf", "never read");
        world.file("data/beside", "not needed");
        let (conf, missing) = (world.at("data/conf"), world.at("data/missing"));
        let script = format!("import os.path as p; print(p.exists({conf:?}), p.exists({missing:?}))");
        lesson.teach(&[PYTHON, "-c", &script], "True False");
        let rules = lesson.rules();
        assert_eq!(rules[conf.to_str().unwrap()].as_str(), Some("read"), "{rules:?}");
        assert!(!rules.contains_key(missing.to_str().unwrap()), "{rules:?}");
        assert!(lesson.proposal().contains("# looked at by python3"), "{}", lesson.proposal());
        lesson.not_beside("data/beside");
    });
}

#[test]
fn tests_links_and_attributes_of_a_shell() {
    Lesson::each("shell_looks", |lesson| {
        let world = &lesson.world;
        world.script("tools/run", "#!/bin/sh\n");
        world.file("tools/beside", "not needed");
        world.file("data/target", "content");
        world.link("data/link", "target");
        world.directory("empty/dir");
        world.file("work/own", "own");
        let line = world.expand(
            "test -x {w}/tools/run && test -d {w}/empty/dir && readlink {w}/data/link && stat -L -c %s {w}/data/link",
        );
        lesson.teach(&["sh", "-c", &line], "target\n7");
        let rules = lesson.rules();
        assert_eq!(rules[":project_roots"].as_str(), Some("read"), "{rules:?}");
        lesson.not_beside("tools/beside");
        // Attributes are changed where it may be written.
        let line = "chmod 600 own && touch -d @7 own && stat -c '%a %Y' own && chmod 644 own";
        let learnt = lesson.learn(&[], &["sh", "-c", line]);
        assert_eq!((learnt.code, learnt.text().as_str()), (0, "600 7"), "{}", learnt.stderr);
        assert_eq!(lesson.rules()[":project_roots"].as_str(), Some("write"), "{}", lesson.proposal());
        assert_eq!(lesson.held(&["sh", "-c", line]).text(), "600 7");
        assert_eq!(world.outside(["sh", "-c", line]).text(), "600 7");
    });
}

#[test]
fn attributes_outside_of_the_project_are_told_and_not_granted() {
    Lesson::each("attributes", |lesson| {
        let world = &lesson.world;
        let file = world.at("other/file").display().to_string();
        assert_ne!(lesson.learn(&[], &["chmod", "600", &file]).code, 0);
        let text = lesson.proposal();
        assert!(text.contains(&format!("# NOT GRANTED: {file}: attributes changed")), "{text}");
        assert_ne!(lesson.held(&["chmod", "600", &file]).code, 0);
        assert_eq!(world.outside(["chmod", "600", file.as_str()]).code, 0);
    });
}

#[test]
fn secrets_and_directories_of_the_home_that_are_looked_at_are_told_alone() {
    Lesson::each("secret_looks", |lesson| {
        let world = &lesson.world;
        world.file("home/notes/a", "private");
        world.file("home/conf", "x");
        let line =
            "test -e ~/.ssh/id_test; test -e ~/.ssh/no_such; test -d ~/notes; test -e ~/conf && echo conf";
        let learnt = lesson.learn(&[], &["sh", "-c", line]);
        assert_eq!(learnt.text(), "conf", "{}", learnt.stderr);
        let (text, rules) = (lesson.proposal(), lesson.rules());
        assert_eq!(rules["~/conf"].as_str(), Some("read"), "{text}");
        assert!(!rules.keys().any(|key| key.contains("ssh") || key.contains("notes")), "{text}");
        assert!(text.contains("~/.ssh/id_test") && text.contains("WARNING: a secret"), "{text}");
        assert!(!text.lines().any(|line| line.contains("NOT GRANTED") && line.contains("no_such")), "{text}");
        assert!(text.contains("# \"~/notes\" = \"read\""), "{text}");
        assert_eq!(lesson.held(&["sh", "-c", line]).text(), "conf");
        lesson.not_beside("home/notes/a");
        lesson.nothing_else();
    });
}

/// Copies a program of the machine, with another name for the loader in its place, which is no longer than the old one.
fn with_loader(program: &Path, loader: &str) -> Vec<u8> {
    let mut bytes = std::fs::read(program).unwrap();
    let old = loader_of_this_machine().into_os_string().into_encoded_bytes();
    let at = bytes.windows(old.len()).position(|window| window == old).unwrap();
    let mut name = loader.as_bytes().to_vec();
    assert!(name.len() <= old.len());
    name.resize(old.len(), 0);
    bytes[at..at + old.len()].copy_from_slice(&name);
    bytes
}

fn loader_of_this_machine() -> std::path::PathBuf {
    let known = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"];
    known.iter().map(std::path::PathBuf::from).find(|path| path.exists()).unwrap()
}

#[test]
fn a_program_whose_loader_and_a_script_whose_interpreter_lie_elsewhere() {
    Lesson::each("loader", |lesson| {
        let world = &lesson.world;
        let loader = std::fs::read(loader_of_this_machine()).unwrap();
        world.script("lib/ld.so", &loader);
        world.script("lib/beside", &loader);
        world.script("tools/greet", with_loader(Path::new("/bin/echo"), "../lib/ld.so"));
        world.script("tools/script", world.expand("#!{w}/tools/greet -n\n"));
        let script = world.at("tools/script").display().to_string();
        lesson.teach(&[&script, "hello"], &format!("{script} hello"));
        let rules = lesson.rules();
        for path in ["lib/ld.so", "tools/greet", "tools/script"] {
            assert_eq!(rules[world.at(path).to_str().unwrap()].as_str(), Some("read"), "{rules:?}");
        }
        lesson.not_beside("lib/beside");
        // By its loader, as people try a library out.
        let line = world.expand("{w}/lib/ld.so {w}/tools/greet by hand");
        lesson.teach(&["sh", "-c", &line], "by hand");
        assert!(lesson.rules().contains_key(world.at("lib/ld.so").to_str().unwrap()));
    });
}

/// Without mounts there is no copy, and so the project has to be named as what is written; the profile that is extended gives up what
/// cannot be had.
#[test]
fn without_mounts_a_profile_that_gives_up_what_is_missing_is_extended() {
    Way::each_of(&[Way::Bare], "learn::extended", |way| {
        let world = World::new(way);
        world.profile("\":project_roots\" = \"read\"", "");
        world.file("data/conf", "read");
        world.file("data/beside", "not needed");
        let loader = std::fs::read(loader_of_this_machine()).unwrap();
        world.script("lib/ld.so", loader);
        world.script("tools/greet", with_loader(Path::new("/bin/echo"), "../lib/ld.so"));
        let line = world.expand("{w}/tools/greet; cat {w}/data/conf");
        let words = ["sh", "-c", &line];
        let mut command = world.command(&programs().weir);
        command.args(["learn", "--profile", "test", "--write"]).arg(world.at("work")).arg("--output");
        let run = finish(command.arg(world.at("learned.toml")).arg("--").args(words));
        assert_eq!((run.code, run.text().as_str()), (0, "read"), "{}", run.stderr);
        let text = std::fs::read_to_string(world.at("learned.toml")).unwrap();
        let config = std::fs::read_to_string(world.at("weir/config.toml")).unwrap();
        world.file("weir/config.toml", format!("{config}\n{text}"));
        let run =
            |profile: &str, words: &[&str]| finish(world.weir(["--quiet", "--profile", profile]).args(words));
        assert_eq!(run("learned", &words).text(), "read", "{text}");
        assert_ne!(run("test", &words).code, 0, "{text}");
        let beside = world.at("data/beside").display().to_string();
        assert_ne!(run("learned", &["cat", &beside]).code, 0, "{text}");
        assert_eq!(world.outside(["cat", beside.as_str()]).code, 0);
    });
}
