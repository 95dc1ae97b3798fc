//! Servers from Debian's packages, where the peers are: sshd and PostgreSQL.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use weir_tests::sandbox::finish;
use weir_tests::sandbox::way::USER;

use super::wires::{PEERS, Wires};

/// The port of PostgreSQL.
pub(crate) const DATABASE_PORT: u16 = 5432;

/// A server that ends with the value.
pub(crate) struct Server(Child);

impl Server {
    /// Starts it, and waits until it says `ready` on standard error.
    fn start(command: &mut Command, ready: &str) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut said = Vec::new();
        loop {
            let Some(line) = lines.next() else { panic!("{command:?} ended: {said:#?}") };
            if line.contains(ready) {
                break;
            }
            said.push(line);
        }
        std::thread::spawn(move || lines.for_each(drop));
        Self(child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(id) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(id, Signal::INT);
        }
        let _ = self.0.wait();
    }
}

/// An ssh server that lets root in with the key `work/key`; `None` where there is none.
pub(crate) fn sshd(wires: &Wires) -> Option<Server> {
    const SSHD: &str = "/usr/sbin/sshd";
    fs::metadata(SSHD).ok()?;
    let place = wires.world.directory("sshd");
    for key in [place.join("host_key"), wires.world.at("work/key")] {
        let made = finish(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key));
        assert_eq!(made.code, 0, "{}", made.stderr);
    }
    let private = wires.world.at("work/key");
    let key = fs::read(&private).unwrap();
    // Again as a file of the world, which gives it to the user.
    fs::remove_file(&private).unwrap();
    let private = wires.world.file("work/key", key);
    fs::set_permissions(&private, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let config = format!(
        "ListenAddress {PEERS}\nHostKey {0}/host_key\nAuthorizedKeysFile {1}.pub\nStrictModes no\nUsePAM no\n\
         PidFile none\nPermitRootLogin yes\nPasswordAuthentication no\n",
        place.display(),
        private.display()
    );
    let config = wires.world.file("sshd/config", config);
    let script = "mount -t tmpfs none /run && mkdir -m 755 /run/sshd && exec \"$@\"";
    let mut command = wires.far();
    command.args(["sh", "-c", script, "sh", SSHD, "-D", "-e", "-f"]).arg(config);
    Some(Server::start(&mut command, "Server listening on"))
}

/// Where Debian puts PostgreSQL's programs.
fn postgres_programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let found = versions.map(|version| version.path().join("bin")).find(|bin| bin.join("initdb").exists());
    found.filter(|_| fs::metadata("/usr/bin/psql").is_ok())
}

/// A database server that trusts the user `tester`; `None` where there is none.
pub(crate) fn postgres(wires: &Wires) -> Option<Server> {
    let programs = postgres_programs()?;
    let place = wires.world.directory("database");
    std::os::unix::fs::chown(&place, Some(USER), Some(USER)).unwrap();
    let user = USER.to_string();
    let as_user = |program: &str| {
        let mut command = wires.far();
        command.args(["--setuid", &user, "--setgid", &user, "--"]).arg(programs.join(program));
        command.env("LANG", "C.UTF-8").arg("-D").arg(&place);
        command
    };
    let made = finish(as_user("initdb").args(["-U", "tester", "--no-sync", "-A", "trust"]));
    assert_eq!(made.code, 0, "{}", made.stderr);
    fs::write(place.join("pg_hba.conf"), "host all all 0.0.0.0/0 trust\n").unwrap();
    let mut server = as_user("postgres");
    server.args(["-p", &DATABASE_PORT.to_string(), "-c", "fsync=off", "-c", "unix_socket_directories="]);
    server.args(["-c", &format!("listen_addresses={PEERS}")]);
    Some(Server::start(&mut server, "ready to accept connections"))
}
