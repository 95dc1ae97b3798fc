//! The plan that a model writes down for the person: kept as an item, read by nobody else.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ToolSchema, arguments};
use crate::item::{Did, Step, StepStatus, ToolOutcome};

/// Name of the tool.
pub(super) const UPDATE: &str = "update_plan";

/// Most steps of a plan.
const MAX_STEPS: usize = 100;

/// The whole plan, in place of the one before.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Plan {
    /// Why it has changed.
    #[serde(default)]
    #[expect(dead_code, reason = "models are used to say it; the conversation keeps it as they wrote it")]
    explanation: Option<String>,
    /// Every step, done or not.
    plan: Vec<PlanStep>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PlanStep {
    /// What is to be done.
    step: String,
    /// How far it is.
    status: Status,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Status {
    Pending,
    InProgress,
    Completed,
}

impl From<Status> for StepStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Pending => Self::Pending,
            Status::InProgress => Self::InProgress,
            Status::Completed => Self::Completed,
        }
    }
}

pub(super) fn schema() -> ToolSchema {
    ToolSchema {
        name: UPDATE,
        description: "Writes down the plan of the work, in place of the one before. At most one step is in progress.",
        parameters: arguments::schema::<Plan>(),
    }
}

pub(super) fn update(text: &str) -> Result<ToolOutcome, String> {
    let Plan { plan, .. } = arguments::read(UPDATE, text)?;
    if plan.len() > MAX_STEPS {
        return Err(format!("a plan has at most {MAX_STEPS} steps"));
    }
    let steps = plan.into_iter().map(|PlanStep { step, status }| Step { text: step, status: status.into() });
    Ok(ToolOutcome {
        told: "The plan is written down.".to_owned(),
        did: Did::Plan { steps: steps.collect() },
    })
}
