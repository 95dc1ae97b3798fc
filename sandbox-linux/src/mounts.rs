//! The table of mounts (`/proc/PID/mountinfo`, proc(5)): what is mounted where.
//!
//! Pure: whoever needs it has read the table. Called by `survey`, `live` and the keeper of copies.

use weir_protocol::AbsPath;

/// A mount: a part of a file system, and where it is to be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    id: u32,
    parent: u32,
    /// The file system's device number.
    pub device: Vec<u8>,
    /// The part of it that is mounted.
    pub root: Vec<u8>,
    /// Where.
    pub point: Vec<u8>,
    /// The type of file system, with its subtype behind a dot where it has one.
    pub kind: Vec<u8>,
}

/// All mounts of a namespace, in the order of the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mounts(Vec<Mount>);

impl Mounts {
    /// What a table tells; a line that is none is left out.
    #[must_use]
    pub fn of(table: &[u8]) -> Self {
        Self(table.split(|byte| *byte == b'\n').filter_map(mount).collect())
    }

    /// Each mount.
    #[must_use]
    pub fn all(&self) -> &[Mount] {
        &self.0
    }

    /// Where something is mounted.
    pub fn points(&self) -> impl Iterator<Item = AbsPath> {
        self.0.iter().filter_map(|mount| AbsPath::parse(mount.point.as_slice()).ok())
    }

    /// Whether a mount is what its path leads to: no other one lies over it, or over a directory on the way.
    #[must_use]
    pub fn is_seen(&self, mount: &Mount) -> bool {
        let mut here = self.first_below(None, &mount.point);
        let mut left = self.0.len();
        while let Some(found) = here.filter(|_| left > 0) {
            match self.first_below(Some(found), &mount.point) {
                None => return found == mount,
                next => here = next,
            }
            left -= 1;
        }
        // Nobody can say, so it may be.
        true
    }

    /// The mount that a path comes to first in another one, or from nowhere.
    fn first_below(&self, above: Option<&Mount>, path: &[u8]) -> Option<&Mount> {
        let is_top = |mount: &&Mount| !self.0.iter().any(|other| other.id == mount.parent && other != *mount);
        let is_here = |mount: &&Mount| match above {
            Some(above) => mount.parent == above.id && mount.id != above.id,
            None => is_top(mount),
        };
        let on_the_way = self.0.iter().filter(|mount| leads_to(&mount.point, path));
        on_the_way.filter(is_here).min_by_key(|mount| mount.point.len())
    }
}

/// Whether a path is a directory or lies below it.
fn leads_to(directory: &[u8], path: &[u8]) -> bool {
    let directory = directory.strip_suffix(b"/").unwrap_or(directory);
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/'))
}

/// One line: id, parent, device, root, mount point, options, further fields up to a hyphen, type and more.
fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse().ok();
    let (id, parent) = (number()?, number()?);
    let device = fields.next()?.to_vec();
    let (root, point) = (unescaped(fields.next()?), unescaped(fields.next()?));
    let kind = unescaped(fields.skip_while(|field| *field != b"-").nth(1)?);
    Some(Mount { id, parent, device, root, point, kind })
}

/// Blanks and backslashes stand as three octal digits.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, behind)) = rest.split_first() {
        let digits =
            behind.get(..3).filter(|_| byte == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(plain) => {
                out.push(plain);
                rest = &behind[3..];
            }
            None => {
                out.push(byte);
                rest = behind;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_under_another_one_is_not_seen() {
        let mounts = Mounts::of(
            b"1 0 0:1 / / rw - rootfs rootfs rw\n\
              22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
              41 22 0:5 / /seen rw,nosuid shared:7 master:1 - proc proc rw\n\
              42 22 0:5 / /over/seen rw - proc proc rw\n\
              43 22 0:6 / /under rw - tmpfs t rw\n\
              44 43 0:5 / /under/on rw - proc proc rw\n\
              30 22 0:6 / /hidden rw - tmpfs t rw\n\
              45 22 0:5 / /hidden/below rw - proc proc rw\n\
              46 22 0:5 / /twice rw - proc proc rw\n\
              47 46 0:6 / /twice rw - tmpfs t rw\n\
              48 22 0:4 net:[4026531840] /netns rw - nsfs nsfs rw\n",
        );
        let seen: Vec<_> = mounts
            .all()
            .iter()
            .filter(|mount| mounts.is_seen(mount))
            .map(|mount| (mount.id, String::from_utf8_lossy(&mount.kind).into_owned()))
            .collect();
        let want = [
            (22, "ext4"),
            (41, "proc"),
            (42, "proc"),
            (43, "tmpfs"),
            (44, "proc"),
            (30, "tmpfs"),
            (47, "tmpfs"),
            (48, "nsfs"),
        ];
        assert_eq!(seen, want.map(|(id, kind)| (id, kind.to_owned())));
    }

    /// In a root that is no mount, nothing of what lies above is in the table.
    #[test]
    fn mounts_without_one_above_are_seen() {
        let mounts =
            Mounts::of(b"50 22 0:5 / /proc rw - proc proc rw\n51 50 0:7 / /proc/x rw - tmpfs t rw\n");
        assert!(mounts.all().iter().all(|mount| mounts.is_seen(mount)));
    }
}
