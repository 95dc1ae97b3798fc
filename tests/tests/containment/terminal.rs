//! The caller's terminal: nothing inside types into it, whatever way the command is connected with it.

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
