//! One command: its launcher, its streams, its end, and who hears of it.
//!
//! `exited` follows the end of the whole tree, `closed` follows `exited` and end-of-file of every stream. No timer decides either, but where the
//! kernel does not end a process: then `exited` names it, and its streams end with what is there.

mod start;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::sync::{mpsc, oneshot, watch};
use weir_protocol::ByteString;
use weir_protocol::audit::{since_1970_ms, time};
use weir_protocol::denial::{Denial, Run, Sight};
use weir_protocol::frame::Stream;
use weir_protocol::method::context::ContextId;
use weir_protocol::method::network::Asking;
use weir_protocol::method::output::{Listed, Output};
use weir_protocol::method::process::{End, Enforcement, Event, Exited, Receivers};
use weir_protocol::method::{Error, code};
use weir_protocol::policy::Resources;
use weir_protocol::policy::host::HostPattern;
use weir_protocol::policy::{Digest, DomainPattern};

use super::carried::{Carried, Input};
use super::contexts::Contexts;
use super::launcher::{failed, hear};
use super::outbox::Outbox;
use super::questions::Questions;
use super::spill::Spill;
use super::sys::watch;
use super::wire::{Incoming, Wire};
use crate::egress::asking::Asked;
use crate::egress::ending::{Parting, asks_for_end};
use crate::egress::{Account, Gate};
use crate::ended::exited;
use crate::launch::{Ended, Order, Stage, Told};
use start::Ends;
pub(super) use start::{Circumstances, start};

/// Time between the request to end and the end itself, when a command's time is over or the server stops.
const GRACE: Duration = Duration::from_secs(2);

/// A command that was started.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) id: u64,
    pub(super) output: Output,
    pub(super) enforcement: Enforcement,
    pid: i32,
    argv: Vec<ByteString>,
    /// The words of it that a list tells, and the digest of all where that is not all.
    listed_words: (Vec<ByteString>, Option<Digest>),
    started_ms: u64,
    launcher: Wire,
    /// Signals under way, in order, and who waits for the word.
    asked: RefCell<VecDeque<(i32, oneshot::Sender<()>)>>,
    streams: [Option<Rc<Carried>>; 2],
    input: Option<Rc<Input>>,
    terminal: RefCell<Option<OwnedFd>>,
    /// What it reaches of the network, where its policy has rules for single hosts.
    gate: Option<Rc<Gate>>,
    pub(super) questions: Questions,
    /// Where questions of the gate come out, until they are attended to.
    unattended: RefCell<Option<(mpsc::Receiver<Asked>, Asking)>>,
    /// Hosts that the launcher weighs, in order, and who waits for the word.
    weighed: RefCell<VecDeque<oneshot::Sender<Option<String>>>>,
    /// What its profile limits.
    limits: Resources,
    /// Where its denials are kept.
    contexts: Rc<Contexts>,
    /// The context under which it was started.
    pub(super) context: Option<ContextId>,
    /// For what the server ends it.
    ended_for: Cell<Option<End>>,
    /// It has ended, and its gate sends what is on its way.
    is_settling: Cell<bool>,
    /// How the command itself ended, where what it has started goes on.
    background: Cell<Option<End>>,
    exited: watch::Sender<Option<Exited>>,
    /// Connections that hear of it, by number.
    hearers: RefCell<Vec<(u64, Outbox)>>,
    owner: Cell<Option<u64>>,
}

impl Command {
    fn carry(&self, ends: Ends, spill: &Rc<Spill>, at_end: &'static [u8]) -> std::io::Result<()> {
        for (stream, end) in self.streams.iter().zip(ends.output) {
            if let (Some(stream), Some(end)) = (stream, end) {
                tokio::task::spawn_local(Carried::pump(Rc::downgrade(stream), watch(end)?, Rc::clone(spill)));
            }
        }
        if let (Some(input), Some(sink)) = (&self.input, ends.input) {
            tokio::task::spawn_local(Rc::clone(input).pump(watch(sink)?, at_end));
        }
        Ok(())
    }

