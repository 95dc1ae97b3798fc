//! On a Mac: real programs under the real `sandbox-exec`, each refusal beside what is let through. Elsewhere it is skipped.
//!
//! Run by a Mac's owner with `cargo test -p weir-sandbox-macos --test live -- --nocapture`. Everything happens in a temporary
//! directory and on the loopback.

#![allow(clippy::unwrap_used, clippy::expect_used, dead_code)]

#[path = "support/world.rs"]
mod world;

use std::fs;
use std::net::TcpListener;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use weir_protocol::AbsPath;
use weir_protocol::policy::Access;
use weir_sandbox_macos::Run;
use weir_sandbox_macos::compile::Gate;
use weir_sandbox_macos::launch::{Command, plan};

use world::{Sketch, USUAL, path, run};

/// A directory of the test's own by its canonical name.
struct Ground {
    root: PathBuf,
    _directory: tempfile::TempDir,
}

impl Ground {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        for name in ["p/.git/hooks", "closed", "p/sub"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        for (name, text) in
            [("p/a", "open"), ("p/x.env", "secret"), ("closed/b", "secret"), ("p/quote\" (", "secret")]
        {
            fs::write(root.join(name), text).unwrap();
        }
        Self { root, _directory: directory }
    }

    fn at(&self, name: &str) -> String {
        self.root.join(name).to_str().unwrap().to_owned()
    }

    fn sketch(&self) -> Sketch {
        let rules = [("p", Access::Write), ("p/.git/hooks", Access::Read), ("p/quote\" (", Access::None)];
        Sketch {
            rules: rules.iter().map(|(name, access)| (self.at(name), *access)).collect(),
            globs: vec![format!("{}/**/*.env", self.at("p"))],
            ..Sketch::default()
        }
    }

    /// Runs a line of shell inside; whether it succeeded.
    fn succeeds(&self, sketch: &Sketch, run: &Run, line: &str) -> bool {
        let command = Command {
            program: path("/bin/sh"),
            arguments: vec![b"-c".to_vec(), line.as_bytes().to_vec()],
            working_directory: AbsPath::parse(self.at("p")).unwrap(),
            environment: [("PATH".to_owned(), b"/usr/bin:/bin".to_vec())].into(),
        };
        let plan = plan(&sketch.policy(), USUAL, run, &command).unwrap();
        let mut started =
            std::process::Command::new(Path::new(std::ffi::OsStr::from_bytes(plan.program.as_bytes())));
        started
            .args(plan.arguments[1..].iter().map(|argument| std::ffi::OsString::from_vec(argument.clone())));
        started
            .env_clear()
            .envs(plan.environment.iter().map(|(name, value)| (name, std::ffi::OsStr::from_bytes(value))));
        let output = started.current_dir(self.root.join("p")).stdin(Stdio::null()).output().unwrap();
        // 65 and 71 are sandbox-exec's own: a profile that does not load must not pass for a refusal.
        let code = output.status.code();
        assert!(!matches!(code, Some(65 | 71)), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        output.status.success()
    }
}

/// Whether this is a Mac; records a skip elsewhere.
fn is_mac(id: &str) -> bool {
    if !cfg!(target_os = "macos") {
        weir_tests::skip(id, "there is no sandbox-exec but on macOS");
    }
    cfg!(target_os = "macos")
}

#[test]
fn files_are_held_and_work_goes_on() {
    if !is_mac("seatbelt::live_files") {
        return;
    }
    let ground = Ground::new();
    let closed = ground.at("closed/b");
    let cases = [
        ("echo started", true),
        ("cat a && cat /etc/hosts && git --version", true),
        (&format!("cat {closed}"), false),
        (&format!("stat {closed}"), false),
        ("cat x.env", false),
        ("echo s > later.env", false),
        ("mkdir -p d/e && echo s > d/e/f && mv d/e/f d/e/f.env && cat d/e/f.env", false),
        ("ln x.env y", false),
        ("mv x.env y", false),
        ("ln -s x.env l && cat l", false),
        ("cat 'quote\" ('", false),
        ("echo x > .git/index && cat .git/index && rm .git/index", true),
        ("echo x > .git/hooks/pre-commit", false),
        ("echo x > .GIT/Hooks/pre-commit", false),
        ("mv .git elsewhere", false),
        ("mkdir sub/n && rmdir sub/n && mv sub moved && rmdir moved", true),
        ("echo x > /dev/null && head -c 4 /dev/urandom > r && rm r", true),
        ("ps -ax", false),
    ];
    for (line, want) in cases {
        assert_eq!(ground.succeeds(&ground.sketch(), &run(), line), want, "{line}");
    }
}

#[test]
fn the_network_is_the_gate_and_nothing_else() {
    if !is_mac("seatbelt::live_network") {
        return;
    }
    let ground = Ground::new();
    let [gate, other] = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let [gate_port, other_port] = [&gate, &other].map(|listener| listener.local_addr().unwrap().port());
    let own = Run { gate: Some(Gate { http: gate_port, socks: gate_port }), ..run() };
    let online = Sketch { network: true, ..ground.sketch() };
    let dial = |port: u16| format!("/usr/bin/nc -z -w 2 127.0.0.1 {port}");
    assert!(ground.succeeds(&online, &own, &dial(gate_port)), "the gate");
    assert!(!ground.succeeds(&online, &own, &dial(other_port)), "past the gate");
    assert!(!ground.succeeds(&ground.sketch(), &own, &dial(gate_port)), "no network");
    let loopback = Sketch { loopback: true, ..ground.sketch() };
    assert!(ground.succeeds(&loopback, &own, &dial(other_port)), "the loopback");
    let _listeners =
        ["open.sock", "shut.sock"].map(|name| UnixListener::bind(ground.root.join(name)).unwrap());
    let sockets = Sketch { sockets: vec![(ground.at("open.sock"), true)], ..ground.sketch() };
    let unix = |name: &str| format!("/usr/bin/nc -U -z {}", ground.at(name));
    assert!(ground.succeeds(&sockets, &own, &unix("open.sock")), "a granted socket");
    assert!(!ground.succeeds(&sockets, &own, &unix("shut.sock")), "another socket");
}
