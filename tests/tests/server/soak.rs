//! Every byte that a command wrote arrives, whatever the shape of its output and its end.
//!
//! A few rounds here; `WEIR_SOAK_RUNS=100000` makes it that many runs in all.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read as _, Seek as _};

use serde_json::{Value, json};
use weir_protocol::frame::{MAX_DATA_BYTES, Stream};
use weir_tests::sandbox::{Way, World};

use super::peer::{Client, Heard, Server, start};

/// Runs of all shapes together, where nothing else is asked for.
const RUNS: usize = 150;

/// Bytes of the file that commands write: more than memory and pipes hold.
const DATA_BYTES: usize = 8 << 20;

/// Bytes that a slow client takes at once.
const SIP_BYTES: u64 = 700;

/// What a command does, and what must arrive.
#[derive(Debug, Clone)]
struct Shape {
    name: &'static str,
    script: String,
    /// Bytes of the data on standard output, and on standard error.
    expected: [usize; 2],
    manner: Manner,
}

/// How the client behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// It reads as fast as it can.
    Reads,
    /// It gives a little credit at a time.
    Sips,
    /// It goes in the middle and attaches again.
    Returns,
    /// It ends the command in the middle; what arrives is the start of the data, whole.
    Kills,
    /// It asks for a terminal.
    Terminal,
}

fn shapes() -> Vec<Shape> {
    let head = |count: usize| format!("head -c {count} data");
    let shape = |name, script: String, expected, manner| Shape { name, script, expected, manner };
    let mut all = vec![
        shape("nothing", "true".to_owned(), [0, 0], Manner::Reads),
        shape("one byte", head(1), [1, 0], Manner::Reads),
        shape("burst then exit", format!("{}; exit 3", head(50_000)), [50_000, 0], Manner::Reads),
        shape("slow drip", "dd if=data bs=1 count=200 status=none".to_owned(), [200, 0], Manner::Reads),
        shape(
            "a grandchild holds the pipe",
            format!("{}; (setsid tail -f /dev/null) & exit 0", head(1000)),
            [1000, 0],
            Manner::Reads,
        ),
        shape(
            "closed output",
            format!("{} >&2; exec >&-; exec 2>&-", head(70_000)),
            [0, 70_000],
            Manner::Reads,
        ),
        shape(
            "both streams",
            "for i in 1 2 3 4 5 6 7 8; do head -c 9000 >&1; head -c 5000 <&3 >&2; done <data 3<data"
                .to_owned(),
            [72_000, 40_000],
            Manner::Reads,
        ),
        shape("killed in a write", format!("{}; kill -9 $$", head(30_000)), [30_000, 0], Manner::Reads),
        shape("large", head(DATA_BYTES), [DATA_BYTES, 0], Manner::Reads),
        shape("a slow client", head(40_000), [40_000, 0], Manner::Sips),
        shape("a client that returns", head(3 << 20), [3 << 20, 0], Manner::Returns),
        shape("ended in the middle", "cat data data data".to_owned(), [DATA_BYTES, 0], Manner::Kills),
        shape("a terminal", format!("stty raw -echo; {}", head(20_000)), [20_000, 0], Manner::Terminal),
    ];
    all.extend(
        [(64 << 10) - 1, 64 << 10, (64 << 10) + 1]
            .map(|count| shape("about a pipe", head(count), [count, 0], Manner::Reads)),
    );
    all
}

/// Bytes of every value, without a pattern that a pipe's size divides.
fn data() -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(&mut next).take(DATA_BYTES).collect()
}

/// What a client has of one command.
#[derive(Default)]
struct Got {
    bytes: [Vec<u8>; 2],
    exited: usize,
    closed: Option<Value>,
}

impl Got {
    /// Hears one message; false at the last.
    fn hear(&mut self, heard: Heard, id: u64) -> bool {
        match heard {
            Heard::Data(place, bytes) => {
                assert_eq!(place.id, id);
                assert!(self.closed.is_none() && !bytes.is_empty() && bytes.len() <= MAX_DATA_BYTES);
                let stream = &mut self.bytes[usize::from(place.stream == Stream::Error)];
                assert_eq!(place.offset, stream.len() as u64, "offsets follow each other");
                stream.extend_from_slice(&bytes);
            }
            Heard::Message(message) => match message["method"].as_str() {
                Some("process/exited") => self.exited += 1,
                Some("process/closed") => {
                    assert!(self.closed.is_none(), "closed once");
                    assert_eq!(self.exited, 1, "exited once, before closed");
                    self.closed = Some(message["params"].clone());
                    return false;
                }
                _ => assert!(message["error"].is_null(), "{message}"),
            },
            Heard::Credit(_) => {}
            Heard::End => panic!("the connection has ended"),
        }
        true
    }

