//! From a tree to a [`Document`]: strict inside `permissions`, blind elsewhere, all problems at once.

mod environment;
mod filesystem;
mod network;
mod publish;
mod reader;
mod requirements;
mod resources;

use std::collections::{BTreeMap, BTreeSet};

use super::diagnostic::Report;
use super::document::{Document, Legacy, PathEntry, Profile, Token};
use super::schema;
use super::source::{Entry, Node, Source, Value};
use super::trust::{self, Trust};
use crate::policy::{Access, Background, Degradation, KernelFeature, Layer, Sourced};
pub use filesystem::key_of;
use reader::{Reader, printable};

/// A repository as a whole: protected where there is none, so that none is made at the top of a writable root.
pub const REPOSITORY_NAME: &str = ".git";

/// Names of metadata that a host-side tool would execute or trust, read-only in writable roots unless switched off.
pub const PROTECTED_NAMES: [&str; 28] = [
    REPOSITORY_NAME,
    ".git/hooks",
    ".git/commondir",
    ".git/config",
    ".git/config.worktree",
    ".git/info/attributes",
    ".git/objects/info/alternates",
    ".git/modules",
    ".weir",
    ".codex",
    ".agents",
    ".claude",
    ".mcp.json",
    ".vscode",
    ".idea",
    ".bashrc",
    ".bash_profile",
    ".bash_login",
    ".bash_logout",
    ".profile",
    ".zshrc",
    ".zshenv",
    ".zprofile",
    ".zlogin",
    ".zlogout",
    ".envrc",
    ".gitconfig",
    ".config/fish",
];

/// What git trusts in the directory that a repository keeps for one of its linked worktrees: where the repository is, where the worktree is,
/// configuration, and the repositories of its submodules (gitrepository-layout(5)).
pub const WORKTREE_NAMES: [&str; 4] = ["commondir", "gitdir", "config.worktree", "modules"];

/// The older sandbox modes, each with the built-in profile that it means.
pub const SANDBOX_MODES: [(&str, &str); 3] = [
    ("read-only", ":read-only"),
    ("workspace-write", ":workspace"),
    ("danger-full-access", ":danger-full-access"),
];

/// Longest chain of `extends` that is followed while looking for a cycle.
const MAX_CHAIN: usize = 32;

/// What a document yields: its meaning, if it has no errors, and everything to say about it.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The document; absent when there are errors.
    pub document: Option<Document>,
    /// Errors and warnings.
    pub report: Report,
}

/// Reads a source. Nothing is half-loaded: with any error there is no document.
#[must_use]
pub fn read(source: &Source) -> Reading {
    let mut reader = Reader::new(source);
    let mut document = Document::default();
    match source.tree() {
        Err(problems) => problems.into_iter().for_each(|problem| reader.report.push(problem)),
        Ok(tree) if source.layer() == Layer::Requirements => {
            requirements::read(&mut reader, &tree, &mut document)
        }
        Ok(tree) => read_config(&mut reader, &tree, &mut document),
    }
    let mut report = reader.report;
    report.sort();
    Reading { document: (!report.has_errors()).then_some(document), report }
}

fn read_config(reader: &mut Reader<'_>, tree: &Node, document: &mut Document) {
    let mut workspace_write = None;
    let mut mode = None;
    for entry in reader.table(tree, "the document") {
        match entry.key.as_str() {
            "default_permissions" => document.default_permissions = reader.name(entry),
            "permissions" => document.profiles = read_profiles(reader, entry),
            "sandbox_mode" => mode = Some(entry),
            "sandbox_workspace_write" => workspace_write = Some(entry),
            "projects" => document.trust = read_projects(reader, entry),
            // Tables that are not about permissions belong to others; a misspelt one of ours would be lost in silence.
            other => reader.warn_near_miss(other, entry),
        }
    }
    document.legacy = mode.and_then(|entry| read_legacy(reader, entry, workspace_write));
    if let (None, Some(details)) = (mode, workspace_write) {
        read_workspace_write(reader, details, &mut Profile::default());
        let reason = "`sandbox_workspace_write` has no effect without `sandbox_mode`".to_owned();
        reader.warn(
            &details.key_span,
            reason,
            "remove the table, or set `sandbox_mode = \"workspace-write\"`",
        );
    }
    if let (Some(entry), Some(_)) = (mode, &document.default_permissions) {
        reader.error(
            &entry.key_span,
            "`sandbox_mode` and `default_permissions` cannot stand together".to_owned(),
            "remove `sandbox_mode`; `default_permissions` says the same and more",
        );
    }
    check_default(reader, tree, document);
}

