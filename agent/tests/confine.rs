//! The agent's own confinement, in a process that is given up for it: each act is tried with it and, as the control, without.
//!
//! No harness: the process must have one thread when it confines itself. The tests run this program again, as the role that a
//! variable names.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops at the first surprise, and tells its parent"
)]

#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/talk.rs"]
mod talk;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

/// Names the act, and with it the role.
const ACT: &str = "WEIR_CONFINE_ACT";
/// Whether it is confined first.
const CONFINED: &str = "WEIR_CONFINE_FIRST";
/// A directory: `weir` is Weir's, `mine` is not.
const PLACE: &str = "WEIR_CONFINE_PLACE";
/// Two ports with listeners: the provider's and another.
const PORTS: &str = "WEIR_CONFINE_PORTS";

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    libtest_mimic::run(&Arguments::from_args(), Vec::new()).exit_code()
}

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    match std::env::var(ACT) {
        Ok(act) => linux::role(&act),
        Err(_) => libtest_mimic::run(&Arguments::from_args(), linux::trials()).exit_code(),
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use weir_agent::confine::{Bounds, ConfineError, Confined, Hold, confine, probe};
    use weir_agent::thread::{Keeping, Store};

    use super::*;

    /// Acts that fail once the process is confined, and succeed before.
    const DENIED: [&str; 12] = [
        "start-a-program",
        "become-a-program",
        "read-passwd",
        "read-mine",
        "list-mine",
        "write-mine",
        "read-mine-from-a-thread",
        "connect-elsewhere",
        "listen",
        "connect-unix",
        "listen-unix",
        "make-executable-and-run",
    ];

    /// Acts that succeed in both cases.
    const ALLOWED: [&str; 8] = [
        "keep-a-thread",
        "read-hosts",
        "resolve",
        "connect-provider",
        "start-a-thread",
        "pair",
        "runtime",
        "null",
    ];

    struct Around {
        place: PathBuf,
        provider: u16,
        other: u16,
    }

    impl Around {
        fn read() -> Self {
            let ports = std::env::var(PORTS).unwrap();
            let (provider, other) = ports.split_once(',').unwrap();
            let (provider, other) = (provider.parse().unwrap(), other.parse().unwrap());
            Self { place: std::env::var_os(PLACE).unwrap().into(), provider, other }
        }

        fn weir(&self) -> PathBuf {
            self.place.join("weir")
        }

        fn mine(&self, name: &str) -> PathBuf {
            self.place.join("mine").join(name)
        }
    }

    fn done<T, E: Into<io::Error>>(result: Result<T, E>) -> io::Result<()> {
        result.map(drop).map_err(Into::into)
    }

    fn act(act: &str, around: &Around) -> io::Result<()> {
        let local = |port: u16| TcpStream::connect(("127.0.0.1", port));
        match act {
            "start-a-program" => done(Command::new("/bin/true").status()),
            "become-a-program" => Err(Command::new("/bin/true").exec()),
            "make-executable-and-run" => {
                let program = around.weir().join("program");
                done(fs::copy("/bin/true", &program))?;
                done(Command::new(&program).status())
            }
            "read-passwd" => done(fs::read("/etc/passwd")),
            "read-mine" => done(fs::read(around.mine("file"))),
            "list-mine" => done(fs::read_dir(around.mine(""))),
            "write-mine" => done(fs::write(around.mine("new"), "x")),
            "read-mine-from-a-thread" => {
                let file = around.mine("file");
                done(std::thread::spawn(move || fs::read(file)).join().unwrap())
            }
            "connect-elsewhere" => done(local(around.other)),
            "connect-provider" => done(local(around.provider)),
            "listen" => done(TcpListener::bind("127.0.0.1:0")),
            "connect-unix" => done(UnixStream::connect(around.mine("socket"))),
            "listen-unix" => done(UnixListener::bind(around.weir().join("socket"))),
            "keep-a-thread" => {
                let mut thread = Store::open(&around.weir()).create(talk::new("/", Keeping::Disk)).unwrap();
                talk::turn(&mut thread, "kept");
                Ok(())
            }
            "read-hosts" => done(fs::read("/etc/hosts")),
            "resolve" => done(("localhost", 80).to_socket_addrs()),
            "start-a-thread" => done(std::thread::Builder::new().spawn(|| ())),
            "pair" => done(UnixStream::pair()),
            "runtime" => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(async { tokio::task::spawn_blocking(|| ()).await })?;
                done(UdpSocket::bind("0.0.0.0:0"))
            }
            "null" => done(fs::write("/dev/null", "x")),
            unknown => panic!("no act {unknown}"),
        }
    }

    /// Does one act, and tells by its exit code whether that succeeded.
    pub(crate) fn role(name: &str) -> ExitCode {
        let around = Around::read();
        if std::env::var_os(CONFINED).is_some() {
            confine(&Bounds::new(&around.weir(), &[around.provider])).unwrap();
        }
        match act(name, &around) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                println!("{error}");
                let denied = matches!(error.raw_os_error(), Some(1 | 13));
                ExitCode::from(if denied { 7 } else { 8 })
            }
        }
    }

    fn held() -> Confined {
        probe(&Bounds::new(Path::new("/nowhere"), &[443])).unwrap()
    }

    fn is_held(confined: &Confined, act: &str) -> bool {
        let hold = match act {
            "connect-elsewhere" | "listen" => &confined.tcp,
            "connect-unix" | "listen-unix" => &confined.unix_sockets,
            "start-a-program" | "become-a-program" | "make-executable-and-run" => &confined.programs,
            _ => &confined.files,
        };
        !matches!(hold, Hold::Open { .. })
    }

    /// The exit code of an act in a process of its own, with and without confinement.
    fn tried(act: &str) -> [(Option<i32>, String); 2] {
        [false, true].map(|confined| {
            let place = tempfile::tempdir().unwrap();
            for name in ["weir", "mine"] {
                fs::create_dir(place.path().join(name)).unwrap();
            }
            fs::write(place.path().join("mine/file"), "secret").unwrap();
            let _socket = UnixListener::bind(place.path().join("mine/socket")).unwrap();
            let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
            let ports =
                listeners.each_ref().map(|listener| listener.local_addr().unwrap().port().to_string());
            let mut role = Command::new(std::env::current_exe().unwrap());
            role.env(ACT, act).env(PLACE, place.path()).env(PORTS, ports.join(","));
            if confined {
                role.env(CONFINED, "1");
            }
            let output = role.output().unwrap();
            let said = [output.stdout, output.stderr].concat();
            (output.status.code(), String::from_utf8_lossy(&said).into_owned())
        })
    }

    fn check(act: &str, expect: i32) -> Result<(), Failed> {
        let [(control, before), (code, after)] = tried(act);
        if control != Some(0) {
            return Err(format!("the control fails: {control:?} {before}").into());
        }
        if expect != 0 && !is_held(&held(), act) {
            weir_tests::skip(
                &format!("confine::{act}"),
                "this kernel does not hold it, and the report says so",
            );
            return Ok(());
        }
        if code == Some(expect) { Ok(()) } else { Err(format!("{code:?}, not {expect}: {after}").into()) }
    }

    fn threads_are_counted() -> Result<(), Failed> {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || stopped.recv());
        let refused = confine(&Bounds::new(Path::new("/nowhere"), &[]));
        drop(stop);
        let _ = thread.join();
        match refused {
            Err(ConfineError::Threads { count }) if count > 1 => Ok(()),
            other => Err(format!("{other:?}").into()),
        }
    }

    fn a_probe_confines_nobody_else() -> Result<(), Failed> {
        held();
        Ok(done(fs::read("/etc/passwd")).and_then(|()| done(Command::new("/bin/true").status()))?)
    }

    pub(crate) fn trials() -> Vec<Trial> {
        let denied = DENIED.map(|act| Trial::test(format!("denied::{act}"), move || check(act, 7)));
        let allowed = ALLOWED.map(|act| Trial::test(format!("allowed::{act}"), move || check(act, 0)));
        let others = [
            Trial::test("threads_are_counted", threads_are_counted),
            Trial::test("a_probe_confines_nobody_else", a_probe_confines_nobody_else),
        ];
        denied.into_iter().chain(allowed).chain(others).collect()
    }
}
