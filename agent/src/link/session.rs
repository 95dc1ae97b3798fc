//! Commands whose streams a running server carries: started, attached to, written to, read, and proved at their end.
//!
//! One thread, no runtime: [`Session::next`] waits, or a caller that waits for other things as well polls the session's
//! descriptor and calls [`Session::turn`]. What has come and was not consumed is bounded by the credit that was given; consuming it
//! gives more. A server that says what cannot be is an error, never a guess.
//!
//! A connection that breaks is made again, and every command that was to stay goes on where this side stands.

mod asked;
mod error;
mod followed;
mod happened;
mod hear;
mod resume;

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde_json::Value;
use weir_protocol::frame::{self, Place, Stream};
use weir_protocol::method::output::{Attach, Attached, Kill, List, Listed, Of, Resize, Role};
use weir_protocol::method::process::{Exited, ProcessId, Receivers, Signal, Start, Started, Stdio};
use weir_protocol::method::{Call, code};

use super::given::Given;
use super::received::{Received, Since, WINDOW_BYTES};
use super::{Link, LinkError, Message, result};
use asked::Calls;
use followed::Followed;

pub use asked::{Answered, CallNumber};
pub use error::SessionError;
pub use happened::{Finished, Happened};

/// Largest piece of output, in bytes.
const PIECE_BYTES: usize = frame::MAX_DATA_BYTES;

/// A connection to a running server, and the commands that are followed on it.
#[derive(Debug)]
pub struct Session {
    link: Link,
    followed: BTreeMap<ProcessId, Followed>,
    calls: Calls,
    happened: VecDeque<Happened>,
    /// Why nothing more comes; told behind what has come.
    failed: Option<SessionError>,
    /// How often the connection broke since something came.
    cuts: u32,
}

impl Session {
    /// Speaks over a link that [`reach`](super::reach()) or [`Link::alone`] has made.
    ///
    /// # Errors
    /// [`LinkError::Unasked`] for a link to a server of this process's own that carries no streams.
    pub fn new(link: Link) -> Result<Self, LinkError> {
        if !link.carries_streams() {
            return Err(LinkError::Unasked);
        }
        let (followed, happened) = (BTreeMap::new(), VecDeque::new());
        Ok(Self { link, followed, calls: Calls::default(), happened, failed: None, cuts: 0 })
    }

