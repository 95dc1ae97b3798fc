//! The document in memory: what was written, each value with its origin, nothing resolved yet.

use std::collections::BTreeMap;

use super::trust::Trust;
use crate::path::AbsPath;
use crate::policy::environment::NamePattern;
use crate::policy::{
    Access, Background, Degradation, DomainPattern, Inherit, KernelFeature, NetworkMode, Origin, PublishRule,
    Resource, Sourced,
};

/// A name for a place that differs from host to host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Token {
    /// The whole tree.
    Root,
    /// What a program needs to start.
    Minimal,
    /// The project's directories.
    ProjectRoots,
    /// The working directory.
    Cwd,
    /// The directory that `TMPDIR` names.
    Tmpdir,
    /// `/tmp`.
    SlashTmp,
    /// The home directory.
    Home,
    /// Language toolchains in the home directory.
    Toolchains,
    /// Places that hold secrets.
    Secrets,
}

impl Token {
    /// Every token as a profile writes it; `:workspace_roots` is another name for `:project_roots`.
    pub const WORDS: [(&'static str, Self); 10] = [
        (":root", Self::Root),
        (":minimal", Self::Minimal),
        (":project_roots", Self::ProjectRoots),
        (":workspace_roots", Self::ProjectRoots),
        (":cwd", Self::Cwd),
        (":tmpdir", Self::Tmpdir),
        (":slash_tmp", Self::SlashTmp),
        (":home", Self::Home),
        (":toolchains", Self::Toolchains),
        (":secrets", Self::Secrets),
    ];

    /// Reads a token with its colon.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(word, _)| *word == text).map(|(_, token)| *token)
    }

    /// The token as a profile writes it.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, token)| *token == self).map_or("", |(word, _)| word)
    }
}

/// Where a path or pattern starts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Base {
    /// At a literal path.
    Path(AbsPath),
    /// At every place that a token stands for.
    Token(Token),
}

/// What is named below a base.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Below {
    /// A literal relative path; empty for the base itself.
    Path(String),
    /// A pattern.
    Pattern(String),
}

/// The identity of a path entry: the same key in a later layer or an extending profile replaces it.
pub type PathKey = (Base, Below);

/// One path or pattern with its access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathEntry {
    /// What is granted.
    pub access: Access,
    /// Where it stands.
    pub origin: Origin,
}

/// One profile as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// What it is for.
    pub description: Option<String>,
    /// The profile that it extends.
    pub extends: Option<Sourced<String>>,
    /// Workspace roots, switched on or off: absolute, below home, or relative to the working directory.
    pub workspace_roots: BTreeMap<String, Sourced<bool>>,
    /// Paths and patterns.
    pub filesystem: BTreeMap<PathKey, PathEntry>,
    /// How deep a report looks for denied files.
    pub glob_scan_max_depth: Option<Sourced<u32>>,
    /// Network rules.
    pub network: NetworkRules,
    /// Limits, in the unit of [`Resource`].
    pub resources: BTreeMap<Resource, Sourced<u64>>,
    /// Environment rules.
    pub environment: EnvironmentRules,
    /// Protected metadata switched on or off.
    pub protected: BTreeMap<String, Sourced<bool>>,
    /// Kernel features.
    pub kernel: BTreeMap<KernelFeature, Sourced<bool>>,
    /// Guarantees given up.
    pub degrade: BTreeMap<Degradation, Origin>,
    /// What becomes of what a command leaves running.
    pub background: Option<Sourced<Background>>,
    /// Whether no rule holds; only built-in profiles set it.
    pub unrestricted: Option<Origin>,
}

/// Network rules as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkRules {
    /// `enabled`.
    pub enabled: Option<Sourced<bool>>,
    /// `mode`.
    pub mode: Option<Sourced<NetworkMode>>,
    /// `domains`; present and empty means none.
    pub domains: Option<BTreeMap<DomainPattern, Sourced<bool>>>,
    /// `unix_sockets`.
    pub unix_sockets: BTreeMap<(Base, String), Sourced<bool>>,
    /// `loopback` or `allow_local_binding`.
    pub loopback: Option<Sourced<bool>>,
    /// `allow_private`.
    pub allow_private: Option<Sourced<Vec<ipnet::IpNet>>>,
    /// `allow_upstream_proxy`.
    pub allow_upstream_proxy: Option<Sourced<bool>>,
    /// `publish`; present and empty means none.
    pub publish: Option<Vec<PublishRule>>,
}

/// Environment rules as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvironmentRules {
    /// `inherit`.
    pub inherit: Option<Sourced<Inherit>>,
    /// `allow`.
    pub allow: Option<Vec<Sourced<NamePattern>>>,
    /// `deny`.
    pub deny: Option<Vec<Sourced<NamePattern>>>,
    /// `set`.
    pub set: BTreeMap<String, Sourced<String>>,
}

/// One of several older ways to say what a profile says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Legacy {
    /// The built-in profile that the mode stands for.
    pub profile: Sourced<String>,
    /// What `[sandbox_workspace_write]` adds to it.
    pub rules: Profile,
}

/// A whole document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    /// The profile chosen when none is named.
    pub default_permissions: Option<Sourced<String>>,
    /// Profiles by name.
    pub profiles: BTreeMap<String, Profile>,
    /// `sandbox_mode`.
    pub legacy: Option<Legacy>,
    /// Projects that are trusted, or explicitly not.
    pub trust: BTreeMap<String, Sourced<Trust>>,
    /// The ceiling, in a requirements file.
    pub ceiling: Option<Ceiling>,
}

/// The ceiling of a requirements file as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ceiling {
    /// Profiles that may be chosen.
    pub profiles: Option<Vec<Sourced<String>>>,
    /// Maximum grants and limits, as a profile.
    pub limits: Profile,
    /// Whether a maximum was stated for the file system.
    pub has_filesystem: bool,
    /// Whether a maximum was stated for the network.
    pub has_network: bool,
    /// Paths and patterns that may not be read.
    pub deny_read: BTreeMap<PathKey, PathEntry>,
    /// Hosts that may not be connected to.
    pub deny_domains: BTreeMap<DomainPattern, Sourced<bool>>,
    /// Who may use what.
    pub who: Vec<Who>,
}

/// Users and groups and the profiles they may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// User names.
    pub users: Vec<String>,
    /// Group names.
    pub groups: Vec<String>,
    /// Profiles.
    pub profiles: Vec<Sourced<String>>,
    /// Where the entry stands.
    pub origin: Origin,
}

/// The built-in profiles.
pub const BUILT_IN_NAMES: [&str; 4] = [":read-only", ":workspace", ":isolated", ":danger-full-access"];

/// Whether a name is that of a built-in profile.
#[must_use]
pub fn is_built_in(name: &str) -> bool {
    BUILT_IN_NAMES.contains(&name)
}
