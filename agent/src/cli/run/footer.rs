//! What is to be said after a run: guarantees given up, refusals, repositories that the host must not trust.
//!
//! Nothing is said where there is nothing to say. It goes to standard error and is for people; programs read the report.

use std::fmt::Write;
use std::io::IsTerminal;

use weir_protocol::denial::{Denial, Ledger};
use weir_protocol::method::process::{Degraded, Exited};
use weir_protocol::unreached::Unreached;

use super::super::{Exit, output};
use crate::denial;
use crate::run::Ended;

/// Most lines of one kind; the report holds all.
const MAX_LINES: usize = 10;

/// Says it.
pub(super) fn print(ended: &Ended) {
    let has_colour = std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    let paint = if has_colour { Paint::Colour } else { Paint::Plain };
    let enforcement = &ended.started.enforcement;
    let text = text(&enforcement.degradations, &ended.exited, paint);
    if !text.is_empty() {
        output::message(&text, Exit::Success);
    }
}

/// How a line's first words look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paint {
    Plain,
    /// Bold and yellow (ECMA-48, SGR).
    Colour,
}

impl Paint {
    fn label(self, text: &str) -> String {
        match self {
            Self::Plain => format!("weir: {text}:"),
            Self::Colour => format!("\x1b[1;33mweir: {text}:\x1b[0m"),
        }
    }
}

fn text(degraded: &[Degraded], exited: &Exited, paint: Paint) -> String {
    let Exited { denials, sight, unreached, new_repositories: repositories, stuck, .. } = exited;
    let degraded = degraded.iter().map(|one| format!("{} ({})", one.lost, one.origin.whence()));
    let mut folded = Ledger::default();
    denials.iter().cloned().for_each(|one| folded.add(one));
    let denied = folded.list().iter().map(denial_line);
    let new = repositories.iter().map(|directory| {
        format!("{directory}; git on the host runs its hooks and reads its configuration: look at them first")
    });
    let mut out = String::new();
    lines(&mut out, &paint.label("not enforced"), &degraded.collect::<Vec<_>>());
    lines(&mut out, &paint.label("denied"), &denied.collect::<Vec<_>>());
    lines(&mut out, &paint.label("denied"), &denial::beyond(sight));
    lines(&mut out, &paint.label("not reached"), &not_reached(unreached));
    lines(&mut out, &paint.label("new repository"), &new.collect::<Vec<_>>());
    lines(&mut out, &paint.label("not ended"), &not_ended(stuck).into_iter().collect::<Vec<_>>());
    out
}

/// Processes that the kernel has not ended.
fn not_ended(stuck: &[i32]) -> Option<String> {
    let numbers: Vec<_> = stuck.iter().take(MAX_LINES).map(ToString::to_string).collect();
    let more = if stuck.len() > MAX_LINES { " and more" } else { "" };
    let processes = if stuck.len() == 1 { "process" } else { "processes" };
    (!stuck.is_empty()).then(|| {
        format!(
            "{processes} {}{more}: the kernel ends what waits for a file system or a device when that answers",
            numbers.join(", ")
        )
    })
}

fn lines(out: &mut String, label: &str, all: &[String]) {
    for line in all.iter().take(MAX_LINES) {
        let _ = writeln!(out, "{label} {line}");
    }
    if all.len() > MAX_LINES {
        let _ = writeln!(out, "{label} and {} more; --report FILE tells all", all.len() - MAX_LINES);
    }
}

/// Hosts that the profile allows: there is nothing to allow.
fn not_reached(unreached: &Unreached) -> Vec<String> {
    let mut all: Vec<String> = unreached.hosts.iter().map(ToString::to_string).collect();
    if unreached.left_out > 0 {
        all.push(format!("{} more, for which the report has no room", unreached.left_out));
    }
    all
}

/// What was refused, and what would allow it.
fn denial_line(refused: &Denial) -> String {
    let mut out = denial::what(refused);
    if let Some(remedy) = denial::remedy(refused) {
        let _ = write!(out, "; to allow: {remedy}");
    }
    out
}

#[cfg(test)]
mod tests {
    use weir_protocol::denial::{Act, Mechanism, RunOption, Sight};
    use weir_protocol::method::process::{End, Usage};
    use weir_protocol::policy::explain::Edit;
    use weir_protocol::policy::{Degradation, Layer, Origin, Place};
    use weir_protocol::unreached::UnreachedHost;

