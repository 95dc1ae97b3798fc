//! What of the project is granted: all of it to read, and to write the one directory in which all was written, or all of it.
//!
//! Never several directories: between two of them nothing could be renamed or linked.

use std::collections::BTreeSet;

use weir_protocol::AbsPath;
use weir_protocol::denial::Act;
use weir_protocol::policy::glob::has_wildcard;

use super::{Needed, Project, Tree};

/// What of the project was used.
#[derive(Debug, Default)]
pub(super) struct Used {
    needed: Needed,
    /// Directories in which something was changed.
    changed: Vec<AbsPath>,
}

impl Used {
    pub(super) fn add(&mut self, act: Act, path: &AbsPath, program: Option<&str>) {
        self.needed.add(act, program);
        if matches!(act, Act::Create | Act::Write | Act::Alter) {
            self.changed.push(path.parent().unwrap_or_else(AbsPath::root));
        }
    }

    pub(super) fn project(self, roots: &[AbsPath], tree: &dyn Tree) -> Project {
        let Self { needed, changed } = self;
        let written = places(&changed, roots);
        let write =
            (!changed.is_empty()).then(|| part(&changed, roots, tree).unwrap_or_else(|| ".".to_owned()));
        Project { write, written, needed }
    }
}

/// The first names below their roots of the directories in which something was changed; `.` for a root itself.
fn places(changed: &[AbsPath], roots: &[AbsPath]) -> BTreeSet<String> {
    let below = |dir: &AbsPath| {
        let relative = roots.iter().find_map(|root| dir.relative_to(root))?;
        let first = relative.split(|byte| *byte == b'/').next().filter(|first| !first.is_empty());
        Some(String::from_utf8_lossy(first.unwrap_or(b".")).into_owned())
    };
    changed.iter().filter_map(below).collect()
}

/// The one directory below the root that holds all of these. What is not there yet cannot be granted; and where names with a dot hold
/// what others trust, the root's own rules protect it.
fn part(changed: &[AbsPath], roots: &[AbsPath], tree: &dyn Tree) -> Option<String> {
    let [root] = roots else { return None };
    let mut common = changed.first()?.clone();
    while !changed.iter().all(|dir| dir.starts_with(&common)) {
        common = common.parent()?;
    }
    let below = std::str::from_utf8(common.relative_to(root)?).ok()?;
    let is_plain =
        !below.is_empty() && !has_wildcard(below) && below.split('/').all(|name| !name.starts_with('.'));
    (is_plain && tree.is_directory(&common)).then(|| below.to_owned())
}
