//! Policy to mounts: the file tree that the command sees, as steps in order.
//!
//! Places are visited from the root down. At each the tree already shows something ([`View`]): the host's own place, writable
//! or not, a sealed directory of the sandbox's own, or a private one. A rule adds a step only where it changes that.
//! Steps name places, and `enter` opens each without following a single link, so that nothing can be led elsewhere.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use weir_protocol::AbsPath;
use weir_protocol::policy::{Access, KernelFeature, Request, RuleRef, StandIn};

use super::copied::NoCopy;
use super::refusal::Lack;
use super::{Compiler, contents, copied, devices};
use crate::broker::Guard;
use crate::plan::{Devices, MountStep, Owned, Writable};
use crate::survey::Kind;

/// Mode of directories that lead to granted places and may not be listed. Their maker, who may be without rights over files, makes
/// what is below; then a seal holds them.
pub(super) const PASSAGE: u32 = 0o311;
/// Mode of a private home, and of a private directory for everyone in the sandbox.
const HOME: u32 = 0o700;
const SHARED: u32 = 0o1777;
/// Mode of directories made on the way inside a private one.
const WAY: u32 = 0o755;

/// Parts of `/proc` through which the machine is set, read-only where the rest is not.
pub(super) const PROC_SETTINGS: [&str; 6] =
    ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/acpi"];

/// Parts of `/proc` that tell of the machine's memory, keys and timers.
const PROC_HIDDEN: [&str; 8] = [
    "/proc/kcore",
    "/proc/keys",
    "/proc/key-users",
    "/proc/timer_list",
    "/proc/sched_debug",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/kpagecgroup",
];

/// What the tree shows at a place and below it, down to the next place with a view of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// The host's own.
    Host(Writable),
    /// The host's own, with changes in a copy.
    Copied(Writable),
    /// A sealed directory made for the sandbox.
    Empty,
    /// A private, writable directory.
    Private,
    /// The sandbox's own processes.
    Proc,
    /// Nothing that a rule could open.
    Hidden,
}

/// What is wanted at a place.
#[derive(Debug, Clone, Copy)]
enum Want {
    Access(Access),
    /// What is opened further down, and nothing else: it could not be listed.
    Unlisted,
    Private(StandIn),
    /// A socket, or a directory of sockets, that may be connected to, and nothing more.
    Socket,
    Dev,
    Proc,
}

/// The finished tree.
pub(super) struct Tree {
    pub(super) steps: Vec<MountStep>,
    pub(super) guards: Vec<Guard>,
    /// Where the file of certificates is that shows the sandbox's own authority.
    pub(super) bundle: Option<AbsPath>,
}

/// A tree in the making.
pub(super) struct Builder<'c, 'a> {
    pub(super) compiler: &'c mut Compiler<'a>,
    pub(super) steps: Vec<MountStep>,
    pub(super) views: BTreeMap<AbsPath, View>,
    pub(super) seals: Vec<AbsPath>,
    made: BTreeSet<AbsPath>,
    guards: Guards,
}

pub(super) fn compile(compiler: &mut Compiler<'_>) -> Tree {
    let wants = wants(compiler);
    let mut builder = Builder {
        compiler,
        steps: Vec::new(),
        views: BTreeMap::new(),
        seals: Vec::new(),
        made: BTreeSet::new(),
        guards: Guards::default(),
    };
    builder.root();
    for (at, want) in wants {
        builder.place(&at, want);
    }
    let bundle = contents::show(&mut builder);
    builder.links();
    builder.matches();
    let seals = std::mem::take(&mut builder.seals).into_iter().map(|at| MountStep::Seal { at });
    builder.steps.extend(seals);
    Tree { steps: builder.steps, guards: builder.guards.into_list(), bundle }
}

/// Every place at which something is wanted, the root aside, from the top down.
fn wants(compiler: &Compiler<'_>) -> BTreeMap<AbsPath, Want> {
    let fs = &compiler.filesystem;
    let patterns = !fs.globs().is_empty();
    let mut wants: BTreeMap<AbsPath, Want> = BTreeMap::new();
    for rule in fs.rules().iter().filter(|rule| !rule.path.is_root()) {
        let request = Request::Path { path: &rule.path, operation: weir_protocol::policy::Operation::Read };
        let denied = patterns && matches!(compiler.policy.verdict(&request).rule, RuleRef::Glob(_));
        let access = if denied { Access::None } else { rule.access };
        wants.insert(rule.path.clone(), Want::Access(access));
    }
    // The machine's settings are read-only for everyone.
    let sys = path("/sys");
    let access = compiler.access(&sys).min(Access::Read);
    wants.insert(sys, Want::Access(access));
    wants.extend(fs.private().iter().map(|private| (private.path.clone(), Want::Private(private.kind))));
    for rule in compiler.policy.network().unix_sockets.iter().filter(|rule| rule.allow) {
        wants.entry(rule.path.clone()).or_insert(Want::Socket);
    }
    let unlisted = compiler.facts.survey.closed.iter().map(|found| &found.path);
    let ways = if compiler.facts.survey.closed.is_empty() { HashSet::new() } else { ways(compiler) };
    let unlisted = unlisted.filter(|at| ways.contains(at.as_bytes()));
    wants.extend(unlisted.map(|at| (at.clone(), Want::Unlisted)));
    wants.insert(path("/dev"), Want::Dev);
    wants.insert(path("/proc"), Want::Proc);
    wants
}

