//! The broker in the kernel: a command under the filter, served by this process, beside the same command without it.
//!
//! As root every test runs a second time in a copy of this binary as another user, who is then the user of command and broker
//! both, as in a sandbox.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its support as well")]

#[path = "broker_live/inside.rs"]
mod inside;
#[path = "broker_live/recorded.rs"]
mod recorded;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use std::os::unix::ffi::OsStrExt as _;

use inside::{Rules, run};
use weir_protocol::AbsPath;
use weir_protocol::policy::{Filesystem, FilesystemParts, Glob, GlobRule, Origin};
use weir_sandbox_linux::broker::{Event, Guard, SocketGrant, SocketRules, Wait};
use weir_sandbox_linux::live::LiveRules;
use weir_sandbox_linux::seccomp::Grant;

/// Tells a copy of this binary that it is one.
const COPY: &str = "WEIR_TEST_BROKER_COPY";
/// Another user.
const OTHER: u32 = 1_000;

fn is_root() -> bool {
    // SAFETY: geteuid has no preconditions.
    unsafe { libc::geteuid() == 0 }
}

/// A directory that can be removed at the end, though scripts leave directories in it that their own owner may not enter.
struct Removable<'d>(&'d Path);

impl Drop for Removable<'_> {
    fn drop(&mut self) {
        open_up(self.0);
    }
}

fn open_up(directory: &Path) {
    let _ = std::fs::set_permissions(directory, PermissionsExt::from_mode(0o700));
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

/// Runs a test here, and as root once more as another user.
fn as_each_user(test: &str, body: impl Fn(&Path)) {
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let _removable = Removable(dir.path());
    body(dir.path());
    if !is_root() || std::env::var_os(COPY).is_some() {
        return;
    }
    let place = tempfile::tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let copy = place.path().join("copy");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let mut command = Command::new(copy);
    command.args(["--exact", test, "--nocapture"]).env(COPY, "1").env("HOME", place.path());
    command.current_dir(place.path()).uid(OTHER).gid(OTHER).env("TMPDIR", place.path());
    let done = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "as another user:\n{out}\n{err}");
    assert!(out.contains("1 passed"), "{out}");
}

fn fresh(dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::create_dir(&path).unwrap();
    path
}

