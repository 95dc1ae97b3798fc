//! Policy to plan: pure, `(Policy, Facts) -> Plan`.
//!
//! Nothing here makes a system call, reads a clock, the environment or `cfg(target_os)`: the kernel, the architecture and
//! what lies in the file tree are values, so that an old kernel or a hostile tree is a literal in a test, and the same
//! input gives the same plan. What the host cannot hold is refused here, before anything exists, by name; nothing is ever
//! compiled into less than was asked. Called by the launcher.

pub mod copied;
pub mod landlock;
pub mod refusal;

mod bare;
mod brokered;
mod contents;
mod devices;
mod limits;
#[cfg(test)]
mod literal;
mod reading;
mod tree;

use std::borrow::Cow;
use std::collections::BTreeMap;

use weir_protocol::AbsPath;
use weir_protocol::method::process::{Degraded, Mechanism};
use weir_protocol::policy::{
    Access, Degradation, Filesystem, KernelFeature, NetworkMode, Origin, PathRule, Policy, Published,
};

use crate::doctor;
use crate::gate::{Gate, Proxies, Trust};
use crate::host::{Arch, CAP_SETPCAP, Host, Way};
use crate::live;
use crate::plan::{Confinement, Credentials, Loopback, Namespace, Plan, Privilege};
use crate::seccomp::{self, Grant, Ipc, Needs, Network, Pids};
use crate::survey::{Moment, Survey};
use brokered::Opens;
use refusal::{Lack, Refusal};

/// What a policy is compiled against.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The machine.
    pub host: &'a Host,
    /// What lies where rules speak of it.
    pub survey: &'a Survey,
    /// When that began, or earlier, where it is known.
    pub surveyed: Option<Moment>,
    /// As whom the command will run.
    pub credentials: &'a Credentials,
    /// What programs are to trust, in limited mode.
    pub trust: Option<&'a Trust>,
    /// The gate's proxies on the host's loopback, where they were made.
    pub proxies: Option<Proxies>,
    /// Where the copy of each place is kept that the policy has changed in one only.
    pub copies: Option<&'a BTreeMap<AbsPath, AbsPath>>,
    /// Whether what is used is recorded.
    pub recorded: bool,
}

impl<'a> Facts<'a> {
    /// A launch without a gate's authority, proxies, copies or a record.
    #[must_use]
    pub const fn new(host: &'a Host, survey: &'a Survey, credentials: &'a Credentials) -> Self {
        Self {
            host,
            survey,
            surveyed: None,
            credentials,
            trust: None,
            proxies: None,
            copies: None,
            recorded: false,
        }
    }
}

/// Compiles a policy for one launch.
///
/// # Errors
/// [`Refusal`] with everything that this host cannot hold and the profile does not give up by name.
pub fn compile(policy: &Policy, facts: &Facts<'_>) -> Result<Plan, Refusal> {
    if policy.is_unrestricted() {
        return Ok(unrestricted(policy, facts));
    }
    let mut compiler = Compiler::new(policy, facts);
    let plan = compiler.plan();
    plan.filter(|_| compiler.lacks.is_empty()).ok_or_else(|| Refusal {
        profile: policy.profile().to_owned(),
        lacks: compiler.lacks,
        obstacle: doctor::obstacle(facts.host),
    })
}

/// The plan of the one profile under which no rule holds: its own session and the end of the tree, nothing else.
fn unrestricted(policy: &Policy, facts: &Facts<'_>) -> Plan {
    Plan {
        way: Way::Bare,
        namespaces: Vec::new(),
        mounts: Vec::new(),
        loopback: Loopback::Untouched,
        gate: None,
        proxies: None,
        publish: Vec::new(),
        bundle: None,
        credentials: facts.credentials.clone(),
        privilege: Privilege::Held,
        confinement: None,
        limits: Vec::new(),
        group: None,
        background: policy.background().value,
        mechanisms: Vec::new(),
        degradations: Vec::new(),
        remarks: vec!["the profile confines nothing".to_owned()],
    }
}

