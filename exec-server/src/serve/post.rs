//! The server part's side of the post: clients come in, launchers and resolvers are asked for, one answer for each request, in
//! order.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use weir_protocol::method::{Error, code};

use super::sys::watch;
use crate::daemon::post::{Word, hear, say};

type Waiting = RefCell<VecDeque<oneshot::Sender<Option<OwnedFd>>>>;

/// What the supervisor says that nobody asked for.
#[derive(Debug)]
pub(super) enum News {
    /// A client.
    Client(UnixStream),
    /// Take nothing new, and end what has not ended after so long.
    Drain(Duration),
    /// The requirements were read again.
    Reload,
}

/// The post.
#[derive(Debug)]
pub(super) struct Post {
    socket: AsyncFd<OwnedFd>,
    launchers: Waiting,
    resolvers: Waiting,
    clients: Cell<u32>,
}

impl Post {
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        let waiting = || RefCell::new(VecDeque::new());
        Ok(Self { socket: watch(socket)?, launchers: waiting(), resolvers: waiting(), clients: Cell::new(0) })
    }

    /// The next news; `None` when the supervisor has let go. Hands out answers on the way: somebody must always wait here.
    pub(super) async fn news(&self) -> io::Result<Option<News>> {
        loop {
            let heard = self.socket.async_io(Interest::READABLE, |socket| hear(socket)).await?;
            let (waiting, descriptor) = match heard {
                None | Some((Word::Idle(_) | Word::Refused(_) | Word::Index, _)) => return Ok(None),
                Some((Word::Drain(after_ms), _)) => {
                    return Ok(Some(News::Drain(Duration::from_millis(after_ms.into()))));
                }
                Some((Word::Reload, _)) => return Ok(Some(News::Reload)),
                Some((Word::Client, descriptor)) => {
                    self.clients.set(self.clients.get().wrapping_add(1));
                    match descriptor {
                        Some(descriptor) => return Ok(Some(News::Client(descriptor.into()))),
                        None => continue,
                    }
                }
                Some((Word::Launcher, descriptor)) => (&self.launchers, descriptor),
                Some((Word::Resolver, descriptor)) => (&self.resolvers, descriptor),
            };
            if let Some(waiting) = waiting.borrow_mut().pop_front() {
                let _ = waiting.send(descriptor);
            }
        }
    }

    /// A launcher that makes one sandbox for this server part's user.
    pub(super) async fn launcher(&self) -> Result<UnixStream, Error> {
        let message = "no more commands of this user can run now";
        self.ask(Word::Launcher, &self.launchers)
            .await?
            .ok_or_else(|| Error { code: code::QUOTA, message: message.to_owned() })
    }

    /// A process that reads profiles with the user's rights.
    pub(super) async fn resolver(&self) -> Result<UnixStream, Error> {
        let message = "the part that reads profiles could not be started";
        self.ask(Word::Resolver, &self.resolvers)
            .await?
            .ok_or_else(|| Error { code: code::LAUNCH, message: message.to_owned() })
    }

    /// Says that there is nothing left to do. Where the supervisor has sent another client meanwhile, that one comes; where it has let
    /// go, [`Self::news`] says so.
    pub(super) async fn idle(&self) -> io::Result<()> {
        match self.say(Word::Idle(self.clients.get())).await {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            said => said,
        }
    }

    /// Says that a start was refused here, for the record.
    pub(super) async fn refused(&self, code: i64) {
        let code = u32::try_from(code.unsigned_abs()).unwrap_or_default();
        let _ = self.say(Word::Refused(code)).await;
    }

    async fn ask(&self, word: Word, waiting: &Waiting) -> Result<Option<UnixStream>, Error> {
        let gone = || Error { code: code::STATE, message: "the server is ending".to_owned() };
        let (sender, receiver) = oneshot::channel();
        // In the order of the words: nothing else runs between this and the word, unless the socket is full.
        self.say(word).await.map_err(|_| gone())?;
        waiting.borrow_mut().push_back(sender);
        let answered = receiver.await.map_err(|_| gone())?;
        Ok(answered.map(UnixStream::from))
    }

    async fn say(&self, word: Word) -> io::Result<()> {
        self.socket.async_io(Interest::WRITABLE, |socket| say(socket, word, None)).await
    }
}
