//! `weir policy`: check, show, explain, compare profiles, and print their schema.

use std::ffi::OsString;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt as _;

use clap::{Args, Subcommand, ValueEnum};
use serde::de::DeserializeOwned;
use weir_protocol::ByteString;
use weir_protocol::method::Call;
use weir_protocol::method::policy::{Check, Checked, Diff, Differences, Explain, Explained, Question, Shown};
use weir_protocol::policy::explain::{inherit_word, mode_word};
use weir_protocol::policy::{Background, Excess, Operation, Policy};
use weir_protocol::profile::schema;

use super::standpoint::StandpointError;
use super::{Common, Exit, Overrides, explain, output};
use crate::link::{Link, LinkError, Which, find};

/// What to do with profiles.
#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Check configuration files and say everything that is wrong with them
    #[command(
        after_help = "Examples:\n  weir policy check ~/.weir/config.toml\n  weir policy check --requirements /etc/weir/requirements.toml\n\nExit codes: 0 every file can be used, 2 one cannot."
    )]
    Check {
        /// The files, TOML or (by name) JSON
        #[arg(required = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
        files: Vec<String>,
        /// They are an administrator's requirements
        #[arg(long)]
        requirements: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Show what a profile means here: every rule with its place, and the digest
    #[command(after_help = "Examples:\n  weir policy show\n  weir policy show :isolated --json")]
    Show {
        /// The profile [default: the one in force]
        name: Option<String>,
        /// The same as NAME
        #[arg(long, value_name = "NAME", conflicts_with = "name")]
        profile: Option<String>,
        #[command(flatten)]
        overrides: Overrides,
        #[command(flatten)]
        common: Common,
    },
    /// Say whether something is allowed, by which rule, what holds that here, and what would change the answer
    #[command(
        after_help = "Examples:\n  weir policy explain --path src/main.rs --access write\n  weir policy explain --host registry.example.org\n  weir policy explain --unix-socket /run/docker.sock\n  weir policy explain --env GITHUB_TOKEN --exit-code\n  weir policy explain --profile :isolated --command git push\n\nThe answer names what holds it on this machine, at the running exec-server where there is one, as for `weir run`. Where a mechanism\nrefuses what the policy allows, that is said.\n\nExit codes: 0 answered, 1 with --exit-code where it is refused, 2 bad input, 125 Weir itself failed."
    )]
    Explain(Box<ExplainOptions>),
    /// Say what one profile allows and the other does not
    #[command(
        after_help = "Example:\n  weir policy diff :read-only :workspace\n\nExit codes: 0 no difference, 1 differences."
    )]
    Diff {
        /// One profile
        a: String,
        /// The other
        b: String,
        #[command(flatten)]
        common: Common,
    },
    /// Print the JSON Schema of configuration files
    Schema {
        /// Of requirements files instead
        #[arg(long)]
        requirements: bool,
    },
}

/// Options of `policy explain`.
#[derive(Debug, Args)]
pub(super) struct ExplainOptions {
    /// The profile [default: the one in force]
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    #[command(flatten)]
    question: Asked,
    /// What is tried on the path
    #[arg(long, value_enum, default_value = "read", requires = "path")]
    access: AccessWord,
    /// Exit with 1 where the answer is no
    #[arg(long)]
    exit_code: bool,
    /// Ask the exec-server that listens at PATH, or none but one for this question alone
    #[arg(long, value_name = "PATH|none", value_hint = clap::ValueHint::FilePath)]
    server: Option<Which>,
    #[command(flatten)]
    overrides: Overrides,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Asked {
    /// A path
    #[arg(long, value_name = "P")]
    path: Option<String>,
    /// A host, with an optional port [default port: 443]
    #[arg(long, value_name = "HOST[:PORT]")]
    host: Option<String>,
    /// A unix socket
    #[arg(long, value_name = "P")]
    unix_socket: Option<String>,
    /// An environment variable
    #[arg(long, value_name = "NAME")]
    env: Option<String>,
    /// Whether a command can be started here: its program, interpreters and loaders. What follows CMD belongs to CMD
    #[arg(
        long, value_name = "CMD", num_args = 1.., allow_hyphen_values = true,
        value_hint = clap::ValueHint::CommandName
    )]
    command: Option<Vec<OsString>>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AccessWord {
    Read,
    Write,
    Exec,
}

/// Why a command gives no result.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Standpoint(#[from] StandpointError),
    #[error("{0}")]
    Link(#[from] LinkError),
}

pub(super) fn run(command: PolicyCommand) -> Exit {
    let as_json = command.json();
    match carry_out(command) {
        Ok(exit) => exit,
        Err(Failure::Link(error)) => output::failure(&error, as_json),
        Err(error) => output::message(&format!("error: {error}"), Exit::BadInput),
    }
}

