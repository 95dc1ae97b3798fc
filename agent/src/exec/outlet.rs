//! Where a run is shown: a stream with a thread of its own, so that nothing else waits for whoever reads.
//!
//! What is put in is taken at once and goes out in order. It is bounded by who puts in: a turn is carried on while there is room
//! ([`Outlet::poll_room`]), and a step of it adds what a step says. While a question stands at the terminal ([`Outlet::quiet`]) nothing
//! goes out, for it could be taken for the question; of what is put in meanwhile [`HELD_BYTES_MAX`] are kept, and what is beyond is told.
//!
//! The thread begins with the first bytes: an agent that confines itself has done so by then, or refuses to ([`crate::confine`]).

use std::fs::File;
use std::future::poll_fn;
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Bytes that may wait for whoever reads before the turn does: an event has a MiB of output at most, so a few of them.
const WAITING_BYTES_MAX: usize = 4 << 20;

/// Bytes that are kept while a question stands: more than a person reads up to after an answer.
const HELD_BYTES_MAX: usize = 1 << 20;

/// Bytes that are given to the system at once. What waits behind them is counted as waiting.
const PIECE_BYTES: usize = 64 << 10;

/// Bytes that a pipe with room takes without waiting (PIPE_BUF on Linux, pipe(7)).
const NOW_BYTES_MAX: usize = 4096;

/// A stream to show something on. Clones are the same one.
#[derive(Clone)]
pub struct Outlet(Arc<Shared>);

struct Shared {
    /// None where the stream could not be had; that is the fault then.
    file: Option<File>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// What is to go out.
    waiting: BytesMut,
    /// Bytes that the thread is writing.
    in_hand: usize,
    /// Questions that stand, or are about to.
    questions: usize,
    /// What was put in since the first of them.
    held: Vec<u8>,
    /// Bytes that came when no more could be held.
    left_out: usize,
    has_begun: bool,
    /// Nothing more is expected.
    is_over: bool,
    has_failed: bool,
    /// The first fault; gone once it is told.
    fault: Option<io::Error>,
    /// Who waits for room, or for an end of what waits.
    wakers: Vec<Waker>,
}

/// A question stands as long as this does, and nothing else is shown.
pub struct Quiet(Outlet);

impl Outlet {
    /// On a stream of the process's.
    pub fn to(stream: &impl AsFd) -> Self {
        let mut state = State::default();
        let file = stream.as_fd().try_clone_to_owned().map_err(|error| state.fail(error)).ok();
        Self(Arc::new(Shared {
            file: file.map(File::from),
            state: Mutex::new(state),
            changed: Condvar::new(),
        }))
    }

    /// Takes bytes, and waits for nobody. After a fault they go nowhere; [`Outlet::finish`] tells it.
    pub fn put(&self, bytes: &[u8]) {
        let mut state = self.lock();
        if state.has_failed || bytes.is_empty() {
            return;
        }
        state.is_over = false;
        if state.questions > 0 {
            return state.hold(bytes);
        }
        state.waiting.extend_from_slice(bytes);
        self.carry_on(&mut state);
    }

    /// Writes bytes where nothing waits and whoever reads has room for them; otherwise they are not written.
    pub fn put_now(&self, bytes: &[u8]) {
        let state = self.lock();
        if let (Some(file), true) = (&self.0.file, state.is_idle() && !state.has_failed) {
            write_now(file, bytes);
        }
    }

    /// Whether the turn may be carried on: no more waits than may wait. While a question stands it may, for the answer's sake.
    pub fn poll_room(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        let is_full = state.waiting.len().saturating_add(state.in_hand) > WAITING_BYTES_MAX;
        if is_full && state.questions == 0 { state.wait(context) } else { Poll::Ready(()) }
    }

    /// Waits until everything that was put in has gone out, and holds back what follows until the value goes.
    pub async fn quiet(&self) -> Quiet {
        self.lock().questions += 1;
        let quiet = Quiet(self.clone());
        poll_fn(|context| {
            let mut state = self.lock();
            if state.is_idle() { Poll::Ready(()) } else { state.wait(context) }
        })
        .await;
        quiet
    }

    /// Waits until everything has gone out, and ends the thread.
    ///
    /// # Errors
    /// The first fault in writing; what was put in after it is lost.
    pub fn finish(&self) -> io::Result<()> {
        let mut state = self.lock();
        state.is_over = true;
        self.0.changed.notify_all();
        let over = self.0.changed.wait_while(state, |state| !state.is_idle());
        over.unwrap_or_else(PoisonError::into_inner).fault.take().map_or(Ok(()), Err)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the thread look at what waits; it is started where there is none.
    fn carry_on(&self, state: &mut State) {
        if !std::mem::replace(&mut state.has_begun, true) {
            let shared = Arc::clone(&self.0);
            if let Err(error) =
                std::thread::Builder::new().name("outlet".to_owned()).spawn(move || shared.carry())
            {
                state.fail(error);
            }
        }
        self.0.changed.notify_all();
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.questions = state.questions.saturating_sub(1);
        if state.questions > 0 {
            return;
        }
        let (held, left_out) = (std::mem::take(&mut state.held), std::mem::take(&mut state.left_out));
        if state.has_failed || held.is_empty() {
            return;
        }
        state.waiting.extend_from_slice(&held);
        if left_out > 0 {
            let told = format!(
                "\n[… {left_out} bytes that came while the question stood are left out; the thread has them …]\n"
            );
            state.waiting.extend_from_slice(told.as_bytes());
        }
        self.0.carry_on(&mut state);
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_hand == 0
    }

    /// Keeps the beginning of what comes.
    fn hold(&mut self, bytes: &[u8]) {
        if self.left_out == 0 && self.held.len().saturating_add(bytes.len()) <= HELD_BYTES_MAX {
            self.held.extend_from_slice(bytes);
        } else {
            self.left_out = self.left_out.saturating_add(bytes.len());
        }
    }

    fn wait(&mut self, context: &Context<'_>) -> Poll<()> {
        if !self.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            self.wakers.push(context.waker().clone());
        }
        Poll::Pending
    }

