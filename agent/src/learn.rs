//! From what a run has used to the smallest profile that would have sufficed: pure, but for what it asks of a [`Tree`].
//!
//! The run was recorded under a wide policy. Whatever it used is granted by what a profile has anyway (`:minimal`, private directories),
//! by a special path (`:project_roots`, `:toolchains`), or by a rule of its own; many files of a directory become that directory. What
//! must not become a grant is withheld and told: secrets, the home directory, whatever holds either, and listings that would open all
//! of them. Nothing here reads what a program printed.

mod cover;
mod fold;
mod looked;
mod network;
mod project;
mod sockets;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use weir_protocol::denial::Act;
use weir_protocol::policy::{Access, Filesystem, FilesystemParts, Origin, PathRule};
use weir_protocol::profile::read::key_of;
use weir_protocol::recorded::{Recorded, Use};
use weir_protocol::{AbsPath, Policy};

use cover::{Cover, Covering};

pub use network::{HostUse, hosts};
pub use sockets::Sockets;
pub use text::{Heading, Told, render};

/// What a run was recorded under, and what a profile has anyway.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// The policy of the run.
    pub wide: &'a Policy,
    /// The policy of `:isolated`, for what `:toolchains` covers.
    pub isolated: &'a Policy,
    /// The profile that is to be extended.
    pub base: Option<&'a Policy>,
    /// The home directory.
    pub home: &'a AbsPath,
    /// The project's directories.
    pub roots: &'a [AbsPath],
}

/// What is asked of the host's file tree.
pub trait Tree {
    /// Whether a directory is there.
    fn is_directory(&self, path: &AbsPath) -> bool;
    /// The final path, where something is there.
    fn real(&self, path: &AbsPath) -> Option<AbsPath>;
}

/// What needed a rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Needed {
    /// What was done.
    pub acts: BTreeSet<Act>,
    /// The programs that did it, by the names of their files.
    pub programs: BTreeSet<String>,
    /// How many paths it stands for.
    pub paths: usize,
}

/// One rule for a path.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Entry {
    /// The path.
    pub path: AbsPath,
    /// What is granted.
    pub access: Access,
    /// What needed it.
    pub needed: Needed,
}

/// What of the project is granted.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Project {
    /// Where it may be written: `.` for all of it.
    pub write: Option<String>,
    /// Where something was written, by the first name below the root.
    pub written: BTreeSet<String>,
    /// What needed it.
    pub needed: Needed,
}

/// Why something that was used is not granted.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// A rule closes it, told by its words.
    Closed(String),
    /// A rule for this directory would open all below it, the home or secrets among it.
    Wide(AbsPath),
    /// A directory of the home that was only looked at: a rule would open all of it.
    Looked,
    /// It leads to nothing that is there, and so cannot be granted.
    Nowhere,
    /// Its name cannot stand in a profile.
    Name,
}

/// Something that was used and is not granted.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Withheld {
    /// What was done.
    pub act: Act,
    /// Where.
    pub path: AbsPath,
    /// By which program.
    pub program: Option<String>,
    /// Why it is not granted.
    pub why: Why,
}

/// A profile that is proposed.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Proposal {
    /// What of the project.
    pub project: Option<Project>,
    /// What needed `:toolchains`.
    pub toolchains: Option<Needed>,
    /// Rules for single paths, by path.
    pub entries: Vec<Entry>,
    /// What of sockets.
    pub sockets: Sockets,
    /// What was used and is not granted.
    pub withheld: Vec<Withheld>,
    /// How many paths every profile covers: `:minimal`, and private directories.
    pub covered: usize,
    /// Whether more was used than is recorded.
    pub is_cut: bool,
    /// Whether looks, changes of attributes and executions were recorded.
    pub has_looks: bool,
}

impl Needed {
    fn add(&mut self, act: Act, program: Option<&str>) {
        self.acts.insert(act);
        self.programs.extend(program.map(str::to_owned));
        self.paths += 1;
    }

    fn merge(&mut self, other: Self) {
        self.acts.extend(other.acts);
        self.programs.extend(other.programs);
        self.paths += other.paths;
    }
}

/// The smallest profile, as far as this can judge, under which what was recorded would have been allowed.
#[must_use]
pub fn propose(ground: Ground<'_>, recorded: &Recorded, tree: &dyn Tree) -> Proposal {
    let mut gathering = Gathering::new(ground, tree);
    gathering.proposal.is_cut = recorded.is_cut;
    gathering.proposal.has_looks = recorded.has_looks;
    let sockets = sockets::connected(recorded);
    let is_of_socket = |one: &&Use| {
        matches!(one.operation, Act::Read | Act::Look) && sockets.contains(one.path.0.as_slice())
    };
    for one in recorded.uses.iter().filter(|one| !is_of_socket(one)) {
        gathering.take(one, recorded.program(one).map(|path| file_name(&path.0)).as_deref());
    }
    gathering.finish()
}

