//! Unix sockets of the host, and servers inside.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use weir_tests::sandbox::{World, finish};

use super::lesson::Lesson;

const PYTHON: &str = "/usr/bin/python3";

/// A server of this test's process at this path, which greets whoever connects, for as long as the process lives.
fn greets(world: &World, path: &str) -> PathBuf {
    let place = world.at(path);
    world.directory(std::path::Path::new(path).parent().unwrap());
    let listener = UnixListener::bind(&place).unwrap();
    std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o777)).unwrap();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let _ = client.write_all(b"greeting");
        }
    });
    place
}

/// A client of it.
fn client(path: &std::path::Path) -> String {
    format!(
        "import socket; s = socket.socket(socket.AF_UNIX); s.connect({path:?}); print(s.recv(99).decode())"
    )
}

#[test]
fn a_socket_that_is_connected_to_is_named() {
    Lesson::each("unix_socket", |lesson| {
        let world = &lesson.world;
        let (needed, beside) = (greets(world, "run/needed"), greets(world, "run/beside"));
        let words = [PYTHON, "-c", &client(&needed)];
        assert_eq!(world.outside(words).text(), "greeting");
        // Only where it is asked for.
        let refused = lesson.learn(&[], &words);
        assert_ne!(refused.code, 0);
        let text = lesson.proposal();
        let line = format!("# unix_sockets = [\"{}\"]", needed.display());
        assert!(text.contains("# NOT GRANTED: refused: connect") && text.contains(&line), "{text}");
        assert!(text.contains("weir learn --sockets") && !text.contains("WARNING"), "{text}");
        let learnt = lesson.learn(&["--sockets"], &words);
        assert_eq!(learnt.text(), "greeting", "{}", learnt.stderr);
        let text = lesson.proposal();
        assert!(text.contains("# connected to by python3"), "{text}");
        let named = lesson.table("network")["unix_sockets"].as_array().unwrap().clone();
        assert_eq!(named, [toml::Value::from(needed.to_str().unwrap())], "{text}");
        assert!(!lesson.rules().contains_key(needed.to_str().unwrap()), "{text}");
        assert_eq!(lesson.held(&words).text(), "greeting", "{text}");
        let words = [PYTHON, "-c", &client(&beside)];
        assert_ne!(lesson.held(&words).code, 0, "{text}");
        assert_eq!(world.outside(words).text(), "greeting");
        lesson.nothing_else();
    });
}

#[test]
fn an_agent_is_never_reached_and_told_with_a_warning() {
    Lesson::each("agent_socket", |lesson| {
        let world = &lesson.world;
        let agent = greets(world, "run/agent");
        let words = [PYTHON, "-c", &client(&agent)];
        let run = finish(lesson.learning(&["--sockets"], &words).env("SSH_AUTH_SOCK", &agent));
        assert_ne!(run.code, 0, "{run:?}");
        let text = lesson.proposal();
        assert!(text.contains("# WARNING: an agent acts with the person's keys"), "{text}");
        assert!(text.contains(&format!("# unix_sockets = [\"{}\"]", agent.display())), "{text}");
        assert!(!lesson.whole().contains_key("network"), "{text}");
        // The control: it is the variable that makes it one.
        assert_eq!(lesson.learn(&["--sockets"], &words).text(), "greeting");
    });
}

#[test]
fn a_server_inside_takes_loopback_and_nothing_of_the_host() {
    Lesson::each("loopback", |lesson| {
        let world = &lesson.world;
        let script = "import socket, threading\nserver = socket.create_server(('127.0.0.1', 0))\nthreading.Thread(target=lambda: server.accept()[0].sendall(b'inside')).start()\nprint(socket.create_connection(server.getsockname()).recv(9).decode())\n";
        lesson.teach(&[PYTHON, "-c", script], "inside");
        assert_eq!(lesson.table("network")["loopback"].as_bool(), Some(true), "{}", lesson.proposal());
        assert!(lesson.proposal().contains("listened on by python3"), "{}", lesson.proposal());
        let host = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = host.local_addr().unwrap().port();
        let words = ["bash", "-c", &format!("exec 3<>/dev/tcp/127.0.0.1/{port}")];
        assert_ne!(lesson.held(&words).code, 0);
        assert_eq!(world.outside(words).code, 0);
        // Whoever only connects finds nobody, as without a rule.
        assert_ne!(lesson.learn(&[], &words).code, 0);
        let text = lesson.proposal();
        assert!(text.contains(&format!("# NOT GRANTED: connect 127.0.0.1:{port}: nothing inside")), "{text}");
        assert!(!lesson.whole().contains_key("network"), "{text}");
    });
}

#[test]
fn a_socket_that_is_bound_inside_takes_loopback() {
    Lesson::each("bound", |lesson| {
        let script = "import os, socket, tempfile\npath = tempfile.mkdtemp() + '/own'\nserver = socket.socket(socket.AF_UNIX)\nserver.bind(path)\nserver.listen()\nclient = socket.socket(socket.AF_UNIX)\nclient.connect(path)\nserver.accept()[0].sendall(b'own')\nprint(client.recv(9).decode())\n";
        lesson.teach(&[PYTHON, "-c", script], "own");
        let table = lesson.table("network");
        assert_eq!(table["loopback"].as_bool(), Some(true), "{table:?}");
        assert!(!table.contains_key("unix_sockets"), "{table:?}");
    });
}

#[test]
fn a_port_that_is_named_is_told_for_the_host() {
    Lesson::each("port", |lesson| {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let script = format!("import socket; socket.create_server(('127.0.0.1', {free})); print('listens')");
        lesson.teach(&[PYTHON, "-c", &script], "listens");
        let text = lesson.proposal();
        assert!(text.contains(&format!("# publish = [{free}]")), "{text}");
        // Taken out of its comment, the host reaches it.
        let published = text.replace("# publish", "publish");
        std::fs::write(lesson.file(), published).unwrap();
        let script = format!(
            "import socket; s = socket.create_server(('127.0.0.1', {free})); print('ready', flush=True); s.accept()[0].sendall(b'inside')"
        );
        let mut command = lesson.holding(&[PYTHON, "-c", &script]);
        let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut ready = [0; 6];
        child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
        let mut heard = String::new();
        std::net::TcpStream::connect(("127.0.0.1", free)).unwrap().read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "inside");
        assert!(child.wait().unwrap().success());
    });
}
