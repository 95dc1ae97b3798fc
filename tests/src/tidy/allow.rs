//! Exceptions to the tidy rules, each with its reason. An entry that excuses nothing any more is itself a finding.
//!
//! Caller: `tests/tests/tidy.rs`.

use super::Finding;

/// One exception.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    /// The rule's name, as in [`super::RULES`].
    pub rule: &'static str,
    /// A file, or with a `/` at its end everything below a directory.
    pub path: &'static str,
    /// Why the rule does not hold there.
    pub reason: &'static str,
}

/// Every exception there is.
pub const ALLOWED: &[Allowance] = &[
    Allowance {
        rule: "machine-path",
        path: "tests/src/tidy/leaks.rs",
        reason: "states the rule and its cases",
    },
    Allowance {
        rule: "agent-spawns-nothing",
        path: "agent/src/link/start.rs",
        reason: "starts the exec-server beside `weir` where none runs, and nothing else",
    },
    Allowance {
        rule: "http-client-half",
        path: "exec-server/src/egress/inspect/",
        reason: "passes on what a program inside asks, over a connection that the gate made; it asks nothing of its own",
    },
];

/// What remains of `findings` of the rule `name`, and the allowances for it that excused nothing.
pub fn apply<'a>(
    name: &str,
    findings: Vec<Finding>,
    allowed: &'a [Allowance],
) -> (Vec<Finding>, Vec<&'a Allowance>) {
    let of_rule: Vec<&Allowance> = allowed.iter().filter(|allowance| allowance.rule == name).collect();
    let stale = of_rule.iter().filter(|allowance| !findings.iter().any(|finding| covers(allowance, finding)));
    let stale = stale.copied().collect();
    let remaining =
        findings.into_iter().filter(|finding| !of_rule.iter().any(|allowance| covers(allowance, finding)));
    (remaining.collect(), stale)
}

fn covers(allowance: &Allowance, finding: &Finding) -> bool {
    finding.path == allowance.path
        || (allowance.path.ends_with('/') && finding.path.starts_with(allowance.path))
}

#[cfg(test)]
mod tests {
    use super::{Allowance, apply};
    use crate::tidy::{Finding, Source};

    const ALLOWED: &[Allowance] = &[
        Allowance { rule: "r", path: "a.rs", reason: "one file" },
        Allowance { rule: "r", path: "d/", reason: "a directory" },
        Allowance { rule: "other", path: "b.rs", reason: "another rule" },
    ];

    fn finding(path: &str) -> Finding {
        Finding::new(&Source::new(path, ""), 1, "x")
    }

    #[test]
    fn allowances_excuse_their_own_rule_and_path() {
        let findings = ["a.rs", "a.rs.txt", "b.rs", "d/x/y.rs", "dd/x.rs"].map(finding).to_vec();
        let (remaining, stale) = apply("r", findings, ALLOWED);
        assert_eq!(remaining, ["a.rs.txt", "b.rs", "dd/x.rs"].map(finding));
        assert!(stale.is_empty());
    }

    #[test]
    fn an_allowance_that_excuses_nothing_is_stale() {
        let (remaining, stale) = apply("r", vec![finding("d/x.rs")], ALLOWED);
        assert!(remaining.is_empty());
        assert_eq!(stale.iter().map(|allowance| allowance.path).collect::<Vec<_>>(), ["a.rs"]);
    }
}