fn check_default(reader: &mut Reader<'_>, tree: &Node, document: &Document) {
    // Another layer may define the profile, so only what cannot be right anywhere is an error here.
    let Some(default) = &document.default_permissions else { return };
    let span = reader.span_of_key(tree, "default_permissions");
    reader.check_built_in(&default.value, &span);
}

fn read_profiles(reader: &mut Reader<'_>, entry: &Entry) -> BTreeMap<String, Profile> {
    let mut profiles = BTreeMap::new();
    for entry in reader.table(&entry.node, "`permissions`") {
        reader.count_rule(&entry.key_span);
        reader.check_profile_name(entry);
        reader.profile = entry.key.clone();
        let profile = read_profile(reader, &entry.node);
        reader.profile.clear();
        profiles.insert(entry.key.clone(), profile);
    }
    check_cycles(reader, entry, &profiles);
    profiles
}

/// A profile that extends itself, directly or through others of this document, means nothing in any layer.
fn check_cycles(reader: &mut Reader<'_>, permissions: &Entry, profiles: &BTreeMap<String, Profile>) {
    let extends = |name: &str| profiles.get(name)?.extends.as_ref().map(|extends| extends.value.as_str());
    let Value::Table(entries) = &permissions.node.value else { return };
    let mut told: BTreeSet<&str> = BTreeSet::new();
    for entry in entries {
        let start = entry.key.as_str();
        if told.contains(start) {
            continue;
        }
        let mut chain = vec![start];
        while let Some(next) = extends(chain[chain.len() - 1]) {
            if next == start {
                let span = reader.span_of_key(&entry.node, "extends");
                let way: Vec<String> =
                    chain.iter().chain([&start]).map(|name| format!("`{}`", printable(name))).collect();
                let reason = format!("the profile extends itself: {}", way.join(" → "));
                reader.error(&span, reason, "let one of them extend a built-in profile, or nothing");
                told.extend(&chain);
                break;
            }
            if chain.contains(&next) || chain.len() > MAX_CHAIN {
                break;
            }
            chain.push(next);
        }
    }
}

fn read_profile(reader: &mut Reader<'_>, node: &Node) -> Profile {
    let mut out = Profile::default();
    for entry in reader.known_table::<schema::Profile>(node, "a profile") {
        match entry.key.as_str() {
            "description" => out.description = reader.string(&entry.node).map(str::to_owned),
            "extends" => out.extends = reader.extends(entry),
            "workspace_roots" => out.workspace_roots = filesystem::read_roots(reader, entry),
            "filesystem" => filesystem::read(reader, &entry.node, &mut out),
            "network" => out.network = network::read(reader, &entry.node),
            "resources" => out.resources = resources::read(reader, &entry.node),
            "environment" => out.environment = environment::read(reader, &entry.node),
            "protected" => out.protected = read_protected(reader, entry),
            "kernel" => out.kernel = read_kernel(reader, &entry.node),
            "degrade" => out.degrade = read_degrade(reader, entry),
            "background" => out.background = read_background(reader, entry),
            _ => {}
        }
    }
    out
}

fn read_protected(reader: &mut Reader<'_>, entry: &Entry) -> BTreeMap<String, Sourced<bool>> {
    let mut out = BTreeMap::new();
    for entry in reader.table(&entry.node, "`protected`") {
        if !PROTECTED_NAMES.contains(&entry.key.as_str()) {
            let help = super::diagnostic::offer(&entry.key, &PROTECTED_NAMES);
            reader.error(
                &entry.key_span,
                format!("`{}` is not protected metadata", printable(&entry.key)),
                &help,
            );
        }
        if let Some(value) = reader.boolean(entry) {
            out.insert(entry.key.clone(), value);
        }
    }
    out
}

fn read_kernel(reader: &mut Reader<'_>, node: &Node) -> BTreeMap<KernelFeature, Sourced<bool>> {
    let mut out = BTreeMap::new();
    for entry in reader.known_table::<schema::KernelTable>(node, "`kernel`") {
        let feature = match entry.key.as_str() {
            "nested_user_namespaces" => KernelFeature::NestedUserNamespaces,
            "io_uring" => KernelFeature::IoUring,
            _ => continue,
        };
        if let Some(value) = reader.boolean(entry) {
            out.insert(feature, value);
        }
    }
    out
}

fn read_background(reader: &mut Reader<'_>, entry: &Entry) -> Option<Sourced<Background>> {
    let value = reader.word::<Background>(&entry.node, "word")?;
    Some(Sourced { value, origin: reader.origin(&entry.key_span, &entry.node.span) })
}

