//! Answers questions to the plan of this machine: compiled as for a launch, and let go.

use weir_protocol::held::Held;
use weir_protocol::policy::explain::Explanation;
use weir_protocol::{AbsPath, Policy};
use weir_sandbox_linux::plan::Plan;

use super::begin::{BeginError, Ground};
use super::inquiry::{Answered, Asked, Inquiry};
use super::lent::Lent;
use super::machine::Machine;
use crate::copies::Copies;

/// The answers of this process, for its own user. Children that try the machine out end before it answers.
#[must_use]
pub fn held_here(inquiry: &Inquiry) -> Vec<Answered> {
    held(inquiry, &mut Machine::presumed(), None)
}

/// The same by what is known of the machine and of the file tree already.
pub(super) fn held(inquiry: &Inquiry, machine: &mut Machine, index: Option<&Lent>) -> Vec<Answered> {
    match planned(inquiry, machine, index) {
        Ok((plan, policy)) => inquiry.answered(&policy, |asked, explanation| {
            let held = asked.put(|request| plan.held(&policy, request));
            turned(&plan, asked, explanation).unwrap_or(held)
        }),
        Err(error) => inquiry.unenforceable(&error.to_string()),
    }
}

/// The plan, and the policy as it holds in the file tree: with the rules for what was found there.
fn planned(
    inquiry: &Inquiry,
    machine: &mut Machine,
    index: Option<&Lent>,
) -> Result<(Plan, Policy), BeginError> {
    let launch = &inquiry.launch;
    let copies = Copies::planned(&launch.policy, &launch.standpoint);
    let mut ground = Ground::of(launch, &copies, index)?;
    machine.tried();
    let plan = ground.compiled(launch, machine.host_for(&launch.policy))?.plan;
    let policy = ground.effective(&launch.policy, plan.way);
    Ok((plan, policy))
}

/// What holds a way on, where that is no question of what may be read: a directory to begin in, a link to follow.
fn turned(plan: &Plan, asked: &Asked, explanation: &mut Explanation) -> Option<Held> {
    let (path, says) = match asked {
        _ if plan.confinement.is_none() => return None,
        Asked::Enter { path } => (path, plan.enters(path)),
        Asked::Pass { path } => (path, plan.leads(path).then_some("the link is seen inside")),
        _ => return None,
    };
    let is_readable = explanation.allowed;
    match says {
        Some(_) if is_readable => None,
        Some(because) => Some(open(path, because, explanation)),
        None => None,
    }
}

fn open(path: &AbsPath, because: &str, explanation: &mut Explanation) -> Held {
    explanation.allowed = true;
    explanation.access = None;
    explanation.edit = None;
    explanation.conditions.clear();
    Held::Nothing { because: format!("{path}: {because}") }
}
