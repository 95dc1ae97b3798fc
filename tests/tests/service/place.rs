//! A server in a place of its own: its socket, its state, its clients. As root it sees an `/etc` of its own, with users
//! and requirements that the host does not have.

use std::fs::{self, File, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt as _, lchown};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use weir_tests::sandbox::way::{as_user, is_root};
use weir_tests::sandbox::{kin, programs};

use super::client::Client;

/// Users of the place, where root tests; the first is who tests, otherwise.
pub(crate) const ALICE: u32 = 61_301;
pub(crate) const BOB: u32 = 61_302;
/// The server parts' user.
pub(crate) const SERVER: u32 = 61_303;

/// A directory with a socket, a state directory, an `/etc` and a world for each user. It vanishes with the value.
#[derive(Debug)]
pub(crate) struct Place {
    dir: TempDir,
    /// What a service manager would hear.
    told: UnixDatagram,
}

/// Longer than anything that a service manager waits for here.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that runs. It is ended with the value.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) child: Child,
    socket: PathBuf,
    state: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("weir-service-").tempdir_in(room()).unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let told = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        told.set_read_timeout(Some(PATIENCE)).unwrap();
        let place = Self { dir, told };
        if is_root() {
            let etc = place.at("etc");
            let copied = Command::new("cp").args(["-a", "/etc"]).arg(&etc).status().unwrap();
            assert!(copied.success());
            fs::create_dir_all(etc.join("weir")).unwrap();
            let users = [("alice", ALICE), ("bob", BOB), ("weir", SERVER)];
            let lines = |all: &str| {
                users.map(|(name, id)| all.replace("NAME", name).replace("ID", &id.to_string())).concat()
            };
            add(&etc.join("passwd"), &lines("NAME:x:ID:ID::/nonexistent:/bin/false\n"));
            add(&etc.join("group"), &format!("{}weirs:x:61304:alice,bob\n", lines("NAME:x:ID:\n")));
        }
        for user in [ALICE, BOB] {
            for name in ["home", "weir", "work"] {
                fs::create_dir_all(place.world(user).join(name)).unwrap();
                place.give(user, &place.world(user).join(name));
            }
            place.profile(user, "");
        }
        place
    }

    pub(crate) fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Where a user is at home.
    pub(crate) fn world(&self, user: u32) -> PathBuf {
        self.at(format!("world-{user}"))
    }

    fn give(&self, user: u32, path: &Path) {
        if is_root() {
            lchown(path, Some(user), Some(user)).unwrap();
        }
    }

    /// The profile of a user: the own `work`, and what is added.
    pub(crate) fn profile(&self, user: u32, more: &str) {
        let work = self.world(user).join("work");
        let text = format!(
            "default_permissions = \"test\"\n[permissions.test.filesystem]\n{work:?} = \"write\"\n{more}\n"
        );
        let path = self.world(user).join("weir/config.toml");
        fs::write(&path, text).unwrap();
        self.give(user, &path);
    }

    /// Writes what only root's servers have.
    pub(crate) fn requirements(&self, text: &str) {
        fs::write(self.at("etc/weir/requirements.toml"), text).unwrap();
    }

    /// The program that everyone who tests can reach.
    pub(crate) fn program() -> PathBuf {
        programs().weir.with_file_name("weir-exec-server")
    }

    /// What a server of this place is started with; standard input is what it listens on.
    pub(crate) fn command(&self, options: &[&str]) -> Command {
        let script = "[ -z \"$1\" ] || mount --bind \"$1\" /etc || exit 99\nshift\n\
                      exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"";
        let mut command = if is_root() { Command::new("unshare") } else { Command::new("sh") };
        if is_root() {
            command.args(["--mount", "--propagation", "private", "sh"]);
        }
        let etc = if is_root() { self.at("etc") } else { PathBuf::new() };
        command.args(["-c", script, "sh"]).arg(etc).arg(Self::program()).arg("--listen");
        command.arg("--state").arg(self.at("state")).args(options);
        command.env("NOTIFY_SOCKET", self.at("notify"));
        command
            .stdout(Stdio::null())
            .stderr(File::options().create(true).append(true).open(self.at("log")).unwrap());
        command
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.at("socket")
    }

    /// A server that takes connections as soon as this returns.
    pub(crate) fn serve(&self, options: &[&str]) -> Server {
        self.begin(self.command(options))
    }

    /// The same, where no file may grow beyond so many bytes.
    pub(crate) fn serve_limited(&self, bytes: u64, options: &[&str]) -> Server {
        let inner = self.command(options);
        let mut command = Command::new("prlimit");
        command.arg(format!("--fsize={bytes}")).arg(inner.get_program()).args(inner.get_args());
        command.env("NOTIFY_SOCKET", self.at("notify")).stdout(Stdio::null()).stderr(Stdio::null());
        self.begin(command)
    }

    /// A socket that outlives the servers that it is handed to.
    pub(crate) fn listen(&self) -> UnixListener {
        let _ = fs::remove_file(self.socket());
        let listening = UnixListener::bind(self.socket()).unwrap();
        fs::set_permissions(self.socket(), Permissions::from_mode(0o666)).unwrap();
        listening
    }

    /// A server on such a socket.
    pub(crate) fn serve_on(&self, listening: &UnixListener, options: &[&str]) -> Server {
        let mut command = self.command(options);
        let child = command.stdin(OwnedFd::from(listening.try_clone().unwrap())).spawn().unwrap();
        Server { child, socket: self.socket(), state: self.at("state") }
    }

    /// The next word to a service manager.
    pub(crate) fn told(&self) -> String {
        let mut bytes = [0; 64];
        let count = self.told.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    }

    pub(crate) fn begin(&self, mut command: Command) -> Server {
        let listening = self.listen();
        let child = command.stdin(OwnedFd::from(listening)).spawn().unwrap();
        Server { child, socket: self.socket(), state: self.at("state") }
    }

    /// What the server said to its log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.at("log")).unwrap_or_default()
    }
}

impl Server {
    pub(crate) fn pid(&self) -> i32 {
        self.child.id().try_into().unwrap()
    }

    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    /// A connection of this user.
    pub(crate) fn connect(&self, user: u32) -> UnixStream {
        let socket = self.socket.clone();
        as_user(user, move || UnixStream::connect(socket)).unwrap()
    }

    /// A connection of this user that has said hello.
    pub(crate) fn client(&self, user: u32) -> Client {
        Client::greeted(self.connect(user))
    }

    pub(crate) fn signal(&self, signal: libc::c_int) {
        send(self.pid(), signal);
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// kill(2).
pub(crate) fn send(pid: i32, signal: libc::c_int) {
    // SAFETY: the process is one that the test started, or a child of such, and has not been reaped.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0, "{pid}: {}", std::io::Error::last_os_error());
}

/// Processes below this one, the oldest first.
pub(crate) fn below(pid: i32) -> Vec<i32> {
    kin::children(pid).into_iter().map(|child| child.pid).collect()
}

/// One line of a process's status (proc(5)).
pub(crate) fn status(pid: i32, key: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or_default().split_whitespace().next().unwrap_or_default().to_owned()
}

fn add(path: &Path, lines: &str) {
    let text = fs::read_to_string(path).unwrap_or_default();
    fs::write(path, text + lines).unwrap();
}

/// Where a command finds nothing else, whatever its profile.
fn room() -> PathBuf {
    weir_tests::sandbox::programs::room().to_owned()
}
