//! Programs as people use them.

use std::path::PathBuf;

use weir_tests::sandbox::{PATH, finish, programs};

use super::lesson::Lesson;

#[test]
fn a_script_that_reads_and_writes() {
    Lesson::each("script", |lesson| {
        let world = &lesson.world;
        world.file("data/in", "input\n");
        world.file("work/own", "own\n");
        let data = world.at("data/in").display().to_string();
        let script = format!(
            "cat own '{data}' > out; mkdir -p d; mv out d/out; ln -sf d/out link; cat link; rm -r d link"
        );
        lesson.teach(&["sh", "-c", &script], "own\ninput");
        let rules = lesson.rules();
        assert_eq!(rules[data.as_str()].as_str(), Some("read"), "{rules:?}");
        assert_eq!(rules[":project_roots"].as_str(), Some("write"), "{rules:?}");
        assert!(lesson.proposal().contains(&format!("# read by cat\n\"{data}\" = \"read\"")));
    });
}

#[test]
fn git_looks_and_commits() {
    Lesson::each("git", |lesson| {
        let world = &lesson.world;
        world.file("home/.gitconfig", "[user]\nname = A\nemail = a@example.org\n");
        for words in
            [&["git", "init", "-q", "."][..], &["git", "commit", "-q", "--allow-empty", "-m", "begun"]]
        {
            assert_eq!(world.outside(words).code, 0, "{words:?}");
        }
        lesson.teach(&["git", "status", "--short"], "");
        world.file("work/file", "content\n");
        let commit = "git add file && git commit -q -m more && git log --format=%s && git reset -q HEAD~1";
        lesson.teach(&["sh", "-c", commit], "more\nbegun");
        assert_eq!(lesson.rules()["~/.gitconfig"].as_str(), Some("read"));
    });
}

#[test]
fn gcc_compiles_into_a_directory() {
    Lesson::each("gcc", |lesson| {
        lesson.world.file(
            "work/src/a.c",
            "#include <stdio.h>\n#include \"b.h\"\nint main(void) { puts(B); return 0; }\n",
        );
        lesson.world.file("include/b.h", "#define B \"built\"\n");
        lesson.world.directory("work/out");
        let include = lesson.world.at("include").display().to_string();
        let line = format!("gcc -I '{include}' src/a.c -o out/a && out/a && rm out/a");
        lesson.teach(&["sh", "-c", &line], "built");
        // All was written in one directory, and so no other needs to be.
        let rules = lesson.rules();
        assert_eq!(rules[":project_roots"]["out"].as_str(), Some("write"), "{rules:?}");
        assert_ne!(lesson.held(&["touch", "src/b.c"]).code, 0);
        assert_eq!(lesson.held(&["touch", "out/b"]).code, 0);
    });
}

#[test]
fn python_imports_and_writes() {
    Lesson::each("python", |lesson| {
        let world = &lesson.world;
        world.file("lib/parts/one.py", "import json\nvalue = json.dumps([1])\n");
        world.file("work/main.py", "import sys, tempfile\nsys.path.insert(0, sys.argv[1])\nimport one\nwith tempfile.TemporaryFile() as file:\n    file.write(b'x')\nprint(one.value)\n");
        let parts = world.at("lib/parts").display().to_string();
        lesson.teach(&["/usr/bin/python3", "-B", "main.py", &parts], "[1]");
    });
}

#[test]
fn cargo_builds_a_crate() {
    Lesson::each("cargo", |lesson| {
        let world = &lesson.world;
        let cargo = PathBuf::from(std::env::var_os("CARGO").unwrap());
        if finish(world.command("sh").args(["-c", "\"$0\" --version"]).arg(&cargo)).code != 0 {
            let way = world.way().name();
            return weir_tests::skip(
                &format!("{way}::learn::cargo"),
                "only the user of this toolchain runs it",
            );
        }
        world.file(
            "work/Cargo.toml",
            "[package]\nname = \"small\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[workspace]\n",
        );
        world.file("work/src/main.rs", "fn main() { println!(\"built\"); }\n");
        let bin = cargo.parent().unwrap().display();
        let line =
            format!("export PATH='{bin}':{PATH}; cargo run --quiet --offline && rm -rf target Cargo.lock");
        lesson.teach(&["sh", "-c", &line], "built");
    });
}

/// A home that tools may write in is the empty one of the profile, and what they read of the real one is granted alone.
#[test]
fn a_directory_of_many_files_is_granted_whole_and_the_home_never() {
    Lesson::each("fold", |lesson| {
        let world = &lesson.world;
        for number in 0..6 {
            world.file(format!("data/many/{number}"), "x");
            world.file(format!("home/dots/.{number}"), "x");
            world.file(format!("home/.{number}"), "x");
        }
        let (data, home) = (world.at("data/many"), world.at("home"));
        let line = format!("cat '{}'/? '{1}'/dots/.? '{1}'/.[0-9] | wc -c", data.display(), home.display());
        let listed = lesson.learn(&[], &["bash", "-c", &line]);
        assert_eq!(listed.text(), "18", "{}", listed.stderr);
        let rules = lesson.rules();
        assert_eq!(rules[data.to_str().unwrap()].as_str(), Some("read"), "{rules:?}");
        assert!(rules.contains_key("~/.0") && !rules.contains_key("~"), "{rules:?}");
        assert!(!rules.contains_key(home.to_str().unwrap()), "{rules:?}");
        // The shell listed the home to match the pattern; that opens nothing, and is said.
        assert!(lesson.proposal().contains("a rule for"), "{}", lesson.proposal());
        lesson.nothing_else();
        assert_eq!(lesson.held(&["cat", world.at("home/.0").to_str().unwrap()]).text(), "x");
    });
}

#[test]
fn the_record_shows_in_the_plan_and_is_bounded_to_the_command() {
    Lesson::each("json", |lesson| {
        let mut command = lesson.world.command(&programs().weir);
        let run = finish(command.args(["learn", "--json", "--", "sh", "-c", "echo told; exit 7"]));
        assert_eq!(run.code, 7, "{}", run.stderr);
        // The command's own output has gone to standard error.
        let told: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
        assert!(run.stderr.contains("told"), "{}", run.stderr);
        assert_eq!(told["exited"], "exit 7");
        assert_eq!(told["proposal"]["is_cut"], false);
        assert!(told["proposal"]["covered"].as_u64().unwrap() > 1, "{told}");
        assert!(told["toml"].as_str().unwrap().contains("[permissions.learned.filesystem]"));
    });
}
