//! The client library against a real server: bytes that are proved, input under credit, and connections that break.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[allow(dead_code, reason = "shared with the tests of the command line")]
#[path = "support/daemon.rs"]
mod daemon;
#[allow(dead_code, reason = "shared with the tests of the command line")]
#[path = "support/place.rs"]
mod place;
#[path = "support/proxy.rs"]
mod proxy;

use std::path::Path;

use daemon::Daemon;
use place::Place;
use proxy::{Cut, Proxy};
use weir_agent::link::{Happened, Proof, Session, SessionError, StreamError, Verified, Which, reach};
use weir_protocol::frame::Stream;
use weir_protocol::method::code;
use weir_protocol::method::output::{Keep, Output, Overflow, Role, WhenLeft};
use weir_protocol::method::policy::Choice;
use weir_protocol::method::process::{End, ProcessId, Receivers, Start, Stdio};

/// A server of the test's own, and where its client stands.
struct Served {
    place: Place,
    daemon: Daemon,
}

impl Served {
    /// None where this host can confine nothing.
    fn new(test: &str) -> Option<Self> {
        let place = Place::confining(test)?;
        let daemon = Daemon::start(place.dir.path());
        Some(Self { place, daemon })
    }

    fn session(&self) -> Session {
        session(&self.daemon.socket)
    }

    fn proxy(&self, cuts: &[Cut], change: proxy::Change) -> Proxy {
        Proxy::new(self.place.dir.path(), &self.daemon.socket, cuts, change)
    }

    /// A command of a shell with pipes, which stays when its client goes.
    fn start(&self, script: &str) -> Start {
        let standpoint = self.place.standpoint();
        let choice = Choice {
            standpoint,
            config: None,
            profile: None,
            read: Vec::new(),
            write: Vec::new(),
            copy: Vec::new(),
            deny: Vec::new(),
        };
        Start {
            choice,
            argv: ["sh", "-c", script].map(Into::into).to_vec(),
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            set: Vec::new(),
            stdio: Stdio::Pipes { input: true },
            timeout_ms: None,
            user: None,
            output: Output { when_left: WhenLeft::Stay, ..Output::default() },
            umask: None,
            under: None,
            asking: None,
            record: None,
        }
    }
}

fn session(socket: &Path) -> Session {
    Session::new(reach(&Which::At(socket.to_owned())).unwrap()).unwrap()
}

const EXITED: End = End::Exited { code: 0 };

/// What `seq` prints.
fn numbers(to: usize) -> Vec<u8> {
    (1..=to).flat_map(|number| format!("{number}\n").into_bytes()).collect()
}

fn proved(stream: Stream, bytes: usize) -> Verified {
    Verified { stream, bytes: bytes as u64, missing: 0, proof: Proof::Digest }
}

/// Sends all of `input` and its end, and returns standard output, in whatever order both become possible.
fn converse(
    session: &mut Session,
    id: ProcessId,
    input: &[u8],
) -> Result<(Vec<u8>, Vec<Verified>), SessionError> {
    let (mut out, mut sent, mut has_ended) = (Vec::new(), 0, false);
    loop {
        if session.takes_input(id) && !has_ended {
            sent += session.write(id, &input[sent..])?;
            if sent == input.len() {
                session.close_input(id)?;
                has_ended = true;
            }
        }
        match session.next()? {
            Happened::Output(place, bytes) => {
                assert_eq!((place.stream, place.offset), (Stream::Output, out.len() as u64));
                out.extend_from_slice(&bytes);
                session.consumed(id, place.stream, bytes.len());
            }
            Happened::Closed(_, streams) => return Ok((out, streams)),
            Happened::Gap(_) | Happened::Stopped(..) | Happened::Background(..) | Happened::Gone(_) => {
                panic!("nothing of this")
            }
            Happened::Room(_) | Happened::Exited(_) => {}
        }
    }
}

#[test]
fn both_streams_are_copied_and_proved() {
    let Some(served) = Served::new("copied") else { return };
    let mut session = served.session();
    let started = session.start(served.start("seq 100000; seq 5 >&2; exit 3")).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let finished = session.copy(started.id, &mut out, &mut err).unwrap();
    assert_eq!(finished.exited.end, End::Exited { code: 3 });
    assert!(out == numbers(100_000) && err == numbers(5));
    assert_eq!(finished.streams, [proved(Stream::Output, out.len()), proved(Stream::Error, err.len())]);
    assert_eq!(finished.gaps, []);
}

#[test]
fn the_example_prints_what_is_proved() {
    let Some(served) = Served::new("example") else { return };
    let example = || {
        let mut built = std::process::Command::new(env!("CARGO"));
        let built = built.args(["build", "--quiet", "-p", "weir-agent", "--example", "carried"]);
        assert!(built.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success());
        place::weir().with_file_name("examples").join("carried")
    };
    let mut command = served.place.command(example().to_str().unwrap());
    let output = command.env("WEIR_SERVER", &served.daemon.socket).args(["seq", "100000"]).output().unwrap();
    let told = place::text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(output.stdout == numbers(100_000));
    assert!(
        told.starts_with("under :workspace, digest ") && told.contains("Output: 588895 bytes, 0 missing"),
        "{told}"
    );
    assert!(served.session().list().unwrap().is_empty(), "it forgets what it has read");
}

