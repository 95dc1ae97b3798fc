//! Every way around host rules that is known from elsewhere, by name, address and proxy, each beside a control that leads through.

use hickory_proto::rr::RecordType;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use weir_protocol::gate::{HTTP_PORT, PROXY, SOCKS_PORT};

use super::world::{Inside, LOOPBACK, echo, policy, run, say};

/// The status of a CONNECT.
async fn tunnel(inside: &Inside, target: &str) -> u16 {
    let mut client = inside.connect((PROXY, HTTP_PORT)).await;
    client.write_all(format!("CONNECT {target} HTTP/1.1\r\n\r\n").as_bytes()).await.unwrap();
    let mut status = [0; 12];
    client.read_exact(&mut status).await.unwrap();
    std::str::from_utf8(&status[9..]).unwrap().parse().unwrap()
}

/// SOCKS5's answer about a name.
async fn socks(inside: &Inside, name: &str, port: u16) -> u8 {
    let mut client = inside.connect((PROXY, SOCKS_PORT)).await;
    let length = [u8::try_from(name.len()).unwrap()];
    let asked = [&[5, 1, 0, 5, 1, 0, 3][..], &length, name.as_bytes(), &port.to_be_bytes()].concat();
    client.write_all(&asked).await.unwrap();
    let mut answer = [0; 4];
    client.read_exact(&mut answer).await.unwrap();
    answer[3]
}

/// Names of denied hosts, and addresses in every notation that a C library reads.
const BAD: &[&str] = &[
    "denied.example",
    "DENIED.example.",
    "evil.example",
    "a.example.evil.example",
    "evil.example.a.example",
    "xa.example",
    "a_example",
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "localhost",
    "LOCALHOST.",
    "a.localhost",
    "10.1",
    "167772161",
    "169.254.169.254",
    "2852039166",
    "0",
    "metadata.google.internal",
];

/// IPv6 in which an IPv4 address of this machine stands, and the like.
const LITERALS: &[&str] = &[
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[fd00:ec2::254]",
    "[::]",
];

/// What is no host at all.
const STRANGE: &[&str] = &[
    "a.example@evil.example",
    "a.example/@evil.example",
    "a.example#@evil.example",
    "evil.example?a.example",
    "http://a.example",
];

#[test]
fn no_notation_of_a_denied_host_leads_through_and_every_one_of_an_allowed_host_does() {
    run(async {
        let rules = &[("a.example", true), ("bücher.example", true), ("denied.example", false)];
        let inside = Inside::new(policy(rules, LOOPBACK)).await;
        let port = echo("").await.port();
        for name in ["a.example", "xn--bcher-kva.example", "denied.example", "evil.example"] {
            inside.dns.addresses(name, &["127.0.0.1"]);
        }
        for name in [
            "a.example",
            "a.example.",
            "A.EXAMPLE",
            "A.Example.",
            "XN--BCHER-KVA.example",
            "bücher.example",
            "BÜCHER.example.",
        ] {
            // Octets beyond ASCII have no place in a request line.
            if name.is_ascii() {
                assert_eq!(tunnel(&inside, &format!("{name}:{port}")).await, 200, "{name}");
                assert!(inside.resolve(name).await.is_some(), "{name}");
            }
            assert_eq!(socks(&inside, name, port).await, 0, "{name}");
        }
        inside.dns.asked.borrow_mut().clear();
        for name in BAD {
            assert_ne!(tunnel(&inside, &format!("{name}:{port}")).await, 200, "{name}");
            assert_eq!(socks(&inside, name, port).await, 2, "{name}");
            let local = name.to_lowercase().trim_end_matches('.').ends_with("localhost");
            if !local {
                assert_eq!(inside.query(name, RecordType::A).await.answers.len(), 0, "{name}");
            }
        }
        for literal in LITERALS {
            assert_eq!(tunnel(&inside, &format!("{literal}:{port}")).await, 403, "{literal}");
        }
        for target in STRANGE {
            assert_eq!(tunnel(&inside, &format!("{target}:{port}")).await, 400, "{target}");
        }
        assert_eq!(inside.dns.names(), Vec::<String>::new(), "nothing of it left the machine");
    });
}

#[test]
fn addresses_that_a_program_connects_to_without_a_name_are_refused() {
    run(async {
        let inside = Inside::new(policy(&[("a.example", true)], LOOPBACK)).await;
        let port = echo("").await.port();
        inside.dns.addresses("a.example", &["127.0.0.1"]);
        let mut control = inside.connect_to("a.example", port).await;
        assert_eq!(say(&mut control, "\x00").await.unwrap(), b"\x00");
        for address in [
            "127.0.0.1",
            "::1",
            "::ffff:127.0.0.1",
            "10.0.0.1",
            "169.254.169.254",
            "8.8.8.8",
            "2606:4700::1111",
            "0.0.0.0",
        ] {
            let address: std::net::IpAddr = address.parse().unwrap();
            let mut client = inside.connect((address, port)).await;
            assert!(say(&mut client, "\x00").await.is_err(), "{address}");
        }
    });
}

#[test]
fn an_empty_list_means_nothing_and_a_pattern_that_never_matches_as_well() {
    run(async {
        for rules in [&[][..], &[("a.example", false)], &[("never.invalid", true)]] {
            let inside = Inside::new(policy(rules, LOOPBACK)).await;
            inside.dns.addresses("a.example", &["127.0.0.1"]);
            assert_eq!(inside.resolve("a.example").await, None);
            assert_eq!(tunnel(&inside, "a.example:443").await, 403);
            assert_eq!(tunnel(&inside, "1.1.1.1:443").await, 403);
            assert_eq!(inside.dns.names(), Vec::<String>::new());
        }
    });
}

#[test]
fn everything_but_a_denied_name_is_no_way_to_it_by_address() {
    run(async {
        let rules = &[("*", true), ("evil.example", false)];
        let inside = Inside::new(policy(rules, &["127.0.0.1/32"])).await;
        let port = echo("").await.port();
        inside.dns.addresses("good.example", &["127.0.0.1"]);
        let hello = super::world::client_hello(&["evil.example"], 600);
        let mut client = inside.connect_to("good.example", port).await;
        assert!(say(&mut client, &hello).await.is_err());
        assert_eq!(inside.resolve("evil.example").await, None);
    });
}
