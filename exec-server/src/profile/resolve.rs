//! From a profile to a policy: every token gets its places, every path its final name, and what follows is implied.
//!
//! Pure: the file system is asked through [`Terrain`] only, so that old hosts and hostile links are literals in tests.

use std::collections::{BTreeMap, HashSet};

use weir_protocol::AbsPath;
use weir_protocol::path::PathError;
use weir_protocol::policy::DomainRule;
use weir_protocol::policy::glob::GlobError;
use weir_protocol::policy::{
    Access, Confinement, Environment, Filesystem, FilesystemParts, Glob, GlobRule, Layer, Network,
    NetworkParts, Operation, Origin, PathRule, Policy, PolicyParts, PrivateDirectory, Request, Resources,
    RuleRef, SocketRule, Sourced, StandIn, background_ends,
};
use weir_protocol::profile::Profile;
use weir_protocol::profile::document::{Base, Below, PathEntry, PathKey, Token};

use super::merge::{sets_token, switched_on};
use super::places;
use super::surroundings::{Followed, Surroundings, Terrain, Walker};

mod protect;
mod repository;
mod submodule;
mod worktree;

/// Temporary directories that get a stand-in where no rule grants them.
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];

/// Where the administrator's requirements live; never readable inside.
pub const ETC_WEIR: &str = "/etc/weir";

/// Why a profile has no meaning here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// A path that is too long once its base is known.
    #[error("{origin}: {source}")]
    Path {
        /// The rule.
        origin: Box<Origin>,
        /// What is wrong.
        source: PathError,
    },
    /// A pattern that is too long once its base is known.
    #[error("{origin}: {source}")]
    Glob {
        /// The rule.
        origin: Box<Origin>,
        /// What is wrong.
        source: GlobError,
    },
    /// A published port without a loopback of the sandbox's own.
    #[error("{origin}: a published port takes `loopback = true`, or no server inside can listen")]
    Publish {
        /// The rule.
        origin: Box<Origin>,
    },
}

/// A policy with what should be said about how it came to be.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The policy.
    pub policy: Policy,
    /// Remarks for the user: links not followed, rules without effect.
    pub remarks: Vec<String>,
}

/// Resolves one merged profile.
///
/// # Errors
/// [`ResolveError`] when a path or pattern cannot be expressed below its base.
pub fn resolve(
    name: &str,
    profile: &Profile,
    around: &Surroundings,
    terrain: &impl Terrain,
) -> Result<Resolved, ResolveError> {
    let mut resolver = Resolver {
        around,
        walker: Walker::new(terrain),
        rules: Vec::new(),
        globs: Vec::new(),
        remarks: Vec::new(),
        reach: Filesystem::default(),
    };
    let roots = resolver.roots(profile)?;
    resolver.warn_wide_roots(profile, &roots);
    resolver.entries(profile, &roots)?;
    resolver.imply_minimal(profile);
    resolver.links()?;
    resolver.protect(profile, &roots);
    let confinement = match &profile.unrestricted {
        Some(origin) => Sourced { value: Confinement::Unrestricted, origin: origin.clone() },
        None => Sourced::default_of(Confinement::Managed, "every profile but one confines"),
    };
    let sockets = resolver.sockets(profile, &roots)?;
    check_published(profile)?;
    let parts = FilesystemParts {
        rules: resolver.rules,
        globs: resolver.globs,
        private: Vec::new(),
        glob_scan_max_depth: profile.glob_scan_max_depth.as_ref().map(|depth| depth.value),
    };
    let mut filesystem = Filesystem::new(parts);
    let private = stand_ins(&filesystem, around);
    filesystem.set_private(private);
    let remarks = resolver.remarks;
    let policy = PolicyParts {
        profile: name.to_owned(),
        confinement,
        filesystem,
        network: network(profile, sockets),
        resources: resources(profile),
        environment: environment(profile),
        degradations: profile.degrade.clone(),
        kernel: switched_on(&profile.kernel),
        background: profile.background.clone().unwrap_or_else(background_ends),
    };
    Ok(Resolved { policy: policy.into(), remarks })
}

