//! Submodules of a repository: what git keeps of each in `modules` of the repository's own directory (gitsubmodules(7)).
//!
//! A command can make none there, for `modules` is protected; what is there, the host has made. Called by `protect`.

use weir_protocol::AbsPath;

use super::repository::is_repository;
use crate::profile::surroundings::Terrain;

/// The name of protected metadata that is about them.
pub(super) const PROTECTED_NAME: &str = ".git/modules";

/// Most submodules of one repository, theirs included.
pub(super) const MAX_SUBMODULES: usize = 256;

/// Most components of a submodule's name, which may hold slashes.
const MAX_NAME_COMPONENTS: usize = 8;

/// The own directories of the submodules of the repository with this own directory, and of theirs, the outer ones first. At most one more than
/// [`MAX_SUBMODULES`].
pub(super) fn find(terrain: &impl Terrain, repository: &AbsPath) -> Vec<AbsPath> {
    let mut found = Vec::new();
    in_modules(terrain, repository, &mut found);
    let mut at = 0;
    while let Some(outer) = found.get(at).filter(|_| found.len() <= MAX_SUBMODULES).cloned() {
        in_modules(terrain, &outer, &mut found);
        at += 1;
    }
    found
}

/// Adds those of one repository.
fn in_modules(terrain: &impl Terrain, repository: &AbsPath, found: &mut Vec<AbsPath>) {
    let mut open: Vec<_> = repository.join("modules").ok().map(|modules| (modules, 0)).into_iter().collect();
    while let Some((directory, depth)) = open.pop() {
        for below in terrain.directories(&directory) {
            if found.len() > MAX_SUBMODULES {
                return;
            }
            if is_repository(terrain, &below) {
                found.push(below);
            } else if depth + 1 < MAX_NAME_COMPONENTS {
                open.push((below, depth + 1));
            }
        }
    }
}
