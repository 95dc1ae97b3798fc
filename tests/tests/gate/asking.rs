//! `weir run --ask`: somebody at the terminal is asked about hosts that no rule covers, and a key decides.

use std::io::{Read as _, Write as _};
use std::process::{Child, Stdio};

use super::programs::{allow, fails};
use super::wires::Wires;

/// What stands at the end of a question.
const PROMPT: &str = "[N] no: ";

/// A run on a terminal of its own.
struct Asked {
    child: Child,
    seen: String,
    /// Where the last question ended.
    answered: usize,
}

impl Asked {
    fn start(wires: &Wires, words: &[&str]) -> Self {
        let line = wires.run_line(&["--ask"], words);
        let mut command = wires.host_command("script");
        command.args(["-qec", &line, "/dev/null"]);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        Self { child, seen: String::new(), answered: 0 }
    }

    /// Waits for a question about this host, and answers it.
    fn answer(&mut self, about: &str, key: &str) {
        while !self.seen[self.answered..].ends_with(PROMPT) {
            let mut bytes = [0; 1];
            let count = self.child.stdout.as_mut().unwrap().read(&mut bytes).unwrap();
            assert_eq!(count, 1, "no question: {}", self.seen);
            self.seen.push(char::from(bytes[0]));
        }
        let news = &self.seen[self.answered..];
        assert!(news.contains(&format!("wants to reach {about};")), "{news}");
        self.answered = self.seen.len();
        self.child.stdin.as_mut().unwrap().write_all(key.as_bytes()).unwrap();
    }

    /// All that has appeared, up to the end.
    fn rest(mut self) -> String {
        let mut rest = Vec::new();
        self.child.stdout.take().unwrap().read_to_end(&mut rest).unwrap();
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
        self.seen + &String::from_utf8_lossy(&rest)
    }
}

fn curls(urls: &[&str]) -> String {
    urls.iter().map(|url| format!("curl -sS --max-time 20 {url}; echo \" $?\"; ")).collect()
}

#[test]
fn a_key_grants_one_connection_or_the_run_or_nothing() {
    Wires::each("asking", |wires| {
        wires.profile(&allow(&["allowed.example"]));
        let script = curls(&[
            "http://denied.example/once",
            "http://denied.example/always",
            "http://denied.example/still",
            "https://denied.example/tls",
            "https://denied.example/never",
            "http://allowed.example/ruled",
        ]);
        wires.peers.asked();
        let mut asked = Asked::start(wires, &["sh", "-c", &script]);
        asked.answer("denied.example:80", "y");
        asked.answer("denied.example:80", "a");
        asked.answer("denied.example:443", "n");
        let rest = asked.rest();
        assert!(rest.contains("denied when asked about"), "{rest}");
        for path in ["/once", "/always", "/still", "/ruled"] {
            assert!(rest.contains(&format!("example {path} 0")), "{path}: {rest}");
        }
        let heard = wires.peers.heard().join("\n");
        assert!(heard.contains("/still") && !heard.contains("/tls") && !heard.contains("/never"), "{heard}");
    });
}

/// The question's own name reaches no name server before somebody has said yes.
#[test]
fn a_denied_question_leaves_no_trace_outside() {
    Wires::each("asking_denied", |wires| {
        wires.profile(&allow(&["allowed.example"]));
        wires.peers.asked();
        let mut asked = Asked::start(wires, &["sh", "-c", &curls(&["http://secret.denied.example/"])]);
        asked.answer("secret.denied.example:80", "\r");
        asked.rest();
        assert!(!wires.peers.asked().iter().any(|name| name.contains("secret")));
    });
}

#[test]
fn nobody_is_asked_without_a_terminal_or_against_a_rule() {
    Wires::each("asking_nobody", |wires| {
        wires.profile(&allow(&["allowed.example"]));
        let curl = ["curl", "-sS", "--max-time", "20", "http://denied.example/"];
        let mut words = vec!["setsid", "--wait"];
        words.extend(wires.weir(&["--ask"], &curl));
        let run = wires.outside(&words);
        assert_ne!(run.code, 0);
        assert!(run.stderr.contains("resolve denied.example"), "{}", run.stderr);
        wires.profile("domains = { \"**.denied.example\" = \"deny\", \"allowed.example\" = \"allow\" }");
        let rest = Asked::start(wires, &["sh", "-c", &curls(&["http://denied.example/"])]).rest();
        assert!(!rest.contains(PROMPT) && rest.contains("a rule denies it"), "{rest}");
        fails(wires, &curl);
    });
}
