//! Builds the file tree and moves into it.
//!
//! First a small tree in memory becomes the root, with the host's tree below `old` and the sandbox's below `new`: a scaffold
//! on top of a directory would hide what lies in it. Then each step opens its places below these two, never through a
//! symbolic link and never by a name that was looked up before, and attaches detached copies of mounts
//! (open_tree(2), mount_setattr(2), move_mount(2)). At the end the scaffold and the host's tree are gone.

mod copied;

use std::ffi::CStr;

use super::super::abi::*;
use super::{At as _, Done, close};
use crate::prepare::{Content, MountAct, MountOp, Prepared};
use crate::step::Step;

/// Descriptors at hand while building.
struct Site<'a> {
    /// The host's root.
    old: libc::c_int,
    /// The sandbox's root.
    new: libc::c_int,
    /// The sources of masks.
    mask_file: libc::c_int,
    mask_directory: libc::c_int,
    /// What lies in the scaffold to be shown.
    contents: &'a [Content],
    /// To whom the command's own directories belong, where that is someone else.
    owner: Option<[u32; 2]>,
}

pub(super) fn build(prepared: &Prepared) -> Done {
    let (root, rest) = prepared.mounts.split_first().ok_or(libc::EINVAL).at(Step::Root)?;
    // SAFETY: acts on this process's own mount namespace.
    let separated =
        unsafe { libc::mount(NONE, c"/".as_ptr(), NONE, libc::MS_REC | libc::MS_PRIVATE, NONE.cast()) };
    check_int(separated).at(Step::PrivateMounts)?;
    scaffold(&prepared.scaffold).at(Step::Scaffold)?;
    pivot(c".", c"old").at(Step::PivotAside)?;
    change_directory(c"/").at(Step::PivotAside)?;
    let old = open_root(c"/old").at(Step::PivotAside)?;
    let mut site = Site {
        old,
        new: -1,
        mask_file: mask_source(c"mask-file").at(Step::Scaffold)?,
        mask_directory: mask_source(c"mask-directory").at(Step::Scaffold)?,
        contents: &prepared.contents,
        owner: prepared.become_user.as_ref().map(|user| [user.uid, user.gid]),
    };
    for content in &prepared.contents {
        write_new(&content.name, &content.bytes).at(Step::Scaffold)?;
    }
    make_root(&site, root).at(Step::Root)?;
    site.new = open_root(c"/new").at(Step::Root)?;
    for (item, step) in rest.iter().enumerate() {
        take(&site, step).item(Step::Mount, item + 1)?;
    }
    enter(&site).at(Step::PivotIn)
}

const NONE: *const libc::c_char = std::ptr::null();

fn scaffold(on: &CStr) -> Result<(), i32> {
    let tree = file_system(c"tmpfs", &[(c"mode", c"0755")], MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)?;
    let place = open_root(on)?;
    attach(tree, place)?;
    change_directory(on)?;
    make_directory(libc::AT_FDCWD, c"old", 0o700)?;
    make_directory(libc::AT_FDCWD, c"new", 0o755)?;
    for name in copied::PLACES {
        make_directory(libc::AT_FDCWD, name, 0o700)?;
    }
    make_directory(libc::AT_FDCWD, c"mask-directory", 0)?;
    make_file(libc::AT_FDCWD, c"mask-file", 0)
}

/// Mounts a mask on itself, read-only, so that copies of it are read-only from the start.
fn mask_source(name: &CStr) -> Result<libc::c_int, i32> {
    let place = open_below(libc::AT_FDCWD, name)?;
    let tree = copy_tree(place, 0)?;
    let attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    set_attributes(tree, attributes, 0)?;
    attach(tree, place)?;
    open_below(libc::AT_FDCWD, name)
}

fn make_root(site: &Site<'_>, step: &MountOp) -> Result<(), i32> {
    let tree = match &step.act {
        MountAct::Tmpfs { mode, .. } => {
            file_system(c"tmpfs", &[(c"mode", mode)], MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)?
        }
        MountAct::Bind { attributes } => {
            let tree = copy_tree(site.old, AT_RECURSIVE)?;
            set_attributes(tree, *attributes, AT_RECURSIVE)?;
            tree
        }
        _ => return Err(libc::EINVAL),
    };
    attach(tree, open_root(c"/new")?)
}

