//! One plan carried out: prepare, start, and hear whether the command was executed.

use std::io::{self, Read as _};
use std::rc::Rc;
use std::time::Instant;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use weir_protocol::method::process::Enforcement;
use weir_sandbox_linux::gate::variables;
use weir_sandbox_linux::group::Group;
use weir_sandbox_linux::plan::{MountStep, Plan};
use weir_sandbox_linux::prepare::{Command, Prepared};
use weir_sandbox_linux::start::{NetworkAhead, Source, Wires, start};
use weir_sandbox_linux::step::{FAILURE_BYTES, Failure, Step};

use super::begin::{BeginError, Compiled, enforcement};
use super::records::Records;
use super::refused::Refusals;
use super::running::{Extent, Parts, Running};
use super::{Image, Launch, unseen};
use crate::files::worker;

/// Starts the sandbox and waits until the command has been executed. `stdio` is left for another attempt where it fails, and
/// nothing of this one is left then; a network that was made ahead goes with it.
pub(super) fn attempt(
    launch: &Rc<Launch>,
    compiled: &Compiled,
    server: Option<i32>,
    network: Option<NetworkAhead>,
    stdio: &mut [Source; 3],
    records: &mut Records,
) -> Result<(Running, Enforcement), BeginError> {
    let started = Instant::now();
    let named = |failure| named(failure, launch, compiled);
    let prepared = match launch.image {
        Image::Command => Prepared::new(&compiled.plan, &command(launch, &compiled.plan), &compiled.maker)?,
        Image::Files => Prepared::inside(&compiled.plan, worker::run, &compiled.maker)?,
    };
    let group = compiled.plan.group.as_ref().map(Group::make).transpose()?;
    let door = group.as_ref().map(Group::door).transpose()?;
    let (mut told, error) = io::pipe()?;
    let (ours, control) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(io::Error::from)?;
    let lent = std::mem::replace(stdio, [Source::Closed, Source::Closed, Source::Closed]);
    let wires = Wires { error: error.into(), control, stdio: lent, size: launch.size, group: door };
    let first = match network {
        Some(network) => network.start(&prepared, &wires),
        None => start(&prepared, &wires),
    };
    let Wires { error, control, stdio: lent, group: door, .. } = wires;
    *stdio = lent;
    // While this process holds the writing end, no end of the pipe would come.
    drop((error, control, door));
    let extent = if prepared.has_own_pids() { Extent::Namespace } else { Extent::AllBut(server) };
    let (gated, publishes) = (compiled.plan.gate.is_some(), !compiled.plan.publish.is_empty());
    let brokered = compiled.plan.confinement.as_ref().and_then(|held| held.brokered.as_ref());
    let recorded = brokered.and_then(|brokered| brokered.recorded);
    let first = first.map_err(named)?;
    let parts = Parts { first, control: ours, group, extent, gated, publishes, recorded };
    let refusals = Refusals::new(parts.first.pid, compiled);
    let mut running = Running::new(parts, started, Rc::clone(launch), refusals);
    // While the first process enters.
    let enforcement = enforcement(launch, &compiled.plan);
    let mut record = Vec::new();
    told.read_to_end(&mut record)?;
    let Ok(record) = <&[u8; FAILURE_BYTES]>::try_from(record.as_slice()) else {
        running.watch(std::mem::take(records), compiled);
        leave_shared(prepared);
        return Ok((running, enforcement));
    };
    running.end();
    let _ = running.reap();
    Err(match Failure::from_bytes(record) {
        Some(failure) => named(failure),
        None => io::Error::from(io::ErrorKind::InvalidData).into(),
    })
}

/// Keeps what a sandbox was made of for as long as this launcher runs, which makes no other. The sandbox's first process shares its pages, and freeing
/// them would write to each, which copies it (fork(2)).
pub(super) fn leave_shared<T>(made: T) {
    std::mem::forget(made);
}

fn command(launch: &Launch, plan: &Plan) -> Command {
    let mut env = launch.env.iter().map(|(name, value)| (name.0.clone(), value.0.clone())).collect();
    if plan.gate.is_some() || plan.proxies.is_some() {
        variables::adapt(&mut env, launch.policy.environment(), plan.bundle.as_ref(), plan.proxies);
    }
    Command {
        argv: launch.argv.iter().map(|argument| argument.0.clone()).collect(),
        env,
        cwd: launch.cwd.clone(),
        umask: launch.umask,
    }
}

fn of_mount(step: &MountStep) -> String {
    match step {
        MountStep::Copied { at, state } => format!(
            "`copy` on {at}: overlayfs takes neither this directory nor {state} for its layers, or is not there; see the file systems of both"
        ),
        step => format!("{step:?}"),
    }
}

/// The failure with what it is about: the program, the directory, the mount.
fn named(failure: Failure, launch: &Launch, compiled: &Compiled) -> BeginError {
    let what = match failure.step {
        Step::Execute => launch.argv.first().map(ToString::to_string).unwrap_or_default(),
        Step::WorkingDirectory => format!("{} under profile {}", launch.cwd, launch.policy.profile()),
        Step::Mount => usize::try_from(failure.item)
            .ok()
            .and_then(|item| compiled.plan.mounts.get(item))
            .map(of_mount)
            .unwrap_or_default(),
        _ => String::new(),
    };
    let why = if failure.step == Step::Execute { unseen::why(launch) } else { None };
    BeginError::Step { failure, what, why }
}
