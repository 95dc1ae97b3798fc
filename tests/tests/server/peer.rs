//! A server that listens, and a client that says exactly what it is told: for tests that look at the wire.
//!
//! The client checks nothing but that bytes are frames; what it hears is the test's to judge.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Value, json};
use weir_protocol::frame::{self, Credit, Deframer, Frame, Place, Stream};

use weir_tests::sandbox::way::as_user;
use weir_tests::sandbox::{PATH, Way, World, programs};

/// How long a client waits for one message before the test fails. Nothing takes this long where all is well.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server in a world, ended with the value.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    socket: PathBuf,
}

impl Server {
    /// Starts one as the world's user; as root its server parts are nobody's.
    ///
    /// # Panics
    /// When it does not listen.
    pub(crate) fn start(world: &World) -> Self {
        Self::start_with(world, &[])
    }

    /// The same with more options.
    ///
    /// # Panics
    /// When it does not listen.
    pub(crate) fn start_with(world: &World, options: &[&str]) -> Self {
        Self::start_at(world, world.at("server.sock"), options)
    }

    /// The same at another place.
    ///
    /// # Panics
    /// When it does not listen.
    pub(crate) fn start_at(world: &World, socket: PathBuf, options: &[&str]) -> Self {
        Self::start_knowing(world, socket, options, &[])
    }

    /// The same with more in its environment.
    ///
    /// # Panics
    /// When it does not listen.
    pub(crate) fn start_knowing(
        world: &World,
        socket: PathBuf,
        options: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let mut command = world.command(programs().weir.with_file_name("weir-exec-server"));
        command.arg("--listen").arg(&socket).arg("--state").arg(world.at("state")).args(options);
        if world.way() == Way::Root {
            command.args(["--server-user", "nobody"]);
        }
        command.envs(variables.iter().copied());
        Self::spawn(command, socket)
    }

    /// Starts one in a PID namespace of its own, which no client is in; none where there is no such namespace to be had.
    ///
    /// # Panics
    /// When it does not listen.
    pub(crate) fn start_enclosed(world: &World) -> Option<Self> {
        let enclosed = |program: &Path| {
            let mut command = world.command("unshare");
            command.args(["--pid", "--fork", "--kill-child"]).arg(program);
            command
        };
        let tried = enclosed(Path::new("true")).status();
        if !tried.is_ok_and(|status| status.success()) {
            return None;
        }
        let socket = world.at("server.sock");
        let mut command = enclosed(&programs().weir.with_file_name("weir-exec-server"));
        command.arg("--listen").arg(&socket).arg("--state").arg(world.at("state"));
        command.args(["--server-user", "nobody"]);
        Some(Self::spawn(command, socket))
    }

    fn spawn(mut command: Command, socket: PathBuf) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("a server");
        let mut log = BufReader::new(child.stderr.take().expect("its log"));
        let mut line = String::new();
        log.read_line(&mut line).expect("a line of its log");
        assert!(line.contains("listening"), "{line}");
        // Its log goes on, and nobody must wait for it.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::stderr()));
        Self { child, socket }
    }

    /// Lets every user connect.
    ///
    /// # Panics
    /// When the mode cannot be set.
    pub(crate) fn open_to_all(&self) {
        fs::set_permissions(&self.socket, Permissions::from_mode(0o666)).expect("the socket's mode");
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Every process that descends from it.
    pub(crate) fn descendants(&self) -> Vec<i32> {
        let mut found = vec![self.pid()];
        let mut at = 0;
        while let Some(parent) = found.get(at) {
            let tasks = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
            let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
            let children: Vec<String> = children.collect();
            found
                .extend(children.iter().flat_map(|line| line.split_whitespace()).flat_map(str::parse::<i32>));
            at += 1;
        }
        found.split_off(1)
    }

    /// The process that was started.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process number")
    }

    /// A client that has said hello.
    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.socket)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Something that a client heard.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Heard {
    /// A JSON-RPC message.
    Message(Value),
    /// Bytes of a stream.
    Data(Place, Vec<u8>),
    /// How far the client may go.
    Credit(Credit),
    /// The connection has ended.
    End,
}