fn read_degrade(reader: &mut Reader<'_>, entry: &Entry) -> BTreeMap<Degradation, crate::policy::Origin> {
    let mut out = BTreeMap::new();
    for item in reader.list(&entry.node) {
        if let Some(name) = reader.word::<Degradation>(item, "guarantee") {
            let origin = reader.origin(&entry.key_span, &item.span);
            if out.insert(name, origin).is_some() {
                reader.warn(&item.span, "the same guarantee stands twice".to_owned(), "remove one");
            }
        }
    }
    out
}

fn read_projects(reader: &mut Reader<'_>, entry: &Entry) -> BTreeMap<String, Sourced<Trust>> {
    let mut out = BTreeMap::new();
    for project in reader.table(&entry.node, "`projects`") {
        let fields = reader.table(&project.node, "what is known of a project");
        let content = fields.iter().find(|field| field.key == trust::CONFIG_SHA256);
        let content = content.and_then(|field| Some((field, reader.string(&field.node)?)));
        let Some(level) = fields.iter().find(|field| field.key == trust::TRUST_LEVEL) else { continue };
        let Some(word) = reader.string(&level.node) else { continue };
        let value = match (word, content) {
            ("trusted", None) => Trust::Trusted,
            ("untrusted", None) => Trust::Untrusted,
            ("trusted", Some((field, text))) => match text.parse() {
                Ok(content) => Trust::TrustedAs(content),
                Err(error) => {
                    let help = "`weir trust` writes it; leave it out to trust every content";
                    reader.error(&field.node.span, format!("no SHA-256: {error}"), help);
                    continue;
                }
            },
            ("untrusted", Some((field, _))) => {
                let reason = "an untrusted project has no content that counts".to_owned();
                reader.error(&field.key_span, reason, "remove the key");
                continue;
            }
            (other, _) => {
                let help = super::diagnostic::offer(other, &["trusted", "untrusted"]);
                reader.error(&level.node.span, format!("unknown trust level `{}`", printable(other)), &help);
                continue;
            }
        };
        let origin = reader.origin(&level.key_span, &level.node.span);
        out.insert(project.key.clone(), Sourced { value, origin });
    }
    out
}

fn read_legacy(reader: &mut Reader<'_>, mode: &Entry, details: Option<&Entry>) -> Option<Legacy> {
    let word = reader.string(&mode.node)?;
    let Some((_, profile)) = SANDBOX_MODES.iter().find(|(name, _)| *name == word) else {
        let help = super::diagnostic::offer(word, &SANDBOX_MODES.map(|(name, _)| name));
        reader.error(&mode.node.span, format!("unknown sandbox mode `{}`", printable(word)), &help);
        return None;
    };
    let origin = reader.origin(&mode.key_span, &mode.node.span);
    let mut rules = Profile::default();
    if let Some(details) = details {
        read_workspace_write(reader, details, &mut rules);
        if word != "workspace-write" {
            reader.warn(
                &details.key_span,
                format!("`sandbox_workspace_write` has no effect with `sandbox_mode = \"{word}\"`"),
                "remove the table, or set `sandbox_mode = \"workspace-write\"`",
            );
            rules = Profile::default();
        }
    }
    Some(Legacy { profile: Sourced { value: (*profile).to_owned(), origin }, rules })
}

fn read_workspace_write(reader: &mut Reader<'_>, details: &Entry, rules: &mut Profile) {
    for entry in reader.known_table::<schema::WorkspaceWrite>(&details.node, "`sandbox_workspace_write`") {
        match entry.key.as_str() {
            "writable_roots" => {
                for item in reader.list(&entry.node) {
                    let Some(text) = reader.string(item) else { continue };
                    let origin = reader.origin(&entry.key_span, &item.span);
                    if let Some(key) = filesystem::path_key(reader, text, &item.span, Access::Write) {
                        rules.filesystem.insert(key, PathEntry { access: Access::Write, origin });
                    }
                }
            }
            "network_access" => rules.network.enabled = reader.boolean(entry),
            "exclude_tmpdir_env_var" => exclude(reader, entry, Token::Tmpdir, rules),
            "exclude_slash_tmp" => exclude(reader, entry, Token::SlashTmp, rules),
            _ => {}
        }
    }
}

/// The older format can take a temporary directory out of what may be written; it stays readable through `:root`.
fn exclude(reader: &mut Reader<'_>, entry: &Entry, token: Token, rules: &mut Profile) {
    if let Some(Sourced { value: true, origin }) = reader.boolean(entry) {
        let key = (super::document::Base::Token(token), super::document::Below::Path(String::new()));
        rules.filesystem.insert(key, PathEntry { access: Access::Read, origin });
    }
}
