//! What holds an answer on one host: the mechanisms by which a plan carries a policy out, each with what it does about one act.
//!
//! Told by whoever has the plan, and never made of a policy alone: the same rule is a mount on one host and Landlock's on another.
//! Part of the answer of `policy/explain`.

use serde::{Deserialize, Serialize};

use crate::denial::Mechanism;

/// What holds an answer on the host that was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Held {
    /// These do.
    By {
        /// How a sandbox is made there: `direct`, `user-namespace`, `bare`, `seatbelt`.
        way: String,
        /// In the order in which an act comes to them; what tells of a refusal comes last.
        mechanisms: Vec<Holding>,
    },
    /// Nothing does.
    Nothing {
        /// Why, for people.
        because: String,
    },
    /// No command runs there under this policy.
    Unenforceable {
        /// Why, for people; with what can be done, where something can.
        reason: String,
    },
}

/// One mechanism, and what it does about one act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// Which: a word of those that denials have.
    pub mechanism: Mechanism,
    /// What it does.
    pub does: Does,
    /// How, for people.
    pub how: String,
}

/// What a mechanism does about an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Does {
    /// The act comes to it first and fails.
    Refuses,
    /// It would refuse the act as well, if it came so far.
    Backs,
    /// It could refuse the act, and lets it through.
    Admits,
    /// It refuses nothing here and sees the refusal: the denial is told in its name.
    Tells,
}

impl Held {
    /// What refuses the act first.
    #[must_use]
    pub fn refused(&self) -> Option<&Holding> {
        self.mechanisms().iter().find(|holding| holding.does == Does::Refuses)
    }

    /// In whose name a refusal is told, as far as the plan says so; the kernel's own records are told where a server can read them.
    #[must_use]
    pub fn told_by(&self) -> Option<Mechanism> {
        let tells = self.mechanisms().iter().find(|holding| holding.does == Does::Tells);
        let itself = |holding: &&Holding| {
            matches!(holding.mechanism, Mechanism::Broker | Mechanism::Live | Mechanism::NetworkGate)
        };
        tells.or_else(|| self.refused().filter(itself)).map(|holding| holding.mechanism)
    }

    fn mechanisms(&self) -> &[Holding] {
        match self {
            Self::By { mechanisms, .. } => mechanisms,
            Self::Nothing { .. } | Self::Unenforceable { .. } => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_by_who_sees_it_and_else_by_who_refuses() {
        let held = |list: &[(Mechanism, Does)]| {
            let holding = |(mechanism, does): &(Mechanism, Does)| Holding {
                mechanism: *mechanism,
                does: *does,
                how: String::new(),
            };
            Held::By { way: "direct".to_owned(), mechanisms: list.iter().map(holding).collect() }
        };
        let cases = [
            (
                held(&[(Mechanism::Live, Does::Refuses), (Mechanism::Mounts, Does::Backs)]),
                Some(Mechanism::Live),
            ),
            (
                held(&[(Mechanism::Mounts, Does::Refuses), (Mechanism::Broker, Does::Tells)]),
                Some(Mechanism::Broker),
            ),
            (held(&[(Mechanism::Mounts, Does::Refuses)]), None),
            (held(&[(Mechanism::Live, Does::Admits)]), None),
            (Held::Nothing { because: String::new() }, None),
        ];
        for (held, told) in cases {
            assert_eq!(held.told_by(), told, "{held:?}");
        }
    }

    #[test]
    fn answers_come_back() {
        let texts = [
            r#"{"state":"by","way":"bare","mechanisms":[{"mechanism":"landlock","does":"refuses","how":"no rule"}]}"#,
            r#"{"state":"nothing","because":"the profile confines nothing"}"#,
            r#"{"state":"unenforceable","reason":"no seccomp"}"#,
        ];
        for text in texts {
            let held: Held = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&held).unwrap(), text);
        }
    }
}
