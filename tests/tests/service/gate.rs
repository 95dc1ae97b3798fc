//! The network gate in the part that reads clients: confined, it makes the connections that a profile allows, and no other.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use weir_tests::skip;

use super::client::{Outcome, start};
use super::place::{ALICE, Place, Server};

/// An address of this machine that is not loopback.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|own| own.ip()).filter(|own| !own.is_loopback())
}

/// A server there that hears a line and answers with what it heard.
fn echo(at: IpAddr) -> SocketAddr {
    let listener = TcpListener::bind((at, 0)).unwrap();
    let bound = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut line = String::new();
            let _ = stream.read_line(&mut line);
            let body = format!("heard {}\n", line.trim());
            let head =
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = stream.get_mut().write_all(format!("{head}{body}").as_bytes());
        }
    });
    bound
}

fn run(place: &Place, server: &Server, script: &str) -> Outcome {
    server.client(ALICE).run(&start(&place.world(ALICE), &["bash", "-c", script]))
}

/// What was refused, and by which mechanism, sorted: the two of them are heard of in different ways.
fn refused(outcome: &Outcome) -> Vec<String> {
    let denials = outcome.exited["denials"].as_array().cloned().unwrap_or_default();
    let word = |denial: &Value, key: &str| denial[key].as_str().unwrap_or_default().to_owned();
    let words = |denial| ["operation", "target", "mechanism"].map(|key| word(denial, key)).join(" ");
    let mut refused: Vec<String> = denials.iter().map(words).collect();
    refused.sort();
    refused
}

/// Asks `to` for something and prints the last line of the answer.
fn ask(to: SocketAddr, method: &str) -> String {
    format!(
        "exec 3<>/dev/tcp/{}/{} && printf '{method} / HTTP/1.1\\r\\nHost: {to}\\r\\nConnection: close\\r\\n\\r\\n' >&3 && tail -1 <&3",
        to.ip(),
        to.port()
    )
}

#[test]
fn a_confined_server_part_connects_as_the_profile_says() {
    let Some(own) = own_address() else {
        return skip("service::gate", "this machine has no address but loopback");
    };
    let (place, to) = (Place::new(), echo(own));
    let allowed = format!("domains = {{ \"{to}\" = \"allow\" }}\nallow_private = [\"{own}/32\"]");
    place.profile(ALICE, &format!("[permissions.test.network]\nenabled = true\n{allowed}"));
    let server = place.serve(&[]);
    let found = run(&place, &server, &ask(to, "POST"));
    assert_eq!(
        String::from_utf8_lossy(&found.output),
        "heard POST / HTTP/1.1\n",
        "{found:?} {}",
        place.log()
    );
    assert_eq!(refused(&found), Vec::<String>::new());
    // Nothing is waited for: what was tried last is told all the same.
    let other = "exec 3<>/dev/tcp/203.0.113.5/443; echo x > /dev/udp/203.0.113.5/443";
    let found = run(&place, &server, other);
    let expect = ["connect 203.0.113.5:443 network-gate", "send 203.0.113.5:443 network-gate"];
    assert_eq!(refused(&found), expect, "{found:?}");
    recorded(&server, own);
}

