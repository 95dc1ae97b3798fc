//! The document as it is written: the keys that exist, what each means and takes.
//!
//! These types are the one list of known keys: the reader takes from them which keys it accepts and offers (`table`), and
//! `weir policy schema` prints them as JSON Schema. They are never filled.

mod table;

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::policy::{Background, Degradation, Inherit, NetworkMode};

pub use table::Table;

/// Weir's configuration: `config.toml` of a user or a project. Tables not named here belong to other parts and are ignored.
#[derive(JsonSchema)]
#[schemars(title = "Weir configuration")]
pub struct Config {
    /// The profile used when none is named: a profile of this file or a built-in one (`:workspace`, `:read-only`,
    /// `:isolated`, `:danger-full-access`).
    pub default_permissions: Option<String>,
    /// The permission profiles by name.
    pub permissions: Option<BTreeMap<String, Profile>>,
    /// Older form of a profile; cannot stand beside `default_permissions`.
    pub sandbox_mode: Option<SandboxMode>,
    /// Details of `sandbox_mode = "workspace-write"`.
    pub sandbox_workspace_write: Option<WorkspaceWrite>,
    /// What is known of projects, by their directory.
    pub projects: Option<BTreeMap<String, Project>>,
}

/// What is known of one project.
#[derive(JsonSchema)]
pub struct Project {
    /// Whether the project's own `.weir/config.toml` is read.
    pub trust_level: Option<TrustLevel>,
    /// With `"trusted"`: SHA-256 of the configuration that is trusted, in hexadecimal, as `weir trust` writes it. Another content is
    /// an error until it is trusted too. Such a decision holds for this directory alone.
    pub config_sha256: Option<String>,
}

/// Whether a project is trusted.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub enum TrustLevel {
    /// Its configuration is read; it may only narrow.
    Trusted,
    /// Its configuration is never read.
    Untrusted,
}

/// The older sandbox modes.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub enum SandboxMode {
    /// The same as `:read-only`.
    ReadOnly,
    /// The same as `:workspace`.
    WorkspaceWrite,
    /// The same as `:danger-full-access`.
    DangerFullAccess,
}

/// Details of the older mode `workspace-write`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct WorkspaceWrite {
    /// More directories that may be written.
    pub writable_roots: Option<Vec<String>>,
    /// Whether the network is open.
    pub network_access: Option<bool>,
    /// Leave out the directory that `TMPDIR` names.
    pub exclude_tmpdir_env_var: Option<bool>,
    /// Leave out `/tmp`.
    pub exclude_slash_tmp: Option<bool>,
}

/// One permission profile.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Profile {
    /// What it is for.
    pub description: Option<String>,
    /// The profile whose rules hold unless this one says otherwise.
    pub extends: Option<String>,
    /// Directories that count as workspace roots beside the working directory, each `true` or `false`.
    pub workspace_roots: Option<BTreeMap<String, bool>>,
    /// What may be read and written.
    pub filesystem: Option<FilesystemTable>,
    /// What may be connected to.
    pub network: Option<NetworkTable>,
    /// Limits on one command and all it starts.
    pub resources: Option<ResourcesTable>,
    /// Which environment variables are seen.
    pub environment: Option<EnvironmentTable>,
    /// Protected metadata switched off (`false`) or on by name, for instance `".git/hooks" = false`.
    pub protected: Option<BTreeMap<String, bool>>,
    /// Kernel features that are closed by default.
    pub kernel: Option<KernelTable>,
    /// Guarantees given up by name on hosts that cannot keep them.
    pub degrade: Option<Vec<Degradation>>,
    /// What becomes of what a command has started when it ends: it ends too (the default), or goes on.
    pub background: Option<Background>,
}

