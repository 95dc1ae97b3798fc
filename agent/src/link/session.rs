//! Commands whose streams a running server carries: started, attached to, written to, read, and proved at their end.
//!
//! One thread, no runtime: [`Session::next`] waits, or a caller that waits for other things as well polls the session's
//! descriptor and calls [`Session::turn`]. What has come and was not consumed is bounded by the credit that was given; consuming it
//! gives more. A server that says what cannot be is an error, never a guess.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde_json::Value;
use weir_protocol::ByteString;
use weir_protocol::frame::{self, Credit, FrameError, Place, Stream};
use weir_protocol::method::output::{
    Attach, Attached, Closed, Gap, Kill, List, Listed, Of, Resize, Role, WhenLeft,
};
use weir_protocol::method::process::{Event, Exited, ProcessId, Receivers, Signal, Start, Started, Stdio};
use weir_protocol::method::{Call, Response, code};

use super::given::{Given, GivenError};
use super::received::{Received, Since, StreamError, Verified, WINDOW_BYTES};
use super::{Link, LinkError, Message, reach, result};

/// Most events that wait to be taken. Their bytes are bounded by the credit, and small pieces are put together, so that nobody but a
/// server that is no server of ours comes near.
const MAX_WAITING: usize = 1 << 18;

/// How many of the last events are looked through for one that new bytes belong to.
const JOINED: usize = 8;

/// Largest piece of output, in bytes.
const PIECE_BYTES: usize = frame::MAX_DATA_BYTES;

/// Why a session cannot go on, or a call of it failed.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The connection, or a refusal of the server's.
    #[error("{0}")]
    Link(#[from] LinkError),
    /// The connection cannot be waited for.
    #[error("cannot wait for the exec-server: {0}")]
    Wait(io::Error),
    /// A stream is not what it should be.
    #[error("output of command {id} is not what was written: {source}")]
    Stream {
        /// The command.
        id: ProcessId,
        /// What is wrong.
        source: StreamError,
    },
    /// Standard input is not where it should be.
    #[error("input of command {id}: {source}")]
    Input {
        /// The command.
        id: ProcessId,
        /// What is wrong.
        source: GivenError,
    },
    /// Something about a command that this session does not follow, or follows no more.
    #[error("the exec-server speaks of command {id}, which is not followed here")]
    Stray {
        /// The command.
        id: ProcessId,
    },
    /// An end that came twice, or the last word before it.
    #[error("the exec-server tells the end of command {id} out of order")]
    Order {
        /// The command.
        id: ProcessId,
    },
    /// More events than anybody could cause.
    #[error("the exec-server sends more than {MAX_WAITING} events that nobody takes")]
    Flood,
    /// This session does not follow the command.
    #[error("command {id} is not followed here")]
    NotFollowed {
        /// The command.
        id: ProcessId,
    },
    /// A start whose streams the server would not carry.
    #[error("a session starts commands with pipes or a carried terminal")]
    NotCarried,
    /// After a new connection: the command of this number is another one.
    #[error("command {id} is gone: the exec-server has begun anew")]
    Replaced {
        /// The command.
        id: ProcessId,
    },
    /// What a command wrote cannot be passed on.
    #[error("cannot write the output: {0}")]
    Write(io::Error),
}

impl SessionError {
    /// Whether the connection has gone, and [`Session::resume`] may help.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        matches!(
            self,
            Self::Link(LinkError::Stream(_) | LinkError::NoAnswer | LinkError::Frame(FrameError::Truncated))
        )
    }
}

/// What has happened to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// It wrote these bytes, which follow the ones before. [`Session::consumed`] says that they have been dealt with.
    Output(Place, Vec<u8>),
    /// Bytes were dropped here, as the start had allowed, or were taken by another owner.
    Gap(Gap),
    /// There is room for more input.
    Room(ProcessId),
    /// Its first process was stopped by this signal.
    Stopped(ProcessId, i32),
    /// It has ended, and everything it started; output may follow.
    Exited(Box<Exited>),
    /// The last: everything it wrote has come, and is what was written.
    Closed(ProcessId, Vec<Verified>),
    /// It was ended when the connection broke, for it was not to stay.
    Gone(ProcessId),
}

