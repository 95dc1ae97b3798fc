//! One launch: look, compile, attempt; and where the machine is not what it was taken for, try it out and attempt once more.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use nix::unistd::getgrouplist;
use weir_protocol::method::code;
use weir_protocol::method::process::Enforcement;
use weir_protocol::policy::{Degradation, NetworkMode};
use weir_protocol::{AbsPath, Policy};
use weir_sandbox_linux::compile::{Facts, compile};
use weir_sandbox_linux::gate::{Proxies, Trust};
use weir_sandbox_linux::host::{Host, Way};
use weir_sandbox_linux::plan::{Credentials, Plan};
use weir_sandbox_linux::prepare::PrepareError;
use weir_sandbox_linux::start::{self, NetworkAhead};
use weir_sandbox_linux::step::{Failure, Step};
use weir_sandbox_linux::survey::{Moment, Survey};

use super::attempt::{attempt, leave_shared};
use super::endpoints::Endpoints;
use super::lent::Lent;
use super::machine::{Basis, Machine};
use super::published::{self, Piece, PublishError};
use super::records::Records;
use super::running::Running;
use super::standard::{self, Unfit};
use super::user::user;
use super::{Launch, Source, Told, trust};
use crate::copies::{Copies, CopyError};

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub(super) enum BeginError {
    /// The file tree could not be looked at.
    #[error("{0}")]
    Survey(#[from] weir_sandbox_linux::survey::SurveyError),
    /// The host cannot hold the policy.
    #[error("{0}")]
    Refused(#[from] weir_sandbox_linux::compile::refusal::Refusal),
    /// The command cannot be expressed.
    #[error("{0}")]
    Prepare(#[from] PrepareError),
    /// The control group cannot be made.
    #[error("the sandbox could not be made; nothing was run ({0})")]
    Group(#[from] weir_sandbox_linux::group::GroupError),
    /// Something that the launcher needs for itself is missing.
    #[error("cannot connect with the sandbox: {0}")]
    Connect(#[from] io::Error),
    /// Descriptors that were announced did not come.
    #[error("a descriptor that was announced did not come")]
    NoDescriptor,
    /// Standard input, output or error is what no command may have.
    #[error("{0}")]
    Standard(#[from] Unfit),
    /// A copy cannot be used.
    #[error("{0}")]
    Copy(#[from] CopyError),
    /// In limited mode something inspects connections.
    #[error("{0}")]
    Trust(#[from] trust::NoCertificate),
    /// A port is not to be had.
    #[error("{0}")]
    Publish(#[from] PublishError),
    /// Another user was asked for, by someone other than root.
    #[error("only root may run a command as another user")]
    NotRoot,
    /// There is no such user.
    #[error("there is no user `{name}`")]
    NoUser {
        /// The name.
        name: String,
    },
    /// A step of entering failed.
    #[error("{}{}", step(.failure, .what), .why.as_ref().map(|why| format!("; {why}")).unwrap_or_default())]
    Step {
        /// The step.
        failure: Failure,
        /// The program, or the directory.
        what: String,
        /// Why, where the policy is the reason.
        why: Option<String>,
    },
}

fn step(failure: &Failure, what: &str) -> String {
    match (failure.step, failure.errno) {
        (Step::Execute, libc::ENOENT) => format!("{what}: command not found"),
        (Step::Execute | Step::WorkingDirectory, errno) => {
            let error = io::Error::from_raw_os_error(errno);
            format!("{what}: {}: {error}", failure.step.name())
        }
        _ if what.is_empty() => format!("the sandbox could not be made; nothing was run ({failure})"),
        _ => format!("the sandbox could not be made; nothing was run ({failure}; {what})"),
    }
}

impl BeginError {
    /// Whether it may be that the machine does not hold what was presumed of it.
    fn may_be_the_machine(&self) -> bool {
        let of_the_command = [Step::WorkingDirectory, Step::Execute];
        match self {
            Self::Refused(_) | Self::Group(_) => true,
            Self::Step { failure, .. } => !of_the_command.contains(&failure.step),
            _ => false,
        }
    }

    pub(super) fn told(&self) -> Told {
        let code = match self {
            Self::Refused(_) => code::UNENFORCEABLE,
            Self::Copy(error) => error.code(),
            Self::Step { failure: Failure { step: Step::Execute, errno: libc::ENOENT, .. }, .. } => {
                code::COMMAND_NOT_FOUND
            }
            Self::Step { failure: Failure { step: Step::Execute, .. }, .. } => code::COMMAND_NOT_EXECUTABLE,
            Self::NotRoot | Self::Standard(_) | Self::NoUser { .. } | Self::Prepare(_) => code::QUESTION,
            _ => code::LAUNCH,
        };
        Told::Refused { code, message: self.to_string() }
    }
}

/// A compiled launch.
pub(super) struct Compiled {
    pub(super) plan: Plan,
    pub(super) host: Host,
    pub(super) maker: Credentials,
}

/// What a launch is compiled against besides the machine: who makes the sandbox for whom, and what lies in the file tree.
pub(super) struct Ground {
    maker: Credentials,
    credentials: Credentials,
    survey: Survey,
    /// When that began.
    surveyed: Option<Moment>,
    /// Where the copies are kept.
    copies: BTreeMap<AbsPath, AbsPath>,
    trust: Option<Trust>,
    /// The gate's endpoints on the host's loopback, where they were needed.
    endpoints: Option<Endpoints>,
    /// Listening sockets of published ports, where they were needed.
    published: Vec<(Piece, OwnedFd)>,
}

impl Ground {
    /// Looks once, also for a launch that is attempted twice, with what is known already.
    pub(super) fn of(launch: &Launch, copies: &Copies, index: Option<&Lent>) -> Result<Self, BeginError> {
        let maker = own();
        let credentials = match &launch.user {
            None => maker.clone(),
            Some(name) => other(name, &maker)?,
        };
        let surveyed = Moment::now();
        let mut survey = match index {
            Some(index) => index.survey(&launch.policy)?,
            None => Survey::take(&launch.policy)?,
        };
        copies.correct(&mut survey);
        Ok(Self {
            maker,
            credentials,
            survey,
            surveyed,
            copies: copies.places().clone(),
            trust: trust::of(launch)?,
            endpoints: None,
            published: Vec::new(),
        })
    }

    /// Listens on the ports that the plan publishes, unless that is done already.
    fn listen(&mut self, plan: &Plan, policy: &Policy) -> Result<(), BeginError> {
        if self.published.is_empty() && !plan.publish.is_empty() {
            self.published = published::bind(&policy.network().publish)?;
        }
        Ok(())
    }

    /// The policy with the rules for what lies in the file tree.
    pub(super) fn effective(&self, policy: &Policy, way: Way) -> Policy {
        self.survey.effective(policy, way)
    }

    pub(super) fn compiled(&mut self, launch: &Launch, host: &Host) -> Result<Compiled, BeginError> {
        let host = host.clone();
        let host = if self.copies.is_empty() { host } else { host.for_overlays() };
        if host.way() == Way::Bare {
            self.survey.list_siblings(&launch.policy);
        }
        if self.endpoints.is_none() && needs_endpoints(launch, host.way()) {
            self.endpoints = Some(Endpoints::open()?);
        }
        let facts = Facts {
            host: &host,
            survey: &self.survey,
            surveyed: self.surveyed,
            credentials: &self.credentials,
            trust: self.trust.as_ref(),
            copies: Some(&self.copies),
            recorded: launch.recorded,
            proxies: self.endpoints.as_ref().map(|&Endpoints { http, socks, .. }| Proxies { http, socks }),
        };
        let mut plan = compile(&launch.policy, &facts)?;
        // Nobody accepts there, and no call on files makes a connection.
        plan.gate = plan.gate.filter(|_| launch.is_gated());
        if !launch.publishes() {
            plan.publish.clear();
        }
        Ok(Compiled { plan, host, maker: self.maker.clone() })
    }
}

/// Whether the launch cannot do without the gate's proxies, and its profile says so by name.
fn needs_endpoints(launch: &Launch, way: Way) -> bool {
    let policy = &launch.policy;
    let in_full = policy.network().mode.value == NetworkMode::Full;
    let given_up = policy.degradations().contains_key(&Degradation::ProxyOnlyNetwork);
    launch.is_gated() && way == Way::Bare && in_full && given_up
}

/// Who this process is.
fn own() -> Credentials {
    Credentials {
        uid: nix::unistd::geteuid().as_raw(),
        gid: nix::unistd::getegid().as_raw(),
        groups: rustix::process::getgroups()
            .unwrap_or_default()
            .into_iter()
            .map(|group| group.as_raw())
            .collect(),
    }
}

fn other(name: &str, maker: &Credentials) -> Result<Credentials, BeginError> {
    if maker.uid != 0 {
        return Err(BeginError::NotRoot);
    }
    let user = user(name).ok_or_else(|| BeginError::NoUser { name: name.to_owned() })?;
    let groups = std::ffi::CString::new(user.name.clone())
        .ok()
        .and_then(|name| getgrouplist(&name, user.gid).ok())
        .unwrap_or_else(|| vec![user.gid]);
    Ok(Credentials {
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        groups: groups.into_iter().map(|group| group.as_raw()).collect(),
    })
}

pub(super) fn enforcement(launch: &Launch, plan: &Plan) -> Enforcement {
    let way = match (&plan.confinement, plan.way) {
        (None, _) => "unrestricted",
        (_, way) => way.name(),
    };
    Enforcement {
        profile: launch.policy.profile().to_owned(),
        digest: launch.policy.digest(),
        way: way.to_owned(),
        mechanisms: plan.mechanisms.clone(),
        degradations: plan.degradations.clone(),
        remarks: plan.remarks.clone(),
    }
}

/// Makes the sandbox and answers when the command has been executed. `server` is no part of it, whatever it descends from. Where
/// `network` was made ahead this process is back outside of it then, and before anything is tried out.
pub(super) fn begin(
    launch: &Rc<Launch>,
    machine: &mut Machine,
    server: Option<i32>,
    mut network: Option<NetworkAhead>,
    records: &mut Records,
    index: Option<Lent>,
    mut passed: impl FnMut() -> Option<OwnedFd>,
) -> Result<(Running, Enforcement), BeginError> {
    let mut stdio = [start::Source::Closed, start::Source::Closed, start::Source::Closed];
    for (slot, source) in stdio.iter_mut().zip(launch.stdio) {
        *slot = match source {
            Source::Closed => start::Source::Closed,
            Source::Passed => {
                let descriptor = passed().ok_or(BeginError::NoDescriptor)?;
                standard::check(&descriptor, &launch.policy)?;
                start::Source::Descriptor(descriptor)
            }
            Source::Terminal => start::Source::Terminal,
        };
    }
    // The user database may need the host's network, and published ports are the host's.
    if launch.user.is_some() || launch.publishes() {
        leave(network.take())?;
    }
    let copies = Copies::take(&launch.policy, &launch.standpoint)?;
    let ground = Ground::of(launch, &copies, index.as_ref());
    // No part of it is there any more when a sandbox is made.
    drop(index);
    let begun =
        ground.and_then(|ground| enter(launch, machine, server, network, &mut stdio, records, ground));
    match begun {
        Ok((mut running, enforcement)) => {
            running.hold(copies);
            Ok((running, enforcement))
        }
        Err(error) => {
            // Nothing of a refused command stays.
            copies.settle();
            Err(error)
        }
    }
}

/// The attempt by what the machine is presumed to be, and where that fails one by what it is.
fn enter(
    launch: &Rc<Launch>,
    machine: &mut Machine,
    server: Option<i32>,
    mut network: Option<NetworkAhead>,
    stdio: &mut [start::Source; 3],
    records: &mut Records,
    mut ground: Ground,
) -> Result<(Running, Enforcement), BeginError> {
    let (failed, attempted) = match ground.compiled(launch, machine.host_for(&launch.policy)) {
        Ok(compiled) => match ground
            .listen(&compiled.plan, &launch.policy)
            .and_then(|()| attempt(launch, &compiled, server, network.take(), stdio, records))
        {
            Err(error) => (error, Some(compiled.plan)),
            Ok(begun) => return Ok(with_sockets(begun, compiled, ground)),
        },
        Err(error) => (error, None),
    };
    if machine.basis() > Basis::Presumed || !failed.may_be_the_machine() {
        return Err(failed);
    }
    leave(network)?;
    let found = ground.compiled(launch, machine.tried())?;
    if attempted.as_ref() == Some(&found.plan) {
        return Err(failed);
    }
    ground.listen(&found.plan, &launch.policy)?;
    let begun = attempt(launch, &found, server, None, stdio, records)?;
    Ok(with_sockets(begun, found, ground))
}

fn with_sockets(
    (mut running, enforcement): (Running, Enforcement),
    compiled: Compiled,
    mut ground: Ground,
) -> (Running, Enforcement) {
    if let (Some(_), Some(endpoints)) = (compiled.plan.proxies, ground.endpoints.take()) {
        running.lend(endpoints.sockets);
    }
    running.publish(std::mem::take(&mut ground.published));
    leave_shared((compiled, ground));
    (running, enforcement)
}

/// Goes back to the host's network, where another was made ahead.
pub(super) fn leave(network: Option<NetworkAhead>) -> Result<(), BeginError> {
    Ok(network.map_or(Ok(()), NetworkAhead::leave)?)
}
