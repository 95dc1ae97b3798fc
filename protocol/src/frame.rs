//! Frames of the socket: a length, a kind, and bytes. Bounded before anything is allocated; no I/O here.
//!
//! A frame is four bytes of payload length (big endian), one byte of kind, and the payload. Bytes of a command's streams
//! travel raw behind their place in the stream; how far a sender may go is told by a frame of its own, so that no JSON is read
//! or written for output.

use std::convert::Infallible;

use serde::{Deserialize, Serialize};

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 5;

/// Largest control frame, in bytes: room for the largest policy with all its origins.
pub const MAX_CONTROL_BYTES: usize = 16 << 20;

/// Bytes of [`Place`] before the raw bytes of a data frame.
pub const PLACE_BYTES: usize = 17;

/// Most raw bytes of one data frame: so long that a frame costs little beside its bytes, so short that an answer waits little.
pub const MAX_DATA_BYTES: usize = 256 << 10;

/// Payload bytes of a credit frame.
const CREDIT_BYTES: usize = PLACE_BYTES + 8;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A JSON-RPC 2.0 message.
    Control,
    /// Bytes of a command's stream.
    Data,
    /// How much of a stream was received, and how far its sender may go.
    Credit,
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Self::Control => 0,
            Self::Data => 1,
            Self::Credit => 2,
        }
    }

    const fn of(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Control),
            1 => Some(Self::Data),
            2 => Some(Self::Credit),
            _ => None,
        }
    }

    /// Largest payload, in bytes.
    const fn bound(self) -> usize {
        match self {
            Self::Control => MAX_CONTROL_BYTES,
            Self::Data => PLACE_BYTES + MAX_DATA_BYTES,
            Self::Credit => CREDIT_BYTES,
        }
    }
}

/// One of a command's streams, or a file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// Standard input, towards the command.
    Input,
    /// Standard output, or the terminal.
    Output,
    /// Standard error.
    Error,
    /// The content of a file; the number is that of the request that asked for it.
    Content,
}

impl Stream {
    const fn byte(self) -> u8 {
        match self {
            Self::Input => 0,
            Self::Output => 1,
            Self::Error => 2,
            Self::Content => 3,
        }
    }

    const fn of(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Input),
            1 => Some(Self::Output),
            2 => Some(Self::Error),
            3 => Some(Self::Content),
            _ => None,
        }
    }
}

/// A byte's place: command, stream, and how many bytes of the stream come before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The command.
    pub id: u64,
    /// The stream.
    pub stream: Stream,
    /// Bytes before.
    pub offset: u64,
}

/// Leave to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credit {
    /// The stream; its offset says how many bytes the receiver has and will not ask for again.
    pub received: Place,
    /// The sender may send what lies before this offset.
    pub limit: u64,
}

/// One frame, in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'payload> {
    /// A JSON-RPC 2.0 message.
    Control(&'payload [u8]),
    /// Bytes of a stream.
    Data(Place, &'payload [u8]),
    /// Leave to send.
    Credit(Credit),
}

/// Why bytes are no frame. After any of them the stream cannot be trusted and is closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A kind that this version does not know, or that has no place here.
    #[error("unknown frame kind {kind}")]
    UnknownKind {
        /// The kind byte.
        kind: u8,
    },
    /// A length beyond the bound of its kind.
    #[error("a frame of {length} bytes; at most {bound} are allowed of its kind")]
    TooLong {
        /// The length announced.
        length: usize,
        /// The bound.
        bound: usize,
    },
    /// A data or credit frame that names no stream, or is too short to.
    #[error("a frame that names no stream of a command")]
    NoPlace,
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame")]
    Truncated,
}

fn header(kind: Kind, length: usize) -> Result<[u8; HEADER_BYTES], FrameError> {
    let bound = kind.bound();
    let announced = u32::try_from(length).ok().filter(|_| length <= bound);
    let [a, b, c, d] = announced.ok_or(FrameError::TooLong { length, bound })?.to_be_bytes();
    Ok([a, b, c, d, kind.byte()])
}