/// All that a client heard of one command.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Standard output, or the terminal, and standard error.
    pub(crate) output: [Vec<u8>; 2],
    /// How it ended.
    pub(crate) end: Value,
    /// The last word about it.
    pub(crate) closed: Value,
}

/// A client.
#[derive(Debug)]
pub(crate) struct Client {
    socket: UnixStream,
    deframer: Deframer,
    next: u64,
}

impl Client {
    /// Connects and says hello.
    ///
    /// # Panics
    /// When the server does not answer; so does everything else here.
    pub(crate) fn connect(socket: &Path) -> Self {
        Self::mute(socket).welcomed()
    }

    fn welcomed(mut self) -> Self {
        let welcome = self.ask("server/hello", json!({ "versions": [1], "client": "test" }));
        assert_eq!(welcome["result"]["version"], 1, "{welcome}");
        self
    }

    /// The same as another user, who is in no group but the one of that number. Only root can.
    pub(crate) fn connect_as(socket: &Path, uid: u32) -> Self {
        let socket = socket.to_owned();
        Self::over(as_user(uid, move || UnixStream::connect(socket)).expect("a connection")).welcomed()
    }

    /// Speaks with a process through what it has as standard input and output.
    ///
    /// # Panics
    /// When it does not answer.
    pub(crate) fn through(mut command: Command) -> (Self, Child) {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let input = OwnedFd::from(theirs.try_clone().expect("a descriptor"));
        let child = command.stdin(input).stdout(OwnedFd::from(theirs)).spawn().expect("a server");
        // The command still holds its copies.
        drop(command);
        (Self::over(ours).welcomed(), child)
    }

    /// The same with a pipe for each way, as sshd(8) gives one.
    ///
    /// # Panics
    /// When it does not answer.
    pub(crate) fn through_pipes(mut command: Command) -> (Self, Child) {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a server");
        let (mut to, mut from) =
            (child.stdin.take().expect("its input"), child.stdout.take().expect("its output"));
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let mut back = theirs.try_clone().expect("a descriptor");
        std::thread::spawn(move || carry(&theirs, &mut to));
        std::thread::spawn(move || {
            carry(&mut from, &mut back);
            let _ = back.shutdown(std::net::Shutdown::Both);
        });
        (Self::over(ours).welcomed(), child)
    }

    /// Connects and says nothing.
    pub(crate) fn mute(socket: &Path) -> Self {
        Self::over(UnixStream::connect(socket).expect("a connection"))
    }

