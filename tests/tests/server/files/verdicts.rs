//! The same verdicts as a command's: hundreds of acts on generated trees under generated profiles, by commands and by calls, one after
//! another on equal trees. Each act must succeed or fail in both, and both trees must be equal in the end.

use std::fs;

use serde_json::{Value, json};
use weir_tests::sandbox::{PATH, Way, World};

use super::super::peer::{Server, choice};
use super::Files;

/// Trees with profiles, and acts on each.
const TREES: u64 = 3;
const ACTS: usize = 60;

/// A small generator of numbers (xorshift64), so that every run tries the same.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below as u64).unwrap()
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.next(words.len())]
    }
}

const FILES: [&str; 14] = [
    "work/a",
    "work/b.env",
    "work/sub/a",
    "work/sub/b.env",
    "work/sub/deep/a",
    "work/sub/deep/c",
    "work/.git/config",
    "work/.git/hooks/run",
    "work/.git/index",
    "work/.vscode/settings.json",
    "work/closed/a",
    "work/closed/open/a",
    "data/a",
    "secret/a",
];

const LINKS: [(&str, &str); 6] = [
    ("work/to-file", "a"),
    ("work/to-data", "../data"),
    ("work/to-secret", "../secret"),
    ("work/to-key", "../secret/a"),
    ("work/to-nothing", "sub/none"),
    ("data/to-work", "../work"),
];

/// Names that are not there, beside those that are.
const NEW: [&str; 12] = [
    "work/new",
    "work/new.env",
    "work/sub/new",
    "work/.mcp.json",
    "work/.git/hooks/new",
    "work/closed/new",
    "work/closed/open/new",
    "work/to-data/new",
    "work/to-secret/new",
    "data/new",
    "secret/new",
    "work/none/new",
];

const DIRECTORIES: [&str; 9] = [
    "work",
    "work/sub",
    "work/sub/deep",
    "work/closed",
    "work/closed/open",
    "work/to-secret",
    "work/.git/hooks",
    "data",
    "secret",
];

/// Makes the tree, in place of what is left of another.
fn tree(world: &World) {
    for name in ["work", "data", "secret"] {
        let _ = fs::remove_dir_all(world.at(name));
    }
    for path in FILES {
        world.file(path, "content\n");
    }
    for (path, target) in LINKS {
        world.link(path, target);
    }
    world.file("work/.git/HEAD", "ref: refs/heads/main\n");
    fs::hard_link(world.at("work/b.env"), world.at("work/alias")).unwrap();
}

/// A profile: some of these rules.
fn profile(numbers: &mut Numbers) -> String {
    let mut rules = vec!["\"{w}/work\" = \"write\""];
    let may = [
        "\"{w}/data\" = \"read\"",
        "\"{w}/data\" = \"write\"",
        "\"{w}/work/closed\" = \"none\"",
        "\"{w}/work/closed\" = \"read\"",
        "\"{w}/work/closed/open\" = \"write\"",
        "\":project_roots\" = { \"**/*.env\" = \"none\" }",
        "\"{w}/work/sub/deep\" = \"read\"",
        "\"{w}/work/.git/hooks\" = \"write\"",
        "\"{w}/work/sub/a\" = \"none\"",
        "\"{w}/secret/a\" = \"read\"",
    ];
    for rule in may {
        let key = rule.split(" = ").next().unwrap();
        if numbers.next(2) == 0 && !rules.iter().any(|other| other.starts_with(key)) {
            rules.push(rule);
        }
    }
    rules.join("\n")
}

/// An act: for the shell, and as a call.
struct Act {
    word: &'static str,
    paths: [String; 2],
    method: &'static str,
    file: Value,
}

fn act(numbers: &mut Numbers) -> Act {
    let known: Vec<&str> = FILES.iter().copied().chain(LINKS.iter().map(|(path, _)| *path)).collect();
    let any: Vec<&str> = known.iter().copied().chain(NEW).chain(["work/alias"]).collect();
    let mut one = |words: &[&str]| format!("{{w}}/{}", numbers.pick(words));
    let (path, file, new, directory) = (one(&any), one(&known), one(&NEW), one(&DIRECTORIES));
    let write = |writing: &str| json!({ "path": path, "content": "more\n", "writing": writing });
    let (word, path, method, asked) = match numbers.next(8) {
        0 | 1 => ("read", path.clone(), "file/read", json!({ "path": path })),
        2 => ("list", directory.clone(), "file/list", json!({ "path": directory })),
        3 => ("append", path.clone(), "file/write", write("append")),
        4 => ("replace", path.clone(), "file/write", write("replace")),
        5 => ("create", path.clone(), "file/write", write("create")),
        6 => ("remove", path.clone(), "file/remove", json!({ "path": path })),
        _ => ("move", file.clone(), "file/move", json!({ "from": file, "to": new, "existing": "replace" })),
    };
    Act { word, paths: [path, new], method, file: asked }
}