struct Resolver<'a, T> {
    around: &'a Surroundings,
    walker: Walker<'a, T>,
    rules: Vec<PathRule>,
    globs: Vec<GlobRule>,
    remarks: Vec<String>,
    /// Where commands may have put links.
    reach: Filesystem,
}

impl<T: Terrain> Resolver<'_, T> {
    /// The project's directories: those named for this run, and those that the profile adds.
    fn roots(&self, profile: &Profile) -> Result<Vec<AbsPath>, ResolveError> {
        let mut roots = self.around.project_roots.clone();
        if roots.is_empty() {
            roots.push(self.around.cwd.clone());
        }
        for (text, switch) in &profile.workspace_roots {
            let wrap = |source| ResolveError::Path { origin: Box::new(switch.origin.clone()), source };
            let root = match (text.strip_prefix("~/"), text.starts_with('/')) {
                (Some(rest), _) => self.around.home.join(rest),
                (None, true) => AbsPath::parse(text),
                (None, false) => self.around.cwd.join(text),
            }
            .map_err(wrap)?;
            roots.retain(|other| *other != root);
            if switch.value {
                roots.push(root);
            }
        }
        roots.sort();
        roots.dedup();
        Ok(roots)
    }

    /// A root at or above the home directory makes nearly everything of the user part of the project.
    fn warn_wide_roots(&mut self, profile: &Profile, roots: &[AbsPath]) {
        let written = |((base, _), entry): (&(Base, Below), &PathEntry)| {
            *base == Base::Token(Token::ProjectRoots) && entry.access == Access::Write
        };
        if !profile.filesystem.iter().any(written) {
            return;
        }
        for root in roots.iter().filter(|root| self.around.home.starts_with(root)) {
            self.remarks.push(format!(
                "the project root is {root}, so the home directory {} can be written; name the project with --project-root",
                self.around.home
            ));
        }
    }

    fn entries(&mut self, profile: &Profile, roots: &[AbsPath]) -> Result<(), ResolveError> {
        let imposed =
            |entry: &PathEntry| entry.access == Access::None && entry.origin.layer == Layer::Requirements;
        // The administrator's denials first: lists of places are granted as far as these let them be.
        let (first, rest): (Vec<_>, Vec<_>) =
            profile.filesystem.iter().partition(|(_, entry)| imposed(entry));
        first.into_iter().try_for_each(|(key, entry)| self.entry(key, entry, roots, &[]))?;
        let closed = self.closed();
        rest.into_iter().try_for_each(|(key, entry)| self.entry(key, entry, roots, &closed))
    }

    fn entry(
        &mut self,
        (base, below): &PathKey,
        entry: &PathEntry,
        roots: &[AbsPath],
        closed: &[AbsPath],
    ) -> Result<(), ResolveError> {
        let list = matches!(base, Base::Token(Token::Minimal | Token::Toolchains));
        let origin = || entry.origin.clone();
        for (place, fixed) in self.places(base, roots) {
            let refused = list && entry.access > Access::None;
            if refused && closed.iter().any(|outer| place.starts_with(outer)) {
                continue;
            }
            match below {
                Below::Path(path) => {
                    let wrap = |source| ResolveError::Path { origin: Box::new(origin()), source };
                    let path = if path.is_empty() { place } else { place.join(path).map_err(wrap)? };
                    let access = fixed.map_or(entry.access, |fixed| within(fixed, entry.access));
                    self.push(path, access, origin());
                }
                Below::Pattern(pattern) => {
                    let wrap = |source| ResolveError::Glob { origin: Box::new(origin()), source };
                    let pattern = Glob::below(&place, pattern).map_err(wrap)?;
                    self.globs.push(GlobRule { pattern, origin: origin() });
                }
            }
        }
        Ok(())
    }

    /// What the administrator denies.
    fn closed(&self) -> Vec<AbsPath> {
        let imposed =
            |rule: &&PathRule| rule.access == Access::None && rule.origin.layer == Layer::Requirements;
        self.rules.iter().filter(imposed).map(|rule| rule.path.clone()).collect()
    }

    fn push(&mut self, path: AbsPath, access: Access, origin: Origin) {
        self.rules.push(PathRule { path, access, origin, via: None, overruled: Vec::new() });
    }

    /// The places that a base stands for; where the list itself fixes the access, it comes along.
    fn places(&mut self, base: &Base, roots: &[AbsPath]) -> Vec<(AbsPath, Option<Access>)> {
        let around = self.around;
        let token = match base {
            Base::Path(path) => return vec![(path.clone(), None)],
            Base::Token(token) => token,
        };
        let free = |paths: Vec<AbsPath>| paths.into_iter().map(|path| (path, None)).collect();
        match token {
            Token::Root => free(vec![AbsPath::root()]),
            Token::ProjectRoots => free(roots.to_vec()),
            Token::Cwd => free(vec![around.cwd.clone()]),
            Token::Tmpdir => free(around.tmpdir.iter().cloned().collect()),
            Token::SlashTmp => free(literal(["/tmp"])),
            Token::Home => free(vec![around.home.clone()]),
            Token::Secrets => free(self.secrets()),
            Token::Toolchains => free(self.toolchains()),
            Token::Minimal => places::minimal()
                .filter_map(|(path, access)| Some((AbsPath::parse(path).ok()?, Some(access))))
                .collect(),
        }
    }

    fn secrets(&self) -> Vec<AbsPath> {
        let homes = std::iter::once(&self.around.home).chain(&self.around.other_homes);
        let mut out: Vec<AbsPath> = homes
            .flat_map(|home| places::HOME_SECRETS.iter().filter_map(|name| home.join(name).ok()))
            .collect();
        out.extend(literal(places::SYSTEM_SECRETS));
        out
    }

    fn toolchains(&mut self) -> Vec<AbsPath> {
        let home = places::HOME_TOOLCHAINS.iter().filter_map(|name| self.around.home.join(name).ok());
        home.chain(literal(places::SYSTEM_TOOLCHAINS)).filter(|path| self.walker.exists(path)).collect()
    }

    /// `:minimal = "read"` where the profile does not set it, and Weir's own files closed everywhere.
    fn imply_minimal(&mut self, profile: &Profile) {
        if !sets_token(profile, Token::Minimal) {
            let origin = Origin::implied("\":minimal\" = \"read\"");
            let written: HashSet<_> = self.rules.iter().map(|rule| rule.path.clone()).collect();
            let closed = self.closed();
            for (path, access) in self.places(&Base::Token(Token::Minimal), &[]) {
                // An implied rule never argues with what the profile says of the same path, nor with the administrator.
                if !written.contains(&path) && !closed.iter().any(|outer| path.starts_with(outer)) {
                    self.push(path, access.unwrap_or(Access::Read), origin.clone());
                }
            }
        }
        let origin = Origin::implied("the policy cannot be read from inside");
        for path in literal([ETC_WEIR]).into_iter().chain([self.around.weir_home.clone()]) {
            self.push(path, Access::None, origin.clone());
        }
    }

    /// Adds, for each rule whose path holds symbolic links, a rule for where they lead: the kernel sees only that.
    ///
    /// A link that lies where commands may write is never followed out of what they may do there: it could have been put
    /// there by an earlier command to widen this one. Denials are followed wherever they lead.
    fn links(&mut self) -> Result<(), ResolveError> {
        let mut led: Vec<(PathRule, Vec<AbsPath>)> = Vec::new();
        for rule in &self.rules {
            let Followed { real, links } = self.walker.follow(&rule.path);
            if real != rule.path {
                led.push((PathRule { path: real, via: Some(rule.path.clone()), ..rule.clone() }, links));
            }
        }
        // A rule that an earlier link led to must not overrule a rule that was written for that very place.
        let written: HashSet<_> = self.rules.iter().map(|rule| &rule.path).collect();
        let (closing, mut opening): (Vec<_>, Vec<_>) =
            led.into_iter().partition(|(rule, _)| rule.access == Access::None);
        opening.retain(|(rule, _)| !written.contains(&rule.path));
        self.rules.extend(closing.into_iter().map(|(rule, _)| rule));
        self.reach = self.reachable(&opening);
        let (doubtful, trusted): (Vec<_>, Vec<_>) =
            opening.into_iter().partition(|(_, links)| self.planted(links).is_some());
        self.rules.extend(trusted.into_iter().map(|(rule, _)| rule));
        if doubtful.is_empty() {
            return self.linked_globs();
        }
        let granted = self.filesystem();
        for (rule, links) in doubtful {
            if granted.access(&rule.path) >= rule.access {
                self.rules.push(rule);
            } else if let Some(link) = self.planted(&links).cloned() {
                self.remark_planted(&rule.origin, &link, &rule.path);
            }
        }
        self.linked_globs()
    }

    fn remark_planted(&mut self, origin: &Origin, link: &AbsPath, real: &AbsPath) {
        self.remarks.push(format!(
            "{origin}: the symbolic link {link} lies where commands may write and is not followed to {real}"
        ));
    }

    /// The first of these links that a command may have put there.
    fn planted<'l>(&self, links: &'l [AbsPath]) -> Option<&'l AbsPath> {
        links.iter().find(|link| link.parent().is_some_and(|parent| self.reach.access(&parent).writes()))
    }

    /// Where commands may write under these rules or under others that deny less: a denial must never make a link
    /// trustworthy, since it was perhaps not there when the link was made.
    fn reachable(&self, led: &[(PathRule, Vec<AbsPath>)]) -> Filesystem {
        let all = self.rules.iter().chain(led.iter().map(|(rule, _)| rule));
        let rules = all.filter(|rule| rule.access > Access::None).map(bare).collect();
        Filesystem::new(FilesystemParts { rules, ..FilesystemParts::default() })
    }

    /// The rules so far, in normal form.
    fn filesystem(&self) -> Filesystem {
        let rules = self.rules.iter().map(bare).collect();
        Filesystem::new(FilesystemParts { rules, ..FilesystemParts::default() })
    }

    fn linked_globs(&mut self) -> Result<(), ResolveError> {
        let mut led = Vec::new();
        for rule in &self.globs {
            let base = rule.pattern.base();
            let real = self.walker.follow(&base).real;
            if real != base {
                let pattern = rule
                    .pattern
                    .moved(&real)
                    .map_err(|source| ResolveError::Glob { origin: Box::new(rule.origin.clone()), source })?;
                led.push(GlobRule { pattern, origin: rule.origin.clone() });
            }
        }
        self.globs.extend(led);
        Ok(())
    }

    fn sockets(&mut self, profile: &Profile, roots: &[AbsPath]) -> Result<Vec<SocketRule>, ResolveError> {
        let mut out = Vec::new();
        for ((base, below), rule) in &profile.network.unix_sockets {
            for (place, _) in self.places(base, roots) {
                let wrap = |source| ResolveError::Path { origin: Box::new(rule.origin.clone()), source };
                let path = if below.is_empty() { place } else { place.join(below).map_err(wrap)? };
                let Followed { real, links } = self.walker.follow(&path);
                let socket = |path| SocketRule { path, allow: rule.value, origin: rule.origin.clone() };
                match self.planted(&links).filter(|_| rule.value) {
                    // Whoever may write here could lead this grant to any socket of the host.
                    Some(link) => self.remark_planted(&rule.origin, link, &real),
                    None if real != path => out.push(socket(real)),
                    None => {}
                }
                out.push(socket(path));
            }
        }
        Ok(out)
    }
}

