//! Rules by the beginning of a command, as data in the person's own `config.toml`.
//!
//! ```toml
//! approval_policy = "on-request"
//!
//! [approvals]
//! rules = [
//!   { command = ["cargo", ["test", "check"]], decision = "allow" },
//!   { command = ["git", "push"], decision = "ask", reason = "others see it" },
//!   { command = ["rm"], decision = "forbid" },
//! ]
//! ```
//!
//! Of all rules that cover a command the strictest holds. A project's configuration has no say here.

use std::fmt;

use serde::Deserialize;
use toml::Spanned;

use super::question::Why;
use super::script::{Runs, base_name, runs};
use super::{Approval, Approvals, Granular};

/// What stands in place of a file where an option says a rule.
const OPTION: &str = "--config";

/// Why what is configured cannot be used. Nothing is used in its place.
#[derive(Debug, thiserror::Error)]
pub enum ApprovalError {
    /// It does not say what it should, shown at its line.
    #[error("{file}: {source}")]
    Document {
        /// The file's name, or the option.
        file: String,
        /// Where, and what.
        source: Box<toml::de::Error>,
    },
}

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// It is run; nobody is asked.
    Allow,
    /// The person is asked.
    Ask,
    /// It is not run.
    Forbid,
}

impl Decision {
    const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Ask => "ask",
            Self::Forbid => "forbid",
        }
    }
}

/// One word of a rule: itself, or any of several.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Word {
    One(String),
    Any(Vec<String>),
}

impl Word {
    fn alternatives(&self) -> &[String] {
        match self {
            Self::One(word) => std::slice::from_ref(word),
            Self::Any(words) => words,
        }
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    command: Vec<Word>,
    decision: Decision,
    reason: Option<String>,
    /// Where it stands.
    place: String,
}

/// The person's rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

/// A rule as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(deserialize_with = "command")]
    command: Vec<Word>,
    decision: Decision,
    #[serde(default)]
    reason: Option<String>,
}

fn command<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<Word>, D::Error> {
    let command = Vec::<Word>::deserialize(from)?;
    let is_empty =
        |word: &Word| word.alternatives().is_empty() || word.alternatives().iter().any(String::is_empty);
    if command.is_empty() || command.iter().any(is_empty) {
        let message = "a command is a list of words, each a text or a list of texts, none of them empty";
        return Err(serde::de::Error::custom(message));
    }
    Ok(command)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table<R> {
    #[serde(default = "Vec::new")]
    rules: Vec<R>,
}

impl<R> Default for Table<R> {
    fn default() -> Self {
        Self { rules: Vec::new() }
    }
}

/// What of the file is about approvals; other tables are others' business.
#[derive(Deserialize)]
struct Document<R> {
    #[serde(default)]
    approval_policy: Option<Policy>,
    #[serde(default = "Table::default")]
    approvals: Table<R>,
}

/// `"on-request"`, or `{ granular = { … } }`.
struct Policy(Approval, Granular);

impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Kinds {
            granular: Granular,
        }
        impl<'de> serde::de::Visitor<'de> for Reader {
            type Value = Policy;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("`untrusted`, `on-request`, `never`, or `{ granular = { … } }`")
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Policy, E> {
                let words = [
                    ("untrusted", Approval::Untrusted),
                    ("on-request", Approval::OnRequest),
                    // Of other programs: when a command fails; here that is a request.
                    ("on-failure", Approval::OnRequest),
                    ("never", Approval::Never),
                ];
                let found = words.into_iter().find(|(known, _)| *known == word);
                let policy =
                    found.ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(word), &self))?.1;
                Ok(Policy(policy, Granular::default()))
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Policy, A::Error> {
                let kinds = Kinds::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(Policy(Approval::Granular, kinds.granular))
            }
        }
        from.deserialize_any(Reader)
    }
}

impl Approvals {
    /// Reads a configuration's text.
    ///
    /// # Errors
    /// [`ApprovalError::Document`].
    pub fn parse(text: &str, file: &str) -> Result<Self, ApprovalError> {
        let document: Document<Spanned<Written>> = toml::from_str(text)
            .map_err(|source| ApprovalError::Document { file: file.to_owned(), source: Box::new(source) })?;
        let Policy(policy, granular) =
            document.approval_policy.unwrap_or_else(|| Policy(Approval::default(), Granular::default()));
        let rules = document.approvals.rules.into_iter().map(|written| {
            let before = text.get(..written.span().start).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            written.into_inner().at(format!("{file}:{line}"))
        });
        Ok(Self { policy, granular, rules: Rules(rules.collect()) })
    }