impl Happened {
    /// The command.
    #[must_use]
    pub fn id(&self) -> ProcessId {
        match self {
            Self::Output(place, _) => place.id,
            Self::Gap(gap) => gap.id,
            Self::Exited(exited) => exited.id,
            Self::Room(id) | Self::Stopped(id, _) | Self::Closed(id, _) | Self::Gone(id) => *id,
        }
    }
}

/// A command that has been followed to its last byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// How it ended.
    pub exited: Exited,
    /// What is proved of its streams.
    pub streams: Vec<Verified>,
    /// Bytes that did not come.
    pub gaps: Vec<Gap>,
}

/// A command that is followed.
#[derive(Debug)]
struct Followed {
    pid: i32,
    argv: Vec<ByteString>,
    when_left: WhenLeft,
    role: Role,
    streams: [Option<Received>; 2],
    input: Option<Given>,
    /// Whether this connection has told its end.
    has_exited: bool,
    /// Whether the caller has heard of it.
    end_is_known: bool,
}

impl Followed {
    fn stream(&mut self, stream: Stream) -> Result<&mut Received, StreamError> {
        let [output, error] = &mut self.streams;
        let found = match stream {
            Stream::Input => None,
            Stream::Output => output.as_mut(),
            Stream::Error => error.as_mut(),
        };
        found.ok_or(StreamError::NotCarried { stream })
    }

    fn verify(&self, closed: &Closed) -> Result<Vec<Verified>, StreamError> {
        let mut verified = Vec::new();
        for (stream, received) in [Stream::Output, Stream::Error].into_iter().zip(&self.streams) {
            let account = closed.streams.iter().find(|account| account.stream == stream);
            match (received, account) {
                (Some(received), Some(account)) => verified.push(received.verify(account)?),
                (Some(received), None) if received.is_certain() => {
                    return Err(StreamError::NoAccount { stream });
                }
                (None, Some(_)) => return Err(StreamError::NotCarried { stream }),
                (_, None) => {}
            }
        }
        Ok(verified)
    }
}

/// A connection to a running server, and the commands that are followed on it.
#[derive(Debug)]
pub struct Session {
    link: Link,
    place: PathBuf,
    followed: BTreeMap<ProcessId, Followed>,
    happened: VecDeque<Happened>,
}

impl Session {
    /// Speaks over a link that [`reach`](super::reach()) has made.
    ///
    /// # Errors
    /// [`LinkError::Unasked`] for a link to a server of this process's own, which carries no streams.
    pub fn new(link: Link) -> Result<Self, LinkError> {
        let place = link.place().ok_or(LinkError::Unasked)?.to_owned();
        Ok(Self { link, place, followed: BTreeMap::new(), happened: VecDeque::new() })
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
        let started: Started = self.call(Call::ProcessStart(Box::new(start)))?;
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
        self.followed.insert(started.id, followed);
        Ok(started)
    }

    /// Follows a command that runs, or that has ended and is kept, from these offsets of standard output and standard error on.
    /// An offset beyond what was written means: from here on.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn attach(&mut self, id: ProcessId, from: [u64; 2], role: Role) -> Result<Attached, SessionError> {
        let attach = Attach { id, from, credit: WINDOW_BYTES, role };
        let attached: Attached = self.call(Call::ProcessAttach(attach))?;
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
        self.followed.insert(id, followed);
        Ok(attached)
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
        self.call(Call::ProcessWait(Of { id }))
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

    /// What has happened, of what has come.
    pub fn take(&mut self) -> Option<Happened> {
        let happened = self.happened.pop_front()?;
        Some(self.taken(happened))
    }

    /// The same of one command alone.
    pub fn take_of(&mut self, id: ProcessId) -> Option<Happened> {
        let at = self.happened.iter().position(|happened| happened.id() == id)?;
        let happened = self.happened.remove(at)?;
        Some(self.taken(happened))
    }

    fn taken(&mut self, happened: Happened) -> Happened {
        if let Happened::Room(id) = happened
            && let Some(given) = self.followed.get_mut(&id).and_then(|followed| followed.input.as_mut())
        {
            given.is_told = false;
        }
        happened
    }

