//! TLS that is taken off and put on again, HTTP/1.1 and HTTP/2.

use super::*;
use crate::egress::inspect::tls::{H2, HTTP_11};

const BOTH: &[&[u8]] = &[H2, HTTP_11];

/// The server's side: HTTP/1.1 or HTTP/2, as was agreed.
fn by_alpn(seen: &Seen) -> Rc<dyn Fn(ServerTls)> {
    let (one, two) = (http1_echo(seen), http2_echo(seen));
    Rc::new(
        move |stream: ServerTls| {
            if stream.get_ref().1.alpn_protocol() == Some(H2) { two(stream) } else { one(stream) }
        },
    )
}

/// Both sides speak what client and server have in common.
#[tokio::test]
async fn what_the_server_speaks_is_spoken_with_the_client() {
    type Case = (&'static [&'static [u8]], &'static [&'static [u8]], Option<&'static [u8]>, Version);
    let cases: [Case; 5] = [
        (BOTH, BOTH, Some(H2), Version::HTTP_2),
        (BOTH, &[HTTP_11], Some(HTTP_11), Version::HTTP_11),
        (&[HTTP_11], BOTH, Some(HTTP_11), Version::HTTP_11),
        (&[], BOTH, None, Version::HTTP_11),
        (BOTH, &[], Some(HTTP_11), Version::HTTP_11),
    ];
    within(async {
        for (offered, known, agreed, version) in cases {
            let (world, seen) = (World::new(), Seen::default());
            let serve = world.tls_server("a.example", known, by_alpn(&seen));
            let stream = world.connect(target(Wire::Tls), serve);
            let stream = world.tls(stream, "a.example", offered).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), agreed);
            let (expect, response) = if version == Version::HTTP_2 {
                let sent =
                    http2(stream).await.send_request(request("GET", "https://a.example/x", version)).await;
                ("HTTP/2.0 GET https://a.example/x ", sent)
            } else {
                let sent = http1(stream).await.send_request(request("GET", "/x", version)).await;
                ("HTTP/1.1 GET /x a.example", sent)
            };
            assert_eq!(read(response.unwrap()).await, (200, format!("seen: {expect}")));
            assert_eq!(seen.take(), [expect]);
            assert_eq!((world.refusals(), world.dialed.get()), (vec![], 1));
        }
    })
    .await;
}

#[tokio::test]
async fn requests_on_one_http2_connection_are_judged_each() {
    within(async {
        let (world, seen) = (World::new(), Seen::default());
        let serve = world.tls_server("a.example", BOTH, by_alpn(&seen));
        let stream = world.connect(target(Wire::Tls), serve);
        let mut sender = http2(world.tls(stream, "a.example", BOTH).await.unwrap()).await;
        let cases = [
            ("GET", "https://a.example/1", 200),
            ("POST", "https://a.example/2", 403),
            ("GET", "https://b.example/3", 403),
            ("HEAD", "https://a.example/4", 200),
            ("OPTIONS", "https://a.example/5", 200),
            ("DELETE", "https://a.example/6", 403),
            ("CONNECT", "a.example:443", 403),
            ("GET", "http://a.example/7", 403),
            ("GET", "https://a.example:444/8", 403),
        ];
        for (method, uri, expect) in cases {
            let response = sender.send_request(request(method, uri, Version::HTTP_2)).await.unwrap();
            let (status, body) = read(response).await;
            assert_eq!(status, expect, "{method} {uri}: {body}");
            assert!(status == 200 || body.contains("rule: mode = \"limited\" (config.toml:12)"), "{body}");
        }
        let mut with_body = request("GET", "https://a.example/9", Version::HTTP_2);
        *with_body.body_mut() = Full::from("secret");
        assert_eq!(sender.send_request(with_body).await.unwrap().status(), 403);
        assert_eq!(seen.borrow().len(), 3, "{seen:?}");
        assert_eq!(world.refusals().len(), 7);
    })
    .await;
}

#[tokio::test]
async fn requests_at_once_are_answered_each_by_its_own_answer() {
    within(async {
        let (world, seen) = (World::new(), Seen::default());
        let serve = world.tls_server("a.example", BOTH, by_alpn(&seen));
        let stream = world.connect(target(Wire::Tls), serve);
        let sender = http2(world.tls(stream, "a.example", BOTH).await.unwrap()).await;
        let mut all = tokio::task::JoinSet::new();
        for number in 0..300 {
            let mut sender = sender.clone();
            all.spawn_local(async move {
                let uri = format!("https://a.example/{number}");
                let response = sender.send_request(request("GET", &uri, Version::HTTP_2)).await.unwrap();
                assert_eq!(read(response).await, (200, format!("seen: HTTP/2.0 GET {uri} ")));
            });
        }
        all.join_all().await;
        assert_eq!((seen.borrow().len(), world.dialed.get()), (300, 1));
    })
    .await;
}