/// A rule without what only answers need, for looking things up while resolving.
fn bare(rule: &PathRule) -> PathRule {
    let origin =
        Origin { layer: rule.origin.layer, profile: String::new(), place: None, rule: String::new() };
    PathRule { path: rule.path.clone(), access: rule.access, origin, via: None, overruled: Vec::new() }
}

/// A list that fixes the access of its entries gives no more than it says: a device stays writable under
/// `":minimal" = "read"`, a secret stays closed, and `":minimal" = "none"` closes all.
fn within(fixed: Access, asked: Access) -> Access {
    if asked == Access::None { Access::None } else { fixed }
}

fn is_device(path: &AbsPath) -> bool {
    path.as_bytes().starts_with(b"/dev/")
}

fn literal<const N: usize>(paths: [&str; N]) -> Vec<AbsPath> {
    paths.iter().filter_map(|path| AbsPath::parse(path).ok()).collect()
}

/// The home, temporary and shared-memory directories that no rule grants.
fn stand_ins(fs: &Filesystem, around: &Surroundings) -> Vec<PrivateDirectory> {
    let mut wanted = vec![(around.home.clone(), StandIn::Home)];
    wanted.extend(literal(TEMPORARY).into_iter().map(|path| (path, StandIn::Temporary)));
    wanted.extend(around.tmpdir.iter().map(|path| (path.clone(), StandIn::Temporary)));
    wanted.extend(literal(["/dev/shm"]).into_iter().map(|path| (path, StandIn::SharedMemory)));
    wanted
        .into_iter()
        .filter(|(path, kind)| *kind == StandIn::SharedMemory || fs.access(path) == Access::None)
        .map(|(path, kind)| PrivateDirectory { path, kind })
        .collect()
}

