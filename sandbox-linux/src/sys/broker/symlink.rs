//! Passes a symbolic link that stands first or last in a path, as most do: with one or two calls, where a walk by hand takes several for each
//! component. What lies on a procfs, or elsewhere in the path, is left to that walk (`resolve`).

use std::ffi::CString;
use std::os::fd::{AsFd as _, BorrowedFd};

use super::call::{self, Kernel};
use super::directory::Directory;
use super::resolve::{Last, Located, World};
use super::trail::Trail;
use crate::broker::{MAX_PATH, Roots, Split};

/// A path of which the kernel has told that there is a link in it.
pub(super) enum Passed<'a> {
    /// Where the link led: what is left of the path, to be tried anew.
    On(Located<'a>),
    /// As it was.
    ByHand(Located<'a>),
}

impl World {
    /// Passes a link that is the first component, or the last where that is followed, wherever it leads.
    pub(super) fn pass_link<'a>(
        &'a self,
        from: Located<'a>,
        last: Last,
        trail: &mut Trail,
    ) -> Kernel<Passed<'a>> {
        if self.roots() == Roots::Own || self.is_proc(from.base.as_fd()) {
            return Ok(Passed::ByHand(from));
        }
        let (name, behind) = first(from.path.to_bytes());
        if let Some(target) = self.link(from.base.as_fd(), name, trail)? {
            return Ok(match joined(&target, behind) {
                Some(path) => Passed::On(self.led(from.base, &target, path)),
                None => Passed::ByHand(from),
            });
        }
        if last == Last::Kept {
            return Ok(Passed::ByHand(from));
        }
        self.pass_last(from, trail)
    }

    /// The same for the last component, where no link leads to it.
    fn pass_last<'a>(&'a self, from: Located<'a>, trail: &mut Trail) -> Kernel<Passed<'a>> {
        let split = Split::of(from.path.to_bytes()).filter(|split| !split.parent.is_empty());
        let Some((split, name)) = split.and_then(|split| Some((split, split.name()?))) else {
            return Ok(Passed::ByHand(from));
        };
        let slashes = &split.last[name.len()..];
        let parent = CString::new(split.parent).map_err(|_| libc::EINVAL)?;
        let Some(directory) = self.directory(from.base.as_fd(), &parent) else {
            return Ok(Passed::ByHand(from));
        };
        let Some(target) = self.link(directory.as_fd(), name, trail)? else {
            return Ok(Passed::ByHand(from));
        };
        Ok(match joined(&target, slashes) {
            Some(path) => Passed::On(self.led(Directory::Held(directory), &target, path)),
            None => Passed::ByHand(from),
        })
    }

    /// Where a link in this directory leads, which is taken down; nothing where no link has that name now.
    fn link(&self, parent: BorrowedFd<'_>, name: &[u8], trail: &mut Trail) -> Kernel<Option<Vec<u8>>> {
        let Ok(name) = CString::new(name) else { return Ok(None) };
        let Ok(target) = call::read_link(parent, &name) else { return Ok(None) };
        self.may_follow(parent, &name)?;
        trail.pass(self, parent, &name)?;
        Ok(Some(target))
    }

    fn led<'a>(&'a self, parent: Directory<'a>, target: &[u8], path: CString) -> Located<'a> {
        let base = if target.first() == Some(&b'/') { Directory::Lasting(self.root()) } else { parent };
        Located::beneath(base, path)
    }
}

/// The first component, and what follows it with its slashes.
fn first(path: &[u8]) -> (&[u8], &[u8]) {
    let end = path.iter().position(|byte| *byte == b'/').unwrap_or(path.len());
    path.split_at(end)
}

/// A link's text in a component's place, without leading slashes; nothing for what is longer than a path.
fn joined(target: &[u8], behind: &[u8]) -> Option<CString> {
    let relative = Split::of(target)?.relative;
    let whole = [relative, behind].concat();
    CString::new(whole).ok().filter(|path| path.to_bytes().len() < MAX_PATH)
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    #[test]
    fn a_links_text_takes_the_place_of_its_component() {
        let cases: [(&str, &str, &str); 7] = [
            ("usr/lib", "/x/libc.so.6", "usr/lib/x/libc.so.6"),
            ("/usr/lib", "//x", "usr/lib//x"),
            ("/", "/x", "./x"),
            ("..", "", ".."),
            ("a/", "", "a/"),
            ("a", "//", "a//"),
            ("//a//", "/.", "a///."),
        ];
        for (target, behind, expect) in cases {
            let path = joined(target.as_bytes(), behind.as_bytes());
            assert_eq!(path.as_deref().map(CStr::to_bytes), Some(expect.as_bytes()), "{target:?} {behind:?}");
        }
        assert_eq!(joined(b"", b"/x"), None);
        assert_eq!(joined(&[b'a'; MAX_PATH - 2], b"/b"), None);
        assert_eq!(first(b"a//b"), (&b"a"[..], &b"//b"[..]));
        assert_eq!(first(b".."), (&b".."[..], &b""[..]));
    }
}
