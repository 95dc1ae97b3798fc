//! Compares the skips of a run with the skips that were expected.
//!
//! Pure over texts. The list of expected skips holds one id a line, alone or with a condition: `id if fact`. A fact is a
//! word that `.ci/run` establishes about the host, such as `no-landlock`; all facts are passed in with their value, so that
//! a mistyped fact is an error. Several lines with the same id mean "any of these". An id that ends in `*` stands for a family
//! whose members depend on the kernel, and is never reported as having run. `#` starts a comment.
//!
//! Caller: the binary `weir-skips`.

use std::collections::{BTreeMap, BTreeSet};

use super::{LOG_SEPARATOR, is_id};

/// Ends an id in the list that stands for a family.
const FAMILY: char = '*';

/// What is true of this host: fact → whether it holds.
pub type Facts = BTreeMap<String, bool>;

/// A skip as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skip {
    /// The test's id.
    pub id: String,
    /// Why it did not run, in one line.
    pub reason: String,
}

/// The comparison's result. Both lists are sorted and free of duplicates.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Skips that no line of the list expects on this host: a failure.
    pub unexpected: Vec<Skip>,
    /// Ids that were expected to be skipped on this host and were not: worth a look, no failure.
    pub ran: Vec<String>,
    /// Number of skips that were expected and happened.
    pub as_expected: usize,
}

/// What is wrong with the list, the log or a fact. Line numbers count from 1.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AccountError {
    /// A line of the list is neither `id` nor `id if fact`.
    #[error("expected skips, line {line}: expected `ID` or `ID if FACT`")]
    Form {
        /// Line in the list.
        line: usize,
    },
    /// A condition names a fact that was not passed in.
    #[error("expected skips, line {line}: nobody establishes the fact `{fact}`")]
    UnknownFact {
        /// Line in the list.
        line: usize,
        /// The unknown word.
        fact: String,
    },
    /// A line of the log lacks its separator or its id.
    #[error("skip log, line {line}: expected an id, a tab and a reason")]
    Log {
        /// Line in the log.
        line: usize,
    },
    /// A fact on the command line is not `NAME=yes` or `NAME=no`.
    #[error("`{argument}`: expected NAME=yes or NAME=no")]
    Fact {
        /// The argument as given.
        argument: String,
    },
}

/// Compares the `log` of a run with the list `expected` on a host of these `facts`.
///
/// # Errors
/// When a line of either text cannot be read, or a condition names an unknown fact.
pub fn account(expected: &str, log: &str, facts: &Facts) -> Result<Account, AccountError> {
    let expected = read_expected(expected, facts)?;
    let skips = read_log(log)?;
    let is_skipped = |id: &&String| skips.iter().any(|skip| skip.id == **id);
    let ran = expected.iter().filter(|id| !id.ends_with(FAMILY) && !is_skipped(id)).cloned().collect();
    let is_expected = |skip: &Skip| expected.iter().any(|id| covers(id, &skip.id));
    let (known, unexpected): (Vec<_>, Vec<_>) = skips.iter().cloned().partition(is_expected);
    Ok(Account { unexpected, ran, as_expected: known.len() })
}

/// Whether an id of the list means the id of a skip.
fn covers(listed: &str, id: &str) -> bool {
    listed == id || listed.strip_suffix(FAMILY).is_some_and(|family| id.starts_with(family))
}

/// Reads `NAME=yes` or `NAME=no`.
///
/// # Errors
/// When the argument has another form.
pub fn read_fact(argument: &str) -> Result<(String, bool), AccountError> {
    match argument.split_once('=') {
        Some((name, "yes")) if is_id(name) => Ok((name.to_owned(), true)),
        Some((name, "no")) if is_id(name) => Ok((name.to_owned(), false)),
        _ => Err(AccountError::Fact { argument: argument.to_owned() }),
    }
}

/// The ids that are expected to be skipped where `facts` hold.
fn read_expected(text: &str, facts: &Facts) -> Result<BTreeSet<String>, AccountError> {
    let mut ids = BTreeSet::new();
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        let code = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = code.split_whitespace().collect();
        let holds = match words.as_slice() {
            [] => continue,
            [_] => true,
            [_, "if", fact] => *facts
                .get(*fact)
                .ok_or_else(|| AccountError::UnknownFact { line: line_number, fact: (*fact).to_owned() })?,
            _ => return Err(AccountError::Form { line: line_number }),
        };
        if holds {
            ids.insert(words[0].to_owned());
        }
    }
    Ok(ids)
}

