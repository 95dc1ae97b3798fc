//! How a path ends: the directory that a call works in, and the last name.

/// Longest path that a call takes, with its terminating NUL (`PATH_MAX`, path_resolution(7)).
pub(crate) const MAX_PATH: usize = 4_096;

/// A path cut before its last name. Nothing is resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Split<'a> {
    /// Whether the path starts at the root.
    pub(crate) is_absolute: bool,
    /// All after the leading slashes; `.` for the root itself.
    pub(crate) relative: &'a [u8],
    /// The part before the last name, without leading slashes; empty when there is none.
    pub(crate) parent: &'a [u8],
    /// The last name with all slashes behind it, which mean something to the kernel.
    pub(crate) last: &'a [u8],
}

impl<'a> Split<'a> {
    /// Cuts a path; nothing for an empty one, which no trapped call accepts (ENOENT).
    pub(crate) fn of(path: &'a [u8]) -> Option<Self> {
        let is_absolute = *path.first()? == b'/';
        let relative = &path[path.iter().take_while(|byte| **byte == b'/').count()..];
        let relative = if relative.is_empty() { b"." } else { relative };
        let end = relative.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
        let start = relative[..end].iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        Some(Self { is_absolute, relative, parent: &relative[..start], last: &relative[start..] })
    }

    /// The last name without slashes; nothing for `.` and `..`, which name what exists.
    pub(crate) fn name(&self) -> Option<&'a [u8]> {
        let bare = self.last.iter().position(|byte| *byte == b'/').map_or(self.last, |end| &self.last[..end]);
        (!matches!(bare, b"." | b"..")).then_some(bare)
    }
}

#[cfg(test)]
mod tests {
    use super::Split;

    #[test]
    fn paths_are_cut_before_the_last_name() {
        type Case = (&'static str, bool, &'static str, &'static str, &'static str, Option<&'static str>);
        let cases: [Case; 13] = [
            ("a", false, "a", "", "a", Some("a")),
            ("a/b", false, "a/b", "a/", "b", Some("b")),
            ("a//b//", false, "a//b//", "a//", "b//", Some("b")),
            ("/a", true, "a", "", "a", Some("a")),
            ("//a/./b", true, "a/./b", "a/./", "b", Some("b")),
            ("/", true, ".", "", ".", None),
            ("///", true, ".", "", ".", None),
            (".", false, ".", "", ".", None),
            ("a/..", false, "a/..", "a/", "..", None),
            ("../", false, "../", "", "../", None),
            ("./.git/", false, "./.git/", "./", ".git/", Some(".git")),
            ("...", false, "...", "", "...", Some("...")),
            (" ", false, " ", "", " ", Some(" ")),
        ];
        for (path, is_absolute, relative, parent, last, name) in cases {
            let split = Split::of(path.as_bytes()).unwrap_or_else(|| panic!("{path:?}"));
            let want = Split {
                is_absolute,
                relative: relative.as_bytes(),
                parent: parent.as_bytes(),
                last: last.as_bytes(),
            };
            assert_eq!(split, want, "{path:?}");
            assert_eq!(split.name(), name.map(str::as_bytes), "{path:?}");
        }
        assert_eq!(Split::of(b""), None);
    }
}