    /// The same with what options say in place of the file: `said` alone, and `all` with the file's.
    ///
    /// # Errors
    /// [`ApprovalError::Document`].
    pub fn with_options(self, said: &toml::Table, all: &toml::Table) -> Result<Self, ApprovalError> {
        let ours = all.iter().filter(|(key, _)| said.contains_key(*key));
        let ours: toml::Table = ours.map(|(key, value)| (key.clone(), value.clone())).collect();
        let Document { approval_policy, approvals }: Document<Written> =
            ours.try_into().map_err(|source| ApprovalError::Document {
                file: OPTION.to_owned(),
                source: Box::new(source),
            })?;
        let Policy(policy, granular) = approval_policy.unwrap_or(Policy(self.policy, self.granular));
        let rules = if said.contains_key("approvals") {
            Rules(approvals.rules.into_iter().map(|written| written.at(OPTION.to_owned())).collect())
        } else {
            self.rules
        };
        Ok(Self { policy, granular, rules })
    }
}

impl Written {
    fn at(self, place: String) -> Rule {
        let Self { command, decision, reason } = self;
        Rule { command, decision, reason, place }
    }
}

impl Rules {
    /// What the rules say about a command, and why; nothing where none covers it.
    pub(super) fn decide(&self, argv: &[String]) -> Option<(Decision, Why)> {
        let itself = self.strictest(argv);
        let commands = match runs(argv) {
            Runs::Itself => return itself.map(Rule::decided),
            Runs::Commands(commands) => commands,
            Runs::Opaque => {
                let careful = self.0.iter().any(|rule| rule.decision != Decision::Allow);
                let opaque = careful.then_some((Decision::Ask, Why::Opaque));
                return stricter(itself.map(Rule::decided), opaque.filter(|_| itself.is_none()));
            }
        };
        // A script inside a script is shorter than it: this ends.
        let found: Vec<_> = commands.iter().map(|command| self.decide(command)).collect();
        // That some of them are allowed does not allow the others.
        let all_covered = !found.is_empty() && found.iter().all(Option::is_some);
        let inside = found.into_iter().flatten().max_by_key(|(decision, _)| *decision);
        let inside = inside.filter(|(decision, _)| *decision != Decision::Allow || all_covered);
        stricter(itself.map(Rule::decided), inside)
    }

    fn strictest(&self, argv: &[String]) -> Option<&Rule> {
        self.0.iter().filter(|rule| rule.covers(argv)).max_by_key(|rule| rule.decision)
    }
}

fn stricter(one: Option<(Decision, Why)>, other: Option<(Decision, Why)>) -> Option<(Decision, Why)> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if other.0 > one.0 { other } else { one }),
        (one, other) => one.or(other),
    }
}

impl Rule {
    /// Whether the command begins so. A program that is allowed by its name is not allowed by a path that ends in it.
    fn covers(&self, argv: &[String]) -> bool {
        if argv.len() < self.command.len() {
            return false;
        }
        let mut pairs = self.command.iter().zip(argv);
        let program = pairs.next().is_some_and(|(word, program)| {
            let by_name = self.decision != Decision::Allow;
            word.alternatives().iter().any(|known| known == program || by_name && known == base_name(program))
        });
        program && pairs.all(|(word, argument)| word.alternatives().contains(argument))
    }