/// The skips in the log, sorted, one for each id.
fn read_log(text: &str) -> Result<Vec<Skip>, AccountError> {
    let mut skips = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let (id, reason) = line
            .split_once(LOG_SEPARATOR)
            .filter(|(id, _)| is_id(id))
            .ok_or(AccountError::Log { line: index + 1 })?;
        skips.entry(id.to_owned()).or_insert_with(|| reason.to_owned());
    }
    Ok(skips.into_iter().map(|(id, reason)| Skip { id, reason }).collect())
}

#[cfg(test)]
mod tests {
    use super::{Account, AccountError, Facts, Skip, account, read_fact};

    const LIST: &str = "\
# id [if fact]
macos::seatbelt            # needs the other system
landlock::tcp if no-landlock
userns::nested if no-userns
userns::nested if not-root
";

    fn facts(holding: &[&str]) -> Facts {
        let known = ["no-landlock", "no-userns", "not-root"];
        known.iter().map(|name| ((*name).to_owned(), holding.contains(name))).collect()
    }

    fn skip(id: &str, reason: &str) -> Skip {
        Skip { id: id.to_owned(), reason: reason.to_owned() }
    }

    fn ran(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn skips_are_compared_with_the_list() {
        let cases = [
            ("nothing skipped", LIST, "", &[][..], (vec![], ran(&["macos::seatbelt"]), 0)),
            ("as expected", LIST, "macos::seatbelt\tLinux\n", &[], (vec![], vec![], 1)),
            (
                "said twice",
                LIST,
                "macos::seatbelt\tLinux\nmacos::seatbelt\tagain\n",
                &[],
                (vec![], vec![], 1),
            ),
            (
                "the condition does not hold",
                LIST,
                "macos::seatbelt\tLinux\nlandlock::tcp\tABI 0\n",
                &[],
                (vec![skip("landlock::tcp", "ABI 0")], vec![], 1),
            ),
            (
                "the condition holds",
                LIST,
                "landlock::tcp\tABI 0\nmacos::seatbelt\tLinux\n",
                &["no-landlock"],
                (vec![], vec![], 2),
            ),
            (
                "one of two conditions holds",
                LIST,
                "macos::seatbelt\tLinux\nuserns::nested\tuid 1000\n",
                &["not-root"],
                (vec![], vec![], 2),
            ),
            (
                "a family",
                "seccomp::control_* if not-root\n",
                "seccomp::control_a\t1\nseccomp::control_b\t2\nseccomp::other\t3\n",
                &["not-root"],
                (vec![skip("seccomp::other", "3")], vec![], 2),
            ),
            ("a family that ran", "seccomp::control_*\n", "", &[], (vec![], vec![], 0)),
            (
                "unexpected ones come sorted",
                "",
                "z::z\t2\na::a\t1\n",
                &[],
                (vec![skip("a::a", "1"), skip("z::z", "2")], vec![], 0),
            ),
            (
                "expected ones that ran are listed",
                LIST,
                "macos::seatbelt\tLinux\n",
                &["no-landlock", "no-userns"],
                (vec![], ran(&["landlock::tcp", "userns::nested"]), 1),
            ),
        ];
        for (name, list, log, holding, (unexpected, ran, as_expected)) in cases {
            let expect = Ok(Account { unexpected, ran, as_expected });
            assert_eq!(account(list, log, &facts(holding)), expect, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        let unknown = AccountError::UnknownFact { line: 1, fact: "no-lndlock".to_owned() };
        let cases = [
            ("a::b if", "", AccountError::Form { line: 1 }),
            ("\na::b when no-landlock", "", AccountError::Form { line: 2 }),
            ("a::b if no-landlock not-root", "", AccountError::Form { line: 1 }),
            ("a::b if no-lndlock", "", unknown),
            ("", "a::b\twhy\nno separator", AccountError::Log { line: 2 }),
            ("", "\tno id", AccountError::Log { line: 1 }),
        ];
        for (list, log, expect) in cases {
            assert_eq!(account(list, log, &facts(&[])), Err(expect), "{list:?} {log:?}");
        }
    }

    #[test]
    fn facts_are_yes_or_no() {
        assert_eq!(read_fact("no-landlock=yes"), Ok(("no-landlock".to_owned(), true)));
        assert_eq!(read_fact("no-landlock=no"), Ok(("no-landlock".to_owned(), false)));
        for argument in ["no-landlock", "no-landlock=", "no-landlock=true", "=yes"] {
            assert_eq!(read_fact(argument), Err(AccountError::Fact { argument: argument.to_owned() }));
        }
    }
}
