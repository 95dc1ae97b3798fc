//! A proposal as a configuration file, with what needed each rule.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use weir_protocol::denial::{Act, Denial};
use weir_protocol::policy::Access;
use weir_protocol::profile::read::key_of;
use weir_protocol::unseen::{self, is_unseen};
use weir_protocol::{AbsPath, Policy};

use super::sockets::rule_for;
use super::{Entry, HostUse, Needed, Proposal, Sockets, Why, Withheld};
use crate::denial;

/// Most programs, and places, that are named for one rule.
const NAMED: usize = 4;

/// Most lines about what is not granted, of each kind.
const WITHHELD_LINES: usize = 40;

/// How much of the command stands in the description: it is read in lists of profiles.
const DESCRIBED_CHARACTERS: usize = 60;

/// What no rule can come of.
const UNSEEN: &str = "\
# What it looked for and did not find needs no rule. Not seen, and so not in here: what other programs did for it.
";

/// The same, where looks are not recorded.
const UNSEEN_LOOKS: &str = "\
# Not seen, and so not in here, for this kernel cannot let a call go on (Linux 5.5): programs that only look whether something is there (stat,
# access, readlink); changes of mode, owner and times; a statically linked program that opens nothing, and the loader of one that does.
";

/// What is not granted and may not be missed.
const AT_HOME: &str = "The home directory is only read while learning; under this profile it is an empty one, which can be written.";

/// What stands at the head.
#[derive(Debug, Clone, Copy)]
pub struct Heading<'a> {
    /// The name of the profile.
    pub name: &'a str,
    /// The profile that it extends.
    pub extends: Option<&'a str>,
    /// The command, for people.
    pub command: &'a str,
    /// Its end, for people.
    pub end: &'a str,
}

/// What else is told.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// Hosts that were granted.
    pub hosts: &'a [HostUse],
    /// What was refused.
    pub denials: &'a [Denial],
    /// The home directory, for `~`.
    pub home: &'a AbsPath,
    /// The policy under which all of it happened.
    pub wide: &'a Policy,
}

/// The file.
#[must_use]
pub fn render(heading: &Heading<'_>, proposal: &Proposal, told: &Told<'_>) -> String {
    let mut out = String::new();
    let Heading { name, extends, command, end } = heading;
    comment(&mut out, &format!("Proposed by `weir learn` for `{command}`, which ended with {end}."));
    if proposal.is_cut {
        comment(
            &mut out,
            "INCOMPLETE: the command used more than is recorded. Learn from parts of it, or grant directories by hand.",
        );
    }
    out.push_str(if proposal.has_looks { UNSEEN } else { UNSEEN_LOOKS });
    // Whoever extends a profile has a file with a default already.
    if extends.is_none_or(|base| base.starts_with(':')) {
        let _ = writeln!(out, "default_permissions = {}\n", quoted(name));
    }
    let table = format!("permissions.{}", table_name(name));
    let _ =
        writeln!(out, "[{table}]\ndescription = {}", quoted(&format!("Learned from: {}", in_short(command))));
    if let Some(base) = extends {
        let _ = writeln!(out, "extends = {}", quoted(base));
    }
    filesystem(&mut out, &table, proposal, told);
    network(&mut out, &table, &proposal.sockets, told);
    withheld_sockets(&mut out, &proposal.sockets, told);
    others(&mut out, told);
    out
}

/// The start of the command's first line.
fn in_short(command: &str) -> String {
    let line = command.trim().lines().next().unwrap_or_default();
    let start: String = line.chars().take(DESCRIBED_CHARACTERS).collect();
    if start.len() < command.trim().len() { format!("{start}…") } else { start }
}

