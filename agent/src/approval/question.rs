//! What the person is asked, in words that say what an answer means, and what an answer gives.

use std::fmt::{self, Write};

use weir_protocol::method::context::{ContextId, Escalate};
use weir_protocol::policy::Access;
use weir_protocol::policy::lease::{Grant, Scope};

use crate::shown;
use crate::thread::{ThreadId, TurnId};

/// How long something is given for one command, in milliseconds: it begins at once, and the lease is used up by its start.
const COMMAND_LEASE_MS: u64 = 10 * 60 * 1000;

/// How long something is given for a turn, in milliseconds: longer than most, and it ends with the turn in any case.
const TURN_LEASE_MS: u64 = 4 * 60 * 60 * 1000;

/// Letters of a model's reason that are shown.
const REASON_LETTERS: usize = 500;

/// Something that the model wants and may not do without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What it wants.
    pub act: Act,
    /// Why that is asked.
    pub why: Why,
    /// The profile that holds, and goes on to hold.
    pub profile: String,
}

/// What the model wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// To run a command as the profile allows it.
    Command {
        /// Its words.
        argv: Vec<String>,
        /// Where.
        cwd: String,
    },
    /// More than the profile allows.
    Permission(Wish),
}

/// What the model asks for beyond the profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Exactly this.
    pub grants: Vec<Grant>,
    /// For what.
    pub span: Span,
    /// What the model says about it.
    pub reason: String,
}

/// For what something is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Span {
    /// One start of exactly this command.
    Command(Vec<String>),
    /// Everything until the turn ends.
    Turn,
}

/// Why something is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Every command is, unless a rule allows it.
    Untrusted,
    /// A rule says so.
    Rule {
        /// The rule with its place.
        rule: String,
        /// Why it is there.
        reason: Option<String>,
    },
    /// There are rules that ask or forbid, and what the script runs cannot be told.
    Opaque,
    /// The model asks for more.
    Requested,
}

impl fmt::Display for Why {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untrusted => out.write_str("the approval policy is `untrusted`, and no rule allows it"),
            Self::Rule { rule, reason: None } => write!(out, "the rule {rule}"),
            Self::Rule { rule, reason: Some(reason) } => write!(out, "the rule {rule}: {reason}"),
            Self::Opaque => out.write_str(
                "there are rules for some commands, and which commands this script runs cannot be told; plain words without \
                 expansions and redirections can",
            ),
            Self::Requested => out.write_str("the profile does not allow it"),
        }
    }
}

/// What the person says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Yes, for what was asked.
    Once,
    /// Yes, until the turn ends.
    ForTurn,
    /// No; the turn goes on and the model is told.
    Deny {
        /// Why.
        reason: Option<String>,
    },
    /// No, and the turn ends.
    Cancel,
}

/// One line of what others wrote.
fn line(text: &str) -> String {
    shown::exact(text.as_bytes())
}

impl Question {
    /// The question with its meaning.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        match &self.act {
            Act::Command { argv, cwd } => {
                let _ = writeln!(text, "The model wants to run, in {}:", line(cwd));
                let _ = writeln!(text, "    {}", shown::words(argv));
                let _ = writeln!(text, "It is asked because of this: {}.", line(&self.why.to_string()));
                let _ = writeln!(
                    text,
                    "It runs under the profile {}, as every command does.",
                    line(&self.profile)
                );
            }
            Act::Permission(wish) => {
                let _ = writeln!(
                    text,
                    "The model asks for more than the profile {} allows:",
                    line(&self.profile)
                );
                for grant in &wish.grants {
                    let _ = writeln!(text, "    {}", meaning(grant));
                }
                match &wish.span {
                    Span::Command(argv) => {
                        let _ = writeln!(
                            text,
                            "for one start of this command, and nothing else:\n    {}",
                            shown::words(argv)
                        );
                    }
                    Span::Turn => text.push_str("for every command until this turn ends.\n"),
                }
                if !wish.reason.is_empty() {
                    let said: String = wish.reason.chars().take(REASON_LETTERS).collect();
                    let _ = writeln!(text, "It says: {}", line(&said));
                }
                text.push_str("The profile stays as it is; what is given ends by itself.\n");
            }
        }
        text
    }

    /// Answers that make sense.
    #[must_use]
    pub fn offers_turn(&self) -> bool {
        match &self.act {
            Act::Command { .. } => true,
            Act::Permission(wish) => matches!(wish.span, Span::Command(_)),
        }
    }
}

/// What a grant means.
fn meaning(grant: &Grant) -> String {
    match grant {
        Grant::Path { path, access } => {
            let act = match access {
                Access::Write => "read, change, create and remove",
                Access::Copy => "read, and change in a copy",
                Access::Read => "read",
                Access::None => "nothing of",
            };
            let all = if path.is_root() { " (every file of this machine)" } else { "" };
            format!("{act} {} and everything below it{all}", shown::exact(path.as_bytes()))
        }
        Grant::Domain { pattern } => format!("connect to {}", line(&pattern.to_string())),
        Grant::UnixSocket { path } => {
            format!(
                "speak to whatever listens at {}, which may do anything it is told",
                shown::exact(path.as_bytes())
            )
        }
    }
}

