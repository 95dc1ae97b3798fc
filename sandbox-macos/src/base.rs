//! What every sandbox on macOS is let through beside its policy, as data with a reason for each entry.
//!
//! A policy speaks of files, hosts and sockets; a program of macOS also needs mach services, kernel variables and a few
//! files that no profile names. These lists are all of it: whatever is neither here nor in the policy is refused.
//! Nothing here may hold a secret, or lead to a service that acts for the command outside the sandbox. Caller:
//! [`mod@crate::compile`]; the lists for a resolver on macOS are [`files::HOME_SECRETS`] and [`files::SYSTEM_SECRETS`].

pub mod files;
pub mod services;
pub mod variables;

use crate::sbpl::{Action, Filter, Operation, Rule, Section, Value};

/// An entry of a list: a name and why it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The name, exactly, or its beginning where the list says so.
    pub name: &'static str,
    /// Why programs need it.
    pub reason: &'static str,
}

const fn entry(name: &'static str, reason: &'static str) -> Entry {
    Entry { name, reason }
}

/// Whether the sandbox reaches any network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// No network, or its own loopback at most.
    Inside,
    /// Allowed hosts, through the gate.
    Outside,
}

/// The sections that do not hang on the policy's paths.
#[must_use]
pub fn sections(reach: Reach) -> Vec<Section> {
    let mut services = entries(&services::ALWAYS, Operation::MachLookup, Filter::MachName);
    if reach == Reach::Outside {
        services.extend(entries(&services::WITH_NETWORK, Operation::MachLookup, Filter::MachName));
    }
    let mut variables = entries(&variables::NAMED, Operation::SysctlRead, Filter::Sysctl);
    variables.extend(entries(&variables::PREFIXES, Operation::SysctlRead, Filter::SysctlPrefix));
    vec![
        Section { heading: "Processes", rules: processes() },
        Section { heading: "Memory shared between processes", rules: shared_memory() },
        Section { heading: "Mach services", rules: services },
        Section { heading: "Kernel variables", rules: variables },
        Section { heading: "Device control", rules: device_control() },
    ]
}

fn allow(operations: &[Operation], filters: Vec<Filter>, reason: &'static str) -> Rule {
    Rule { action: Action::Allow, operations: operations.to_vec(), filters, reason }
}

fn entries(list: &[Entry], operation: Operation, filter: fn(&'static str) -> Filter) -> Vec<Rule> {
    list.iter().map(|entry| allow(&[operation], vec![filter(entry.name)], entry.reason)).collect()
}

fn processes() -> Vec<Rule> {
    let own = || vec![Filter::SameSandbox];
    vec![
        allow(
            &[Operation::ProcessFork],
            Vec::new(),
            "shells and builds start processes; each inherits this profile",
        ),
        allow(
            &[Operation::ProcessInfo],
            own(),
            "ps and debuggers of the command see its own tree, no other process",
        ),
        allow(&[Operation::Signal], own(), "a shell ends its own children, and nothing outside"),
        allow(
            &[Operation::PosixSemaphore],
            Vec::new(),
            "locks of Python's multiprocessing; they carry no data",
        ),
        allow(&[Operation::UserPreferenceRead], Vec::new(), "language and number formats, through cfprefsd"),
    ]
}

fn shared_memory() -> Vec<Rule> {
    let names = ["apple.shm.notification_center", "apple.cfprefs.daemonv1"];
    let reason = "written by the system's daemons, read by the C library";
    vec![allow(
        &[Operation::PosixSharedMemoryRead],
        names.into_iter().map(Filter::SharedMemory).collect(),
        reason,
    )]
}

/// Devices on which `ioctl` is let through. Seatbelt cannot tell one request from another on every release that Weir
/// supports, so the list is short.
const CONTROLLED_DEVICES: [Entry; 6] = [
    entry("/dev/null", "isatty"),
    entry("/dev/zero", "isatty"),
    entry("/dev/random", "isatty"),
    entry("/dev/urandom", "isatty"),
    entry("/dev/tty", "the size and mode of the command's own terminal"),
    entry("/dev/dtracehelper", "the dynamic loader announces probes"),
];

fn device_control() -> Vec<Rule> {
    CONTROLLED_DEVICES
        .iter()
        .map(|device| {
            allow(&[Operation::FileIoctl], vec![Filter::Literal(Value::Fixed(device.name))], device.reason)
        })
        .collect()
}