fn take(site: &Site<'_>, step: &MountOp) -> Result<(), i32> {
    match &step.act {
        MountAct::Bind { attributes } => bind(site, &step.at, *attributes),
        MountAct::Again { set, clear } => again(site, &step.at, *set, *clear),
        MountAct::Copied { state } => copied::mount(site, &step.at, state),
        MountAct::MaskFile => mask(site, &step.at, site.mask_file),
        MountAct::MaskDirectory => mask(site, &step.at, site.mask_directory),
        MountAct::Tmpfs { mode, owner } => tmpfs(site, &step.at, mode, owner.as_ref()),
        MountAct::Proc { attributes } => {
            let tree = file_system(c"proc", &[], *attributes)?;
            attach(tree, open_below(site.new, &step.at)?)
        }
        MountAct::ProcReadOnly => read_only_again(site, &step.at),
        MountAct::Terminals => {
            let options = [(c"ptmxmode", c"0666"), (c"mode", c"0620")];
            let tree = file_system(c"devpts", &options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)?;
            attach(tree, open_below(site.new, &step.at)?)
        }
        MountAct::Directory { mode, owned } => {
            make_directory(site.new, &step.at, *mode)?;
            match site.owner.filter(|_| *owned) {
                Some(owner) => give(site.new, &step.at, owner),
                None => Ok(()),
            }
        }
        MountAct::Content { source } => {
            let content = site.contents.get(*source).ok_or(libc::EINVAL)?;
            show(site, &step.at, &content.name)
        }
        MountAct::File => make_file(site.new, &step.at, 0o444),
        MountAct::Link { target } => {
            // SAFETY: both are C strings.
            check_int(unsafe { libc::symlinkat(target.as_ptr(), site.new, step.at.as_ptr()) }).map(drop)
        }
        MountAct::Seal => {
            let place = open_below(site.new, &step.at)?;
            let sealed = set_attributes(place, MOUNT_ATTR_RDONLY, 0);
            close(place);
            sealed
        }
    }
}

/// A place of the host in the same place of the tree. One that has vanished since it was looked at is left out.
fn bind(site: &Site<'_>, at: &CStr, attributes: u64) -> Result<(), i32> {
    let source = match open_below(site.old, at) {
        Err(libc::ENOENT) => return Ok(()),
        source => source?,
    };
    let tree = copy_tree(source, AT_RECURSIVE);
    close(source);
    let tree = tree?;
    set_attributes(tree, attributes, AT_RECURSIVE)?;
    attach(tree, open_below(site.new, at)?)
}

/// What the tree shows at a place, mounted on itself with other attributes. One that has vanished since it was looked at is left out.
fn again(site: &Site<'_>, at: &CStr, set: u64, clear: u64) -> Result<(), i32> {
    let place = match open_below(site.new, at) {
        Err(libc::ENOENT) => return Ok(()),
        place => place?,
    };
    let tree = copy_tree(place, AT_RECURSIVE)?;
    change_attributes(tree, MountAttr { set, clear, ..MountAttr::default() }, AT_RECURSIVE)?;
    attach(tree, place)
}

/// Covers a place; one that has vanished since it was looked at needs no cover.
fn mask(site: &Site<'_>, at: &CStr, with: libc::c_int) -> Result<(), i32> {
    let place = match open_below(site.new, at) {
        Err(libc::ENOENT) => return Ok(()),
        place => place?,
    };
    let tree = copy_tree(with, 0)?;
    attach(tree, place)
}

/// Covers a place with a file of the scaffold. One that has vanished since it was looked at is left alone: nothing of the host's is shown.
fn show(site: &Site<'_>, at: &CStr, name: &CStr) -> Result<(), i32> {
    let place = match open_below(site.new, at) {
        Err(libc::ENOENT) => return Ok(()),
        place => place?,
    };
    let source = open_below(libc::AT_FDCWD, name)?;
    let tree = copy_tree(source, 0);
    close(source);
    let tree = tree?;
    let attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    set_attributes(tree, attributes, 0)?;
    attach(tree, place)
}