impl PolicyCommand {
    fn json(&self) -> bool {
        match self {
            Self::Check { common, .. } | Self::Show { common, .. } | Self::Diff { common, .. } => common.json,
            Self::Explain(options) => options.common.json,
            Self::Schema { .. } => true,
        }
    }
}

fn carry_out(command: PolicyCommand) -> Result<Exit, Failure> {
    match command {
        PolicyCommand::Check { files, requirements, common } => check(files, requirements, &common),
        PolicyCommand::Show { name, profile, overrides, common } => {
            let choice = common.place.choice(name.or(profile).as_deref(), &overrides)?;
            let shown: Shown = call(Call::PolicyShow(choice))?;
            Ok(if common.json { output::json(&shown) } else { show(&shown) })
        }
        PolicyCommand::Explain(options) => explain_one(*options),
        PolicyCommand::Diff { a, b, common } => {
            let none = Overrides::default();
            let params = Diff {
                one: common.place.choice(Some(&a), &none)?,
                other: common.place.choice(Some(&b), &none)?,
            };
            let found: Differences = call(Call::PolicyDiff(Box::new(params)))?;
            Ok(diff(&a, &b, &found, common.json))
        }
        PolicyCommand::Schema { requirements: true } => {
            Ok(output::json(&schema::document_schema::<schema::Requirements>()))
        }
        PolicyCommand::Schema { requirements: false } => {
            Ok(output::json(&schema::document_schema::<schema::Config>()))
        }
    }
}

fn call<T: DeserializeOwned>(call: Call) -> Result<T, Failure> {
    Ok(Link::start()?.call(call)?)
}

fn check(files: Vec<String>, requirements: bool, common: &Common) -> Result<Exit, Failure> {
    let params = Check { standpoint: common.place.standpoint()?, files, requirements };
    let found: Vec<Checked> = call(Call::PolicyCheck(params))?;
    let exit = if found.iter().all(|file| file.ok) { Exit::Success } else { Exit::BadInput };
    if common.json {
        return Ok(exit.and(output::json(&found)));
    }
    let mut told = Exit::Success;
    for file in &found {
        if !file.report.diagnostics.is_empty() {
            output::message(&format!("{}\n", file.report), exit);
        }
        for remark in &file.remarks {
            output::message(&format!("note: {remark}"), exit);
        }
        let profiles = match file.profiles.as_slice() {
            [] => "no profiles".to_owned(),
            names => names.join(", "),
        };
        let word = if file.ok { "ok" } else { "cannot be used" };
        told = told.and(output::text(&format!("{}: {word} ({profiles})\n", file.file)));
    }
    Ok(exit.and(told))
}

fn explain_one(options: ExplainOptions) -> Result<Exit, Failure> {
    let ExplainOptions { profile, question, access, exit_code, server, overrides, common } = options;
    let access = match access {
        AccessWord::Read => Operation::Read,
        AccessWord::Write => Operation::Write,
        AccessWord::Exec => Operation::Execute,
    };
    let question = match question {
        Asked { path: Some(path), .. } => Question::Path { path, access },
        Asked { host: Some(host), .. } => Question::Host { host },
        Asked { unix_socket: Some(path), .. } => Question::UnixSocket { path },
        Asked { command: Some(words), .. } => command(&words),
        Asked { env, .. } => Question::Environment { name: env.unwrap_or_default() },
    };
    let choice = common.place.choice(profile.as_deref(), &overrides)?;
    // Whoever would run the command says what would hold it.
    let mut link = find(server.as_ref().unwrap_or(&Which::Found))?.map_or_else(Link::start, Ok)?;
    let found: Explained = link.call(Call::PolicyExplain(Box::new(Explain { choice, question })))?;
    let exit = if common.json { output::json(&found) } else { output::text(&explain::render(&found)) };
    let denied = exit_code && explain::answer(&found.explanation, found.held.as_ref()) != explain::ALLOWED;
    Ok(if denied && exit == Exit::Success { Exit::No } else { exit })
}

/// What a command starts with is looked for on this process's `PATH`, as far as the profile lets that pass.
fn command(words: &[OsString]) -> Question {
    let bytes = |word: &OsString| ByteString(word.as_bytes().to_vec());
    // A `--` before the command ends the options, as in `weir run`.
    let words = match words {
        [first, rest @ ..] if first == "--" => rest,
        words => words,
    };
    let path = std::env::var_os("PATH").as_ref().map(bytes);
    Question::Command { argv: words.iter().map(bytes).collect(), path }
}

