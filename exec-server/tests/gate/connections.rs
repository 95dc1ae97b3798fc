//! Connections to allowed names: where they lead, what may be said first, how they end.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::world::{Inside, LOOPBACK, Says, client_hello, echo, echo_at, policy, run, say};

const RULES: &[(&str, bool)] = &[("a.example", true), ("*.wide.example", true), ("bad.wide.example", false)];

/// The one refusal there is: its target and reason.
fn refusal(inside: &Inside) -> (String, String) {
    let mut refused = inside.refused();
    assert_eq!(refused.len(), 1, "{refused:?}");
    let (operation, target, reason) = refused.remove(0);
    assert_eq!(operation, "connect");
    (target, reason)
}

#[test]
fn bytes_are_carried_both_ways_to_where_the_name_leads() {
    run(async {
        let inside = Inside::new(policy(RULES, LOOPBACK)).await;
        let server = echo("hello ").await;
        inside.dns.addresses("a.example", &["127.0.0.1"]);
        let mut client = inside.connect_to("a.example", server.port()).await;
        assert_eq!(say(&mut client, "\x00world").await.unwrap(), b"hello \x00world");
        let v6 = echo_at("::1".parse().unwrap(), "six ").await;
        inside.dns.addresses("b.wide.example", &["::1"]);
        let address = inside.resolve6("b.wide.example").await.unwrap();
        let mut client = inside.connect((address, v6.port())).await;
        assert_eq!(say(&mut client, "\x01!").await.unwrap(), b"six \x01!");
        assert_eq!(inside.refused(), []);
    });
}

