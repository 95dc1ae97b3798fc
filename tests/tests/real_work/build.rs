//! Compilers, build tools, test runners.

use weir_tests::sandbox::{Way, World, finish};

use super::work::Work;

#[test]
fn gcc_compiles_and_links() {
    Work {
        name: "gcc",
        needs: &["gcc"],
        files: &[("a.c", "#include <stdio.h>\nint main(void) { puts(\"compiled\"); return 0; }\n")],
        script: "gcc -O2 -pipe a.c -o a && ./a",
        expect: "compiled\n",
    }
    .check();
}

#[test]
fn make_builds_in_parallel() {
    Work {
        name: "make",
        needs: &["make", "gcc"],
        files: &[(
            "Makefile",
            "objects := $(foreach n,1 2 3 4 5 6 7 8,part$(n).o)\n\
             all: whole\n\
             part%.c: ; @echo 'int part$*(void) { return $*; }' > $@\n\
             whole: $(objects) ; @ld -r -o $@ $^\n",
        )],
        script: "make -s -j4 && nm whole | grep -c ' T '",
        expect: "8\n",
    }
    .check();
}

#[test]
fn python_makes_an_environment_and_tests() {
    Work {
        name: "venv",
        needs: &["/usr/bin/python3"],
        files: &[(
            "test_sum.py",
            "import unittest\nclass Sum(unittest.TestCase):\n    def test_sum(self):\n        self.assertEqual(1 + 1, 2)\n",
        )],
        script: "/usr/bin/python3 -m venv --without-pip v && . v/bin/activate && python -m unittest -q 2>&1 | tail -n 1 && \
                 python -c 'import sys; print(sys.prefix == sys.base_prefix)'",
        expect: "OK\nFalse\n",
    }
    .check();
}

#[test]
fn npm_runs_tests() {
    Work {
        name: "npm",
        needs: &["npm", "node"],
        files: &[
            ("package.json", r#"{"name":"small","version":"1.0.0","scripts":{"test":"node --test"}}"#),
            (
                "sum.test.js",
                "const test = require('node:test');\nconst assert = require('node:assert');\n\
                 test('sums', () => assert.strictEqual(1 + 1, 2));\n",
            ),
        ],
        script: "npm test --silent 2>&1 | grep -c '^# pass 1$'",
        expect: "1\n",
    }
    .check();
}

/// With the toolchain that builds these tests: an ordinary user may not be able to reach it.
#[test]
fn cargo_builds_with_a_build_script() {
    Way::each_of(&[Way::Root, Way::User], "real_work::cargo", |way| {
        let world = World::new(way);
        let cargo = std::path::PathBuf::from(std::env::var_os("CARGO").unwrap());
        let toolchain = cargo.ancestors().nth(2).unwrap();
        world.profile(&format!("\":project_roots\" = \"write\"\n{toolchain:?} = \"read\""), "");
        if finish(world.command("sh").args(["-c", "\"$0\" --version"]).arg(&cargo)).code != 0 {
            return weir_tests::skip(
                "user-namespace::real_work::cargo",
                "this user cannot reach the toolchain",
            );
        }
        world.file(
            "work/Cargo.toml",
            "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n",
        );
        world.file(
            "work/build.rs",
            "fn main() {\n    let out = std::env::var(\"OUT_DIR\").unwrap();\n    \
             std::fs::write(out + \"/made.rs\", \"const MADE: &str = \\\"by the build script\\\";\").unwrap();\n}\n",
        );
        world.file(
            "work/src/main.rs",
            "include!(concat!(env!(\"OUT_DIR\"), \"/made.rs\"));\nfn main() { println!(\"{MADE}\"); }\n",
        );
        let bin = cargo.parent().unwrap().display();
        let script = format!("export PATH='{bin}':$PATH; cargo run --quiet --offline");
        for profile in [None, Some(":workspace"), Some("test")] {
            let mut command = match profile {
                None => world.command("sh"),
                Some(profile) => world.weir(["--quiet", "--profile", profile]),
            };
            if profile.is_some() {
                command.arg("sh");
            }
            let run = finish(command.args(["-c", &script]));
            assert_eq!(run.text(), "by the build script", "{way:?} {profile:?}");
            std::fs::remove_dir_all(world.at("work/target")).unwrap();
        }
    });
}
