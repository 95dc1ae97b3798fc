//! Metadata at the top of writable roots: what a program of the host would later execute or trust is read-only.
//!
//! The repository at the top of a root decides what stands for `.git`: its trusted files where it is a directory, the name as
//! a whole where there is none or where it is a file. Called by `resolve`, after every written rule has its place.

use weir_protocol::AbsPath;
use weir_protocol::policy::{Access, Filesystem, Origin, PathRule, Sourced};
use weir_protocol::profile::Profile;
use weir_protocol::profile::read::{PROTECTED_NAMES, REPOSITORY_NAME, WORKTREE_NAMES};

use super::worktree::Worktree;
use super::{Resolver, Terrain, is_device, submodule, worktree};

/// What stands at `.git` at the top of a root.
enum Repository {
    /// A directory, perhaps behind a link.
    Directory,
    /// Nothing.
    Missing,
    /// A file with this content, or something else that git cannot use.
    File(Vec<u8>),
}

/// The names inside a repository's own directory, without `.git/`.
fn inner_names() -> impl Iterator<Item = (&'static str, &'static str)> {
    PROTECTED_NAMES.into_iter().filter_map(|name| Some((name, name.strip_prefix(".git/")?)))
}

fn is_inner(name: &str) -> bool {
    name.starts_with(".git/")
}

/// Where a name is protected, and why.
struct Protection<'p> {
    root: &'p AbsPath,
    switch: Option<&'p Sourced<bool>>,
    /// Why, where no switch says so.
    reason: String,
}

impl<T: Terrain> Resolver<'_, T> {
    /// Metadata at the top of each writable root is read-only, unless a rule of the profile lies between.
    pub(super) fn protect(&mut self, profile: &Profile, roots: &[AbsPath]) {
        let written = self.filesystem();
        let (mut linked, mut whole) = (Vec::new(), Vec::new());
        for root in tops(&written, roots) {
            let repository = self.repository(&root);
            for name in PROTECTED_NAMES {
                if name == REPOSITORY_NAME {
                    self.protect_repository(profile, &written, &root, &repository);
                } else if !is_inner(name) || matches!(repository, Repository::Directory) {
                    let reason = format!("`{name}` in a writable root is protected");
                    let switch = profile.protected.get(name);
                    self.protect_name(&written, name, &Protection { root: &root, switch, reason });
                }
            }
            match repository {
                Repository::File(text) => linked.push((root, text)),
                Repository::Directory => whole.push(root),
                Repository::Missing => {}
            }
        }
        for root in whole {
            if let Ok(git) = root.join(REPOSITORY_NAME) {
                self.open_submodules(profile, &written, &git);
            }
        }
        for (root, text) in linked {
            self.link_worktree(profile, &root, &text);
        }
    }

    fn repository(&mut self, root: &AbsPath) -> Repository {
        let Ok(git) = root.join(REPOSITORY_NAME) else { return Repository::Missing };
        let real = self.walker.follow(&git).real;
        let terrain = self.walker.terrain();
        if terrain.is_directory(&real) {
            Repository::Directory
        } else if let Some(text) = terrain.read_small(&git) {
            Repository::File(text)
        } else if terrain.exists(&git) {
            Repository::File(Vec::new())
        } else {
            Repository::Missing
        }
    }

    /// `.git` itself: where there is no repository none is made, and a file or a link that leads to one stays.
    fn protect_repository(
        &mut self,
        profile: &Profile,
        written: &Filesystem,
        root: &AbsPath,
        repository: &Repository,
    ) {
        let Ok(git) = root.join(REPOSITORY_NAME) else { return };
        let (switch, reason) = match repository {
            Repository::Missing => (
                profile.protected.get(REPOSITORY_NAME),
                "no repository is made at the top of a writable root",
            ),
            Repository::File(_) => (None, "a `.git` file leads to what git on the host trusts"),
            Repository::Directory if self.walker.follow(&git).links.contains(&git) => {
                (None, "a `.git` link leads to what git on the host trusts")
            }
            Repository::Directory => return,
        };
        let protection = Protection { root, switch, reason: reason.to_owned() };
        if let Some(rule) = protection.rule(written, &git) {
            self.rules.push(rule);
        }
    }

    fn protect_name(&mut self, written: &Filesystem, name: &str, protection: &Protection<'_>) {
        let Ok(path) = protection.root.join(name) else { return };
        let Some(rule) = protection.rule(written, &path) else { return };
        if rule.access == Access::Read {
            self.protect_linked(written, &path, &rule.origin);
        }
        self.rules.push(rule);
    }

    /// Where a name of protected metadata, or a directory above it, is a symbolic link, what it leads to is what a
    /// host-side tool would trust. A rule that was written for that very place still opens it.
    fn protect_linked(&mut self, written: &Filesystem, path: &AbsPath, origin: &Origin) {
        let real = self.walker.follow(path).real;
        if real != *path && written.access(&real).writes() && written.rule_at(&real).is_none() {
            let (via, origin) = (Some(path.clone()), origin.clone());
            self.rules.push(PathRule {
                path: real,
                access: Access::Read,
                origin,
                via,
                overruled: Vec::new(),
            });
        }
    }

    /// Where the top of a root is a linked worktree, its repository can be written, but for what is protected in any.
    fn link_worktree(&mut self, profile: &Profile, root: &AbsPath, text: &[u8]) {
        // A root by the name of a link that is not followed gives nothing where it leads.
        let real = self.walker.follow(root).real;
        let access = self.filesystem().access(&real);
        if !access.writes() {
            return;
        }
        let found = worktree::find(&mut self.walker, &real, text);
        let Worktree { common, own } = match found {
            Ok(found) => found,
            Err(refusal) => {
                self.remarks.push(format!("{root}/.git is not followed: {refusal}"));
                return;
            }
        };
        let written = self.filesystem();
        let origin = Origin::implied(format!("{root} is a linked worktree of {common}"));
        match written.covering(&common) {
            Some(rule)
                if rule.access == Access::None || rule.access == Access::Read && rule.path == common =>
            {
                self.remarks.push(format!(
                    "{root} is a linked worktree of {common}, which stays as it is: {}",
                    rule.origin
                ));
                return;
            }
            Some(rule) if rule.access.writes() => {}
            _ => self.push(common.clone(), access, origin.clone()),
        }
        let granted = self.filesystem();
        self.protect_own(profile, &common, "a linked worktree's repository");
        let written = self.filesystem();
        for name in WORKTREE_NAMES {
            let reason = format!("git on the host trusts `{name}` of a linked worktree");
            self.protect_name(&written, name, &Protection { root: &own, switch: None, reason });
        }
        self.open_submodules(profile, &granted, &own);
    }

    /// What git trusts in a repository's own directory.
    fn protect_own(&mut self, profile: &Profile, own: &AbsPath, whose: &str) {
        let written = self.filesystem();
        for (name, inner) in inner_names() {
            let switch = profile.protected.get(name);
            let reason = format!("`{name}` of {whose} is protected");
            self.protect_name(&written, inner, &Protection { root: own, switch, reason });
        }
    }

    /// The repositories of submodules that are there, in the directory `git` of a repository or of a linked worktree, can be written like that,
    /// unless a line of the profile is about them.
    fn open_submodules(&mut self, profile: &Profile, written: &Filesystem, git: &AbsPath) {
        if profile.protected.contains_key(submodule::PROTECTED_NAME) {
            return;
        }
        let terrain = self.walker.terrain();
        // What a link leads to is another's.
        let found = if terrain.is_directory(git) { submodule::find(terrain, git) } else { Vec::new() };
        if found.len() > submodule::MAX_SUBMODULES {
            let most = submodule::MAX_SUBMODULES;
            self.remarks
                .push(format!("{git}/modules holds more than {most} submodules; the others stay read-only"));
        }
        for own in found.into_iter().take(submodule::MAX_SUBMODULES) {
            // A rule of the profile that closes it stays, and where one opens it there is nothing to do.
            let access = written.access(&own);
            let now = self.filesystem();
            let is_of_modules = |rule: &&PathRule| rule.path.file_name() == Some(b"modules");
            let closed = now.covering(&own).filter(is_of_modules).is_some_and(|rule| !rule.access.writes());
            if !access.writes() || !closed {
                continue;
            }
            self.push(
                own.clone(),
                access,
                Origin::implied(format!("{own} is the repository of a submodule")),
            );
            self.protect_own(profile, &own, "a submodule's repository");
        }
    }
}

