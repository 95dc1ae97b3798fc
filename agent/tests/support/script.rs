//! An HTTP server that answers as it is told, once for each connection, and remembers what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;

/// What it answers.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// A status, headers and a body, to its end.
    Whole { status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8> },
    /// A success whose body ends early: fewer bytes than were announced.
    Short(Vec<u8>),
    /// A success whose body begins, and goes on when the server ends.
    Silent(Vec<u8>),
    /// Nothing: the connection is closed.
    Nothing,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self::Whole { status, headers, body: body.to_string().into_bytes() }
    }

    pub(crate) fn stream(body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type", "text/event-stream".to_owned())];
        Self::Whole { status: 200, headers, body: body.into() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Self::Whole { headers, .. } = &mut self {
            headers.push((name, value.to_owned()));
        }
        self
    }
}

/// What it was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// The server. Ends when it is dropped.
pub(crate) struct Script {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    thread: Option<JoinHandle<()>>,
}

impl Script {
    /// Answers so many connections, in this order.
    pub(crate) fn new(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let thread = {
            let asked = Arc::clone(&asked);
            std::thread::spawn(move || serve(&listener, answers, &asked))
        };
        Self { url, asked, thread: Some(thread) }
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // One more connection ends the thread where it still waits.
        let address = self.url.trim_start_matches("http://").to_owned();
        if self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            let _ = TcpStream::connect(address);
        }
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn serve(listener: &TcpListener, answers: Vec<Answer>, asked: &Mutex<Vec<Asked>>) {
    let mut held = Vec::new();
    for answer in answers {
        let Ok((mut stream, _)) = listener.accept() else { return };
        let Some(request) = read(&stream) else { return };
        asked.lock().unwrap().push(request);
        write(&mut stream, &answer);
        if matches!(answer, Answer::Silent(_)) {
            held.push(stream);
        }
    }
    if !held.is_empty() {
        // Until the server is dropped.
        let _ = listener.accept();
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        headers.push((name.to_lowercase(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { line: line.trim_end().to_owned(), headers, body })
}

fn write(stream: &mut TcpStream, answer: &Answer) {
    let head = |status: u16, headers: &[(&str, String)], length: usize| {
        let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("HTTP/1.1 {status} Said\r\n{lines}content-length: {length}\r\nconnection: close\r\n\r\n")
    };
    let stream_of = [("content-type", "text/event-stream".to_owned())];
    let (head, body) = match answer {
        Answer::Whole { status, headers, body } => (head(*status, headers, body.len()), body.as_slice()),
        Answer::Short(body) => (head(200, &stream_of, body.len() + 1), body.as_slice()),
        Answer::Silent(body) => (head(200, &stream_of, body.len() + 1), body.as_slice()),
        Answer::Nothing => return,
    };
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}