    fn over(socket: UnixStream) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        Self { socket, deframer: Deframer::default(), next: 0 }
    }

    /// The connection itself.
    pub(crate) fn socket(&self) -> &UnixStream {
        &self.socket
    }

    /// Sends raw bytes; `false` when the server has closed.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }

    /// Makes a call and returns its number.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> u64 {
        self.call_with(method, params, &[])
    }

    /// The same with descriptors.
    pub(crate) fn call_with(&mut self, method: &str, params: Value, descriptors: &[BorrowedFd<'_>]) -> u64 {
        self.next += 1;
        let mut call = json!({ "jsonrpc": "2.0", "id": self.next, "method": method });
        if !params.is_null() {
            call["params"] = params;
        }
        let bytes = frame::control(call.to_string().as_bytes()).expect("a frame");
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        let sent = sendmsg(&self.socket, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL);
        let sent = sent.expect("a sent call");
        self.socket.write_all(&bytes[sent..]).expect("a sent call");
        self.next
    }

    /// Makes a call and waits for its answer; whatever else comes meanwhile is lost.
    pub(crate) fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.call(method, params);
        loop {
            match self.hear() {
                Heard::Message(message) if message["id"] == id => return message,
                Heard::End => panic!("the connection has ended before the answer to {method}"),
                _ => {}
            }
        }
    }

    /// Makes a call whose answer is the next message.
    pub(crate) fn ask_first(&mut self, method: &str, params: Value) -> Value {
        let id = self.call(method, params);
        match self.hear() {
            Heard::Message(message) if message["id"] == id => message,
            heard => panic!("{heard:?} before the answer to {method}"),
        }
    }

    /// Sends standard input.
    pub(crate) fn input(&mut self, id: u64, offset: u64, bytes: &[u8]) -> bool {
        let place = Place { id, stream: Stream::Input, offset };
        let header = frame::data_header(place, bytes.len()).expect("a header");
        self.raw(&header) && self.raw(bytes)
    }

    /// Says what was received and how far the server may go.
    pub(crate) fn credit(&mut self, id: u64, stream: Stream, received: u64, limit: u64) {
        let received = Place { id, stream, offset: received };
        self.raw(&frame::credit(Credit { received, limit }));
    }

    /// Starts a command and hears it out, or the server's refusal.
    pub(crate) fn run(&mut self, request: Value) -> Result<Outcome, Value> {
        let answer = self.ask("process/start", request);
        if !answer["error"].is_null() {
            return Err(answer["error"].clone());
        }
        Ok(self.outcome(answer["result"]["id"].as_u64().expect("a number")))
    }

    /// Hears the only command of this client out, and gives credit as bytes come.
    pub(crate) fn outcome(&mut self, id: u64) -> Outcome {
        let mut found = Outcome::default();
        loop {
            match self.hear() {
                Heard::Data(place, bytes) => {
                    let stream = &mut found.output[usize::from(place.stream == Stream::Error)];
                    assert_eq!((place.id, place.offset), (id, stream.len() as u64));
                    stream.extend(bytes);
                    let received = stream.len() as u64;
                    self.credit(id, place.stream, received, received + (1 << 20));
                }
                Heard::Message(message) => match message["method"].as_str() {
                    Some("process/exited") => {
                        assert_eq!(message["params"]["id"], id);
                        found.end = message["params"]["end"].clone();
                    }
                    Some("process/closed") => {
                        found.closed = message["params"].clone();
                        return found;
                    }
                    _ => assert!(message["error"].is_null(), "{message}"),
                },
                Heard::Credit(_) => {}
                Heard::End => panic!("the connection has ended"),
            }
        }
    }

    /// The next message.
    pub(crate) fn hear(&mut self) -> Heard {
        loop {
            if let Some(frame) = self.deframer.take().expect("a frame") {
                return match frame {
                    Frame::Control(payload) => {
                        Heard::Message(serde_json::from_slice(payload).expect("a message"))
                    }
                    Frame::Data(place, bytes) => Heard::Data(place, bytes.to_vec()),
                    Frame::Credit(credit) => Heard::Credit(credit),
                };
            }
            match self.deframer.fill(64 << 10, |room| self.socket.read(room)) {
                Ok(0) => return Heard::End,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Heard::End,
                Err(error) => panic!("nothing was heard: {error}"),
            }
        }
    }
}

/// Parameters of `process/start` for a command with pipes, in a world's `work`, under the profile in force.
pub(crate) fn start(world: &World, argv: &[&str]) -> Value {
    json!({
        "choice": choice(world),
        "argv": argv,
        "env": [["PATH", PATH]],
        "stdio": { "kind": "pipes", "input": false },
        "output": { "credit": 1 << 20 },
    })
}

/// The profile in force, seen from a world's `work`.
pub(crate) fn choice(world: &World) -> Value {
    let (work, home, weir) = (world.at("work"), world.at("home"), world.at("weir"));
    json!({ "standpoint": { "cwd": work, "home": home, "weir_home": weir } })
}

/// Carries bytes by read(2) and write(2) alone, to the end.
fn carry(mut from: impl Read, mut to: impl Write) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}
