//! What must hold of any bytes that arrive on a socket. Called by the fuzz target and, over the corpus, by
//! `tests/tests/corpus.rs`.

use weir_protocol::frame::{self, Deframer, Frame, FrameError};

/// Longest piece in which bytes arrive.
const PIECE_BYTES: usize = 31;

/// The bytes are cut in two ways: they give the same frames, then the same error or none. Frames are put together again as the bytes that
/// they came from, and no more is held than was fed.
pub(crate) fn run(data: &[u8]) {
    let (whole, error) = frames(data, |_| data.len().max(1));
    let (pieces, same) = frames(data, |at| usize::from(data[at]) % PIECE_BYTES + 1);
    assert_eq!(whole, pieces);
    assert_eq!(error, same);
    assert!(data.starts_with(&whole));
    let mut buffer = data.to_vec();
    let mut taken = 0;
    while let Ok(Some(payload)) = frame::take(&mut buffer) {
        taken += frame::HEADER_BYTES + payload.len();
    }
    assert_eq!(taken + buffer.len(), data.len());
}

/// The bytes of every frame, one behind the other, and why there are no more.
fn frames(data: &[u8], length: impl Fn(usize) -> usize) -> (Vec<u8>, Option<FrameError>) {
    let (mut deframer, mut out, mut at) = (Deframer::default(), Vec::new(), 0);
    loop {
        match deframer.take() {
            Ok(Some(Frame::Control(payload))) => out.extend(frame::control(payload).unwrap_or_default()),
            Ok(Some(Frame::Data(place, bytes))) => {
                out.extend(frame::data_header(place, bytes.len()).into_iter().flatten());
                out.extend(bytes);
            }
            Ok(Some(Frame::Credit(credit))) => out.extend(frame::credit(credit)),
            Ok(None) if at < data.len() => {
                let end = (at + length(at)).min(data.len());
                deframer.extend(&data[at..end]);
                at = end;
            }
            Ok(None) => {
                assert_eq!(deframer.is_empty(), out.len() == data.len());
                return (out, None);
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                return (out, Some(error));
            }
        }
    }
}