#[test]
fn many_commands_of_one_session_are_told_apart() {
    let Some(served) = Served::new("many") else { return };
    let mut session = served.session();
    let ids: Vec<_> = (0..8)
        .map(|number| session.start(served.start(&format!("seq {}", 1000 + number))).unwrap().id)
        .collect();
    for (number, id) in ids.into_iter().enumerate().rev() {
        let mut out = Vec::new();
        let finished = session.copy(id, &mut out, &mut std::io::sink()).unwrap();
        assert!(out == numbers(1000 + number) && finished.exited.end == EXITED);
    }
    assert!(session.take().unwrap().is_none());
}

#[test]
fn output_goes_on_where_it_stood_when_the_connection_breaks() {
    let Some(served) = Served::new("resumed") else { return };
    // Inside of a frame's header, of its bytes, and beyond what is under way at once.
    let cuts = [3000, 70_001, 300_000, 1_500_000, 2_000_003].map(Cut::FromServer);
    let proxy = served.proxy(&cuts, |_| ());
    let mut session = session(&proxy.socket);
    let started = session.start(served.start("seq 900000; echo end >&2")).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let finished = session.copy(started.id, &mut out, &mut err).unwrap();
    assert_eq!(proxy.state(), (cuts.len() + 1, 0), "every cut has happened");
    assert!(out == numbers(900_000) && err == b"end\n", "{} bytes", out.len());
    assert_eq!(finished.streams, [proved(Stream::Output, out.len()), proved(Stream::Error, 4)]);
    assert_eq!(finished.exited.end, EXITED);
    println!("{} bytes over {} connections, each once", out.len(), proxy.state().0);
}

#[test]
fn input_goes_on_where_it_stood_when_the_connection_breaks() {
    let Some(served) = Served::new("resumed_input") else { return };
    let cuts =
        [Cut::ToServer(5000), Cut::ToServer(300_007), Cut::FromServer(400_000), Cut::ToServer(900_000)];
    let proxy = served.proxy(&cuts, |_| ());
    let mut session = session(&proxy.socket);
    let id = session.start(served.start("cat")).unwrap().id;
    let input = numbers(500_000);
    let (out, streams) = converse(&mut session, id, &input).unwrap();
    assert_eq!(proxy.state(), (cuts.len() + 1, 0), "every cut has happened");
    assert!(out == input, "{} of {} bytes", out.len(), input.len());
    assert_eq!(streams, [proved(Stream::Output, input.len()), proved(Stream::Error, 0)]);
    println!("{} bytes there and back over {} connections", out.len(), proxy.state().0);
}

#[test]
fn bytes_that_were_changed_on_the_way_are_no_output() {
    let Some(served) = Served::new("changed") else { return };
    let change: proxy::Change = |bytes| {
        if let Some(at) = bytes.windows(6).position(|found| found == b"needle") {
            bytes[at + 1] = b'o';
        }
    };
    let proxy = served.proxy(&[], change);
    let mut session = session(&proxy.socket);
    let mut other = Vec::new();
    let id = session.start(served.start("echo thread")).unwrap().id;
    let finished = session.copy(id, &mut other, &mut std::io::sink()).unwrap();
    assert_eq!((&other[..], &finished.streams[0]), (&b"thread\n"[..], &proved(Stream::Output, 7)));
    let id = session.start(served.start("echo needle")).unwrap().id;
    let mut out = Vec::new();
    let copied = session.copy(id, &mut out, &mut std::io::sink());
    assert_eq!(out, b"noedle\n", "{copied:?}");
    let error = copied.unwrap_err();
    let SessionError::Stream { source: StreamError::Digest { stream, bytes, .. }, .. } = error else {
        panic!("{error}");
    };
    assert_eq!((stream, bytes), (Stream::Output, 7));
}

#[test]
fn a_command_that_was_not_to_stay_is_gone_with_the_connection() {
    let Some(served) = Served::new("gone") else { return };
    let proxy = served.proxy(&[Cut::FromServer(200_000)], |_| ());
    let mut session = session(&proxy.socket);
    let mut start = served.start("seq 900000");
    start.output.when_left = WhenLeft::End;
    let id = session.start(start).unwrap().id;
    let error = session.copy(id, &mut std::io::sink(), &mut std::io::sink()).unwrap_err();
    assert!(matches!(error, SessionError::Gone { id: gone } if gone == id), "{error}");
    // The session goes on.
    let next = session.start(served.start("echo fine")).unwrap().id;
    let mut out = Vec::new();
    session.copy(next, &mut out, &mut std::io::sink()).unwrap();
    assert_eq!(out, b"fine\n");
    assert_eq!(refusal(session.wait(id)), code::NO_COMMAND);
}

