//! What of Weir's guarantees macOS cannot give, as a declared list.
//!
//! `doctor` prints all of it, a run's report what concerns its policy. A gap that makes a sandbox weaker than the same
//! profile on Linux and that a profile can give up by name is an error until it does. Nothing here is decided by probing:
//! these are properties of the system. Callers: `doctor`, the report, [`mod@crate::compile`].

use weir_protocol::policy::{Background, Degradation, Policy, Resource};

/// Which way a sandbox on macOS differs from one on Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// Something gets through that Linux would stop.
    Weaker,
    /// Something fails that works on Linux.
    Stricter,
    /// The same is held, but less is known of it.
    LessTold,
}

/// One thing that macOS cannot give.
#[derive(Debug)]
pub struct Gap {
    /// A word by which tests and reports name it.
    pub key: &'static str,
    /// Which way it differs.
    pub effect: Effect,
    /// What it is, in one sentence without a full stop.
    pub says: &'static str,
    /// What to do where it matters.
    pub remedy: &'static str,
    /// The name under which a profile gives the guarantee up; needed before a run where `concerns` holds.
    pub degradation: Option<Degradation>,
    /// Whether a policy is touched by it.
    pub concerns: fn(&Policy) -> bool,
}

impl PartialEq for Gap {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Gap {}

/// What holds of this crate as a whole and is printed above the list.
pub const NEVER_RUN: &str = "the macOS part is proved against an evaluator of Seatbelt's rules and type-checked for Apple's \
    targets; it has never been run on a Mac";

fn always(_: &Policy) -> bool {
    true
}

fn has_patterns(policy: &Policy) -> bool {
    !policy.filesystem().globs().is_empty()
}

fn has_denials(policy: &Policy) -> bool {
    let none = |rule: &weir_protocol::policy::PathRule| rule.access == weir_protocol::policy::Access::None;
    has_patterns(policy) || policy.filesystem().rules().iter().any(none)
}

fn has_network(policy: &Policy) -> bool {
    policy.network().enabled.value
}

fn has_loopback(policy: &Policy) -> bool {
    policy.network().loopback.value
}

fn has_stand_ins(policy: &Policy) -> bool {
    !policy.filesystem().private().is_empty()
}

fn limits_tree(policy: &Policy) -> bool {
    [Resource::Memory, Resource::Processes, Resource::Cpu]
        .iter()
        .any(|resource| policy.resources().limit(*resource).is_some())
}

const fn gap(
    key: &'static str,
    effect: Effect,
    says: &'static str,
    remedy: &'static str,
    concerns: fn(&Policy) -> bool,
) -> Gap {
    Gap { key, effect, says, remedy, degradation: None, concerns }
}

/// Every gap.
pub static GAPS: [Gap; 22] = [
    gap(
        "hard-links",
        Effect::Weaker,
        "a file that has two names is judged by the one under which it is opened, so a denied file that already has a granted name can be read under that",
        "keep secrets on another volume than writable places, where no hard link can lead",
        has_denials,
    ),
    gap(
        "moved-directories",
        Effect::Weaker,
        "a directory that lies between a pattern's wildcards can be moved to where the pattern does not reach",
        "write the pattern with `**/`: such a pattern follows into every writable place",
        has_patterns,
    ),
    gap(
        "letters-outside-ascii",
        Effect::Weaker,
        "where a volume takes capital and small letters for the same, a name that does not exist yet is covered in every spelling of its ASCII letters only",
        "name secrets in ASCII, or format the volume case-sensitive",
        has_denials,
    ),
    gap(
        "shared-loopback",
        Effect::Weaker,
        "`loopback = true` opens the loopback of the host: servers of the host can be reached, and those of the command from outside",
        "leave `loopback` off, or stop what listens on the host",
        has_loopback,
    ),
    gap(
        "no-system-call-filter",
        Effect::Weaker,
        "there is no filter of system calls; Seatbelt's operations are all that is checked",
        "none",
        always,
    ),
    gap(
        "process-ids",
        Effect::Weaker,
        "process ids are the host's; other processes can be neither signalled nor inspected, but that an id is taken can be told",
        "none",
        always,
    ),
    gap(
        "tree-by-reaper",
        Effect::Weaker,
        "there is no PID namespace: the tree is ended by process group, session and descent, and one that leaves all three between two looks is missed; where both of Weir's processes are killed at once, the tree stays",
        "none",
        always,
    ),
    gap(
        "terminal-input",
        Effect::Weaker,
        "a command that is given the caller's own terminal can put characters into its input",
        "let Weir make a terminal for the run, as it does unless told otherwise",
        always,
    ),
    Gap {
        key: "limits-of-the-tree",
        effect: Effect::Weaker,
        says: "memory and the number of processes are measured by the reaper, which ends the tree after the fact, and a share of the processor is not held at all",
        remedy: "give the guarantee up by name, or leave `memory`, `processes` and `cpu` out",
        degradation: Some(Degradation::ProcessLimits),
        concerns: limits_tree,
    },
    gap(
        "arguments-seen-outside",
        Effect::Weaker,
        "until the command starts, programs of the same user outside the sandbox can see the profile in the arguments of sandbox-exec",
        "none",
        always,
    ),
    gap(
        "gate-by-proxy",
        Effect::Stricter,
        "hosts are reached through the proxy endpoints only; a program that knows nothing of proxies reaches nothing",
        "tell the program of HTTPS_PROXY or ALL_PROXY, which are set",
        has_network,
    ),
    gap(
        "mapped-loopback",
        Effect::Stricter,
        "`::ffff:127.0.0.1` is not taken for the loopback, so a socket of both families that connects to 127.0.0.1 is refused",
        "use an IPv4 socket; for Java -Djava.net.preferIPv4Stack=true",
        |policy| has_network(policy) || has_loopback(policy),
    ),
    gap(
        "stand-ins-by-variable",
        Effect::Stricter,
        "the private home and temporary directories are named by HOME, TMPDIR and CFFIXED_USER_HOME; a program that asks for the real ones is refused",
        "grant the directory that the program insists on",
        has_stand_ins,
    ),
    gap(
        "pinned-directories",
        Effect::Stricter,
        "a directory above a protected name in a writable place can be neither made, moved nor removed, so `git init` at the top of a fresh project fails",
        "make the repository first, or open `.git/hooks` and `.git/config` under `protected`",
        always,
    ),
    gap(
        "set-user-id",
        Effect::Stricter,
        "programs that run with another user's rights (ps, sudo, top) cannot be started",
        "none",
        always,
    ),
    gap(
        "no-nesting",
        Effect::Stricter,
        "a program that sandboxes itself (browsers, swift build) cannot do so inside",
        "switch its own sandbox off",
        always,
    ),
    gap(
        "no-other-user",
        Effect::Stricter,
        "a command runs as nobody but its caller, and there is no server that several users share",
        "none",
        always,
    ),
    gap(
        "background-ends",
        Effect::Stricter,
        "what a command leaves running ends with it, also where the profile keeps it",
        "let the command wait for what it starts",
        |policy| policy.background().value == Background::Keep,
    ),
    gap(
        "denials-from-the-log",
        Effect::LessTold,
        "denials are read from the system's log, which tells late, may drop some, and is readable by administrators only; a short command ends before it has told",
        "`weir policy explain` says what a profile lets through",
        always,
    ),
    gap(
        "refused-programs",
        Effect::LessTold,
        "a program that the profile does not let execute ends with sandbox-exec's own code 71 and message, for the sandbox is there first",
        "none",
        always,
    ),
    gap(
        "usage-of-what-was-waited-for",
        Effect::LessTold,
        "processor time and memory are those of the command and of what it has waited for",
        "none",
        always,
    ),
    gap(
        "new-repositories",
        Effect::LessTold,
        "repositories that a command makes are not named in the report",
        "look for new `.git` directories before a tool of the host runs there",
        always,
    ),
];

/// The gaps that concern a policy.
pub fn concerning(policy: &Policy) -> impl Iterator<Item = &'static Gap> {
    let confined = !policy.is_unrestricted();
    GAPS.iter().filter(move |gap| confined && (gap.concerns)(policy))
}

/// The first gap that the profile would have to give up by name and does not.
#[must_use]
pub fn unmet(policy: &Policy) -> Option<(&'static Gap, Degradation)> {
    concerning(policy).find_map(|gap| {
        let degradation = gap.degradation?;
        (!policy.degradations().contains_key(&degradation)).then_some((gap, degradation))
    })
}

/// The whole list as `doctor` prints it.
#[must_use]
pub fn summary() -> String {
    let mut out = format!("macOS: {NEVER_RUN}.\n");
    for effect in [Effect::Weaker, Effect::Stricter, Effect::LessTold] {
        let heading = match effect {
            Effect::Weaker => "Weaker than on Linux",
            Effect::Stricter => "Stricter than on Linux",
            Effect::LessTold => "Told in less detail than on Linux",
        };
        out.push_str(&format!("\n{heading}:\n"));
        for gap in GAPS.iter().filter(|gap| gap.effect == effect) {
            out.push_str(&format!("  {}: {}.\n", gap.key, gap.says));
            if gap.remedy != "none" {
                out.push_str(&format!("    {}.\n", gap.remedy));
            }
        }
    }
    out
}
