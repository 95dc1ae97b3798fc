//! A second Landlock ruleset, of the command alone: what it may read without init.
//!
//! Under live rules init performs every opening, because the kernel's filter sees no path. A profile can leave what is only read to the kernel
//! (`degrade = ["untold-readings"]`), where rules close single places and no pattern any: everything beside what is closed is granted to the
//! command by name, as the names were when it started. Whatever changes meanwhile, that ruleset grants no file that was closed, and no
//! name that has come since. The lists of the directories that names come into it does not grant; init, which is under the first ruleset
//! alone, opens those for the command.
//!
//! With a pattern that would not do: what it could reach could be granted for execution alone, and the kernel wants the right to read for
//! that too (`get_required_file_open_access`, `security/landlock/fs.c`).
//!
//! Letting calls go on that init has looked at, under the same ruleset and without that word, was tried: it saved a quarter of an opening and cost
//! each launch a millisecond and each opening a second ruleset's walk, so that builds took longer.

use std::collections::{BTreeMap, BTreeSet};

use weir_protocol::AbsPath;
use weir_protocol::method::process::Degraded;
use weir_protocol::policy::{Access, Degradation, KernelFeature};

use super::Compiler;
use super::bare;
use super::brokered::Opens;
use super::landlock::{self, READ, REFER};
use crate::host::Way;
use crate::plan::Landlock;
use crate::survey::Beside;

/// The ruleset, where the profile asks for it and there can be one: there is a first one, and no path is closed that it could not hold.
pub(super) fn compile(compiler: &Compiler<'_>, first: Option<&Landlock>) -> Option<Landlock> {
    let survey = compiler.facts.survey;
    let beside = survey.beside.as_ref()?;
    let held_by_name = !survey.further_names && survey.aliases.is_empty();
    let copies = compiler.filesystem.rules().iter().any(|rule| rule.access == Access::Copy);
    let is_apart = copies
        || compiler.opens(KernelFeature::NestedUserNamespaces)
        || compiler.facts.recorded
        || bare::shows_terminals(compiler);
    if !held_by_name || is_apart || !compiler.is_live() {
        return None;
    }
    let first = first?;
    let mut wanted: BTreeMap<AbsPath, u64> =
        granted(compiler, beside).into_iter().map(|at| (at, READ)).collect();
    // Renaming between directories is denied by every ruleset that does not grant it (landlock(7)).
    *wanted.entry(AbsPath::root()).or_default() |= REFER;
    Some(Landlock {
        abi: first.abi,
        handled_fs: (READ | REFER) & landlock::known_fs(first.abi),
        handled_net: 0,
        ports: Vec::new(),
        scoped: 0,
        records: 0,
        rules: landlock::least(wanted),
    })
}

/// Who opens what is to be read: with that ruleset the command.
pub(super) fn opens(compiler: &mut Compiler<'_>, ruleset: Option<&Landlock>) -> Opens {
    let name = Degradation::UntoldReadings;
    match (ruleset, compiler.policy.degradations().get(&name).cloned()) {
        (None, _) | (_, None) => Opens::Performed,
        (Some(_), Some(origin)) => {
            let lost = "readings that are refused are not told, and what the host puts beside something closed is out of reach";
            compiler.degradations.insert(name, Degraded { name, origin, lost: lost.to_owned() });
            Opens::Untold
        }
    }
}

/// The places that may be read as a whole.
fn granted(compiler: &Compiler<'_>, beside: &Beside) -> BTreeSet<AbsPath> {
    let mut found = BTreeSet::new();
    for rule in compiler.filesystem.rules() {
        // Which terminal is the command's own only init can tell.
        let is_judged = compiler.way == Way::Bare && bare::is_terminal(&rule.path);
        if !is_judged && landlock::exists(compiler, &rule.path) {
            grant(compiler, beside, &rule.path, &mut found);
        }
    }
    if compiler.way != Way::Bare {
        found.extend(compiler.filesystem.private().iter().map(|private| private.path.clone()));
    }
    found
}