/// What rules open somewhere.
fn opened<'c>(compiler: &'c Compiler<'_>) -> impl Iterator<Item = &'c AbsPath> {
    let fs = &compiler.filesystem;
    let rules = fs.rules().iter().filter(|rule| rule.access > Access::None).map(|rule| &rule.path);
    let sockets = compiler.policy.network().unix_sockets.iter().filter(|rule| rule.allow);
    let private = fs.private().iter().map(|private| &private.path);
    rules.chain(private).chain(sockets.map(|rule| &rule.path))
}

/// The directories above that.
fn ways<'c>(compiler: &'c Compiler<'_>) -> HashSet<&'c [u8]> {
    opened(compiler).flat_map(|path| path.ancestors().skip(1)).collect()
}

impl Builder<'_, '_> {
    fn root(&mut self) {
        let root = AbsPath::root();
        let view = match self.compiler.access(&root) {
            Access::Copy => return copied::refuse(self.compiler, &root, NoCopy::Root),
            Access::None => {
                self.steps.push(MountStep::Tmpfs { at: root.clone(), mode: PASSAGE, owned: Owned::ByMaker });
                self.seals.push(root.clone());
                View::Empty
            }
            access => {
                let writable = writable(access);
                self.steps.push(MountStep::Bind { at: root.clone(), writable, devices: Devices::Inert });
                View::Host(writable)
            }
        };
        self.views.insert(root, view);
    }

    fn place(&mut self, at: &AbsPath, want: Want) {
        if self.kind(at) == Some(Kind::Symlink) {
            return;
        }
        match want {
            Want::Dev => devices::directory(self),
            Want::Proc => self.proc(at),
            Want::Private(kind) => self.private(at, kind),
            Want::Socket if matches!(self.view(at), View::Empty | View::Private) => {
                self.open(at, Writable::No);
            }
            Want::Socket => {}
            Want::Access(access) => self.access(at, access),
            Want::Unlisted if matches!(self.view(at), View::Host(_)) => {
                self.pin(at);
                self.empty(at);
            }
            // Nothing of it is shown, or it is covered like what a pattern denies.
            Want::Unlisted => {}
        }
    }

    /// What the tree shows at `at` so far.
    pub(super) fn view(&self, at: &AbsPath) -> View {
        at.ancestors().find_map(|path| self.views.get(path)).copied().unwrap_or(View::Empty)
    }

    pub(super) fn kind(&self, at: &AbsPath) -> Option<Kind> {
        // Nobody need have written a rule for `/sys`, so nobody may have looked at it.
        let known = self.compiler.facts.survey.places.get(at).copied();
        known.or_else(|| (at.as_bytes() == b"/sys").then_some(Kind::Directory))
    }

    fn access(&mut self, at: &AbsPath, access: Access) {
        let dev = at.as_bytes().starts_with(b"/dev/");
        match (self.view(at), access) {
            (View::Host(around) | View::Copied(around), Access::None) => self.close(at, around),
            (View::Empty | View::Private | View::Hidden, Access::None) => {}
            (View::Hidden, _) => {}
            (View::Empty, _) if dev => devices::device(self, at),
            (View::Host(_) | View::Empty | View::Private, Access::Copy) => copied::show(self, at),
            (View::Host(around), _) if writable(access) == around => {}
            (View::Copied(around), Access::Read | Access::Copy) if writable(access) == around => {}
            (View::Copied(_), Access::Read | Access::Copy) => {
                self.remount(at, View::Copied(writable(access)))
            }
            (View::Host(_) | View::Copied(_), _) => self.remount(at, View::Host(writable(access))),
            (View::Empty | View::Private, _) => self.open(at, writable(access)),
            (View::Proc, _) => self.inside_proc(at, access),
        }
    }

    /// Shows the host's place inside a directory of the sandbox's own.
    fn open(&mut self, at: &AbsPath, writable: Writable) {
        if self.mount_point(at) {
            self.steps.push(MountStep::Bind { at: at.clone(), writable, devices: Devices::Inert });
            self.views.insert(at.clone(), View::Host(writable));
        }
    }

