//! The client library's calls on contexts and files, against a real server.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[allow(dead_code, reason = "shared with the tests of the command line")]
#[path = "support/daemon.rs"]
mod daemon;
#[allow(dead_code, reason = "shared with the tests of the command line")]
#[path = "support/place.rs"]
mod place;

use daemon::Daemon;
use place::Place;
use weir_agent::link::{LinkError, Session, SessionError, Which, reach};
use weir_protocol::method::Asks as _;
use weir_protocol::method::context::{Close, Open, Under};
use weir_protocol::method::error::code;
use weir_protocol::method::file::{By, Change, Patch, Read, Replacement, Search, Within, Write, Writing};
use weir_protocol::method::policy::Choice;
use weir_protocol::{AbsPath, ByteString};

/// A session with an open context, in a place of the test's own.
struct Opened {
    place: Place,
    _daemon: Daemon,
    session: Session,
    under: Under,
}

impl Opened {
    /// None where this host can confine nothing.
    fn new(test: &str) -> Option<Self> {
        let place = Place::confining(test)?;
        let daemon = Daemon::start(place.dir.path());
        let mut session = Session::new(reach(&Which::At(daemon.socket.clone())).unwrap()).unwrap();
        let choice = Choice {
            standpoint: place.standpoint(),
            config: None,
            profile: Some(":workspace".to_owned()),
            read: Vec::new(),
            write: Vec::new(),
            copy: Vec::new(),
            deny: Vec::new(),
        };
        let opened = session
            .ask(Open { choice, thread: Some("a thread".to_owned()), forked_from: None, within: None })
            .unwrap();
        let under = Under { context: opened.id, lease: None, turn: None };
        Some(Self { place, _daemon: daemon, session, under })
    }

    fn at(&self, name: &str) -> AbsPath {
        self.place.at(name)
    }

    fn within<T>(&self, file: T) -> Within<T> {
        Within { under: self.under.clone(), standpoint: self.place.standpoint(), file }
    }

    fn read(&mut self, name: &str) -> Result<Vec<u8>, SessionError> {
        let read = Read { path: self.at(name), offset: 0, length: None };
        let read = self.within(read);
        self.session.ask_with_content(read).map(|(_, content)| content)
    }
}

fn refusal(error: SessionError) -> i64 {
    match error {
        SessionError::Link(LinkError::Refused(error)) => error.code,
        other => panic!("{other}"),
    }
}

#[test]
fn files_are_written_read_searched_and_patched_under_a_context() {
    let Some(mut opened) = Opened::new("files") else { return };
    // More than one frame, and as much as one reading brings.
    let content: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8 | 0x80).collect();
    let path = opened.at("project/data");
    let write =
        Write { path, content: ByteString(content.clone()), writing: Writing::Create, permissions: None };
    let write = opened.within(write);
    assert_eq!(opened.session.ask(write).unwrap().size, 1_000_000);
    assert!(opened.read("project/data").unwrap() == content);

    opened.place.write("project/main.rs", "fn main() {\n    old();\n}\n");
    let edit = Replacement { old: "old()".into(), new: "new()".into(), times: 1 };
    let change = Change { path: opened.at("project/main.rs"), by: By::Edits(vec![edit]) };
    let patch = opened.within(Patch { changes: vec![change] });
    assert_eq!(opened.session.ask(patch).unwrap().sizes, [Some(25)]);
    let search = Search {
        root: opened.at("project"),
        pattern: "new\\(".to_owned(),
        syntax: Default::default(),
        case: Default::default(),
        files: vec!["*.rs".to_owned()],
        scope: Default::default(),
        context: 0,
        limit: None,
    };
    let found = opened.session.ask(opened.within(search)).unwrap();
    assert_eq!(found.files[0].lines[0].text.to_string(), "    new();");
}

#[test]
fn what_the_profile_closes_is_refused_and_the_session_goes_on() {
    let Some(mut opened) = Opened::new("files_refused") else { return };
    std::fs::create_dir_all(opened.place.path("home/.ssh")).unwrap();
    opened.place.write("home/.ssh/id_ed25519", "secret");
    opened.place.write("project/open", "open");
    assert_eq!(refusal(opened.read("home/.ssh/id_ed25519").unwrap_err()), code::FILE_DENIED);
    assert_eq!(opened.read("project/open").unwrap(), b"open");
    // The control: without Weir it can be read.
    assert_eq!(std::fs::read(opened.place.path("home/.ssh/id_ed25519")).unwrap(), b"secret");
    let context = opened.under.context;
    opened.session.ask(Close { id: context }).unwrap();
    assert_eq!(refusal(opened.read("project/open").unwrap_err()), code::NO_CONTEXT);
}

#[test]
fn calls_that_are_begun_are_answered_each_under_its_number() {
    let Some(mut opened) = Opened::new("files_begun") else { return };
    let names = ["one", "two", "three"];
    for name in names {
        opened.place.write(&format!("project/{name}"), name);
    }
    let begun = names.map(|name| {
        let read = Read { path: opened.at(&format!("project/{name}")), offset: 0, length: None };
        let call = opened.within(read).into_call();
        opened.session.begin(call).unwrap()
    });
    let mut answered = Vec::new();
    while answered.len() < names.len() {
        match opened.session.take_answer() {
            Some(answer) => answered.push(answer),
            None => {
                let mut watched = [rustix::event::PollFd::new(&opened.session, opened.session.interest())];
                rustix::event::poll(&mut watched, None).unwrap();
                opened.session.turn();
            }
        }
    }
    answered.sort_by_key(|answer| answer.call);
    for ((answer, call), name) in answered.iter().zip(begun).zip(names) {
        assert_eq!((answer.call, answer.content.as_slice()), (call, name.as_bytes()));
        assert_eq!(answer.outcome.as_ref().unwrap()["ends"], true);
    }
}
