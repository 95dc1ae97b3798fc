//! Plain HTTP/1.1.

use super::*;

/// What the client is told for `text`, how often the server was asked, and what was recorded.
async fn told(text: &str) -> (String, Vec<String>, Vec<(String, Why)>) {
    let (world, seen) = (World::new(), Seen::default());
    let mut client = world.connect(target(Wire::Plain), http1_echo(&seen));
    let answer = say(&mut client, text).await;
    (answer, seen.take(), world.refusals())
}

#[tokio::test]
async fn allowed_requests_pass_one_after_another_on_one_connection() {
    within(async {
        let (answer, seen, refused) = told(
            "GET /a?b HTTP/1.1\r\nHost: a.example\r\n\r\n\
             HEAD /h HTTP/1.1\r\nHost: a.example\r\n\r\n\
             OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n",
        )
        .await;
        let expect = ["GET /a?b", "HEAD /h", "OPTIONS *"].map(|line| format!("HTTP/1.1 {line} a.example"));
        assert_eq!(seen, expect);
        assert_eq!(answer.matches("HTTP/1.1 200 OK\r\n").count(), 3, "{answer}");
        assert!(answer.contains("x-kept: 1") && !answer.contains("alt-svc"), "{answer}");
        assert_eq!(answer.matches("seen: ").count(), 2, "HEAD has no body: {answer}");
        assert_eq!(refused, []);
    })
    .await;
}

#[tokio::test]
async fn a_refusal_says_what_why_and_by_which_rule() {
    within(async {
        let (answer, seen, refused) =
            told("POST /form?token=1 HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nabc").await;
        assert_eq!(seen, Vec::<String>::new());
        assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{answer}");
        assert_eq!(
            answer.split_once("\r\n\r\n").unwrap().1,
            "weir: POST http://a.example/form was refused: `mode = \"limited\"` allows GET, HEAD and OPTIONS alone, not POST\n\
             profile: team-standard\nrule: mode = \"limited\" (config.toml:12)\n"
        );
        let method = hyper::Method::POST;
        assert_eq!(refused, [("POST http://a.example/form".to_owned(), Why::Method(method))]);
    })
    .await;
}

/// Each is refused, nothing of it reaches the server, and what stands behind it is not taken for a request.
#[tokio::test]
async fn what_hides_a_request_is_refused() {
    const BEHIND: &str = "DELETE /hidden HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let heads = [
        "GET / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 44\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 44\r\nContent-Length: 43\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 44\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\n X-Folded: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\nX: a\rY: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\nX: a\0b\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: a.example\r\n\r\n",
        "GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: b.example\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n",
        "CONNECT a.example:80 HTTP/1.1\r\nHost: a.example:80\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\nX-HTTP-Method-Override: DELETE\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "\x00\x00\x00\x08\x04\u{d2}\x16\x2f",
    ];
    within(async {
        for head in heads {
            let (answer, seen, refused) = told(&format!("{head}{BEHIND}")).await;
            assert_eq!(seen, Vec::<String>::new(), "{head:?}");
            assert!(!answer.contains("HTTP/1.1 200"), "{head:?}: {answer}");
            assert!(!refused.is_empty(), "{head:?}: {answer}");
        }
    })
    .await;
}

/// The control of the test before: these pass, and nothing of their framing reaches the server.
#[tokio::test]
async fn what_only_looks_odd_passes_in_plain_form() {
    let heads = [
        "GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET /x HTTP/1.1\nHost: a.example\n\n",
        "GET /x HTTP/1.0\r\nHost: a.example\r\n\r\n",
        "GET http://a.example/x HTTP/1.1\r\nHost: A.EXAMPLE.:80\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n0\r\nTrailer: 1\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n\r\n",
        "\r\nGET /x HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ];
    within(async {
        for head in heads {
            let (world, sent) = (World::new(), Rc::new(RefCell::new(Vec::new())));
            let log = Rc::clone(&sent);
            let serve: Serve = Rc::new(move |mut stream| {
                let log = Rc::clone(&log);
                spawn_local(async move {
                    let mut buffer = [0; 4096];
                    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                        log.borrow_mut().extend_from_slice(&buffer[..count]);
                        if log.borrow().ends_with(b"\r\n\r\n") {
                            stream
                                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                                .await
                                .unwrap();
                        }
                    }
                });
            });
            let mut client = world.connect(target(Wire::Plain), serve);
            let answer = say(&mut client, head).await;
            assert!(answer.ends_with("ok"), "{head:?}: {answer}");
            let sent = String::from_utf8(sent.take()).unwrap().to_ascii_lowercase();
            assert_eq!(sent, "get /x http/1.1\r\nhost: a.example\r\n\r\n", "{head:?}");
            assert_eq!(world.refusals(), []);
        }
    })
    .await;
}

#[tokio::test]
async fn the_server_that_hung_up_meanwhile_is_asked_once_more() {
    within(async {
        let world = World::new();
        // Answers one request, promises to stay, and goes.
        let serve: Serve = Rc::new(|mut stream| {
            spawn_local(async move {
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            });
        });
        let client = world.connect(target(Wire::Plain), serve);
        let mut sender = http1(client).await;
        for _ in 0..3 {
            sender.ready().await.unwrap();
            let response = sender.send_request(request("GET", "/", Version::HTTP_11)).await.unwrap();
            assert_eq!(read(response).await, (200, "ok".to_owned()));
        }
        assert_eq!(world.dialed.get(), 3);
    })
    .await;
}

#[tokio::test]
async fn no_way_to_the_server_is_told() {
    within(async {
        let world = World::new();
        let dial = Dialer { serve: Err(io::ErrorKind::HostUnreachable), dialed: Rc::default() };
        let mut client = world.connect_by(target(Wire::Plain), dial);
        let answer = say(&mut client, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{answer}");
        assert!(answer.ends_with("weir: no answer from http://a.example: host unreachable\n"), "{answer}");
    })
    .await;
}
