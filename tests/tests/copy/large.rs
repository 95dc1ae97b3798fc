//! What is deep, sparse or has many names: told, applied and discarded with few descriptors and little room.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use weir_tests::sandbox::{Run, Way, World, finish, programs};

use super::settle::{WAYS, assert_clean, changes, left, listed, shell, world};

/// Goes down through directories, changes the mode of the file at the end where it is told to, and says what it is. Where they are missing
/// all is made first, from the end on, so that nothing has a long path while it is made: init, which performs that, knows paths alone.
const DOWN: &str = r#"
import os, sys
name, depth, act = sys.argv[1], int(sys.argv[2]), sys.argv[3]
os.chdir('deep')
if not os.path.isdir(name):
    os.mkdir(name)
    open(name + '/leaf', 'w').write(act)
    for _ in range(depth - 1):
        os.mkdir('next')
        os.rename(name, 'next/' + name)
        os.rename('next', name)
for _ in range(depth):
    os.chdir(name)
if act == 'close':
    os.chmod('leaf', 0o400)
if act == 'read':
    print(open('leaf').read(), end=' ')
print(oct(os.stat('leaf').st_mode))
"#;

/// Longer than a path can be, and deeper than there may be descriptors.
const SHAPES: [(usize, usize); 2] = [(200, 40), (8, 500)];

/// Descriptors that whoever applies may have.
const DESCRIPTORS: &str = "150";

fn down((length, depth): (usize, usize), act: &str) -> [String; 6] {
    ["python3", "-c", DOWN, &"n".repeat(length), &depth.to_string(), act].map(ToOwned::to_owned)
}

/// `weir` with few descriptors.
fn weir(world: &World, words: &[&str]) -> Run {
    let limited = format!("ulimit -n {DESCRIPTORS}; exec \"$@\"");
    finish(world.command("sh").args(["-c", &limited, "sh"]).arg(&programs().weir).args(words))
}

fn made(way: Way) -> World {
    let world = world(way);
    world.file("work/g", "old");
    world.directory("work/deep");
    world
}

/// Directories too deep for whoever cleans up behind the test.
fn cleared(world: &World) {
    assert_eq!(world.outside(["rm", "-rf", "deep"]).code, 0);
    assert_eq!(weir(world, &["discard"]).code, 0);
}

#[test]
fn a_path_longer_than_a_path_can_be_is_applied_and_discarded() {
    Way::each_of(&WAYS, "copy::deep", |way| {
        for shape in SHAPES {
            let world = made(way);
            let act = || {
                let run = world.run(down(shape, "new"));
                assert_eq!(run.code, 0, "{}", run.stderr);
                shell(&world, "echo new > g");
            };
            act();
            // The next command finds it.
            let name = "n".repeat(shape.0);
            assert_eq!(changes(&world), [format!("added deep/{name}"), "modified g".to_owned()]);
            let told = listed(&world);
            let unlisted = told.iter().filter(|change| change.get("note").is_some()).count();
            assert_eq!(unlisted, 1, "what lies deeper is not listed, and that is said");
            assert_eq!(world.run(down(shape, "look")).text(), "0o100644");
            assert_eq!(left(&world, &["discard", "deep"]), []);
            assert_eq!(changes(&world), ["modified g"]);
            act();
            let applied = weir(&world, &["apply"]);
            assert_eq!(applied.code, 0, "{applied:?}");
            assert_eq!(world.outside(down(shape, "read")).text(), "new 0o100644");
            assert_eq!(world.outside(["cat", "g"]).text(), "new");
            assert_eq!(changes(&world), Vec::<String>::new());
            assert_clean(&world);
            cleared(&world);
        }
    });
}

/// Where the host has such a directory as well its change is named and stays, and all else goes on.
#[test]
fn a_change_deeper_than_can_be_named_stays_and_the_rest_is_applied() {
    Way::each_of(&WAYS, "copy::deeper", |way| {
        for shape in SHAPES {
            let world = made(way);
            assert_eq!(world.outside(down(shape, "old")).code, 0);
            assert_eq!(world.run(down(shape, "close")).text(), "0o100400");
            shell(&world, "echo new > g");
            let told = changes(&world);
            assert_eq!(told.len(), 2, "{told:?}");
            assert!(told[0].starts_with("mode deep/n") && told[1] == "modified g", "{told:?}");
            let applied = weir(&world, &["apply"]);
            let words = String::from_utf8_lossy(&applied.stdout).into_owned();
            assert!(applied.code == 1 && words.contains("longer paths than can be named"), "{applied:?}");
            assert_eq!(world.outside(["cat", "g"]).text(), "new");
            assert_eq!(world.outside(down(shape, "read")).text(), "old 0o100644");
            assert_eq!(world.run(down(shape, "look")).text(), "0o100400");
            assert_eq!(changes(&world), told[..1]);
            assert_eq!(left(&world, &["discard", "deep"]), []);
            assert_eq!(world.run(down(shape, "look")).text(), "0o100644");
            assert_eq!(changes(&world), Vec::<String>::new());
            cleared(&world);
        }
    });
}

/// Each a file with two names, more of them than there may be descriptors.
const TWINS: usize = 400;

#[test]
fn files_with_several_names_need_no_descriptors() {
    Way::each_of(&WAYS, "copy::twins", |way| {
        let world = world(way);
        shell(&world, &format!("mkdir a b; for i in $(seq {TWINS}); do echo $i > a/$i; ln a/$i b/$i; done"));
        let applied = weir(&world, &["apply"]);
        assert_eq!(applied.code, 0, "{applied:?}");
        for index in 1..=TWINS {
            let names =
                ["a", "b"].map(|name| fs::metadata(world.at(format!("work/{name}/{index}"))).unwrap());
            assert_eq!((names[0].ino(), names[0].nlink()), (names[1].ino(), 2), "{index}");
        }
        assert_clean(&world);
    });
}

#[test]
fn what_is_sparse_stays_sparse() {
    const SIZE: u64 = 1 << 30;
    const MIDDLE: u64 = 256 << 20;
    Way::each_of(&WAYS, "copy::sparse", |way| {
        let world = world(way);
        world.file("work/plain", "x".repeat(300_000));
        let write = format!("with open('sparse', 'r+b') as file: file.seek({MIDDLE}); file.write(b'here')");
        shell(
            &world,
            &format!(
                "truncate -s {SIZE} empty sparse; python3 -c \"{write}\"; cp plain ends; truncate -s {SIZE} ends; echo more >> plain; : > nothing"
            ),
        );
        assert_eq!(left(&world, &["apply"]), []);
        for (name, room) in [("empty", 0), ("sparse", 1 << 20), ("ends", 1 << 20)] {
            let found = fs::metadata(world.at("work").join(name)).unwrap();
            assert_eq!(found.len(), SIZE, "{name}");
            assert!(found.blocks() * 512 <= room, "{name}: {} blocks", found.blocks());
        }
        let read = format!("dd if=sparse bs=4 count=2 skip={} status=none | tr '\\0' .", MIDDLE / 4);
        assert_eq!(world.outside(["sh", "-c", &read]).text(), "here....");
        assert_eq!(
            world.outside(["sh", "-c", "cmp -n 300000 plain ends; tail -c 5 plain; wc -c < nothing"]).text(),
            "more\n0"
        );
        // What is the same is no change.
        assert_eq!(changes(&world), Vec::<String>::new());
    });
}