    /// Hears the launcher out.
    async fn attend(self: Rc<Self>, mut incoming: Incoming) {
        while let Ok(Some(told)) = hear(&self.launcher, &mut incoming).await {
            match told {
                Told::Signalled => {
                    self.signalled();
                    // Whoever asked says so before anything is told that came behind it.
                    tokio::task::yield_now().await;
                }
                Told::Weighed { above } => self.has_weighed(above),
                Told::Stopped { signal } => self.tell(&Event::Stopped { id: self.id, signal }),
                Told::Background { end } => {
                    self.background.set(Some(end));
                    self.tell(&Event::Background { id: self.id, end });
                }
                Told::Ended(ended) => {
                    // What comes while it settles has not ended it.
                    let end = self.ended_for.get();
                    let mut account = None;
                    if let Some(gate) = &self.gate {
                        self.is_settling.set(true);
                        // No first process hears of signals that are under way.
                        if self.asked.borrow().iter().any(|(signal, _)| asks_for_end(*signal)) {
                            self.give_up();
                        }
                        self.all_signalled();
                        gate.settle(Parting::of(end.unwrap_or(ended.end))).await;
                        account = gate.account();
                        if let Some(account) = &mut account {
                            self.have_recorded(account.denials.list_mut(), &mut incoming).await;
                        }
                    }
                    return self.finish(*ended, end, account);
                }
                Told::Launched { .. }
                | Told::Planned { .. }
                | Told::Held(_)
                | Told::Examined(_)
                | Told::Copies(_)
                | Told::Refused { .. }
                | Told::Refusals(_)
                | Told::Recorded => break,
            }
        }
        // A launcher that is gone has taken the sandbox with it.
        let ended = Ended {
            end: End::Cancelled,
            usage: weir_protocol::method::process::Usage::default(),
            denials: Vec::new(),
            sight: Sight::default(),
            new_repositories: Vec::new(),
            recorded: None,
            stuck: Vec::new(),
        };
        let account = self.gate.as_ref().and_then(|gate| gate.account());
        self.finish(ended, self.ended_for.get(), account);
    }

    /// The launcher takes back what the ceiling would refuse of what is advised, records what the gate refused, and goes.
    async fn have_recorded(&self, refused: &mut [Denial], incoming: &mut Incoming) {
        if self.launcher.say(&Order::Refused(refused.to_vec()), &[]).await.is_err() {
            return;
        }
        loop {
            match hear(&self.launcher, incoming).await {
                Ok(Some(Told::Signalled)) => self.signalled(),
                Ok(Some(Told::Weighed { above })) => self.has_weighed(above),
                Ok(Some(Told::Refusals(advised))) if advised.len() == refused.len() => {
                    return refused.clone_from_slice(&advised);
                }
                _ => return,
            }
        }
    }

    fn has_weighed(&self, above: Option<String>) {
        if let Some(waiting) = self.weighed.borrow_mut().pop_front() {
            let _ = waiting.send(above);
        }
    }

    /// `end`: for what the server ended it; `account`: the gate's.
    fn finish(&self, ended: Ended, end: Option<End>, account: Option<Account>) {
        self.all_signalled();
        // Nobody answers any more.
        self.weighed.borrow_mut().clear();
        self.questions.leave();
        self.gate.iter().for_each(|gate| gate.close());
        self.terminal.borrow_mut().take();
        if !ended.stuck.is_empty() {
            // Those hold the streams open for as long as they wait.
            self.streams.iter().flatten().for_each(|stream| stream.leave());
        }
        self.input.iter().for_each(|input| input.over());
        let exited = exited(self.id, ended, end, account, &self.limits);
        let what = (self.argv.as_slice(), self.enforcement.profile.as_str(), self.enforcement.digest);
        let now = time(since_1970_ms(SystemTime::now()));
        Run::of(&exited, what, self.context, now).iter().for_each(|run| self.contexts.keep(run));
        self.exited.send_replace(Some(exited));
    }

    fn signalled(&self) {
        if let Some((_, asker)) = self.asked.borrow_mut().pop_front() {
            let _ = asker.send(());
        }
    }

