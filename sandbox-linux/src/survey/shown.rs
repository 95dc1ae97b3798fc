//! Files that a sandbox behind the network gate sees in place of the host's: where they lie, and what the host's hold. Called by
//! `Survey::take`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;

use weir_protocol::AbsPath;

use super::place::Places;
use crate::gate::files::{MAX_HOST_BYTES, NAME_FILES};

/// What is known of such files.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// Where those lie to which a symbolic link leads.
    pub(super) leads: BTreeMap<AbsPath, AbsPath>,
    /// What the host's hold, as far as that counts.
    pub(super) held: BTreeMap<AbsPath, Vec<u8>>,
}

/// Looks at these files.
pub(super) fn look<'a>(names: impl IntoIterator<Item = &'a str>, places: &mut Places) -> Shown {
    let mut shown = Shown::default();
    for path in names.into_iter().filter_map(|name| AbsPath::parse(name).ok()) {
        places.look(&path);
        let Some(end) = fs::canonicalize(path.as_path()).ok().and_then(|end| AbsPath::from_host(&end)) else {
            continue;
        };
        if NAME_FILES.iter().any(|name| name.as_bytes() == path.as_bytes())
            && let Ok(content) = read(&end)
        {
            shown.held.insert(path.clone(), content);
        }
        if end != path {
            places.look(&end);
            shown.leads.insert(path, end);
        }
    }
    shown
}

/// As much of a regular file as counts.
fn read(path: &AbsPath) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    if fs::metadata(path.as_path())?.is_file() {
        fs::File::open(path.as_path())?.take(MAX_HOST_BYTES).read_to_end(&mut content)?;
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::survey::Kind;

    #[test]
    fn links_are_followed_to_their_end_and_files_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let name = |name: &str| root.join(name).to_str().unwrap().to_owned();
        fs::create_dir(root.join("run")).unwrap();
        fs::write(root.join("run/stub"), "nameserver 10.0.0.1\n").unwrap();
        std::os::unix::fs::symlink("run/stub", root.join("resolv.conf")).unwrap();
        std::os::unix::fs::symlink("nowhere", root.join("dangling")).unwrap();
        let names = [name("resolv.conf"), name("dangling"), name("missing"), name("run")];
        let mut places = Places::default();
        let shown = look(names.iter().map(String::as_str), &mut places);
        let path = |text: &str| AbsPath::parse(name(text)).unwrap();
        assert_eq!(shown.leads, [(path("resolv.conf"), path("run/stub"))].into());
        assert_eq!(read(&path("run/stub")).unwrap(), b"nameserver 10.0.0.1\n");
        assert_eq!(read(&path("run")).unwrap(), b"");
        let found = places.into_found();
        assert_eq!(found.get(&path("run/stub")), Some(&Kind::File));
        assert_eq!(found.get(&path("dangling")), Some(&Kind::Symlink));
    }
}
