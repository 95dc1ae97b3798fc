//! Limited mode as the gate hands connections to it: directly, and through both proxy endpoints.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio::time::interval;
use weir_exec_server::egress::Surroundings;
use weir_exec_server::egress::authority::Authority;
use weir_exec_server::egress::ending::Parting;
use weir_protocol::gate::{HTTP_PORT, PROXY, SOCKS_PORT};
use weir_protocol::policy::NetworkMode;

use super::world::{Inside, LOOPBACK, echo, policy_with, run, say};

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A gate in limited mode that allows `a.example`, which is here.
async fn limited(change: impl FnOnce(&mut Surroundings)) -> Inside {
    let policy = policy_with(&[("a.example", true)], LOOPBACK, NetworkMode::Limited);
    let inside = Inside::with(policy, |surroundings| {
        surroundings.roots = Some(Authority::new().unwrap().certificate_pem().into());
        change(surroundings);
    });
    let inside = inside.await;
    inside.dns.addresses("a.example", &["127.0.0.1"]);
    inside
}

/// A request for `a.example` that is the last one.
fn request(method: &str, port: u16) -> String {
    format!("{method} /x HTTP/1.1\r\nHost: a.example:{port}\r\nConnection: close\r\n\r\n")
}

#[test]
fn requests_are_judged_whichever_way_they_come() {
    run(async {
        let inside = limited(|_| ()).await;
        let port = echo(ANSWER).await.port();
        let connect = format!("CONNECT a.example:{port} HTTP/1.1\r\nHost: a.example:{port}\r\n\r\n");
        let socks = [&b"\x05\x01\x00\x05\x01\x00\x03\x09a.example"[..], &port.to_be_bytes()].concat();
        let absolute =
            |method: &str| request(method, port).replace("/x", &format!("http://a.example:{port}/x"));
        let cases = [
            (None, Vec::new(), request("GET", port), request("POST", port)),
            (Some((PROXY, HTTP_PORT)), connect.into_bytes(), request("GET", port), request("POST", port)),
            (Some((PROXY, HTTP_PORT)), Vec::new(), absolute("GET"), absolute("POST")),
            (Some((PROXY, SOCKS_PORT)), socks, request("GET", port), request("POST", port)),
        ];
        for (proxy, first, get, post) in cases {
            for (asked, status, body) in
                [(get, "HTTP/1.1 200 OK\r\n", "ok"), (post, "HTTP/1.1 403 Forbidden\r\n", "rule: mode")]
            {
                let mut client = match proxy {
                    Some(proxy) => inside.connect(proxy).await,
                    None => inside.connect_to("a.example", port).await,
                };
                let told = say(&mut client, [&first[..], asked.as_bytes()].concat()).await.unwrap();
                let told = String::from_utf8_lossy(&told);
                assert!(told.contains(status) && told.contains(body), "{proxy:?} {asked:?}: {told}");
            }
        }
        let refused = inside.refused();
        assert_eq!(refused.len(), 1, "the same each time: {refused:?}");
        let (operation, target, reason) = &refused[0];
        assert_eq!(
            (operation.as_str(), target.clone()),
            ("request", format!("POST http://a.example:{port}/x"))
        );
        assert!(reason.contains("not POST"), "{reason}");
    });
}

#[test]
fn who_says_nothing_is_let_go_with_a_record() {
    run(async {
        let inside = limited(|surroundings| surroundings.limits.opening = Duration::from_millis(200)).await;
        let port = echo("220 greetings\r\n").await.port();
        let mut client = inside.connect_to("a.example", port).await;
        let ended = client.read(&mut [0; 16]).await;
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
        let refused = inside.refused();
        assert!(refused[0].2.contains("in which the client speaks first"), "{refused:?}");
    });
}

/// A request that is under way when the sandbox ends, and the server's end of its connection, which has heard it.
async fn under_way(inside: &Inside) -> (TcpStream, TcpStream, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut client = inside.connect_to("a.example", port).await;
    client.write_all(request("GET", port).as_bytes()).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"\r\n\r\n") {
        heard.push(server.read_u8().await.unwrap());
    }
    (client, server, port)
}

/// What still comes when a sandbox has ended is carried as long as any connection's is.
#[test]
fn a_request_of_which_something_moves_is_not_cut_at_the_end() {
    run(async {
        let inside = limited(|_| ()).await;
        let (mut client, mut server, _) = under_way(&inside).await;
        tokio::time::pause();
        let answering = spawn_local(async move {
            server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").await?;
            let mut pace = interval(Duration::from_secs(1));
            for _ in 0..5 {
                pace.tick().await;
                server.write_all(b"x").await?;
            }
            std::io::Result::Ok(())
        });
        let hearing = spawn_local(async move {
            let mut heard = String::new();
            client.read_to_string(&mut heard).await.map(|_| heard)
        });
        inside.gate.settle(Parting::Willing).await;
        assert_eq!(inside.unreached(), [""; 0]);
        answering.await.unwrap().unwrap();
        let heard = hearing.await.unwrap().unwrap();
        assert!(heard.ends_with("\r\n\r\nxxxxx"), "{heard}");
    });
}

#[test]
fn a_request_of_which_nothing_moves_is_cut_at_the_end_and_told() {
    run(async {
        let inside = limited(|_| ()).await;
        let (_client, _server, port) = under_way(&inside).await;
        tokio::time::pause();
        let started = tokio::time::Instant::now();
        inside.gate.settle(Parting::Willing).await;
        assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
        let why = "the command had ended before its request was answered";
        assert_eq!(inside.unreached(), [format!("connect a.example:{port}: {why}")]);
    });
}

#[test]
fn without_roots_of_the_host_there_is_no_gate() {
    run(async {
        let policy = policy_with(&[("a.example", true)], LOOPBACK, NetworkMode::Limited);
        let opened = weir_exec_server::egress::Gate::without_sockets(
            std::sync::Arc::new(policy),
            Surroundings::default(),
            Some(Authority::new().unwrap()),
        );
        assert_eq!(opened.unwrap_err().kind(), ErrorKind::InvalidData);
    });
}