/// One compilation: what is given up and what is lacking gather here.
struct Compiler<'a> {
    policy: &'a Policy,
    facts: &'a Facts<'a>,
    way: Way,
    /// The policy's rules, and those for what the survey found.
    filesystem: Cow<'a, Filesystem>,
    degradations: BTreeMap<Degradation, Degraded>,
    lacks: Vec<Lack>,
    remarks: Vec<String>,
}

impl<'a> Compiler<'a> {
    fn new(policy: &'a Policy, facts: &'a Facts<'a>) -> Self {
        let way = facts.host.way();
        Self {
            policy,
            facts,
            way,
            filesystem: facts.survey.filesystem(policy, way),
            degradations: BTreeMap::new(),
            lacks: Vec::new(),
            remarks: Vec::new(),
        }
    }

    fn plan(&mut self) -> Option<Plan> {
        let arch = self.essentials();
        let network = self.network();
        let limits = limits::compile(self);
        let namespaces = self.namespaces();
        let brokers_sockets = self.brokers_sockets();
        let needs = self.needs(network, brokers_sockets);
        self.check_unfiltered(&needs);
        let (mounts, guards, bundle) = match self.way {
            Way::Bare => (Vec::new(), bare::guards(self), None),
            Way::Direct | Way::UserNamespace => {
                let tree = tree::compile(self);
                (tree.steps, tree.guards, tree.bundle)
            }
        };
        let landlock = landlock::compile(self, network);
        let reading = reading::compile(self, landlock.as_ref());
        let opens = reading::opens(self, reading.as_ref());
        self.note_live(opens);
        self.note_globs();
        let filter = match seccomp::compile(&needs, arch?) {
            Ok(filter) => filter,
            Err(defect) => {
                self.lacks.push(Lack::Filter { defect });
                return None;
            }
        };
        let loopback = if self.loopback_is_own() { Loopback::Up } else { Loopback::Untouched };
        let brokered = brokered::compile(self, guards, (brokers_sockets, opens), arch?);
        let confinement = Confinement { arch: arch?, filter, landlock, reading, brokered };
        let mut mechanisms = mechanisms(&namespaces, mounts.len(), &confinement);
        let gate = (network == Network::Private && self.policy.network().is_gated())
            .then(|| Gate::new(self.inner_loopback()));
        let proxies = self.facts.proxies.filter(|_| network == Network::Proxied);
        mechanisms.extend(copied::mechanisms(&mounts));
        mechanisms.extend(brokered::recording(&confinement));
        mechanisms.extend(gate_mechanism(network, gate.is_some(), proxies));
        let publish = self.published(network);
        if !publish.is_empty() {
            let ports: Vec<String> = publish.iter().map(ToString::to_string).collect();
            let detail =
                format!("of 127.0.0.1 and ::1, for every user of this machine: {}", ports.join(", "));
            mechanisms.push(Mechanism { name: "published-ports".to_owned(), detail });
        }
        if let Some(group) = &limits.group {
            mechanisms.push(Mechanism { name: "cgroup".to_owned(), detail: group.words() });
        }
        Some(Plan {
            way: self.way,
            namespaces,
            mounts,
            loopback,
            gate,
            proxies,
            publish,
            bundle,
            credentials: self.facts.credentials.clone(),
            privilege: self.privilege(),
            confinement: Some(confinement),
            limits: limits.processes,
            group: limits.group,
            background: self.policy.background().value,
            mechanisms,
            degradations: std::mem::take(&mut self.degradations).into_values().collect(),
            remarks: std::mem::take(&mut self.remarks),
        })
    }

