//! The second implementation: a Scheme program (`seatbelt.scm`) into which a profile is loaded as it stands.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use weir_sandbox_macos::evaluate::{Endpoint, Subject};
use weir_sandbox_macos::sexpr::Sexpr;

/// The interpreter, from the Debian package of the same name.
const INTERPRETER: &str = "tinyscheme";

/// How often the interpreter is started for one file. Debian's reads memory that it never set and falls over in about every
/// second run of a long program; an answer is only taken from a run that came to its end.
const MOST_STARTS: usize = 300;

/// Longest text written at once, in bytes: the interpreter reads 255 at most, and an escaped byte takes four.
const MOST_TEXT_BYTES: usize = 50;

/// One question, owned.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) operation: String,
    about: About,
}

#[derive(Debug, Clone)]
enum About {
    Path(String),
    Name(String),
    Socket(String),
    Connect { loopback: bool, port: u16 },
}

impl Question {
    pub(crate) fn path(operation: &str, path: &str) -> Self {
        Self { operation: operation.to_owned(), about: About::Path(path.to_owned()) }
    }

    pub(crate) fn name(operation: &str, name: &str) -> Self {
        Self { operation: operation.to_owned(), about: About::Name(name.to_owned()) }
    }

    pub(crate) fn socket(path: &str) -> Self {
        Self { operation: "network-outbound".to_owned(), about: About::Socket(path.to_owned()) }
    }

    pub(crate) fn connect(loopback: bool, port: u16) -> Self {
        Self { operation: "network-outbound".to_owned(), about: About::Connect { loopback, port } }
    }

    /// The question for the evaluator.
    pub(crate) fn subject(&self) -> Subject<'_> {
        let none = Subject::default();
        match &self.about {
            About::Path(path) => Subject { path: Some(path.as_bytes()), ..none },
            About::Name(name) => Subject { name: Some(name), ..none },
            About::Socket(path) => Subject { remote_socket: Some(path.as_bytes()), ..none },
            About::Connect { loopback, port } => {
                Subject { remote: Some(Endpoint { loopback: *loopback, port: *port, tcp: true }), ..none }
            }
        }
    }

    /// The question for the Scheme program.
    fn form(&self) -> String {
        let pair = |key: &str, value: &str| format!("(list (cons '{key} {value}))");
        let subject = match &self.about {
            About::Path(path) => pair("path", &Sexpr::text(path).to_string()),
            About::Name(name) => pair("name", &Sexpr::text(name).to_string()),
            About::Socket(path) => pair("remote-socket", &Sexpr::text(path).to_string()),
            About::Connect { loopback, port } => {
                let loopback = if *loopback { "#t" } else { "#f" };
                pair("remote", &format!("(list {loopback} {port} #t)"))
            }
        };
        format!("(ask '{} {subject})\n", self.operation)
    }
}

/// Whether the interpreter is installed; records a skip where it is not.
pub(crate) fn is_here(id: &str) -> bool {
    let found = Command::new(INTERPRETER).arg("-?").stdin(Stdio::null()).output().is_ok();
    if !found {
        weir_tests::skip(id, "tinyscheme is not installed");
    }
    found
}

/// Loads a profile with its parameters and asks. Panics unless every question gets a plain answer.
pub(crate) fn ask(
    directory: &Path,
    profile: &[u8],
    parameters: &BTreeMap<String, Vec<u8>>,
    questions: &[Question],
) -> Vec<bool> {
    let mut before =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/seatbelt.scm"))
            .unwrap();
    for (name, value) in parameters {
        let parts: Vec<String> =
            value.chunks(MOST_TEXT_BYTES).map(|part| Sexpr::text(part).to_string()).collect();
        let (name, value) = (Sexpr::text(name), format!("(string-append {})", parts.join(" ")));
        let _ =
            writeln!(before, "(set! parameters (cons (cons (string->symbol {name}) {value}) parameters))");
    }
    let mut program = before.into_bytes();
    program.extend_from_slice(profile);
    program.push(b'\n');
    questions.iter().for_each(|question| program.extend(question.form().into_bytes()));
    program.extend(b"(quit 0)\n");
    let file = directory.join("profile.scm");
    std::fs::write(&file, program).unwrap();
    let output = (0..MOST_STARTS)
        .map(|_| Command::new(INTERPRETER).arg(&file).stdin(Stdio::null()).output().unwrap())
        .find(|output| output.status.success())
        .unwrap_or_else(|| panic!("the interpreter crashed {MOST_STARTS} times"));
    let text = String::from_utf8_lossy(&output.stdout);
    let answers: Vec<bool> = text
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| match line {
            "allow" => true,
            "deny" => false,
            other => panic!("the Scheme program says {other:?}"),
        })
        .collect();
    assert_eq!(answers.len(), questions.len(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    answers
}
