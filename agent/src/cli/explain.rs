//! The answer of `policy explain` for people.

use std::fmt::Write;

use weir_protocol::held::{Does, Held};
use weir_protocol::method::policy::{Explained, Needed};
use weir_protocol::policy::Origin;
use weir_protocol::policy::explain::Explanation;

/// The word for what comes about.
pub(super) const ALLOWED: &str = "allowed";
/// The word for what the policy refuses.
const DENIED: &str = "denied";
/// The word for what the policy allows and this machine refuses.
const REFUSED: &str = "refused here";

/// Verdict, winning rule, what holds it, what lost and why, and the smallest edit.
pub(super) fn render(found: &Explained) -> String {
    let explanation = &found.explanation;
    let mut out = String::new();
    let _ = writeln!(out, "{}: {}", answer(explanation, found.held.as_ref()), explanation.question);
    if let Some(access) = explanation.access {
        let _ = writeln!(out, "  access   {access}");
    }
    if let Some(path) = &found.leads_to {
        let _ = writeln!(out, "  leads to {path}");
    }
    reasons(&mut out, "  ", explanation, found.held.as_ref());
    if let Some(Held::By { way, .. }) = &found.held {
        let _ = writeln!(out, "  way      {way}");
    }
    for lost in &explanation.lost {
        let _ = writeln!(out, "  lost     {}  [{}]: {}", lost.rule, place(&lost.origin), lost.because);
    }
    edit(&mut out, "  ", explanation);
    found.needed.iter().for_each(|needed| need(&mut out, needed));
    let _ = writeln!(out, "  profile  {} ({})", found.profile, found.digest);
    out
}

/// What is to be said of something in one word.
pub(super) fn answer(explanation: &Explanation, held: Option<&Held>) -> &'static str {
    match (explanation.allowed, held) {
        (false, _) => DENIED,
        (true, Some(held)) if held.refused().is_some() => REFUSED,
        (true, _) => ALLOWED,
    }
}

fn need(out: &mut String, needed: &Needed) {
    let Needed { need, named, explanation, held } = needed;
    let named = named.as_ref().map(|name| format!(" (as {name})")).unwrap_or_default();
    let word = answer(explanation, held.as_ref());
    let _ = writeln!(out, "  needs    {}: {word}: {}{named}", need.words(), explanation.question);
    // Why nothing runs is said once.
    let held = held.as_ref().filter(|held| !matches!(held, Held::Unenforceable { .. }));
    reasons(out, "           ", explanation, held);
    edit(out, "           ", explanation);
}

fn reasons(out: &mut String, margin: &str, explanation: &Explanation, held: Option<&Held>) {
    let whence =
        explanation.origin.as_ref().map(|origin| format!("  [{}]", place(origin))).unwrap_or_default();
    let _ = writeln!(out, "{margin}rule     {}{whence}", explanation.rule);
    if let Some(origin) = explanation.origin.as_ref().filter(|origin| origin.rule != explanation.rule) {
        let _ = writeln!(out, "{margin}         {}", origin.rule);
    }
    held.iter().for_each(|held| hold(out, margin, held));
    for condition in &explanation.conditions {
        let _ = writeln!(out, "{margin}note     {condition}");
    }
}

fn edit(out: &mut String, margin: &str, explanation: &Explanation) {
    if let Some(edit) = &explanation.edit {
        let turned = if explanation.allowed { "to deny" } else { "to allow" };
        let _ = writeln!(out, "{margin}{turned:<8} {edit}");
    }
}

/// The mechanisms, each with what it does.
fn hold(out: &mut String, margin: &str, held: &Held) {
    let mechanisms = match held {
        Held::By { mechanisms, .. } => mechanisms,
        Held::Nothing { because } => {
            let _ = writeln!(out, "{margin}held by  nothing: {because}");
            return;
        }
        Held::Unenforceable { reason } => {
            let reason = reason.trim_end().replace('\n', &format!("\n{margin}         "));
            let _ = writeln!(
                out,
                "{margin}held by  nothing, for no command runs under this profile here: {reason}"
            );
            return;
        }
    };
    let mut before = "";
    for holding in mechanisms {
        let word = match holding.does {
            Does::Refuses | Does::Admits => "held by",
            Does::Backs => "behind",
            Does::Tells => "told by",
        };
        let shown = if word == before { "" } else { word };
        let _ = writeln!(out, "{margin}{shown:<8} {}: {}", holding.mechanism, holding.how);
        before = word;
    }
}

fn place(origin: &Origin) -> String {
    match origin.profile.as_str() {
        "" => origin.whence(),
        profile if origin.place.is_some() => format!("{}, profile {profile}", origin.whence()),
        _ => origin.whence(),
    }
}
