//! One walk over everything that the patterns and the search for repositories have in common, then a second one where a
//! denied file has further names.
//!
//! Directories are opened one name at a time below an open directory, never through a link, and listed only where names
//! cannot be told beforehand. Descriptors and memory are bounded, whatever the tree looks like. What vanishes meanwhile was
//! not there; what refuses to be read is named. Called by `Survey::take`.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::rc::Rc;

use weir_protocol::AbsPath;
use weir_protocol::path::{MAX_COMPONENT_BYTES, MAX_PATH_BYTES};
use weir_protocol::policy::{Access, Filesystem, Policy};

use super::closed;
use super::grants::{Grants, Standing};
use super::links::{Targets, Trust, trust};
use super::{Kind, MAX_ENTRIES, MAX_MATCHES, MAX_WAITING, Match, Survey, SurveyError};
use crate::pattern::{Outcome, Patterns, State};
use crate::sys::walk::{self, Entry, FileType, Opening, Status};

/// Most directories held open at one time; those above are opened again when the walk returns to them.
const MAX_HELD: usize = 64;

/// Bytes read from a directory at once: some thousand entries.
const BUFFER_BYTES: usize = 64 * 1024;

/// The name that makes its directory a repository.
pub(super) const GIT: &[u8] = b".git";

/// Trees of the kernel, which hold no files of anyone.
const KERNEL_TREES: [&[u8]; 3] = [b"proc", b"sys", b"dev"];

/// Walks for a policy; `places` stays empty.
pub(super) fn walk(policy: &Policy) -> Result<Survey, SurveyError> {
    let filesystem = policy.filesystem();
    let mut walk = Walk::new(filesystem);
    walk.run()?;
    if walk.targets.settle() {
        walk.pass = Pass::Links;
        walk.entries = 0;
        walk.run()?;
    }
    let mut survey = walk.survey;
    survey.matches.sort();
    survey.matches.dedup_by(|a, b| a.path == b.path);
    survey.repositories.sort();
    survey.repositories.dedup();
    survey.closed.sort();
    survey.closed.dedup_by(|a, b| a.path == b.path);
    survey.unreadable.sort();
    survey.unreadable.dedup_by(|a, b| a.0 == b.0);
    Ok(survey)
}

/// What a walk is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// Matches and repositories.
    Survey,
    /// Further names of denied files.
    Links,
}

/// In what kind of tree a directory lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    /// One in which repositories are looked for.
    Open,
    /// A repository's own files, in which there are none.
    Git,
    /// One that this rule denies: its files may have names elsewhere.
    Denied(usize),
}

/// A directory to be walked.
#[derive(Debug, Clone)]
struct Waiting {
    name: CString,
    state: Rc<State>,
    standing: Standing,
    within: Within,
}

/// A directory being walked.
#[derive(Debug)]
struct Frame {
    /// Absent while too many others are open.
    directory: Option<OwnedFd>,
    /// Length of its path in [`Walk::path`].
    path_bytes: usize,
    waiting: Vec<Waiting>,
}

/// A directory while its entries are looked at.
#[derive(Debug, Clone, Copy)]
struct At<'a> {
    directory: BorrowedFd<'a>,
    of: &'a Waiting,
    trust: Trust,
}

struct Walk<'p> {
    filesystem: &'p Filesystem,
    grants: Grants,
    patterns: Patterns,
    targets: Targets,
    pass: Pass,
    frames: Vec<Frame>,
    held: usize,
    waiting: usize,
    /// The path of the directory being looked at; empty for `/`.
    path: Vec<u8>,
    buffer: Vec<u8>,
    /// Entries looked at in this pass.
    entries: u64,
    survey: Survey,
}

/// What an error number means for a walk.
enum Trouble {
    /// It is gone, or no directory any more.
    Gone,
    /// It cannot be read.
    Closed(i32),
    /// The launcher itself has run out of something.
    Exhausted(i32),
}