fn filesystem(out: &mut String, table: &str, proposal: &Proposal, told: &Told<'_>) {
    let _ = writeln!(out, "\n[{table}.filesystem]");
    let _ = writeln!(
        out,
        "# {} more paths need no rule: system programs and libraries, private directories",
        proposal.covered
    );
    if let Some(project) = &proposal.project {
        why(out, &project.needed);
        if !project.written.is_empty() {
            comment(out, &format!("written in {}", named(&project.written)));
        }
        let _ = match project.write.as_deref() {
            None => writeln!(out, "\":project_roots\" = \"read\""),
            Some(".") => writeln!(out, "\":project_roots\" = \"write\""),
            Some(below) => {
                writeln!(out, "\":project_roots\" = {{ \".\" = \"read\", {} = \"write\" }}", quoted(below))
            }
        };
    }
    if let Some(needed) = &proposal.toolchains {
        why(out, needed);
        out.push_str("\":toolchains\" = \"read\"\n");
    }
    for Entry { path, access, needed } in &proposal.entries {
        let Some(key) = key_of(path) else { continue };
        why(out, needed);
        let _ = writeln!(out, "{} = \"{access}\"", quoted(&short(&key, told.home)));
    }
    let withheld = proposal.withheld.iter().map(|one| withheld(one, told.home));
    let refused: Vec<&Denial> = told.denials.iter().filter(|denial| denial.access.is_some()).collect();
    let is_at_home = refused.iter().any(|denial| is_at_home(denial, told));
    let refused = refused.into_iter().map(|denial| refused_path(denial, told));
    let all: Vec<String> = withheld.chain(refused).collect();
    limited(out, &all);
    if is_at_home {
        comment(out, AT_HOME);
    }
}

/// The lines that fit, and how many there are besides.
fn limited(out: &mut String, all: &[String]) {
    if !all.is_empty() {
        out.push('\n');
    }
    all.iter().take(WITHHELD_LINES).for_each(|text| out.push_str(text));
    if all.len() > WITHHELD_LINES {
        comment(
            out,
            &format!("and {} more that are not granted; --json tells all", all.len() - WITHHELD_LINES),
        );
    }
}

fn network(out: &mut String, table: &str, sockets: &Sockets, told: &Told<'_>) {
    let reached: Vec<&HostUse> = told.hosts.iter().filter(|host| host.unreached.is_none()).collect();
    if !reached.is_empty() || sockets.loopback.is_some() || !sockets.unix.is_empty() {
        let _ = writeln!(out, "\n[{table}.network]");
    }
    granted_sockets(out, sockets);
    if !reached.is_empty() {
        out.push_str("enabled = true\ndomains = [\n");
        for HostUse { pattern, count, .. } in reached {
            let _ = writeln!(out, "  # connected to{}", times(*count));
            let _ = writeln!(out, "  {{ pattern = {}, allow = true }},", quoted(pattern));
        }
        out.push_str("]\n");
    }
    let failed = told.hosts.iter().filter_map(|host| Some((&host.pattern, host.unreached.as_ref()?)));
    let failed =
        failed.map(|(pattern, reason)| (pattern.clone(), format!("asked for and not reached: {reason}")));
    let refused = told.denials.iter().filter(|denial| is_host(denial));
    let refused =
        refused.map(|denial| (denial.target.to_string(), format!("refused: {}", denial::what(denial))));
    let all: Vec<String> = failed
        .chain(refused)
        .map(|(pattern, reason)| {
            let mut text = String::new();
            comment(&mut text, &format!("NOT GRANTED: {reason}"));
            comment(&mut text, &format!("{{ pattern = {}, allow = true }}", quoted(&pattern)));
            text
        })
        .collect();
    if !all.is_empty() {
        comment(out, "");
        comment(
            out,
            "Hosts that are not granted; `weir learn --network` lets them be reached while it records.",
        );
    }
    limited(out, &all);
}

fn granted_sockets(out: &mut String, sockets: &Sockets) {
    if let Some(needed) = &sockets.loopback {
        why(out, needed);
        out.push_str("loopback = true\n");
    }
    if !sockets.ports.is_empty() {
        let ports: Vec<String> = sockets.ports.iter().map(u16::to_string).collect();
        comment(out, "The host does not reach what listens inside, unless:");
        comment(out, &format!("publish = [{}]", ports.join(", ")));
    }
    if !sockets.unix.is_empty() {
        out.push_str("unix_sockets = [\n");
        for (path, needed) in &sockets.unix {
            let Some(key) = rule_for(path) else { continue };
            out.push_str("  ");
            why(out, needed);
            let _ = writeln!(out, "  {},", quoted(&key));
        }
        out.push_str("]\n");
    }
}

