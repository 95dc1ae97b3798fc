//! The HTTP and SOCKS5 endpoints inside.

use std::net::{IpAddr, Ipv4Addr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use weir_protocol::gate::{HTTP_PORT, PROXY, SOCKS_PORT};

use super::world::{Inside, LOOPBACK, client_hello, echo, policy, run, say};

const RULES: &[(&str, bool)] = &[("a.example", true), ("127.0.0.2", true), ("denied.example", false)];

async fn inside() -> Inside {
    let inside = Inside::new(policy(RULES, LOOPBACK)).await;
    inside.dns.addresses("a.example", &["127.0.0.1"]);
    inside
}

async fn head(client: &mut TcpStream) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        read.push(client.read_u8().await.unwrap());
    }
    String::from_utf8(read).unwrap()
}

async fn connect(inside: &Inside, target: &str) -> (TcpStream, String) {
    let mut client = inside.connect((PROXY, HTTP_PORT)).await;
    client
        .write_all(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let head = head(&mut client).await;
    (client, head)
}

#[test]
fn tunnels_lead_to_allowed_names_alone() {
    run(async {
        let inside = inside().await;
        let server = echo("").await;
        let port = server.port();
        let synthetic = inside.resolve("a.example").await.unwrap();
        for target in
            [format!("a.example:{port}"), format!("A.example.:{port}"), format!("{synthetic}:{port}")]
        {
            let (mut client, head) = connect(&inside, &target).await;
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            let hello = client_hello(&["a.example"], 600);
            assert_eq!(say(&mut client, &hello).await.unwrap(), hello);
        }
        assert_eq!(inside.refused(), []);
        let cases = [
            ("evil.example:443", 403, "connect evil.example:443: no rule allows it"),
            ("denied.example:443", 403, "connect denied.example:443: a rule denies it ("),
            ("10.0.0.1:80", 403, "connect 10.0.0.1:80: no rule allows it"),
            ("0x7f.1:80", 403, "connect 127.0.0.1:80: the sandbox has no loopback"),
            ("[::ffff:127.0.0.1]:80", 403, "connect 127.0.0.1:80: the sandbox has no loopback"),
            ("localhost:80", 403, "connect localhost:80: the sandbox has no loopback"),
            ("user@a.example:443", 400, "a broken or unknown request"),
            ("a.example", 400, "a broken or unknown request"),
            ("a.example:0", 400, "a broken or unknown request"),
            ("a.example:99999", 400, "a broken or unknown request"),
        ];
        for (target, status, text) in cases {
            let (mut client, head) = connect(&inside, target).await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {head}");
            let mut body = String::new();
            client.read_to_string(&mut body).await.unwrap();
            assert!(body.starts_with(&format!("weir: {text}")), "{target}: {body}");
        }
        let unread = "a broken or unknown request to the proxy endpoint".to_owned();
        assert!(inside.refused().contains(&("connect".to_owned(), "198.18.0.2:3128".to_owned(), unread)));
        let (mut client, _) = connect(&inside, "denied.example:443").await;
        let mut body = String::new();
        client.read_to_string(&mut body).await.unwrap();
        assert!(body.ends_with("(denied.example (config.toml:3))\n"), "{body}");
    });
}

#[test]
fn a_tunnel_to_an_allowed_host_with_another_name_inside_is_reset() {
    run(async {
        let inside = inside().await;
        let server = echo("").await;
        let (mut client, head) = connect(&inside, &format!("a.example:{}", server.port())).await;
        assert!(head.starts_with("HTTP/1.1 200 "));
        assert!(say(&mut client, client_hello(&["evil.example"], 600)).await.is_err());
        assert!(inside.refused()[0].2.contains("evil.example"));
    });
}

#[test]
fn a_server_that_cannot_be_reached_is_told_with_a_status() {
    run(async {
        let inside = inside().await;
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let (mut client, head) = connect(&inside, &format!("a.example:{free}")).await;
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
        let mut body = String::new();
        client.read_to_string(&mut body).await.unwrap();
        assert!(body.starts_with(&format!(
            "weir: connect a.example:{free}: could not connect to 127.0.0.1:{free}: connection refused"
        )));
        assert_eq!(inside.unreached().len(), 1);
    });
}

/// A server that answers each connection with what it heard of one request, to the end of its body.
async fn mirror(ends_with: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    spawn_local(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            spawn_local(async move {
                let mut heard = Vec::new();
                while !heard.ends_with(ends_with.as_bytes()) {
                    heard.push(stream.read_u8().await.unwrap());
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").await.unwrap();
                stream.write_all(&heard).await.unwrap();
            });
        }
    });
    port
}