impl Trouble {
    fn of(errno: i32) -> Self {
        match errno {
            libc::ENOENT | libc::ENOTDIR | libc::ELOOP => Self::Gone,
            libc::EMFILE | libc::ENFILE | libc::ENOMEM => Self::Exhausted(errno),
            _ => Self::Closed(errno),
        }
    }
}

impl<'p> Walk<'p> {
    fn new(filesystem: &'p Filesystem) -> Self {
        Self {
            filesystem,
            grants: Grants::new(filesystem),
            patterns: Patterns::new(filesystem.globs()),
            targets: Targets::default(),
            pass: Pass::Survey,
            frames: Vec::new(),
            held: 0,
            waiting: 0,
            path: Vec::new(),
            buffer: vec![0; BUFFER_BYTES],
            entries: 0,
            survey: Survey::default(),
        }
    }

    fn run(&mut self) -> Result<(), SurveyError> {
        let (state, standing) = (self.patterns.start(), self.grants.start());
        if state.is_empty() && !self.grants.most(standing).writes() {
            return Ok(());
        }
        self.visit(&Waiting { name: CString::default(), state, standing, within: Within::Open })?;
        while let Some(frame) = self.frames.last_mut() {
            if self.pass == Pass::Links && self.targets.is_complete() {
                break;
            }
            let Some(next) = frame.waiting.pop() else {
                self.leave();
                continue;
            };
            self.waiting -= 1;
            self.path.truncate(frame.path_bytes);
            self.path.push(b'/');
            self.path.extend_from_slice(next.name.to_bytes());
            self.visit(&next)?;
        }
        self.frames.clear();
        (self.held, self.waiting) = (0, 0);
        self.path.clear();
        Ok(())
    }

    fn leave(&mut self) {
        if self.frames.pop().is_some_and(|frame| frame.directory.is_some()) {
            self.held -= 1;
        }
    }

    /// Opens the directory at [`Walk::path`], looks at its entries, and makes those that are to be walked wait.
    fn visit(&mut self, next: &Waiting) -> Result<(), SurveyError> {
        let (listed, opened) = if self.is_listed(next) {
            match self.open(next, Opening::Listing) {
                // A name that is known can be looked up in a directory that cannot be listed.
                Err(Trouble::Closed(errno)) => {
                    self.closed(next, errno);
                    (false, self.open(next, Opening::Lookup))
                }
                opened => (true, opened),
            }
        } else {
            (false, self.open(next, Opening::Lookup))
        };
        let directory = match opened {
            Ok(directory) => directory,
            Err(trouble) => return self.refused(next, &trouble),
        };
        let inodes = if self.pass == Pass::Links { trust(directory.as_fd()) } else { Trust::Inodes };
        let at = At { directory: directory.as_fd(), of: next, trust: inodes };
        let waiting = if listed { self.list(at)? } else { self.look_up(at)? };
        if !waiting.is_empty() {
            self.hold(directory, waiting);
        }
        Ok(())
    }

    /// Whether the entries that matter can only be told by listing the directory.
    fn is_listed(&self, next: &Waiting) -> bool {
        let searched = next.within == Within::Open && next.standing.access.writes();
        match next.within {
            Within::Denied(_) => true,
            // Nothing is granted but at the rules further down, whose names are known.
            _ if next.standing.access == Access::None => false,
            _ => searched || next.state.needs_listing(),
        }
    }

    fn open(&mut self, next: &Waiting, opening: Opening) -> Result<OwnedFd, Trouble> {
        let Some(parent) = self.frames.len().checked_sub(1) else {
            return walk::open_root(opening).map_err(Trouble::of);
        };
        if self.frames[parent].directory.is_none() {
            self.reopen()?;
        }
        let Some(directory) = &self.frames[parent].directory else { return Err(Trouble::Gone) };
        walk::open_directory(directory.as_fd(), &next.name, opening).map_err(Trouble::of)
    }