fn diff(a: &str, b: &str, found: &Differences, as_json: bool) -> Exit {
    let same = found.only_one.is_empty() && found.only_other.is_empty();
    let exit = if same { Exit::Success } else { Exit::No };
    let written = if as_json {
        output::json(found)
    } else if same {
        output::text(&format!("{a} and {b} allow the same\n"))
    } else {
        let side = |name: &str, other: &str, list: &[Excess]| -> String {
            let head = format!("{name} allows, {other} does not:\n");
            let lines: String =
                list.iter().map(|item| format!("  {}\n      by {}\n", item.subject, item.granted)).collect();
            if list.is_empty() {
                format!("{name} allows nothing that {other} does not\n")
            } else {
                head + &lines
            }
        };
        output::text(&(side(a, b, &found.only_one) + &side(b, a, &found.only_other)))
    };
    if written == Exit::Success { exit } else { written }
}

fn show(shown: &Shown) -> Exit {
    if !shown.report.diagnostics.is_empty() {
        output::message(&shown.report.to_string(), Exit::Success);
    }
    for remark in &shown.remarks {
        output::message(&format!("note: {remark}"), Exit::Success);
    }
    output::text(&render(&shown.policy, &shown.digest.to_string()))
}

/// The policy as a table: what, on what, from where.
fn render(policy: &Policy, digest: &str) -> String {
    let mut out = format!("profile  {}\ndigest   {digest}\n", policy.profile());
    if policy.is_unrestricted() {
        out.push_str("\nno rule holds: commands run without restriction\n");
        return out;
    }
    filesystem(&mut out, policy);
    network(&mut out, policy);
    let limits: Vec<_> = policy.resources().iter().collect();
    if !limits.is_empty() {
        out.push_str("\nlimits\n");
    }
    for (resource, limit) in limits {
        line(&mut out, resource.key(), &limit.value.to_string(), &limit.origin.whence());
    }
    let environment = policy.environment();
    out.push_str("\nenvironment\n");
    line(&mut out, "inherit", inherit_word(environment.inherit.value), &environment.inherit.origin.whence());
    for (word, rules) in [("allow", &environment.allow), ("deny", &environment.deny)] {
        rules.iter().for_each(|rule| line(&mut out, word, rule.value.as_str(), &rule.origin.whence()));
    }
    environment.set.iter().for_each(|(name, value)| line(&mut out, "set", name, &value.origin.whence()));
    let background = policy.background();
    if background.value == Background::Keep {
        line(&mut out, "background", background.value.word(), &background.origin.whence());
    }
    for (name, origin) in policy.kernel() {
        line(&mut out, "kernel", name.word(), &origin.whence());
    }
    for (name, origin) in policy.degradations() {
        line(&mut out, "degrade", name.word(), &origin.whence());
    }
    out
}

fn filesystem(out: &mut String, policy: &Policy) {
    out.push_str("\nfilesystem\n");
    let fs = policy.filesystem();
    for rule in fs.rules() {
        let via = rule.via.as_ref().map(|via| format!(", link {via}")).unwrap_or_default();
        line(out, &rule.access.to_string(), &rule.path.display(), &(rule.origin.whence() + &via));
    }
    fs.globs().iter().for_each(|rule| line(out, "none", &rule.pattern.to_string(), &rule.origin.whence()));
    fs.private()
        .iter()
        .for_each(|private| line(out, "private", &private.path.display(), "empty, gone at exit"));
}

fn network(out: &mut String, policy: &Policy) {
    let network = policy.network();
    out.push_str("\nnetwork\n");
    let switch = |value: bool| if value { "on" } else { "off" };
    line(out, switch(network.enabled.value), "network", &network.enabled.origin.whence());
    line(out, switch(network.loopback.value), "loopback", &network.loopback.origin.whence());
    if network.enabled.value {
        line(out, mode_word(network.mode.value), "mode", &network.mode.origin.whence());
        for rule in network.domains.iter().flatten() {
            let word = if rule.allow { "allow" } else { "deny" };
            line(out, word, &rule.pattern.to_string(), &rule.origin.whence());
        }
        for range in network.allow_private.iter().flat_map(|private| &private.value) {
            line(out, "allow", &range.to_string(), "addresses");
        }
    }
    for rule in &network.publish {
        line(out, "publish", &format!("port {}", rule.what), &rule.origin.whence());
    }
    for rule in &network.unix_sockets {
        let word = if rule.allow { "allow" } else { "deny" };
        line(out, word, &format!("unix socket {}", rule.path), &rule.origin.whence());
    }
}

fn line(out: &mut String, word: &str, subject: &str, whence: &str) {
    let _ = writeln!(out, "  {word:<10} {subject:<44}  {whence}");
}
