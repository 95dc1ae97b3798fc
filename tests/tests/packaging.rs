//! The files of `packaging/`, judged by the tools that will read them.
#![expect(clippy::unwrap_used, reason = "a test may panic outside its #[test] functions too")]
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use weir_protocol::frame;
use weir_tests::sandbox::programs;
use weir_tests::sandbox::way::is_root;

/// A key that systemd has since 254, and older ones pass over with a remark.
const NEWER_KEY: &str = "DelegateSubgroup";

fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(name)
}

fn has(tool: &str) -> bool {
    Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// What `systemd-analyze verify` says of a directory of units, with the program where the build has put it.
fn verified(which: &str, change: impl Fn(String) -> String) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let program = programs().weir.with_file_name("weir-exec-server");
    let units = fs::read_dir(packaging("systemd").join(which)).unwrap();
    let units: Vec<PathBuf> = units.map(|unit| unit.unwrap().path()).collect();
    assert_eq!(units.len(), 2);
    let copies = units.iter().map(|unit| {
        let text = fs::read_to_string(unit).unwrap();
        let text = text.replace("/usr/bin/weir-exec-server", program.to_str().unwrap());
        let copy = dir.path().join(unit.file_name().unwrap());
        fs::write(&copy, change(text)).unwrap();
        copy
    });
    let mut command = Command::new("systemd-analyze");
    command.env("XDG_RUNTIME_DIR", dir.path()).arg(format!("--{which}")).args(["verify", "--man=no"]);
    let output = command.args(copies).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let ours = said.lines().filter(|line| line.contains("weir") && !line.contains(NEWER_KEY));
    let mut lines: Vec<String> = ours.map(str::to_owned).collect();
    if !output.status.success() {
        lines.push(format!("{}: {said}", output.status));
    }
    lines
}

#[test]
fn systemd_takes_the_units() {
    if !has("systemd-analyze") {
        return weir_tests::skip("packaging::systemd", "systemd-analyze is not there");
    }
    for which in ["system", "user"] {
        assert_eq!(verified(which, |text| text), Vec::<String>::new(), "{which}");
        // The controls: a word that systemd does not know, and a program that is not there.
        assert!(!verified(which, |text| text.replace("KillMode=mixed", "KillMode=gently")).is_empty());
        assert!(!verified(which, |text| text.replace("ExecStart=", "ExecStart=/nowhere")).is_empty());
    }
}

#[test]
fn users_and_directories_are_made() {
    if !has("systemd-sysusers") || !has("systemd-tmpfiles") {
        return weir_tests::skip("packaging::systemd", "systemd-sysusers or systemd-tmpfiles is not there");
    }
    if !is_root() {
        return weir_tests::skip("packaging::sysusers", "only root makes users and what is root's");
    }
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    let made = |tool: &str, options: &[&str], file: &str| {
        let mut command = Command::new(tool);
        command.args(options).arg(format!("--root={}", root.path().display())).arg(packaging(file));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{tool}: {output:?}");
    };
    made("systemd-sysusers", &[], "sysusers.d/weir.conf");
    let names = |file: &str| {
        let text = fs::read_to_string(root.path().join("etc").join(file)).unwrap();
        text.lines().map(|line| line.split(':').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("passwd"), ["weir"]);
    assert!(["weir", "weir-users"].iter().all(|name| names("group").contains(&(*name).to_owned())));
    made("systemd-tmpfiles", &["--create"], "tmpfiles.d/weir.conf");
    let mode = |path: &str| fs::metadata(root.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode("run/weir"), mode("var/lib/weir"), mode("etc/weir")], [0o755, 0o711, 0o755]);
}

/// systemd's own socket activation: the first who connects starts the server, which goes when nobody is left.
#[test]
fn the_first_who_connects_starts_the_server() {
    if !has("systemd-socket-activate") {
        return weir_tests::skip("packaging::systemd", "systemd-socket-activate is not there");
    }
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("socket");
    let mut command = Command::new("systemd-socket-activate");
    command.arg(format!("--listen={}", socket.display()));
    command.arg(programs().weir.with_file_name("weir-exec-server"));
    command.args(["--listen", "--idle-exit", "1", "--state"]).arg(dir.path().join("state"));
    if is_root() {
        command.args(["--server-user", "nobody"]);
    }
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    assert!(line.contains("Listening on"), "{line}");
    let mut client = UnixStream::connect(&socket).unwrap();
    let hello =
        br#"{"jsonrpc":"2.0","id":1,"method":"server/hello","params":{"versions":[1],"client":"test"}}"#;
    client.write_all(&frame::control(hello).unwrap()).unwrap();
    let mut header = [0; frame::HEADER_BYTES];
    client.read_exact(&mut header).unwrap();
    let [a, b, c, d, _] = header;
    let mut welcome = vec![0; u32::from_be_bytes([a, b, c, d]).try_into().unwrap()];
    client.read_exact(&mut welcome).unwrap();
    assert!(String::from_utf8(welcome).unwrap().contains(r#""version":1"#));
    drop(client);
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success(), "{rest}");
    assert!(rest.contains("listening on the socket that was handed over"), "{rest}");
}
