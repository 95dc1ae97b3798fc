//! A file system that does not answer: whoever waits for it cannot be ended by anybody, the sandbox's first process included, which opens files
//! for the command. All others end as ever, and so does `weir run`.
//!
//! The file system is FUSE in a mount namespace of its own, served by a script that answers everything but one look-up.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use weir_tests::sandbox::kin::{self, Process};
use weir_tests::sandbox::{Way, World, programs};
use weir_tests::skip;

use super::struck::{GONE_MS, PATIENCE};

/// Serves a file system whose root is empty; a look-up of `hang-…` is told on standard output and never answered (`linux/fuse.h`; bit 18
/// of the flags: look-ups in one directory do not wait for each other).
const SERVE: &str = r#"
import ctypes, errno, os, struct, sys
LOOKUP, GETATTR, STATFS, INIT, OPENDIR, READDIR, RELEASEDIR = 1, 3, 17, 26, 27, 28, 29
FORGETS = (2, 36, 42)
device = os.open('/dev/fuse', os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
options = b'fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other' % device
if libc.mount(b'hung', sys.argv[1].encode(), b'fuse.hung', 0, options) != 0:
    sys.exit(3)
print('mounted', flush=True)
ROOT = struct.pack('<6Q7I4x', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o40755, 2, 0, 0).ljust(88, b'\0')
ANSWERS = {
    GETATTR: struct.pack('<QII', 60, 0, 0) + ROOT,
    STATFS: bytes(80),
    INIT: struct.pack('<4I2HI', 7, 31, 0, 1 << 18, 12, 10, 4096).ljust(64, b'\0'),
    OPENDIR: bytes(16),
    READDIR: b'',
    RELEASEDIR: b'',
}
while True:
    request = os.read(device, 1 << 17)
    _, operation, unique = struct.unpack_from('<IIQ', request)
    if operation in FORGETS:
        continue
    if operation == LOOKUP and request[40:].startswith(b'hang-'):
        print('hung', flush=True)
        continue
    answer = ANSWERS.get(operation)
    error = 0 if answer is not None else -errno.ENOENT if operation == LOOKUP else -errno.ENOSYS
    answer = answer or b''
    os.write(device, struct.pack('<IiQ', 16 + len(answer), error, unique) + answer)
"#;

/// A process that runs on, and one that opens what hangs.
const COMMAND: &str = r"
import os, select, sys
if os.fork() == 0:
    open(sys.argv[1])
while True:
    select.select([], [], [], 1)
";

/// The file system, as long as it is served.
struct Hung {
    server: Child,
    told: BufReader<ChildStdout>,
}

impl Hung {
    /// None where this host lets no test mount one.
    fn mount(world: &World) -> Option<Self> {
        let script = world.file("serve.py", SERVE);
        let mut server = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "--", "/usr/bin/python3"])
            .arg(script)
            .arg(world.directory("hung"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let told = BufReader::new(server.stdout.take()?);
        let mut hung = Self { server, told };
        (hung.hear() == "mounted").then_some(hung)
    }

    /// The next word of whoever serves it.
    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.told.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// A command that sees it, as the way's user.
    fn command(&self, world: &World) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.server.id().to_string(), "--mount", "--"]);
        if let Some(user) = world.way().user() {
            let user = user.to_string();
            command.args(["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups"]);
        }
        if world.way() == Way::Bare {
            command.arg(&programs().probe).arg("refuse-user-namespaces");
        }
        command.args(["sh", "-c", "cd \"$0\" && exec \"$@\""]).arg(world.at("work")).env_clear();
        let surroundings = world.command("sh");
        command.envs(surroundings.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }
}

impl Drop for Hung {
    /// Whoever waits for it gets an error then.
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A command under way of which one process waits for the file system.
struct Waiting {
    child: Child,
    mark: String,
    known: BTreeSet<Process>,
}

impl Waiting {
    fn start(world: &World, hung: &mut Hung, words: &[&str]) -> Self {
        let mark = format!("weir-hung-{}-{:?}", std::process::id(), Instant::now());
        let mark = mark.replace(|one: char| !one.is_ascii_alphanumeric(), "-");
        let script = world.file("work/command.py", COMMAND);
        let mut command = hung.command(world);
        // The kernel asks for a name once, whoever waits for it.
        let hang = world.at(format!("hung/hang-{mark}"));
        command.args(words).arg("/usr/bin/python3").arg(script).arg(hang);
        let child = command.spawn().unwrap();
        assert_eq!(hung.hear(), "hung");
        let known = kin::family(i32::try_from(child.id()).unwrap());
        Self { child, mark, known }
    }

    fn under_weir(world: &World, hung: &mut Hung, options: &[&str]) -> Self {
        let weir = programs().weir.to_string_lossy().into_owned();
        let words = [&[weir.as_str(), "run"], options, &["--"]].concat();
        Self::start(world, hung, &words)
    }

    /// Those whom the command consists of, once it has begun; and the client.
    fn living(&self) -> BTreeSet<Process> {
        kin::living(&self.mark, &BTreeSet::new())
    }

