//! Opening what a run works with: a thread, and a context of the exec-server under the policy that binds it.
//!
//! A thread that is continued is bound: its profile may have become narrower, and never wider. That is judged here by the
//! policies themselves, and again by the server, which may have forgotten the thread.

use std::path::PathBuf;
use std::rc::Rc;

use weir_protocol::method::context::Wider;
use weir_protocol::method::policy::{Choice, Shown};
use weir_protocol::{AbsPath, ByteString};

use super::{Exec, ExecError, left};
use crate::approval::Approver;
use crate::confine::{self, Bounds};
use crate::executor::Executor;
use crate::thread::{Bound, ForkPoint, Keeping, NewThread, Record, Source, Store, Thread};
use crate::tool::{self, Place, Tools, Workplace};
use crate::turn::Conversation;

/// The thread that a run is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Continued {
    /// A new one.
    New,
    /// One that goes on: the one that is named, or the last of the directory.
    Resumed(Option<String>),
    /// A new one that begins with another's history.
    Forked(Option<String>),
}

/// Whether a thread is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// On the disk.
    Disk,
    /// Nowhere.
    Ephemeral,
}

/// What a run works with.
pub struct Begun {
    /// The thread.
    pub conversation: Conversation,
    /// What acts.
    pub tools: Tools,
    /// The model.
    pub model: String,
    /// The profile that binds it, and where it stands.
    pub choice: Choice,
    /// Where threads are kept.
    pub store: Store,
    /// What should be said of it before it begins.
    pub remarks: Vec<String>,
}

/// Opens thread and context.
pub(super) async fn begin(exec: &Exec<'_>, approver: Rc<dyn Approver>) -> Result<Begun, ExecError> {
    let store = Store::open(exec.home);
    let session = tool::session_while(&exec.which).await?;
    // From here on this process starts nothing and reaches nothing but its own; the executor's thread is the first one.
    confine(exec)?;
    let executor = Executor::begin(session)?;
    let mut choice = exec.choice.clone();
    let continued = continued(exec, &store)?;
    if let (Some(thread), None) = (&continued, &choice.profile) {
        choice.profile = Some(thread.bound().profile.clone());
    }
    let model = model(exec, continued.as_ref()).ok_or(ExecError::NoModel)?;
    let shown: Shown = executor.ask(choice.clone()).await?;
    let mut bound =
        Bound { profile: shown.policy.profile().to_owned(), digest: shown.digest, policy: shown.policy };
    if let Some(thread) = &continued {
        bound = within(thread, bound, &choice.standpoint.cwd)?;
    }
    let mut thread = match continued {
        Some(thread) => thread,
        None => store.create(NewThread {
            cwd: choice.standpoint.cwd.clone(),
            model: model.clone(),
            provider: exec.provider.id().to_owned(),
            source: Source::Exec,
            bound: bound.clone(),
            keeping: exec.kept.keeping(),
        })?,
    };
    let mut remarks = damage(exec, &thread);
    let tools = tools(exec, (executor, approver), choice.clone(), &thread).await?;
    if tools.workplace().opened().digest != bound.digest {
        return Err(ExecError::Changed);
    }
    // Only now can nothing but the turn itself fail: what is refused before leaves the thread as it was.
    if thread.bound().digest != bound.digest {
        thread.append(Record::Bound(Box::new(bound)))?;
    }
    remarks.extend(tools.workplace().opened().remarks.iter().cloned());
    remarks.extend(left::complete(&mut thread, &tools).await?);
    Ok(Begun { conversation: Conversation::new(thread)?, tools, model, choice, store, remarks })
}

impl Kept {
    pub(super) fn keeping(self) -> Keeping {
        match self {
            Self::Disk => Keeping::Disk,
            Self::Ephemeral => Keeping::Memory,
        }
    }
}

/// Gives up what the run does not need.
fn confine(exec: &Exec<'_>) -> Result<(), ExecError> {
    if exec.kept == Kept::Disk {
        directory(exec.home.to_owned())?;
    }
    let mut bounds = Bounds::new(exec.home, &exec.provider.ports());
    bounds.write.extend(exec.writes.iter().cloned());
    confine::confine(&bounds)?;
    Ok(())
}

