//! What the server says, put in order for the caller. Whatever cannot be is an error.

use weir_protocol::frame::{self, Credit, Place, Stream};
use weir_protocol::method::Response;
use weir_protocol::method::process::{Event, ProcessId};

use super::super::{LinkError, Message};
use super::followed::Followed;
use super::{Happened, PIECE_BYTES, Session, SessionError};

/// Most events that wait to be taken. Their bytes are bounded by the credit, and small pieces are put together, so that nobody but a
/// server that is no server of ours comes near.
pub(super) const MAX_WAITING: usize = 1 << 18;

/// How many of the last events are looked through for one that new bytes belong to.
const JOINED: usize = 8;

impl Session {
    /// Takes in all that has been read.
    pub(super) fn hear(&mut self) -> Result<(), SessionError> {
        while let Some(message) = self.link.arrived()? {
            self.heed(message)?;
        }
        Ok(())
    }

    /// The same of what came behind an answer, which holds whatever is wrong with the rest.
    pub(super) fn hear_behind(&mut self) {
        if let Err(error) = self.hear() {
            self.failed.get_or_insert(error);
        }
    }

    pub(super) fn heed(&mut self, message: Message) -> Result<(), SessionError> {
        match message {
            Message::Data(place, bytes) => self.data(place, bytes),
            Message::Credit(credit) => self.credit(credit),
            Message::Event(notification) => self.event(notification.event),
            Message::Answer(Response { id: None, error: Some(error), .. }) => {
                Err(LinkError::from(error).into())
            }
            // That of a call that nobody asks for any more is passed over.
            Message::Answer(response) => {
                self.calls.answer(response);
                Ok(())
            }
        }
    }

    fn of(&mut self, id: ProcessId) -> Result<&mut Followed, SessionError> {
        self.followed.get_mut(&id).ok_or(SessionError::Stray { id })
    }

    fn data(&mut self, place: Place, bytes: Vec<u8>) -> Result<(), SessionError> {
        let Place { id, stream, offset } = place;
        if stream == Stream::Content {
            let taken = self.calls.content(place, &bytes);
            return taken.map_err(|source| SessionError::Content { source });
        }
        let taken = self.of(id)?.stream(stream).and_then(|received| received.data(offset, &bytes));
        taken.map_err(|source| SessionError::Stream { id, source })?;
        if bytes.is_empty() {
            return Ok(());
        }
        let last = self.happened.iter_mut().rev().take(JOINED);
        let mut outputs = last.map_while(|happened| match happened {
            Happened::Output(place, bytes) => Some((place, bytes)),
            _ => None,
        });
        match outputs.find(|(place, _)| place.id == id && place.stream == stream) {
            Some((_, before)) if before.len() + bytes.len() <= PIECE_BYTES => {
                before.extend_from_slice(&bytes);
                self.cuts = 0;
                Ok(())
            }
            _ => self.add(Happened::Output(place, bytes)),
        }
    }

    fn credit(&mut self, Credit { received, limit }: Credit) -> Result<(), SessionError> {
        let id = received.id;
        // The last one may come behind the last word.
        let Some(followed) = self.followed.get_mut(&id) else { return Ok(()) };
        let Some(given) = followed.input.as_mut().filter(|_| received.stream == Stream::Input) else {
            return Err(SessionError::Stray { id });
        };
        let has_room = given.credit(received.offset, limit);
        if has_room.map_err(|source| SessionError::Input { id, source })? && !given.is_told {
            given.is_told = true;
            return self.add(Happened::Room(id));
        }
        Ok(())
    }

    fn event(&mut self, event: Event) -> Result<(), SessionError> {
        match event {
            Event::Stopped { id, signal } => {
                self.of(id)?;
                self.add(Happened::Stopped(id, signal))
            }
            Event::Background { id, end } => {
                self.of(id)?;
                self.add(Happened::Background(id, end))
            }
            // Only who says so at the start is asked, and nothing that starts through here does.
            Event::Question(_) => Ok(()),
            Event::Gap(gap) => {
                let id = gap.id;
                let granted = self
                    .of(id)?
                    .stream(gap.stream)
                    .and_then(|received| received.gap(&gap).map(|()| received.grant()));
                let granted = granted.map_err(|source| SessionError::Stream { id, source })?;
                // A limit is an offset: until the server hears of a new one it may not go on behind a long gap.
                self.link.queue(&frame::credit(granted));
                self.push();
                self.add(Happened::Gap(gap))
            }
            Event::Exited(exited) => {
                let id = exited.id;
                let followed = self.of(id)?;
                if std::mem::replace(&mut followed.has_exited, true) {
                    return Err(SessionError::Order { id });
                }
                let is_known = std::mem::replace(&mut followed.end_is_known, true);
                if is_known { Ok(()) } else { self.add(Happened::Exited(exited)) }
            }
            Event::Closed(closed) => {
                let id = closed.id;
                let followed = self.of(id)?;
                if !followed.has_exited {
                    return Err(SessionError::Order { id });
                }
                let verified =
                    followed.verify(&closed).map_err(|source| SessionError::Stream { id, source })?;
                self.followed.remove(&id);
                self.add(Happened::Closed(id, verified))
            }
        }
    }

    pub(super) fn add(&mut self, happened: Happened) -> Result<(), SessionError> {
        if !matches!(happened, Happened::Room(_) | Happened::Gone(_)) {
            self.cuts = 0;
        }
        if self.happened.len() >= MAX_WAITING {
            return Err(SessionError::Flood);
        }
        self.happened.push_back(happened);
        Ok(())
    }
}
