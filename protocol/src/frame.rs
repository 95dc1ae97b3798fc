//! Frames of the socket: a length, a kind, and bytes. Bounded before anything is allocated; no I/O here.
//!
//! A frame is four bytes of payload length (big endian), one byte of kind, and the payload.

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 5;

/// Largest control frame, in bytes: room for the largest policy with all its origins.
pub const MAX_CONTROL_BYTES: usize = 16 << 20;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A JSON-RPC 2.0 message.
    Control,
}

/// Why bytes are no frame. After any of them the stream cannot be trusted and is closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A kind that this version does not know.
    #[error("unknown frame kind {kind}")]
    UnknownKind {
        /// The kind byte.
        kind: u8,
    },
    /// A length beyond the bound of its kind.
    #[error("a control frame of {length} bytes; at most {MAX_CONTROL_BYTES} are allowed")]
    TooLong {
        /// The length announced.
        length: usize,
    },
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame")]
    Truncated,
}

/// A control frame around a payload.
///
/// # Errors
/// [`FrameError::TooLong`].
pub fn control(payload: &[u8]) -> Result<Vec<u8>, FrameError> {
    let length = payload.len();
    let announced = u32::try_from(length).map_err(|_| FrameError::TooLong { length })?;
    if length > MAX_CONTROL_BYTES {
        return Err(FrameError::TooLong { length });
    }
    let mut out = Vec::with_capacity(HEADER_BYTES + length);
    out.extend_from_slice(&announced.to_be_bytes());
    out.push(0);
    out.extend_from_slice(payload);
    Ok(out)
}

/// Takes one frame from the front of `buffer`; `None` while it is not complete.
///
/// # Errors
/// [`FrameError`] as soon as the header shows it, before the payload has arrived.
pub fn take(buffer: &mut Vec<u8>) -> Result<Option<(Kind, Vec<u8>)>, FrameError> {
    let Some((header, _)) = buffer.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let [a, b, c, d, kind] = *header;
    if kind != 0 {
        return Err(FrameError::UnknownKind { kind });
    }
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if length > MAX_CONTROL_BYTES {
        return Err(FrameError::TooLong { length });
    }
    if buffer.len() < HEADER_BYTES + length {
        return Ok(None);
    }
    let rest = buffer.split_off(HEADER_BYTES + length);
    let payload = std::mem::replace(buffer, rest).split_off(HEADER_BYTES);
    Ok(Some((Kind::Control, payload)))
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
            while let Some((_, payload)) = take(&mut buffer).unwrap() {
                found.push(payload);
            }
            buffer.extend_from_slice(&stream[cut..]);
            while let Some((_, payload)) = take(&mut buffer).unwrap() {
                found.push(payload);
            }
            assert_eq!(found, [b"one".to_vec(), b"".to_vec(), b"three".to_vec()]);
        }
    }

    #[test]
    fn bad_headers_are_refused_at_once() {
        assert_eq!(take(&mut vec![0, 0, 0, 1, 9]), Err(FrameError::UnknownKind { kind: 9 }));
        let length = MAX_CONTROL_BYTES + 1;
        let mut header = u32::try_from(length).unwrap().to_be_bytes().to_vec();
        header.push(0);
        assert_eq!(take(&mut header), Err(FrameError::TooLong { length }));
    }
}
