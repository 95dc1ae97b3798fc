//! What is told of a command's end: what the launcher says, what the network gate refused, which limit ended it.

use std::time::SystemTime;

use weir_protocol::audit::{since_1970_ms, time};
use weir_protocol::denial::{Act, Denial, Mechanism, Source};
use weir_protocol::method::process::{End, Exited, ProcessId};
use weir_protocol::policy::explain::Edit;
use weir_protocol::policy::{Origin, Resource, Resources};
use weir_protocol::unreached::Unreached;

use crate::egress::Account;
use crate::launch::Ended;

/// Puts it together. `end`: the server's own word, where it ended the command; `limits`: the profile's.
pub(crate) fn exited(
    id: ProcessId,
    ended: Ended,
    end: Option<End>,
    gate: Option<Account>,
    limits: &Resources,
) -> Exited {
    let Ended { end: heard, usage, mut denials, mut sight, new_repositories, recorded, stuck } = ended;
    let end = end.unwrap_or(heard);
    let mut unreached = Unreached::default();
    if let Some(gate) = gate {
        unreached = gate.unreached;
        let (refused, left_out) = gate.denials.into_parts();
        denials.extend(refused);
        sight.left_out = sight.left_out.saturating_add(left_out);
        sight
            .sources
            .push(Source::present(Mechanism::NetworkGate, "names, connections, requests, datagrams"));
    }
    denials.extend(beyond(end, limits));
    let recorded = recorded.map(Box::new);
    Exited { id, end, usage, denials, sight, unreached, new_repositories, recorded, stuck }
}

/// Starts of processes that were refused for their number.
pub(crate) fn forks(limits: &Resources, count: u64) -> Denial {
    let rule = limits.limit(Resource::Processes).map(|limit| limit.origin.clone());
    Denial { operation: Act::Fork, count, ..of_limit(Resource::Processes, rule) }
}

/// The limit that ended a command, as a denial.
fn beyond(end: End, limits: &Resources) -> Option<Denial> {
    let (resource, most, unit) = match end {
        End::Memory { limit_bytes } => (Resource::Memory, limit_bytes, "bytes"),
        End::Output { limit_bytes } => (Resource::Output, limit_bytes, "bytes"),
        End::TimedOut { limit_ms } => (Resource::WallTime, limit_ms, "ms"),
        _ => return None,
    };
    // A limit of the caller's own (`--timeout`) is no rule, and its end says it all.
    let rule = limits.limit(resource).filter(|limit| limit.value == most)?.origin.clone();
    Some(Denial { reason: Some(format!("more than {most} {unit}")), ..of_limit(resource, Some(rule)) })
}

fn of_limit(resource: Resource, origin: Option<Origin>) -> Denial {
    Denial {
        operation: Act::Use,
        target: resource.key().into(),
        access: None,
        mechanism: Mechanism::Resource,
        edit: origin.clone().map(|origin| Edit::Change { origin, to: None }),
        origin,
        count: 1,
        time: time(since_1970_ms(SystemTime::now())),
        process: None,
        option: None,
        reason: None,
    }
}

#[cfg(test)]
mod tests {
    use weir_protocol::policy::Sourced;

    use super::*;

    #[test]
    fn a_limit_that_ended_the_command_is_told_with_its_rule() {
        let mut limits = Resources::default();
        limits.set(Resource::WallTime, Sourced { value: 500, origin: Origin::implied("by the profile") });
        let told =
            |end| beyond(end, &limits).map(|denial| (denial.target.to_string(), denial.origin.is_some()));
        assert_eq!(told(End::TimedOut { limit_ms: 500 }), Some(("wall_time".to_owned(), true)));
        assert_eq!(told(End::TimedOut { limit_ms: 100 }), None);
        for end in [
            End::Memory { limit_bytes: 1 },
            End::Output { limit_bytes: 1 },
            End::Exited { code: 137 },
            End::Signalled { signal: 9 },
            End::Cancelled,
            End::ServerStopping,
        ] {
            assert_eq!(told(end), None);
        }
    }
}