    /// Everything that the server says was written has arrived, unharmed.
    fn check(&self, shape: &Shape, data: &[u8]) {
        let closed = self.closed.as_ref().unwrap();
        for (at, bytes) in self.bytes.iter().enumerate() {
            let Some(account) = closed["streams"].get(at) else { continue };
            assert_eq!(account["bytes"], bytes.len() as u64, "{shape:?}");
            assert_eq!(account["blake3"], blake3::hash(bytes).to_hex().as_str(), "{shape:?}");
            assert_eq!(account["dropped"], 0, "{shape:?}");
            let expected = shape.expected[at];
            if shape.manner == Manner::Kills {
                let whole = data.iter().cycle().take(bytes.len());
                assert!(bytes.iter().eq(whole), "{shape:?}: another start");
            } else {
                assert_eq!(bytes.len(), expected, "{shape:?}");
                assert!(bytes[..] == data[..expected], "{shape:?}: other bytes");
            }
        }
    }
}

fn request(world: &World, shape: &Shape) -> Value {
    let mut request = start(world, &["sh", "-c", &shape.script]);
    match shape.manner {
        Manner::Terminal => request["stdio"] = json!({ "kind": "carried", "size": [24, 80] }),
        Manner::Sips => request["output"]["credit"] = SIP_BYTES.into(),
        Manner::Returns => request["output"]["when_left"] = "stay".into(),
        Manner::Reads | Manner::Kills => {}
    }
    request
}

fn run(server: &Server, usual: &mut Client, world: &World, shape: &Shape) -> Got {
    let mut own = (shape.manner == Manner::Returns).then(|| server.client());
    let client = own.as_mut().unwrap_or(usual);
    let answer = client.ask("process/start", request(world, shape));
    let id = answer["result"]["id"].as_u64().unwrap_or_else(|| panic!("{answer}"));
    let mut got = Got::default();
    let (mut has_returned, mut has_killed) = (false, false);
    loop {
        let client = own.as_mut().unwrap_or(usual);
        let heard = client.hear();
        let grant = match &heard {
            Heard::Data(place, bytes) => Some((place.stream, place.offset + bytes.len() as u64)),
            _ => None,
        };
        if !got.hear(heard, id) {
            break;
        }
        let Some((stream, received)) = grant else { continue };
        let step = if shape.manner == Manner::Sips { SIP_BYTES } else { 1 << 20 };
        client.credit(id, stream, received, received + step);
        if shape.manner == Manner::Kills && !std::mem::replace(&mut has_killed, true) {
            client.call("process/kill", json!({ "id": id, "grace_ms": 0 }));
        }
        if shape.manner == Manner::Returns && received > 200_000 && !has_returned {
            // The first connection ends before the second begins.
            drop(own.take());
            own = Some(come_back(server, id, &got));
            // Each connection is told once.
            got.exited = 0;
            has_returned = true;
        }
    }
    if let Some(client) = &mut own {
        let forgotten = client.ask("process/forget", json!({ "id": id }));
        assert!(forgotten["error"].is_null(), "{forgotten}");
    }
    got
}

/// Another connection, at the offset that the first one had.
fn come_back(server: &Server, id: u64, got: &Got) -> Client {
    let mut client = server.client();
    let from = [got.bytes[0].len(), got.bytes[1].len()];
    let attach = json!({ "id": id, "from": from, "credit": 1 << 20, "role": "owner" });
    let answer = client.ask_first("process/attach", attach);
    assert_eq!(answer["result"]["from"], json!(from), "{answer}");
    client
}

