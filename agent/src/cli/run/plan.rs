//! `weir run --dry-run`: how a command would be held, for people or as JSON.

use std::fmt::Write;

use weir_protocol::method::Call;
use weir_protocol::method::process::{Enforcement, Planned, Start};

use super::super::{Exit, output};
use crate::link::{Link, LinkError};

/// Asks for the plan and prints it.
pub(super) fn print(link: &mut Link, start: Start, as_json: bool) -> Result<Exit, LinkError> {
    let planned: Planned = link.call(Call::ProcessPlan(Box::new(start)))?;
    Ok(if as_json { output::json(&planned) } else { output::text(&text(&planned)) })
}

fn text(planned: &Planned) -> String {
    let Enforcement { profile, digest, way, mechanisms, degradations, remarks } = &planned.enforcement;
    let mut out = String::new();
    let _ = writeln!(out, "profile    {profile} ({digest})");
    let _ = writeln!(out, "way        {way}");
    for mechanism in mechanisms {
        let separator = if mechanism.detail.is_empty() { "" } else { ": " };
        let _ = writeln!(out, "holds      {}{separator}{}", mechanism.name, mechanism.detail);
    }
    for degraded in degradations {
        let _ = writeln!(out, "given up   {}  [{}]", degraded.lost, degraded.origin.whence());
    }
    for remark in remarks {
        let _ = writeln!(out, "note       {remark}");
    }
    let _ = write!(out, "\n{}", planned.listing);
    if !planned.listing.ends_with('\n') {
        out.push('\n');
    }
    out
}