    /// Starts a command with pipes or a carried terminal, and follows it.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn start(&mut self, mut start: Start) -> Result<Started, SessionError> {
        let (has_error, has_input) = match start.stdio {
            Stdio::Pipes { input } => (true, input),
            Stdio::Carried { .. } => (false, true),
            Stdio::Descriptors { .. } | Stdio::Terminal { .. } => return Err(SessionError::NotCarried),
        };
        start.output.credit = WINDOW_BYTES;
        let (argv, when_left) = (start.argv.clone(), start.output.when_left);
        let started: Started = self.answer_to(Call::ProcessStart(Box::new(start)))?;
        let received = |stream| Received::new(started.id, stream, Since::Start);
        let followed = Followed {
            pid: started.pid,
            argv,
            when_left,
            role: Role::Owner,
            streams: [Some(received(Stream::Output)), has_error.then(|| received(Stream::Error))],
            input: has_input.then(|| Given::new(0)),
            has_exited: false,
            end_is_known: false,
        };
        self.follow(started.id, followed);
        Ok(started)
    }

    /// Follows a command that runs, or that has ended and is kept, from these offsets of standard output and standard error on.
    /// An offset beyond what was written means: from here on.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn attach(&mut self, id: ProcessId, from: [u64; 2], role: Role) -> Result<Attached, SessionError> {
        let attach = Attach { id, from, credit: WINDOW_BYTES, role };
        let attached: Attached = self.answer_to(Call::ProcessAttach(attach))?;
        let [output, error] = attached.from;
        let received = |stream, at| Some(Received::new(id, stream, Since::Offset(at)));
        let Listed { pid, argv, when_left, .. } = &attached.listed;
        let followed = Followed {
            pid: *pid,
            argv: argv.clone(),
            when_left: *when_left,
            role,
            streams: [received(Stream::Output, output), received(Stream::Error, error)],
            input: attached.input.map(Given::new),
            has_exited: false,
            end_is_known: false,
        };
        self.follow(id, followed);
        Ok(attached)
    }

    fn follow(&mut self, id: ProcessId, followed: Followed) {
        self.followed.insert(id, followed);
        self.hear_behind();
    }

    /// The caller's commands.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn list(&mut self) -> Result<Vec<Listed>, SessionError> {
        Ok(self.call::<List>(Call::ProcessList)?.commands)
    }

    /// Waits until a command has ended. One that is followed may wait for its reader: for that, wait for [`Happened::Closed`].
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn wait(&mut self, id: ProcessId) -> Result<Exited, SessionError> {
        loop {
            match self.call(Call::ProcessWait(Of { id })) {
                Err(error) => self.mend(error)?,
                answered => return answered,
            }
        }
    }

    /// Asks everything in the sandbox to end, ends it when it has not after so many milliseconds, and waits for the end.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn kill(&mut self, id: ProcessId, grace_ms: u64) -> Result<(), SessionError> {
        self.call::<Value>(Call::ProcessKill(Kill { id, grace_ms })).map(drop)
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn signal(&mut self, id: ProcessId, signal: i32, to: Receivers) -> Result<(), SessionError> {
        self.call::<Value>(Call::ProcessSignal(Signal { id, signal, to })).map(drop)
    }

    /// Changes the size of a carried terminal, in rows and columns. One that has just gone has no size: no error.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn resize(&mut self, id: ProcessId, size: [u16; 2]) -> Result<(), SessionError> {
        match self.call::<Value>(Call::ProcessResize(Resize { id, size })) {
            Err(SessionError::Link(LinkError::Refused(error))) if error.code == code::STATE => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    /// Forgets a command that has ended, and what it wrote.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn forget(&mut self, id: ProcessId) -> Result<(), SessionError> {
        self.call::<Value>(Call::ProcessForget(Of { id })).map(drop)
    }

    /// Sends as much of `bytes` to the command's standard input as there is room for, and says how much that was. When it
    /// was not all, [`Happened::Room`] says when to go on.
    ///
    /// # Errors
    /// [`SessionError::NotFollowed`], also where the command has no input that is sent from here.
    pub fn write(&mut self, id: ProcessId, bytes: &[u8]) -> Result<usize, SessionError> {
        let given = self.followed.get_mut(&id).and_then(|followed| followed.input.as_mut());
        let given = given.ok_or(SessionError::NotFollowed { id })?;
        let mut rest = bytes;
        loop {
            let offset = given.sent();
            let taken = given.take(rest);
            if taken.is_empty() {
                break;
            }
            queue_data(&mut self.link, Place { id, stream: Stream::Input, offset }, taken)?;
            rest = rest.get(taken.len()..).unwrap_or_default();
        }
        self.push();
        Ok(bytes.len() - rest.len())
    }

    /// Whether standard input can be sent to from here.
    #[must_use]
    pub fn takes_input(&self, id: ProcessId) -> bool {
        let given = self.followed.get(&id).and_then(|followed| followed.input.as_ref());
        given.is_some_and(Given::is_open)
    }

    /// Ends standard input behind all that was written. Of a carried terminal, the line is ended first.
    ///
    /// # Errors
    /// [`SessionError::NotFollowed`] as for [`Self::write`].
    pub fn close_input(&mut self, id: ProcessId) -> Result<(), SessionError> {
        let given = self.followed.get_mut(&id).and_then(|followed| followed.input.as_mut());
        if given.ok_or(SessionError::NotFollowed { id })?.end() {
            self.end_input(id)?;
        }
        Ok(())
    }

    /// Its answer says nothing that matters: the command may have gone.
    fn end_input(&mut self, id: ProcessId) -> Result<(), SessionError> {
        self.link.ask(Call::ProcessCloseInput(Of { id }))?;
        self.push();
        Ok(())
    }

    /// Sends what the socket takes now. A connection that has broken is noticed where it is read: what was to be sent is not
    /// lost, it is said anew on the next one.
    fn push(&mut self) {
        let _ = self.link.flush();
    }

    /// Says that so many bytes of a stream have been dealt with: the server may send more, and need not keep these.
    pub fn consumed(&mut self, id: ProcessId, stream: Stream, count: usize) {
        // After the last byte nobody needs to hear of it.
        let received = self.followed.get_mut(&id).and_then(|followed| followed.stream(stream).ok());
        if let Some(credit) = received.and_then(|received| received.consume(count as u64)) {
            self.link.queue(&frame::credit(credit));
            self.push();
        }
    }

    /// What has happened, of what has come; behind it, why nothing more comes.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn take(&mut self) -> Result<Option<Happened>, SessionError> {
        let happened = self.happened.pop_front();
        self.taken(happened)
    }

    /// The same of one command alone.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn take_of(&mut self, id: ProcessId) -> Result<Option<Happened>, SessionError> {
        let at = self.happened.iter().position(|happened| happened.id() == id);
        let happened = at.and_then(|at| self.happened.remove(at));
        self.taken(happened)
    }

    /// Whether more may come; why not, once all that came has been taken.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn goes_on(&mut self) -> Result<(), SessionError> {
        match self.failed.take() {
            Some(error) if self.happened.is_empty() => Err(error),
            failed => {
                self.failed = failed;
                Ok(())
            }
        }
    }

    fn taken(&mut self, happened: Option<Happened>) -> Result<Option<Happened>, SessionError> {
        if let Some(Happened::Room(id)) = happened
            && let Some(given) = self.followed.get_mut(&id).and_then(|followed| followed.input.as_mut())
        {
            given.is_told = false;
        }
        match self.failed.take() {
            Some(error) if happened.is_none() => Err(error),
            failed => {
                self.failed = failed;
                Ok(happened)
            }
        }
    }

    /// Waits for what happens next.
    ///
    /// # Errors
    /// [`SessionError`]. After one that [is a cut](SessionError::is_cut), when a server is there again, [`Self::resume`] may go on.
    #[expect(clippy::should_implement_trait, reason = "it fails, and has no end")]
    pub fn next(&mut self) -> Result<Happened, SessionError> {
        loop {
            match self.take()? {
                Some(happened) => return Ok(happened),
                None => self.advance()?,
            }
        }
    }

    /// Passes everything that a command writes on to `output` and `error`, to its last byte. The command goes no faster than they.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn copy(
        &mut self,
        id: ProcessId,
        output: &mut impl Write,
        error: &mut impl Write,
    ) -> Result<Finished, SessionError> {
        let (mut exited, mut gaps) = (None, Vec::new());
        loop {
            match self.take_of(id)? {
                None if !self.followed.contains_key(&id) => return Err(SessionError::NotFollowed { id }),
                None => self.advance()?,
                Some(Happened::Output(place, bytes)) => {
                    let written = match place.stream {
                        Stream::Error => error.write_all(&bytes),
                        Stream::Output | Stream::Input | Stream::Content => output.write_all(&bytes),
                    };
                    written.map_err(SessionError::Write)?;
                    self.consumed(id, place.stream, bytes.len());
                }
                Some(Happened::Gap(gap)) => gaps.push(gap),
                Some(Happened::Exited(found)) => exited = Some(*found),
                Some(Happened::Closed(_, streams)) => {
                    let exited = exited.ok_or(SessionError::Order { id })?;
                    return Ok(Finished { exited, streams, gaps });
                }
                Some(Happened::Gone(_)) => return Err(SessionError::Gone { id }),
                Some(Happened::Room(_) | Happened::Stopped(..) | Happened::Background(..)) => {}
            }
        }
    }

    /// What to poll [`Self::as_fd`] for.
    #[must_use]
    pub fn interest(&self) -> PollFlags {
        match (&self.failed, self.link.outgoing.is_empty()) {
            (Some(_), _) => PollFlags::empty(),
            (None, true) => PollFlags::IN,
            (None, false) => PollFlags::IN | PollFlags::OUT,
        }
    }

    /// Sends and reads what can be without waiting; [`Self::take`] has what came of it. Poll [`Self::as_fd`] anew each time: the
    /// connection may be another.
    pub fn turn(&mut self) {
        if self.failed.is_none() {
            self.failed = self.exchange().err();
        }
    }

    fn exchange(&mut self) -> Result<(), SessionError> {
        let moved = self.link.flush().and_then(|()| self.link.read_ready());
        // What came before a connection broke counts.
        self.hear()?;
        match moved {
            Ok(()) => Ok(()),
            Err(error) => self.mend(error.into()),
        }
    }

    fn advance(&mut self) -> Result<(), SessionError> {
        self.ready()?;
        self.turn();
        Ok(())
    }

    /// Waits until the connection can be used.
    fn ready(&self) -> Result<(), SessionError> {
        let mut watched = [PollFd::new(&self.link, self.interest())];
        while let Err(errno) = poll(&mut watched, None) {
            if errno != Errno::INTR {
                return Err(SessionError::Wait(errno.into()));
            }
        }
        Ok(())
    }

    /// Makes one call and waits for its answer; what happens meanwhile waits to be taken.
    fn call<T: DeserializeOwned>(&mut self, call: Call) -> Result<T, SessionError> {
        let answer = self.answer_to(call)?;
        self.hear_behind();
        Ok(answer)
    }

    /// The same, for an answer without which what came behind it makes no sense: hear it before anything is waited for.
    fn answer_to<T: DeserializeOwned>(&mut self, call: Call) -> Result<T, SessionError> {
        let id = self.link.ask(call)?;
        self.link.flush()?;
        loop {
            while let Some(message) = self.link.arrived()? {
                match message {
                    Message::Answer(response) if response.id == Some(id) => {
                        let answer = result(response);
                        if answer.is_err() {
                            self.hear_behind();
                        }
                        return Ok(answer?);
                    }
                    message => self.heed(message)?,
                }
            }
            self.ready()?;
            self.link.flush()?;
            self.link.read_ready()?;
        }
    }
}

/// The socket, for polling.
impl AsFd for Session {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }
}

fn queue_data(link: &mut Link, place: Place, bytes: &[u8]) -> Result<(), LinkError> {
    link.queue(&frame::data_header(place, bytes.len())?);
    link.queue(bytes);
    Ok(())
}
