//! Why a verdict is what it is: the winning rule, the rules that lost, and the smallest edit that would turn the answer.

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::access::{Access, Operation};
use super::filesystem::StandIn;
use super::glob::has_wildcard;
use super::host::{Host, HostPattern};
use super::network::{DomainRule, NetworkMode};
use super::origin::{Layer, Origin};
use super::publish::{PublishRule, Published};
use super::verdict::{Request, RuleRef, Verdict};
use super::{Inherit, Policy};
use crate::path::{AbsPath, ancestor_slices};
use crate::profile::read::key_of;
use crate::unseen;

/// Under which name the rules of the requirements' ceiling stand.
pub(crate) const CEILING: &str = "ceiling";

/// Most rules that lost named in one explanation.
pub const MAX_LOSERS: usize = 16;

/// A rule that took no part in the decision in the end, and why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loser {
    /// The rule, as the policy has it.
    pub rule: String,
    /// Where it stands.
    pub origin: Origin,
    /// Why it lost.
    pub because: String,
}

/// A change to a file that would turn the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Edit {
    /// Add `line` to the table of the profile.
    Add {
        /// The table, for instance `permissions.team.filesystem`.
        table: String,
        /// The line to add.
        line: String,
        /// The file in which the profile stands; absent where it is in none, as a built-in one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<String>,
    },
    /// Change or remove the rule that stands there.
    Change {
        /// Where it stands.
        origin: Origin,
        /// What it should say; absent to remove it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
    },
}

/// In words, for people.
impl fmt::Display for Edit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Add { table, line, .. } => match table.split_once(", ") {
                Some((table, where_in)) => format!("add under [{table}], {where_in}: {line}"),
                None => format!("add under [{table}]: {line}"),
            },
            Self::Change { origin, to: Some(to) } => {
                format!("change {} to {to} at {}", origin.rule, origin.whence())
            }
            Self::Change { origin, to: None } if origin.layer == Layer::CommandLine => {
                format!("leave out {}", origin.rule)
            }
            Self::Change { origin, to: None } => format!("remove {} at {}", origin.rule, origin.whence()),
        };
        // Lines that were made here name what is not seen; an edit may have come from elsewhere.
        out.write_str(&unseen::named(&text))
    }
}

/// The answer to one question with its reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The question, in words.
    pub question: String,
    /// The answer.
    pub allowed: bool,
    /// The access that the winning rule gives; absent for questions other than paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// The winning rule, in words.
    pub rule: String,
    /// Where it stands; absent where no rule covers the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What else holds, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<String>,
    /// Rules that could have decided and did not, nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<Loser>,
    /// What would turn the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit: Option<Edit>,
}

impl Policy {
    /// Answers `request` and says why.
    #[must_use]
    pub fn explain(&self, request: &Request<'_>) -> Explanation {
        let verdict = self.verdict(request);
        let access = match request {
            Request::Path { path, .. } => Some(self.access(path)),
            _ => None,
        };
        Explanation {
            question: question(request),
            allowed: verdict.allowed,
            access,
            rule: rule_text(&verdict.rule),
            origin: verdict.rule.origin().cloned(),
            conditions: [conditions(&verdict), self.denied_addresses(&verdict), self.published(request)]
                .concat(),
            lost: if self.is_unrestricted() { Vec::new() } else { self.lost(request, &verdict.rule) },
            edit: self.edit(request, &verdict).map(|edit| self.placed(edit)),
        }
    }

    /// What else must hold of the addresses to which an allowed name leads.
    fn denied_addresses(&self, verdict: &Verdict<'_>) -> Vec<String> {
        let is_address =
            |rule: &&DomainRule| matches!(rule.pattern.host, HostPattern::Exact(Host::Address(_)));
        let denied = self.network().denials().filter(is_address);
        denied
            .filter(|_| verdict.allowed && verdict.conditions.checked_address)
            .map(|rule| format!("the name must not lead to {} ({})", rule.pattern, rule.origin.whence()))
            .take(MAX_LOSERS)
            .collect()
    }

