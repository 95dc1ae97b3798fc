//! From frames to events: what all providers' readers have in common.

use std::collections::VecDeque;

use futures_util::{StreamExt, stream};

use super::http::{Frame, Frames};
use super::{Event, Events, ModelError};

/// Makes events of the frames of one answer. Pure: no clock, no socket.
pub(crate) trait Reader {
    /// Hears one frame.
    ///
    /// # Errors
    /// Where the frame is malformed, or tells of a failure.
    fn hear(&mut self, frame: &Frame) -> Result<Vec<Event>, ModelError>;

    /// Hears that nothing follows. An answer that was not declared complete is not.
    ///
    /// # Errors
    /// [`ModelError::CutShort`].
    fn end(&mut self) -> Result<Vec<Event>, ModelError> {
        Err(ModelError::CutShort)
    }
}

struct Reading<R> {
    frames: Frames,
    reader: R,
    events: VecDeque<Event>,
    done: bool,
}

/// The events of an answer, up to the one that says it is complete.
pub(crate) fn events<R: Reader + 'static>(frames: Frames, reader: R) -> Events {
    let reading = Reading { frames, reader, events: VecDeque::new(), done: false };
    Box::pin(stream::try_unfold(reading, |mut reading| async move {
        loop {
            if let Some(event) = reading.events.pop_front() {
                reading.done = matches!(event, Event::Done { .. });
                return Ok(Some((event, reading)));
            }
            if reading.done {
                return Ok(None);
            }
            let heard = match reading.frames.next().await {
                Some(frame) => reading.reader.hear(&frame?)?,
                None => {
                    let heard = reading.reader.end()?;
                    if heard.is_empty() {
                        return Err(ModelError::CutShort);
                    }
                    heard
                }
            };
            reading.events.extend(heard);
        }
    }))
}
