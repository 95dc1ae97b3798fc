//! Weir's server, and a client of it.

use serde_json::{Value, json};
use weir_protocol::frame::Stream;
use weir_tests::sandbox::{Way, World};

use super::peer::{Client, Heard, Server, start};
use super::{Subject, Through, UNDER_WAY};

/// Bytes that the server may be ahead of the client.
const WINDOW: u64 = 1 << 20;

/// Bytes after which the server hears how far the client has come, as from the client library.
const STEP: u64 = WINDOW / 4;

/// A server, a connection to it, and the world in which commands run.
pub(super) struct Weir {
    server: Server,
    client: Client,
    world: World,
    started: Vec<u64>,
}

impl Weir {
    pub(super) fn start() -> Self {
        let way = if weir_tests::sandbox::way::is_root() { Way::Root } else { Way::User };
        let world = World::new(way);
        world.profile(r#""{w}/work" = "write""#, "");
        let server = Server::start_with(&world, &["--max-commands", "4096"]);
        let client = server.client();
        Self { server, client, world, started: Vec::new() }
    }

    fn request(&self, argv: &[&str], through: Through) -> Value {
        let mut request = start(&self.world, argv);
        request["output"] = json!({ "credit": WINDOW });
        if through == Through::Terminal {
            request["stdio"] = json!({ "kind": "carried", "size": [24, 80] });
        }
        request
    }
}

impl Subject for Weir {
    fn name(&self) -> String {
        "weir, in a sandbox".to_owned()
    }

    fn run(&mut self, argv: &[&str], through: Through) -> usize {
        let request = self.request(argv, through);
        self.client.call("process/start", request);
        let (mut counts, mut told) = ([0_u64; 2], [0_u64; 2]);
        loop {
            match self.client.hear() {
                Heard::Data(place, bytes) => {
                    let at = usize::from(place.stream == Stream::Error);
                    counts[at] += bytes.len() as u64;
                    if counts[at] - told[at] > STEP {
                        told[at] = counts[at];
                        self.client.credit(place.id, place.stream, counts[at], counts[at] + WINDOW);
                    }
                }
                Heard::Message(message) if message["method"] == "process/closed" => {
                    return usize::try_from(counts.iter().sum::<u64>()).unwrap();
                }
                Heard::Message(message) => assert!(message["error"].is_null(), "{message}"),
                Heard::Credit(_) => {}
                Heard::End => panic!("the connection has ended"),
            }
        }
    }

    fn start_all(&mut self, argv: &[&str], count: usize) {
        let request = self.request(argv, Through::Pipes);
        let mut asked = 0;
        while self.started.len() < count {
            while asked < count && asked - self.started.len() < UNDER_WAY {
                self.client.call("process/start", request.clone());
                asked += 1;
            }
            match self.client.hear() {
                Heard::Message(message) => {
                    assert!(message["error"].is_null(), "{message}");
                    self.started.extend(message["result"]["id"].as_u64());
                }
                Heard::Data(..) | Heard::Credit(_) => {}
                Heard::End => panic!("the connection has ended"),
            }
        }
    }

    fn end_all(&mut self) {
        let mut left = self.started.len();
        while left > 0 {
            while left - self.started.len() < UNDER_WAY
                && let Some(id) = self.started.pop()
            {
                self.client.call("process/kill", json!({ "id": id, "grace_ms": 0 }));
            }
            match self.client.hear() {
                Heard::Message(message) => left -= usize::from(message["method"] == "process/closed"),
                Heard::Data(..) | Heard::Credit(_) => {}
                Heard::End => panic!("the connection has ended"),
            }
        }
    }

    fn pid(&self) -> i32 {
        self.server.pid()
    }
}