    /// What no profile can do without.
    fn essentials(&mut self) -> Option<Arch> {
        let host = self.facts.host;
        if !host.seccomp.filter.works() {
            self.lacks.push(Lack::Seccomp { fact: host.seccomp.filter });
        }
        if host.arch.is_none() {
            self.lacks.push(Lack::Architecture);
        }
        let uid = self.facts.credentials.uid;
        if self.way == Way::UserNamespace && uid != host.identity.uid {
            self.lacks.push(Lack::AnotherUser { uid });
        }
        self.kernel_trees();
        if self.way == Way::Bare {
            bare::check(self);
        }
        host.arch
    }

    /// No rule lets a mount be written through which the machine is set.
    fn kernel_trees(&mut self) {
        for at in self.facts.survey.kernel_trees.keys() {
            let rules = self.policy.filesystem().rules().iter();
            let writing = rules.filter(|rule| rule.access.writes() && rule.path.starts_with(at));
            let lacks = writing.map(|rule| Lack::KernelTree {
                path: rule.path.clone(),
                at: at.clone(),
                rule: rule.origin.clone(),
            });
            self.lacks.extend(lacks);
        }
    }

    /// In a user namespace the first process has every capability over it, elsewhere what the launcher has.
    fn privilege(&self) -> Privilege {
        match self.way {
            Way::UserNamespace => Privilege::Held,
            Way::Direct | Way::Bare if self.facts.host.identity.has(CAP_SETPCAP) => Privilege::Held,
            Way::Direct | Way::Bare => Privilege::Absent,
        }
    }

    /// Gives `name` up where the profile does so by name; otherwise the lack is told.
    fn give_up(&mut self, name: Degradation, lost: &str, lack: Lack) {
        match self.policy.degradations().get(&name) {
            Some(origin) => {
                let (origin, lost) = (origin.clone(), lost.to_owned());
                self.degradations.entry(name).or_insert(Degraded { name, origin, lost });
            }
            None => self.lacks.push(lack),
        }
    }

    /// What of the Internet the command gets.
    fn network(&mut self) -> Network {
        let rules = self.policy.network();
        if !rules.enabled.value {
            if !rules.loopback.value {
                return Network::None;
            }
            if self.way == Way::Bare {
                self.lacks.push(Lack::Loopback { rule: rules.loopback.origin.clone() });
            }
            return Network::Private;
        }
        if rules.is_gated() {
            return self.gated();
        }
        if self.facts.host.landlock.usable() < landlock::ABI_SCOPES {
            self.lacks.push(Lack::AbstractSockets { rule: rules.enabled.origin.clone() });
        }
        Network::Host
    }

    /// Ports that lead to the sandbox's own: it must have some.
    fn published(&mut self, network: Network) -> Vec<Published> {
        let rules = &self.policy.network().publish;
        for rule in rules {
            let rule_of = || rule.origin.clone();
            if rule.what == Published::Every {
                self.lacks.push(Lack::EveryPort { rule: rule_of() });
            }
            if network == Network::Host {
                self.lacks.push(Lack::PublishedHost { rule: rule_of() });
            }
        }
        rules.iter().map(|rule| rule.what).collect()
    }

    /// What leads everything to the gate must be there: nothing less holds rules for single hosts, but for proxies where the
    /// profile gives the rest up by name.
    fn gated(&mut self) -> Network {
        let found = self.facts.host.namespaces(self.way);
        let fact = found.network.and(found.gate);
        if fact.works() && self.way != Way::Bare {
            return Network::Private;
        }
        let rules = self.policy.network();
        let (what, rule) = match rules.domains.as_deref() {
            Some([first, ..]) => ("a list of domains", &first.origin),
            Some([]) => ("a list of domains", &rules.enabled.origin),
            None => ("`mode = \"limited\"`", &rules.mode.origin),
        };
        let instead = self.proxies_can_do().then_some(Degradation::ProxyOnlyNetwork);
        let lack = Lack::NetworkGate { what, rule: rule.clone(), fact, instead };
        match instead {
            Some(name) => {
                self.give_up(name, PROXIES_ALONE, lack);
                Network::Proxied
            }
            None => {
                self.lacks.push(lack);
                Network::Private
            }
        }
    }

