//! What is asked about copies, answered where the user's rights are: under the ceiling, and on record before it is done.

use weir_protocol::AbsPath;
use weir_protocol::method::changes::Ask;
use weir_protocol::method::code;

use super::{Bound, Told};
use crate::answer::policy::around;
use crate::copies;
use crate::profile::ceiling::Caller;
use crate::profile::standing::Standing;

pub(super) fn answer(ask: &Ask, bound: Option<&Bound>) -> Told {
    let changes = matches!(ask, Ask::Apply(_) | Ask::Discard(_));
    let refused = |error: copies::CopyError| Told::Refused { code: error.code(), message: error.to_string() };
    // What is judged and recorded is what is changed: it is held from here on.
    let meant = match copies::meant(ask) {
        Ok(meant) => meant,
        Err(error) => return refused(error),
    };
    if let Ask::Apply(apply) = ask {
        let own = bound.is_none().then(Standing::read);
        let Some(standing) = bound.map(|bound| &bound.ceiling).or(own.as_ref()) else { return Told::busy() };
        let around = around(&apply.which.standpoint);
        for root in meant.roots() {
            if let Err(above) = standing.check_write(root, Caller::of_this_process(), &around) {
                return Told::Refused { code: code::CEILING, message: above.to_string() };
            }
        }
    }
    if let (true, Some(bound)) = (changes, bound)
        && let Err(error) = bound.changes(&words(ask, meant.roots()))
    {
        let message = format!("nothing was done: the audit record could not be written: {error}");
        return Told::Refused { code: code::AUDIT, message };
    }
    meant.carry_out(ask).map_or_else(refused, Told::Copies)
}

fn words<'a>(ask: &'a Ask, roots: impl Iterator<Item = &'a AbsPath>) -> String {
    let act = if matches!(ask, Ask::Apply(_)) { "apply" } else { "discard" };
    let paths = &ask.which().paths;
    let places: Vec<String> = if paths.is_empty() {
        roots.map(ToString::to_string).collect()
    } else {
        paths.iter().map(ToString::to_string).collect()
    };
    format!("{act} the changes to {}", places.join(", "))
}