#[test]
fn a_server_that_always_cuts_is_not_asked_for_ever() {
    let Some(served) = Served::new("always_cut") else { return };
    // So much as the answers take, and nothing of the output whole.
    let cuts = [Cut::FromServer(5000); 20];
    let proxy = served.proxy(&cuts, |_| ());
    let mut session = session(&proxy.socket);
    let id = session.start(served.start("head -c 1000000 /dev/zero")).unwrap().id;
    let error = session.copy(id, &mut std::io::sink(), &mut std::io::sink()).unwrap_err();
    assert!(error.is_cut(), "{error}");
    let (made, left) = proxy.state();
    assert!(made < cuts.len() && left > 0, "{made} connections");
}

#[test]
fn a_server_that_has_gone_is_an_error_and_no_end() {
    let Some(served) = Served::new("server_gone") else { return };
    let mut session = served.session();
    let id = session.start(served.start("echo ready; cat")).unwrap().id;
    let Served { daemon, place: _place } = served;
    drop(daemon);
    let error = session.copy(id, &mut std::io::sink(), &mut std::io::sink()).unwrap_err();
    assert!(error.is_cut(), "{error}");
}

#[test]
fn head_and_tail_are_kept_and_the_gap_is_stated_to_the_byte() {
    let Some(served) = Served::new("gap") else { return };
    let mut first = served.session();
    let mut start = served.start("seq 900000");
    start.output.overflow = Overflow::HeadAndTail { head: 100, tail: 100 };
    start.output.keep = Keep::All;
    let id = first.start(start).unwrap().id;
    // Nobody reads meanwhile, beyond what may be under way.
    let exited = served.session().wait(id).unwrap();
    assert_eq!(exited.end, EXITED);
    let whole = numbers(900_000);
    let mut out = Vec::new();
    let mut later = served.session();
    later.attach(id, [0, 0], Role::Reader).unwrap();
    let finished = later.copy(id, &mut out, &mut std::io::sink()).unwrap();
    let [gap] = finished.gaps[..] else { panic!("{:?}", finished.gaps) };
    let (from, to) = (usize::try_from(gap.from).unwrap(), usize::try_from(gap.to).unwrap());
    assert!(from >= 100 && whole.len() - to >= 100);
    assert!(out == [&whole[..from], &whole[to..]].concat());
    let Verified { bytes, missing, proof, .. } = finished.streams[0];
    assert_eq!((bytes, missing, proof), (whole.len() as u64, gap.to - gap.from, Proof::Count));
}

#[test]
fn a_reader_reads_along_and_takes_nothing() {
    let Some(served) = Served::new("reader") else { return };
    let mut owner = served.session();
    let mut start = served.start("echo one; read line; echo $line; read line");
    start.output.keep = Keep::All;
    let id = owner.start(start).unwrap().id;
    let mut reader = served.session();
    let attached = reader.attach(id, [0, 0], Role::Reader).unwrap();
    assert!(attached.input.is_none() && !reader.takes_input(id));
    assert!(matches!(reader.write(id, b"x"), Err(SessionError::NotFollowed { .. })));
    let input = b"two\nthree\n";
    let (out, _) = converse(&mut owner, id, input).unwrap();
    assert_eq!(out, b"one\ntwo\n");
    let mut read = Vec::new();
    let finished = reader.copy(id, &mut read, &mut std::io::sink()).unwrap();
    assert_eq!((read, finished.streams[0].clone()), (out, proved(Stream::Output, 8)));
}

#[test]
fn commands_are_listed_signalled_ended_and_forgotten() {
    let Some(served) = Served::new("listed") else { return };
    let mut session = served.session();
    let one = session
        .start(served.start("trap 'exit 4' USR1; sleep 1000 & echo ready; while :; do :; done"))
        .unwrap();
    let mut listed = session.list().unwrap();
    let found = listed.pop().unwrap();
    assert!(listed.is_empty() && found.id == one.id && found.pid == one.pid && found.carried && found.owned);
    assert_eq!(refusal(session.forget(one.id)), code::STATE);
    while !matches!(session.next().unwrap(), Happened::Output(..)) {}
    session.signal(one.id, 10, Receivers::All).unwrap();
    assert_eq!(session.wait(one.id).unwrap().end, End::Exited { code: 4 });
    let two = session.start(served.start("trap '' TERM; echo ready; cat; cat")).unwrap();
    while !matches!(session.next().unwrap(), Happened::Output(place, _) if place.id == two.id) {}
    session.kill(two.id, 0).unwrap();
    assert_eq!(session.wait(two.id).unwrap().end, End::Cancelled);
    for id in [one.id, two.id] {
        session.forget(id).unwrap();
        assert_eq!(refusal(session.wait(id)), code::NO_COMMAND);
    }
}

/// The code of a refusal.
fn refusal<T: std::fmt::Debug>(outcome: Result<T, SessionError>) -> i64 {
    match outcome {
        Err(SessionError::Link(weir_agent::link::LinkError::Refused(error))) => error.code,
        outcome => panic!("{outcome:?}"),
    }
}