impl Wish {
    /// The lease that an answer comes to; none where it is no.
    #[must_use]
    pub fn escalate(
        self,
        answer: &Answer,
        id: ContextId,
        (thread, turn): (ThreadId, TurnId),
    ) -> Option<Escalate> {
        let turn = || Scope::Turn { thread: thread.to_string(), turn: turn.to_string() };
        let (scope, for_ms) = match (answer, self.span) {
            (Answer::Deny { .. } | Answer::Cancel, _) => return None,
            (Answer::Once, Span::Command(argv)) => (Scope::Command { argv }, COMMAND_LEASE_MS),
            (Answer::ForTurn, _) | (Answer::Once, Span::Turn) => (turn(), TURN_LEASE_MS),
        };
        Some(Escalate { id, grants: self.grants, scope, for_ms, reason: self.reason })
    }
}

#[cfg(test)]
mod tests {
    use weir_protocol::AbsPath;

    use super::*;

    fn wish(span: Span) -> Wish {
        let grants = vec![
            Grant::Path { path: AbsPath::parse("/srv/data").unwrap(), access: Access::Write },
            Grant::Domain {
                pattern: weir_protocol::policy::DomainPattern::parse("registry.example.org:443").unwrap(),
            },
        ];
        Wish { grants, span, reason: "to fetch\u{1b}[2J\nthe crate".to_owned() }
    }

    #[test]
    fn a_question_says_what_a_yes_means() {
        let argv = vec!["cargo".to_owned(), "fetch; x".to_owned()];
        let act = Act::Permission(wish(Span::Command(argv)));
        let question = Question { act, why: Why::Requested, profile: "team".to_owned() };
        let expect = "\
The model asks for more than the profile team allows:
    read, change, create and remove /srv/data and everything below it
    connect to registry.example.org:443
for one start of this command, and nothing else:
    cargo 'fetch; x'
It says: to fetch\\u{1b}[2J\\nthe crate
The profile stays as it is; what is given ends by itself.
";
        assert_eq!(question.text(), expect);
        assert!(question.offers_turn());
    }

    #[test]
    fn a_command_is_shown_with_the_reason_for_asking() {
        let argv = vec!["sh".to_owned(), "-c".to_owned(), "echo \u{1b}]0;x\u{7}".to_owned()];
        let act = Act::Command { argv, cwd: "/work".to_owned() };
        let text = Question { act, why: Why::Untrusted, profile: ":workspace".to_owned() }.text();
        assert!(!text.contains('\u{1b}') && text.contains("sh -c $'echo \\u{1b}]0;x\\u{7}'"), "{text}");
        assert!(text.contains("`untrusted`") && text.contains(":workspace"), "{text}");
    }

    #[test]
    fn what_cannot_be_seen_is_named() {
        let asked = |script: &str| {
            let argv = vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()];
            let act = Act::Command { argv, cwd: "/work".to_owned() };
            Question { act, why: Why::Untrusted, profile: "team".to_owned() }.text()
        };
        let (written, begun) = (asked("echo build # \\n touch x"), asked("echo build # \n touch x"));
        assert!(written.contains("    sh -c 'echo build # \\n touch x'\n"), "{written}");
        assert!(begun.contains("    sh -c $'echo build # \\n\n     touch x'\n"), "{begun}");
        assert!(asked("echo \u{202e}x\u{200b}").contains("$'echo \\u{202e}x\\u{200b}'"));
        let path = AbsPath::parse("/srv/\u{202e}\\n").unwrap();
        assert!(meaning(&Grant::UnixSocket { path }).contains(" /srv/\\u{202e}\\\\n,"));
    }

    #[test]
    fn a_lease_is_what_was_asked_and_no_more() {
        let at = (ThreadId::new(), TurnId::new());
        let argv = vec!["make".to_owned()];
        let once = wish(Span::Command(argv.clone())).escalate(&Answer::Once, 7, at).unwrap();
        assert_eq!(
            (once.id, &once.grants, once.scope),
            (7, &wish(Span::Turn).grants, Scope::Command { argv: argv.clone() })
        );
        let turn = Scope::Turn { thread: at.0.to_string(), turn: at.1.to_string() };
        for (span, answer) in [(Span::Turn, Answer::Once), (Span::Command(argv.clone()), Answer::ForTurn)] {
            assert_eq!(wish(span).escalate(&answer, 7, at).unwrap().scope, turn);
        }
        for answer in [Answer::Deny { reason: None }, Answer::Cancel] {
            assert_eq!(wish(Span::Turn).escalate(&answer, 7, at), None);
        }
    }
}
