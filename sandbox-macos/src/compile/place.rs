//! The places a profile speaks of: the policy's path rules under their canonical names, together with the base rules, from
//! the root down.
//!
//! The kernel sees `/private/tmp` where a policy may say `/tmp`; two rules that thereby stand for one path are settled as
//! the policy settles them, none over write over read. Pure. Caller: [`super::compile`].

use weir_protocol::AbsPath;
use weir_protocol::policy::{Access, Filesystem, FilesystemParts, Origin, PathRule, Policy};

use super::Run;
use crate::base::files;

/// Directories at the root that are symbolic links into `/private` on every macOS.
pub(super) const LINKED: [&str; 3] = ["tmp", "var", "etc"];

/// Why a place is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A rule of the policy.
    Policy,
    /// A base rule, with its reason.
    Base(&'static str),
    /// The run's own directory.
    Scratch,
    /// The run's own terminal.
    Terminal,
}

/// One path with the access that holds there and below, down to the next place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The canonical path.
    pub(super) path: AbsPath,
    pub(super) access: Access,
    pub(super) source: Source,
    /// What holds just outside.
    pub(super) outside: Access,
}

/// The path under which the kernel of macOS knows this one: `/tmp`, `/var` and `/etc` lie in `/private`.
#[must_use]
pub fn canonical(path: &AbsPath) -> AbsPath {
    let first = path.components().next().unwrap_or_default();
    if LINKED.iter().any(|name| name.as_bytes() == first) {
        let moved = [b"/private", path.as_bytes()].concat();
        return AbsPath::parse(moved).unwrap_or_else(|_| path.clone());
    }
    path.clone()
}

/// The other name of a canonical path, where it has one.
#[must_use]
pub fn linked(path: &AbsPath) -> Option<AbsPath> {
    let rest = path.as_bytes().strip_prefix(b"/private")?;
    let linked = AbsPath::parse(rest).ok()?;
    (canonical(&linked) == *path).then_some(linked)
}

/// All places, from the root down; of those at one depth, the narrower last.
pub(super) fn places(policy: &Policy, run: &Run) -> Vec<Place> {
    let fs = canonical_rules(policy);
    let of_policy = |rule: &PathRule| place(&rule.path, rule.access, Source::Policy);
    let mut places: Vec<Place> = fs.rules().iter().map(of_policy).collect();
    for (entry, access) in files::rules() {
        let Ok(path) = AbsPath::parse(entry.name) else { continue };
        if yields(&fs, &path, access) {
            continue;
        }
        places.push(place(&path, access, Source::Base(entry.reason)));
    }
    let own = [(&run.scratch, Source::Scratch), (&run.terminal, Source::Terminal)];
    for (path, source) in own {
        let Some(path) = path.as_ref().map(canonical) else { continue };
        places.retain(|place| place.path != path);
        places.push(place(&path, Access::Write, source));
    }
    let rules = places.iter().map(|place| rule(place.path.clone(), place.access)).collect();
    let whole = Filesystem::new(FilesystemParts { rules, ..FilesystemParts::default() });
    for place in &mut places {
        place.outside = place.path.parent().map_or(Access::None, |parent| whole.access(&parent));
    }
    places.sort_by(|a, b| order(a).cmp(&order(b)));
    places
}

fn order(place: &Place) -> (usize, u8, &AbsPath) {
    (place.path.depth(), place.access.precedence(), &place.path)
}

fn place(path: &AbsPath, access: Access, source: Source) -> Place {
    Place { path: path.clone(), access, source, outside: Access::None }
}

fn rule(path: AbsPath, access: Access) -> PathRule {
    PathRule { path, access, origin: Origin::implied(""), via: None, overruled: Vec::new() }
}

/// The policy's rules under their canonical names, settled anew.
fn canonical_rules(policy: &Policy) -> Filesystem {
    let rules = policy.filesystem().rules().iter();
    let rules = rules.map(|rule| PathRule { path: canonical(&rule.path), ..rule.clone() }).collect();
    Filesystem::new(FilesystemParts { rules, ..FilesystemParts::default() })
}

/// Whether the policy speaks for itself where a base rule stands: by a rule for the same path, by a denial of a directory
/// above it other than the root, or by granting at least as much.
fn yields(fs: &Filesystem, path: &AbsPath, access: Access) -> bool {
    match fs.covering(path) {
        None => false,
        Some(rule) if rule.path == *path => true,
        Some(_) if access == Access::None => false,
        Some(rule) if rule.access == Access::None => !rule.path.is_root(),
        Some(rule) => rule.access >= access,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_directories_have_two_names() {
        let cases = [
            ("/tmp", "/private/tmp", Some("/tmp")),
            ("/tmp/a", "/private/tmp/a", Some("/tmp/a")),
            ("/etc/hosts", "/private/etc/hosts", Some("/etc/hosts")),
            ("/var", "/private/var", Some("/var")),
            ("/tmpx", "/tmpx", None),
            ("/private", "/private", None),
            ("/private/x", "/private/x", None),
            ("/", "/", None),
        ];
        for (path, expect, back) in cases {
            let path = AbsPath::parse(path).unwrap();
            let found = canonical(&path);
            assert_eq!(found.display(), expect);
            assert_eq!(canonical(&found), found);
            assert_eq!(linked(&found).map(|path| path.display().into_owned()).as_deref(), back);
        }
    }
}
