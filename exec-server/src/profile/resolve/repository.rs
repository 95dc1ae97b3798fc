//! What is a repository's own directory. Called by `worktree` and `submodule`.

use weir_protocol::AbsPath;

use crate::profile::surroundings::Terrain;

/// Whether a directory has what git wants of a repository's own (gitrepository-layout(5)), whatever it is called.
pub(super) fn is_repository(terrain: &impl Terrain, directory: &AbsPath) -> bool {
    let holds = |name: &str| directory.join(name).is_ok_and(|path| terrain.is_directory(&path));
    holds("objects") && holds("refs") && directory.join("HEAD").is_ok_and(|head| terrain.exists(&head))
}
