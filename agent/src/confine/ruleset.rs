//! Files and ports, by Landlock: as much as the kernel can hold, and told what it cannot.

use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, NetPort,
    PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, Scope,
};

use super::bounds::RESOLVER_PORT;
use super::{Bounds, ConfineError, Confined, Hold};

/// The newest version of Landlock that this was written for; what an older kernel lacks is left out, and told.
const NEWEST: ABI = ABI::V10;

/// From which version on something is held.
const FILES: ABI = ABI::V1;
const TCP: ABI = ABI::V4;
const UNIX: ABI = ABI::V9;
const UDP: ABI = ABI::V10;

/// Puts the rules in force for this thread.
pub(super) fn enforce(bounds: &Bounds) -> Result<Confined, ConfineError> {
    let files = AccessFs::from_all(NEWEST);
    let net = AccessNet::from_all(NEWEST);
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(files)?
        .handle_access(net)?
        .scope(Scope::AbstractUnixSocket)?
        .create()?;
    for path in &bounds.read {
        rules = allow(rules, path, AccessFs::ReadFile | AccessFs::ReadDir)?;
    }
    let unneeded = AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::ResolveUnix;
    for path in &bounds.write {
        rules = allow(rules, path, files & !unneeded)?;
    }
    if let Some(path) = &bounds.server {
        rules = allow(rules, path, AccessFs::ResolveUnix.into())?;
    }
    // A name server is asked by TCP where its answer is long.
    for port in bounds.ports.iter().copied().chain([RESOLVER_PORT]) {
        rules = rules.add_rule(NetPort::new(port, AccessNet::ConnectTcp))?;
    }
    rules = rules.add_rule(NetPort::new(RESOLVER_PORT, AccessNet::ConnectSendUdp))?;
    // An unbound datagram socket takes whatever port is free.
    rules = rules.add_rule(NetPort::new(0, AccessNet::BindUdp))?;
    let status = rules.restrict_self()?;
    Ok(held(match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => effective_abi,
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => ABI::Unsupported,
    }))
}

/// A place that is not there needs no rule, and none is made for what may come later in its stead.
fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, ConfineError> {
    let place = |source| ConfineError::Place { path: PathBuf::from(path), source };
    let found = match std::fs::metadata(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            return Ok(rules);
        }
        found => found.map_err(place)?,
    };
    let access = if found.is_dir() { access } else { access & AccessFs::from_file(NEWEST) };
    if access.is_empty() {
        return Ok(rules);
    }
    let opened = PathFd::new(path).map_err(|error| place(io::Error::other(error)))?;
    Ok(rules.add_rule(PathBeneath::new(opened, access))?)
}

fn held(abi: ABI) -> Confined {
    let from = |needed: ABI, missing| {
        if abi >= needed { Hold::Held { by: "Landlock" } } else { Hold::Open { missing } }
    };
    Confined {
        programs: Hold::Held { by: "seccomp" },
        files: from(FILES, "Landlock"),
        tcp: from(TCP, "Landlock 4 (Linux 6.7)"),
        udp: from(UDP, "Landlock 10"),
        unix_sockets: from(UNIX, "Landlock 9"),
    }
}
