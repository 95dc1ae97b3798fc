//! Absolute, normalised paths as bytes.
//!
//! An [`AbsPath`] has no `.`, `..`, empty component, NUL or trailing slash, so that two names of one place in the tree
//! are equal as bytes. It never touches the file system: symbolic links are the resolver's concern.

use std::borrow::{Borrow, Cow};
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::bytes::ByteText;
use crate::unseen::is_unseen;

/// Longest path accepted, in bytes: `PATH_MAX` of Linux, without its terminating NUL (limits.h).
pub const MAX_PATH_BYTES: usize = 4095;

/// Longest single component accepted, in bytes: `NAME_MAX` of Linux (limits.h).
pub const MAX_COMPONENT_BYTES: usize = 255;

/// Why some bytes are not a path that a rule may name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing was written.
    #[error("the path is empty")]
    Empty,
    /// The first byte is not `/`.
    #[error("the path is not absolute")]
    NotAbsolute,
    /// A relative path was expected here.
    #[error("the path must be relative to the table it stands in")]
    NotRelative,
    /// A `..` component, which no rule may contain.
    #[error("`..` is not allowed in a rule")]
    ParentComponent,
    /// A `.` component inside a longer path.
    #[error("`.` is only allowed alone")]
    DotComponent,
    /// Two slashes in a row.
    #[error("two slashes in a row")]
    EmptyComponent,
    /// A NUL byte, which no kernel path can hold.
    #[error("a NUL byte cannot be part of a path")]
    Nul,
    /// Longer than [`MAX_PATH_BYTES`].
    #[error("{length} bytes are more than the {MAX_PATH_BYTES} that a path may have")]
    TooLong {
        /// Length found, in bytes.
        length: usize,
    },
    /// A component longer than [`MAX_COMPONENT_BYTES`].
    #[error("a component of {length} bytes is longer than the {MAX_COMPONENT_BYTES} that a name may have")]
    ComponentTooLong {
        /// Length found, in bytes.
        length: usize,
    },
}

/// An absolute, lexically normal path, kept as bytes (Linux paths need not be UTF-8).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AbsPath(Vec<u8>);

/// Compared, ordered and hashed as its bytes are: maps can be asked for a part of a path.
impl Borrow<[u8]> for AbsPath {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl AbsPath {
    /// The root directory `/`.
    #[must_use]
    pub fn root() -> Self {
        Self(b"/".to_vec())
    }

    /// Reads an absolute path; a single trailing slash is dropped.
    ///
    /// # Errors
    /// [`PathError`] for anything that is not absolute and normal: nothing is repaired in silence.
    pub fn parse(bytes: impl AsRef<[u8]>) -> Result<Self, PathError> {
        let bytes = bytes.as_ref();
        let Some(rest) = bytes.strip_prefix(b"/") else {
            return Err(if bytes.is_empty() { PathError::Empty } else { PathError::NotAbsolute });
        };
        match rest.first() {
            None => Ok(Self::root()),
            Some(b'/') => Err(PathError::EmptyComponent),
            Some(_) if rest == b"." => Err(PathError::DotComponent),
            Some(_) => Self::root().join(rest),
        }
    }

    /// This path with a relative one below it; `.` alone names this path itself.
    ///
    /// # Errors
    /// [`PathError`] when `relative` is empty, absolute, or not lexically normal.
    pub fn join(&self, relative: impl AsRef<[u8]>) -> Result<Self, PathError> {
        let relative = relative.as_ref();
        if relative == b"." || relative == b"./" {
            return Ok(self.clone());
        }
        check_relative(relative)?;
        let relative = relative.strip_suffix(b"/").unwrap_or(relative);
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + relative.len());
        bytes.extend_from_slice(&self.0);
        if !self.is_root() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(relative);
        if bytes.len() > MAX_PATH_BYTES {
            return Err(PathError::TooLong { length: bytes.len() });
        }
        Ok(Self(bytes))
    }

