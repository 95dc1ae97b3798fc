//! From a request to start a command to what the launcher is asked for: the policy, the filtered environment, the limits.

use serde::{Deserialize, Serialize};
use weir_protocol::method::network::{Asking, MAX_ANSWER_MS, MAX_QUESTIONS};
use weir_protocol::method::process::{MAX_ARGUMENT_BYTES, MAX_ARGUMENTS, Start, Stdio};
use weir_protocol::method::{Error, code};
use weir_protocol::policy::{Request, Resource};
use weir_protocol::{AbsPath, ByteString, Policy};

use super::policy::policy_of;
use super::recording::widened;
use crate::launch::user::user;
use crate::launch::{Image, Launch, Source};

/// The bits of a umask (umask(2)).
const MAX_UMASK: u32 = 0o777;

/// A command that may be started.
#[derive(Debug, Serialize, Deserialize)]
pub struct Startable {
    /// What the launcher is asked for.
    pub launch: Launch,
    /// Milliseconds until the command is ended.
    pub limit_ms: Option<u64>,
    /// Bytes of output, standard output and standard error together, beyond which the command is ended.
    pub limit_bytes: Option<u64>,
    /// What should be said about the documents and the profile.
    pub remarks: Vec<String>,
}

/// Decides everything that can be decided before a process exists. `decided` is a policy that was decided before, of a context.
///
/// # Errors
/// [`Error`] for the client: no policy, or a command that cannot be expressed.
pub fn startable(start: &Start, decided: Option<Policy>) -> Result<Startable, Error> {
    check_size(start)?;
    start.asking.as_ref().map_or(Ok(()), check_asking)?;
    start.umask.map_or(Ok(()), check_umask)?;
    let mut choice = start.choice.clone();
    let user = start
        .user
        .as_deref()
        .map(|name| user(name).ok_or_else(|| question(format!("there is no user `{name}`"))));
    let user = user.transpose()?;
    if let Some(home) = user.as_ref().and_then(|user| AbsPath::from_host(&user.dir)) {
        choice.standpoint.home = home;
    }
    let is_bound = decided.is_some();
    let (policy, remarks) = match decided {
        Some(policy) => (policy, Vec::new()),
        None if start.under.is_some() => return Err(question("this server keeps no contexts".to_owned())),
        None => policy_of(&choice).map(|loaded| (loaded.policy, loaded.remarks))?,
    };
    let policy = match start.record {
        Some(recording) if is_bound => {
            let recorded = widened(policy.clone(), start, recording);
            check_bound(&recorded, &policy)?;
            recorded
        }
        Some(recording) => widened(policy, start, recording),
        None => policy,
    };
    let mut env = environment(&policy, start);
    if let Some(user) = &user {
        set(&mut env, "HOME", user.dir.as_os_str().as_encoded_bytes());
        set(&mut env, "USER", user.name.as_bytes());
        set(&mut env, "LOGNAME", user.name.as_bytes());
        set(&mut env, "SHELL", user.shell.as_os_str().as_encoded_bytes());
    }
    let wall = policy.resources().limit(Resource::WallTime).map(|limit| limit.value);
    let limit_ms = [wall, start.timeout_ms].into_iter().flatten().min();
    let limit_bytes = output_limit(&policy, &start.stdio)?;
    let (stdio, size) = sources(&start.stdio);
    let launch = Launch {
        cwd: choice.standpoint.cwd.clone(),
        umask: start.umask,
        policy,
        argv: start.argv.clone(),
        env,
        stdio,
        size,
        user: start.user.clone(),
        standpoint: choice.standpoint,
        image: Image::Command,
        recorded: start.record.is_some(),
        certificate: None,
    };
    Ok(Startable { launch, limit_ms, limit_bytes, remarks })
}

/// What binds a context is widened by a lease and by nothing else.
fn check_bound(recorded: &Policy, bound: &Policy) -> Result<(), Error> {
    let excess = recorded.excess_over(bound);
    excess.first().map_or(Ok(()), |first| {
        let message =
            format!("recording would widen what binds the context: {first}; record without a context");
        Err(Error { code: code::WIDENED, message })
    })
}