/// Written rules that can never decide anything: overruled at their very path, denied by a pattern, or without anything to
/// deny.
#[must_use]
pub fn without_effect(policy: &Policy) -> Vec<String> {
    let fs = policy.filesystem();
    let mut out = Vec::new();
    for rule in fs.rules() {
        for lost in
            rule.overruled.iter().filter(|lost| lost.origin.place.is_some() && lost.access != rule.access)
        {
            out.push(format!(
                "{} can never match: {} stands for the same path and wins",
                lost.origin, rule.origin
            ));
        }
        if rule.access == Access::None || rule.origin.place.is_none() {
            continue;
        }
        let request = Request::Path { path: &rule.path, operation: Operation::Read };
        if let RuleRef::Glob(glob) = policy.verdict(&request).rule {
            out.push(format!("{} can never match: {} wins", rule.origin, glob.origin));
        }
    }
    for glob in fs.globs() {
        let base = glob.pattern.base();
        let below = |rule: &PathRule| rule.access > Access::None && rule.path.starts_with(&base);
        if fs.access(&base) == Access::None && !fs.rules().iter().any(below) {
            out.push(format!("{} has nothing to deny: nothing is granted below {base}", glob.origin));
        }
    }
    out
}

/// A port that nothing can listen behind is a mistake, unless a profile above it takes the loopback away.
fn check_published(profile: &Profile) -> Result<(), ResolveError> {
    let Some(rule) = profile.network.publish.iter().flatten().next() else { return Ok(()) };
    let is_mistaken = match &profile.network.loopback {
        None => true,
        Some(loopback) => !loopback.value && loopback.origin.profile == rule.origin.profile,
    };
    if is_mistaken {
        return Err(ResolveError::Publish { origin: Box::new(rule.origin.clone()) });
    }
    Ok(())
}

