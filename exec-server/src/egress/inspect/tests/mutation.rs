//! Requests and answers that are changed blindly: whatever comes of it, the server sees limited requests and nothing else.

use super::*;

const ROUNDS: usize = 4000;

const REQUESTS: [&str; 6] = [
    "GET /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nabcdeGET /b HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "GET http://a.example/a HTTP/1.1\r\nHost: a.example\r\nConnection: upgrade, x\r\nUpgrade: websocket\r\nX: y\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a.example:80\r\nX-HTTP-Method-Override: DELETE\r\n\r\n",
    "HEAD /a HTTP/1.0\r\nHost: a.example\r\nExpect: 100-continue\r\n\r\n",
];

const ANSWERS: [&str; 4] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\nT: x\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
    "HTTP/1.0 301 Moved\r\nLocation: /b\r\n\r\nbody to the end",
];

/// A xorshift generator: the same numbers in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }

    fn changed(&mut self, text: &str) -> Vec<u8> {
        const WORDS: [&[u8]; 12] = [
            b"\r\n",
            b"\n",
            b"\r",
            b"\0",
            b" ",
            b":",
            b"Content-Length: 7\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Host: b.example\r\n",
            b"DELETE /x HTTP/1.1\r\n",
            b"\xff",
            b"\r\n\r\n",
        ];
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(5) {
                0 => bytes[at] = u8::try_from(self.below(256)).unwrap(),
                1 => drop(bytes.splice(at..at, WORDS[self.below(WORDS.len())].iter().copied())),
                2 => drop(bytes.remove(at)),
                3 => bytes.truncate(at.max(1)),
                _ => {
                    let end = at + self.below(bytes.len() - at);
                    let part = bytes[at..end].to_vec();
                    drop(bytes.splice(at..at, part));
                }
            }
            if bytes.is_empty() {
                bytes.push(b'G');
            }
        }
        bytes
    }
}

/// Panics unless `sent` is a row of whole limited requests for the target.
fn check(sent: &[u8], said: &[u8]) {
    let text = String::from_utf8_lossy(sent).to_ascii_lowercase();
    let heads: Vec<&str> = text.split_terminator("\r\n\r\n").collect();
    assert!(text.is_empty() || text.ends_with("\r\n\r\n"), "{text:?} of {:?}", String::from_utf8_lossy(said));
    for head in heads {
        let mut lines = head.split("\r\n");
        let first: Vec<&str> = lines.next().unwrap().split(' ').collect();
        assert!(matches!(first[..], ["get" | "head" | "options", _, "http/1.1"]), "{head:?}");
        let names: Vec<&str> = lines.clone().map(|line| line.split(':').next().unwrap()).collect();
        assert_eq!(lines.filter(|line| *line == "host: a.example").count(), 1, "{head:?}");
        assert_eq!(names.iter().filter(|name| **name == "host").count(), 1, "{head:?}");
        for name in [
            "content-length",
            "transfer-encoding",
            "upgrade",
            "connection",
            "x-http-method-override",
            "expect",
        ] {
            assert!(!names.contains(&name), "{head:?}");
        }
    }
}

#[tokio::test]
async fn a_server_sees_limited_requests_alone_whatever_is_said_to_the_gate() {
    within(async {
        let (mut numbers, mut passed) = (Numbers(0x9E37_79B9_7F4A_7C15), 0);
        let world = World::new();
        for round in 0..ROUNDS {
            let said = numbers.changed(REQUESTS[round % REQUESTS.len()]);
            let answer = numbers.changed(ANSWERS[round % ANSWERS.len()]);
            let sent = Rc::new(RefCell::new(Vec::new()));
            let log = Rc::clone(&sent);
            let serve: Serve = Rc::new(move |mut stream| {
                let (log, answer) = (Rc::clone(&log), answer.clone());
                spawn_local(async move {
                    let mut buffer = [0; 4096];
                    if let Ok(count @ 1..) = stream.read(&mut buffer).await {
                        log.borrow_mut().extend_from_slice(&buffer[..count]);
                        let _ = stream.write_all(&answer).await;
                    }
                });
            });
            let mut client = world.connect(target(Wire::Plain), serve);
            client.write_all(&said).await.unwrap();
            client.shutdown().await.unwrap();
            let _ = client.read_to_end(&mut Vec::new()).await;
            check(&sent.borrow(), &said);
            passed += usize::from(!sent.borrow().is_empty());
        }
        // The control: a share of them passes.
        assert!((ROUNDS / 20..ROUNDS).contains(&passed), "{passed}");
    })
    .await;
}