    /// Opens the last frame's directory again, and on the way some above it, to which the walk returns next.
    fn reopen(&mut self) -> Result<(), Trouble> {
        let Some(frame) = self.frames.last() else { return Ok(()) };
        let path = self.path[..frame.path_bytes].to_vec();
        let first = self.frames.len().saturating_sub(MAX_HELD / 2);
        let mut directory = walk::open_root(Opening::Lookup).map_err(Trouble::of)?;
        let mut end = 0;
        for name in path.split(|byte| *byte == b'/').skip(1) {
            end += name.len() + 1;
            let name = CString::new(name).map_err(|_| Trouble::Gone)?;
            let below =
                walk::open_directory(directory.as_fd(), &name, Opening::Lookup).map_err(Trouble::of)?;
            let above = std::mem::replace(&mut directory, below);
            self.keep(first, end - name.as_bytes().len() - 1, above);
        }
        self.keep(first, end, directory);
        Ok(())
    }

    /// Gives an open directory to the frame with a path of this length, if that is among those from `first` on.
    fn keep(&mut self, first: usize, path_bytes: usize, directory: OwnedFd) {
        let frame = self.frames.binary_search_by_key(&path_bytes, |frame| frame.path_bytes);
        let Ok(index) = frame else { return };
        if index >= first && self.frames[index].directory.replace(directory).is_none() {
            self.held += 1;
        }
    }

    fn hold(&mut self, directory: OwnedFd, waiting: Vec<Waiting>) {
        // Frames that nothing waits in are not returned to.
        while self.frames.last().is_some_and(|frame| frame.waiting.is_empty()) {
            self.leave();
        }
        if self.held >= MAX_HELD
            && let Some(frame) = self.frames.iter_mut().find(|frame| frame.directory.is_some())
        {
            frame.directory = None;
            self.held -= 1;
        }
        self.waiting += waiting.len();
        self.held += 1;
        self.frames.push(Frame { directory: Some(directory), path_bytes: self.path.len(), waiting });
    }

    fn refused(&mut self, next: &Waiting, trouble: &Trouble) -> Result<(), SurveyError> {
        match trouble {
            Trouble::Gone => Ok(()),
            Trouble::Closed(errno) => {
                self.closed(next, *errno);
                Ok(())
            }
            Trouble::Exhausted(errno) => Err(SurveyError::Exhausted { path: self.here(), errno: *errno }),
        }
    }

    /// Names a directory that cannot be searched. In what is denied as a whole, nothing is lost by it.
    fn closed(&mut self, next: &Waiting, errno: i32) {
        if self.pass == Pass::Links || matches!(next.within, Within::Denied(_)) {
            return;
        }
        let path = self.here();
        if let Some(rule) = next.state.first_rule() {
            self.survey.closed.push(Match { path: path.clone(), kind: Kind::Unreadable(errno), rule });
        }
        self.survey.unreadable.push((path, errno));
    }

    /// The directory being looked at.
    fn here(&self) -> AbsPath {
        AbsPath::parse(&self.path).unwrap_or_else(|_| AbsPath::root())
    }

    fn list(&mut self, at: At<'_>) -> Result<Vec<Waiting>, SurveyError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut waiting = Vec::new();
        let result = loop {
            match walk::read_entries(at.directory, &mut buffer) {
                Ok(0) => break Ok(()),
                Ok(filled) => {
                    let mut entries = walk::entries(&buffer[..filled]);
                    if let Err(error) = entries.try_for_each(|entry| self.consider(at, entry, &mut waiting)) {
                        break Err(error);
                    }
                }
                Err(errno) => break self.refused(at.of, &Trouble::of(errno)),
            }
        };
        self.buffer = buffer;
        result.map(|()| waiting)
    }

    /// Looks at the entries whose names are known.
    fn look_up(&mut self, at: At<'_>) -> Result<Vec<Waiting>, SurveyError> {
        let mut names: BTreeSet<CString> = BTreeSet::new();
        let name = |name: &[u8]| CString::new(name).ok();
        if at.of.standing.access > Access::None {
            names.extend(at.of.state.literals().filter_map(name));
        }
        names.extend(self.grants.names(at.of.standing).filter_map(name));
        let mut waiting = Vec::new();
        for name in &names {
            let Ok(status) = walk::status(at.directory, name) else { continue };
            let entry = Entry { name, file_type: status.file_type, inode: status.inode };
            self.consider(at, entry, &mut waiting)?;
        }
        Ok(waiting)
    }

