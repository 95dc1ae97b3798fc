//! The host's proxy, where the profile lets it be used.

use std::cell::RefCell;
use std::rc::Rc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::spawn_local;
use weir_exec_server::egress::upstream::Upstream;

use super::world::{Inside, LOOPBACK, client_hello, echo, policy, run, say, with_upstream};

/// A proxy that gives every tunnel this answer, then echoes; what it was asked.
async fn proxy(answer: &'static str) -> (String, Rc<RefCell<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap();
    let asked = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&asked);
    spawn_local(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let seen = Rc::clone(&seen);
            spawn_local(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await?);
                }
                seen.borrow_mut().push(String::from_utf8(head).unwrap());
                stream.write_all(answer.as_bytes()).await?;
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await?;
                to.shutdown().await
            });
        }
    });
    (format!("http://me:pw@{place}"), asked)
}

const RULES: &[(&str, bool)] = &[("a.example", true), ("direct.example", true)];

#[test]
fn allowed_names_go_through_the_proxy_unresolved() {
    run(async {
        let (proxy, asked) = proxy("HTTP/1.1 200 OK\r\nX: y\r\n\r\nearly ").await;
        let policy = with_upstream(policy(RULES, LOOPBACK));
        let inside =
            Inside::with(policy, |around| around.upstream = Upstream::read(&proxy, "direct.example")).await;
        let server = echo("direct ").await;
        inside.dns.addresses("direct.example", &["127.0.0.1"]);
        let mut client = inside.connect_to("a.example", 443).await;
        let hello = client_hello(&["a.example"], 600);
        assert_eq!(say(&mut client, &hello).await.unwrap(), [b"early ", &hello[..]].concat());
        assert_eq!(
            *asked.borrow(),
            [
                "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\nProxy-Authorization: Basic bWU6cHc=\r\n\r\n"
            ]
        );
        assert_eq!(inside.dns.names(), Vec::<String>::new());
        let mut client = inside.connect_to("a.example", 443).await;
        assert!(say(&mut client, client_hello(&["evil.example"], 600)).await.is_err());
        let mut client = inside.connect_to("direct.example", server.port()).await;
        assert_eq!(say(&mut client, "\x00").await.unwrap(), b"direct \x00");
        assert!(asked.borrow().iter().all(|head| head.starts_with("CONNECT a.example:443 ")));
        assert_eq!(inside.resolve("evil.example").await, None);
    });
}

#[test]
fn a_proxy_that_the_profile_does_not_let_be_used_hears_nothing() {
    run(async {
        let (proxy, asked) = proxy("HTTP/1.1 200 OK\r\n\r\n").await;
        let inside =
            Inside::with(policy(RULES, LOOPBACK), |around| around.upstream = Upstream::read(&proxy, ""))
                .await;
        let server = echo("").await;
        inside.dns.addresses("a.example", &["127.0.0.1"]);
        let mut client = inside.connect_to("a.example", server.port()).await;
        assert_eq!(say(&mut client, "\x00").await.unwrap(), b"\x00");
        assert!(asked.borrow().is_empty());
    });
}

#[test]
fn what_the_proxy_refuses_is_told() {
    run(async {
        let long: &'static str =
            Box::leak(format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(20_000)).into());
        let cases = [
            ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "the host's proxy answered 407"),
            ("SSH-2.0-x\r\n\r\n", "the answer of the host's proxy cannot be read"),
            (long, "the answer of the host's proxy cannot be read"),
        ];
        for (answer, expect) in cases {
            let (proxy, _) = proxy(answer).await;
            let policy = with_upstream(policy(RULES, LOOPBACK));
            let inside = Inside::with(policy, |around| around.upstream = Upstream::read(&proxy, "")).await;
            let mut client = inside.connect_to("a.example", 443).await;
            assert!(say(&mut client, "\x00").await.is_err());
            assert_eq!(inside.unreached(), [format!("connect a.example:443: {expect}")]);
        }
    });
}