/// Paths and patterns with what is granted there: `read`, `write`, `none` (or `deny`), or a table of sub-paths.
///
/// A key is an absolute path, `~/path`, a pattern, or one of `:root`, `:minimal`, `:project_roots` (`:workspace_roots`),
/// `:cwd`, `:tmpdir`, `:slash_tmp`, `:home`, `:toolchains`, `:secrets`.
#[derive(JsonSchema)]
pub struct FilesystemTable {
    /// How many directories deep a report looks for files that a pattern denies. No effect on what is denied.
    pub glob_scan_max_depth: Option<u32>,
    /// Paths and patterns.
    #[schemars(flatten)]
    pub entries: BTreeMap<String, PathValue>,
}

/// Access, or access by sub-path.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum PathValue {
    /// Access to the path and everything below it.
    Access(AccessWord),
    /// Access by sub-path; `.` is the path itself.
    Nested(BTreeMap<String, AccessWord>),
}

/// What a rule grants on a path and everything below it.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub enum AccessWord {
    /// Reading, listing and executing.
    Read,
    /// As `write` to the command, whose changes land in a copy: `weir changes` shows them, `weir apply` and `weir discard` act on them.
    Copy,
    /// Reading, and creating, changing, renaming and removing.
    Write,
    /// Nothing: the place does not exist for the command.
    None,
    /// The same as `none`.
    Deny,
}

/// Network rules.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct NetworkTable {
    /// Whether there is any network. Off by default.
    pub enabled: Option<bool>,
    /// `limited`: only GET, HEAD and OPTIONS; `full`: everything. Full by default.
    pub mode: Option<NetworkMode>,
    /// Hosts: `name`, `*.name`, `**.name` or `*`, with an optional `:port`. Absent means every host, empty means none.
    pub domains: Option<DomainsValue>,
    /// Unix sockets, or directories of sockets, that may be connected to.
    pub unix_sockets: Option<SocketsValue>,
    /// Whether programs inside may listen on and connect to the sandbox's own loopback.
    pub loopback: Option<bool>,
    /// Addresses outside the public network: `true` for all but metadata services, or a list of ranges.
    pub allow_private: Option<PrivateValue>,
    /// Whether the host's upstream proxy may be used.
    pub allow_upstream_proxy: Option<bool>,
    /// Ports of the host's loopback that lead to servers inside: `8080`, `"3000:80"` (the host's first), and `"*"` in a ceiling. They take
    /// `loopback = true`.
    pub publish: Option<Vec<PublishValue>>,
    /// Another name for `loopback`.
    pub allow_local_binding: Option<bool>,
    /// Opens every unix socket.
    pub dangerously_allow_all_unix_sockets: Option<bool>,
    /// Accepted and not needed: the gate works without a proxy address.
    pub proxy_url: Option<String>,
    /// Accepted and not needed: a SOCKS endpoint is always offered.
    pub enable_socks5: Option<bool>,
    /// Accepted and not needed.
    pub socks_url: Option<String>,
    /// Accepted; only `false` can be kept, since UDP is refused.
    pub enable_socks5_udp: Option<bool>,
    /// Accepted; only `false` can be kept.
    pub dangerously_allow_non_loopback_proxy: Option<bool>,
}

/// Hosts as a list of rules or as a map.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum DomainsValue {
    /// A list.
    List(Vec<DomainEntry>),
    /// A map from pattern to `allow` or `deny`.
    Map(BTreeMap<String, Permission>),
}

/// One host rule of the list form.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct DomainEntry {
    /// The pattern.
    pub pattern: String,
    /// `true` allows, `false` denies.
    pub allow: bool,
}

/// A word that opens or closes.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub enum Permission {
    /// Open.
    Allow,
    /// Closed.
    Deny,
    /// The same as `deny`.
    None,
}

/// Sockets as a list of paths or as a map.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum SocketsValue {
    /// Paths that are allowed.
    List(Vec<String>),
    /// A map from path to `allow` or `deny`.
    Map(BTreeMap<String, Permission>),
}

/// A published port.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum PublishValue {
    /// The same port on both sides.
    Port(u16),
    /// `"HOST:INSIDE"`.
    Text(String),
}