/// Sockets that were refused, and addresses of loopback at which nobody was.
fn withheld_sockets(out: &mut String, sockets: &Sockets, told: &Told<'_>) {
    let refused = told.denials.iter().filter(|denial| is_socket(denial));
    let refused = refused.map(|denial| {
        let mut text = String::new();
        comment(&mut text, &format!("NOT GRANTED: refused: {}", denial::what(denial)));
        if let Some(origin) = &denial.origin {
            comment(&mut text, &format!("WARNING: {}. Think twice before you open it.", origin.rule));
        }
        if let Ok(path) = AbsPath::parse(&denial.target.0) {
            could_be(&mut text, &path);
        }
        text
    });
    let nameless = sockets.nameless.iter().map(|(path, needed)| {
        let mut text = String::new();
        comment(&mut text, &format!("NOT GRANTED: connect {path}: no rule for a socket can name it"));
        why(&mut text, needed);
        could_be(&mut text, path);
        text
    });
    let elsewhere = sockets.elsewhere.iter().map(|address| {
        let mut text = String::new();
        comment(
            &mut text,
            &format!("NOT GRANTED: connect {address}: nothing inside listened there, and the host's loopback is another"),
        );
        text
    });
    let all: Vec<String> = refused.chain(nameless).chain(elsewhere).collect();
    if told.denials.iter().any(is_socket) {
        comment(out, "");
        comment(
            out,
            "Sockets that are not granted; `weir learn --sockets` lets others than those with a warning be reached while it records.",
        );
    }
    limited(out, &all);
}

/// The rule that would open a socket: its own, or else its directory's.
fn could_be(out: &mut String, path: &AbsPath) {
    let line = |key: &str| format!("unix_sockets = [{}]", quoted(key));
    if let Some(key) = rule_for(path) {
        return comment(out, &line(&key));
    }
    let above = std::iter::successors(path.parent(), AbsPath::parent).find_map(|above| rule_for(&above));
    match above.filter(|above| above != "/") {
        Some(key) => comment(out, &format!("{} would open every socket below", line(&key))),
        None => comment(out, "It cannot be opened by a rule: give it another name."),
    }
}

/// Whatever was refused and is neither a path nor a host nor a socket: no rule is proposed for it.
fn others(out: &mut String, told: &Told<'_>) {
    let others = told
        .denials
        .iter()
        .filter(|denial| denial.access.is_none() && !is_host(denial) && !is_socket(denial));
    let all: Vec<String> = others
        .map(|denial| {
            let mut text = String::new();
            comment(&mut text, &format!("NOT GRANTED: refused: {}", denial::what(denial)));
            text
        })
        .collect();
    limited(out, &all);
}

fn is_host(denial: &Denial) -> bool {
    matches!(denial.operation, Act::Connect | Act::Resolve | Act::Request | Act::Send) && !is_socket(denial)
}

/// A unix socket with a path.
fn is_socket(denial: &Denial) -> bool {
    denial.operation == Act::Connect && denial.target.0.first() == Some(&b'/')
}

