//! Published ports: a server inside is reached from the host where a rule says so, and nowhere else.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Stdio};

use weir_tests::sandbox::{REFUSED, Way, World, finish};

const FILESYSTEM: &str = "\":root\" = \"read\"\n\"{w}/work\" = \"write\"";

/// Ways that have a network of the sandbox's own.
const OWN: [Way; 2] = [Way::Root, Way::User];

/// Serves `work` at the addresses and ports that are named, says so, and ends with its input.
const SERVER: &str = "import functools, http.server, socket, sys, threading\n\
    class Handler(http.server.SimpleHTTPRequestHandler):\n    protocol_version = 'HTTP/1.1'\n    def log_message(self, *_): pass\n\
    class Server(http.server.ThreadingHTTPServer):\n    request_queue_size = 128\n\
    for place in sys.argv[1:]:\n\
    \x20   host, _, port = place.rpartition(':')\n\
    \x20   Server.address_family = socket.AF_INET6 if ':' in host else socket.AF_INET\n\
    \x20   server = Server((host, int(port)), Handler)\n\
    \x20   threading.Thread(target=server.serve_forever, daemon=True).start()\n\
    print('ready', flush=True)\nsys.stdin.read()\n";

/// Sends what it is told to whoever connects first, and ends at once.
const LAST_WORDS: &str = "import socket, sys\n\
    listener = socket.create_server(('127.0.0.1', 8000))\nprint('ready', flush=True)\n\
    peer, _ = listener.accept()\npeer.sendall(b'x' * int(sys.argv[1]))\npeer.close()\n";

/// A port that nothing has.
fn free() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn profile(world: &World, network: &str, publish: &str) {
    let rest = format!("[permissions.test.network]\n{network}\npublish = {publish}");
    world.profile(FILESYSTEM, &rest);
}

/// A server inside, until it goes.
struct Served {
    child: Child,
    input: Option<ChildStdin>,
}

impl Served {
    fn start(world: &World, words: &[&str]) -> Self {
        let mut command = world.weir::<&str>([]);
        command.args(["/usr/bin/python3", "-c"]).args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let input = child.stdin.take();
        let served = Self { child, input };
        assert_eq!(line, "ready\n");
        served
    }

    fn end(mut self) -> i32 {
        drop(self.input.take());
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

/// What a connection answers to a request for a file.
fn ask(place: &str, file: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(place)?;
    write!(stream, "GET /{file} HTTP/1.0\r\n\r\n")?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn a_server_inside_is_reached_at_its_published_port_alone() {
    Way::each_of(&OWN, "containment::published", |way| {
        let world = World::new(way);
        world.file("work/a.txt", "content");
        for network in ["loopback = true", "loopback = true\nenabled = true\ndomains = []"] {
            let (port, same, other) = (free(), free(), free());
            profile(&world, network, &format!("[\"{port}:8000\", {same}]"));
            let at = |port: u16| format!("127.0.0.1:{port}");
            let served = Served::start(&world, &[SERVER, "127.0.0.1:8000", &at(same), &at(other)]);
            for place in [at(port), format!("[::1]:{port}"), at(same)] {
                if place.starts_with('[') && TcpListener::bind("[::1]:0").is_err() {
                    continue;
                }
                let answer = ask(&place, "a.txt").unwrap();
                assert!(answer.ends_with("\r\n\r\ncontent"), "{network} {place}: {answer}");
            }
            assert!(ask(&at(other), "a.txt").is_err(), "{network}");
            assert_eq!(served.end(), 0);
            drop(TcpListener::bind(at(port)).unwrap());
            // The control: without Weir the same server is reached at all of its ports.
            let mut outside = world.command("/usr/bin/python3");
            outside.args(["-c", SERVER, &at(other)]).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = outside.spawn().unwrap();
            let mut line = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
            assert!(ask(&at(other), "a.txt").unwrap().ends_with("content"));
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    });
}

#[test]
fn more_connections_than_there_are_sockets_inside_are_all_served() {
    Way::each_of(&OWN, "containment::published_many", |way| {
        const AT_ONCE: usize = 100;
        let world = World::new(way);
        world.file("work/a.txt", "content");
        let port = free();
        profile(&world, "loopback = true", &format!("[\"{port}:8000\"]"));
        // Of version 6 alone, as some programs are.
        let inside = if TcpListener::bind("[::1]:0").is_ok() { "::1:8000" } else { "127.0.0.1:8000" };
        let _served = Served::start(&world, &[SERVER, inside]);
        let place = format!("127.0.0.1:{port}");
        for round in 0..2 {
            let mut open: Vec<TcpStream> =
                (0..AT_ONCE).map(|_| TcpStream::connect(&place).unwrap()).collect();
            for stream in &mut open {
                write!(stream, "GET /a.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
            }
            for (number, stream) in open.iter_mut().enumerate() {
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                assert!(answer.ends_with("content"), "{round} {number}: {answer}");
            }
        }
    });
}

#[test]
fn what_a_server_said_last_arrives_after_its_end() {
    Way::each_of(&OWN, "containment::published_last", |way| {
        const BYTES: usize = 3_000_000;
        let world = World::new(way);
        let port = free();
        profile(&world, "loopback = true", &format!("[\"{port}:8000\"]"));
        let served = Served::start(&world, &[LAST_WORDS, &BYTES.to_string()]);
        let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        let mut heard = Vec::new();
        // This side stays open, as that of a client that would ask more.
        stream.read_to_end(&mut heard).unwrap();
        assert_eq!(heard.len(), BYTES);
        assert_eq!(served.end(), 0);
    });
}

#[test]
fn a_port_that_is_taken_is_an_error_by_its_rule() {
    Way::each_of(&OWN, "containment::published_taken", |way| {
        let world = World::new(way);
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        profile(&world, "loopback = true", &format!("[{port}]"));
        let run = world.run(["true"]);
        let expect = format!("port {port} of this machine's loopback cannot be published");
        assert!(run.stderr.contains(&expect) && run.stderr.contains("config.toml:"), "{run:?}");
        assert_ne!(run.code, 0);
        let planned = finish(world.weir(["--dry-run"]).arg("true"));
        assert_eq!(planned.code, 0, "a plan binds nothing: {planned:?}");
        drop(taken);
        assert_eq!(world.run(["true"]).code, 0);
    });
}

#[test]
fn what_cannot_be_published_is_refused_by_its_rule() {
    Way::each("containment::published_refused", |way| {
        let world = World::new(way);
        let port = free();
        for (network, publish, reason) in [
            ("enabled = true\nloopback = true", format!("[{port}]"), "nothing is to be published"),
            ("loopback = true", "[\"*\"]".to_owned(), "name the ports"),
            ("loopback = false", format!("[{port}]"), "a published port takes `loopback = true`"),
        ] {
            profile(&world, network, &publish);
            let run = world.run(["true"]);
            assert!(run.code != 0 && run.stderr.contains(reason), "{network}: {run:?}");
            assert!(run.stderr.contains("config.toml:"), "{network}: {run:?}");
        }
        profile(&world, "loopback = true", &format!("[{port}]"));
        let run = world.run(["true"]);
        assert_eq!(run.code, if way == Way::Bare { REFUSED } else { 0 }, "{run:?}");
    });
}
