//! Real work under live rules is as without them: what programs do with files, all of it through the broker.

use weir_tests::sandbox::{Way, World, finish};

use crate::inside::RULES;

/// A script, and what it says.
const WORK: [(&str, &str); 5] = [
    (
        "git init -q r && cp plain r && mkdir r/src && cp src/main.rs r/src && cd r && git add plain && git -c user.name=a -c user.email=a@b commit -qm one && echo x >> plain && \
         git status --short && git log --oneline | wc -l | tr -d ' '",
        "M plain\n?? src/\n1",
    ),
    ("printf 'int main(void) { return 7; }' > m.c && cc m.c -o m && { ./m; echo $?; }", "7"),
    ("python3 -c 'import json, sqlite3, os; print(len(os.listdir(\"src\")))'", "1"),
    (
        "mkdir -p t/u && echo x > t/u/f && cp -r t v && tar cf t.tar t && rm -r t && tar xf t.tar && cat t/u/f v/u/f",
        "x\nx",
    ),
    (
        "exec 3<> ff; echo a >&3; cat < /dev/null; cat /proc/self/comm; ls /dev/fd/ | head -1; (echo b > /dev/stdout) | cat",
        "cat\n0\nb",
    ),
];

#[test]
fn programs_work_as_without() {
    Way::each("live::work", |way| {
        for (script, expect) in WORK {
            let world = World::new(way);
            world.profile(&format!("{RULES}\n\":tmpdir\" = \"write\""), "");
            world.file("work/plain", "content\n");
            world.file("work/src/main.rs", "fn main() {}\n");
            let mut outside = world.command("bash");
            let outside = finish(outside.args(["-c", script]).env("TMPDIR", world.at("home")));
            assert_eq!((outside.code, outside.text().as_str()), (0, expect), "{script}: {}", outside.stderr);
            let world = World::new(way);
            world.profile(&format!("{RULES}\n\"{{w}}/home\" = \"write\""), "");
            world.file("work/plain", "content\n");
            world.file("work/src/main.rs", "fn main() {}\n");
            let mut inside = world.weir(["--quiet"]);
            let inside = finish(inside.args(["bash", "-c", script]).env("TMPDIR", world.at("home")));
            assert_eq!(
                (inside.code, inside.text().as_str()),
                (0, expect),
                "{way:?}: {script}: {}",
                inside.stderr
            );
        }
    });
}