fn withheld(one: &Withheld, home: &AbsPath) -> String {
    let Withheld { act, path, program, why } = one;
    let by = program.as_ref().map(|program| format!(" by {program}")).unwrap_or_default();
    let shown = short(&path.display(), home);
    let mut out = String::new();
    let reason = match why {
        Why::Closed(rule) => format!("closed by {rule}"),
        Why::Wide(dir) => {
            let dir = short(&dir.display(), home);
            format!("a rule for {dir} would open all below it, and what there must not be opened as a whole")
        }
        Why::Looked => {
            "a directory of the home that was only looked at: a rule would open all of it".to_owned()
        }
        Why::Nowhere => "it leads to nothing that is there, and so cannot be granted".to_owned(),
        Why::Name => "its name cannot stand in a profile".to_owned(),
    };
    comment(&mut out, &format!("NOT GRANTED: {shown}: {}{by}: {reason}", done(*act)));
    let dir = match why {
        Why::Wide(dir) => Some(dir),
        Why::Looked => Some(path),
        _ => None,
    };
    if let (Some(dir), Some(key)) = (dir, key_of(path)) {
        let (key, access) = match act {
            Act::Create => (key_of(dir).unwrap_or(key), "write"),
            Act::Write | Act::Alter => (key, "write"),
            _ => (key, "read"),
        };
        comment(&mut out, &format!("{} = \"{access}\"", quoted(&short(&key, home))));
    }
    out
}

/// Whether something was refused in the home that is no secret.
fn is_at_home(denial: &Denial, told: &Told<'_>) -> bool {
    let path = AbsPath::parse(&denial.target.0);
    path.is_ok_and(|path| path.starts_with(told.home) && told.wide.access(&path) > Access::None)
}

/// A path that was refused while learning: the command had to do without it.
fn refused_path(denial: &Denial, told: &Told<'_>) -> String {
    let mut out = String::new();
    comment(&mut out, &format!("NOT GRANTED: refused while learning: {}", denial::what(denial)));
    let Ok(path) = AbsPath::parse(&denial.target.0) else { return out };
    if told.wide.access(&path) == Access::None {
        comment(&mut out, "WARNING: a secret, or closed on purpose. Think twice before you open it.");
    }
    if let (Some(key), Some(operation)) = (key_of(&path), denial.access) {
        comment(&mut out, &format!("{} = \"{}\"", quoted(&short(&key, told.home)), operation.needs()));
    }
    out
}

/// What needed a rule.
fn why(out: &mut String, needed: &Needed) {
    let acts: Vec<&str> = needed.acts.iter().map(|act| done(*act)).collect();
    if acts.is_empty() {
        return comment(out, "the command starts there");
    }
    let by =
        if needed.programs.is_empty() { String::new() } else { format!(" by {}", named(&needed.programs)) };
    let paths = if needed.paths > 1 { format!(" ({} uses)", needed.paths) } else { String::new() };
    comment(out, &format!("{}{by}{paths}", acts.join(", ")));
}

/// What was done, before "by".
const fn done(act: Act) -> &'static str {
    match act {
        Act::List => "listed",
        Act::Execute => "executed",
        Act::Look => "looked at",
        Act::Write => "written",
        Act::Alter => "attributes changed",
        Act::Create => "names made or removed",
        Act::Connect => "connected to",
        Act::Bind => "listened on",
        other => other.word(),
    }
}

/// The first of these names, and how many there are besides.
fn named(names: &BTreeSet<String>) -> String {
    let shown: Vec<&str> = names.iter().map(String::as_str).take(NAMED).collect();
    match names.len().saturating_sub(NAMED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn times(count: usize) -> String {
    if count > 1 { format!(", {count} times") } else { String::new() }
}

/// One line of comment. What a terminal or a reader of the file would obey is shown, not sent.
fn comment(out: &mut String, text: &str) {
    let shown: String = text.chars().map(|one| if one.is_control() { '\u{fffd}' } else { one }).collect();
    let _ = writeln!(out, "{}", format!("# {shown}").trim_end());
}

/// With `~` for the home directory.
fn short(path: &str, home: &AbsPath) -> String {
    let below = path.strip_prefix(&*home.display()).and_then(|below| below.strip_prefix('/'));
    match below.filter(|_| !home.is_root()) {
        Some(below) => format!("~/{below}"),
        None => path.to_owned(),
    }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    if text.contains(is_unseen) { unseen::toml(text) } else { toml_edit::Value::from(text).to_string() }
}

fn table_name(name: &str) -> String {
    let is_bare = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if is_bare && !name.is_empty() { name.to_owned() } else { quoted(name) }
}