/// Only output that the server carries can be counted.
fn output_limit(policy: &Policy, stdio: &Stdio) -> Result<Option<u64>, Error> {
    match (policy.resources().limit(Resource::Output), stdio) {
        (None, _) => Ok(None),
        (Some(limit), Stdio::Pipes { .. } | Stdio::Carried { .. }) => Ok(Some(limit.value)),
        (Some(limit), Stdio::Descriptors { .. } | Stdio::Terminal { .. }) => Err(Error {
            code: code::UNENFORCEABLE,
            message: format!(
                "the profile `{}` cannot be enforced: {}: the output is passed to the caller itself, so it cannot be counted; use \
                 `wall_time` or `file_size`, or let the server carry the output",
                policy.profile(),
                limit.origin
            ),
        }),
    }
}

fn question(message: String) -> Error {
    Error { code: code::QUESTION, message }
}

fn check_size(start: &Start) -> Result<(), Error> {
    if start.argv.is_empty() {
        return Err(question("no command was given".to_owned()));
    }
    let variables = start.env.iter().chain(&start.set);
    let bytes = start.argv.iter().map(|argument| argument.0.len()).sum::<usize>()
        + variables.map(|(name, value)| name.0.len() + value.0.len()).sum::<usize>();
    if start.argv.len() > MAX_ARGUMENTS || bytes > MAX_ARGUMENT_BYTES {
        return Err(question(format!(
            "{} arguments and {bytes} bytes of arguments and environment are more than {MAX_ARGUMENTS} and {MAX_ARGUMENT_BYTES}",
            start.argv.len()
        )));
    }
    Ok(())
}

fn check_umask(umask: u32) -> Result<(), Error> {
    if umask <= MAX_UMASK {
        return Ok(());
    }
    Err(question(format!("a umask of {umask:#o} has more bits than {MAX_UMASK:#o}")))
}

fn check_asking(asking: &Asking) -> Result<(), Error> {
    let Asking { answer_ms, most } = *asking;
    if (1..=MAX_ANSWER_MS).contains(&answer_ms) && (1..=MAX_QUESTIONS).contains(&most) {
        return Ok(());
    }
    let limits = format!("1 to {MAX_ANSWER_MS} ms and 1 to {MAX_QUESTIONS} questions");
    Err(question(format!("`asking` takes {limits}, not {answer_ms} ms and {most} questions")))
}

/// What the command sees of the caller's environment, with what the profile and this run set.
fn environment(policy: &Policy, start: &Start) -> Vec<(ByteString, ByteString)> {
    let passes = |name: &ByteString| match std::str::from_utf8(&name.0) {
        Ok(name) => policy.verdict(&Request::Environment { name }).allowed,
        Err(_) => policy.is_unrestricted(),
    };
    let mut env: Vec<_> = start.env.iter().filter(|(name, _)| passes(name)).cloned().collect();
    if env.iter().any(|(name, _)| name.0 == b"PWD") {
        set(&mut env, "PWD", start.choice.standpoint.cwd.as_bytes());
    }
    for (name, value) in &policy.environment().set {
        set(&mut env, name, value.value.as_bytes());
    }
    for (name, value) in &start.set {
        env.retain(|(other, _)| other != name);
        env.push((name.clone(), value.clone()));
    }
    env
}

fn set(env: &mut Vec<(ByteString, ByteString)>, name: &str, value: &[u8]) {
    env.retain(|(other, _)| other.0 != name.as_bytes());
    env.push((ByteString::from(name), ByteString(value.to_vec())));
}

fn sources(stdio: &Stdio) -> ([Source; 3], Option<[u16; 2]>) {
    match stdio {
        Stdio::Descriptors { open } => {
            (open.map(|open| if open { Source::Passed } else { Source::Closed }), None)
        }
        Stdio::Terminal { size, own } => {
            (own.map(|own| if own { Source::Passed } else { Source::Terminal }), Some(*size))
        }
        Stdio::Pipes { .. } => ([Source::Passed; 3], None),
        Stdio::Carried { size } => ([Source::Terminal; 3], Some(*size)),
    }
}