/// The thread that is continued, where one is.
fn continued(exec: &Exec<'_>, store: &Store) -> Result<Option<Thread>, ExecError> {
    let find = |meant: &Option<String>| match meant {
        Some(what) => Ok(store.find(what)?),
        None => store.last(Some(&exec.choice.standpoint.cwd))?.ok_or(ExecError::NoThread),
    };
    Ok(match &exec.continued {
        Continued::New => None,
        Continued::Resumed(meant) => {
            let found = find(meant)?;
            Some(match exec.kept {
                Kept::Disk => store.resume(found)?,
                // What is not to be kept leaves the thread as it is.
                Kept::Ephemeral => store.fork(found, ForkPoint::End, Keeping::Memory)?,
            })
        }
        Continued::Forked(meant) => Some(store.fork(find(meant)?, ForkPoint::End, exec.kept.keeping())?),
    })
}

/// The model that is asked for, or the thread's own where its provider is the same, or the usual one.
fn model(exec: &Exec<'_>, continued: Option<&Thread>) -> Option<String> {
    let own = continued.map(Thread::meta).filter(|meta| meta.provider == exec.provider.id());
    let own = own.map(|meta| &meta.model);
    exec.model.as_ref().or(own).or(exec.usual_model.as_ref()).cloned()
}

/// What is said of damaged lines. Those of a thread that was just forked are of the other one's file.
fn damage(exec: &Exec<'_>, thread: &Thread) -> Vec<String> {
    let of = match (&exec.continued, exec.kept, thread.meta().forked_from) {
        (Continued::Resumed(_), Kept::Disk, _) | (_, _, None) => String::new(),
        (_, _, Some(other)) => format!("thread {other}, "),
    };
    thread.damage().iter().map(|damage| format!("{of}{damage}")).collect()
}

/// What is asked for within what binds the thread; a wider one is refused, with the difference. The server says what had to go for that.
fn within(thread: &Thread, asked: Bound, here: &AbsPath) -> Result<Bound, ExecError> {
    let (bound, home) = (thread.bound(), &thread.meta().cwd);
    let shown = |path: &AbsPath| path.display().into_owned();
    let wider = |excess| Box::new(Wider { bound: bound.digest, asked: asked.digest, excess });
    // What a profile means elsewhere is another thing, and not what came to be here.
    let excess = if home == here { Vec::new() } else { asked.policy.excess_over(&bound.policy) };
    if !excess.is_empty() {
        let (home, here) = (shown(home), shown(here));
        return Err(ExecError::Elsewhere { wider: wider(excess), home, here });
    }
    let within = asked.policy.clone().within(&bound.policy);
    let policy = within.map_err(|excess| ExecError::Wider(wider(excess)))?.policy;
    Ok(Bound { digest: policy.digest(), policy, ..asked })
}

async fn tools(
    exec: &Exec<'_>,
    (executor, approver): (Executor, Rc<dyn Approver>),
    choice: Choice,
    thread: &Thread,
) -> Result<Tools, ExecError> {
    use std::os::unix::ffi::OsStrExt as _;
    let bytes = |text: &std::ffi::OsStr| ByteString(text.as_bytes().to_vec());
    let is_secret =
        |name: &std::ffi::OsStr| exec.secret_variables.iter().any(|secret| name == secret.as_str());
    let environment = std::env::vars_os()
        .filter(|(name, _)| !is_secret(name))
        .map(|(name, value)| (bytes(&name), bytes(&value)))
        .collect();
    let outputs = thread.outputs()?;
    let approvals = exec.approvals.clone();
    let when_left = exec.when_left;
    let (id, forked_from) = (thread.id(), thread.meta().forked_from);
    let bound = Some(thread.bound().policy.clone());
    let place = Place {
        choice,
        thread: id,
        forked_from,
        bound,
        environment,
        outputs,
        when_left,
        approvals,
        approver,
    };
    Ok(Tools::new(Workplace::open(executor, place).await?))
}

/// A directory that is its owner's alone.
fn directory(path: PathBuf) -> Result<PathBuf, ExecError> {
    use std::os::unix::fs::DirBuilderExt as _;
    match std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path) {
        Ok(()) => Ok(path),
        Err(source) => Err(ExecError::Outputs { path, source }),
    }
}