    fn fail(&mut self, error: io::Error) {
        self.has_failed = true;
        self.fault = Some(error);
        self.waiting.clear();
    }
}

impl Shared {
    /// Writes what waits, until nothing more will come.
    fn carry(&self) {
        let lock = || self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let waits = |state: &mut State| state.waiting.is_empty() && !state.is_over;
            let mut state = self.changed.wait_while(lock(), waits).unwrap_or_else(PoisonError::into_inner);
            if state.waiting.is_empty() {
                state.has_begun = false;
                return;
            }
            let count = state.waiting.len().min(PIECE_BYTES);
            state.in_hand = count;
            let piece = state.waiting.split_to(count);
            drop(state);
            let written = self.file.as_ref().map_or(Ok(()), |file| write(file, &piece));
            let mut state = lock();
            state.in_hand = 0;
            if let Err(error) = written {
                state.fail(error);
            }
            state.wakers.drain(..).for_each(Waker::wake);
            self.changed.notify_all();
        }
    }
}

/// Writes all of it; a stream that somebody has taught not to wait is waited for.
fn write(mut file: &File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll(&mut [PollFd::new(file, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes few bytes to a stream that takes them at once; otherwise they are not written.
pub(crate) fn write_now(stream: &impl AsFd, bytes: &[u8]) {
    let mut watched = [PollFd::new(stream, PollFlags::OUT)];
    let ready = poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    if bytes.len() <= NOW_BYTES_MAX && ready == Ok(1) && watched[0].revents().contains(PollFlags::OUT) {
        let _ = rustix::io::write(stream, bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::pin::pin;

    use super::*;

    fn poll_now<T>(future: impl Future<Output = T>) -> Poll<T> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn has_room(outlet: &Outlet) -> bool {
        outlet.poll_room(&Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn all_goes_out_in_order_and_whoever_puts_in_never_waits() {
        let (mut read, write) = io::pipe().unwrap();
        let outlet = Outlet::to(&write);
        drop(write);
        let piece: Vec<u8> = (0..=255).cycle().take(WAITING_BYTES_MAX / 2 + 100_000).collect();
        outlet.put(&piece);
        assert!(has_room(&outlet));
        outlet.put(&piece);
        assert!(!has_room(&outlet), "nobody reads");
        outlet.put_now(b"in the middle");
        let taken = std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut taken = vec![0; 2 * piece.len()];
                read.read_exact(&mut taken).map(|()| taken)
            });
            outlet.finish().unwrap();
            reader.join().unwrap().unwrap()
        });
        assert!(taken == [&piece[..], &piece[..]].concat());
        assert!(has_room(&outlet));
    }

    #[test]
    fn a_question_stands_alone_and_what_came_meanwhile_follows() {
        let (mut read, write) = io::pipe().unwrap();
        let outlet = Outlet::to(&write);
        outlet.put(b"before ");
        let mut taken = [0; 7];
        read.read_exact(&mut taken).unwrap();
        let quiet = loop {
            // What has been read may still be in the thread's hand.
            match poll_now(outlet.quiet()) {
                Poll::Ready(quiet) => break quiet,
                Poll::Pending => std::thread::yield_now(),
            }
        };
        outlet.put(b"meanwhile ");
        outlet.put(&vec![b'x'; HELD_BYTES_MAX]);
        outlet.put(b"and this");
        assert!(has_room(&outlet) && outlet.lock().is_idle(), "nothing goes out");
        drop(quiet);
        outlet.put(b"after");
        outlet.finish().unwrap();
        drop((outlet, write));
        let mut rest = String::new();
        read.read_to_string(&mut rest).unwrap();
        let left_out = HELD_BYTES_MAX + "and this".len();
        let expect = format!(
            "meanwhile \n[… {left_out} bytes that came while the question stood are left out; the thread has them …]\nafter"
        );
        assert_eq!(rest, expect);
    }

    #[test]
    fn the_first_fault_is_told_once_and_nobody_waits_behind_it() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let outlet = Outlet::to(&full);
        outlet.put(b"a");
        assert_eq!(outlet.finish().map_err(|error| error.kind()), Err(io::ErrorKind::StorageFull));
        outlet.put(&vec![b'x'; 2 * WAITING_BYTES_MAX]);
        assert!(has_room(&outlet));
        outlet.finish().unwrap();
    }
}
