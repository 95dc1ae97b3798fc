//! What was refused because its path is another spelling of what a rule names: told like any refusal, by that rule.

use weir_protocol::denial::{Denial, Observed};
use weir_protocol::policy::explain::Edit;
use weir_protocol::policy::{Layer, Origin};
use weir_protocol::{ByteString, Policy};
use weir_sandbox_linux::live::{LiveRules, Spelled, spelled};

const REASON: &str = "the file system may take it for another spelling of what the rule names";

/// Of live rules what tells of other spellings; nothing where there are none.
pub(super) fn rules(live: &LiveRules) -> Option<LiveRules> {
    let LiveRules { filesystem, aliases, folding, .. } = live;
    let (aliases, folding) = (aliases.clone(), folding.clone());
    (!folding.is_empty()).then(|| LiveRules { aliases, folding, ..LiveRules::of(filesystem.clone()) })
}

/// The denial of something that the policy allows as it was named, by the rule of which that is another spelling.
pub(super) fn denial(rules: &LiveRules, observed: &Observed, policy: &Policy) -> Option<Denial> {
    let found = spelled(rules, &observed.target.0, observed.operation.access()?)?;
    let asked = observed.target.clone();
    let observed = Observed { reason: Some(REASON.to_owned()), ..observed.clone() };
    Some(match found {
        Spelled::Path(origin, as_ruled) => {
            // What would allow it is what would allow that.
            let target = ByteString(as_ruled.as_bytes().to_vec());
            let denial = Observed { target, ..observed }.certain(policy);
            Denial { target: asked, origin: denial.origin.clone().or(Some(origin)), ..denial }
        }
        Spelled::Pattern(origin) => {
            let edit = removed(&origin);
            Denial { origin: Some(origin), edit, ..observed.certain(policy) }
        }
    })
}

/// What nothing lifts has no edit.
fn removed(pattern: &Origin) -> Option<Edit> {
    (pattern.layer != Layer::Requirements).then(|| Edit::Change { origin: pattern.clone(), to: None })
}

#[cfg(test)]
mod tests {
    use weir_protocol::AbsPath;
    use weir_protocol::denial::{Act, Mechanism};
    use weir_sandbox_linux::broker::Folding;

    use super::*;
    use crate::profile::literal;

    fn observed(operation: Act, target: &str) -> Observed {
        let (mechanism, time) = (Mechanism::Broker, String::new());
        Observed { operation, target: target.into(), mechanism, time, process: None, reason: None }
    }

    fn policy() -> Policy {
        let text = "[permissions.test.filesystem]\n\"/m\" = \"write\"\n\"/o\" = \"write\"\n\"/m/**/*.env\" = \"none\"\n\"/m/shut\" = \"none\"\n\
                    \"/m/.git/config\" = \"read\"\n";
        let home = AbsPath::parse("/home/me").unwrap();
        literal::policy(text, home.clone(), home)
    }

    #[test]
    fn another_spelling_is_told_by_the_rule_whose_it_is_with_the_path_as_asked() {
        let policy = policy();
        let path = |text: &str| AbsPath::parse(text).unwrap();
        let folding = [(path("/"), Folding::Exact), (path("/m"), Folding::Folded)].into();
        let live = LiveRules { folding, ..LiveRules::of(policy.filesystem().clone()) };
        let rules = rules(&live).unwrap();
        let cases = [
            (Act::Read, "/m/X.ENV", Some(("/m/**/*.env", None))),
            (Act::Read, "/m/SHUT/f", Some(("/m/shut", Some("--read /m/shut/f")))),
            (Act::Write, "/m/.GIT/Config", Some(("/m/.git/config", Some("--write /m/.git/config")))),
            (Act::Read, "/m/.GIT/Config", None),
            (Act::Read, "/m/fine", None),
            (Act::Read, "/o/X.ENV", None),
        ];
        for (act, target, want) in cases {
            assert_eq!(observed(act, target).joined(&policy), None, "{target}");
            let told = denial(&rules, &observed(act, target), &policy);
            assert_eq!(told.is_some(), want.is_some(), "{target}: {told:?}");
            let Some((told, (rule, option))) = told.zip(want) else { continue };
            assert_eq!((told.target, told.reason.as_deref()), (target.into(), Some(REASON)));
            assert!(
                told.origin.as_ref().is_some_and(|origin| origin.rule.contains(rule)),
                "{:?}",
                told.origin
            );
            let found = told.option.map(|option| format!("{} {}", option.name, option.value));
            assert_eq!((found.as_deref(), told.edit.is_some()), (option, true), "{target}");
        }
        assert!(super::rules(&LiveRules::of(policy.filesystem().clone())).is_none());
    }
}
