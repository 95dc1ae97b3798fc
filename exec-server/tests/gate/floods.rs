//! Slow, huge and many: what one program does to the gate harms no other, and takes bounded room.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::world::{Inside, LOOPBACK, client_hello, echo, policy, run, say};

/// What hangs is an error after this.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long nothing goes before a side counts as stuck.
const STUCK: Duration = Duration::from_millis(300);

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

async fn inside() -> Inside {
    let inside = Inside::new(policy(&[("a.example", true)], LOOPBACK)).await;
    inside.dns.addresses("a.example", &["127.0.0.1"]);
    inside
}

/// Writes until nothing goes any more; how much went.
async fn fill(stream: &mut TcpStream) -> usize {
    let (chunk, mut sent) = (vec![0; 64 << 10], 0);
    while let Ok(written) = timeout(STUCK, stream.write(&chunk)).await {
        sent += written.unwrap();
    }
    sent
}

#[test]
fn a_side_that_does_not_read_slows_the_other_down_and_loses_nothing() {
    run(async {
        let inside = inside().await;
        let (listener, port) = listener().await;
        let mut client = inside.connect_to("a.example", port).await;
        let (mut server, _) = listener.accept().await.unwrap();
        let sent = fill(&mut client).await;
        assert!(sent < 64 << 20, "{sent} bytes are on the way");
        let sent_back = fill(&mut server).await;
        assert!(sent_back < 64 << 20, "{sent_back} bytes are on the way");
        client.shutdown().await.unwrap();
        server.shutdown().await.unwrap();
        let (mut up, mut down) = (Vec::new(), Vec::new());
        let both =
            async { tokio::try_join!(server.read_to_end(&mut up), client.read_to_end(&mut down)).unwrap() };
        timeout(PATIENCE, both).await.unwrap();
        assert_eq!((up.len(), down.len()), (sent, sent_back));
    });
}

#[test]
fn each_direction_ends_by_itself() {
    run(async {
        let inside = inside().await;
        let (listener, port) = listener().await;
        let mut client = inside.connect_to("a.example", port).await;
        let (mut server, _) = listener.accept().await.unwrap();
        server.write_all(b"last").await.unwrap();
        server.shutdown().await.unwrap();
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"last");
        client.write_all(b"\x00more").await.unwrap();
        client.shutdown().await.unwrap();
        heard.clear();
        server.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"\x00more");
    });
}

#[test]
fn a_reset_is_passed_on() {
    run(async {
        let inside = inside().await;
        let (listener, port) = listener().await;
        for from_client in [false, true] {
            let mut client = inside.connect_to("a.example", port).await;
            client.write_all(b"\x00").await.unwrap();
            let (mut server, _) = listener.accept().await.unwrap();
            server.read_exact(&mut [0]).await.unwrap();
            let (ends, mut hears) = if from_client { (client, server) } else { (server, client) };
            ends.set_zero_linger().unwrap();
            drop(ends);
            let heard = timeout(PATIENCE, hears.read(&mut [0])).await.unwrap();
            assert_eq!(heard.unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
    });
}

#[test]
fn a_flood_in_one_sandbox_starves_no_other() {
    run(async {
        let (flooding, quiet) = (inside().await, inside().await);
        let (listener, port) = listener().await;
        spawn_local(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                spawn_local(async move { tokio::io::copy(&mut stream, &mut tokio::io::sink()).await });
            }
        });
        for _ in 0..8 {
            let mut client = flooding.connect_to("a.example", port).await;
            spawn_local(async move {
                let chunk = vec![0; 256 << 10];
                while client.write_all(&chunk).await.is_ok() {}
            });
        }
        let server = echo("").await;
        let work = async {
            for _ in 0..50 {
                let mut client = quiet.connect_to("a.example", server.port()).await;
                assert_eq!(say(&mut client, "\x00ping").await.unwrap(), b"\x00ping");
            }
        };
        timeout(PATIENCE, work).await.unwrap();
    });
}

#[test]
fn five_hundred_connections_at_once_all_come_through() {
    run(async {
        let inside = inside().await;
        let server = echo("").await;
        let address = inside.resolve("a.example").await.unwrap();
        let mut all = Vec::new();
        for at in 0..500_u32 {
            let mut client = inside.connect((address, server.port())).await;
            client.write_all(&[&[0][..], &at.to_be_bytes()].concat()).await.unwrap();
            all.push(client);
        }
        for (mut client, at) in all.into_iter().zip(0_u32..) {
            let mut heard = [0; 5];
            timeout(PATIENCE, client.read_exact(&mut heard)).await.unwrap().unwrap();
            assert_eq!(heard[1..], at.to_be_bytes());
        }
    });
}