    use super::*;

    fn origin(line: u32) -> Origin {
        let place = Place { file: "config.toml".to_owned(), line, column: 1 };
        Origin { layer: Layer::User, profile: "team".to_owned(), place: Some(place), rule: "r".to_owned() }
    }

    fn denial(target: &str, origin: Option<Origin>, count: u64) -> Denial {
        Denial {
            operation: Act::Create,
            target: target.into(),
            access: None,
            mechanism: Mechanism::Landlock,
            origin,
            count,
            time: String::new(),
            process: None,
            edit: None,
            option: None,
            reason: None,
        }
    }

    fn exited(denials: &[Denial]) -> Exited {
        Exited {
            id: 1,
            end: End::Exited { code: 0 },
            usage: Usage::default(),
            denials: denials.to_vec(),
            sight: Sight::default(),
            unreached: Unreached::default(),
            new_repositories: Vec::new(),
            recorded: None,
            stuck: Vec::new(),
        }
    }

    #[test]
    fn nothing_is_said_where_nothing_is_to_be_said() {
        assert_eq!(text(&[], &exited(&[]), Paint::Colour), "");
    }

    #[test]
    fn refusals_are_told_with_what_would_allow_them() {
        let degraded = Degraded {
            name: Degradation::SharedProcesses,
            origin: origin(9),
            lost: "processes of the host can be seen".to_owned(),
        };
        let option = RunOption { name: "--write".to_owned(), value: "/b c".into() };
        let edit = Edit::Change { origin: origin(4), to: None };
        let unseen = Edit::Add {
            table: "t".to_owned(),
            line: "\"/\u{202e}\u{9b}2J\" = \"read\"".to_owned(),
            file: None,
        };
        let denials = [
            Denial { edit: Some(unseen), ..denial("/c", None, 1) },
            Denial { edit: Some(edit), ..denial("/a", Some(origin(4)), 3) },
            Denial { option: Some(option), ..denial("/b\n", None, 1) },
            denial("/a", Some(origin(5)), 1),
        ];
        let host = UnreachedHost {
            operation: Act::Connect,
            host: "a.example:443".to_owned(),
            address: None,
            reason: "could not connect to 192.0.2.1:443: connection refused".to_owned(),
            count: 2,
            time: String::new(),
        };
        let exited = Exited {
            sight: Sight { left_out: 7, lost: 1, sources: Vec::new() },
            unreached: Unreached { hosts: vec![host], left_out: 3 },
            new_repositories: vec!["/p/sub".into()],
            stuck: vec![70, 71],
            ..exited(&denials)
        };
        let expect = "\
weir: not enforced: processes of the host can be seen (config.toml:9)
weir: denied: create /c (landlock; no rule covers this); to allow: add under [t]: \"/\\u202e\\u009b2J\" = \"read\"
weir: denied: create /a, 3 times (landlock; config.toml:4); to allow: remove r at config.toml:4
weir: denied: create /b\\n (landlock; no rule covers this); to allow: --write '/b c'
weir: denied: create /a (landlock; config.toml:5)
weir: denied: 7 more, for which the report has no room
weir: denied: the kernel had no room for some of its records; there may be more
weir: not reached: connect a.example:443: could not connect to 192.0.2.1:443: connection refused, 2 times
weir: not reached: 3 more, for which the report has no room
weir: new repository: /p/sub; git on the host runs its hooks and reads its configuration: look at them first
weir: not ended: processes 70, 71: the kernel ends what waits for a file system or a device when that answers
";
        assert_eq!(text(&[degraded], &exited, Paint::Plain), expect);
    }

    #[test]
    fn many_lines_are_cut_and_labels_coloured() {
        let denials: Vec<Denial> = (0..13).map(|number| denial(&format!("/{number}"), None, 1)).collect();
        let told = text(&[], &exited(&denials), Paint::Colour);
        assert_eq!(told.lines().count(), MAX_LINES + 1);
        assert_eq!(
            told.lines().last(),
            Some("\x1b[1;33mweir: denied:\x1b[0m and 3 more; --report FILE tells all")
        );
    }
}