fn python(script: &str, dir: &Path) -> Command {
    let mut command = Command::new("python3");
    command.args(["-I", "-c", script]).current_dir(dir).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Lines that differ, with their numbers.
fn differences(one: &str, other: &str) -> Vec<String> {
    let (one, other): (Vec<_>, Vec<_>) = (one.lines().collect(), other.lines().collect());
    let lines = 0..one.len().max(other.len());
    let differ = lines.filter(|&at| one.get(at) != other.get(at));
    differ.map(|at| format!("{at}:\n  {:?}\n  {:?}", one.get(at), other.get(at))).collect()
}

#[test]
fn calls_answer_as_the_kernel_does() {
    as_each_user("calls_answer_as_the_kernel_does", |dir| {
        let script = include_str!("broker_live/same.py");
        let without = run(python(script, &fresh(dir, "one")), None);
        let with = run(python(script, &fresh(dir, "two")), Some(Rules::names(Vec::new())));
        let different = differences(&without.output, &with.output);
        assert!(different.is_empty(), "{} lines differ:\n{}", different.len(), different.join("\n"));
        assert!(without.status.success() && with.status.success(), "{}", with.output);
        assert!(with.served > 400, "{}", with.served);
    });
}

/// Live rules that close nothing that a test touches.
fn idle_rules() -> LiveRules {
    let pattern = Glob::absolute("/**/*.closed").unwrap();
    let globs = vec![GlobRule { pattern, origin: Origin::implied("a test") }];
    let filesystem = Filesystem::new(FilesystemParts { globs, ..FilesystemParts::default() });
    LiveRules::of(filesystem)
}

#[test]
fn calls_answer_as_the_kernel_does_under_live_rules() {
    as_each_user("calls_answer_as_the_kernel_does_under_live_rules", |dir| {
        let script = include_str!("broker_live/same.py");
        let without = run(python(script, &fresh(dir, "one")), None);
        let with = run(python(script, &fresh(dir, "two")), Some(Rules::live(idle_rules())));
        let different = differences(&without.output, &with.output);
        assert!(different.is_empty(), "{} lines differ:\n{}", different.len(), different.join("\n"));
        assert!(without.status.success() && with.status.success(), "{}", with.output);
        assert!(with.served > 400, "{}", with.served);
    });
}

fn guard(parent: &Path, names: &[&str]) -> Guard {
    let parent = AbsPath::parse(parent.as_os_str().as_bytes()).unwrap();
    Guard { parent, names: names.iter().map(|name| name.as_bytes().to_vec()).collect() }
}

#[test]
fn guarded_names_never_come_into_being() {
    as_each_user("guarded_names_never_come_into_being", |dir| {
        let script = include_str!("broker_live/guarded.py");
        let free = fresh(dir, "free");
        let without = run(python(script, &free), None);
        let place = fresh(dir, "place");
        for existing in ["top", "repo/.git"] {
            std::fs::create_dir_all(place.join(existing)).unwrap();
        }
        let guards = vec![
            guard(&place.join("top"), &[".git", ".mcp.json", ".vscode"]),
            guard(&place.join("repo/.git"), &["hooks", "config"]),
            guard(&place.join("later/deep"), &["x"]),
        ];
        let mut command = python(script, &place);
        command.arg("served");
        let with = run(command, Some(Rules::names(guards)));
        check_guarded(&without.output, &with.output);
        assert!(with.status.success() && without.status.success(), "{}\n{}", with.output, without.output);
        let refused = |event: &&Event| matches!(event, Event::NameRefused { .. });
        assert!(with.events.iter().filter(refused).count() > 100, "{:?}", with.events.len());
        let want = Event::NameRefused {
            guard: 0,
            name: b".git".to_vec(),
            path: place.join("top/.git").as_os_str().as_bytes().to_vec(),
            pid: 0,
        };
        let first = with.events.first().cloned().map(|event| match event {
            Event::NameRefused { guard, name, path, .. } => Event::NameRefused { guard, name, path, pid: 0 },
            other => other,
        });
        assert_eq!(first, Some(want));
        let path = place.join("top/sub/.git").as_os_str().as_bytes().to_vec();
        assert!(with.events.contains(&Event::Repository { path }));
    });
}

/// Whichever of its three names comes last, by whatever call, and where it is moved to; not where one of them is replaced.
#[test]
fn repositories_of_their_own_are_told() {
    let script = "
import os
for name in 'abc':
    for below in 'objects', 'refs':
        os.makedirs(name + '/' + below)
    open(name + '/h', 'w').close()
open('a/HEAD', 'w').close()
os.rename('a/h', 'a/HEAD')
os.rename('b/h', 'b/HEAD')
os.symlink('h', 'c/HEAD')
os.rename('c', 'd')
os.mkdir('objects')
os.rename('a/HEAD', 'HEAD')
";
    as_each_user("repositories_of_their_own_are_told", |dir| {
        let served = run(python(script, dir), Some(Rules::names(Vec::new())));
        assert!(served.status.success(), "{}", served.output);
        let told = served.events.iter().filter_map(|event| match event {
            Event::Repository { path } => Some(String::from_utf8_lossy(path).into_owned()),
            _ => None,
        });
        let want = ["a", "b", "c", "d"].map(|name| dir.join(name).to_string_lossy().into_owned());
        assert_eq!(told.collect::<Vec<_>>(), want);
    });
}

/// What moving guarded directories answers, in order; without the broker all but the first of each pair works.
const MOVED: [&str; 16] = [
    "rename parent EBUSY",
    "exchange parent EBUSY",
    "rename over parent EBUSY",
    "below a moved one EACCES",
    "config below a moved one EACCES",
    "prepared comes EACCES",
    "harmless comes ok repo/.git",
    "hooks in its stead EACCES",
    "and in the old one EACCES",
    "link in its stead EACCES",
    "made anew EACCES",
    "deep file ok later/deep",
    "x in deep EACCES",
    "y in deep ok later/deep/y",
    "later moved away ok late",
    "x again EACCES",
];

fn check_guarded(without: &str, with: &str) {
    let section = |text: &str, at: usize| -> Vec<String> {
        let part = text.split("-- ").nth(at).unwrap_or_else(|| panic!("section {at}: {text}"));
        part.lines().skip(usize::from(at > 0)).map(str::to_owned).collect()
    };
    let words = |line: &String| -> Vec<String> { line.split(' ').map(str::to_owned).collect() };
    let (free, held) = (section(without, 0), section(with, 0));
    assert_eq!(free.len(), held.len());
    for (free, held) in free.iter().zip(&held) {
        let last = words(held).pop().unwrap();
        assert!(last == "EACCES" || (last == "EEXIST" && free == held), "{held} | {free}");
        let works = free.contains(" ok");
        assert!(works || ["ENOENT", "EEXIST"].iter().any(|errno| free.ends_with(errno)), "{free}");
    }
    assert!(free.iter().filter(|line| line.contains(" ok ")).count() > 100);
    assert_eq!(section(without, 1), section(with, 1));
    assert!(section(with, 1).iter().all(|line| line.contains(" ok ")));
    assert_eq!(section(with, 2), MOVED);
    let own = section(with, 3);
    assert!(
        own.len() > 30 && own.iter().all(|line| line.ends_with("EACCES") || line == "comm True"),
        "{own:#?}"
    );
    let moved = section(without, 2);
    assert!(moved.iter().filter(|line| line.contains(" ok")).count() > 10, "{moved:#?}");
}

#[test]
fn what_waits_waits_alone() {
    as_each_user("what_waits_waits_alone", |dir| {
        let script = include_str!("broker_live/waits.py");
        let without = run(python(script, &fresh(dir, "one")), None);
        let with = run(python(script, &fresh(dir, "two")), Some(Rules::names(Vec::new())));
        let different = differences(&without.output, &with.output);
        assert!(different.is_empty(), "{}", different.join("\n"));
        assert!(without.status.success(), "{}", without.output);
    });
}

/// As on a kernel before 5.19: any signal interrupts a caller, also one whose call was performed already.
#[test]
fn an_interrupted_call_is_done_once() {
    as_each_user("an_interrupted_call_is_done_once", |dir| {
        let script = include_str!("broker_live/interrupted.py");
        // The kernel takes an answer and still interrupts the caller when the signal comes just then; nobody can know. How often that is
        // depends on what else the machine does: 10 to 80 of 2,000, and 1,000 each time were no answer given again.
        let mut wrong = (0..TRIES).map(|turn| {
            let rules = Rules { wait: Wait::Interruptible, ..Rules::names(Vec::new()) };
            let with = run(python(script, &fresh(dir, &format!("place{turn}"))), Some(rules));
            let (wrong, rest) = with.output.split_once('\n').unwrap();
            assert_eq!(rest, "interrupted True\nleaked 0\n");
            wrong.strip_prefix("wrong ").unwrap().parse::<u32>().unwrap()
        });
        assert!(wrong.any(|wrong| wrong <= 40), "more than 40 of 2000, {TRIES} times");
        let script = include_str!("broker_live/same.py");
        let without = run(python(script, &fresh(dir, "one")), None);
        let rules = Rules { wait: Wait::Interruptible, ..Rules::names(Vec::new()) };
        let with = run(python(script, &fresh(dir, "two")), Some(rules));
        let different = differences(&without.output, &with.output);
        assert!(different.is_empty(), "{}", different.join("\n"));
    });
}

/// Runs the race for a while; answers calls made, guarded names that appeared, and calls that worked.
fn race(dir: &Path, name: &str, rules: impl FnOnce(&Path) -> Option<Rules>) -> [u64; 3] {
    let place = fresh(dir, name);
    for part in ["top", "tox", "src"] {
        std::fs::create_dir(place.join(part)).unwrap();
    }
    let program = dir.join(format!("{name}.flip"));
    let source = place.join("src/flip.c");
    std::fs::write(&source, include_str!("broker_live/flip.c")).unwrap();
    let compiler = Command::new("cc").args(["-O1", "-pthread", "-o"]).arg(&program).arg(&source).status();
    assert!(compiler.unwrap().success());
    let mut command = Command::new(program);
    command.arg(RACE_SECONDS).current_dir(&place);
    let done = run(command, rules(&place));
    assert!(done.status.success(), "{}", done.output);
    let numbers: Vec<u64> = done.output.split_whitespace().map(|word| word.parse().unwrap()).collect();
    [numbers[0], numbers[1], numbers[2]]
}

const RACE_SECONDS: &str = "3";

/// How often what the rest of the machine disturbs is tried.
const TRIES: u32 = 10;

#[test]
fn a_path_that_is_flipped_meanwhile_never_makes_a_guarded_name() {
    as_each_user("a_path_that_is_flipped_meanwhile_never_makes_a_guarded_name", |dir| {
        let [made, appeared, _] = race(dir, "one", |_| None);
        assert!(appeared > 100, "the race must be able to fail: {made} {appeared}");
        let rules = |place: &Path| Some(Rules::names(vec![guard(&place.join("top"), &[".git"])]));
        let [made, appeared, worked] = race(dir, "two", rules);
        println!("{made} calls, {worked} worked, {appeared} guarded names");
        assert_eq!(appeared, 0);
        assert!(made > 1_000 && worked > 100 && worked < made, "{made} {worked}");
    });
}

#[test]
fn unix_sockets_are_reached_by_rule() {
    as_each_user("unix_sockets_are_reached_by_rule", |dir| {
        let script = include_str!("broker_live/sockets.py");
        let place = |name: &str| {
            let place = fresh(dir, name);
            for part in ["granted", "denied", "work"] {
                std::fs::create_dir(place.join(part)).unwrap();
            }
            place
        };
        let attempt = |place: &Path, rules: Option<Rules>| {
            let paths = ["granted/s", "denied/s", "work/host"].map(|name| place.join(name));
            let listeners = paths.clone().map(|path| UnixListener::bind(path).unwrap());
            let mut command = python(script, &place.join("work"));
            command.args(&paths);
            let done = run(command, rules);
            drop(listeners);
            done
        };
        let without = attempt(&place("one"), None);
        let two = place("two");
        let path = |name: &str| AbsPath::parse(two.join(name).as_os_str().as_bytes()).unwrap();
        let grants = vec![
            SocketGrant { path: path("granted"), verdict: Grant::Allowed },
            SocketGrant { path: path("denied"), verdict: Grant::Denied },
        ];
        let with = attempt(&two, Some(Rules::sockets(SocketRules { grants, ..SocketRules::STRICT })));
        assert!(without.status.success() && with.status.success(), "{}\n{}", without.output, with.output);
        let (free, held) = (without.output.as_str(), with.output.as_str());
        assert_eq!(free.lines().count(), held.lines().count());
        let changed = free.lines().zip(held.lines()).filter(|(free, held)| free != held);
        let changed: Vec<String> = changed.map(|(free, held)| format!("{free} | {held}")).collect();
        assert_eq!(changed, SOCKETS_REFUSED);
        let refused = with.events.iter().filter(|event| matches!(event, Event::SocketRefused { .. }));
        assert!(refused.count() > 8);
    });
}

/// Every line of the script that the broker changes.
const SOCKETS_REFUSED: [&str; 16] = [
    "denied ok | denied EACCES",
    "host ok | host EACCES",
    "abstract ECONNREFUSED | abstract EACCES",
    "denied ok | denied EACCES",
    "host ok | host EACCES",
    "abstract ECONNREFUSED | abstract EACCES",
    "link to denied ok | link to denied EACCES",
    "through link ok | through link EACCES",
    "by proc ok | by proc EACCES",
    "dots ok | dots EACCES",
    "hard link ok | hard link EACCES",
    "moved here ok | moved here EACCES",
    "datagram ok | datagram EPROTONOSUPPORT",
    "datagram pair ok | datagram pair EPROTONOSUPPORT",
    "raw ok | raw EPROTONOSUPPORT",
    "seqpacket EPROTOTYPE | seqpacket EACCES",
];

/// Real programs, each with what it must print; run in an empty directory whose top is guarded.
const PROGRAMS: [(&str, &str); 12] = [
    (
        "umask 027; echo a > f; echo b >> f; cat < f; : > e; echo c 1> g 2>&1; { echo d; } >| h; echo e &> i; set -C; echo x > f || echo kept; \
         cat <<< here; cat > j <<'EOF'\ndoc\nEOF\ncat f g h i j; exec 7> k; echo 7 >&7; exec 7>&-; cat k; stat -c %a f; (echo sub > l) & wait; cat l; echo p | tee m n; echo q > /dev/null; ls | wc -l",
        "a\nb\nbash: line 1: f: cannot overwrite existing file\nkept\nhere\na\nb\nc\nd\ne\ndoc\n7\n640\nsub\np\n10\n",
    ),
    (
        "git init -q below && cd below && git config user.email a@b && git config user.name a && echo 1 > f && git add f && git commit -qm one && echo 2 > f && git stash -q && \
         git checkout -q -b other && git worktree add -q ../tree && git gc -q && cd .. && git clone -q below clone && git -C clone log --format=%s && ls clone/.git/hooks | head -1 | wc -l",
        "one\n1\n",
    ),
    ("git init -q . 2>/dev/null; echo $?; ls -A; git init -q sub && ls -A sub", "1\n.git\n"),
    (
        "mkdir -p a/b/c; ln -s b a/l; ln a/b/../../top a/h 2>/dev/null; echo 1 > a/b/c/f; ln a/b/c/f a/hard; mkfifo a/p; chmod 751 a/b; touch -d 2001-02-03 a/b/c/f; tar cf t.tar a; mkdir x; tar xf t.tar -C x; \
         diff -r --no-dereference a x/a 2>&1 | grep -v fifo; stat -c '%a %h %Y' x/a/b/c/f; cp -a a y; stat -c '%a %h' y/hard y/b; mv y z; mv z/b z/bb; cp -r a/b/. w/ ; rm -rf a x z w; ls",
        "644 2 981158400\n644 2\n751 3\nt.tar\n",
    ),
    (
        "mkfifo p; (cat p > out) & echo through > p; wait; cat out; (echo back > p) & cat p; ln -s out l; ln out h; stat -c %h out; readlink l; mv h hh; rm out; cat hh; install -m 755 hh bin; stat -c %a bin; mktemp -d t.XXXX | wc -l",
        "through\nback\n2\nout\nthrough\n755\n1\n",
    ),
    (
        "printf 'all: a b c d\\na b c d:\\n\\t@cp /bin/true $@-x && ./$@-x && echo $@ > $@\\n' > Makefile; make -s -j4 && cat a b c d; for i in 1 2 3 4 5 6 7 8; do cp /bin/true e$i && ./e$i || echo busy; done",
        "a\nb\nc\nd\n",
    ),
    (
        "printf 'int puts(const char*);int main(){return puts(\"built\")<0;}' > a.c && for i in 1 2 3; do cc a.c -o a$i && ./a$i; done; printf '#!/bin/sh\\necho script\\n' > s; chmod +x s; ./s",
        "built\nbuilt\nbuilt\nscript\n",
    ),
    (
        "python3 -c \"\nimport tempfile, shutil, os, multiprocessing, sqlite3, pathlib, zipfile\nwith tempfile.TemporaryDirectory(dir='.') as d:\n    open(d + '/x', 'w').write('1'); shutil.copytree(d, 'copy'); shutil.make_archive('arc', 'zip', d)\n\
         f = tempfile.NamedTemporaryFile(dir='.'); f.write(b'1'); t = tempfile.TemporaryFile(dir='.'); t.write(b'2')\nm = multiprocessing.get_context('fork'); p = m.Pool(3); print(sum(p.map(abs, range(-50, 0)))); p.close()\n\
         with m.Manager() as g:\n    print(g.list([1])[0])\nc = sqlite3.connect('db'); c.execute('create table t(a)'); c.execute('insert into t values(1)'); c.commit(); print(c.execute('select a from t').fetchall())\n\
         shutil.rmtree('copy'); pathlib.Path('q').mkdir(); os.replace('q', 'r'); print(os.path.exists('r'), zipfile.ZipFile('arc.zip').namelist())\n\"",
        "1275\n1\n[(1,)]\nTrue ['x']\n",
    ),
    (
        "for i in $(seq 50); do mkdir d$i; (cd d$i; for j in $(seq 100); do : > f$j; done); done; find . -type f | wc -l; rm -rf d*; ls | wc -l",
        "5000\n0\n",
    ),
    (
        "set -m; (exit 3) & wait %1; echo $?; cat /proc/self/comm; echo renamed > /proc/self/comm; echo 5 > /proc/self/oom_score_adj; cat /proc/self/oom_score_adj; umask 077; mkdir m; stat -c %a m; cd m; rmdir ../m; echo x > y; echo $?",
        "[1]+  Exit 3                  ( exit 3 )\n3\ncat\n5\n700\nbash: line 1: y: No such file or directory\n1\n",
    ),
    (
        "{ ls /nothing 2>/dev/stdout | wc -l; echo a > /dev/stderr 2>&1; echo b > /dev/fd/1; (echo c > /proc/self/fd/1); exec 3>f; echo d > /dev/fd/3; cat f; echo e | cat > /dev/stdout; : > /dev/full; : > /dev/zero; dd if=/dev/zero of=z bs=1k count=4 2>/dev/null; stat -c %s z; } 2>&1 | cat",
        "1\na\nb\nc\nd\ne\n4096\n",
    ),
    (
        "perl -e 'open(F,\">\",\"x\"); print F 1; close F; mkdir \"d\", 0711; rename \"x\",\"d/x\"; symlink \"d\",\"l\"; print -e \"l/x\" ? 1 : 0'; sed -i s/1/2/ d/x; cat d/x; split -b 1 d/x s; ls s*; sort -o d/x d/x; truncate -s 5 nn; stat -c %s nn; flock nn true; echo $?",
        "12saa\n5\n0\n",
    ),
];

#[test]
fn programs_work() {
    as_each_user("programs_work", |dir| {
        for (index, (script, want)) in PROGRAMS.into_iter().enumerate() {
            let command = |place: &Path| {
                let mut command = Command::new("bash");
                command.args(["-c", script]).current_dir(place).env("HOME", place).env("LC_ALL", "C");
                command.env("PYTHONDONTWRITEBYTECODE", "1").env("GIT_CONFIG_NOSYSTEM", "1");
                command
            };
            let place = fresh(dir, &format!("in{index}"));
            let guards = vec![guard(&place, &[".git", ".vscode", ".mcp.json"])];
            let with = run(command(&place), Some(Rules::names(guards)));
            let without = run(command(&fresh(dir, &format!("free{index}"))), None);
            assert_eq!(with.output, want, "{script}");
            if !script.starts_with("git init -q .") {
                assert_eq!(without.output, want, "without: {script}");
            }
            assert!(with.served > 0);
        }
    });
}