    /// Waits for what happens next.
    ///
    /// # Errors
    /// [`SessionError`]. After one that [is a cut](SessionError::is_cut), [`Self::resume`] may go on.
    #[expect(clippy::should_implement_trait, reason = "it fails, and has no end")]
    pub fn next(&mut self) -> Result<Happened, SessionError> {
        loop {
            match self.take() {
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
            match self.take_of(id) {
                None if !self.followed.contains_key(&id) => return Err(SessionError::NotFollowed { id }),
                None => self.advance()?,
                Some(Happened::Output(place, bytes)) => {
                    let written = match place.stream {
                        Stream::Error => error.write_all(&bytes),
                        Stream::Output | Stream::Input => output.write_all(&bytes),
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
                Some(Happened::Gone(_)) => return Err(SessionError::NotFollowed { id }),
                Some(Happened::Room(_) | Happened::Stopped(..)) => {}
            }
        }
    }

    /// What to poll [`Self::as_fd`] for.
    #[must_use]
    pub fn interest(&self) -> PollFlags {
        if self.link.outgoing.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT }
    }

    /// Sends and reads what can be without waiting; [`Self::take`] has what came of it.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn turn(&mut self) -> Result<(), SessionError> {
        let moved = self.link.flush().and_then(|()| self.link.read_ready());
        // What came before a connection broke counts.
        while let Some(message) = self.link.arrived()? {
            self.heed(message)?;
        }
        Ok(moved?)
    }

    fn advance(&mut self) -> Result<(), SessionError> {
        self.ready()?;
        self.turn()
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
        let id = self.link.ask(call)?;
        self.link.flush()?;
        loop {
            while let Some(message) = self.link.arrived()? {
                match message {
                    Message::Answer(response) if response.id == Some(id) => return Ok(result(response)?),
                    message => self.heed(message)?,
                }
            }
            self.ready()?;
            self.link.flush()?;
            self.link.read_ready()?;
        }
    }

    /// Connects again and follows every command from where this side stands. One that was not to stay has been ended:
    /// [`Happened::Gone`]. Calls that were under way are not repeated.
    ///
    /// # Errors
    /// [`SessionError`] when no server is there, or not the one that was.
    pub fn resume(&mut self) -> Result<(), SessionError> {
        let gone = || LinkError::NoServer { looked: vec![self.place.clone()] };
        self.link = reach::connect(&self.place)?.ok_or_else(gone)?;
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
        }
        Ok(self.link.flush()?)
    }

    fn follow_again(&mut self, id: ProcessId, followed: &mut Followed) -> Result<(), SessionError> {
        let from = followed.streams.each_ref().map(|stream| stream.as_ref().map_or(0, Received::at));
        let attach = Attach { id, from, credit: 0, role: followed.role };
        let attached: Attached = self.call(Call::ProcessAttach(attach))?;
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
            let stands = received.at();
            let credit = received.grant();
            if found != stands && received.is_certain() {
                let stream = credit.received.stream;
                let source = StreamError::Offset { stream, expected: stands, found };
                return Err(SessionError::Stream { id, source });
            }
            self.link.queue(&frame::credit(credit));
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

    fn heed(&mut self, message: Message) -> Result<(), SessionError> {
        match message {
            Message::Data(place, bytes) => self.data(place, bytes),
            Message::Credit(credit) => self.credit(credit),
            Message::Event(notification) => self.event(notification.event),
            Message::Answer(Response { id: None, error: Some(error), .. }) => {
                Err(LinkError::from(error).into())
            }
            // Of a call that nobody waits for.
            Message::Answer(_) => Ok(()),
        }
    }

    fn of(&mut self, id: ProcessId) -> Result<&mut Followed, SessionError> {
        self.followed.get_mut(&id).ok_or(SessionError::Stray { id })
    }

    fn data(&mut self, place: Place, bytes: Vec<u8>) -> Result<(), SessionError> {
        let Place { id, stream, offset } = place;
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
            Event::Gap(gap) => {
                let id = gap.id;
                let taken = self.of(id)?.stream(gap.stream).and_then(|received| received.gap(&gap));
                taken.map_err(|source| SessionError::Stream { id, source })?;
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
                if !self.of(id)?.has_exited {
                    return Err(SessionError::Order { id });
                }
                let verified =
                    self.of(id)?.verify(&closed).map_err(|source| SessionError::Stream { id, source })?;
                self.followed.remove(&id);
                self.add(Happened::Closed(id, verified))
            }
        }
    }

    fn add(&mut self, happened: Happened) -> Result<(), SessionError> {
        if self.happened.len() >= MAX_WAITING {
            return Err(SessionError::Flood);
        }
        self.happened.push_back(happened);
        Ok(())
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