    /// Changes how a place that the tree shows already can be written.
    fn remount(&mut self, at: &AbsPath, view: View) {
        match self.kind(at) {
            None | Some(Kind::Unreadable(_)) => {}
            Some(Kind::Missing) if matches!(view, View::Host(Writable::No) | View::Copied(Writable::No)) => {
                self.guards.add(at);
            }
            Some(Kind::Missing) => {
                self.compiler.remarks.push(format!("{at} does not exist, so nothing can be written there"));
            }
            Some(_) => {
                self.pin(at);
                self.mount(at, view);
            }
        }
    }

    /// Mounts a place of the host, or of a copy that the tree shows, where it is.
    fn mount(&mut self, at: &AbsPath, view: View) {
        let at = at.clone();
        self.steps.push(match view {
            View::Copied(writable) => MountStep::Again { at: at.clone(), writable },
            View::Host(writable) => MountStep::Bind { at: at.clone(), writable, devices: Devices::Inert },
            View::Empty | View::Private | View::Proc | View::Hidden => return,
        });
        self.views.insert(at, view);
    }

    /// Takes a place of the host out of reach, which the tree shows so far.
    fn close(&mut self, at: &AbsPath, around: Writable) {
        let kind = self.kind(at);
        match kind {
            Some(Kind::Missing) => {
                if around == Writable::Yes {
                    self.guards.add(at);
                }
                return;
            }
            None | Some(Kind::Symlink | Kind::Unreadable(_)) => return,
            Some(_) => {}
        }
        self.pin(at);
        if kind == Some(Kind::Directory) && self.opens_below(at) {
            return self.empty(at);
        }
        self.mask(at, kind == Some(Kind::Directory));
    }

    /// Shows nothing in a directory of the host but what is opened further down.
    fn empty(&mut self, at: &AbsPath) {
        self.steps.push(MountStep::Tmpfs { at: at.clone(), mode: PASSAGE, owned: Owned::ByMaker });
        self.seals.push(at.clone());
        self.views.insert(at.clone(), View::Empty);
    }

    fn mask(&mut self, at: &AbsPath, directory: bool) {
        self.steps.push(match directory {
            true => MountStep::MaskDirectory { at: at.clone() },
            false => MountStep::MaskFile { at: at.clone() },
        });
        self.views.insert(at.clone(), View::Hidden);
    }

    /// Whether a rule below `at` opens something again.
    fn opens_below(&self, at: &AbsPath) -> bool {
        opened(self.compiler).any(|path| path != at && path.starts_with(at))
    }

    /// Makes each directory between the nearest mount and `at` a mount of its own, where it can be written: the command
    /// could otherwise move one away with all that is mounted below it, and put its own in the place.
    pub(super) fn pin(&mut self, at: &AbsPath) {
        let view = self.view(at);
        if !matches!(view, View::Host(Writable::Yes) | View::Copied(Writable::Yes)) {
            return;
        }
        let mut between = Vec::new();
        let mut next = at.parent();
        while let Some(path) = next.filter(|path| !self.views.contains_key(path)) {
            next = path.parent();
            between.push(path);
        }
        for path in between.into_iter().rev() {
            self.mount(&path, view);
        }
    }

    fn private(&mut self, at: &AbsPath, kind: StandIn) {
        let mode = if kind == StandIn::Home { HOME } else { SHARED };
        match self.view(at) {
            View::Hidden | View::Proc => return,
            View::Host(_) | View::Copied(_) if self.kind(at) != Some(Kind::Directory) => return,
            View::Host(_) | View::Copied(_) => self.pin(at),
            View::Empty | View::Private => self.passage(at, Some(mode)),
        }
        self.steps.push(MountStep::Tmpfs { at: at.clone(), mode, owned: Owned::ByCommand });
        self.views.insert(at.clone(), View::Private);
    }

    /// Makes something to mount on at `at`, where the tree shows a directory of the sandbox's own; whether there is something.
    pub(super) fn mount_point(&mut self, at: &AbsPath) -> bool {
        let made_here = matches!(self.view(at), View::Empty | View::Private);
        match self.kind(at) {
            _ if !made_here => {}
            Some(Kind::Missing | Kind::Symlink | Kind::Unreadable(_)) => return false,
            None | Some(Kind::Directory) => self.passage(at, Some(PASSAGE)),
            Some(_) => {
                self.passage_above(at);
                if self.made.insert(at.clone()) {
                    self.steps.push(MountStep::File { at: at.clone() });
                }
            }
        }
        true
    }

    fn passage_above(&mut self, at: &AbsPath) {
        if let Some(parent) = at.parent() {
            self.passage(&parent, None);
        }
    }