#[test]
fn a_server_that_speaks_first_is_heard_while_the_client_waits() {
    run(async {
        let inside = Inside::new(policy(RULES, LOOPBACK)).await;
        let server = echo("SSH-2.0-test\r\n").await;
        inside.dns.addresses("a.example", &["127.0.0.1"]);
        let mut client = inside.connect_to("a.example", server.port()).await;
        let mut greeting = [0; 14];
        client.read_exact(&mut greeting).await.unwrap();
        assert_eq!(&greeting, b"SSH-2.0-test\r\n");
        assert_eq!(say(&mut client, "SSH-2.0-me\r\n").await.unwrap(), b"SSH-2.0-me\r\n");
        // Having waited is no way around: what is said then is judged as well.
        let mut client = inside.connect_to("a.example", server.port()).await;
        client.read_exact(&mut greeting).await.unwrap();
        let heard = say(&mut client, client_hello(&["evil.example"], 600)).await;
        assert_eq!(heard.unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

/// What these records hold, in one.
fn in_one_record(records: &[Vec<u8>]) -> Vec<u8> {
    let message: Vec<u8> = records.iter().flat_map(|record| record[5..].to_vec()).collect();
    [&[22, 3, 1, 0, u8::try_from(message.len()).unwrap()][..], &message].concat()
}

#[test]
fn tls_and_http_must_name_the_host() {
    run(async {
        let inside = Inside::new(policy(RULES, LOOPBACK)).await;
        let server = echo("").await;
        for name in ["a.example", "b.wide.example"] {
            inside.dns.addresses(name, &["127.0.0.1"]);
        }
        let get = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes();
        let good: Vec<Vec<u8>> = vec![
            client_hello(&["a.example"], 600),
            client_hello(&["A.EXAMPLE"], 7),
            client_hello(&["a.example"], 1),
            get("a.example"),
            get("A.example.:8080"),
            b"GET / HTTP/1.0\r\n\r\n".to_vec(),
            b"EHLO x\r\n".to_vec(),
            b"GET key\r\n".to_vec(),
            b"get /key\r\n".to_vec(),
            b" text\r\n".to_vec(),
            b"\x0c\x00\x01".to_vec(),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            b"\x00\x00\x00\x08\x04\xd2\x16\x2f".to_vec(),
            b"no newline".to_vec(),
            // Begins like a record, and goes on like a message of another protocol.
            b"\x16\x01\x00\x00\x2a\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00".to_vec(),
            b"\x15\x00".to_vec(),
            // A call in the record marking of RPC, and other first bytes that could be a length.
            b"\x80\x00\x01\x00\x5a\x00\x00\x01\x00".to_vec(),
            b"\xff\xfd\x03".to_vec(),
            b"\x80\x2e".to_vec(),
        ];
        for word in good {
            let mut client = inside.connect_to("a.example", server.port()).await;
            assert_eq!(say(&mut client, &word).await.unwrap(), word, "{}", word.escape_ascii());
        }
        assert_eq!(inside.refused(), []);
        let absolute = b"GET http://evil.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n".to_vec();
        let bad: Vec<Vec<u8>> = vec![
            client_hello(&["evil.example"], 600),
            client_hello(&["b.wide.example"], 600),
            client_hello(&["a.example", "evil.example"], 600),
            client_hello(&["evil.example"], 1),
            client_hello(&["127.0.0.1"], 600),
            client_hello(&["a.example"], 600)[..40].to_vec(),
            b"\x16\x03\x01\x00\x00".to_vec(),
            client_hello(&[], 600),
            get("evil.example"),
            get("a.example\r\nHost: evil.example"),
            get("a.example@evil.example"),
            [b"\r\n\n".to_vec(), get("evil.example")].concat(),
            b"get\t/ http/1.1\nhost: evil.example\n\n".to_vec(),
            b"GET / HTTP/1.1\r\nHost : evil.example\r\n\r\n".to_vec(),
            b"GET / HTTP/1.1\r\nHost:\r\n evil.example\r\n\r\n".to_vec(),
            b"GET / HTTP/1.1\r\nHost: evil.example".to_vec(),
            absolute,
            // Two in one record.
            in_one_record(&[client_hello(&["a.example"], 600), client_hello(&["evil.example"], 600)]),
        ];
        for word in bad {
            let mut client = inside.connect_to("a.example", server.port()).await;
            let heard = say(&mut client, &word).await;
            assert_eq!(
                heard.map_err(|error| error.kind()),
                Err(ErrorKind::ConnectionReset),
                "{}",
                word.escape_ascii()
            );
        }
        assert!(inside.refused().iter().any(|(_, target, reason)| {
            *target == format!("a.example:{}", server.port())
                && reason == "TLS for the server name evil.example, which is not the name that was resolved"
        }));
    });
}

#[test]
fn what_a_lenient_server_takes_for_tls_or_http_is_refused() {
    run(async {
        let inside = Inside::new(policy(RULES, LOOPBACK)).await;
        let server = echo("").await;
        inside.dns.addresses("a.example", &["127.0.0.1"]);
        let bad: Vec<Vec<u8>> = vec![
            // What a server may skip before a hello, or take for one.
            [&b"\x15\x03\x01\x00\x02\x01\x5a"[..], &client_hello(&["a.example"], 600)].concat(),
            [&b"\x14\x03\x03\x00\x01\x01"[..], &client_hello(&["evil.example"], 600)].concat(),
            [&b"\x17\x03\x03\x00\x00"[..], &client_hello(&["evil.example"], 600)].concat(),
            [&b"\x15\x02\x01\x00\x02\x01\x5a"[..], &client_hello(&["evil.example"], 600)].concat(),
            [&b"\x16\x02"[..], &client_hello(&["evil.example"], 600)[2..]].concat(),
            [&b"\x16\x07"[..], &client_hello(&["a.example"], 600)[2..]].concat(),
            // Hellos in the format of SSL 2, for TLS 1.2 and for itself.
            [&b"\x80\x1c\x01\x03\x03\x00\x03\x00\x00\x00\x10\x00\x00\x2f"[..], &[7; 16]].concat(),
            [&b"\x80\x1c\x01\x00\x02\x00\x03\x00\x00\x00\x10\x01\x00\x80"[..], &[7; 16]].concat(),
            b"GET /s\r\nHost: evil.example\r\n\r\n".to_vec(),
            b"\x0cGET /s HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_vec(),
            b"\x0b\x1cGET /s HTTP/1.1\r\nHost: a.example\r\n\r\n".to_vec(),
            b"\xa0GET /s HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_vec(),
            b"\r\n \tGET /s\r\nHost: evil.example\r\n\r\n".to_vec(),
        ];
        for word in bad {
            let mut client = inside.connect_to("a.example", server.port()).await;
            let heard = say(&mut client, &word).await.map_err(|error| error.kind());
            assert_eq!(heard, Err(ErrorKind::ConnectionReset), "{}", word.escape_ascii());
        }
    });
}

/// A message of the handshake in records of at most `record` bytes: a ServerHello with these random bytes.
fn server_hello(random: &[u8; 32], record: usize) -> Vec<u8> {
    let message = [&[2, 0, 0, 38, 3, 3][..], random, &[0, 0x13, 1, 0]].concat();
    let of = |part: &[u8]| [&[22, 3, 3, 0, u8::try_from(part.len()).unwrap()][..], part].concat();
    message.chunks(record).flat_map(of).collect()
}

#[test]
fn a_second_hello_must_name_the_host_as_well() {
    // RFC 8446, 4.1.3.
    let retry: [u8; 32] = [
        0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
        0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
    ];
    let (change, early) = (&b"\x14\x03\x03\x00\x01\x01"[..], &b"\x17\x03\x03\x00\x03abc"[..]);
    let hello = |name: &str| client_hello(&[name], 600);
    let end = b"\x17\x03\x03\x00\x01x".to_vec();
    // What the server answers, what the client says then, and whether that arrives.
    let cases = [
        (server_hello(&retry, 600), [hello("a.example"), end.clone()].concat(), true),
        (server_hello(&retry, 1), [change, early, &hello("a.example"), change].concat(), true),
        (server_hello(&[7; 32], 600), hello("evil.example"), true),
        (b"\x15\x03\x03\x00\x02\x02\x28".to_vec(), end.clone(), true),
        (server_hello(&retry, 600), hello("evil.example"), false),
        (server_hello(&retry, 7), hello("b.wide.example"), false),
        (server_hello(&retry, 600), [change, early, early, &hello("evil.example")].concat(), false),
        (server_hello(&retry, 600), client_hello(&[], 600), false),
        (server_hello(&retry, 600), hello("evil.example")[..20].to_vec(), false),
        (
            server_hello(&retry, 600),
            [&b"\x15\x03\x03\x00\x02\x01\x5a"[..], &hello("evil.example")].concat(),
            false,
        ),
        // As servers do that make TLS 1.3 look like TLS 1.2 (RFC 8446, D.4).
        ([&server_hello(&retry, 600), change].concat(), hello("evil.example"), false),
        ([&server_hello(&retry, 7), change].concat(), [change, &hello("evil.example")].concat(), false),
        ([&server_hello(&retry, 600), change].concat(), [change, &hello("a.example")].concat(), true),
        ([&server_hello(&retry, 10)[..30], change].concat(), end.clone(), true),
    ];
    run(async {
        let inside = Inside::new(policy(RULES, LOOPBACK)).await;
        inside.dns.addresses("a.example", &["127.0.0.1"]);
        let both = cases.into_iter().flat_map(|case| [false, true].map(|at_once| (at_once, case.clone())));
        for (at_once, (answer, then, arrives)) in both {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = inside.connect_to("a.example", listener.local_addr().unwrap().port()).await;
            let (mut server, _) = listener.accept().await.unwrap();
            let mut first = hello("a.example");
            if at_once {
                client.write_all(&[&first[..], &then].concat()).await.unwrap();
                server.read_exact(&mut first).await.unwrap();
                server.write_all(&answer).await.unwrap();
            } else {
                client.write_all(&first).await.unwrap();
                server.read_exact(&mut first).await.unwrap();
                server.write_all(&answer).await.unwrap();
                client.read_exact(&mut vec![0; answer.len()]).await.unwrap();
                client.write_all(&then).await.unwrap();
            }
            // What is refused may be refused already.
            let _ = client.shutdown().await;
            let mut heard = Vec::new();
            let ended = server.read_to_end(&mut heard).await.map_err(|error| error.kind());
            let expect = if arrives { Ok(then.len()) } else { Err(ErrorKind::ConnectionReset) };
            let told = if arrives { then } else { Vec::new() };
            assert_eq!((ended, heard), (expect, told), "{}, {at_once}", answer.escape_ascii());
        }
    });
}

/// Early data waits for the server's answer, and a client that is done waits for nothing.
#[test]
fn what_follows_a_hello_at_once_arrives_behind_it() {
    run(async {
        let inside = Inside::new(policy(RULES, LOOPBACK)).await;
        let server = echo("").await;
        inside.dns.addresses("a.example", &["127.0.0.1"]);
        let word = [&client_hello(&["a.example"], 600)[..], b"\x17\x03\x03\x00\x03abc"].concat();
        let mut client = inside.connect_to("a.example", server.port()).await;
        assert_eq!(say(&mut client, &word).await.unwrap(), word);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = inside.connect_to("a.example", listener.local_addr().unwrap().port()).await;
        let (mut server, _) = listener.accept().await.unwrap();
        let hello = client_hello(&["a.example"], 600);
        client.write_all(&hello).await.unwrap();
        client.shutdown().await.unwrap();
        let mut heard = Vec::new();
        server.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, hello);
    });
}

#[test]
fn heads_that_come_byte_by_byte_or_never_end() {
    run(async {
        let inside = Inside::new(policy(RULES, LOOPBACK)).await;
        let server = echo("").await;
        inside.dns.addresses("a.example", &["127.0.0.1"]);
        let hello = client_hello(&["a.example"], 600);
        let mut client = inside.connect_to("a.example", server.port()).await;
        client.set_nodelay(true).unwrap();
        for byte in &hello {
            client.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(say(&mut client, "").await.unwrap(), hello);
        let endless = [vec![b'G'; 3], b" /".to_vec(), vec![b'x'; 70_000]].concat();
        for word in [endless, [&b"GET / HTTP/1.1\r\nX: "[..], &[b'y'; 70_000]].concat()] {
            let mut client = inside.connect_to("a.example", server.port()).await;
            assert!(say(&mut client, &word).await.is_err());
        }
        assert_eq!(refusal(&inside).1, "a broken HTTP request");
    });
}

#[test]
fn an_address_that_a_rule_denies_is_not_reached_by_a_name() {
    run(async {
        let rules = [("*", true), ("127.0.0.2", false), ("10.9.8.7", false)];
        let inside =
            Inside::new(policy(&rules, &["127.0.0.0/8", "127.0.0.1/32", "127.0.0.2/32", "::/0"])).await;
        let server = echo("").await;
        let port = server.port();
        inside.dns.addresses("a.example", &["127.0.0.2", "127.0.0.1"]);
        let mut client = inside.connect_to("a.example", port).await;
        assert_eq!(say(&mut client, "\x00").await.unwrap(), b"\x00");
        for (name, address, denied) in [
            ("b.example", "127.0.0.2", "127.0.0.2"),
            ("c.example", "64:ff9b::a09:807", "64:ff9b::a09:807"),
            ("d.example", "10.9.8.7", "10.9.8.7"),
        ] {
            inside.dns.addresses(name, &[address]);
            let place: IpAddr = match inside.resolve(name).await {
                Some(v4) => v4.into(),
                None => inside.resolve6(name).await.unwrap().into(),
            };
            let mut client = inside.connect((place, port)).await;
            assert!(say(&mut client, "\x00").await.is_err());
            let (denials, _) = inside.gate.denials().into_parts();
            let denial = denials.last().unwrap();
            let reason = format!("it leads to {denied}, which a rule denies");
            assert_eq!(denial.reason.as_deref(), Some(reason.as_str()));
            assert_eq!(
                denial.origin.as_ref().unwrap().place.as_ref().unwrap().line,
                if name == "b.example" { 2 } else { 3 }
            );
            assert_eq!(denial.edit, None);
        }
    });
}

#[test]
fn a_name_that_leads_astray_is_refused_at_connect_time() {
    let cases = [
        ("10.0.0.1", "private"),
        ("127.0.0.3", "loopback"),
        ("169.254.1.1", "link-local"),
        ("169.254.169.254", "cloud metadata"),
        ("100.64.0.1", "shared (carrier NAT)"),
        ("224.0.0.1", "multicast"),
        ("0.0.0.0", "unspecified"),
        ("198.18.0.1", "reserved"),
        ("::ffff:10.0.0.1", "private"),
        ("::ffff:127.0.0.1", "loopback"),
        ("64:ff9b::a00:1", "private"),
        ("64:ff9b::7f00:1", "loopback"),
        ("2002:7f00:1::", "loopback"),
        ("fd00::1", "private"),
        ("fe80::1", "link-local"),
        ("::", "unspecified"),
        ("ff02::1", "multicast"),
        ("fd00:ec2::254", "cloud metadata"),
    ];
    run(async {
        for (address, class) in cases {
            let inside = Inside::new(policy(RULES, &[])).await;
            inside.dns.addresses("a.example", &[address]);
            let destination: SocketAddr = if address.contains(':') {
                (inside.resolve6("a.example").await.unwrap(), 443).into()
            } else {
                (inside.resolve("a.example").await.unwrap(), 443).into()
            };
            let mut client = inside.connect(destination).await;
            assert!(say(&mut client, "x").await.is_err(), "{address}");
            let (target, reason) = refusal(&inside);
            assert_eq!(target, "a.example:443");
            assert!(reason.contains(&format!("a {class} address")), "{address}: {reason}");
        }
    });
}

#[test]
fn rebinding_between_question_and_connection_changes_nothing() {
    run(async {
        let inside = Inside::new(policy(RULES, &["127.0.0.2/32"])).await;
        let server = echo("private ").await;
        let allowed = echo_at("127.0.0.2".parse().unwrap(), "allowed ").await;
        inside
            .dns
            .set("a.example", Says::Rebinds("127.0.0.2".parse().unwrap(), "127.0.0.1".parse().unwrap()));
        let address = inside.resolve("a.example").await.unwrap();
        let mut client = inside.connect((address, allowed.port())).await;
        assert_eq!(say(&mut client, "\x00").await.unwrap(), b"allowed \x00");
        // The answer's time is over: the name leads elsewhere now.
        tokio::time::timeout(std::time::Duration::from_millis(1100), std::future::pending::<()>())
            .await
            .unwrap_err();
        let mut client = inside.connect((address, server.port())).await;
        assert!(say(&mut client, "\x00").await.is_err());
        assert!(refusal(&inside).1.contains("leads to 127.0.0.1, a loopback address"));
    });
}

#[test]
fn good_addresses_beside_bad_ones_and_dead_ones_are_used() {
    run(async {
        let inside = Inside::new(policy(RULES, &["127.0.0.2/32", "::1/128"])).await;
        let server = echo_at("127.0.0.2".parse().unwrap(), "here ").await;
        // ::1 has no such server, 10.0.0.1 and 127.0.0.1 are refused, the last one is the right one.
        inside.dns.addresses("a.example", &["10.0.0.1", "::1", "127.0.0.1", "127.0.0.2"]);
        let mut client = inside.connect_to("a.example", server.port()).await;
        assert_eq!(say(&mut client, "\x00").await.unwrap(), b"here \x00");
        assert_eq!(inside.refused(), []);
    });
}

#[test]
fn an_address_that_does_not_answer_holds_nothing_up() {
    run(async {
        let inside = Inside::new(policy(RULES, &["127.0.0.1/32", "127.0.0.2/32"])).await;
        // A queue that is full: the kernel drops what comes beyond it.
        let silent = tokio::net::TcpSocket::new_v4().unwrap();
        silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let silent = silent.listen(1).unwrap();
        let place = silent.local_addr().unwrap();
        let patience = std::time::Duration::from_millis(100);
        let mut queued = Vec::new();
        while let Ok(connected) = tokio::time::timeout(patience, tokio::net::TcpStream::connect(place)).await
        {
            queued.push(connected.unwrap());
        }
        let listener = TcpListener::bind(("127.0.0.2", place.port())).await.unwrap();
        inside.dns.addresses("a.example", &["127.0.0.1", "127.0.0.2"]);
        let mut client = inside.connect_to("a.example", place.port()).await;
        let served = async {
            let (mut server, _) = listener.accept().await.unwrap();
            server.write_all(b"here").await.unwrap();
        };
        let mut heard = [0; 4];
        let both = async { tokio::join!(served, client.read_exact(&mut heard)).1 };
        tokio::time::timeout(std::time::Duration::from_secs(10), both).await.unwrap().unwrap();
        assert_eq!(&heard, b"here");
    });
}

#[test]
fn what_cannot_be_reached_is_told() {
    run(async {
        let inside = Inside::new(policy(RULES, LOOPBACK)).await;
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        inside.dns.addresses("a.example", &["127.0.0.1"]);
        let mut client = inside.connect_to("a.example", free).await;
        assert_eq!(say(&mut client, "x").await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        let expect =
            format!("connect a.example:{free}: could not connect to 127.0.0.1:{free}: connection refused");
        assert_eq!(inside.unreached(), [expect]);
        let server = echo("").await;
        let mut client = inside.connect_to("a.example", server.port()).await;
        assert_eq!(say(&mut client, "x").await.unwrap(), b"x", "the host itself can be reached");
        assert_eq!(inside.unreached().len(), 1);
    });
}

#[test]
fn ports_and_strange_addresses_are_refused() {
    run(async {
        let rules = &[("a.example:443", true), ("10.0.0.5:5432", true), ("*.x.example", true)];
        let inside = Inside::new(policy(rules, &[])).await;
        inside.dns.addresses("a.example", &["192.0.2.1"]);
        let name = inside.resolve("a.example").await.unwrap();
        let cases: [(SocketAddr, &str); 8] = [
            ((name, 80).into(), "a.example:80: allowed, but not on this port"),
            (
                "198.18.200.1:443".parse().unwrap(),
                "198.18.200.1:443: the address stands for no name: look the name up again",
            ),
            ("198.18.0.2:9".parse().unwrap(), "198.18.0.2:9: nothing listens on this port of the gate"),
            ("10.0.0.5:22".parse().unwrap(), "10.0.0.5:22: allowed, but not on this port"),
            ("10.0.0.6:5432".parse().unwrap(), "10.0.0.6:5432: no rule allows it"),
            ("1.1.1.1:443".parse().unwrap(), "1.1.1.1:443: no rule allows it"),
            (
                "127.0.0.1:22".parse().unwrap(),
                "127.0.0.1:22: the sandbox has no loopback: `loopback = true` under `network` gives it one of its own",
            ),
            (
                "[2001:2::9]:1".parse().unwrap(),
                "[2001:2::9]:1: the address stands for no name: look the name up again",
            ),
        ];
        for (destination, _) in &cases {
            let mut client = inside.connect(*destination).await;
            assert_eq!(
                say(&mut client, "x").await.unwrap_err().kind(),
                ErrorKind::ConnectionReset,
                "{destination}"
            );
        }
        let told: Vec<_> =
            inside.refused().into_iter().map(|(_, target, reason)| format!("{target}: {reason}")).collect();
        assert_eq!(told, cases.map(|(_, expect)| expect));
    });
}

#[test]
fn limited_mode_is_refused_where_nothing_can_keep_it() {
    run(async {
        let limited = super::world::policy_with(RULES, LOOPBACK, weir_protocol::policy::NetworkMode::Limited);
        let inside = Inside::new(limited).await;
        let server = echo("").await;
        inside.dns.addresses("a.example", &["127.0.0.1"]);
        let mut client = inside.connect_to("a.example", server.port()).await;
        assert!(say(&mut client, "x").await.is_err());
        assert_eq!(refusal(&inside).1, "`mode = \"limited\"` cannot be kept here");
    });
}
