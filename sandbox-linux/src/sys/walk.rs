//! Reading directories fast and without following links: one open directory, its raw entries, and what stands at one name.
//!
//! Never follows a symbolic link at the last name: a directory is opened by one name below an open one, or by a whole path of which
//! the directories above have been looked at. Called by `survey`, and by the broker for its look-ups.

mod status;

use std::ffi::CStr;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use super::abi::{check, owned};

pub(crate) use status::{Seen, Stamp, Status, Time, seen, seen_opened, status, status_of};

/// Bytes in front of the name in `struct linux_dirent64` (getdents(2)): inode, offset, record length, type.
const HEADER_BYTES: usize = 19;

/// How a directory is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// To read its entries; needs read permission.
    Listing,
    /// To look names up in it; needs search permission.
    Lookup,
}

/// What a name stands for, as `d_type` or `st_mode` tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileType {
    Directory,
    File,
    Symlink,
    Fifo,
    Socket,
    Device,
    /// The file system does not tell in its entries.
    Untold,
}

/// One entry of a directory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'b> {
    pub(crate) name: &'b CStr,
    pub(crate) file_type: FileType,
    pub(crate) inode: u64,
}

const fn flags(opening: Opening) -> libc::c_int {
    let access = match opening {
        Opening::Listing => libc::O_RDONLY,
        Opening::Lookup => libc::O_PATH,
    };
    access | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC
}

/// Opens `/`.
pub(crate) fn open_root(opening: Opening) -> Result<OwnedFd, i32> {
    // SAFETY: the path is a constant C string; makes a descriptor, which is taken at once.
    owned(libc::c_long::from(unsafe { libc::open(c"/".as_ptr(), flags(opening)) }))
}

/// Opens the directory `name` in `parent` (openat(2)); a symbolic link is refused with `ENOTDIR` or `ELOOP`.
pub(crate) fn open_directory(parent: BorrowedFd<'_>, name: &CStr, opening: Opening) -> Result<OwnedFd, i32> {
    // SAFETY: the descriptor is open and the name ends with NUL; makes a descriptor, which is taken at once.
    let fd = unsafe { libc::openat(parent.as_raw_fd(), name.as_ptr(), flags(opening)) };
    owned(libc::c_long::from(fd))
}

/// Opens the directory at an absolute path; the last name is not followed.
pub(crate) fn open_whole(path: &CStr, opening: Opening) -> Result<OwnedFd, i32> {
    // SAFETY: the path ends with NUL; makes a descriptor, which is taken at once.
    owned(libc::c_long::from(unsafe { libc::open(path.as_ptr(), flags(opening)) }))
}

/// The kind of file system behind an open directory (fstatfs(2)): a number of `linux/magic.h`.
pub(crate) fn file_system(directory: BorrowedFd<'_>) -> Result<libc::c_long, i32> {
    // SAFETY: all bytes zero is a valid `struct statfs`.
    let mut found: libc::statfs = unsafe { std::mem::zeroed() };
    let (directory, place) = (directory.as_raw_fd(), &raw mut found);
    // SAFETY: the descriptor is open and the kernel writes one `struct statfs` at the pointer.
    check(libc::c_long::from(unsafe { libc::fstatfs(directory, place) }))?;
    Ok(found.f_type)
}

/// Fills `buffer` with the next entries of an open directory (getdents64(2)); 0 at its end.
pub(crate) fn read_entries(directory: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, i32> {
    let (fd, place, size) = (directory.as_raw_fd(), buffer.as_mut_ptr(), buffer.len());
    // SAFETY: the descriptor is open and the kernel writes at most `size` bytes at the pointer.
    let read = check(unsafe { libc::syscall(libc::SYS_getdents64, fd, place, size) })?;
    usize::try_from(read).map_err(|_| libc::EOVERFLOW)
}

/// The entries that [`read_entries`] put into `filled`, without `.` and `..`.
pub(crate) fn entries(filled: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    let mut rest = filled;
    let all = std::iter::from_fn(move || {
        let (entry, length) = entry(rest)?;
        rest = rest.get(length..)?;
        Some(entry)
    });
    all.filter(|entry| !matches!(entry.name.to_bytes(), b"." | b".."))
}

/// The first entry of `bytes`, and its length.
fn entry(bytes: &[u8]) -> Option<(Entry<'_>, usize)> {
    let inode = u64::from_ne_bytes(bytes.get(..8)?.try_into().ok()?);
    let length = usize::from(u16::from_ne_bytes(bytes.get(16..18)?.try_into().ok()?));
    let name = CStr::from_bytes_until_nul(bytes.get(HEADER_BYTES..length)?).ok()?;
    Some((Entry { name, file_type: from_entry(bytes[18]), inode }, length))
}

fn from_entry(told: u8) -> FileType {
    match told {
        libc::DT_DIR => FileType::Directory,
        libc::DT_REG => FileType::File,
        libc::DT_LNK => FileType::Symlink,
        libc::DT_FIFO => FileType::Fifo,
        libc::DT_SOCK => FileType::Socket,
        libc::DT_CHR | libc::DT_BLK => FileType::Device,
        _ => FileType::Untold,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ffi::OsStr;
    use std::os::fd::AsFd as _;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn reads_every_entry_with_its_type() {
        let place = tempfile::tempdir().unwrap();
        let names: BTreeSet<Vec<u8>> = (0..500_u32)
            .map(|index| format!("file {index} \"\n").into_bytes())
            .chain([b"\xff\xfe".to_vec()])
            .collect();
        for name in &names {
            std::fs::write(place.path().join(OsStr::from_bytes(name)), "").unwrap();
        }
        std::os::unix::fs::symlink("/", place.path().join("link")).unwrap();
        let directory = std::fs::File::open(place.path()).unwrap();
        let mut buffer = [0; 2048];
        let mut found = BTreeSet::new();
        loop {
            let filled = read_entries(directory.as_fd(), &mut buffer).unwrap();
            if filled == 0 {
                break;
            }
            for entry in entries(&buffer[..filled]) {
                let told = status(directory.as_fd(), entry.name).unwrap();
                assert!([told.file_type, FileType::Untold].contains(&entry.file_type));
                assert_eq!(told.file.inode, entry.inode);
                if told.file_type == FileType::File {
                    found.insert(entry.name.to_bytes().to_vec());
                }
            }
        }
        assert_eq!(found, names);
        for opening in [Opening::Listing, Opening::Lookup] {
            let refused = open_directory(directory.as_fd(), c"link", opening).map(drop);
            assert!([Err(libc::ENOTDIR), Err(libc::ELOOP)].contains(&refused), "{refused:?}");
        }
    }

    #[test]
    fn a_cut_off_buffer_yields_whole_entries_only() {
        assert_eq!(entries(&[]).count(), 0);
        assert_eq!(entries(&[1; 18]).count(), 0);
        let mut bytes = [0_u8; 24];
        bytes[16] = 24;
        bytes[18] = libc::DT_REG;
        bytes[19] = b'x';
        assert_eq!(entries(&bytes).map(|entry| entry.name.to_bytes().to_vec()).collect::<Vec<_>>(), [b"x"]);
        assert_eq!(entries(&bytes[..23]).count(), 0);
    }
}
