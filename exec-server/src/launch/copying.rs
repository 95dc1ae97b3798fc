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
    let roots = match copies::roots(ask) {
        Ok(roots) => roots,
        Err(error) => return Told::Refused { code: error.code(), message: error.to_string() },
    };
    if let Ask::Apply(apply) = ask {
        let own = bound.is_none().then(Standing::read);
        let Some(standing) = bound.map(|bound| &bound.ceiling).or(own.as_ref()) else { return Told::busy() };
        let around = around(&apply.which.standpoint);
        for root in &roots {
            if let Err(above) = standing.check_write(root, Caller::of_this_process(), &around) {
                return Told::Refused { code: code::CEILING, message: above.to_string() };
            }
        }
    }
    if let (true, Some(bound)) = (changes, bound)
        && let Err(error) = bound.changes(&words(ask, &roots))
    {
        let message = format!("nothing was done: the audit record could not be written: {error}");
        return Told::Refused { code: code::AUDIT, message };
    }
    match copies::answer(ask) {
        Ok(answer) => Told::Copies(answer),
        Err(error) => Told::Refused { code: error.code(), message: error.to_string() },
    }
}

fn words(ask: &Ask, roots: &[AbsPath]) -> String {
    let act = if matches!(ask, Ask::Apply(_)) { "apply" } else { "discard" };
    let which = ask.which();
    let places = if which.paths.is_empty() { roots } else { &which.paths };
    let places: Vec<String> = places.iter().map(ToString::to_string).collect();
    format!("{act} the changes to {}", places.join(", "))
}
