//! `file/list` and `file/stat`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use weir_protocol::method::file::{
    Attributes, Directory, Entries, Entry, Kind, Links, MAX_ENTRIES, MAX_FOUND_BYTES, Stat,
};
use weir_protocol::{AbsPath, ByteString};

use super::worker::{Worker, limit};
use super::{On as _, Outcome};

/// Nanoseconds of a second.
const SECOND_NS: i64 = 1_000_000_000;

/// Permission bits with set-user-id, set-group-id and sticky (inode(7)).
const PERMISSIONS: u32 = 0o7777;

/// Holds no more names than are told, however many there are.
pub(super) fn list(ask: &Directory, worker: &Worker) -> Outcome<Entries> {
    let path = &ask.path;
    let limit = limit(ask.limit, MAX_ENTRIES);
    let after = ask.after.as_ref().map(|after| after.0.as_slice()).unwrap_or_default();
    let (mut names, mut more) = (BTreeSet::new(), false);
    for entry in fs::read_dir(path.as_path()).reading(path)? {
        worker.check().reading(path)?;
        let name = entry.reading(path)?.file_name().into_vec();
        if ask.after.is_some() && name.as_slice() <= after {
            continue;
        }
        names.insert(name);
        if names.len() > limit {
            names.pop_last();
            more = true;
        }
    }
    let (mut entries, mut bytes) = (Vec::new(), 0);
    for name in names {
        let entry = entry(path, name);
        let target = entry.attributes.as_ref().and_then(|attributes| attributes.target.as_ref());
        bytes += entry.name.0.len() + target.map_or(0, |target| target.0.len());
        if bytes > MAX_FOUND_BYTES {
            more = true;
            break;
        }
        entries.push(entry);
    }
    Ok(Entries { entries, more })
}

fn entry(directory: &AbsPath, name: Vec<u8>) -> Entry {
    let place = directory.as_path().join(OsStr::from_bytes(&name));
    let attributes = fs::symlink_metadata(&place).ok().map(|found| attributes(&found, &place));
    Entry { name: ByteString(name), attributes }
}

pub(super) fn stat(ask: &Stat) -> Outcome<Attributes> {
    let place = ask.path.as_path();
    let found = match ask.links {
        Links::Follow => fs::metadata(place),
        Links::Keep => fs::symlink_metadata(place),
    };
    Ok(attributes(&found.reading(&ask.path)?, place))
}

fn attributes(found: &Metadata, place: &Path) -> Attributes {
    let kind = match found.file_type() {
        kind if kind.is_file() => Kind::File,
        kind if kind.is_dir() => Kind::Directory,
        kind if kind.is_symlink() => Kind::Link,
        _ => Kind::Special,
    };
    let target = (kind == Kind::Link).then(|| fs::read_link(place).ok()).flatten();
    Attributes {
        kind,
        size: found.size(),
        permissions: found.mode() & PERMISSIONS,
        uid: found.uid(),
        gid: found.gid(),
        links: found.nlink(),
        modified_ns: found.mtime().saturating_mul(SECOND_NS).saturating_add(found.mtime_nsec()),
        target: target.map(|target| ByteString(target.into_os_string().into_vec())),
    }
}