/// Kind and payload length, once the header is there.
fn announced(bytes: &[u8]) -> Result<Option<(Kind, usize)>, FrameError> {
    let Some((&[a, b, c, d, kind], _)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let kind = Kind::of(kind).ok_or(FrameError::UnknownKind { kind })?;
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if length > kind.bound() {
        return Err(FrameError::TooLong { length, bound: kind.bound() });
    }
    Ok(Some((kind, length)))
}

/// A control frame around a payload.
///
/// # Errors
/// [`FrameError::TooLong`].
pub fn control(payload: &[u8]) -> Result<Vec<u8>, FrameError> {
    let mut out = Vec::with_capacity(HEADER_BYTES + payload.len());
    out.extend_from_slice(&header(Kind::Control, payload.len())?);
    out.extend_from_slice(payload);
    Ok(out)
}

/// Bytes before the `length` raw bytes of a data frame.
pub const DATA_HEADER_BYTES: usize = HEADER_BYTES + PLACE_BYTES;

/// What goes before `length` raw bytes to make them a data frame.
///
/// # Errors
/// [`FrameError::TooLong`] beyond [`MAX_DATA_BYTES`].
pub fn data_header(place: Place, length: usize) -> Result<[u8; DATA_HEADER_BYTES], FrameError> {
    let mut out = [0; DATA_HEADER_BYTES];
    let (head, rest) = out.split_at_mut(HEADER_BYTES);
    head.copy_from_slice(&header(Kind::Data, PLACE_BYTES + length)?);
    rest.copy_from_slice(&place.to_bytes());
    Ok(out)
}

/// A credit frame.
#[must_use]
pub fn credit(credit: Credit) -> [u8; HEADER_BYTES + CREDIT_BYTES] {
    let mut out = [0; HEADER_BYTES + CREDIT_BYTES];
    // The length is the bound itself, which no header refuses.
    let head = header(Kind::Credit, CREDIT_BYTES).unwrap_or_default();
    let parts = head.into_iter().chain(credit.received.to_bytes()).chain(credit.limit.to_be_bytes());
    out.iter_mut().zip(parts).for_each(|(slot, byte)| *slot = byte);
    out
}

impl Place {
    fn to_bytes(self) -> [u8; PLACE_BYTES] {
        let mut out = [0; PLACE_BYTES];
        let stream = [self.stream.byte()];
        let parts = self.id.to_be_bytes().into_iter().chain(stream).chain(self.offset.to_be_bytes());
        out.iter_mut().zip(parts).for_each(|(slot, byte)| *slot = byte);
        out
    }

    fn split(payload: &[u8]) -> Result<(Self, &[u8]), FrameError> {
        let (id, rest) = payload.split_first_chunk::<8>().ok_or(FrameError::NoPlace)?;
        let (stream, rest) = rest.split_first().ok_or(FrameError::NoPlace)?;
        let (offset, rest) = rest.split_first_chunk::<8>().ok_or(FrameError::NoPlace)?;
        let stream = Stream::of(*stream).ok_or(FrameError::NoPlace)?;
        Ok((Self { id: u64::from_be_bytes(*id), stream, offset: u64::from_be_bytes(*offset) }, rest))
    }
}

/// Frames out of bytes, in whatever pieces they arrive. Holds at most one frame and what was read beyond it.
#[derive(Debug, Default)]
pub struct Deframer {
    buffer: Vec<u8>,
    /// What was read and not taken lies from here on.
    start: usize,
    /// Behind it there is room.
    end: usize,
}

impl Deframer {
    /// Has bytes read to where they are taken from: `read` gets room for `most` bytes, and says how many it has filled.
    ///
    /// # Errors
    /// Those of `read`; then nothing was added.
    pub fn fill<E>(
        &mut self,
        most: usize,
        read: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        } else if self.start > 0 && self.buffer.len() - self.end < most {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let behind = self.end + most;
        if self.buffer.len() < behind {
            self.buffer.resize(behind, 0);
        }
        let room = self.buffer.get_mut(self.end..behind).unwrap_or_default();
        let count = read(room)?.min(most);
        self.end += count;
        Ok(count)
    }

    /// Adds bytes that were read elsewhere.
    pub fn extend(&mut self, bytes: &[u8]) {
        let copied = self.fill(bytes.len(), |room| {
            room.copy_from_slice(bytes);
            Ok::<_, Infallible>(bytes.len())
        });
        let Ok(_) = copied;
    }

    /// Whether nothing is left of what was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The next whole frame.
    ///
    /// # Errors
    /// [`FrameError`] as soon as the header shows it, before the payload has arrived.
    pub fn take(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        let rest = self.buffer.get(self.start..self.end).unwrap_or_default();
        let Some((kind, length)) = announced(rest)? else { return Ok(None) };
        let Some(payload) = rest.get(HEADER_BYTES..HEADER_BYTES + length) else { return Ok(None) };
        self.start += HEADER_BYTES + length;
        Ok(Some(match kind {
            Kind::Control => Frame::Control(payload),
            Kind::Data => {
                let (place, bytes) = Place::split(payload)?;
                Frame::Data(place, bytes)
            }
            Kind::Credit => {
                let (received, limit) = Place::split(payload)?;
                let limit = limit.try_into().map_err(|_| FrameError::NoPlace)?;
                Frame::Credit(Credit { received, limit: u64::from_be_bytes(limit) })
            }
        }))
    }
}

/// Takes one control frame from the front of `buffer`; `None` while it is not complete. Where no streams travel, no other kind
/// has a place.
///
/// # Errors
/// [`FrameError`] as soon as the header shows it, before the payload has arrived.
pub fn take(buffer: &mut Vec<u8>) -> Result<Option<Vec<u8>>, FrameError> {
    let length = match announced(buffer)? {
        None => return Ok(None),
        Some((Kind::Control, length)) => length,
        Some((kind, _)) => return Err(FrameError::UnknownKind { kind: kind.byte() }),
    };
    if buffer.len() < HEADER_BYTES + length {
        return Ok(None);
    }
    let rest = buffer.split_off(HEADER_BYTES + length);
    Ok(Some(std::mem::replace(buffer, rest).split_off(HEADER_BYTES)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut() {
        let mut stream = control(b"one").unwrap();
        stream.extend(control(b"").unwrap());
        stream.extend(control(b"three").unwrap());
        for cut in 0..=stream.len() {
            let mut buffer = stream[..cut].to_vec();
            let mut found = Vec::new();
            while let Some(payload) = take(&mut buffer).unwrap() {
                found.push(payload);
            }
            buffer.extend_from_slice(&stream[cut..]);
            while let Some(payload) = take(&mut buffer).unwrap() {
                found.push(payload);
            }
            assert_eq!(found, [b"one".to_vec(), b"".to_vec(), b"three".to_vec()]);
        }
    }

    #[test]
    fn what_is_read_in_part_or_not_at_all_moves_nothing_else() {
        let whole: Vec<u8> =
            (0..40_u8).flat_map(|at| control(&vec![at; usize::from(at) * 7]).unwrap()).collect();
        for most in [1, 3, 64, 100, 5000] {
            let (mut deframer, mut rest, mut found, mut turn) = (Deframer::default(), &whole[..], 0_u8, 0);
            while !rest.is_empty() || !deframer.is_empty() {
                while let Some(Frame::Control(payload)) = deframer.take().unwrap() {
                    assert_eq!(payload, vec![found; usize::from(found) * 7]);
                    found += 1;
                }
                assert_eq!(deframer.fill(most, |_| Err("nothing")), Err("nothing"));
                turn += 1;
                let count = (most * (turn % 3) / 2).min(most).min(rest.len());
                let read = deframer.fill(most, |room| {
                    assert_eq!(room.len(), most);
                    room[..count].copy_from_slice(&rest[..count]);
                    Ok::<_, Infallible>(count)
                });
                assert_eq!(read, Ok(count));
                rest = &rest[count..];
            }
            assert_eq!(found, 40, "{most}");
        }
    }

    #[test]
    fn bad_headers_are_refused_at_once() {
        assert_eq!(take(&mut vec![0, 0, 0, 1, 9]), Err(FrameError::UnknownKind { kind: 9 }));
        let length = MAX_CONTROL_BYTES + 1;
        let mut header = u32::try_from(length).unwrap().to_be_bytes().to_vec();
        header.push(0);
        let bound = MAX_CONTROL_BYTES;
        assert_eq!(take(&mut header), Err(FrameError::TooLong { length, bound }));
        assert_eq!(control(&vec![0; length]), Err(FrameError::TooLong { length, bound }));
        assert_eq!(take(&mut vec![0, 0, 0, 20, 1]), Err(FrameError::UnknownKind { kind: 1 }));
    }

    fn place(stream: Stream, offset: u64) -> Place {
        Place { id: 7, stream, offset }
    }

    #[test]
    fn every_kind_comes_out_as_it_went_in_however_it_is_cut() {
        let given = Credit { received: place(Stream::Input, 1 << 40), limit: u64::MAX };
        let mut stream = control(b"{}").unwrap();
        stream.extend(data_header(place(Stream::Error, 3), 5).unwrap());
        stream.extend(b"bytes");
        stream.extend(credit(given));
        stream.extend(data_header(place(Stream::Output, 0), 0).unwrap());
        for cut in 0..=stream.len() {
            let mut deframer = Deframer::default();
            let mut found = Vec::new();
            for part in [&stream[..cut], &stream[cut..]] {
                deframer.extend(part);
                while let Some(frame) = deframer.take().unwrap() {
                    found.push(format!("{frame:?}"));
                }
            }
            let expected = [
                Frame::Control(b"{}"),
                Frame::Data(place(Stream::Error, 3), b"bytes"),
                Frame::Credit(given),
                Frame::Data(place(Stream::Output, 0), b""),
            ];
            assert_eq!(found, expected.map(|frame| format!("{frame:?}")));
            assert!(deframer.is_empty());
        }
    }

    #[test]
    fn a_frame_without_a_place_is_refused() {
        let cases: [(&[u8], FrameError); 4] = [
            (&[0, 0, 0, 1, 1, 0], FrameError::NoPlace),
            (&[0, 0, 0, 17, 1, 0, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0, 0, 0, 0, 0, 0], FrameError::NoPlace),
            (&[0, 0, 0, 17, 2, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0], FrameError::NoPlace),
            (&[0, 0, 0, 26, 2], FrameError::TooLong { length: 26, bound: 25 }),
        ];
        for (bytes, expected) in cases {
            let mut deframer = Deframer::default();
            deframer.extend(bytes);
            assert_eq!(deframer.take(), Err(expected));
        }
        assert!(data_header(place(Stream::Output, 0), MAX_DATA_BYTES + 1).is_err());
    }
}
