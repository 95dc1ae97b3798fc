//! What must hold of what clients say to the proxy endpoints. Called by the fuzz target and, over the corpus, by
//! `tests/tests/corpus.rs`.

use weir_exec_server::egress::proxy::body::Body;
use weir_exec_server::egress::proxy::{http, socks};
use weir_exec_server::egress::upstream::{Upstream, status};

/// Nothing is taken that is not there; a request that is passed on is one request, for one host, and the last one of its connection; its
/// body ends in the same place however it is cut.
pub(crate) fn run(data: &[u8]) {
    if let Ok(Some((_, taken))) = socks::greeting(data) {
        assert!(taken <= data.len());
    }
    if let Ok(Some((host, _, taken))) = socks::request(data) {
        assert!(taken <= data.len() && !host.to_string().is_empty());
    }
    match http::read(data) {
        Ok(http::Asked::Tunnel(_, port)) => assert_ne!(port, 0),
        Ok(http::Asked::Forward { host, port, head, body }) => {
            assert_ne!(port, 0);
            let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
            assert_eq!(text.find("\r\n\r\n"), Some(text.len() - 4), "{text}");
            assert_eq!(text.matches("\r\nhost: ").count(), 1, "{text}");
            assert!(text.ends_with("\r\nconnection: close\r\n\r\n") && !host.to_string().is_empty());
            assert_eq!(ends(body.clone(), data, data.len().max(1)), ends(body, data, 3));
        }
        Err(reason) => assert!(!reason.to_string().is_empty()),
    }
    let _ = status(data);
    if let Ok(text) = std::str::from_utf8(data) {
        let (proxy, direct) = text.split_once('\n').unwrap_or((text, ""));
        assert!(Upstream::read(proxy, direct).is_none_or(|read| !read.host.to_string().is_empty()));
    }
}

/// Where a body ends in `data`, cut into pieces; `None` where it is broken.
fn ends(mut body: Body, data: &[u8], piece: usize) -> Option<usize> {
    let mut taken = 0;
    for bytes in data.chunks(piece) {
        let count = body.take(bytes).ok()?;
        assert!(count <= bytes.len() && (count == bytes.len() || body.is_whole()));
        taken += count;
    }
    Some(taken)
}