    /// Where on the host a server inside is reached as well.
    fn published(&self, request: &Request<'_>) -> Vec<String> {
        let Request::Connect { host, port } = request else { return Vec::new() };
        let leads = |rule: &&PublishRule| match rule.what {
            Published::Every => true,
            Published::Port { inside, .. } => inside.get() == *port,
        };
        let rules = self.network().publish.iter().filter(|_| host.is_loopback()).filter(leads);
        let told = |rule: &PublishRule| match rule.what.host() {
            Some(port) => {
                format!("port {port} of the host's loopback leads there ({})", rule.origin.whence())
            }
            None => format!("ports of the host's loopback may lead there ({})", rule.origin.whence()),
        };
        rules.map(told).collect()
    }

    fn lost(&self, request: &Request<'_>, winner: &RuleRef<'_>) -> Vec<Loser> {
        let mut lost = match request {
            Request::Path { path, .. } => self.lost_paths(path, winner),
            Request::Connect { host, port } => self.lost_domains(host, *port, winner),
            _ => Vec::new(),
        };
        lost.truncate(MAX_LOSERS);
        lost
    }

    fn lost_paths(&self, path: &AbsPath, winner: &RuleRef<'_>) -> Vec<Loser> {
        let mut lost = Vec::new();
        let fs = self.filesystem();
        for prefix in ancestor_slices(path.as_bytes()) {
            let Some(rule) = fs.rule_at_bytes(prefix) else { continue };
            let wins = *winner == RuleRef::Path(rule);
            if !wins {
                let because = match winner {
                    RuleRef::Glob(_) => "a pattern that denies wins over every path".to_owned(),
                    _ => "it covers the path with fewer components".to_owned(),
                };
                lost.push(Loser { rule: path_rule_text(rule), origin: rule.origin.clone(), because });
            }
            lost.extend(rule.overruled.iter().map(|overruled| Loser {
                rule: format!("{} = {}", rule.path, overruled.access),
                origin: overruled.origin.clone(),
                because: "for one path none wins over copy, copy over write, and write over read".to_owned(),
            }));
        }
        lost
    }

    fn lost_domains(&self, host: &Host, port: u16, winner: &RuleRef<'_>) -> Vec<Loser> {
        let rules = self.network().domains.as_deref().unwrap_or_default();
        rules
            .iter()
            .filter(|rule| rule.pattern.matches(host, port) && *winner != RuleRef::Domain(rule))
            .map(|rule| Loser {
                rule: domain_text(rule),
                origin: rule.origin.clone(),
                because: if rule.allow {
                    "a denial wins over a grant, and a more exact grant over a wider one".to_owned()
                } else {
                    "a bare `*` denial only states what holds when nothing else matches".to_owned()
                },
            })
            .collect()
    }

    fn edit(&self, request: &Request<'_>, verdict: &Verdict<'_>) -> Option<Edit> {
        if self.is_unrestricted() {
            return None;
        }
        let table = |name: &str| table_name(self.profile(), name);
        match request {
            Request::Path { .. } | Request::Connect { .. } | Request::UnixSocket { .. }
                if is_ceilings(verdict) =>
            {
                None
            }
            Request::Path { path, operation } => {
                self.path_edit(path, *operation, verdict, table("filesystem"))
            }
            Request::Connect { host, port } => Some(self.connect_edit(host, *port, verdict, &table)),
            Request::UnixSocket { path } => {
                let word = if verdict.allowed { "deny" } else { "allow" };
                match verdict.rule {
                    RuleRef::Socket(rule) if rule.path == **path => Some(change(&rule.origin, word)),
                    _ => {
                        let key = std::str::from_utf8(path.as_bytes()).ok()?;
                        let line = format!("{} = \"{word}\"", quoted(key));
                        // A rule for a socket is no pattern, and has no escapes.
                        let can_stand = !key.contains(char::is_control) && !has_wildcard(key);
                        can_stand.then(|| add(table("network.unix_sockets"), line))
                    }
                }
            }
            Request::Environment { name } => Some(self.environment_edit(name, verdict, table("environment"))),
        }
    }

    /// With the file in which the profile's rules stand.
    fn placed(&self, edit: Edit) -> Edit {
        match edit {
            Edit::Add { table, line, .. } => Edit::Add { table, line, file: self.file() },
            change @ Edit::Change { .. } => change,
        }
    }

