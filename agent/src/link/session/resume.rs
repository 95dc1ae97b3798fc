//! Going on after the connection broke: every command from where this side stands.

use weir_protocol::frame::{self, Place, Stream};
use weir_protocol::method::Call;
use weir_protocol::method::output::{Attach, Attached, Role, WhenLeft};
use weir_protocol::method::process::ProcessId;

use super::super::received::Received;
use super::super::{LinkError, reach};
use super::followed::Followed;
use super::{Happened, PIECE_BYTES, Session, SessionError, queue_data};

/// How often in a row a connection is made again without anything that comes of it: a server that always cuts is not asked for ever.
const MAX_CUTS: u32 = 4;

impl Session {
    /// Goes on after an error, where that is a connection that broke.
    pub(super) fn mend(&mut self, error: SessionError) -> Result<(), SessionError> {
        if !error.is_cut() || self.cuts >= MAX_CUTS {
            return Err(error);
        }
        self.cuts += 1;
        match self.resume() {
            // Where no server is there any more, why the old connection is gone says more.
            Err(SessionError::Link(_)) => Err(error),
            resumed => resumed,
        }
    }

    /// Connects again and follows every command from where this side stands. One that was not to stay has been ended:
    /// [`Happened::Gone`]. Calls that were under way are not repeated: they are answered with [`LinkError::NoAnswer`].
    ///
    /// # Errors
    /// [`SessionError`] when no server is there, or not the one that was.
    pub fn resume(&mut self) -> Result<(), SessionError> {
        let place = self.link.place().ok_or(LinkError::NoAnswer)?.to_owned();
        self.link = reach::reconnect(&place)?.ok_or_else(|| LinkError::NoServer { looked: vec![place] })?;
        self.calls.cut();
        let ids: Vec<ProcessId> = self.followed.keys().copied().collect();
        for id in ids {
            let Some(mut followed) = self.followed.remove(&id) else { continue };
            if followed.when_left == WhenLeft::End && followed.role == Role::Owner {
                self.add(Happened::Gone(id))?;
                continue;
            }
            let outcome = self.follow_again(id, &mut followed);
            self.followed.insert(id, followed);
            outcome?;
            self.hear()?;
        }
        Ok(self.link.flush()?)
    }

    fn follow_again(&mut self, id: ProcessId, followed: &mut Followed) -> Result<(), SessionError> {
        let from = followed.streams.each_ref().map(|stream| stream.as_ref().map_or(0, Received::at));
        let attach = Attach { id, from, credit: 0, role: followed.role };
        let attached: Attached = self.answer_to(Call::ProcessAttach(attach))?;
        if attached.listed.pid != followed.pid || attached.listed.argv != followed.argv {
            return Err(SessionError::Replaced { id });
        }
        followed.has_exited = false;
        self.go_on(followed, &attached)
    }

    /// Renews credit and input of a command on a new connection.
    fn go_on(&mut self, followed: &mut Followed, attached: &Attached) -> Result<(), SessionError> {
        let id = attached.listed.id;
        for (stream, found) in followed.streams.iter_mut().zip(attached.from) {
            let Some(received) = stream else { continue };
            let gap = received
                .resume(found, followed.role)
                .map_err(|source| SessionError::Stream { id, source })?;
            self.link.queue(&frame::credit(received.grant()));
            self.happened.extend(gap.map(Happened::Gap));
        }
        if let Some(given) = &mut followed.input {
            let again = given.resume(attached.input);
            let (bytes, is_ended) = again.map_err(|source| SessionError::Input { id, source })?;
            let mut offset = given.sent() - bytes.len() as u64;
            for piece in bytes.chunks(PIECE_BYTES) {
                queue_data(&mut self.link, Place { id, stream: Stream::Input, offset }, piece)?;
                offset += piece.len() as u64;
            }
            if is_ended {
                self.end_input(id)?;
            }
        }
        Ok(())
    }
}
