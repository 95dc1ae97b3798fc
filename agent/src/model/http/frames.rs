//! The three ways in which providers cut an answer into pieces, as one stream of frames.
//!
//! Every byte is looked at once, however an answer arrives; no piece may be longer than [`PIECE_BYTES_MAX`], and no answer than
//! [`STREAM_BYTES_MAX`].

mod lines;

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::{self, LocalBoxStream};

use super::super::error::{FrameError, ModelError};
use lines::{Events, Lines};

/// The longest piece of an answer, in bytes. Encrypted reasoning and files in arguments are the longest: a few MiB.
const PIECE_BYTES_MAX: usize = 16 << 20;

/// The longest answer, in bytes as it is sent. The longest that models write have 128,000 tokens, each in a piece of 300 bytes or so:
/// 40 MiB. What is kept of an answer is less than what is sent.
const STREAM_BYTES_MAX: usize = 128 << 20;

/// One piece of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// What it is called outside of its data; often empty.
    pub(crate) kind: String,
    /// Its data: JSON.
    pub(crate) data: String,
    /// Whether it is declared to be an error, outside of its data.
    pub(crate) is_error: bool,
}

/// Pieces of an answer, as they come. Ends after the first error.
pub(crate) type Frames = LocalBoxStream<'static, Result<Frame, ModelError>>;

type Chunks = LocalBoxStream<'static, Result<Bytes, ModelError>>;

/// How an answer is cut into pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// `text/event-stream`.
    Events,
    /// A line for each piece.
    Lines,
    /// `application/vnd.amazon.eventstream`.
    Amazon,
}

/// Takes frames off bytes as they come.
trait Cutter {
    /// The first frame, taken off; none where there is no whole one. `ended`: no further bytes will come.
    fn first(&mut self, bytes: &mut BytesMut, ended: bool) -> Result<Option<Frame>, FrameError>;

    /// Bytes of a frame that were taken off already.
    fn held(&self) -> usize {
        0
    }
}

/// Cuts bytes into frames.
pub(super) fn read(chunks: Chunks, framing: Framing) -> Frames {
    match framing {
        Framing::Events => cut(chunks, Events::default()),
        Framing::Lines => cut(chunks, Lines::default()),
        Framing::Amazon => cut(chunks, Messages),
    }
}

/// What is cut, with what has not been cut yet.
struct Cutting<C> {
    chunks: Chunks,
    cutter: C,
    bytes: BytesMut,
    /// Bytes that have come.
    heard: usize,
    ended: bool,
}

fn cut<C: Cutter + 'static>(chunks: Chunks, cutter: C) -> Frames {
    let cutting = Cutting { chunks, cutter, bytes: BytesMut::new(), heard: 0, ended: false };
    Box::pin(stream::try_unfold(cutting, |mut cutting| async move {
        loop {
            let first = cutting.cutter.first(&mut cutting.bytes, cutting.ended);
            if let Some(frame) = first.map_err(ModelError::Frame)? {
                return Ok(Some((frame, cutting)));
            }
            if cutting.ended {
                return Ok(None);
            }
            if cutting.bytes.len().saturating_add(cutting.cutter.held()) > PIECE_BYTES_MAX {
                return Err(ModelError::Frame(FrameError::TooLong { limit: PIECE_BYTES_MAX }));
            }
            match cutting.chunks.next().await {
                Some(chunk) => {
                    let chunk = chunk?;
                    cutting.heard = cutting.heard.saturating_add(chunk.len());
                    if cutting.heard > STREAM_BYTES_MAX {
                        return Err(ModelError::Endless { limit: STREAM_BYTES_MAX });
                    }
                    cutting.bytes.extend_from_slice(&chunk);
                }
                None => cutting.ended = true,
            }
        }
    }))
}

/// `application/vnd.amazon.eventstream`: a decoder for each message, which takes nothing off before the message is whole.
struct Messages;

impl Cutter for Messages {
    fn first(&mut self, bytes: &mut BytesMut, _ended: bool) -> Result<Option<Frame>, FrameError> {
        message(bytes)
    }
}

