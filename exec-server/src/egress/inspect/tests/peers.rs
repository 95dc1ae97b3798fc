//! Peers that are slow, endless or huge.

use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::egress::inspect::{HEAD_BYTES, HEAD_TIME, IDLE};

const MIB: usize = 1024 * 1024;

/// Answers with `total` bytes and counts what it could write.
fn download(total: usize, written: &Rc<Cell<usize>>) -> Serve {
    let written = Rc::clone(written);
    Rc::new(move |mut stream| {
        let written = Rc::clone(&written);
        spawn_local(async move {
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n");
            let _ = stream.write_all(head.as_bytes()).await;
            let chunk = vec![b'x'; 16 * 1024];
            while written.get() < total && stream.write_all(&chunk).await.is_ok() {
                written.set(written.get() + chunk.len());
            }
        });
    })
}

/// Lets every other task run until none has anything to do.
async fn settle() {
    for _ in 0..2000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_download_waits_for_the_client_and_arrives_whole() {
    within(async {
        const TOTAL: usize = 64 * MIB;
        let (world, written) = (World::new(), Rc::new(Cell::new(0)));
        let mut client = world.connect(target(Wire::Plain), download(TOTAL, &written));
        client.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n").await.unwrap();
        settle().await;
        assert!(
            (1..MIB).contains(&written.get()),
            "{} bytes are held for a client that reads none",
            written.get()
        );
        let (mut total, mut buffer) = (0, vec![0; 128 * 1024]);
        while let Ok(count @ 1..) = client.read(&mut buffer).await {
            total += count;
            assert!(written.get() < total + MIB);
        }
        assert!((TOTAL..TOTAL + 1024).contains(&total), "{total}");
    })
    .await;
}

#[tokio::test]
async fn a_client_that_sends_all_of_a_refused_body_first_finds_the_answer() {
    within(async {
        let (world, seen) = (World::new(), Seen::default());
        let mut client = world.connect(target(Wire::Plain), http1_echo(&seen));
        let body = vec![b'x'; 8 * MIB];
        let head = format!("PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {}\r\n\r\n", body.len());
        client.write_all(head.as_bytes()).await.unwrap();
        client.write_all(&body).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 403 "), "{}", String::from_utf8_lossy(&answer));
        assert_eq!(seen.take(), Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_told_at_once() {
    within(async {
        let (world, seen) = (World::new(), Seen::default());
        let mut client = world.connect(target(Wire::Plain), http1_echo(&seen));
        let head =
            "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9999999\r\nExpect: 100-continue\r\n\r\n";
        client.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        client.read_exact(&mut answer).await.unwrap();
        assert!(
            answer == *b"HTTP/1.1 403" || answer == *b"HTTP/1.1 100",
            "{}",
            String::from_utf8_lossy(&answer)
        );
    })
    .await;
}

#[tokio::test]
async fn a_head_beyond_the_bound_is_refused_on_either_side() {
    within(async {
        let (world, seen) = (World::new(), Seen::default());
        let mut client = world.connect(target(Wire::Plain), http1_echo(&seen));
        let huge = "x".repeat(2 * HEAD_BYTES);
        let _ = client.write_all(format!("GET / HTTP/1.1\r\nHost: a.example\r\nX: {huge}").as_bytes()).await;
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer).await;
        assert!(answer.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&answer));
        assert_eq!(seen.take(), Vec::<String>::new());

        let serve: Serve = Rc::new(move |mut stream| {
            let huge = huge.clone();
            spawn_local(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\nX: {huge}").as_bytes()).await;
                let _ = stream.read(&mut [0; 4096]).await;
            });
        });
        let mut client = world.connect(target(Wire::Plain), serve);
        let answer = say(&mut client, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("cannot be read"), "{answer}");
    })
    .await;
}

/// How long a connection is held that sends `text` and then nothing.
async fn held(text: &str, serve: Serve) -> Duration {
    let (world, before) = (World::new(), Instant::now());
    let mut client = world.connect(target(Wire::Plain), serve);
    client.write_all(text.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    let _ = client.read_to_end(&mut all).await;
    before.elapsed()
}

#[tokio::test(start_paused = true)]
async fn whoever_stands_still_is_let_go() {
    within(async {
        let silent: Serve = Rc::new(|stream| {
            spawn_local(async move {
                let _stream = stream;
                std::future::pending::<()>().await;
            });
        });
        let seen = Seen::default();
        assert_eq!(held("GET / HTTP/1.1\r\nHost:", http1_echo(&seen)).await.as_secs(), HEAD_TIME.as_secs());
        let waited = held("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", silent).await;
        assert!((IDLE..IDLE + HEAD_TIME * 2).contains(&waited), "{waited:?}");
    })
    .await;
}

/// An answer that breaks off, and one that changes the protocol unasked.
#[tokio::test]
async fn a_broken_answer_is_never_a_whole_one() {
    within(async {
        for (answer, expect) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "HTTP/1.1 200 OK\r\n"),
            (
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
                "HTTP/1.1 502 ",
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "HTTP/1.1 502 "),
            ("220 smtp.example\r\n", "HTTP/1.1 502 "),
            ("", "HTTP/1.1 502 "),
        ] {
            let world = World::new();
            let serve: Serve = Rc::new(move |mut stream| {
                spawn_local(async move {
                    let _ = stream.read(&mut [0; 4096]).await;
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            });
            let mut client = world.connect(target(Wire::Plain), serve);
            client.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await.unwrap();
            let mut told = Vec::new();
            let _ = client.read_to_end(&mut told).await;
            let told = String::from_utf8_lossy(&told);
            assert!(told.starts_with(expect), "{answer:?}: {told}");
            assert!(!told.contains("101 Switching"), "{told}");
        }
    })
    .await;
}