    /// Reads a path that the operating system gave, folding `.`, empty components and `..` lexically.
    ///
    /// For paths of the host (a canonical path, the working directory), never for rules.
    #[must_use]
    pub fn from_host(path: &Path) -> Option<Self> {
        let mut out: Vec<&[u8]> = Vec::new();
        let bytes = path.as_os_str().as_bytes();
        if bytes.first() != Some(&b'/') || bytes.contains(&0) {
            return None;
        }
        for component in bytes.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => {
                    out.pop();
                }
                name => out.push(name),
            }
        }
        if out.is_empty() {
            return Some(Self::root());
        }
        Some(Self(out.iter().flat_map(|name| [b"/", *name].concat()).collect()))
    }

    /// Whether this is `/`.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0 == b"/"
    }

    /// The bytes, without a terminating NUL.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same path for the standard library.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// Number of components: 0 for `/`, 2 for `/usr/bin`.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.components().count()
    }

    /// The components from the root down, without the root itself.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/').filter(|name| !name.is_empty())
    }

    /// The directory that holds this path; `None` for `/`.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        ancestor_slices(&self.0).nth(1).map(|bytes| Self(bytes.to_vec()))
    }

    /// This path and the directories above it, up to `/`, as bytes.
    pub fn ancestors(&self) -> impl Iterator<Item = &[u8]> {
        ancestor_slices(&self.0)
    }

    /// The last component; `None` for `/`.
    #[must_use]
    pub fn file_name(&self) -> Option<&[u8]> {
        self.components().last()
    }

    /// Whether this path is `other` or lies below it, by whole components.
    #[must_use]
    pub fn starts_with(&self, other: &Self) -> bool {
        other.is_root()
            || self.0.strip_prefix(other.0.as_slice()).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    }

    /// What follows `base` in this path, without a leading slash; empty when they are equal.
    #[must_use]
    pub fn relative_to(&self, base: &Self) -> Option<&[u8]> {
        if !self.starts_with(base) {
            return None;
        }
        let skip = if base.is_root() { 1 } else { base.0.len() };
        let rest = &self.0[skip.min(self.0.len())..];
        Some(rest.strip_prefix(b"/").unwrap_or(rest))
    }

    /// The text for people: UTF-8 as it is, but for what is not seen in it ([`is_unseen`]); that and other bytes escaped.
    #[must_use]
    pub fn display(&self) -> Cow<'_, str> {
        display_bytes(&self.0)
    }
}

/// Bytes as text for people: UTF-8 as it is, but for what is not to be seen in it; that and other bytes escaped.
pub(crate) fn display_bytes(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(is_unseen) => Cow::Borrowed(text),
        _ => Cow::Owned(bytes.utf8_chunks().map(escape_chunk).collect()),
    }
}

/// This path and each directory above it as byte slices, longest first, `/` last.
pub(crate) fn ancestor_slices(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut next = Some(path);
    std::iter::from_fn(move || {
        let current = next?;
        next = match current.iter().rposition(|byte| *byte == b'/') {
            Some(0) if current.len() > 1 => Some(&current[..1]),
            Some(0) | None => None,
            Some(at) => Some(&current[..at]),
        };
        Some(current)
    })
}

fn escape_chunk(chunk: std::str::Utf8Chunk<'_>) -> String {
    let mut out = String::new();
    for character in chunk.valid().chars() {
        if is_unseen(character) {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    for byte in chunk.invalid() {
        out.push_str(&format!("\\x{byte:02x}"));
    }
    out
}

fn check_relative(relative: &[u8]) -> Result<(), PathError> {
    if relative.is_empty() {
        return Err(PathError::Empty);
    }
    if relative[0] == b'/' {
        return Err(PathError::NotRelative);
    }
    if relative.contains(&0) {
        return Err(PathError::Nul);
    }
    let trimmed = relative.strip_suffix(b"/").unwrap_or(relative);
    for component in trimmed.split(|byte| *byte == b'/') {
        match component {
            b"" => return Err(PathError::EmptyComponent),
            b"." => return Err(PathError::DotComponent),
            b".." => return Err(PathError::ParentComponent),
            name if name.len() > MAX_COMPONENT_BYTES => {
                return Err(PathError::ComponentTooLong { length: name.len() });
            }
            _ => {}
        }
    }
    Ok(())
}

impl fmt::Display for AbsPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.display())
    }
}

