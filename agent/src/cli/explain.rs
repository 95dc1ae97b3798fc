//! The answer of `policy explain` for people.

use std::fmt::Write;

use weir_protocol::method::policy::Explained;
use weir_protocol::policy::Origin;

/// Verdict, winning rule, what lost and why, and the smallest edit.
pub(super) fn render(found: &Explained) -> String {
    let explanation = &found.explanation;
    let mut out = String::new();
    let word = if explanation.allowed { "allowed" } else { "denied" };
    let _ = writeln!(out, "{word}: {}", explanation.question);
    if let Some(access) = explanation.access {
        let _ = writeln!(out, "  access   {access}");
    }
    if let Some(path) = &found.leads_to {
        let _ = writeln!(out, "  leads to {path}");
    }
    let whence =
        explanation.origin.as_ref().map(|origin| format!("  [{}]", place(origin))).unwrap_or_default();
    let _ = writeln!(out, "  rule     {}{whence}", explanation.rule);
    if let Some(origin) = explanation.origin.as_ref().filter(|origin| origin.rule != explanation.rule) {
        let _ = writeln!(out, "           {}", origin.rule);
    }
    for condition in &explanation.conditions {
        let _ = writeln!(out, "  note     {condition}");
    }
    for lost in &explanation.lost {
        let _ = writeln!(out, "  lost     {}  [{}]: {}", lost.rule, place(&lost.origin), lost.because);
    }
    if let Some(edit) = &explanation.edit {
        let turned = if explanation.allowed { "to deny" } else { "to allow" };
        let _ = writeln!(out, "  {turned:<8} {edit}");
    }
    let _ = writeln!(out, "  profile  {} ({})", found.profile, found.digest);
    out
}

fn place(origin: &Origin) -> String {
    match origin.profile.as_str() {
        "" => origin.whence(),
        profile if origin.place.is_some() => format!("{}, profile {profile}", origin.whence()),
        _ => origin.whence(),
    }
}