    /// Makes the directories that lead to `at`, and `at` itself.
    fn passage(&mut self, at: &AbsPath, mode: Option<u32>) {
        let mut missing = Vec::new();
        let mut next = Some(at.clone());
        while let Some(path) = next.filter(|path| !self.views.contains_key(path) && !self.made.contains(path))
        {
            next = path.parent();
            missing.push(path);
        }
        for path in missing.into_iter().rev() {
            let view = self.view(&path);
            let (way, owned) = match view {
                View::Private => (WAY, Owned::ByCommand),
                _ => (PASSAGE, Owned::ByMaker),
            };
            let mode = mode.filter(|_| path == *at).unwrap_or(way);
            self.made.insert(path.clone());
            self.steps.push(MountStep::Directory { at: path, mode, owned });
        }
    }

    /// Makes a symbolic link in a directory of the sandbox's own.
    pub(super) fn link(&mut self, at: AbsPath, target: Vec<u8>) {
        if self.views.contains_key(&at) || self.made.contains(&at) {
            return;
        }
        self.passage_above(&at);
        self.made.insert(at.clone());
        self.steps.push(MountStep::Link { at, target });
    }

    /// Links of the host on the way to granted places, where the tree does not show the host's own.
    fn links(&mut self) {
        let links = self.compiler.facts.survey.passages.clone();
        for (at, target) in links {
            let dev = at.as_bytes().starts_with(b"/dev/");
            if !dev && matches!(self.view(&at), View::Empty | View::Private) {
                self.link(at, target);
            }
        }
    }

    /// What patterns deny, at start, the directories that could not be listed, in which they could match, and what in a copy is another
    /// name of something closed, or may hold one.
    fn matches(&mut self) {
        let survey = self.compiler.facts.survey;
        let matches = survey.matches.iter().map(|found| (found, found.kind == Kind::Directory));
        let unlisted = survey.closed.iter().map(|found| (found, true));
        for (found, is_directory) in matches.chain(unlisted) {
            if matches!(self.view(&found.path), View::Host(_) | View::Copied(_))
                && found.kind != Kind::Symlink
            {
                self.mask(&found.path, is_directory);
            }
        }
        let untold = survey.untold.iter().map(|path| (path, true));
        for (path, is_directory) in untold.chain(survey.further.iter().map(|path| (path, false))) {
            if matches!(self.view(path), View::Copied(_)) {
                self.mask(path, is_directory);
            }
        }
    }

    fn proc(&mut self, at: &AbsPath) {
        if self.compiler.access(at) == Access::None {
            if matches!(self.view(at), View::Host(_) | View::Copied(_)) {
                self.mask(at, true);
            }
            return;
        }
        self.mount_point(at);
        let nested = self.compiler.opens(KernelFeature::NestedUserNamespaces);
        let writable = if nested { Writable::Yes } else { Writable::No };
        self.steps.push(MountStep::Proc { writable });
        self.views.insert(at.clone(), View::Proc);
        if nested {
            let settings = PROC_SETTINGS.iter().map(|name| MountStep::ProcReadOnly { at: path(name) });
            self.steps.extend(settings);
        }
        self.steps.extend(PROC_HIDDEN.iter().map(|name| MountStep::MaskFile { at: path(name) }));
    }

    fn inside_proc(&mut self, at: &AbsPath, access: Access) {
        match (access, self.kind(at)) {
            (Access::None, Some(Kind::Directory)) => self.mask(at, true),
            (Access::None, Some(Kind::File)) => self.mask(at, false),
            (Access::None | Access::Read, _) => {}
            (Access::Copy | Access::Write, _) => {
                let rule = self.compiler.origin(at);
                self.compiler.lacks.push(Lack::InsideProc { path: at.clone(), rule });
            }
        }
    }
}

/// Names that must not come into being, by directory.
#[derive(Debug, Default)]
pub(super) struct Guards(BTreeMap<AbsPath, Vec<Vec<u8>>>);

impl Guards {
    pub(super) fn add(&mut self, path: &AbsPath) {
        if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
            self.0.entry(parent).or_default().push(name.to_vec());
        }
    }

    pub(super) fn into_list(self) -> Vec<Guard> {
        self.0.into_iter().map(|(parent, names)| Guard { parent, names }).collect()
    }
}

const fn writable(access: Access) -> Writable {
    match access {
        Access::Copy | Access::Write => Writable::Yes,
        Access::None | Access::Read => Writable::No,
    }
}

/// A path that is a constant of this crate.
pub(super) fn path(text: &str) -> AbsPath {
    AbsPath::parse(text).unwrap_or_else(|_| AbsPath::root())
}
