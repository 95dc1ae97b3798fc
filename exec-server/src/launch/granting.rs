//! A host that is granted to a command that runs: whether the administrator's ceiling lets it be, said by whoever holds the privilege.

use std::time::SystemTime;

use weir_protocol::audit::since_1970_ms;
use weir_protocol::policy::DomainPattern;
use weir_protocol::policy::lease::Lease;

use super::Launch;
use crate::answer::policy::around;
use crate::profile::ceiling::Caller;
use crate::profile::standing::Standing;

/// Why this host must not be granted besides what was launched.
pub(super) fn above(launch: &Launch, pattern: &DomainPattern, ceiling: &Standing) -> Option<String> {
    let now_ms = since_1970_ms(SystemTime::now());
    let lease = Lease::of_host(&launch.policy, pattern.clone(), now_ms, "");
    let widened = match lease.policy_at(&launch.policy, now_ms) {
        Ok(widened) => widened,
        Err(error) => return Some(error.to_string()),
    };
    let checked = ceiling.check(&widened, Caller::of_this_process(), &around(&launch.standpoint));
    checked.err().map(|above| above.to_string())
}
