//! The file sections of a profile: places from the root down, then patterns, then what keeps them in place.
//!
//! Caller: [`super::compile`].

use std::collections::HashSet;

use weir_protocol::AbsPath;
use weir_protocol::policy::{Access, Glob, Policy};

use super::place::{Place, Source, linked};
use super::{CompileError, Host, LetterCase, Output, pattern};
use crate::base::files;
use crate::exception::{self, Difference, Exception, Extent};
use crate::parameter::Kind;
use crate::sbpl::{Action, Filter, Operation, Rule, Section, Value};

/// What `read` lets through, and what a refusal takes away again.
const READING: [Operation; 4] =
    [Operation::FileRead, Operation::FileTestExistence, Operation::FileMapExecutable, Operation::ProcessExec];

/// What `write` lets through beside reading.
const WRITING: [Operation; 3] = [Operation::FileWrite, Operation::FileLink, Operation::FileClone];

/// Both.
const TOUCHING: [Operation; 7] = [
    Operation::FileRead,
    Operation::FileTestExistence,
    Operation::FileMapExecutable,
    Operation::ProcessExec,
    Operation::FileWrite,
    Operation::FileLink,
    Operation::FileClone,
];

/// Every section about files.
pub(super) fn sections(
    policy: &Policy,
    host: Host,
    places: &[Place],
    output: &mut Output,
) -> Result<Vec<Section>, CompileError> {
    output.exceptions.push(Exception {
        extent: Extent::Node(AbsPath::root()),
        difference: Difference::Grants(Access::Read),
        reason: files::ROOT.reason,
    });
    let (at_root, below) = places.split_at(places.partition_point(|place| place.path.is_root()));
    let mut rules = stated(at_root, host, output)?;
    rules.push(root());
    for same in below.chunk_by(|a, b| (a.path.depth(), a.access) == (b.path.depth(), b.access)) {
        rules.extend(stated(same, host, output)?);
    }
    Ok(vec![
        Section { heading: "Files, from the root down: the last rule that matches counts", rules },
        Section {
            heading: "Patterns that deny, whenever a file appears",
            rules: patterns(policy, host, places, output)?,
        },
        Section { heading: "What keeps a rule from being moved away", rules: pins(policy, places, output)? },
        Section { heading: "Directories on the way to what is granted", rules: on_the_way(places, output)? },
    ])
}

/// The root directory alone, after what a policy says of it and all below.
fn root() -> Rule {
    Rule {
        action: Action::Allow,
        operations: READING.to_vec(),
        filters: vec![Filter::Literal(Value::Fixed(files::ROOT.name))],
        reason: files::ROOT.reason,
    }
}

/// The whole truth about places of one depth and one access, whatever was said before.
fn stated(same: &[Place], host: Host, output: &mut Output) -> Result<Vec<Rule>, CompileError> {
    let Some(access) = same.first().map(|place| place.access) else { return Ok(Vec::new()) };
    let mut filters = Vec::new();
    let mut narrowing = Vec::new();
    let mut unbound = Vec::new();
    for place in same {
        let found = both_names(place, output)?;
        declare(place, output);
        let mut narrow = found.clone();
        if host.letter_case == LetterCase::Ignored && place.access < place.outside {
            narrow.extend(in_any_case(place, output)?);
        }
        if place.outside == Access::Write {
            unbound.extend(narrow.iter().cloned());
        }
        narrowing.extend(narrow);
        filters.extend(found);
    }
    let mut rules = match access {
        Access::Write => vec![allow(&TOUCHING, filters.clone(), ""), bind(Action::Allow, &filters)],
        // No policy with a copy comes here.
        Access::Read | Access::Copy => vec![allow(&READING, filters, ""), deny(&WRITING, narrowing)],
        Access::None => vec![deny(&TOUCHING, narrowing)],
    };
    if access < Access::Write && !unbound.is_empty() {
        rules.push(bind(Action::Deny, &unbound));
    }
    Ok(rules)
}

fn allow(operations: &[Operation], filters: Vec<Filter>, reason: &'static str) -> Rule {
    Rule { action: Action::Allow, operations: operations.to_vec(), filters, reason }
}

fn deny(operations: &[Operation], filters: Vec<Filter>) -> Rule {
    Rule { action: Action::Deny, operations: operations.to_vec(), filters, reason: "" }
}

/// A unix socket may be made where a file may.
fn bind(action: Action, filters: &[Filter]) -> Rule {
    let filters = filters.iter().map(|filter| Filter::LocalUnix(Box::new(filter.clone()))).collect();
    Rule { action, operations: vec![Operation::NetworkBind], filters, reason: "" }
}