    fn file(&self) -> Option<String> {
        let network = self.network();
        let paths = self.filesystem().rules().iter().map(|rule| &rule.origin);
        let globs = self.filesystem().globs().iter().map(|rule| &rule.origin);
        let hosts = network.domains.iter().flatten().map(|rule| &rule.origin);
        let limits = self.resources().iter().map(|(_, limit)| &limit.origin);
        let own = |origin: &&Origin| origin.profile == self.profile() && origin.layer == Layer::User;
        let mut all = paths.chain(globs).chain(hosts).chain([&network.enabled.origin]).chain(limits);
        all.find_map(|origin| own(&origin).then(|| origin.place.as_ref().map(|place| place.file.clone()))?)
    }

    /// `None` where no rule can name the path.
    fn path_edit(
        &self,
        path: &AbsPath,
        operation: Operation,
        verdict: &Verdict<'_>,
        table: String,
    ) -> Option<Edit> {
        let word = if verdict.allowed { Access::None } else { operation.needs() };
        Some(match verdict.rule {
            RuleRef::Glob(rule) => Edit::Change { origin: rule.origin.clone(), to: None },
            // An option of the command line is no line to change, and no other lifts it.
            RuleRef::Path(rule) if rule.origin.layer == Layer::CommandLine && rule.access == Access::None => {
                Edit::Change { origin: rule.origin.clone(), to: None }
            }
            RuleRef::Path(rule)
                if rule.path == *path && rule.origin.place.is_some() && rule.via.is_none() =>
            {
                change(&rule.origin, &word.to_string())
            }
            _ => add(table, format!("{} = \"{word}\"", quoted(&key_of(path)?))),
        })
    }

    fn connect_edit(
        &self,
        host: &Host,
        port: u16,
        verdict: &Verdict<'_>,
        table: &impl Fn(&str) -> String,
    ) -> Edit {
        let network = self.network();
        let rule = |allow: bool| domain_edit(network, &format!("{host}:{port}"), allow, table);
        match (verdict.conditions.address_class, host) {
            // A list of hosts would close all others.
            (Some(_), Host::Address(address)) if network.domains.is_none() && !verdict.allowed => {
                let of = |range: &IpNet| quoted(&range.to_string());
                let ranges = network.allow_private.iter().flat_map(|private| &private.value);
                let all: Vec<_> = ranges.chain([&IpNet::from(*address)]).map(of).collect();
                return add(table("network"), format!("allow_private = [{}]", all.join(", ")));
            }
            _ => {}
        }
        match verdict.rule {
            RuleRef::Switch("network.loopback", _) => {
                add(table("network"), format!("loopback = {}", !verdict.allowed))
            }
            RuleRef::Switch("network.enabled", _) if !network.enabled.value => {
                let host = quoted(&format!("{host}:{port}"));
                add(table("network"), format!("enabled = true, domains = {{ {host} = \"allow\" }}"))
            }
            RuleRef::Domain(rule) if !rule.allow && rule.pattern != super::DomainPattern::ANY => {
                Edit::Change { origin: rule.origin.clone(), to: None }
            }
            _ => rule(!verdict.allowed),
        }
    }

    fn environment_edit(&self, name: &str, verdict: &Verdict<'_>, table: String) -> Edit {
        let environment = self.environment();
        match verdict.rule {
            RuleRef::Switch("environment.set", origin) => Edit::Change { origin: origin.clone(), to: None },
            RuleRef::Switch("environment.deny", origin) => Edit::Change { origin: origin.clone(), to: None },
            _ if verdict.allowed => add(table, list_line("deny", &environment.deny, name)),
            _ => add(table, list_line("allow", &environment.allow, name)),
        }
    }
}

/// Whether the administrator's ceiling denies, which no profile and no option lifts.
fn is_ceilings(verdict: &Verdict<'_>) -> bool {
    let imposed = |origin: &Origin| origin.layer == Layer::Requirements && origin.profile == CEILING;
    !verdict.allowed && verdict.rule.origin().is_some_and(imposed)
}

/// A line for the list form where the profile uses it, for the map form otherwise.
fn domain_edit(network: &super::Network, host: &str, allow: bool, table: &impl Fn(&str) -> String) -> Edit {
    let is_list = network.domains.iter().flatten().any(|rule| rule.origin.rule.starts_with('{'));
    if is_list {
        let line = format!("{{ pattern = {}, allow = {allow} }},", quoted(host));
        return add(table("network") + ", in `domains`", line);
    }
    let word = if allow { "allow" } else { "deny" };
    add(table("network.domains"), format!("{} = \"{word}\"", quoted(host)))
}

