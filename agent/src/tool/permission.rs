//! Asking for more than the profile allows: exactly what is named, for one command or for the turn, given as a lease or not at all.

use std::cell::RefCell;

use schemars::JsonSchema;
use serde::Deserialize;
use weir_protocol::method::context::LeaseId;
use weir_protocol::policy::lease::{Grant, Scope};
use weir_protocol::policy::{Access, DomainPattern};

use super::{ToolSchema, Tools, arguments};
use crate::approval::{Answer, Refusal, Span, Wish};
use crate::item::{Did, ToolOutcome};

/// Name of the tool.
pub(super) const REQUEST: &str = "request_permissions";

/// Ask for more than the profile allows.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Request {
    /// Paths to read, with all below them.
    #[serde(default)]
    read: Vec<String>,
    /// Paths to write, with all below them.
    #[serde(default)]
    write: Vec<String>,
    /// Hosts to reach: `name`, `name:port` or `*.name`.
    #[serde(default)]
    hosts: Vec<String>,
    /// Unix sockets to connect to.
    #[serde(default)]
    sockets: Vec<String>,
    /// The one command that it is for, exactly as exec_command will get it; absent: the rest of the turn.
    #[serde(default)]
    command: Option<String>,
    /// Why, for the person.
    reason: String,
}

/// What was given beyond the profile.
#[derive(Debug, Default)]
pub(super) struct Leases {
    /// Given for the turn, all of it in one lease.
    turn: Vec<Grant>,
    lease: Option<LeaseId>,
    /// Given for one start of exactly these words.
    commands: Vec<(Vec<String>, LeaseId)>,
}

impl Leases {
    /// The lease for everything in the turn.
    pub(super) const fn of_turn(&self) -> Option<LeaseId> {
        self.lease
    }

    /// The lease for one start of these words, which uses it up; else the turn's.
    pub(super) fn take(&mut self, argv: &[String]) -> Option<LeaseId> {
        let at = self.commands.iter().position(|(words, _)| words == argv);
        at.map(|at| self.commands.remove(at).1).or(self.lease)
    }
}

pub(super) fn schema() -> ToolSchema {
    ToolSchema {
        name: REQUEST,
        description: "Asks the person for more than the permission profile allows: exactly what is named, for one command or for this turn. \
                      What was refused names what to ask for. The answer may be no.",
        parameters: arguments::schema::<Request>(),
    }
}

impl Tools {
    pub(super) async fn request_permissions(&self, text: &str) -> Result<ToolOutcome, String> {
        let request: Request = arguments::read(REQUEST, text)?;
        let wish = self.wish(request)?;
        match self.place.gate.permission(&wish).await {
            Ok(answer) => self.grant(wish, &answer).await,
            Err(Refusal::Told(reason)) => Ok(refused(format!("Not granted: {reason}"))),
            Err(Refusal::Cancelled) => Ok(refused("Not granted: the person ended the turn".to_owned())),
        }
    }

    fn wish(&self, request: Request) -> Result<Wish, String> {
        let base = &self.place.standpoint;
        let path = |text: &String| arguments::path(text, &base.cwd, &base.home);
        let mut grants = Vec::new();
        for (paths, access) in [(&request.read, Access::Read), (&request.write, Access::Write)] {
            for text in paths {
                grants.push(Grant::Path { path: path(text)?, access });
            }
        }
        for host in &request.hosts {
            let pattern = DomainPattern::parse(host).map_err(|error| format!("`{host}`: {error}"))?;
            grants.push(Grant::Domain { pattern });
        }
        for socket in &request.sockets {
            grants.push(Grant::UnixSocket { path: path(socket)? });
        }
        if grants.is_empty() {
            return Err("nothing is asked for: name paths, hosts or sockets".to_owned());
        }
        let span = request.command.map_or(Span::Turn, |script| Span::Command(self.argv(&script)));
        Ok(Wish { grants, span, reason: request.reason })
    }

    /// A new lease holds what was given for the turn before as well: a start presents one.
    async fn grant(&self, wish: Wish, answer: &Answer) -> Result<ToolOutcome, String> {
        let Some(turn) = *self.turn.borrow() else { return Err("no turn is under way".to_owned()) };
        let context = self.place.opened.id;
        let Some(mut escalate) = wish.escalate(answer, context, (self.place.thread, turn)) else {
            return Ok(refused("Not granted.".to_owned()));
        };
        let before = self.leases.borrow().turn.clone();
        escalate
            .grants
            .extend(before.into_iter().filter(|grant| !escalate.grants.contains(grant)).collect::<Vec<_>>());
        let (grants, scope) = (escalate.grants.clone(), escalate.scope.clone());
        let leased =
            self.place.executor.ask(escalate).await.map_err(|error| format!("Not granted: {error}"))?;
        let mut leases = self.leases.borrow_mut();
        let told = match scope {
            Scope::Command { argv } => {
                leases.commands.push((argv, leased.lease));
                "Granted for one start of exactly this command."
            }
            Scope::Turn { .. } | Scope::Context => {
                (leases.turn, leases.lease) = (grants, Some(leased.lease));
                "Granted until this turn ends."
            }
        };
        let did = Did::Permission { granted: true, lease: Some(leased.lease) };
        Ok(ToolOutcome { told: told.to_owned(), did })
    }

    pub(super) fn forget_leases(&self) {
        self.leases.replace(Leases::default());
    }
}

fn refused(told: String) -> ToolOutcome {
    ToolOutcome { told, did: Did::Permission { granted: false, lease: None } }
}

/// Interior, for calls that run at the same time.
pub(super) type Held = RefCell<Leases>;
