//! What must hold of the first bytes of any client. Called by the fuzz target and, over the corpus, by `tests/tests/corpus.rs`.

use weir_exec_server::egress::opening::{Kind, MAX_TLS_BYTES, Opening};
use weir_exec_server::egress::refusal::Reason;

/// Longest piece in which bytes arrive.
const PIECE_BYTES: usize = 31;

/// However the bytes are cut, they are the same kind; a server name stands in them as it is; all bytes are kept.
pub(crate) fn run(data: &[u8]) {
    let data = &data[..data.len().min(MAX_TLS_BYTES)];
    let whole = kind(data, |_| data.len().max(1));
    let pieces = kind(data, |at| usize::from(data[at]) % PIECE_BYTES + 1);
    assert_eq!(whole, pieces);
    match whole {
        Ok(Kind::Tls(Some(name))) => {
            assert!(name.is_ascii() && !name.is_empty());
            assert_eq!(data.first(), Some(&22));
        }
        Ok(Kind::Http(Some(host))) => assert!(!host.to_string().is_empty()),
        Ok(Kind::Tls(None) | Kind::Http(None) | Kind::Other) => {}
        Err(reason) => assert!(matches!(reason, Reason::BrokenTls | Reason::BrokenHttp)),
    }
}

fn kind(data: &[u8], length: impl Fn(usize) -> usize) -> Result<Kind, Reason> {
    let (mut opening, mut at) = (Opening::default(), 0);
    while at < data.len() {
        let end = (at + length(at)).min(data.len());
        let kind = opening.feed(&data[at..end])?;
        at = end;
        if let Some(kind) = kind {
            let (judged, behind) = opening.into_parts();
            assert!(behind.is_empty() || matches!(kind, Kind::Tls(_)));
            assert_eq!([judged, behind].concat(), data[..at]);
            return Ok(kind);
        }
    }
    opening.end()
}
