//! Places whose changes land in a copy: an overlay whose upper layer Weir keeps, so that the next command sees what the one before did.
//!
//! Whatever is closed or read-only below such a place is a mount on the overlay itself, so that it holds in the copy as it would on the
//! host. Without mounts nothing of the kind can be had, and the rule is refused by name; nothing gives it up, for what would be
//! left is writing to the place itself.

use std::fmt;

use weir_protocol::AbsPath;
use weir_protocol::method::process::Mechanism;

use super::Compiler;
use super::refusal::{Lack, reason};
use super::tree::{Builder, View};
use crate::host::{Fact, Way};
use crate::plan::{MountStep, Writable};
use crate::survey::Kind;

/// Why changes to a place cannot be kept in a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoCopy {
    /// No mounts at all.
    NoMounts,
    /// No overlays.
    Overlay(Fact),
    /// It is the whole tree.
    Root,
    /// It is no directory.
    NotADirectory,
    /// Nobody said where the copy is kept.
    Nowhere,
    /// The copy would be kept inside the place itself.
    Inside,
}

impl fmt::Display for NoCopy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMounts => {
                out.write_str("needs overlayfs in a mount namespace, which this host does not give")
            }
            Self::Overlay(fact) => {
                write!(
                    out,
                    "needs overlayfs (with `userxattr`, Linux 5.11), which this host does not give{}",
                    reason(*fact)
                )
            }
            Self::Root => {
                out.write_str("is not possible for the whole tree; name the directories to be copied")
            }
            Self::NotADirectory => out.write_str("needs a directory"),
            Self::Nowhere => out.write_str("has no place for the copy"),
            Self::Inside => out.write_str(
                "holds Weir's own directory, in which the copy would be kept; set WEIR_HOME elsewhere",
            ),
        }
    }
}

pub(super) fn refuse(compiler: &mut Compiler<'_>, at: &AbsPath, why: NoCopy) {
    let rule = compiler.origin(at);
    compiler.lacks.push(Lack::Copy { path: at.clone(), rule, why });
}

/// Where there are no mounts.
pub(super) fn refuse_all(compiler: &mut Compiler<'_>) {
    let all: Vec<AbsPath> = compiler.filesystem.copies().map(|rule| rule.path.clone()).collect();
    all.iter().for_each(|at| refuse(compiler, at, NoCopy::NoMounts));
}

/// Shows a place of the host with a copy over it.
pub(super) fn show(builder: &mut Builder<'_, '_>, at: &AbsPath) {
    match builder.kind(at) {
        Some(Kind::Directory) => {}
        None | Some(Kind::Missing) => {
            builder.compiler.remarks.push(format!("{at} does not exist, so nothing can be written there"));
            return;
        }
        Some(Kind::Unreadable(_)) => return,
        Some(_) => return refuse(builder.compiler, at, NoCopy::NotADirectory),
    }
    let state = match state(builder.compiler, at) {
        Ok(state) => state,
        Err(why) => return refuse(builder.compiler, at, why),
    };
    builder.pin(at);
    if builder.mount_point(at) {
        builder.steps.push(MountStep::Copied { at: at.clone(), state });
        builder.views.insert(at.clone(), View::Copied(Writable::Yes));
    }
}

fn state(compiler: &Compiler<'_>, at: &AbsPath) -> Result<AbsPath, NoCopy> {
    let host = compiler.facts.host;
    let overlay = host.namespaces(compiler.way).overlay;
    if !overlay.works() || compiler.way == Way::Bare {
        return Err(NoCopy::Overlay(overlay));
    }
    let state = compiler.facts.copies.and_then(|copies| copies.get(at)).ok_or(NoCopy::Nowhere)?;
    if state.starts_with(at) { Err(NoCopy::Inside) } else { Ok(state.clone()) }
}