    /// Who of the command is left after so long. The client of a launcher waits for what that waits for.
    fn left(&self) -> BTreeSet<Process> {
        let mut ticks = 0;
        loop {
            let mut left = self.living();
            left.retain(|one| one.pid != self.pid());
            if left.is_empty() || ticks >= GONE_MS {
                return left;
            }
            ticks += kin::wait_for_ends(&left, GONE_MS - ticks);
        }
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    fn strike(&self, pid: i32) {
        self.known.iter().filter(|one| one.pid == pid).copied().for_each(kin::kill);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_raw(self.pid()).unwrap(), signal).unwrap();
    }

    /// The exit code as a shell has it, and what was said.
    fn end(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        std::io::Read::read_to_string(&mut self.child.stderr.take().unwrap(), &mut said).unwrap();
        let status = self.child.wait().unwrap();
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        (status.code().or(signal.map(|signal| 128 + signal)), said)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.living().into_iter().for_each(kin::kill);
        let _ = self.child.kill();
    }
}

fn each(test: impl Fn(&World, &mut Hung)) {
    Way::each("life::hung", |way| {
        let world = World::new(way);
        world.profile("\":root\" = \"read\"\n\"{w}/work\" = \"write\"", "");
        match Hung::mount(&world) {
            Some(mut hung) => test(&world, &mut hung),
            None => skip("life::hung_mount", "no file system of a test's own can be mounted here"),
        }
    });
}

/// Without Weir SIGKILL ends who runs, and not who waits: that is the kernel's.
#[test]
fn outside_only_who_waits_is_left() {
    each(|world, hung| {
        let waiting = Waiting::start(world, hung, &[]);
        let living = waiting.living();
        assert_eq!(living.len(), 2, "{living:?}");
        waiting.strike(waiting.pid());
        waiting.living().into_iter().for_each(kin::kill);
        let left = waiting.left();
        assert!(left.len() == 1 && waiting.living() == left, "{left:?}");
    });
}

#[test]
fn whoever_is_killed_nothing_runs_on() {
    each(|world, hung| {
        let victims: [fn(i32) -> Option<Process>; 3] = [
            |client| kin::family(client).into_iter().find(|one| one.pid == client),
            |client| kin::children(client).first().copied(),
            |client| kin::children(kin::children(client).first()?.pid).first().copied(),
        ];
        for (number, victim) in victims.into_iter().enumerate() {
            let waiting = Waiting::under_weir(world, hung, &[]);
            assert_eq!(waiting.living().len(), 3, "the client and two of the command");
            kin::kill(victim(waiting.pid()).unwrap());
            let left: Vec<_> = waiting.left().into_iter().map(|one| kin::account(one.pid)).collect();
            assert_eq!(left, Vec::<String>::new(), "{:?}, victim {number}", world.way());
        }
    });
}

/// A server that listens where the file system is.
struct Server(Child);

impl Server {
    fn start(world: &World, hung: &Hung, socket: &str) -> Self {
        let mut command = hung.command(world);
        command.arg(programs().weir.with_file_name("weir-exec-server")).args(["--listen", socket]);
        command.arg("--state").arg(world.at("state"));
        if world.way() == Way::Root {
            command.args(["--server-user", "nobody"]);
        }
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        log.read_line(&mut line).unwrap();
        assert!(line.contains("listening"), "{line}");
        // Its log goes on, and nobody must wait for it.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self(child)
    }

    /// The server part, the resolver, and the launcher of the one command.
    fn parts(&self) -> Vec<Process> {
        kin::children(i32::try_from(self.0.id()).unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn at_a_server_nothing_runs_on_where_the_launcher_is_killed() {
    each(|world, hung| {
        let socket = world.at("server.sock").to_string_lossy().into_owned();
        let server = Server::start(world, hung, &socket);
        let waiting = Waiting::under_weir(world, hung, &["--server", &socket]);
        assert_eq!(waiting.living().len(), 3, "the client and two of the command");
        let parts = server.parts();
        assert_eq!(parts.len(), 3, "{parts:?}");
        kin::kill(parts[2]);
        let left: Vec<_> = waiting.left().into_iter().map(|one| kin::account(one.pid)).collect();
        assert_eq!(left, Vec::<String>::new(), "{:?}", world.way());
    });
}

#[test]
fn a_time_out_ends_it_and_says_who_is_stuck() {
    each(|world, hung| {
        let waiting = Waiting::under_weir(world, hung, &["--timeout", "5s"]);
        let (mark, begun) = (waiting.mark.clone(), Instant::now());
        let (code, said) = waiting.end();
        assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
        assert_eq!(code, Some(124), "{:?}: {said}", world.way());
        assert!(said.contains("weir: not ended: process "), "{:?}: {said}", world.way());
        assert_eq!(kin::living(&mark, &BTreeSet::new()), BTreeSet::new(), "{:?}", world.way());
    });
}

#[test]
fn an_interrupt_ends_it_although_nobody_passes_it_on() {
    each(|world, hung| {
        let waiting = Waiting::under_weir(world, hung, &[]);
        let (mark, begun) = (waiting.mark.clone(), Instant::now());
        waiting.signal(rustix::process::Signal::INT);
        let (code, said) = waiting.end();
        assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
        assert_eq!(code, Some(130), "{:?}: {said}", world.way());
        assert_eq!(kin::living(&mark, &BTreeSet::new()), BTreeSet::new(), "{:?}", world.way());
    });
}