/// Everything outside the public network, or some ranges.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum PrivateValue {
    /// All but metadata services.
    All(bool),
    /// Ranges in CIDR notation.
    Ranges(Vec<String>),
}

/// Limits. Sizes are bytes or text such as `"4GiB"`, times are milliseconds or text such as `"30m"`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ResourcesTable {
    /// Memory of the whole tree.
    pub memory: Option<Quantity>,
    /// Processes and threads of the whole tree.
    pub processes: Option<u64>,
    /// Processor cores, for instance `1.5`.
    pub cpu: Option<f64>,
    /// Open files of each process.
    pub open_files: Option<u64>,
    /// Size of any one file written.
    pub file_size: Option<Quantity>,
    /// Time from start to end.
    pub wall_time: Option<Quantity>,
    /// Bytes written to standard output and error together.
    pub output: Option<Quantity>,
}

/// A number in the base unit, or text with a unit.
pub struct Quantity;

impl JsonSchema for Quantity {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number in the base unit, or text with a unit.",
            "anyOf": [{ "type": "integer", "minimum": 1 }, { "type": "string", "pattern": "^[0-9]+ ?[A-Za-z]+$" }]
        })
    }
}

/// Environment rules.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct EnvironmentTable {
    /// What passes when no pattern names a variable: `none`, `core` (the default) or `all`.
    pub inherit: Option<Inherit>,
    /// Names that pass, with `*` and `?`.
    pub allow: Option<Vec<String>>,
    /// Names that do not pass; wins over `allow`.
    pub deny: Option<Vec<String>>,
    /// Variables to set.
    pub set: Option<BTreeMap<String, String>>,
}

/// Kernel features that are closed by default.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct KernelTable {
    /// Creating user namespaces inside.
    pub nested_user_namespaces: Option<bool>,
    /// The io_uring system calls.
    pub io_uring: Option<bool>,
}

/// The administrator's `/etc/weir/requirements.toml`.
#[derive(JsonSchema)]
#[schemars(title = "Weir requirements", deny_unknown_fields)]
pub struct Requirements {
    /// The profile used when neither the user nor the command line names one.
    pub default_permissions: Option<String>,
    /// Profiles offered to every user.
    pub permissions: Option<BTreeMap<String, Profile>>,
    /// What no profile may exceed.
    pub ceiling: Option<CeilingTable>,
}

/// What no profile may exceed.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct CeilingTable {
    /// The profiles that may be chosen; every one where absent.
    pub profiles: Option<Vec<String>>,
    /// Maximum file-system grants.
    pub filesystem: Option<FilesystemTable>,
    /// Maximum network grants.
    pub network: Option<NetworkTable>,
    /// Limits that every profile gets at least.
    pub resources: Option<ResourcesTable>,
    /// Whether any profile may keep what its commands leave running: `end` forbids it.
    pub background: Option<Background>,
    /// What nothing may lift.
    pub deny: Option<DenyTable>,
    /// Who may use which profile; everyone may use every allowed one where absent.
    pub who: Option<Vec<WhoTable>>,
}

/// What nothing may lift.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct DenyTable {
    /// Paths and patterns that may not be read.
    pub read: Option<Vec<String>>,
    /// Hosts that may not be connected to.
    pub domains: Option<Vec<String>>,
}

/// Users and groups and the profiles they may use.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct WhoTable {
    /// User names.
    pub users: Option<Vec<String>>,
    /// Group names.
    pub groups: Option<Vec<String>>,
    /// Profiles.
    pub profiles: Vec<String>,
}

/// The keys that a table of type `T` knows, by its schema.
#[cfg(test)]
fn keys<T: JsonSchema>() -> Vec<String> {
    let schema = SchemaGenerator::default().into_root_schema_for::<T>();
    let properties = schema.get("properties").and_then(|properties| properties.as_object());
    properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
}

/// The JSON Schema of a configuration file, or of a requirements file.
#[must_use]
pub fn document_schema<T: JsonSchema>() -> serde_json::Value {
    SchemaGenerator::default().into_root_schema_for::<T>().into()
}