    fn decided(&self) -> (Decision, Why) {
        (self.decision, Why::Rule { rule: self.to_string(), reason: self.reason.clone() })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.command.iter().map(|word| word.alternatives().join("|")).collect();
        write!(out, "`{}` = {} ({})", words.join(" "), self.decision.word(), self.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = r#"
        approval_policy = { granular = { rules = true, sandbox_approval = false, mcp_elicitations = false } }
        [model_providers.x]
        anything = 1
        [approvals]
        rules = [
          { command = ["cargo", ["test", "check"]], decision = "allow" },
          { command = ["git"], decision = "allow" },
          { command = ["git", "push"], decision = "ask", reason = "others see it" },
          { command = ["rm"], decision = "forbid" },
          { command = ["bash", "-c", "make all > log"], decision = "allow" },
        ]
    "#;

    fn decide(rules: &str, argv: &[&str]) -> Option<Decision> {
        let approvals = Approvals::parse(rules, "config.toml").unwrap();
        let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
        approvals.rules.decide(&argv).map(|(decision, _)| decision)
    }

    #[test]
    fn the_strictest_rule_that_covers_a_command_holds() {
        use Decision::{Allow, Ask, Forbid};
        let cases: [(&[&str], Option<Decision>); 26] = [
            (&["cargo", "test", "-q"], Some(Allow)),
            (&["cargo", "build"], None),
            (&["cargo"], None),
            (&["git", "status"], Some(Allow)),
            (&["git", "push", "origin"], Some(Ask)),
            (&["/usr/bin/git", "push"], Some(Ask)),
            (&["./git", "status"], None),
            (&["/tmp/x/rm", "-rf"], Some(Forbid)),
            (&["rmdir"], None),
            (&["sh", "-c", "git status && cargo test"], Some(Allow)),
            (&["sh", "-c", "git status && make"], None),
            (&["sh", "-c", "git status; git push"], Some(Ask)),
            (&["sh", "-c", "make; 'rm' x"], Some(Forbid)),
            (&["sh", "-c", "git $(rm x)"], Some(Ask)),
            (&["sh", "-c", ""], None),
            (&["sh", "-c", "sh -c 'rm x'"], Some(Forbid)),
            (&["bash", "-c", "make; bash -lc \"git status; sh -c 'rm x'\""], Some(Forbid)),
            (&["sh", "-c", "sh -c 'git push'"], Some(Ask)),
            (&["sh", "-c", "sh -c 'git status' && cargo test"], Some(Allow)),
            (&["sh", "-c", "sh -c make"], None),
            (&["sh", "-c", "sh script.sh"], Some(Ask)),
            (&["sh", "-c", "builtin eval rm x"], Some(Ask)),
            (&["sh", "-c", "trap 'rm x' EXIT"], Some(Ask)),
            (&["bash", "-c", "make all > log"], Some(Allow)),
            (&["bash", "-c", "make all > other"], Some(Ask)),
            (&[], None),
        ];
        for (argv, expect) in cases {
            assert_eq!(decide(RULES, argv), expect, "{argv:?}");
        }
        let allow_only = "[approvals]\nrules = [{ command = [\"git\"], decision = \"allow\" }]";
        assert_eq!(decide(allow_only, &["sh", "-c", "git $(rm x)"]), None);
    }

    #[test]
    fn an_answer_says_which_rule() {
        let approvals = Approvals::parse(RULES, "config.toml").unwrap();
        let argv = ["git".to_owned(), "push".to_owned()];
        let (_, why) = approvals.rules.decide(&argv).unwrap();
        assert_eq!(why.to_string(), "the rule `git push` = ask (config.toml:9): others see it");
        assert_eq!(approvals.policy, Approval::Granular);
        assert!(approvals.granular.rules && !approvals.granular.request_permissions);
    }

    #[test]
    fn mistakes_are_errors_at_their_line() {
        let rule = |rule: &str| format!("[approvals]\nrules = [\n  {rule},\n]");
        let cases = [
            (
                rule(r#"{ command = ["git"], decision = "alow" }"#),
                "line 3",
                "expected one of `allow`, `ask`, `forbid`",
            ),
            (rule(r#"{ command = ["git"], decision = "ask", why = "x" }"#), "line 3", "unknown field `why`"),
            (rule(r#"{ command = [], decision = "ask" }"#), "line 3", "a command is a list of words"),
            (
                rule(r#"{ command = ["git", []], decision = "ask" }"#),
                "line 3",
                "a command is a list of words",
            ),
            (rule(r#"{ command = "git", decision = "ask" }"#), "line 3", "expected a sequence"),
            (rule(r#"{ decision = "ask" }"#), "line 3", "missing field `command`"),
            ("[approvals]\nrule = []".to_owned(), "line 2", "unknown field `rule`"),
            (
                "\napproval_policy = \"always\"".to_owned(),
                "line 2",
                "expected `untrusted`, `on-request`, `never`",
            ),
            ("approval_policy = { granular = { rule = true } }".to_owned(), "line 1", "unknown field `rule`"),
        ];
        for (text, line, expect) in cases {
            let error = Approvals::parse(&text, "config.toml").unwrap_err().to_string();
            assert!(error.starts_with("config.toml: "), "{error}");
            assert!(error.contains(line) && error.contains(expect) && error.contains('^'), "{text}\n{error}");
        }
    }
}
