//! What a denial advises, under the administrator's ceiling: nothing that the ceiling would refuse. Where it would, its rule is told instead.

use weir_protocol::denial::{Act, Denial, address};
use weir_protocol::method::policy::Standpoint;
use weir_protocol::policy::host::HostPattern;
use weir_protocol::policy::{
    Access, DomainPattern, DomainRule, NetworkParts, Origin, SocketRule, Sourced, Subject,
};
use weir_protocol::profile::read::key_of;
use weir_protocol::{AbsPath, ByteString, Policy};

use crate::answer::policy::around;
use crate::profile::ceiling::{Caller, Refusal};
use crate::profile::standing::Standing;

/// Whether something is advised.
pub(crate) const fn is_given(denial: &Denial) -> bool {
    denial.option.is_some() || denial.edit.is_some()
}

/// What is advised would grant.
enum Asked {
    Path(AbsPath, Access),
    Host(DomainPattern),
    Socket(AbsPath),
    Loopback,
}

/// Takes back what the ceiling would refuse besides this policy, and says which of its rules would.
pub(crate) fn below(ceiling: &Standing, policy: &Policy, standpoint: &Standpoint, denials: &mut [Denial]) {
    if !ceiling.has_ceiling() {
        return;
    }
    let around = around(standpoint);
    for denial in denials.iter_mut().filter(|denial| is_given(denial)) {
        let caller = Caller::of_this_process();
        let refused = match asked(denial) {
            Some(Asked::Path(path, access)) => ceiling
                .forbids(&path, access, caller, &around)
                .map(|refusal| (format!("{access} there"), told(&refusal, ceiling.file()))),
            Some(asked) => ceiling
                .forbids_network(policy, network(policy, asked), caller, &around)
                .map(|refusal| ("it".to_owned(), told(&refusal, ceiling.network_file()))),
            None => None,
        };
        let Some((what, rule)) = refused else { continue };
        let why = format!("the requirements do not allow {what}{rule}");
        (denial.option, denial.edit) = (None, None);
        denial.reason =
            Some(denial.reason.take().map_or_else(|| why.clone(), |reason| format!("{reason}; {why}")));
    }
}

/// The ceiling's rule, in words.
fn told(refusal: &Refusal, file: Option<&str>) -> String {
    // Of a host that no rule grants some rule of the list is named, which says nothing of it.
    let is_of_list =
        matches!(refusal, Refusal::Excess(excess) if matches!(excess.subject, Subject::Domain { .. }));
    match (refusal.rule().filter(|_| !is_of_list), file) {
        (Some(rule), _) if rule.place.is_some() => format!(" ({})", rule.whence()),
        (_, Some(file)) => format!(": no rule of {file} does"),
        _ => String::new(),
    }
}

/// What is advised, where the ceiling has something to say about that.
fn asked(denial: &Denial) -> Option<Asked> {
    if let Some(operation) = denial.access {
        return granted(denial).map(|path| Asked::Path(path, operation.needs()));
    }
    match (denial.operation, AbsPath::parse(&denial.target.0)) {
        (Act::Connect, Ok(path)) => Some(Asked::Socket(path)),
        (Act::Connect | Act::Resolve | Act::Send, Err(_)) => {
            let (host, port) = address(&denial.target)?;
            let is_loopback = host.is_loopback();
            let pattern = DomainPattern { host: HostPattern::Exact(host), port: Some(port) };
            Some(if is_loopback { Asked::Loopback } else { Asked::Host(pattern) })
        }
        _ => None,
    }
}

/// The policy's network with nothing but what is asked for where that belongs.
fn network(policy: &Policy, asked: Asked) -> NetworkParts {
    let origin = Origin::implied("it is asked for");
    let mut parts: NetworkParts = policy.network().clone().into();
    match asked {
        Asked::Path(..) => {}
        Asked::Host(pattern) => {
            parts.enabled = Sourced { value: true, origin: origin.clone() };
            parts.domains = Some(vec![DomainRule { pattern, allow: true, origin }]);
        }
        Asked::Socket(path) => parts.unix_sockets = vec![SocketRule { path, allow: true, origin }],
        Asked::Loopback => parts.loopback = Sourced { value: true, origin },
    }
    parts
}

/// Where what is advised grants something: at what was refused, or at its directory. What is another spelling of what a rule names lies
/// where that lies.
fn granted(denial: &Denial) -> Option<AbsPath> {
    let target = AbsPath::parse(&denial.target.0).ok()?;
    let Some(option) = &denial.option else { return Some(target) };
    let is_meant =
        |path: &AbsPath| key_of(path).is_some_and(|key| ByteString::from(key.as_str()) == option.value);
    let above = if is_meant(&target) { None } else { target.parent().filter(is_meant) };
    Some(above.unwrap_or(target))
}