#[test]
fn whole_requests_are_passed_on_once_and_without_what_is_the_proxys() {
    run(async {
        let inside = inside().await;
        let port = mirror("\r\n\r\nbody").await;
        let mut client = inside.connect((PROXY, HTTP_PORT)).await;
        let request = format!(
            "POST http://A.example:{port}?q=1#f HTTP/1.1\r\nHost: evil.example\r\nProxy-Authorization: secret\r\n\
             Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nX-Kept: 2\r\nContent-Length: 4\r\n\r\nbodyGET http://evil.example/ HTTP/1.1\r\n\r\n"
        );
        client.write_all(request.as_bytes()).await.unwrap();
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.unwrap();
        let expect = format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nPOST /?q=1 HTTP/1.1\r\nHost: A.example:{port}\r\nX-Kept: 2\r\n\
             Content-Length: 4\r\nConnection: close\r\n\r\nbody"
        );
        assert_eq!(heard, expect);
        let port = mirror("0\r\n\r\n").await;
        let mut client = inside.connect((PROXY, HTTP_PORT)).await;
        let chunked = format!(
            "PUT http://a.example:{port}/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nEXTRA"
        );
        client.write_all(chunked.as_bytes()).await.unwrap();
        heard.clear();
        client.read_to_string(&mut heard).await.unwrap();
        assert!(heard.ends_with("3\r\nabc\r\n0\r\n\r\n"), "{heard}");
    });
}

#[test]
fn other_requests_to_the_http_endpoint_are_refused_readably() {
    run(async {
        let inside = inside().await;
        let cases = [
            ("GET http://evil.example/ HTTP/1.1\r\n\r\n", 403, "connect evil.example:80: no rule allows it"),
            ("GET http://user:pw@a.example/ HTTP/1.1\r\n\r\n", 400, "a broken or unknown request"),
            ("GET https://a.example/ HTTP/1.1\r\n\r\n", 400, "a broken or unknown request"),
            ("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", 400, "a broken or unknown request"),
            (
                "GET http://a.example/ HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                400,
                "a broken HTTP",
            ),
            ("\x16\x03\x01\r\n\r\n", 400, "a broken HTTP request"),
        ];
        for (request, status, text) in cases {
            let mut client = inside.connect((PROXY, HTTP_PORT)).await;
            let answer = String::from_utf8(say(&mut client, request).await.unwrap()).unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            assert!(answer.contains(&format!("\r\n\r\nweir: {text}")), "{answer}");
        }
    });
}

fn socks(command: u8, kind: u8, place: &[u8], port: u16) -> Vec<u8> {
    [&[5, 1, 0][..], &[5, command, 0, kind], place, &port.to_be_bytes()].concat()
}

fn named(name: &str) -> Vec<u8> {
    [&[u8::try_from(name.len()).unwrap()][..], name.as_bytes()].concat()
}

async fn answer(client: &mut TcpStream, asked: &[u8]) -> u8 {
    client.write_all(asked).await.unwrap();
    let mut answer = [0; 12];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!((answer[0], answer[1], answer[2]), (5, 0, 5));
    answer[3]
}

#[test]
fn socks_leads_to_allowed_hosts_and_says_why_not() {
    run(async {
        let inside = inside().await;
        let server = echo("").await;
        let port = server.port();
        let synthetic = inside.resolve("a.example").await.unwrap();
        let synthetic6 = Ipv4Addr::to_ipv6_mapped(&synthetic);
        for asked in [
            socks(1, 3, &named("a.example"), port),
            socks(1, 1, &synthetic.octets(), port),
            socks(1, 4, &synthetic6.octets(), port),
        ] {
            let mut client = inside.connect((PROXY, SOCKS_PORT)).await;
            assert_eq!(answer(&mut client, &asked).await, 0);
            let hello = client_hello(&["a.example"], 600);
            assert_eq!(say(&mut client, &hello).await.unwrap(), hello);
        }
        let loopback: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        let IpAddr::V6(loopback) = loopback else { unreachable!() };
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        for (asked, expect) in [
            (socks(1, 3, &named("evil.example"), 443), 2),
            (socks(1, 3, &named("not a host"), 443), 2),
            (socks(1, 1, &[10, 0, 0, 1], 443), 2),
            (socks(1, 4, &loopback.octets(), 443), 2),
            (socks(1, 3, &named("a.example"), free), 5),
            (socks(2, 3, &named("a.example"), 443), 7),
            (socks(3, 1, &[0, 0, 0, 0], 0), 7),
            (socks(1, 9, &[0, 0, 0, 0], 0), 8),
        ] {
            let mut client = inside.connect((PROXY, SOCKS_PORT)).await;
            assert_eq!(answer(&mut client, &asked).await, expect, "{asked:?}");
        }
        for reason in ["not a valid host name", "a broken or unknown request to the proxy endpoint"] {
            let told = ("connect".to_owned(), "198.18.0.2:1080".to_owned(), reason.to_owned());
            assert!(inside.refused().contains(&told), "{:?}", inside.refused());
        }
        let mut client = inside.connect((PROXY, SOCKS_PORT)).await;
        assert_eq!(say(&mut client, [5, 1, 2]).await.unwrap(), [5, 0xff], "no method but none");
        let mut client = inside.connect((PROXY, SOCKS_PORT)).await;
        assert!(
            say(&mut client, [4, 1, 0, 80, 1, 1, 1, 1, 0]).await.unwrap_or_default().is_empty(),
            "SOCKS4"
        );
        let mut client = inside.connect((PROXY, SOCKS_PORT)).await;
        assert_eq!(answer(&mut client, &socks(1, 3, &named("a.example"), port)).await, 0);
        assert!(say(&mut client, client_hello(&["evil.example"], 600)).await.is_err());
    });
}