/// Tries an act, and succeeds where it does.
const SHELL: &str = r#"
case $1 in
    read) cat -- "$2" ;;
    list) ls -A -- "$2/" ;;
    append) echo more >> "$2" ;;
    replace) echo more > "$2" ;;
    create) set -C; echo more > "$2" ;;
    remove) rm -- "$2" ;;
    move)
        # Where the source cannot be taken away, mv leaves a copy of it; a call does not.
        if [ -e "$3" ] || [ -h "$3" ]; then rest=; else rest=$3; fi
        mv -f -T -- "$2" "$3" || { [ -z "$rest" ] || rm -f -- "$rest"; exit 1; } ;;
esac
"#;

/// A command of its own for each act, as an agent without calls on files runs them.
fn by_commands(files: &mut Files<'_>, acts: &[Act]) -> Vec<bool> {
    acts.iter().map(|act| by_command(files, act)).collect()
}

fn by_command(files: &mut Files<'_>, act: &Act) -> bool {
    let mut argv =
        vec!["sh".to_owned(), "-c".to_owned(), SHELL.to_owned(), "sh".to_owned(), act.word.to_owned()];
    argv.extend(act.paths.iter().map(|path| files.world.expand(path)));
    let start = json!({
        "choice": choice(files.world),
        "argv": argv,
        "env": [["PATH", PATH]],
        "stdio": { "kind": "pipes", "input": false },
        "output": { "credit": 1 << 20 },
        "under": { "context": files.context },
    });
    files.client.run(start).unwrap().end["code"] == 0
}

fn by_calls(files: &mut Files<'_>, acts: &[Act]) -> Vec<bool> {
    acts.iter().map(|act| files.ask(act.method, &act.file).0["error"].is_null()).collect()
}

/// Every name with its kind and content.
fn state(world: &World) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec!["work".to_owned(), "data".to_owned(), "secret".to_owned()];
    while let Some(path) = waiting.pop() {
        let place = world.at(&path);
        let kind = fs::symlink_metadata(&place).unwrap().file_type();
        if kind.is_dir() {
            let names = fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name());
            waiting.extend(names.map(|name| format!("{path}/{}", name.into_string().unwrap())));
        }
        let content = if kind.is_file() { fs::read_to_string(&place).unwrap() } else { String::new() };
        found.push(format!("{path} {kind:?} {content}"));
    }
    found.sort();
    found
}

#[test]
fn a_call_may_what_a_command_may_and_no_more() {
    Way::each("files::verdicts", |way| {
        let mut allowed = [0; 2];
        for seed in 1..=TREES {
            let mut numbers = Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let world = World::new(way);
            let profile = profile(&mut numbers);
            world.profile(&profile, "");
            let server = Server::start(&world);
            let acts: Vec<Act> = (0..ACTS).map(|_| act(&mut numbers)).collect();
            tree(&world);
            let mut files = Files::open(&world, &server);
            let commands = by_commands(&mut files, &acts);
            let after_commands = state(&world);
            tree(&world);
            // A sandbox holds on to the directories that it was made with.
            let mut files = Files::open(&world, &server);
            let calls = by_calls(&mut files, &acts);
            for (at, act) in acts.iter().enumerate() {
                let both = (commands.get(at), calls.get(at));
                assert_eq!(
                    both.0, both.1,
                    "act {at} of tree {seed}: {} {:?}\n{profile}",
                    act.word, act.paths
                );
            }
            let after_calls = state(&world);
            let only = |one: &[String], other: &[String]| -> Vec<String> {
                one.iter().filter(|line| !other.contains(line)).cloned().collect()
            };
            let differing = (only(&after_commands, &after_calls), only(&after_calls, &after_commands));
            assert_eq!(differing, (Vec::new(), Vec::new()), "tree {seed}\n{profile}");
            calls.iter().for_each(|allows| allowed[usize::from(*allows)] += 1);
        }
        // Both answers are frequent, so that the comparison says something.
        assert!(allowed.iter().all(|count| *count > ACTS / 2), "{allowed:?}");
    });
}