/// What the gate refused is on record as the server part tells it, and kept for who asks.
fn recorded(server: &Server, own: IpAddr) {
    let mut client = server.client(ALICE);
    let kept = client.ask("denial/list", &serde_json::json!({})).unwrap();
    let runs = kept["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 1, "{kept} {own}");
    assert_eq!(runs[0]["denials"].as_array().unwrap().len(), 2, "{kept}");
    let text = std::fs::read_to_string(server.state().join("audit.jsonl")).unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let denied: Vec<Value> = records.filter(|record| record["action"] == "deny").collect();
    assert_eq!(denied.len(), 2, "{text}");
    assert!(
        denied.iter().all(|record| record["by"] == "server-part" && record["profile"] == "test"),
        "{text}"
    );
    assert_eq!(denied[0]["denial"]["mechanism"], "network-gate", "{text}");
}

#[test]
fn limited_mode_holds_there_as_well() {
    let Some(own) = own_address() else {
        return skip("service::gate_limited", "this machine has no address but loopback");
    };
    let (place, to) = (Place::new(), echo(own));
    let rules =
        format!("domains = {{ \"{to}\" = \"allow\" }}\nallow_private = [\"{own}/32\"]\nmode = \"limited\"");
    place.profile(ALICE, &format!("[permissions.test.network]\nenabled = true\n{rules}"));
    let server = place.serve(&[]);
    let found = run(&place, &server, &ask(to, "GET"));
    assert!(String::from_utf8_lossy(&found.output).contains("heard GET"), "{found:?} {}", place.log());
    let found = run(&place, &server, &ask(to, "DELETE"));
    assert!(!String::from_utf8_lossy(&found.output).contains("heard"), "{found:?}");
    assert!(refused(&found).iter().any(|one| one.contains("request") && one.contains("DELETE")), "{found:?}");
}

/// Hears connections, and reads what they say steadily and slowly, as long as this is there.
struct Slow {
    at: SocketAddr,
    _stop: mpsc::Sender<()>,
}

impl Slow {
    fn new(at: IpAddr) -> Self {
        let listener = TcpListener::bind((at, 0)).unwrap();
        let (at, (stop, stopped)) = (listener.local_addr().unwrap(), mpsc::channel());
        std::thread::spawn(move || {
            let (mut buffer, mut streams) = ([0; 16 << 10], Vec::new());
            listener.set_nonblocking(true).unwrap();
            while stopped.recv_timeout(PACE) == Err(mpsc::RecvTimeoutError::Timeout) {
                streams.extend(listener.accept().map(|(stream, _)| stream));
                streams.retain_mut(|stream| stream.read(&mut buffer).is_ok_and(|count| count > 0));
            }
        });
        Self { at, _stop: stop }
    }
}

const PACE: Duration = Duration::from_millis(100);

/// Less than the gate would go on for, and more than anything else takes.
const SOON: Duration = Duration::from_secs(7);

/// A command has ended, and what it said last is still on its way.
#[test]
fn a_signal_and_a_kill_cut_what_is_still_sent() {
    let Some(own) = own_address() else {
        return skip("service::gate_cut", "this machine has no address but loopback");
    };
    let (place, slow) = (Place::new(), Slow::new(own));
    let at = slow.at;
    let allowed = format!("domains = {{ \"{at}\" = \"allow\" }}\nallow_private = [\"{own}/32\"]");
    place.profile(ALICE, &format!("[permissions.test.network]\nenabled = true\n{allowed}"));
    let server = place.serve(&[]);
    // It heeds no signal itself, so that one which comes early changes nothing.
    let line = format!(
        "trap '' INT TERM; exec 3<>/dev/tcp/{}/{}; head -c 4000000 /dev/zero >&3; echo sent",
        at.ip(),
        at.port()
    );
    for method in ["process/signal", "process/kill"] {
        let mut client = server.client(ALICE);
        let started =
            client.ask("process/start", &start(&place.world(ALICE), &["bash", "-c", &line])).unwrap();
        let (id, pid) = (started["id"].as_u64().unwrap(), started["pid"].as_i64().unwrap());
        while std::fs::exists(format!("/proc/{pid}")).unwrap() {
            std::thread::yield_now();
        }
        let now = Instant::now();
        let params = match method {
            "process/kill" => serde_json::json!({ "id": id, "grace_ms": 0 }),
            _ => serde_json::json!({ "id": id, "signal": libc::SIGINT, "to": "group" }),
        };
        client.ask(method, &params).unwrap();
        let found = client.outcome(id);
        assert!(now.elapsed() < SOON, "{method}: {:?}", now.elapsed());
        assert_eq!(
            (found.exited["end"]["code"].as_i64(), found.output.as_slice()),
            (Some(0), &b"sent\n"[..])
        );
        let told = found.exited["unreached"].to_string();
        assert!(told.contains("before all that it sent had gone out"), "{method}: {told} {}", place.log());
    }
}