/// Grants `path`, or where something beside is to be closed, all the names in it that may be read.
fn grant(compiler: &Compiler<'_>, beside: &Beside, path: &AbsPath, found: &mut BTreeSet<AbsPath>) {
    if compiler.access(path) == Access::None || found.contains(path) {
        return;
    }
    let Some(names) = beside.get(path) else {
        found.insert(path.clone());
        return;
    };
    for name in names {
        let Ok(below) = path.join(name) else { continue };
        grant(compiler, beside, &below, found);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use proptest::prelude::*;
    use weir_protocol::policy::{Operation, Origin, Policy, PolicyParts, Request};

    use super::super::{Facts, compile};
    use super::*;
    use crate::doctor::tests::full;
    use crate::plan::Credentials;
    use crate::survey::Survey;
    use crate::survey::tests::policy;

    /// A policy that leaves what is only read to the kernel.
    fn untold(rules: &[(&AbsPath, Access)], patterns: &[&str]) -> Policy {
        let degradations = [(Degradation::UntoldReadings, Origin::implied("a test"))].into();
        PolicyParts { degradations, ..policy(rules, patterns).into() }.into()
    }

    /// The ruleset and the names that it was made of, for what is really there.
    fn reading(policy: &Policy) -> Option<(Landlock, Beside)> {
        let host = full();
        let credentials = Credentials { uid: host.identity.uid, gid: host.identity.gid, groups: Vec::new() };
        let survey = Survey::take(policy).unwrap();
        let plan = compile(policy, &Facts::new(&host, &survey, &credentials)).unwrap();
        let found = plan.confinement?.reading;
        let given_up = plan.degradations.iter().any(|one| one.name == Degradation::UntoldReadings);
        assert_eq!(found.is_some(), given_up);
        found.zip(survey.beside)
    }

    fn grants(ruleset: &Landlock, path: &AbsPath) -> bool {
        ruleset.rules.iter().any(|rule| rule.rights & READ != 0 && path.starts_with(&rule.at))
    }

    const NAMES: [&str; 4] = ["a", "b", "c", "x y"];

    fn name() -> impl Strategy<Value = String> {
        proptest::collection::vec(proptest::sample::select(&NAMES[..]), 1..5)
            .prop_map(|names| names.join("/"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// What is there is granted when it may be read; what has come since is not, where that could matter.
        #[test]
        fn the_ruleset_grants_what_the_verdict_allows(
            files in proptest::collection::vec(name(), 0..12),
            later in proptest::collection::vec(name(), 0..6),
            rules in proptest::collection::vec(
                (name(), proptest::sample::select(vec![Access::None, Access::None, Access::Read])), 1..6),
        ) {
            let keep = tempfile::tempdir().unwrap();
            let root = AbsPath::from_host(&fs::canonicalize(keep.path()).unwrap()).unwrap();
            let make = |names: &[String], made: &mut BTreeSet<AbsPath>| {
                for name in names {
                    let path = root.join(name).unwrap();
                    // A name may be taken by a file already.
                    drop(fs::create_dir_all(path.parent().unwrap().as_path()));
                    drop(fs::write(path.as_path(), ""));
                    let is_below = |above: &[u8]| above.len() > root.as_bytes().len();
                    made.extend(path.ancestors().filter(|above| is_below(above)).map(|above| AbsPath::parse(above).unwrap()));
                }
                made.retain(|path| path.as_path().exists());
            };
            let mut before = BTreeSet::new();
            make(&files, &mut before);
            let places: Vec<_> = rules.iter().map(|(name, access)| (root.join(name).unwrap(), *access)).collect();
            let rules: Vec<_> = std::iter::once((&root, Access::Read))
                .chain(places.iter().map(|(path, access)| (path, *access)))
                .collect();
            let policy = untold(&rules, &[]);
            let found = reading(&policy);
            let carves = crate::live::carved_out(policy.filesystem(), Access::None).next().is_some();
            prop_assert_eq!(found.is_some(), carves);
            let Some((ruleset, beside)) = found else { return Ok(()) };
            let mut all = before.clone();
            make(&later, &mut all);
            for path in &all {
                let request = Request::Path { path, operation: Operation::Read };
                let allowed = policy.verdict(&request).allowed;
                let granted = grants(&ruleset, path);
                prop_assert!(allowed || !granted, "{} is closed", path);
                if before.contains(path) && !beside.contains_key(path) {
                    prop_assert_eq!(granted, allowed, "{}", path);
                }
            }
        }
    }

    #[test]
    fn init_opens_everything_where_names_do_not_tell() {
        let keep = tempfile::tempdir().unwrap();
        let root = AbsPath::from_host(&fs::canonicalize(keep.path()).unwrap()).unwrap();
        let at = |name: &str| root.join(name).unwrap();
        for name in ["plain", "secret"] {
            fs::write(at(name).as_path(), "").unwrap();
        }
        let secret = at("secret");
        let closed = [(&root, Access::Read), (&secret, Access::None)];
        assert!(reading(&untold(&closed, &[])).is_some());
        assert!(reading(&untold(&closed, &[&format!("{root}/**/*.env")])).is_none(), "a pattern");
        assert!(reading(&untold(&[(&root, Access::Read)], &[])).is_none(), "nothing closed");
        let written = [(&root, Access::Write), (&secret, Access::None)];
        assert!(reading(&untold(&written, &[])).is_none(), "closed in a writable place");
        assert!(reading(&policy(&closed, &[])).is_none(), "not asked for");
        fs::hard_link(secret.as_path(), at("second").as_path()).unwrap();
        assert!(reading(&untold(&closed, &[])).is_none(), "a closed file with two names");
    }
}