fn tmpfs(site: &Site<'_>, at: &CStr, mode: &CStr, owner: Option<&[std::ffi::CString; 2]>) -> Result<(), i32> {
    let attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    let tree = match owner {
        Some([uid, gid]) => {
            file_system(c"tmpfs", &[(c"mode", mode), (c"uid", uid), (c"gid", gid)], attributes)?
        }
        None => file_system(c"tmpfs", &[(c"mode", mode)], attributes)?,
    };
    attach(tree, open_below(site.new, at)?)
}

/// A part of the tree mounted on itself, read-only; nothing where this kernel does not have it.
fn read_only_again(site: &Site<'_>, at: &CStr) -> Result<(), i32> {
    let place = match open_below(site.new, at) {
        Err(libc::ENOENT) => return Ok(()),
        place => place?,
    };
    let tree = copy_tree(place, AT_RECURSIVE)?;
    set_attributes(
        tree,
        MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
        AT_RECURSIVE,
    )?;
    attach(tree, place)
}

/// Makes the tree the root, and lets the host's go.
fn enter(site: &Site<'_>) -> Result<(), i32> {
    // SAFETY: changes this process's working directory.
    check_int(unsafe { libc::fchdir(site.new) })?;
    pivot(c".", c".")?;
    // SAFETY: acts on this process's own mount namespace: the scaffold lies on top of the new root here.
    check_int(unsafe { libc::umount2(c".".as_ptr(), libc::MNT_DETACH) })?;
    change_directory(c"/")?;
    [site.old, site.new, site.mask_file, site.mask_directory].into_iter().for_each(close);
    Ok(())
}

/// A new file system with these options and attributes, attached nowhere (fsopen(2), fsmount(2)).
fn file_system(kind: &CStr, options: &[(&CStr, &CStr)], attributes: u64) -> Result<libc::c_int, i32> {
    let context = configured(kind, options)?;
    created(context, attributes)
}

/// A file system in the making, with these options.
fn configured(kind: &CStr, options: &[(&CStr, &CStr)]) -> Result<libc::c_int, i32> {
    // SAFETY: the name is a C string.
    let context = descriptor(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) })?;
    for (key, value) in options {
        let (key, value) = (key.as_ptr(), value.as_ptr());
        // SAFETY: both are C strings.
        let set = unsafe { libc::syscall(libc::SYS_fsconfig, context, FSCONFIG_SET_STRING, key, value, 0) };
        check(set)?;
    }
    Ok(context)
}

/// The file system itself, attached nowhere.
fn created(context: libc::c_int, attributes: u64) -> Result<libc::c_int, i32> {
    // SAFETY: this command takes no key and no value.
    let made = unsafe { libc::syscall(libc::SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NONE, NONE, 0) };
    check(made)?;
    // SAFETY: makes a descriptor, which the caller closes.
    let tree = descriptor(unsafe { libc::syscall(libc::SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes) });
    close(context);
    tree
}

/// A detached copy of the mount at a descriptor.
fn copy_tree(of: libc::c_int, recursive: u32) -> Result<libc::c_int, i32> {
    let flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | recursive;
    // SAFETY: the path is a C string.
    descriptor(unsafe { libc::syscall(libc::SYS_open_tree, of, c"".as_ptr(), flags) })
}

fn set_attributes(of: libc::c_int, set: u64, recursive: u32) -> Result<(), i32> {
    change_attributes(of, MountAttr { set, ..MountAttr::default() }, recursive)
}

fn change_attributes(of: libc::c_int, wanted: MountAttr, recursive: u32) -> Result<(), i32> {
    let (flags, size) = (AT_EMPTY_PATH | recursive, size_of::<MountAttr>());
    // SAFETY: the kernel reads `size` bytes of the structure.
    let done =
        unsafe { libc::syscall(libc::SYS_mount_setattr, of, c"".as_ptr(), flags, &raw const wanted, size) };
    check(done).map(drop)
}

