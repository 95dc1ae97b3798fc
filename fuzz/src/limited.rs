//! What must hold of limited mode whatever a program says to it. Called by the fuzz target and, over the corpus, by
//! `tests/tests/corpus.rs`.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};
use weir_exec_server::egress::authority::Authority;
use weir_exec_server::egress::inspect::{Dial, Inspector, Law, Progress, Target, Wire};
use weir_protocol::policy::Host;

const PIPE_BYTES: usize = 64 * 1024;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

thread_local! {
    static INSPECTOR: Option<Rc<Inspector>> = inspector();
}

fn inspector() -> Option<Rc<Inspector>> {
    let authority = Authority::new().ok()?;
    let roots = authority.certificate_pem().as_bytes().to_vec();
    let law = Law { profile: "p".to_owned(), whence: "f:1".to_owned() };
    Inspector::new(law, authority, &roots).ok().map(Rc::new)
}

/// A server that notes what it hears and answers whatever ends like a request.
struct Server(Rc<RefCell<Vec<u8>>>);

impl Dial for Server {
    type Stream = DuplexStream;
    type Error = io::Error;

    async fn dial(&self) -> io::Result<DuplexStream> {
        let ((ours, mut server), heard) = (duplex(PIPE_BYTES), Rc::clone(&self.0));
        spawn_local(async move {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = server.read(&mut buffer).await {
                heard.borrow_mut().extend_from_slice(&buffer[..count]);
                if heard.borrow().ends_with(b"\r\n\r\n") && server.write_all(ANSWER).await.is_err() {
                    break;
                }
            }
        });
        Ok(ours)
    }
}

/// Whatever is said, the server hears whole requests of the three methods, for this host and without a body.
pub(crate) fn run(data: &[u8]) {
    let Some(inspector) = INSPECTOR.with(Clone::clone) else { panic!("no authority can be made") };
    let Ok(runtime) = Builder::new_current_thread().enable_time().build() else {
        panic!("no runtime can be made")
    };
    let heard = Rc::new(RefCell::new(Vec::new()));
    let server = Server(Rc::clone(&heard));
    LocalSet::new().block_on(&runtime, async move {
        let (mut client, ours) = duplex(PIPE_BYTES);
        let target = Target { host: Host::Name("a.example".to_owned()), port: 80, wire: Wire::Plain };
        let data = data.to_vec();
        spawn_local(async move {
            let _ = client.write_all(&data).await;
            let _ = client.shutdown().await;
            let _ = client.read_to_end(&mut Vec::new()).await;
        });
        inspector.serve(ours, target, server, |_| {}, Progress::new()).await;
    });
    check(&heard.borrow());
}

fn check(heard: &[u8]) {
    let text = String::from_utf8_lossy(heard).to_ascii_lowercase();
    assert!(text.is_empty() || text.ends_with("\r\n\r\n"), "{text:?}");
    for head in text.split_terminator("\r\n\r\n") {
        let mut lines = head.split("\r\n");
        let first: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
        assert!(matches!(first[..], ["get" | "head" | "options", _, "http/1.1"]), "{head:?}");
        let names: Vec<&str> = lines.clone().filter_map(|line| line.split(':').next()).collect();
        assert_eq!(names.iter().filter(|name| **name == "host").count(), 1, "{head:?}");
        assert!(lines.clone().any(|line| line == "host: a.example"), "{head:?}");
        for name in ["content-length", "transfer-encoding", "upgrade", "connection", "x-http-method-override"]
        {
            assert!(!names.contains(&name), "{head:?}");
        }
    }
}