/// What is sorted out so far.
struct Gathering<'a> {
    covering: Covering<'a>,
    tree: &'a dyn Tree,
    proposal: Proposal,
    project: Option<project::Used>,
    wanted: BTreeMap<AbsPath, (Access, Needed)>,
    looked: looked::Looked,
    sockets: sockets::Used,
}

impl<'a> Gathering<'a> {
    fn new(ground: Ground<'a>, tree: &'a dyn Tree) -> Self {
        let (proposal, wanted, looked, sockets) = Default::default();
        Self { covering: Covering::new(ground), tree, proposal, project: None, wanted, looked, sockets }
    }

    fn take(&mut self, one: &Use, program: Option<&str>) {
        let Some(operation) = one.operation.access() else { return self.sockets.add(one, program) };
        let Ok(path) = AbsPath::parse(&one.path.0) else { return };
        let act = one.operation;
        match self.covering.of(&path, operation) {
            Cover::Anyway => self.proposal.covered += 1,
            Cover::Project => self.project.get_or_insert_default().add(act, &path, program),
            Cover::Toolchains => self.proposal.toolchains.get_or_insert_default().add(act, program),
            Cover::Closed(rule) => self.withhold(act, path, program, Why::Closed(rule)),
            Cover::Nothing if act == Act::Look => self.looked.entry(path).or_default().add(act, program),
            Cover::Nothing => self.want(act, path, program),
        }
    }

    /// Something that takes a rule: for itself, or for its directory where its name was made or removed.
    fn want(&mut self, act: Act, path: AbsPath, program: Option<&str>) {
        let (at, access) = match act {
            Act::Create => (path.parent().unwrap_or_else(AbsPath::root), Access::Write),
            Act::Write | Act::Alter => (path.clone(), Access::Write),
            _ => (path.clone(), Access::Read),
        };
        let real = self.tree.real(&at).unwrap_or_else(|| at.clone());
        let is_directory = matches!(act, Act::Create | Act::List) || self.tree.is_directory(&real);
        let may = !is_directory || [&at, &real].into_iter().all(|dir| self.covering.may_be_whole(dir));
        if !may {
            return self.withhold(act, path, program, Why::Wide(at));
        }
        if key_of(&at).is_none() {
            return self.withhold(act, path, program, Why::Name);
        }
        let (granted, needed) = self.wanted.entry(at).or_insert((Access::None, Needed::default()));
        *granted = access.max(*granted);
        needed.add(act, program);
    }

    fn withhold(&mut self, act: Act, path: AbsPath, program: Option<&str>, why: Why) {
        self.proposal.withheld.push(Withheld { act, path, program: program.map(str::to_owned), why });
    }

    fn folded(&self) -> Vec<Entry> {
        fold::fold(&self.wanted, &|dir| self.covering.may_be_whole(dir))
    }

    fn finish(mut self) -> Proposal {
        let ground = self.covering.ground;
        self.proposal.sockets = std::mem::take(&mut self.sockets).finish(ground);
        // Without a base the command would not even find its directory.
        let used = self.project.take().or_else(|| ground.base.is_none().then(project::Used::default));
        self.proposal.project = used.map(|used| used.project(ground.roots, self.tree));
        self.proposal.entries = self.folded();
        let granted = self.proposal.filesystem(&self.covering);
        self.want_looked(&granted);
        self.proposal.entries = self.folded();
        let granted = self.proposal.filesystem(&self.covering);
        for (path, (access, needed)) in self.wanted {
            // A rule of a special path lies between.
            if granted.access(&path) < access {
                self.proposal.entries.push(Entry { path, access, needed });
            }
        }
        self.proposal.entries.sort_by(|one, other| one.path.cmp(&other.path));
        self.proposal.withheld.sort_by(|one, other| one.path.cmp(&other.path));
        self.proposal
    }
}

impl Proposal {
    /// The path rules that it means here.
    fn filesystem(&self, covering: &Covering<'_>) -> Filesystem {
        let ground = covering.ground;
        let mut rules: Vec<PathRule> = match ground.base {
            Some(base) => base.filesystem().rules().to_vec(),
            None => covering.minimal.rules().to_vec(),
        };
        if self.toolchains.is_some() {
            rules.extend(covering.toolchains().cloned());
        }
        let mut grant = |path: AbsPath, access| {
            let origin = Origin::implied("proposed");
            rules.push(PathRule { path, access, origin, via: None, overruled: Vec::new() });
        };
        for root in ground.roots.iter().filter(|_| self.project.is_some()) {
            match self.project.as_ref().and_then(|project| project.write.as_deref()) {
                Some(".") => grant(root.clone(), Access::Write),
                below => {
                    grant(root.clone(), Access::Read);
                    let below = below.and_then(|below| root.join(below).ok());
                    below.into_iter().for_each(|below| grant(below, Access::Write));
                }
            }
        }
        self.entries.iter().for_each(|entry| grant(entry.path.clone(), entry.access));
        Filesystem::new(FilesystemParts { rules, ..FilesystemParts::default() })
    }
}

/// The last name of a path, for people.
fn file_name(path: &[u8]) -> String {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    String::from_utf8_lossy(name).into_owned()
}

#[cfg(test)]
mod tests;