#[tokio::test]
async fn another_server_name_is_refused_before_anything_is_dialed() {
    within(async {
        let address = Target { host: Host::parse("192.0.2.7").unwrap(), port: 443, wire: Wire::Tls };
        for (target, name, recorded) in [
            (target(Wire::Tls), "b.example", "the server name b.example"),
            (target(Wire::Tls), "192.0.2.7", "no server name"),
            (address, "a.example", "the server name a.example"),
        ] {
            let (world, seen) = (World::new(), Seen::default());
            let serve = world.tls_server("a.example", BOTH, by_alpn(&seen));
            let stream = world.connect(target, serve);
            let error = world.tls(stream, name, BOTH).await.unwrap_err();
            assert!(error.to_string().contains("AccessDenied"), "{error}");
            let why = world.refusals().into_iter().map(|(_, why)| why).collect::<Vec<_>>();
            assert_eq!(why, [Why::OtherServerName(recorded.to_owned())]);
            assert_eq!(world.dialed.get(), 0);
        }
    })
    .await;
}

#[tokio::test]
async fn a_literal_address_needs_no_server_name() {
    within(async {
        let (world, seen) = (World::new(), Seen::default());
        let target = Target { host: Host::parse("192.0.2.7").unwrap(), port: 443, wire: Wire::Tls };
        let serve = world.tls_server("192.0.2.7", BOTH, by_alpn(&seen));
        let stream = world.connect(target, serve);
        let stream = world.tls(stream, "192.0.2.7", BOTH).await.unwrap();
        let sent =
            http2(stream).await.send_request(request("GET", "https://192.0.2.7/x", Version::HTTP_2)).await;
        assert_eq!(sent.unwrap().status(), 200);
    })
    .await;
}

/// A server whose certificate no client should accept is not spoken to; the client is told why.
#[tokio::test]
async fn broken_certificates_of_servers_are_told() {
    within(async {
        let stranger = Authority::new().unwrap();
        for offered in [BOTH, &[H2], &[HTTP_11]] {
            let (world, seen) = (World::new(), Seen::default());
            let wrong_name = world.tls_server("b.example", BOTH, by_alpn(&seen));
            let unknown = tls_server_of(&stranger, "a.example", BOTH, by_alpn(&seen));
            let no_tls: Serve = Rc::new(|mut stream| {
                spawn_local(async move {
                    let _ = stream.write_all(b"220 hello\r\n").await;
                });
            });
            for (serve, reason) in [
                (wrong_name, "not valid for name"),
                (unknown, "UnknownIssuer"),
                (no_tls, "TLS with the server failed"),
            ] {
                let stream = world.connect(target(Wire::Tls), serve);
                let stream = world.tls(stream, "a.example", offered).await.unwrap();
                let (status, body) = if offered == [H2] {
                    let asked = request("GET", "https://a.example/", Version::HTTP_2);
                    read(http2(stream).await.send_request(asked).await.unwrap()).await
                } else {
                    read(
                        http1(stream)
                            .await
                            .send_request(request("GET", "/", Version::HTTP_11))
                            .await
                            .unwrap(),
                    )
                    .await
                };
                assert_eq!(status, 502);
                assert!(body.starts_with("weir: no answer from https://a.example: TLS"), "{body}");
                assert!(body.contains(reason), "{reason}: {body}");
            }
            assert_eq!(seen.take(), Vec::<String>::new());
        }
    })
    .await;
}

#[tokio::test]
async fn a_program_that_does_not_trust_the_authority_is_recorded() {
    within(async {
        let (mut world, seen) = (World::new(), Seen::default());
        world.trusted_inside = world.host_authority.certificate_pem().to_owned();
        let serve = world.tls_server("a.example", BOTH, by_alpn(&seen));
        let stream = world.connect(target(Wire::Tls), serve);
        let error = world.tls(stream, "a.example", BOTH).await.unwrap_err();
        assert!(error.to_string().contains("UnknownIssuer"), "{error}");
        while world.refused.borrow().is_empty() {
            tokio::task::yield_now().await;
        }
        assert!(matches!(world.refusals()[..], [(_, Why::NotTrusted(_))]));
    })
    .await;
}

#[tokio::test]
async fn what_is_not_http_by_its_own_word_is_refused() {
    within(async {
        let (world, seen) = (World::new(), Seen::default());
        let serve = world.tls_server("a.example", BOTH, by_alpn(&seen));
        let stream = world.connect(target(Wire::Tls), serve);
        assert!(world.tls(stream, "a.example", &[b"postgresql"]).await.is_err());
        assert_eq!(world.refusals(), [("https://a.example".to_owned(), Why::NotHttp)]);
        assert_eq!(world.dialed.get(), 0);
    })
    .await;
}