fn message(bytes: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
    let mut view: &[u8] = bytes;
    let before = view.len();
    let mut decoder = MessageFrameDecoder::new();
    let DecodedFrame::Complete(message) = decoder.decode_frame(&mut view)? else {
        return Ok(None);
    };
    let taken = before - view.len();
    bytes.advance(taken);
    let header = |name: &str| {
        let found = message.headers().iter().find(|header| header.name().as_str() == name)?;
        found.value().as_string().ok().map(|text| text.as_str().to_owned())
    };
    let error = header(":exception-type").or_else(|| header(":error-code"));
    let is_error = error.is_some();
    let kind = error.or_else(|| header(":event-type")).unwrap_or_default();
    let data = String::from_utf8(message.payload().to_vec()).map_err(|_| FrameError::NotText)?;
    Ok(Some(Frame { kind, data, is_error }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(chunks: &[&[u8]], framing: Framing) -> Vec<Result<Frame, String>> {
        let chunks: Vec<_> = chunks.iter().map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        let frames = read(Box::pin(stream::iter(chunks)), framing);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime
            .block_on(frames.collect::<Vec<_>>())
            .into_iter()
            .map(|frame| frame.map_err(|error| error.to_string()))
            .collect()
    }

    fn frame(kind: &str, data: &str) -> Result<Frame, String> {
        Ok(Frame { kind: kind.to_owned(), data: data.to_owned(), is_error: false })
    }

    #[test]
    fn events_come_whole_however_they_are_cut() {
        let text = ": ping\n\nevent: a\ndata: {\"x\":\ndata: 1}\n\ndata:ü\r\n\r\nid: 7\n\ndata: last";
        let expect = vec![frame("a", "{\"x\":\n1}"), frame("", "ü"), frame("", "last")];
        for size in [1, 2, 3, 7, 100] {
            let chunks: Vec<_> = text.as_bytes().chunks(size).collect();
            assert_eq!(frames(&chunks, Framing::Events), expect, "{size}");
        }
    }

    #[test]
    fn lines_come_whole_and_the_last_needs_no_end() {
        let expect = vec![frame("", "{\"a\":1}"), frame("", "{\"b\":2}")];
        assert_eq!(frames(&[b"{\"a\"", b":1}\n\n{\"b\":", b"2}"], Framing::Lines), expect);
        assert!(frames(&[b"\xff\n"], Framing::Lines)[0].is_err());
    }

    #[test]
    fn messages_of_amazon_come_whole_and_are_checked() {
        use aws_smithy_eventstream::frame::write_message_to;
        let header = |name: &'static str, value: &'static str| {
            aws_smithy_types::event_stream::Header::new(
                name,
                aws_smithy_types::event_stream::HeaderValue::String(value.into()),
            )
        };
        let message = aws_smithy_types::event_stream::Message::new(&b"{}"[..])
            .add_header(header(":event-type", "messageStop"));
        let mut bytes = Vec::new();
        write_message_to(&message, &mut bytes).unwrap();
        bytes.extend_from_within(..);
        for size in [1, 5, 1000] {
            let chunks: Vec<_> = bytes.chunks(size).collect();
            assert_eq!(
                frames(&chunks, Framing::Amazon),
                vec![frame("messageStop", "{}"), frame("messageStop", "{}")],
                "{size}"
            );
        }
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert!(frames(&[&bytes], Framing::Amazon)[1].is_err());
    }

    #[test]
    fn an_answer_without_end_is_refused() {
        let mut line = vec![b'x'; 1 << 20];
        let from = line.len() - 1;
        line[from] = b'\n';
        let chunks: Vec<_> = std::iter::repeat_n(&line[..], 200).collect();
        let got = frames(&chunks, Framing::Lines);
        assert_eq!(got.len(), (STREAM_BYTES_MAX >> 20) + 1);
        let last = got.last().unwrap();
        assert!(last.as_ref().is_err_and(|error| error.contains("longer than 128 MiB")), "{last:?}");
    }

    #[test]
    fn a_piece_without_end_is_refused() {
        let mebibyte = vec![b'x'; 1 << 20];
        for framing in [Framing::Events, Framing::Lines] {
            let mut chunks = vec![&b"data: "[..]];
            chunks.extend(std::iter::repeat_n(&mebibyte[..], 40));
            let got = frames(&chunks, framing);
            assert!(got[0].as_ref().is_err_and(|error| error.contains("longer than")), "{framing:?}");
        }
    }
}
