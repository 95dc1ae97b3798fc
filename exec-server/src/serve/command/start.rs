//! A command's start: its descriptors, the order to a launcher, and the tasks that carry it from then on.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::SystemTime;

use tokio::sync::watch;
use weir_protocol::audit::since_1970_ms;
use weir_protocol::frame::Stream;
use weir_protocol::method::Error;
use weir_protocol::method::output::listed_words;
use weir_protocol::method::process::{Start, Stdio};

use super::super::carried::{Carried, Input};
use super::super::contexts::Contexts;
use super::super::launcher::{failed, order, unexpected};
use super::super::questions::Questions;
use super::super::spill::Spill;
use super::super::wire::{Incoming, Wire};
use super::Command;

use crate::answer::process::Startable;
use crate::egress::begin::Intent;
use crate::launch::passed::{Descriptors, Passed};
use crate::launch::{Order, Told};

/// What ends a line, and then the input, of a terminal that nobody has set otherwise (termios(3), `VEOF`).
const END_OF_INPUT: &[u8] = &[4, 4];

/// What a start leaves to be carried.
pub(super) struct Ends {
    pub(super) output: [Option<OwnedFd>; 2],
    pub(super) input: Option<OwnedFd>,
}

/// The command's own ends of its standard descriptors, and this side's.
fn connect(stdio: &Stdio, passed: Vec<OwnedFd>, nothing: &OwnedFd) -> std::io::Result<(Vec<OwnedFd>, Ends)> {
    let Stdio::Pipes { input } = stdio else {
        return Ok((passed, Ends { output: [None, None], input: None }));
    };
    let (out, out_end) = std::io::pipe()?;
    let (err, err_end) = std::io::pipe()?;
    let (in_end, sink) = if *input {
        let (end, sink) = std::io::pipe()?;
        (end.into(), Some(OwnedFd::from(sink)))
    } else {
        (nothing.try_clone()?, None)
    };
    for pipe in [out.as_fd(), err.as_fd()] {
        // Where the user has no more of it, the pipe stays as it is.
        let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIPE_BYTES);
    }
    let ends = Ends { output: [Some(out.into()), Some(err.into())], input: sink };
    Ok((vec![in_end, out_end.into(), err_end.into()], ends))
}

/// Bytes that a pipe holds: so many that command and server seldom wait for each other.
const PIPE_BYTES: usize = 256 << 10;

/// What surrounds a start.
pub(in crate::serve) struct Circumstances {
    pub(in crate::serve) id: u64,
    pub(in crate::serve) launcher: Wire,
    pub(in crate::serve) spill: Rc<Spill>,
    /// What is read where there is no input.
    pub(in crate::serve) nothing: Rc<OwnedFd>,
    /// Where denials are kept.
    pub(in crate::serve) contexts: Rc<Contexts>,
}

/// Starts a command; what it needs to go on runs as tasks of this thread. The descriptor is a terminal's controlling side, where
/// the client is to have it.
pub(in crate::serve) async fn start(
    around: Circumstances,
    startable: Startable,
    start: &Start,
    passed: Vec<OwnedFd>,
) -> Result<(Rc<Command>, Option<OwnedFd>), Error> {
    let Circumstances { id, launcher, spill, nothing, contexts } = around;
    let Startable { mut launch, limit_ms, limit_bytes, .. } = startable;
    let (argv, mut incoming) = (launch.argv.clone(), Incoming::default());
    let limits = launch.policy.resources().clone();
    let mut gated = Intent::of(&mut launch, &start.env).map_err(failed)?;
    let unattended = gated.as_mut().zip(start.asking).map(|(gated, bounds)| (gated.ask(bounds), bounds));
    let (passed, mut ends) = connect(&start.stdio, passed, &nothing).map_err(failed)?;
    let with: Vec<BorrowedFd<'_>> = passed.iter().map(OwnedFd::as_fd).collect();
    let told = order(&launcher, &mut incoming, &Order::Launch(Box::new(launch)), &with).await?;
    // While this process holds the command's ends, no end of the streams would come.
    drop(passed);
    let Told::Launched { pid, enforcement, passed } = told else {
        return Err(unexpected());
    };
    // Where this fails the launcher's socket closes, and with it the sandbox ends.
    let mut passed = Descriptors::take(&passed, || incoming.take_descriptor())
        .ok_or_else(|| failed("a descriptor that the launcher named did not come"))?;
    let mut terminal = passed.remove(Passed::Terminal);
    let gate = gated.map(|intent| intent.open(passed)).transpose().map_err(failed)?;
    let (mut to_client, mut held) = (None, None);
    match (&start.stdio, terminal.take()) {
        (Stdio::Carried { .. }, Some(master)) => {
            ends.output[0] = Some(master.try_clone().map_err(failed)?);
            ends.input = Some(master.try_clone().map_err(failed)?);
            held = Some(master);
        }
        (_, terminal) => to_client = terminal,
    }
    let at_end = if held.is_some() { END_OF_INPUT } else { &[] };
    let command = Rc::new(Command {
        id,
        output: start.output,
        enforcement,
        pid,
        listed_words: listed_words(&argv),
        argv,
        started_ms: since_1970_ms(SystemTime::now()),
        launcher,
        asked: RefCell::new(VecDeque::new()),
        streams: [(Stream::Output, &ends.output[0]), (Stream::Error, &ends.output[1])]
            .map(|(stream, end)| end.is_some().then(|| Carried::new(stream, &start.output))),
        input: ends.input.is_some().then(Input::new),
        terminal: RefCell::new(held),
        gate,
        questions: Questions::default(),
        unattended: RefCell::new(unattended),
        weighed: RefCell::default(),
        limits,
        contexts,
        context: start.under.as_ref().map(|under| under.context),
        ended_for: Cell::new(None),
        is_settling: Cell::new(false),
        background: Cell::new(None),
        exited: watch::Sender::new(None),
        hearers: RefCell::new(Vec::new()),
        owner: Cell::new(None),
    });
    command.carry(ends, &spill, at_end).map_err(failed)?;
    tokio::task::spawn_local(Rc::clone(&command).attend(incoming));
    if let Some(limit_ms) = limit_ms {
        tokio::task::spawn_local(Rc::clone(&command).limit(limit_ms));
    }
    if let Some(limit_bytes) = limit_bytes {
        tokio::task::spawn_local(Rc::clone(&command).limit_output(limit_bytes));
    }
    Ok((command, to_client))
}