impl fmt::Debug for AbsPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.display())
    }
}

impl Serialize for AbsPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ByteText::from(self.0.clone()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for AbsPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let bytes: Vec<u8> = ByteText::deserialize(deserializer)?.try_into().map_err(D::Error::custom)?;
        Self::parse(bytes).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[u8], expect: Result<&str, PathError>) {
        let found = AbsPath::parse(input).map(|path| path.display().into_owned());
        assert_eq!(found, expect.map(str::to_owned), "{:?}", String::from_utf8_lossy(input));
    }

    #[test]
    fn parses_only_normal_absolute_paths() {
        check(b"/", Ok("/"));
        check(b"/usr/bin", Ok("/usr/bin"));
        check(b"/usr/bin/", Ok("/usr/bin"));
        check(b"/a b/\"c\"", Ok("/a b/\"c\""));
        check(b"/a\nb", Ok("/a\\nb"));
        check(b"/a\xffb", Ok("/a\\xffb"));
        // What reorders or hides text would let a name pass for another.
        check("/a\u{202e}fdp.exe".as_bytes(), Ok("/a\\u{202e}fdp.exe"));
        check("/a\u{200b}b\u{feff}".as_bytes(), Ok("/a\\u{200b}b\\u{feff}"));
        check("/ä\u{1f600}".as_bytes(), Ok("/ä\u{1f600}"));
        check(b"", Err(PathError::Empty));
        check(b"usr", Err(PathError::NotAbsolute));
        check(b"/usr/../etc", Err(PathError::ParentComponent));
        check(b"/usr/./etc", Err(PathError::DotComponent));
        check(b"/usr//etc", Err(PathError::EmptyComponent));
        check(b"//usr", Err(PathError::EmptyComponent));
        check(b"/a\0b", Err(PathError::Nul));
        check(&[b"/".as_slice(), &[b'a'; 256]].concat(), Err(PathError::ComponentTooLong { length: 256 }));
    }

    #[test]
    fn walks_up_and_down() {
        let path = AbsPath::parse("/a/b/c").unwrap();
        let names: Vec<_> = ancestor_slices(path.as_bytes()).map(String::from_utf8_lossy).collect();
        assert_eq!(names, ["/a/b/c", "/a/b", "/a", "/"]);
        assert_eq!(ancestor_slices(b"/").count(), 1);
        assert_eq!(path.parent().unwrap(), AbsPath::parse("/a/b").unwrap());
        assert_eq!(AbsPath::root().parent(), None);
        assert!(path.starts_with(&AbsPath::parse("/a/b").unwrap()));
        assert!(!path.starts_with(&AbsPath::parse("/a/bc").unwrap()));
        assert!(!AbsPath::parse("/ab").unwrap().starts_with(&AbsPath::parse("/a").unwrap()));
        assert_eq!(path.relative_to(&AbsPath::parse("/a").unwrap()), Some(b"b/c".as_slice()));
        assert_eq!(path.relative_to(&AbsPath::root()), Some(b"a/b/c".as_slice()));
        assert_eq!((path.depth(), AbsPath::root().depth()), (3, 0));
    }

    #[test]
    fn json_keeps_every_byte() {
        for bytes in [b"/plain".as_slice(), b"/\xff\x00x".split(|b| *b == 0).next().unwrap(), b"/a\nb"] {
            let path = AbsPath::parse(bytes).unwrap();
            let text = serde_json::to_string(&path).unwrap();
            assert_eq!(serde_json::from_str::<AbsPath>(&text).unwrap(), path);
        }
        assert!(serde_json::from_str::<AbsPath>("\"relative\"").is_err());
        assert!(serde_json::from_str::<AbsPath>("{\"hex\":\"2\"}").is_err());
    }

    #[test]
    fn host_paths_are_folded() {
        let host = |text: &str| AbsPath::from_host(Path::new(text)).map(|path| path.display().into_owned());
        assert_eq!(host("/a/./b//../c/"), Some("/a/c".to_owned()));
        assert_eq!(host("/.."), Some("/".to_owned()));
        assert_eq!(host("a"), None);
    }
}