    /// Whether nothing but proxies could be connected to: ports are Landlock's to hold, and the proxies are on the host's loopback, which
    /// cannot be the sandbox's own as well. What limited mode trusts takes mounts.
    fn proxies_can_do(&self) -> bool {
        let rules = self.policy.network();
        self.way == Way::Bare
            && rules.mode.value == NetworkMode::Full
            && !rules.loopback.value
            && self.facts.host.landlock.usable() >= landlock::ABI_PORTS
    }

    fn loopback_is_own(&self) -> bool {
        let rules = self.policy.network();
        rules.loopback.value && !rules.enabled.value && self.way != Way::Bare
    }

    /// Behind the gate loopback is up, and whether it is the sandbox's own is the table's to say.
    fn inner_loopback(&self) -> Loopback {
        if self.policy.network().loopback.value { Loopback::Up } else { Loopback::Untouched }
    }

    fn namespaces(&self) -> Vec<Namespace> {
        if self.way == Way::Bare {
            return Vec::new();
        }
        let found = self.facts.host.namespaces(self.way);
        let network = self.policy.network();
        let mut out = Vec::new();
        if self.way == Way::UserNamespace {
            out.push(Namespace::User);
        }
        out.extend([Namespace::Mount, Namespace::Pid]);
        let rest = [
            (Namespace::Ipc, found.ipc.works()),
            (Namespace::Uts, found.uts.works()),
            (Namespace::Cgroup, found.cgroup.works()),
            (Namespace::Network, found.network.works() && (!network.enabled.value || network.is_gated())),
        ];
        out.extend(rest.into_iter().filter(|(_, has)| *has).map(|(namespace, _)| namespace));
        out
    }

    /// Whether unix sockets can be made at all: where one is granted, and where a server inside may be reached inside.
    fn brokers_sockets(&self) -> bool {
        let rules = self.policy.network();
        rules.loopback.value || rules.unix_sockets.iter().any(|rule| rule.allow)
    }

    fn needs(&self, network: Network, unix_sockets: bool) -> Needs {
        let has = |feature| if self.opens(feature) { Grant::Allowed } else { Grant::Denied };
        let own_ipc = self.way != Way::Bare && self.facts.host.namespaces(self.way).ipc.works();
        Needs {
            network,
            unix_sockets: if unix_sockets { Grant::Allowed } else { Grant::Denied },
            nested_user_namespaces: has(KernelFeature::NestedUserNamespaces),
            io_uring: has(KernelFeature::IoUring),
            ipc: if own_ipc { Ipc::Own } else { Ipc::Shared },
            pids: if self.way == Way::Bare { Pids::Shared } else { Pids::Own },
        }
    }

    /// What another grant opens past the filter must be held by something else.
    fn check_unfiltered(&mut self, needs: &Needs) {
        let unfiltered = needs.unfiltered();
        if let (Some(origin), false) =
            (self.policy.kernel().get(&KernelFeature::IoUring), unfiltered.is_empty())
        {
            self.lacks.push(Lack::IoUring { rule: origin.clone(), opens: unfiltered });
        }
    }

    /// The first rule that must hold for files that appear later, if there is one.
    fn live_rule(&self) -> Option<Origin> {
        // Without a listener nothing holds what mounts would.
        let alone = self.way == Way::Bare && self.facts.host.seccomp.listener.works();
        let inside = if alone { live::WITHOUT_MOUNTS } else { live::BESIDE_MOUNTS };
        let terminals = || bare::grants_terminals(&self.filesystem).filter(|_| alone);
        let first = live::first_rule(&self.filesystem, inside);
        first.or_else(|| terminals().map(|rule| rule.origin.clone()))
    }