impl Protection<'_> {
    /// The rule for `path`, unless one of the profile's lies between it and the root, or nothing can be written there. What is
    /// switched off gets a rule too: it tells which line opens the name, here and in repositories further down.
    fn rule(&self, written: &Filesystem, path: &AbsPath) -> Option<PathRule> {
        let covering = written.covering(path)?;
        let between = covering.path != *self.root && covering.path.starts_with(self.root);
        if !covering.access.writes() || between {
            return None;
        }
        let open = self.switch.is_some_and(|switch| !switch.value);
        let origin = match self.switch {
            Some(switch) => switch.origin.clone(),
            None => Origin::implied(self.reason.clone()),
        };
        let access = if open { covering.access } else { Access::Read };
        Some(PathRule { path: path.clone(), access, origin, via: None, overruled: Vec::new() })
    }
}

/// The tops of writable roots. Below a writable directory another grant of the same says nothing new and is no root of its
/// own, unless it is a root of the project: a project in a temporary directory is one all the same.
fn tops(written: &Filesystem, roots: &[AbsPath]) -> Vec<AbsPath> {
    let nested =
        |rule: &PathRule| rule.path.parent().is_some_and(|parent| written.access(&parent) == rule.access);
    let rules = written.rules().iter().filter(|rule| rule.access.writes() && !is_device(&rule.path));
    let is_root = |rule: &PathRule| {
        roots.contains(&rule.path) || rule.via.as_ref().is_some_and(|via| roots.contains(via))
    };
    rules.filter(|rule| is_root(rule) || !nested(rule)).map(|rule| rule.path.clone()).collect()
}