fn add(table: String, line: String) -> Edit {
    Edit::Add { table, line, file: None }
}

/// The table of a profile. Nobody can change a built-in profile, so an edit to one goes into a profile that extends it.
fn table_name(profile: &str, name: &str) -> String {
    if profile.starts_with(':') {
        format!("permissions.my-profile.{name}, of a new profile with `extends = \"{profile}\"`")
    } else {
        format!("permissions.{}.{name}", table_key(profile))
    }
}

fn list_line(key: &str, rules: &[super::environment::NameRule], name: &str) -> String {
    let names: Vec<_> = rules.iter().map(|rule| rule.value.as_str()).chain([name]).map(quoted).collect();
    format!("{key} = [{}]", names.join(", "))
}

fn change(origin: &Origin, to: &str) -> Edit {
    Edit::Change { origin: origin.clone(), to: Some(format!("\"{to}\"")) }
}

/// A TOML key: bare where it may be, quoted where it must be.
fn table_key(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if bare { name.to_owned() } else { quoted(name) }
}

fn quoted(text: &str) -> String {
    unseen::toml(text)
}

fn question(request: &Request<'_>) -> String {
    match request {
        Request::Path { path, operation } => format!("{operation} {path}"),
        Request::Connect { host, port } => format!("connect to {host}:{port}"),
        Request::UnixSocket { path } => format!("connect to unix socket {path}"),
        Request::Environment { name } => format!("pass environment variable {name}"),
    }
}

fn path_rule_text(rule: &super::PathRule) -> String {
    match &rule.via {
        Some(via) => format!("{} = {} (through the symbolic link {via})", rule.path, rule.access),
        None => format!("{} = {}", rule.path, rule.access),
    }
}

fn domain_text(rule: &DomainRule) -> String {
    format!("{} = {}", rule.pattern, if rule.allow { "allow" } else { "deny" })
}

fn rule_text(rule: &RuleRef<'_>) -> String {
    match rule {
        RuleRef::Path(rule) => path_rule_text(rule),
        RuleRef::Glob(rule) => format!("{} = none", rule.pattern),
        RuleRef::Domain(rule) => domain_text(rule),
        RuleRef::Socket(rule) => format!("{} = {}", rule.path, if rule.allow { "allow" } else { "deny" }),
        RuleRef::Switch(key, _) => (*key).to_owned(),
        RuleRef::LooksSecret(pattern) => format!("the name looks like a secret ({pattern})"),
        RuleRef::Nothing => "no rule covers this".to_owned(),
    }
}

fn conditions(verdict: &Verdict<'_>) -> Vec<String> {
    let found = &verdict.conditions;
    let mut out = Vec::new();
    if found.limited_methods {
        out.push("only GET, HEAD and OPTIONS".to_owned());
    }
    if verdict.allowed && found.checked_address {
        out.push("the name must lead to a public address, or to one that `allow_private` covers".to_owned());
    }
    if found.copied {
        out.push("changes land in a copy; `weir changes` shows them".to_owned());
    }
    if let Some(class) = found.address_class {
        out.push(format!("the address is {class}, which needs a rule of its own"));
    }
    if let Some(origin) = verdict.rule.origin().filter(|_| is_ceilings(verdict)) {
        out.push(format!(
            "the administrator's ceiling closes it ({}); nothing else lifts that",
            origin.whence()
        ));
    }
    if let Some(stand_in) = found.stand_in {
        let what = match stand_in.kind {
            StandIn::Home => "home",
            StandIn::Temporary => "temporary directory",
            StandIn::SharedMemory => "shared memory",
        };
        out.push(format!("the command finds an empty, private {what} at {} instead", stand_in.path));
    }
    out
}

/// The words of `inherit` and `mode` as a profile writes them.
#[must_use]
pub fn inherit_word(inherit: Inherit) -> &'static str {
    match inherit {
        Inherit::None => "none",
        Inherit::Core => "core",
        Inherit::All => "all",
    }
}

/// The word of a network mode as a profile writes it.
#[must_use]
pub fn mode_word(mode: NetworkMode) -> &'static str {
    match mode {
        NetworkMode::Limited => "limited",
        NetworkMode::Full => "full",
    }
}