    /// Whether such rules are held.
    fn is_live(&self) -> bool {
        let given_up = self.policy.degradations().contains_key(&Degradation::SnapshotGlobs);
        !given_up && self.facts.host.seccomp.listener.works() && self.live_rule().is_some()
    }

    /// What is executed is asked of nobody: a ruleset has to know the names.
    fn note_live(&mut self, opens: Opens) {
        if self.is_live() && opens == Opens::Performed {
            self.remarks.push(
                "a native program that is closed only since the command started can be executed, not read"
                    .to_owned(),
            );
        }
    }

    fn note_globs(&mut self) {
        if self.filesystem.globs().is_empty() {
            return;
        }
        if !self.is_live() {
            self.remarks.push("patterns hold for what was there when the command started".to_owned());
        }
        let unreadable = &self.facts.survey.unreadable;
        if let Some((first, _)) = unreadable.first() {
            self.remarks.push(format!(
                "{} directories cannot be read and are closed where a pattern could match in them, {first} among them",
                unreadable.len()
            ));
        }
    }

    /// The rule that covers `path`, patterns aside.
    fn rule(&self, path: &AbsPath) -> Option<&PathRule> {
        self.filesystem.covering(path)
    }

    fn access(&self, path: &AbsPath) -> Access {
        self.filesystem.access(path)
    }

    fn origin(&self, path: &AbsPath) -> Origin {
        self.rule(path).map_or_else(|| Origin::implied("no rule covers it"), |rule| rule.origin.clone())
    }

    fn opens(&self, feature: KernelFeature) -> bool {
        self.policy.kernel().contains_key(&feature)
    }
}

/// What is lost where proxies stand in for the gate.
const PROXIES_ALONE: &str = "programs reach allowed hosts through the proxies that the variables http_proxy, https_proxy and all_proxy name, and \
     fail where they ignore them; UDP, and names without a proxy, are refused; any address can be connected to on the two ports of the \
     proxies; other users of this machine can use the proxies as well";

fn gate_mechanism(network: Network, gated: bool, proxies: Option<Proxies>) -> Option<Mechanism> {
    let detail = match (gated, network, proxies) {
        (true, ..) => "every connection".to_owned(),
        (false, Network::Proxied, Some(Proxies { http, socks })) => {
            format!("proxies alone: HTTP at 127.0.0.1:{http}, SOCKS5 at 127.0.0.1:{socks}")
        }
        _ => return None,
    };
    Some(Mechanism { name: "network-gate".to_owned(), detail })
}

fn mechanisms(namespaces: &[Namespace], mounts: usize, confinement: &Confinement) -> Vec<Mechanism> {
    let named = |name: &str, detail: String| Mechanism { name: name.to_owned(), detail };
    let mut out: Vec<_> = namespaces.iter().map(|one| named(one.name(), String::new())).collect();
    if mounts > 0 {
        out.push(named("mounts", format!("{mounts} steps")));
    }
    if let Some(ruleset) = &confinement.landlock {
        let reading = confinement.reading.as_ref().map_or(0, |reading| reading.rules.len());
        let more = if reading == 0 { String::new() } else { format!(", {reading} for reading alone") };
        out.push(named("landlock", format!("ABI {}, {} rules{more}", ruleset.abi, ruleset.rules.len())));
    }
    if let Some(brokered) = &confinement.brokered {
        let names: usize = brokered.guards.iter().map(|guard| guard.names.len()).sum();
        out.push(named("broker", format!("{names} names, {} socket rules", brokered.sockets.grants.len())));
        let live = brokered.live.as_ref().map(|live| format!("{} by seccomp notification", live.words()));
        out.extend(live.map(|detail| named("live-rules", detail)));
    }
    out.push(named("seccomp", format!("{} instructions", confinement.filter.insns().len())));
    out.push(named("capabilities", "none".to_owned()));
    out.push(named("no-new-privs", String::new()));
    out
}

#[cfg(test)]
mod tests;