fn network(profile: &Profile, unix_sockets: Vec<SocketRule>) -> Network {
    let rules = &profile.network;
    let base = NetworkParts::default();
    Network::new(NetworkParts {
        enabled: rules.enabled.clone().unwrap_or(base.enabled),
        mode: rules.mode.clone().unwrap_or(base.mode),
        domains: rules.domains.as_ref().map(|domains| {
            let rule = |(pattern, rule): (&_, &Sourced<bool>)| DomainRule {
                pattern: Clone::clone(pattern),
                allow: rule.value,
                origin: rule.origin.clone(),
            };
            domains.iter().map(rule).collect()
        }),
        unix_sockets,
        loopback: rules.loopback.clone().unwrap_or(base.loopback),
        allow_private: rules.allow_private.clone().filter(|private| !private.value.is_empty()),
        allow_upstream_proxy: rules.allow_upstream_proxy.clone().unwrap_or(base.allow_upstream_proxy),
        publish: rules.publish.clone().unwrap_or_default(),
    })
}

fn resources(profile: &Profile) -> Resources {
    let mut out = Resources::default();
    profile.resources.iter().for_each(|(resource, limit)| out.set(*resource, limit.clone()));
    out
}

fn environment(profile: &Profile) -> Environment {
    let rules = &profile.environment;
    Environment {
        inherit: rules.inherit.clone().unwrap_or(Environment::default().inherit),
        allow: rules.allow.clone().unwrap_or_default(),
        deny: rules.deny.clone().unwrap_or_default(),
        set: BTreeMap::clone(&rules.set),
    }
}