fn subpath(path: &AbsPath, output: &mut Output) -> Result<Filter, CompileError> {
    Ok(Filter::Subpath(Value::Parameter(output.parameters.name(Kind::Path, path.as_bytes())?)))
}

fn regex(text: &[u8], output: &mut Output) -> Result<Filter, CompileError> {
    Ok(Filter::Regex(Value::Parameter(output.parameters.name(Kind::Pattern, text)?)))
}

/// The place under its canonical name and under the one by which people know it.
fn both_names(place: &Place, output: &mut Output) -> Result<Vec<Filter>, CompileError> {
    // Base rules are constants, so they stand in the text, where a reader sees them.
    if let Source::Base(_) = place.source {
        let fixed = files::rules().find(|(entry, _)| entry.name.as_bytes() == place.path.as_bytes());
        return Ok(fixed.map(|(entry, _)| Filter::Subpath(Value::Fixed(entry.name))).into_iter().collect());
    }
    let names = std::iter::once(place.path.clone()).chain(linked(&place.path));
    names.map(|path| subpath(&path, output)).collect()
}

fn in_any_case(place: &Place, output: &mut Output) -> Result<Vec<Filter>, CompileError> {
    let difference =
        if place.access == Access::None { Difference::Refuses } else { Difference::RefusesWrite };
    let names = std::iter::once(place.path.clone()).chain(linked(&place.path));
    let mut filters = Vec::new();
    for path in names {
        filters.push(regex(&pattern::of_path(&path, LetterCase::Ignored), output)?);
        let reason = exception::ANY_CASE;
        output.exceptions.push(Exception { extent: Extent::AnyCase(path), difference, reason });
    }
    Ok(filters)
}

/// States where a place differs from the policy.
fn declare(place: &Place, output: &mut Output) {
    let (reason, difference) = match (place.source, place.access) {
        (Source::Policy, _) => return,
        (Source::Base(reason), Access::None) => (reason, Difference::Refuses),
        (Source::Base(reason), access) => (reason, Difference::Grants(access)),
        (Source::Scratch, access) => (exception::SCRATCH, Difference::Grants(access)),
        (Source::Terminal, access) => (exception::TERMINAL, Difference::Grants(access)),
    };
    for path in std::iter::once(place.path.clone()).chain(linked(&place.path)) {
        output.exceptions.push(Exception { extent: Extent::Subtree(path), difference, reason });
    }
}

/// Each pattern, under every name of what it matches, and below every writable place to which a match could be moved.
fn patterns(
    policy: &Policy,
    host: Host,
    places: &[Place],
    output: &mut Output,
) -> Result<Vec<Rule>, CompileError> {
    let mut filters = Vec::new();
    for rule in policy.filesystem().globs() {
        let own = std::iter::once(rule.pattern.clone()).chain(pattern::canonical(&rule.pattern));
        for glob in own {
            filters.push(regex(&pattern::of_glob(&glob, host.letter_case), output)?);
            declare_pattern(&glob, host, output);
        }
        let base = rule.pattern.base();
        for (root, name) in writable_roots(places) {
            // Only what can be written can be moved.
            let from = |(other, _): &(&AbsPath, _)| {
                *other != root && (other.starts_with(&base) || base.starts_with(other))
            };
            if !root.starts_with(&base)
                && !base.starts_with(root)
                && !writable_roots(places).any(|at| from(&at))
            {
                continue;
            }
            let Some(glob) = pattern::carried(&rule.pattern, root) else { continue };
            for glob in std::iter::once(glob).chain(name.and_then(|name| rule.pattern.moved(&name).ok())) {
                filters.push(regex(&pattern::of_glob(&glob, host.letter_case), output)?);
                let reason = exception::CARRIED;
                let extent = extent_of(glob, host);
                output.exceptions.push(Exception { extent, difference: Difference::Refuses, reason });
            }
        }
    }
    filters.sort();
    filters.dedup();
    if filters.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![deny(&TOUCHING, filters.clone()), bind(Action::Deny, &filters)])
}

fn extent_of(glob: Glob, host: Host) -> Extent {
    match host.letter_case {
        LetterCase::Distinct => Extent::Pattern(glob),
        LetterCase::Ignored => Extent::AnyCasePattern(glob),
    }
}