    fn all_signalled(&self) {
        while !self.asked.borrow().is_empty() {
            self.signalled();
        }
    }

    /// Nobody waits for what its gate sends, or will send, once it has ended.
    fn give_up(&self) {
        self.gate.iter().for_each(|gate| gate.give_up());
    }

    fn tell(&self, event: &Event) {
        self.hearers.borrow().iter().for_each(|(_, outbox)| outbox.event_now(event.clone()));
    }

    /// Ends the command when its time is over.
    async fn limit(self: Rc<Self>, limit_ms: u64) {
        if tokio::time::timeout(Duration::from_millis(limit_ms), self.ended()).await.is_err() {
            self.end_for(End::TimedOut { limit_ms }).await;
        }
    }

    /// Ends the command because the server stops.
    pub(super) async fn stop(self: Rc<Self>) {
        self.end_for(End::ServerStopping).await;
    }

    /// Ends the command when it has written too much. Nothing of it is dropped for that.
    async fn limit_output(self: Rc<Self>, limit_bytes: u64) {
        let mut known = [0, 0];
        let mut grow = [true, true];
        loop {
            let [out, err] = &self.streams;
            grow = tokio::select! {
                grows = grows(out, known[0]), if grow[0] => [grows, grow[1]],
                grows = grows(err, known[1]), if grow[1] => [grow[0], grows],
                // What it wrote last may wait to be read for as long as it likes.
                _ = self.ended() => return,
            };
            known =
                self.streams.each_ref().map(|stream| stream.as_ref().map_or(0, |stream| stream.written()));
            if known.iter().sum::<u64>() > limit_bytes {
                return self.end_for(End::Output { limit_bytes }).await;
            }
        }
    }

    async fn end_for(&self, end: End) {
        if self.has_ended() {
            return;
        }
        self.ended_for.set(self.ended_for.get().or(Some(end)));
        self.kill(GRACE).await;
    }

    /// Asks everything in the sandbox to end, and ends it when it has not after `grace`. Of a command that has ended, what its gate still sends
    /// is cut.
    pub(super) async fn kill(&self, grace: Duration) {
        if !grace.is_zero() && !self.is_settling.get() {
            let asked_to_end = async {
                self.signal(Signal::TERM.as_raw(), Receivers::All).await;
                self.ended().await
            };
            if tokio::time::timeout(grace, asked_to_end).await.is_ok() {
                return;
            }
        }
        self.give_up();
        if !self.is_settling.get() {
            let _ = self.launcher.say(&Order::End, &[]).await;
        }
        self.ended().await;
    }

    /// Sends a signal, and returns when that was done, in order with what is told of the command.
    pub(super) async fn signal(&self, signal: i32, to: Receivers) {
        if self.is_settling.get() {
            // Nobody is left to get it: it can only mean what is still on its way.
            if asks_for_end(signal) {
                self.give_up();
            }
            return;
        }
        let (asker, done) = oneshot::channel();
        self.asked.borrow_mut().push_back((signal, asker));
        let sent = self.launcher.say(&Order::Signal { signal, to }, &[]).await;
        if sent.is_err() || self.exited.borrow().is_some() {
            self.signalled();
        }
        let _ = done.await;
    }

    /// Why this host must not be granted, by the launcher's word, which records what comes of its question.
    pub(super) async fn weigh(&self, pattern: &DomainPattern, stage: Stage) -> Option<String> {
        let gone = || Some("the command has ended".to_owned());
        if self.has_ended() {
            return gone();
        }
        let (asker, word) = oneshot::channel();
        self.weighed.borrow_mut().push_back(asker);
        let order = Order::Weigh { pattern: pattern.clone(), stage };
        if self.launcher.say(&order, &[]).await.is_err() {
            return gone();
        }
        word.await.unwrap_or_else(|_| gone())
    }

    /// The gate's questions with their bounds, once.
    pub(super) fn take_asked(&self) -> Option<(mpsc::Receiver<Asked>, Asking)> {
        self.unattended.take()
    }

