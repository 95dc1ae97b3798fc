//! A running exec-server of the test's own.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::place::weir;

/// Hands the listening socket over as a service manager does (sd_listen_fds(3)), so that clients need not wait for the server.
const HAND_OVER: &str = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"";

/// Serves until it is dropped; everything that it runs ends with it.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) socket: PathBuf,
}

impl Daemon {
    pub(crate) fn start(directory: &Path) -> Self {
        let server = weir().with_file_name("weir-exec-server");
        let (socket, state) = (directory.join("server.sock"), directory.join("state"));
        std::fs::create_dir(&state).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", HAND_OVER, "sh"]).arg(server).arg("--listen").arg("--state").arg(state);
        if rustix::process::geteuid().is_root() {
            command.args(["--server-user", "nobody"]);
        }
        let child = command.stdin(OwnedFd::from(listener)).stdout(Stdio::null()).spawn().unwrap();
        Self { child, socket }
    }

    pub(crate) fn path(&self) -> &str {
        self.socket.to_str().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