fn declare_pattern(glob: &Glob, host: Host, output: &mut Output) {
    let mut push = |extent, reason| {
        output.exceptions.push(Exception { extent, difference: Difference::Refuses, reason });
    };
    if host.letter_case == LetterCase::Ignored {
        push(Extent::AnyCasePattern(glob.clone()), exception::ANY_CASE);
    }
    if pattern::is_wide(glob) {
        push(Extent::Subtree(glob.base()), exception::WIDE_CHARACTER);
    }
}

/// Writable places that lie in no other, with their other name.
fn writable_roots(places: &[Place]) -> impl Iterator<Item = (&AbsPath, Option<AbsPath>)> {
    places
        .iter()
        .filter(|place| place.access == Access::Write && place.outside < Access::Write)
        .filter(|place| !matches!(place.source, Source::Base(_) | Source::Terminal))
        .map(|place| (&place.path, linked(&place.path)))
}

/// Nothing above a rule that takes something away inside a writable place can be made, moved or removed; and no program that
/// is made inside runs as another user outside.
fn pins(policy: &Policy, places: &[Place], output: &mut Output) -> Result<Vec<Rule>, CompileError> {
    let mut filters = Vec::new();
    for place in places.iter().filter(|place| place.outside == Access::Write && place.access < Access::Write)
    {
        for path in std::iter::once(place.path.clone()).chain(linked(&place.path)) {
            filters.push(above(&path, output)?);
        }
    }
    for rule in policy.filesystem().globs() {
        let own = std::iter::once(rule.pattern.clone()).chain(pattern::canonical(&rule.pattern));
        for base in own.map(|glob| glob.base()).filter(|base| !base.is_root()) {
            filters.push(above(&base, output)?);
            let name = output.parameters.name(Kind::Path, base.as_bytes())?;
            filters.push(Filter::Literal(Value::Parameter(name)));
            let (difference, reason) = (Difference::RefusesRename, exception::PINNED);
            output.exceptions.push(Exception { extent: Extent::Node(base), difference, reason });
        }
    }
    filters.sort();
    filters.dedup();
    let moving = [Operation::FileWriteCreate, Operation::FileWriteUnlink];
    let mut rules = if filters.is_empty() { Vec::new() } else { vec![deny(&moving, filters)] };
    rules.push(Rule {
        action: Action::Deny,
        operations: vec![Operation::FileWriteSetugid],
        filters: Vec::new(),
        reason: "a program made inside must not run with another user's rights outside",
    });
    Ok(rules)
}

fn above(path: &AbsPath, output: &mut Output) -> Result<Filter, CompileError> {
    let name = output.parameters.name(Kind::Path, path.as_bytes())?;
    let (difference, reason) = (Difference::RefusesRename, exception::PINNED);
    output.exceptions.push(Exception { extent: Extent::Ancestors(path.clone()), difference, reason });
    Ok(Filter::Ancestors(Value::Parameter(name)))
}

/// Metadata of each directory above a granted place, and of the links in `/`.
fn on_the_way(places: &[Place], output: &mut Output) -> Result<Vec<Rule>, CompileError> {
    let mut filters: Vec<Filter> =
        ["/tmp", "/var", "/etc"].into_iter().map(|link| Filter::Literal(Value::Fixed(link))).collect();
    let mut declared: Vec<Extent> = ["/tmp", "/var", "/etc"]
        .into_iter()
        .filter_map(|link| AbsPath::parse(link).ok().map(Extent::Node))
        .collect();
    let mut parents = HashSet::new();
    let granted = places.iter().filter(|place| place.access > Access::None && place.outside == Access::None);
    // Of several places in one directory the first speaks for all.
    for place in granted.filter(|place| parents.insert(place.path.parent())) {
        let names = match place.source {
            Source::Base(_) => {
                let entry = files::rules().find(|(entry, _)| entry.name.as_bytes() == place.path.as_bytes());
                filters.extend(entry.map(|(entry, _)| Filter::Ancestors(Value::Fixed(entry.name))));
                vec![place.path.clone()]
            }
            _ => std::iter::once(place.path.clone()).chain(linked(&place.path)).collect(),
        };
        for path in names {
            if !matches!(place.source, Source::Base(_)) {
                let name = output.parameters.name(Kind::Path, path.as_bytes())?;
                filters.push(Filter::Ancestors(Value::Parameter(name)));
            }
            declared.push(Extent::Ancestors(path));
        }
    }
    let difference = Difference::GrantsMetadata;
    let reason = exception::ON_THE_WAY;
    output.exceptions.extend(declared.into_iter().map(|extent| Exception { extent, difference, reason }));
    Ok(vec![allow(&[Operation::FileReadMetadata], filters, exception::ON_THE_WAY)])
}