/// Attaches a detached tree on top of a place, and closes both.
fn attach(tree: libc::c_int, place: libc::c_int) -> Result<(), i32> {
    let (empty, flags) = (c"".as_ptr(), MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    // SAFETY: both paths are C strings.
    let done = unsafe { libc::syscall(libc::SYS_move_mount, tree, empty, place, empty, flags) };
    let done = check(done).map(drop);
    close(tree);
    close(place);
    done
}

fn pivot(new: &CStr, old: &CStr) -> Result<(), i32> {
    // SAFETY: both are C strings; acts on this process's own mount namespace.
    check(unsafe { libc::syscall(libc::SYS_pivot_root, new.as_ptr(), old.as_ptr()) }).map(drop)
}

fn change_directory(to: &CStr) -> Result<(), i32> {
    // SAFETY: the path is a C string.
    check_int(unsafe { libc::chdir(to.as_ptr()) }).map(drop)
}

fn make_directory(below: libc::c_int, at: &CStr, mode: u32) -> Result<(), i32> {
    // SAFETY: the path is a C string.
    check_int(unsafe { libc::mkdirat(below, at.as_ptr(), mode) }).map(drop)
}

fn make_file(below: libc::c_int, at: &CStr, mode: u32) -> Result<(), i32> {
    let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY | libc::O_CLOEXEC;
    // SAFETY: the path is a C string; the descriptor is closed at once.
    let file = check_int(unsafe { libc::openat(below, at.as_ptr(), flags, mode) })?;
    close(file);
    Ok(())
}

/// A new file in the scaffold with these bytes, to be read by everyone.
fn write_new(name: &CStr, bytes: &[u8]) -> Result<(), i32> {
    let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY | libc::O_CLOEXEC;
    let mode: libc::c_uint = 0o444;
    // SAFETY: the path is a C string; the descriptor is closed below.
    let file = check_int(unsafe { libc::openat(libc::AT_FDCWD, name.as_ptr(), flags, mode) })?;
    let mut rest = bytes;
    while !rest.is_empty() {
        // SAFETY: the slice is valid for its length.
        let written = unsafe { libc::write(file, rest.as_ptr().cast(), rest.len()) };
        let written = usize::try_from(written).map_err(|_| errno())?;
        rest = rest.get(written..).filter(|_| written > 0).ok_or(libc::EIO)?;
    }
    close(file);
    Ok(())
}

fn give(below: libc::c_int, at: &CStr, [uid, gid]: [u32; 2]) -> Result<(), i32> {
    // SAFETY: the path is a C string.
    let given = unsafe { libc::fchownat(below, at.as_ptr(), uid, gid, libc::AT_SYMLINK_NOFOLLOW) };
    check_int(given).map(drop)
}

/// A directory by its path, links followed: for constants of this crate.
pub(in crate::sys) fn open_root(path: &CStr) -> Result<libc::c_int, i32> {
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: the path is a C string.
    check_int(unsafe { libc::open(path.as_ptr(), flags) })
}

/// Whatever is at a path below a descriptor, reached through no symbolic link (openat2(2)).
pub(in crate::sys) fn open_below(below: libc::c_int, at: &CStr) -> Result<libc::c_int, i32> {
    let flags = libc::O_PATH | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    // SAFETY: all-zero is a valid request.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = flags.cast_unsigned().into();
    how.resolve = libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS;
    let size = size_of::<libc::open_how>();
    // SAFETY: the path is a C string and the kernel reads `size` bytes of the structure.
    descriptor(unsafe { libc::syscall(libc::SYS_openat2, below, at.as_ptr(), &raw const how, size) })
}

/// Whether an open descriptor is a directory's.
pub(in crate::sys) fn is_directory(descriptor: libc::c_int) -> bool {
    // SAFETY: all-zero is a valid structure to be filled.
    let mut found: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills the structure.
    let looked = unsafe { libc::fstat(descriptor, &raw mut found) };
    looked == 0 && found.st_mode & libc::S_IFMT == libc::S_IFDIR
}

fn descriptor(result: libc::c_long) -> Result<libc::c_int, i32> {
    libc::c_int::try_from(check(result)?).map_err(|_| libc::EBADF)
}