fn soak(way: Way, runs: usize) -> String {
    let world = World::new(way);
    world.profile(r#""{w}/work" = "write""#, "");
    let data = data();
    world.file("work/data", &data);
    let server = Server::start(&world);
    let shapes = shapes();
    let mut client = server.client();
    let mut lines = String::new();
    for (at, shape) in shapes.iter().enumerate() {
        let mine = runs / shapes.len() + usize::from(at < runs % shapes.len());
        // The large ones tell little more for being many.
        let mine = if shape.expected[0] > 1 << 20 { mine.div_ceil(20) } else { mine };
        let mut bytes = 0;
        for _ in 0..mine {
            let got = run(&server, &mut client, &world, shape);
            got.check(shape, &data);
            bytes += got.bytes.iter().map(Vec::len).sum::<usize>();
        }
        let _ = writeln!(lines, "{:30} {mine:6} runs {bytes:12} bytes, all there", shape.name);
    }
    lines
}

#[test]
fn no_byte_is_lost() {
    let asked = std::env::var("WEIR_SOAK_RUNS").ok().map(|runs| runs.parse().unwrap());
    Way::each("server::soak", |way| {
        let lines = soak(way, asked.unwrap_or(RUNS));
        if asked.is_some() {
            let mut report = File::options().append(true).create(true).open("/dev/stderr").unwrap();
            let _ = report.rewind();
            std::io::Write::write_all(&mut report, format!("{way:?}\n{lines}").as_bytes()).unwrap();
        }
    });
}

#[test]
fn standard_input_arrives_under_back_pressure_and_ends() {
    Way::each("server::input", |way| {
        let world = World::new(way);
        world.profile(r#""{w}/work" = "write""#, "");
        let server = Server::start(&world);
        let mut client = server.client();
        let data = data();
        let mut request = start(&world, &["sh", "-c", "cat > copy; wc -c < copy"]);
        request["stdio"]["input"] = true.into();
        let id = client.ask("process/start", request)["result"]["id"].as_u64().unwrap();
        let (mut sent, mut limit) = (0, 0);
        let mut got = Got::default();
        loop {
            match client.hear() {
                Heard::Credit(credit) => limit = usize::try_from(credit.limit).unwrap(),
                heard => {
                    if !got.hear(heard, id) {
                        break;
                    }
                }
            }
            while sent < data.len().min(limit) {
                let next = data.len().min(limit).min(sent + 100_000);
                client.input(id, sent as u64, &data[sent..next]);
                sent = next;
                if sent == data.len() {
                    client.call("process/close-input", json!({ "id": id }));
                }
            }
        }
        assert_eq!(String::from_utf8_lossy(&got.bytes[0]).trim(), DATA_BYTES.to_string());
        let mut copy = Vec::new();
        File::open(world.at("work/copy")).unwrap().read_to_end(&mut copy).unwrap();
        assert!(copy == data);
    });
}

#[test]
fn output_beyond_memory_and_credit_waits_and_head_and_tail_name_the_gap() {
    Way::each("server::overflow", |way| {
        let world = World::new(way);
        world.profile(r#""{w}/work" = "write""#, "");
        let data = data();
        world.file("work/data", &data);
        let server = Server::start(&world);
        let mut client = server.client();
        // Nobody reads, and all of it is kept.
        let mut request = start(&world, &["cat", "data"]);
        request["output"] = json!({ "credit": 0 });
        let id = client.ask("process/start", request)["result"]["id"].as_u64().unwrap();
        let ended = client.ask("process/wait", json!({ "id": id }));
        assert_eq!(ended["result"]["end"]["code"], 0, "{ended}");
        client.credit(id, Stream::Output, 0, u64::MAX);
        let mut bytes = Vec::new();
        loop {
            match client.hear() {
                Heard::Data(_, more) => bytes.extend(more),
                Heard::Message(message) if message["method"] == "process/closed" => break,
                heard => assert!(heard != Heard::End),
            }
        }
        assert!(bytes == data);

        // Whoever reads behind the end, and whoever reads meanwhile, hears of as much as is missing.
        for meanwhile in [false, true] {
            let mut request = start(&world, &["cat", "data"]);
            let overflow = json!({ "kind": "head-and-tail", "head": 1000, "tail": 2000 });
            request["output"] = json!({ "credit": 0, "overflow": overflow });
            let id = client.ask("process/start", request)["result"]["id"].as_u64().unwrap();
            if !meanwhile {
                client.ask("process/wait", json!({ "id": id }));
            }
            client.credit(id, Stream::Output, 0, u64::MAX);
            let missing = head_and_tail(&mut client, &data);
            assert!(meanwhile || missing > 0);
        }
    });
}

/// Hears a stream of which 1,000 bytes of head and 2,000 of tail are held. Returns how many bytes were missing.
fn head_and_tail(client: &mut Client, data: &[u8]) -> usize {
    let (mut at, mut missing) = (0, 0);
    let closed = loop {
        match client.hear() {
            Heard::Data(place, bytes) => {
                assert_eq!(place.offset, at as u64);
                assert!(data[at..].starts_with(&bytes));
                at += bytes.len();
            }
            Heard::Message(message) if message["method"] == "process/gap" => {
                assert!(at >= 1000);
                assert_eq!(message["params"]["from"], at as u64);
                let to = usize::try_from(message["params"]["to"].as_u64().unwrap()).unwrap();
                assert!(to + 2000 <= data.len());
                missing += to - at;
                at = to;
            }
            Heard::Message(message) if message["method"] == "process/closed" => break message,
            heard => assert!(heard != Heard::End),
        }
    };
    let account = &closed["params"]["streams"][0];
    assert_eq!(account["dropped"], missing as u64);
    assert_eq!((account["bytes"].as_u64(), at), (Some(DATA_BYTES as u64), DATA_BYTES));
    missing
}
