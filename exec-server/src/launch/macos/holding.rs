//! Answers questions to the plan of this Mac: Seatbelt holds files and sockets, the gate hosts, the server variables.

use weir_protocol::ByteString;
use weir_protocol::denial::Mechanism;
use weir_protocol::held::{Does, Held, Holding};

use super::begin::planned;
use crate::launch::Launch;
use crate::launch::inquiry::{Answered, Asked, Inquiry};

/// A program that is on every Mac: a plan names one.
const PROGRAM: &str = "/usr/bin/true";

/// The answers, for this process's user.
#[must_use]
pub fn held_here(inquiry: &Inquiry) -> Vec<Answered> {
    let launch = Launch { argv: vec![ByteString::from(PROGRAM)], ..inquiry.launch.clone() };
    let way = match planned(&launch) {
        Ok((enforcement, _)) => enforcement.way,
        Err(error) => return inquiry.unenforceable(&error.to_string()),
    };
    if launch.policy.is_unrestricted() {
        let because = || "the profile confines nothing".to_owned();
        return inquiry.answered(&launch.policy, |_, _| Held::Nothing { because: because() });
    }
    inquiry.answered(&launch.policy, |asked, explanation| {
        let does = if explanation.allowed { Does::Admits } else { Does::Refuses };
        Held::By { way: way.clone(), mechanisms: holdings(asked, does, &launch) }
    })
}

fn holdings(asked: &Asked, does: Does, launch: &Launch) -> Vec<Holding> {
    let holding = |mechanism, how: &str| Holding { mechanism, does, how: how.to_owned() };
    let behind = |mut holding: Holding| {
        holding.does = if does == Does::Refuses { Does::Backs } else { does };
        holding
    };
    let by_profile = "the profile that sandbox-exec applies to the command";
    match asked {
        Asked::Connect { .. } if launch.is_gated() => vec![
            holding(
                Mechanism::NetworkGate,
                "the gate's proxies on loopback are all that can be connected to",
            ),
            behind(holding(Mechanism::Seatbelt, by_profile)),
        ],
        Asked::Environment { .. } => {
            vec![holding(Mechanism::Environment, "the server decides what the command is started with")]
        }
        _ => vec![holding(Mechanism::Seatbelt, by_profile)],
    }
}
