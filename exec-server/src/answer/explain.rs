//! Why something is allowed or not: the policy's word, and what holds it on this machine.
//!
//! In two halves, for in a server that several users share the part that reads profiles can try nothing out: [`Explaining`] is what is to
//! be asked of a plan, and puts the answer together from what comes back.

use std::os::unix::ffi::OsStrExt as _;

use serde::{Deserialize, Serialize};
use weir_protocol::method::policy::{Explain, Explained, Question, Standpoint};
use weir_protocol::method::{Error, code};
use weir_protocol::policy::{Host, Policy};
use weir_protocol::{AbsPath, ByteString};

use super::command::{Starting, absent};
use super::policy::policy_of;
use crate::launch::inquiry::{Answered, Asked, Inquiry};
use crate::launch::{Image, Launch, Source, held_here};
use crate::profile::surroundings::{self, Walker};

/// Port assumed where a question names none.
const DEFAULT_PORT: u16 = 443;

/// What a record names in a command's place.
const NAME: &str = "policy/explain";

/// A question that was read: what is to be asked of a plan, and what the answer is put together from.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Explaining {
    /// What is to be asked.
    pub(crate) inquiry: Inquiry,
    leads_to: Option<AbsPath>,
    starting: Option<Starting>,
}

/// Answers by the plan of this process's own user.
pub(super) fn explained(params: &Explain) -> Result<Explained, Error> {
    let explaining = Explaining::of(params)?;
    let answers = held_here(&explaining.inquiry);
    Ok(explaining.completed(answers))
}

impl Explaining {
    /// Reads a question.
    ///
    /// # Errors
    /// [`Error`] for the client: no policy, or what is no question.
    pub(crate) fn of(params: &Explain) -> Result<Self, Error> {
        let policy = policy_of(&params.choice)?.policy;
        let standpoint = &params.choice.standpoint;
        let (mut leads_to, mut starting) = (None, None);
        let asked = match &params.question {
            Question::Path { path, access } => {
                let (path, link) = final_path(path, standpoint)?;
                leads_to = link;
                vec![Asked::Path { path, operation: *access }]
            }
            Question::UnixSocket { path } => {
                let (path, link) = final_path(path, standpoint)?;
                leads_to = link;
                vec![Asked::UnixSocket { path }]
            }
            Question::Host { host } => {
                let (host, port) = host_and_port(host)?;
                vec![Asked::Connect { host: host.to_string(), port }]
            }
            Question::Environment { name } => vec![Asked::Environment { name: name.clone() }],
            Question::Command { argv, path } => {
                let found = Starting::of(&policy, argv, path.as_ref(), &standpoint.cwd)
                    .ok_or_else(|| question("no command was given".to_owned()))?;
                let asked = found.asked();
                starting = Some(found);
                asked
            }
        };
        Ok(Self { inquiry: Inquiry { launch: launch(policy, standpoint), asked }, leads_to, starting })
    }

    /// The answer, once what was asked is answered, in order.
    pub(crate) fn completed(self, answers: Vec<Answered>) -> Explained {
        let Self { inquiry, leads_to, starting } = self;
        let policy = inquiry.launch.policy;
        let (profile, digest) = (policy.profile().to_owned(), policy.digest());
        let answers: Vec<Answered> = answers.into_iter().map(Answered::reconciled).collect();
        let (explanation, held, needed) = match starting {
            Some(starting) => starting.completed(answers),
            None => match answers.into_iter().next() {
                Some(Answered { explanation, held }) => (explanation, Some(held), Vec::new()),
                // Nobody puts no question.
                None => (absent(String::new(), String::new()), None, Vec::new()),
            },
        };
        Explained { profile, digest, leads_to, explanation, held, needed }
    }
}

impl Answered {
    /// Says where this machine refuses what the policy allows, as where something that a rule names is not there.
    fn reconciled(mut self) -> Self {
        if let Some(first) = self.held.refused().filter(|_| self.explanation.allowed) {
            let note =
                format!("on this host it is refused all the same, by {}: {}", first.mechanism, first.how);
            self.explanation.conditions.push(note);
        }
        self
    }

    /// Whether the act comes about here.
    pub(super) fn passes(&self) -> bool {
        self.explanation.allowed && self.held.refused().is_none()
    }
}

/// What would be launched.
fn launch(policy: Policy, standpoint: &Standpoint) -> Launch {
    Launch {
        policy,
        argv: vec![ByteString::from(NAME)],
        env: Vec::new(),
        cwd: standpoint.cwd.clone(),
        umask: None,
        stdio: [Source::Closed; 3],
        size: None,
        user: None,
        standpoint: standpoint.clone(),
        image: Image::Command,
        recorded: false,
        certificate: None,
    }
}

fn question(message: String) -> Error {
    Error { code: code::QUESTION, message }
}

/// The path as the kernel sees it, and the same once more where symbolic links changed it.
fn final_path(text: &str, standpoint: &Standpoint) -> Result<(AbsPath, Option<AbsPath>), Error> {
    let full = match text.strip_prefix("~/") {
        Some(rest) => standpoint.home.as_path().join(rest),
        None if text == "~" => standpoint.home.as_path().to_owned(),
        None => standpoint.cwd.as_path().join(text),
    };
    let no_path = || question(format!("`{text}` is not a path"));
    let named = AbsPath::from_host(&full).ok_or_else(no_path)?;
    // `..` behind a symbolic link is above where that leads.
    let full = full.as_os_str().as_bytes();
    let followed = Walker::new(&surroundings::Host::default()).follow_from(&AbsPath::root(), full);
    let real = followed.ok_or_else(no_path)?.real;
    let link = (real != named).then(|| real.clone());
    Ok((real, link))
}

fn host_and_port(text: &str) -> Result<(Host, u16), Error> {
    let wrong = |error: &dyn std::fmt::Display| question(format!("`{text}`: {error}"));
    if let Ok(host) = Host::parse(text) {
        return Ok((host, DEFAULT_PORT));
    }
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let host = Host::parse(host).map_err(|error| wrong(&error))?;
    match port.parse() {
        Ok(port) if port > 0 => Ok((host, port)),
        _ => Err(wrong(&"a port is a number from 1 to 65535")),
    }
}