    fn consider(
        &mut self,
        at: At<'_>,
        entry: Entry<'_>,
        waiting: &mut Vec<Waiting>,
    ) -> Result<(), SurveyError> {
        self.count(at.of, waiting.len())?;
        if let Within::Denied(rule) = at.of.within {
            self.inside_denied(at, entry, rule, waiting);
            return Ok(());
        }
        let name = entry.name.to_bytes();
        let standing = self.grants.step(at.of.standing, name);
        let most = self.grants.most(standing);
        if most == Access::None {
            return Ok(());
        }
        let open = match self.patterns.step(&at.of.state, name) {
            Outcome::Matched(rule) => return self.matched(at, entry, rule, waiting),
            Outcome::Open(open) => open,
        };
        let file_type = told(at, entry);
        if self.pass == Pass::Links && file_type == FileType::File {
            self.compare(at, entry)?;
        }
        let in_open = at.of.within == Within::Open;
        if name == GIT && in_open && at.of.standing.access.writes() && can_be_git(file_type) {
            self.repository();
        }
        if file_type != FileType::Directory || self.path.is_empty() && KERNEL_TREES.contains(&name) {
            return Ok(());
        }
        let state = self.patterns.next(&at.of.state, open);
        let within = if name == GIT { Within::Git } else { at.of.within };
        if state.is_empty() && (within != Within::Open || !most.writes()) {
            return Ok(());
        }
        self.wait(at.of, Waiting { name: entry.name.to_owned(), state, standing, within }, waiting);
        Ok(())
    }

    fn count(&mut self, of: &Waiting, more: usize) -> Result<(), SurveyError> {
        self.entries += 1;
        self.survey.looked_at += 1;
        if self.entries > MAX_ENTRIES || self.waiting + more > MAX_WAITING {
            return Err(self.too_large(of));
        }
        Ok(())
    }

    /// Names the rule for whose sake the walk is where it is.
    fn too_large(&self, of: &Waiting) -> SurveyError {
        let limit = if self.entries > MAX_ENTRIES { MAX_ENTRIES } else { MAX_WAITING as u64 };
        let glob = of.state.first_rule().and_then(|rule| self.filesystem.globs().get(rule));
        let path = of.standing.rule.and_then(|rule| self.filesystem.rules().get(rule));
        match (glob, path) {
            (Some(glob), _) => SurveyError::TooManyEntries {
                below: glob.pattern.base(),
                rule: Box::new(glob.origin.clone()),
                limit,
            },
            (None, Some(rule)) => SurveyError::TooManyEntries {
                below: rule.path.clone(),
                rule: Box::new(rule.origin.clone()),
                limit,
            },
            (None, None) => SurveyError::Exhausted { path: self.here(), errno: libc::E2BIG },
        }
    }

    /// A match: nothing below it can be reached, but its files may have names elsewhere.
    fn matched(
        &mut self,
        at: At<'_>,
        entry: Entry<'_>,
        rule: usize,
        waiting: &mut Vec<Waiting>,
    ) -> Result<(), SurveyError> {
        if self.pass == Pass::Links {
            return Ok(());
        }
        let mut file_type = entry.file_type;
        if matches!(file_type, FileType::File | FileType::Untold) {
            match walk::status(at.directory, entry.name) {
                Ok(status) => {
                    file_type = status.file_type;
                    self.denied(at, entry, status, rule);
                }
                Err(libc::ENOENT) => return Ok(()),
                Err(_) => {}
            }
        }
        if file_type == FileType::Directory {
            let below = Waiting {
                name: entry.name.to_owned(),
                state: Rc::new(State::default()),
                standing: at.of.standing,
                within: Within::Denied(rule),
            };
            self.wait(at.of, below, waiting);
        }
        self.add_match(at, entry, kind_of(file_type), rule)
    }

