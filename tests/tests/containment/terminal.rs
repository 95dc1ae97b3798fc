//! Terminals: nothing inside types into the caller's, whatever way the command is connected with it, or opens another one of the user.

use weir_tests::sandbox::{Way, World, finish, programs};

const PROFILE: &str = "\":root\" = \"read\"\n\"{w}/work\" = \"write\"";

/// Runs a command on a terminal of its own, whose session the command leads, and tells what had been typed into that terminal
/// when it was over.
const HOST: &str = r#"
import fcntl, os, pty, sys, termios, time
pid, master = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
shown = b''
while True:
    try:
        part = os.read(master, 4096)
    except OSError:
        break
    if not part:
        break
    shown += part
_, status = os.waitpid(pid, 0)
print(os.waitstatus_to_exitcode(status))
print(shown.decode(errors='replace').replace('\r', ''), end='')
"#;

/// Tries to type one character into each terminal at hand, by both requests, and says what it was told.
const INJECT: &str = r#"
import fcntl, os, sys
def attempt(name, fd, request, data):
    try:
        fcntl.ioctl(fd, request, data)
        print(name, 'typed')
    except OSError as error:
        print(name, error.errno)
for fd in (0, 1, 2):
    attempt('TIOCSTI', fd, 0x5412, b'x')
    attempt('TIOCLINUX', fd, 0x541C, b'\x03')
    attempt('wide', fd, 0x5412 | 1 << 31, b'x')
try:
    attempt('tty', os.open('/dev/tty', os.O_RDWR), 0x5412, b'x')
except OSError as error:
    print('tty', error.errno)
"#;

fn host(world: &World, words: &[&std::ffi::OsStr]) -> String {
    finish(world.command("/usr/bin/python3").args(["-c", HOST]).args(words)).text()
}

#[test]
fn nothing_is_typed_into_the_callers_terminal() {
    Way::each("containment::terminal", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "");
        let script = world.file("work/inject.py", INJECT);
        let command = ["/usr/bin/python3".as_ref(), script.as_os_str()];
        let outside = host(&world, &command);
        if way != Way::Bare
            && std::fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti").is_ok_and(|on| on.trim() == "1")
        {
            assert!(outside.contains("TIOCSTI typed"), "{outside}");
        }
        for tty in ["never", "always", "auto"] {
            let weir =
                [programs().weir.as_os_str(), "run".as_ref(), "--tty".as_ref(), tty.as_ref(), "--".as_ref()];
            let inside = host(&world, &[weir.as_slice(), &command].concat());
            assert!(inside.starts_with("0\n") && inside.contains("TIOCSTI 1\n"), "{tty}: {inside}");
            assert!(!inside.contains("typed"), "{tty}: {inside}");
        }
    });
}

/// The command is in a session of its own: the caller's terminal is not its controlling one.
#[test]
fn the_session_is_its_own() {
    Way::each("containment::session", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "");
        let ask = "import os\ntry:\n os.open('/dev/tty', os.O_RDWR); print('has one')\nexcept OSError: print('has none')";
        let command: [&std::ffi::OsStr; 3] = ["/usr/bin/python3".as_ref(), "-c".as_ref(), ask.as_ref()];
        assert!(host(&world, &command).contains("has one"));
        let weir =
            [programs().weir.as_os_str(), "run".as_ref(), "--tty".as_ref(), "never".as_ref(), "--".as_ref()];
        assert!(host(&world, &[weir.as_slice(), &command].concat()).contains("has none"));
    });
}

/// Runs a command with the name of a terminal of its own behind it, and takes the number that the command gives up.
const BESIDE: &str = r#"
import os, pty, subprocess, sys
master, slave = pty.openpty()
command = sys.argv[1:] + [os.ttyname(slave)]
running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
freed = running.stdout.readline().strip()
later = [pty.openpty() for _ in range(4)]
print('taken' if freed in [os.ttyname(slave) for _, slave in later] else 'free')
print(running.communicate('go\n')[0], end='')
sys.exit(running.returncode)
"#;

/// Uses a terminal of its own by its name, gives it up, and tries to open that name again and the terminal that is named.
const OPEN: &str = r#"
import os, sys
def attempt(label, name, flags):
    try:
        os.close(os.open(name, flags | os.O_NOCTTY))
        print(label, 'opened')
    except OSError:
        print(label, 'refused')
master, slave = os.openpty()
name = os.ttyname(slave)
again = os.open(name, os.O_RDWR | os.O_NOCTTY)
os.write(master, b'typed\n')
assert os.read(again, 6) == b'typed\n'
for fd in (master, slave, again):
    os.close(fd)
print(name, flush=True)
sys.stdin.readline()
attempt('freed', name, os.O_RDWR)
for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
    attempt('other', sys.argv[1], flags)
"#;

/// What is typed at another terminal of the same user is not read, also when it has the number of one that was the command's own.
#[test]
fn other_terminals_of_the_user_are_out_of_reach() {
    Way::each("containment::other_terminals", |way| {
        let world = World::new(way);
        world.profile("\":minimal\" = \"read\"\n\"{w}/work\" = \"write\"", "");
        let script = world.file("work/open.py", OPEN);
        let beside = |words: &[&std::ffi::OsStr]| {
            finish(world.command("/usr/bin/python3").args(["-c", BESIDE]).args(words)).text()
        };
        let command = ["/usr/bin/python3".as_ref(), script.as_os_str()];
        let outside = beside(&command);
        assert!(outside.ends_with(&"other opened\n".repeat(3).trim_end()), "{outside}");
        let weir = [programs().weir.as_os_str(), "run".as_ref(), "--".as_ref()];
        let inside = beside(&[weir.as_slice(), &command].concat());
        let told = inside.split_once('\n').map(|(_, told)| told);
        assert_eq!(told, Some("freed refused\nother refused\nother refused\nother refused"), "{inside}");
    });
}

/// The terminal that a command was started with is opened by each of its names, also by a process that has no descriptor of it.
#[test]
fn the_own_terminal_is_opened_by_its_names() {
    Way::each("containment::own_terminal", |way| {
        let world = World::new(way);
        world.profile("\":minimal\" = \"read\"\n\"{w}/work\" = \"write\"", "");
        let all = "echo one >/dev/tty && (exec </dev/null >/dev/null 2>&1 && echo two >/dev/tty) && echo three >/dev/stderr && \
                   echo four >$(tty)";
        let weir = |tty: &'static str| {
            [programs().weir.as_os_str(), "run".as_ref(), "--tty".as_ref(), tty.as_ref(), "--".as_ref()]
        };
        let shell = |words: &'static str| ["sh".as_ref(), "-c".as_ref(), words.as_ref()];
        let inside = host(&world, &[weir("always").as_slice(), &shell(all)].concat());
        assert!(inside.starts_with("0\n") && inside.contains("one\ntwo\nthree\nfour"), "{inside}");
        // The caller's, which is not its controlling one: with mounts it is no terminal of the sandbox's.
        if way == Way::Bare {
            let inside =
                host(&world, &[weir("never").as_slice(), &shell("echo three >/dev/stderr")].concat());
            assert!(inside.starts_with("0\n") && inside.contains("three"), "{inside}");
        }
    });
}
