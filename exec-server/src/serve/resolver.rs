//! Reads profiles for one user, with that user's rights and no others: a process of its own, because the server part may open
//! nothing and the launcher must not parse.
//!
//! What it decides is the user's own affair, and bounded by the ceiling, which the launcher checks once more.

use std::io;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Mutex;
use weir_protocol::Policy;
use weir_protocol::frame::Frame;
use weir_protocol::method::policy::{Choice, Explain};
use weir_protocol::method::process::Start;
use weir_protocol::method::{Call, Error, code};
use weir_sandbox_linux::confine::Part;

use super::confine;
use super::post::Post;
use super::wire::{Incoming, Wire};
use crate::answer;
use crate::answer::explain::Explaining;
use crate::answer::process::{Startable, startable};
use crate::profile::ceiling::Caller;
use crate::wire::{self, Read, WireError};

/// What the server part wants to know.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Question {
    /// The answer to a call that starts nothing.
    Call(Box<Call>),
    /// What is to be asked of the launcher.
    Start(Box<Start>, Option<Box<Policy>>),
    /// The policy of a profile.
    Policy(Box<Choice>),
    /// What is to be asked of a plan to answer a question.
    Explain(Box<Explain>),
}

/// Answers until the server part is gone.
pub(crate) fn run(socket: UnixStream) -> io::Result<ExitCode> {
    // Names of users and groups may come from a service, which cannot be asked later.
    let _ = Caller::of_this_process();
    confine(Part::Resolver, None)?;
    let mut wire = wire::Wire::new(socket);
    loop {
        while let Some(question) = wire.take().map_err(io::Error::other)? {
            let answered = match serde_json::from_slice(&question)? {
                Question::Call(call) => wire.say(&answer::call(*call), &[]),
                Question::Start(start, decided) => {
                    wire.say(&startable(&start, decided.map(|policy| *policy)), &[])
                }
                Question::Policy(choice) => wire.say(&decided(&choice), &[]),
                Question::Explain(explain) => wire.say(&Explaining::of(&explain), &[]),
            };
            answered.map_err(io::Error::other)?;
        }
        if wire.read().map_err(io::Error::other)? == Read::End {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// A policy, and what should be said about documents and profile.
type Decided = (Policy, Vec<String>);

fn decided(choice: &Choice) -> Result<Decided, Error> {
    let loaded = answer::policy::policy_of(choice)?;
    Ok((loaded.policy, loaded.remarks))
}

/// The server part's side: a resolver is asked for when it is needed, and again when one has gone.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    wire: Mutex<Option<(Wire, Incoming)>>,
}

impl Resolver {
    pub(super) async fn call(&self, post: &Post, call: Call) -> Result<Value, Error> {
        self.ask(post, &Question::Call(Box::new(call))).await?
    }

    /// `decided` is the policy of the context under which it starts.
    pub(super) async fn startable(
        &self,
        post: &Post,
        start: Start,
        decided: Option<Policy>,
    ) -> Result<Startable, Error> {
        self.ask(post, &Question::Start(Box::new(start), decided.map(Box::new))).await?
    }

    pub(super) async fn policy(&self, post: &Post, choice: Choice) -> Result<Decided, Error> {
        self.ask(post, &Question::Policy(Box::new(choice))).await?
    }

    pub(super) async fn explaining(&self, post: &Post, explain: Explain) -> Result<Explaining, Error> {
        self.ask(post, &Question::Explain(Box::new(explain))).await?
    }

    async fn ask<T: for<'de> Deserialize<'de>>(&self, post: &Post, question: &Question) -> Result<T, Error> {
        let mut place = self.wire.lock().await;
        let lost = |error: WireError| Error {
            code: code::LAUNCH,
            message: format!("the part that reads profiles has gone: {error}"),
        };
        if place.is_none() {
            let wire = Wire::new(post.resolver().await?).map_err(|error| lost(error.into()))?;
            *place = Some((wire, Incoming::default()));
        }
        let Some((wire, incoming)) = place.as_mut() else { return Err(lost(WireError::Gone)) };
        let answered = exchange(wire, incoming, question).await;
        if answered.is_err() {
            *place = None;
        }
        answered.map_err(lost)
    }
}

async fn exchange<T: for<'de> Deserialize<'de>>(
    wire: &Wire,
    incoming: &mut Incoming,
    question: &Question,
) -> Result<T, WireError> {
    wire.say(question, &[]).await?;
    loop {
        match incoming.take()? {
            Some(Frame::Control(payload)) => return Ok(serde_json::from_slice(payload)?),
            Some(_) => return Err(WireError::Gone),
            None => {}
        }
        if !wire.read(incoming).await? {
            return Err(WireError::Gone);
        }
    }
}