/// For the report: which places have a copy.
pub(super) fn mechanisms(mounts: &[MountStep]) -> Option<Mechanism> {
    let copied = mounts.iter().filter_map(|step| match step {
        MountStep::Copied { at, .. } => Some(at.to_string()),
        _ => None,
    });
    let places: Vec<String> = copied.collect();
    let detail = format!("changes to {} are kept in a copy", places.join(", "));
    (!places.is_empty()).then(|| Mechanism { name: "overlay".to_owned(), detail })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use weir_protocol::policy::{Access, FilesystemParts, Origin, PathRule, PolicyParts};

    use super::*;
    use crate::compile::literal::{bare, policy};
    use crate::compile::{Facts, compile};
    use crate::doctor::tests::{full, refused, user};
    use crate::host::{Host, Step};
    use crate::plan::Credentials;
    use crate::survey::Survey;

    const RULES: [(&str, Access); 6] = [
        ("/p", Access::Copy),
        ("/p/.git/config", Access::Read),
        ("/p/closed", Access::None),
        ("/p/out", Access::Write),
        ("/p/missing", Access::Read),
        ("/p/.git/config/x", Access::Copy),
    ];

    /// The mounts below `/p`, or why there are none.
    fn mounts(host: &Host, kind: Kind) -> Result<Vec<String>, Vec<Lack>> {
        let at = |path: &str| AbsPath::parse(path).unwrap();
        let rule = |(path, access): (&str, Access)| PathRule {
            path: at(path),
            access,
            origin: Origin::implied("a test"),
            via: None,
            overruled: Vec::new(),
        };
        let mut parts = PolicyParts::from(policy(&[], None, &[]));
        let mut files: FilesystemParts = parts.filesystem.to_parts();
        files.rules.extend(RULES.map(rule));
        parts.filesystem = weir_protocol::policy::Filesystem::new(files);
        let mut survey = Survey::default();
        // Below what is missing all is.
        let below = if kind == Kind::Missing { Kind::Missing } else { Kind::Directory };
        survey.places.extend(RULES.map(|(path, _)| (at(path), below)));
        survey.places.insert(at("/p"), kind);
        survey.places.insert(at("/p/missing"), Kind::Missing);
        survey.further = vec![at("/p/name"), at("/p/dark/name"), at("/p/out/name")];
        survey.untold = vec![at("/p/dark"), at("/p/out/dark")];
        let copies = BTreeMap::from([(at("/p"), at("/home/u/.weir/copies/k"))]);
        let credentials = Credentials { uid: host.identity.uid, gid: host.identity.gid, groups: Vec::new() };
        let facts = Facts { copies: Some(&copies), ..Facts::new(host, &survey, &credentials) };
        let plan = compile(&parts.into(), &facts).map_err(|refusal| refusal.lacks)?;
        let listing = plan.listing();
        let lines = listing.lines().filter(|line| line.contains(" /p") && !line.starts_with(' '));
        Ok(lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect())
    }

    #[test]
    fn what_is_below_a_copy_is_mounted_on_the_copy() {
        let expected = [
            "directory /p mode 0311",
            "copy /p, changes in /home/u/.weir/copies/k",
            "again write /p/.git",
            "again read /p/.git/config",
            "again write /p/.git/config/x",
            "mask dir /p/closed",
            "bind write /p/out",
            "mask dir /p/dark",
            "mask file /p/name",
            "guard /p/missing",
        ];
        for host in [full(), user()] {
            assert_eq!(mounts(&host, Kind::Directory), Ok(expected.map(str::to_owned).to_vec()));
        }
    }

    #[test]
    fn where_there_can_be_no_copy_the_rule_is_refused() {
        let why = |host: &Host, kind| match mounts(host, kind) {
            Err(lacks) => lacks.into_iter().find_map(|lack| match lack {
                Lack::Copy { why, .. } => Some(why),
                _ => None,
            }),
            Ok(_) => None,
        };
        assert_eq!(why(&bare(), Kind::Directory), Some(NoCopy::NoMounts));
        assert_eq!(why(&full(), Kind::File), Some(NoCopy::NotADirectory));
        let fact = refused(Step::MountOverlay, libc::ENODEV);
        let mut host = full();
        host.direct.overlay = fact;
        assert_eq!(why(&host, Kind::Directory), Some(NoCopy::Overlay(fact)));
        assert_eq!(
            mounts(&full(), Kind::Missing).map(|found| found.iter().any(|line| line.starts_with("copy"))),
            Ok(false)
        );
    }
}
