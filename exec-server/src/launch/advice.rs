//! What a denial advises, under the administrator's ceiling: nothing that the ceiling would refuse. Where it would, its rule is told instead.

use weir_protocol::denial::Denial;
use weir_protocol::method::policy::Standpoint;
use weir_protocol::profile::read::key_of;
use weir_protocol::{AbsPath, ByteString};

use crate::answer::policy::around;
use crate::profile::ceiling::Caller;
use crate::profile::standing::Standing;

/// Whether something is advised.
pub(super) const fn is_given(denial: &Denial) -> bool {
    denial.option.is_some() || denial.edit.is_some()
}

/// Takes back what the ceiling would refuse, and says which of its rules would.
pub(super) fn below(ceiling: &Standing, standpoint: &Standpoint, denials: &mut [Denial]) {
    if !ceiling.has_ceiling() {
        return;
    }
    let around = around(standpoint);
    for denial in denials.iter_mut().filter(|denial| is_given(denial)) {
        let Some((path, operation)) = granted(denial).zip(denial.access) else { continue };
        let Some(refusal) = ceiling.forbids(&path, operation.needs(), Caller::of_this_process(), &around)
        else {
            continue;
        };
        let rule = match (refusal.rule(), ceiling.file()) {
            (Some(rule), _) if rule.place.is_some() => format!(" ({})", rule.whence()),
            (_, Some(file)) => format!(": no rule of {file} does"),
            _ => String::new(),
        };
        let why = format!("the requirements do not allow {} there{rule}", operation.needs());
        (denial.option, denial.edit) = (None, None);
        denial.reason =
            Some(denial.reason.take().map_or_else(|| why.clone(), |reason| format!("{reason}; {why}")));
    }
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