    fn add_match(
        &mut self,
        at: At<'_>,
        entry: Entry<'_>,
        kind: Kind,
        rule: usize,
    ) -> Result<(), SurveyError> {
        let Some(path) = self.path_of(entry.name.to_bytes()) else {
            self.closed(at.of, libc::ENAMETOOLONG);
            return Ok(());
        };
        self.survey.matches.push(Match { path, kind, rule });
        if self.survey.matches.len() > MAX_MATCHES {
            let origin = self.filesystem.globs().get(rule).map(|glob| glob.origin.clone());
            return Err(origin.map_or_else(
                || self.too_large(at.of),
                |origin| SurveyError::TooManyMatches { rule: Box::new(origin), limit: MAX_MATCHES },
            ));
        }
        Ok(())
    }

    fn inside_denied(&mut self, at: At<'_>, entry: Entry<'_>, rule: usize, waiting: &mut Vec<Waiting>) {
        match told(at, entry) {
            FileType::Directory => {
                self.wait(at.of, Waiting { name: entry.name.to_owned(), ..at.of.clone() }, waiting);
            }
            FileType::File => {
                if let Ok(status) = walk::status(at.directory, entry.name) {
                    self.denied(at, entry, status, rule);
                }
            }
            _ => {}
        }
    }

    fn denied(&mut self, at: At<'_>, entry: Entry<'_>, status: Status, rule: usize) {
        self.targets.denied(status, rule);
        if self.pass == Pass::Survey && status.file_type == FileType::File {
            closed::take_in(&mut self.survey.closed_files, at.directory, entry.name);
        }
    }

    /// A file under a name that no pattern matches: perhaps one that is denied under another.
    fn compare(&mut self, at: At<'_>, entry: Entry<'_>) -> Result<(), SurveyError> {
        if !self.targets.may_be(&entry, at.trust) {
            return Ok(());
        }
        match self.targets.found(at.directory, entry.name) {
            Some(rule) => self.add_match(at, entry, Kind::File, rule),
            None => Ok(()),
        }
    }

    fn repository(&mut self) {
        let here = self.here();
        if self.pass == Pass::Survey && !super::repository::is_protected_top(self.filesystem, &here) {
            self.survey.repositories.push(here);
        }
    }

    /// Makes a directory wait, unless its path is longer than a path can be: then the one that holds it was not searched.
    fn wait(&mut self, of: &Waiting, next: Waiting, waiting: &mut Vec<Waiting>) {
        if self.fits(next.name.to_bytes()) {
            waiting.push(next);
        } else {
            self.closed(of, libc::ENAMETOOLONG);
        }
    }

    fn path_of(&self, name: &[u8]) -> Option<AbsPath> {
        if !self.fits(name) {
            return None;
        }
        AbsPath::parse([self.path.as_slice(), b"/", name].concat()).ok()
    }

    fn fits(&self, name: &[u8]) -> bool {
        self.path.len() + 1 + name.len() <= MAX_PATH_BYTES && name.len() <= MAX_COMPONENT_BYTES
    }
}

/// What an entry is, asked for where the file system does not tell.
fn told(at: At<'_>, entry: Entry<'_>) -> FileType {
    match entry.file_type {
        FileType::Untold => {
            walk::status(at.directory, entry.name).map_or(FileType::Untold, |status| status.file_type)
        }
        told => told,
    }
}

fn can_be_git(file_type: FileType) -> bool {
    matches!(file_type, FileType::Directory | FileType::File | FileType::Symlink)
}

fn kind_of(file_type: FileType) -> Kind {
    match file_type {
        FileType::Directory => Kind::Directory,
        FileType::File => Kind::File,
        FileType::Symlink => Kind::Symlink,
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        FileType::Device => Kind::Device,
        FileType::Untold => Kind::Unreadable(libc::EIO),
    }
}
