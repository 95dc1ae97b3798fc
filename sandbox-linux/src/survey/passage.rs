//! Symbolic links on the way to the places of rules. Called by `Survey::take`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStringExt as _;

use weir_protocol::AbsPath;

use super::Kind;

/// Every link among the places that are links or lie behind one, and among the directories above them.
pub(super) fn passages(places: &BTreeMap<AbsPath, Kind>) -> BTreeMap<AbsPath, Vec<u8>> {
    let mut seen = BTreeSet::new();
    let mut out = BTreeMap::new();
    for place in places.iter().filter(|(_, kind)| **kind == Kind::Symlink).map(|(path, _)| path) {
        let mut next = Some(place.clone());
        while let Some(path) = next.filter(|path| seen.insert(path.clone())) {
            next = path.parent();
            if let Ok(target) = fs::read_link(path.as_path()) {
                out.insert(path, target.into_os_string().into_vec());
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_on_the_way_and_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("real/in")).unwrap();
        std::os::unix::fs::symlink("real", root.join("way")).unwrap();
        std::os::unix::fs::symlink("in", root.join("real/end")).unwrap();
        let path = |name: &str| AbsPath::from_host(&root.join(name)).unwrap();
        let places = [("way/in", Kind::Symlink), ("real/end", Kind::Symlink), ("real", Kind::Directory)];
        let places = places.into_iter().map(|(name, kind)| (path(name), kind)).collect();
        let found = passages(&places);
        let expect = [("real/end", "in"), ("way", "real")];
        assert_eq!(found, expect.map(|(name, to)| (path(name), to.as_bytes().to_vec())).into());
    }
}