    /// Lets the gate reach this host as well, where there is one and no rule denies it.
    pub(super) fn widen(&self, pattern: &DomainPattern) {
        if let (Some(gate), DomainPattern { host: HostPattern::Exact(host), port: Some(port) }) =
            (&self.gate, pattern)
        {
            let _ = gate.widen(host, *port);
        }
    }

    /// How it ended, as soon as it has.
    pub(super) async fn ended(&self) -> Option<Exited> {
        let mut exited = self.exited.subscribe();
        let found = exited.wait_for(Option::is_some).await;
        found.ok().and_then(|exited| exited.clone())
    }

    pub(super) fn has_ended(&self) -> bool {
        self.exited.borrow().is_some()
    }

    /// What the server carries: output and error.
    pub(super) fn streams(&self) -> &[Option<Rc<Carried>>; 2] {
        &self.streams
    }

    pub(super) fn stream(&self, stream: Stream) -> Option<&Rc<Carried>> {
        match stream {
            Stream::Input | Stream::Content => None,
            Stream::Output => self.streams[0].as_ref(),
            Stream::Error => self.streams[1].as_ref(),
        }
    }

    pub(super) fn input(&self) -> Option<&Rc<Input>> {
        self.input.as_ref()
    }

    /// Changes the size of a carried terminal.
    pub(super) fn resize(&self, [rows, columns]: [u16; 2]) -> Result<(), Error> {
        let terminal = self.terminal.borrow();
        let Some(terminal) = terminal.as_ref() else {
            let message = format!("command {} has no terminal of the server's", self.id);
            return Err(Error { code: code::STATE, message });
        };
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(terminal, size).map_err(failed)
    }

    pub(super) const fn owner(&self) -> Option<u64> {
        self.owner.get()
    }

    pub(super) fn set_owner(&self, owner: Option<u64>) {
        if self.owner.replace(owner) != owner {
            self.questions.leave();
        }
    }

    /// The way to whoever owns it.
    pub(super) fn owners_outbox(&self) -> Option<Outbox> {
        let owner = self.owner.get()?;
        let hearers = self.hearers.borrow();
        hearers.iter().find(|(connection, _)| *connection == owner).map(|(_, outbox)| outbox.clone())
    }

    pub(super) fn add_hearer(&self, connection: u64, outbox: Outbox) {
        self.hearers.borrow_mut().push((connection, outbox));
    }

    pub(super) fn remove_hearer(&self, connection: u64) {
        self.hearers.borrow_mut().retain(|(other, _)| *other != connection);
    }

    /// All that is told of it at once.
    pub(super) fn listed(&self) -> Listed {
        self.told(self.argv.clone())
    }

    /// As much of it as a list of many tells.
    pub(super) fn listed_briefly(&self) -> Listed {
        let (argv, whole_argv) = self.listed_words.clone();
        let mut listed = Listed { whole_argv, ..self.told(argv) };
        listed.cut_end();
        listed
    }

    fn told(&self, argv: Vec<ByteString>) -> Listed {
        let written =
            |at: usize| self.streams.get(at).and_then(Option::as_ref).map_or(0, |stream| stream.written());
        Listed {
            id: self.id,
            pid: self.pid,
            argv,
            whole_argv: None,
            profile: self.enforcement.profile.clone(),
            digest: self.enforcement.digest,
            started_ms: self.started_ms,
            written: [written(0), written(1)],
            owned: self.owner.get().is_some(),
            terminal: self.terminal.borrow().is_some(),
            carried: self.streams.iter().any(Option::is_some),
            when_left: self.output.when_left,
            background: self.background.get(),
            exited: self.exited.borrow().clone(),
            is_end_cut: false,
        }
    }

    pub(super) const fn pid(&self) -> i32 {
        self.pid
    }
}

/// Whether a stream grows beyond what is known of it.
async fn grows(stream: &Option<Rc<Carried>>, known: u64) -> bool {
    match stream {
        Some(stream) => stream.grows(known).await,
        None => false,
    }
}
