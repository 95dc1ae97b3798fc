//! Approvals: when the person is asked before something is done, what exactly is asked, and what an answer gives.
//!
//! None of this confines anything: the exec-server does, whatever is answered here. A rule saves or forces a question; an answer that
//! gives more than the profile becomes a lease on exactly what was asked, which leaves the profile as it is and ends. What may be
//! run is never taken from what a model or a tool wrote, but from the rules, the person and the policy.

mod fitted;
mod gate;
mod question;
mod rules;
mod script;
mod terminal;

use serde::{Deserialize, Serialize};

pub use gate::{Approver, Asking, Gate, NoOne, Refusal};
pub use question::{Act, Answer, Question, Span, Why, Wish};
pub use rules::{ApprovalError, Decision, Rule, Rules};
pub use terminal::Terminal;

/// When the person is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Approval {
    /// Before every command that no rule allows.
    Untrusted,
    /// When the model asks for more than the profile allows, or a rule says so.
    #[default]
    OnRequest,
    /// Never: what would have to be asked is refused.
    Never,
    /// As [`Granular`] says, kind by kind.
    Granular,
}

/// Which questions are asked under [`Approval::Granular`]; the others are answered with no.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Granular {
    /// Those that a rule demands.
    pub rules: bool,
    /// For more than the profile allows, for one command.
    pub sandbox_approval: bool,
    /// For more than the profile allows, for a turn.
    #[serde(default)]
    pub request_permissions: bool,
    /// Those of an MCP server.
    pub mcp_elicitations: bool,
    /// Before a skill is used.
    #[serde(default)]
    pub skill_approval: bool,
}

/// What is configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Approvals {
    /// When the person is asked.
    pub policy: Approval,
    /// Which questions are asked where the policy says to look here.
    pub granular: Granular,
    /// For which commands.
    pub rules: Rules,
}

/// What is to be done about something that the model wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Go,
    /// The person is asked.
    Ask(Why),
    /// It is not done; the model is told this.
    Refuse(String),
}

impl Approvals {
    /// The same with another policy, which the command line names.
    #[must_use]
    pub fn with_policy(self, policy: Option<Approval>) -> Self {
        Self { policy: policy.unwrap_or(self.policy), ..self }
    }

    /// About a command.
    #[must_use]
    pub fn command(&self, argv: &[String]) -> Verdict {
        let found = self.rules.decide(argv);
        let asks = match self.policy {
            Approval::Untrusted | Approval::OnRequest => true,
            Approval::Never => false,
            Approval::Granular => self.granular.rules,
        };
        match found {
            Some((Decision::Forbid, why)) => Verdict::Refuse(format!("this command is not run: {why}")),
            Some((Decision::Allow, _)) => Verdict::Go,
            Some((Decision::Ask, why)) if asks => Verdict::Ask(why),
            Some((Decision::Ask, why)) => Verdict::Refuse(format!(
                "this command would have to be asked about, and nobody is asked: {why}"
            )),
            None if self.policy == Approval::Untrusted => Verdict::Ask(Why::Untrusted),
            None => Verdict::Go,
        }
    }

    /// About more than the profile allows.
    #[must_use]
    pub fn permission(&self, wish: &Wish) -> Verdict {
        let asks = match (self.policy, &wish.span) {
            (Approval::Untrusted | Approval::OnRequest, _) => true,
            (Approval::Never, _) => false,
            (Approval::Granular, Span::Command(_)) => self.granular.sandbox_approval,
            (Approval::Granular, Span::Turn) => self.granular.request_permissions,
        };
        if asks {
            return Verdict::Ask(Why::Requested);
        }
        let reason =
            "permissions are not given in this session; do what the profile allows, or say what is missing";
        Verdict::Refuse(reason.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(policy: Approval, granular_rules: bool, argv: &[&str]) -> &'static str {
        let rules = r#"
            [approvals]
            rules = [
                { command = ["cargo"], decision = "allow" },
                { command = ["git", "push"], decision = "ask" },
                { command = ["rm"], decision = "forbid" },
            ]"#;
        let granular = Granular { rules: granular_rules, ..Granular::default() };
        let approvals = Approvals { policy, granular, ..Approvals::parse(rules, "config.toml").unwrap() };
        let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
        match approvals.command(&argv) {
            Verdict::Go => "go",
            Verdict::Ask(_) => "ask",
            Verdict::Refuse(_) => "refuse",
        }
    }

    #[test]
    fn policies_and_rules_together() {
        use Approval::{Granular, Never, OnRequest, Untrusted};
        let commands = [&["cargo", "test"][..], &["git", "push"], &["rm", "-r", "x"], &["make"]];
        let cases = [
            (Untrusted, false, ["go", "ask", "refuse", "ask"]),
            (OnRequest, false, ["go", "ask", "refuse", "go"]),
            (Never, false, ["go", "refuse", "refuse", "go"]),
            (Granular, false, ["go", "refuse", "refuse", "go"]),
            (Granular, true, ["go", "ask", "refuse", "go"]),
        ];
        for (policy, rules, expect) in cases {
            assert_eq!(commands.map(|argv| verdict(policy, rules, argv)), expect, "{policy:?} {rules}");
        }
    }
}