#[test]
fn there_may_be_so_many_connections_and_places_become_free_again() {
    run(async {
        let inside =
            Inside::with(policy(&[("a.example", true)], LOOPBACK), |around| around.limits.connections = 3)
                .await;
        inside.dns.addresses("a.example", &["127.0.0.1"]);
        let server = echo("").await;
        let mut held = Vec::new();
        for _ in 0..3 {
            let mut client = inside.connect_to("a.example", server.port()).await;
            client.write_all(b"\x00").await.unwrap();
            client.read_exact(&mut [1]).await.unwrap();
            held.push(client);
        }
        let mut client = inside.connect_to("a.example", server.port()).await;
        assert!(say(&mut client, "\x00").await.is_err());
        assert_eq!(inside.refused()[0].2, "more than 3 connections at once");
        let mut first = held.remove(0);
        assert_eq!(say(&mut first, "").await.unwrap(), b"");
        let again = async {
            loop {
                let mut client = inside.connect_to("a.example", server.port()).await;
                if say(&mut client, "\x00").await.is_ok_and(|heard| heard == b"\x00") {
                    break;
                }
            }
        };
        timeout(PATIENCE, again).await.unwrap();
    });
}

#[test]
fn where_nothing_passes_for_too_long_the_connection_ends() {
    run(async {
        let inside = Inside::with(policy(&[("a.example", true)], LOOPBACK), |around| {
            around.limits.idle = Duration::from_millis(200);
            around.limits.opening = Duration::from_millis(200);
        })
        .await;
        inside.dns.addresses("a.example", &["127.0.0.1"]);
        let server = echo("").await;
        let mut client = inside.connect_to("a.example", server.port()).await;
        client.write_all(b"\x00").await.unwrap();
        client.read_exact(&mut [1]).await.unwrap();
        assert!(timeout(PATIENCE, client.read(&mut [1])).await.unwrap().is_err());
        let half = &client_hello(&["a.example"], 600)[..20];
        let mut client = inside.connect_to("a.example", server.port()).await;
        client.write_all(half).await.unwrap();
        assert!(timeout(PATIENCE, client.read(&mut [1])).await.unwrap().is_err());
        assert!(inside.refused()[0].2.starts_with("the first bytes did not come whole in time"));
    });
}

#[test]
fn closing_the_gate_ends_what_it_serves() {
    run(async {
        let inside = inside().await;
        inside.gate.close();
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(inside.resolver).await.unwrap();
        let gone = async {
            // The socket closes when the task that held it has been dropped, and then the kernel says so.
            while socket.send(b"x").await.is_ok() {
                if let Ok(heard) = timeout(Duration::from_millis(20), socket.recv(&mut [0; 16])).await {
                    return assert_eq!(heard.unwrap_err().kind(), ErrorKind::ConnectionRefused);
                }
            }
        };
        timeout(PATIENCE, gone).await.unwrap();
    });
}

#[test]
fn connections_that_nobody_reads_hold_a_bounded_amount_together() {
    const HELD: usize = 1 << 20;
    run(async {
        let rules = policy(&[("a.example", true)], LOOPBACK);
        let inside = Inside::with(rules, |around| around.limits.held_bytes = HELD).await;
        inside.dns.addresses("a.example", &["127.0.0.1"]);
        let (listener, port) = listener().await;
        let mut all = Vec::new();
        for _ in 0..12 {
            let mut client = inside.connect_to("a.example", port).await;
            fill(&mut client).await;
            all.push((client, listener.accept().await.unwrap()));
        }
        let held = inside.gate.held_bytes();
        assert!(held > HELD / 2 && held < HELD + (512 << 10), "{held}");
        drop(all);
        let freed = async {
            while inside.gate.held_bytes() > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, freed).await.unwrap();
    });
}

#[test]
fn much_is_carried_unchanged_both_ways_at_once() {
    /// More than what is copied before the kernel carries by itself, and no multiple of any buffer.
    const BYTES: usize = (24 << 20) + 4321;
    run(async {
        let inside = inside().await;
        let server = echo("").await;
        let word: Vec<u8> = (0..BYTES).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect();
        let mut client = inside.connect_to("a.example", server.port()).await;
        let (mut from, mut to) = client.split();
        let mut heard = Vec::new();
        let both = async {
            let says = async {
                to.write_all(&word).await?;
                to.shutdown().await
            };
            tokio::try_join!(says, from.read_to_end(&mut heard)).unwrap()
        };
        timeout(PATIENCE, both).await.unwrap();
        assert!(heard == word, "{} of {BYTES} bytes came back", heard.len());
    });
}
