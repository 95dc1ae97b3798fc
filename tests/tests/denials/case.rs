//! One refused act: what is told of it, and what the advice is worth.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use weir_protocol::denial::{Denial, Sight};
use weir_protocol::method::policy::Shown;
use weir_protocol::method::process::Exited;
use weir_protocol::policy::Subject;
use weir_protocol::policy::explain::Edit;
use weir_protocol::{AbsPath, Policy};
use weir_tests::sandbox::{Run, Way, World, finish, programs};

/// The profile of most cases.
pub(crate) const PROFILE: &str = r#"
"{w}/work" = "write"
"{w}/data" = "read"
"{w}/data/shut" = "none"
"#;

/// An act that works without Weir and is refused inside.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    /// The words of `weir-probe`.
    pub(crate) act: &'static [&'static str],
    /// The operation that is told, and at what.
    pub(crate) told: (&'static str, &'static str),
    /// What the line of the rule holds; nothing where no rule covers it.
    pub(crate) rule: Option<&'static str>,
    /// The option of one run; empty where none helps.
    pub(crate) option: &'static [&'static str],
    /// What the edit opens, and nothing beside it; empty where there is no edit.
    pub(crate) opens: &'static str,
}

/// What every case finds.
pub(crate) fn prepare(world: &World) {
    for path in
        ["work/own", "data/seen", "data/old/file", "data/shut/hidden", "other/secret", "other/old/file"]
    {
        world.file(path, "content");
    }
    for path in ["data/empty", "data/[id]", "data/odd\nname", "other/empty"] {
        world.directory(path);
    }
    // What a pattern and a `none` close, where a profile has those.
    for path in ["work/a.env", "work/deep/er/b.env", "work/whole.env/file", "work/closed/file"] {
        world.file(path, "content");
    }
    world.link("work/way", "closed");
    world.script("other/tool", "#!/bin/sh\nexit 0\n");
}

/// A run of the program for tests, and what its report says.
pub(crate) fn reported(world: &World, options: &[&str], words: &[&str]) -> (Run, Exited) {
    reported_by(&World::weir::<String>, world, options, words)
}

/// The same, where Weir is started in another way.
pub(crate) fn reported_by(weir: &Runner, world: &World, options: &[&str], words: &[&str]) -> (Run, Exited) {
    report_by(weir, world, options, probe_words(world, words))
}

/// A run of any command, and what its report says.
pub(crate) fn report_of(
    world: &World,
    options: &[&str],
    words: impl IntoIterator<Item = String>,
) -> (Run, Exited) {
    report_by(&World::weir::<String>, world, options, words)
}

pub(crate) fn report_by(
    weir: &Runner,
    world: &World,
    options: &[&str],
    words: impl IntoIterator<Item = String>,
) -> (Run, Exited) {
    let file = world.at("report.json");
    let report = file.to_string_lossy().into_owned();
    let options = options.iter().map(|word| world.expand(word)).chain(["--report".to_owned(), report]);
    let run = finish(weir(world, options.collect()).args(words));
    let text = fs::read(&file).unwrap_or_else(|error| panic!("{error}: {}", run.stderr));
    let content: Value = serde_json::from_slice(&text).unwrap();
    let exited = content.get("exited").unwrap_or_else(|| panic!("{content}"));
    (run, serde_json::from_value(exited.clone()).unwrap())
}

/// Tries a case: the control, the refusal and its record, the option, the edit.
pub(crate) fn check(world: &World, profile: &str, case: &Case, mechanism: &str) {
    check_by(&World::weir::<String>, world, profile, case, mechanism);
}

/// Makes `weir run OPTIONS… --`.
pub(crate) type Runner = dyn Fn(&World, Vec<String>) -> Command;

/// The same, where Weir is started in another way.
pub(crate) fn check_by(weir: &Runner, world: &World, profile: &str, case: &Case, mechanism: &str) {
    let reported = |world: &World, options: &[&str], words: &[&str]| reported_by(weir, world, options, words);
    let afresh = || {
        world.clear();
        prepare(world);
        world.profile_giving_up(&given_up(mechanism), profile, "");
    };
    afresh();
    let control = world.outside(probe_words(world, case.act));
    assert!(control.text().starts_with("ok"), "{case:?}: {control:?}");
    afresh();
    let (run, exited) = reported(world, &[], case.act);
    assert!(!run.text().starts_with("ok"), "{case:?}: {run:?}");
    let denial = only(world, case, &exited);
    assert_eq!(denial.mechanism.word(), mechanism, "{case:?}");
    let (found, expected) = (rule(&denial), case.rule.map(|text| world.expand(text)));
    assert_eq!(found.is_some(), expected.is_some(), "{denial:?}");
    assert!(found.zip(expected).is_none_or(|(line, text)| line.contains(&text)), "{denial:?}");
    assert!(!denial.time.is_empty() && denial.process.is_some(), "{denial:?}");
    let option: Vec<String> =
        denial.option.iter().flat_map(|one| [one.name.clone(), one.value.to_string()]).collect();
    let expected: Vec<String> = case.option.iter().map(|word| world.expand(word)).collect();
    assert_eq!(option, expected, "{denial:?}");
    afresh();
    if !option.is_empty() {
        let option: Vec<&str> = option.iter().map(String::as_str).collect();
        let (run, exited) = reported(world, &option, case.act);
        assert!(run.text().starts_with("ok"), "{case:?} with {option:?}: {run:?} {:?}", exited.denials);
        afresh();
    }
    edited(weir, world, case, &denial);
}

/// What a profile gives up so that it can be held by Landlock alone, with nothing opened by init.
pub(crate) fn given_up(mechanism: &str) -> Vec<&'static str> {
    let without_live: &[&str] = if mechanism == "landlock" { &["snapshot-globs"] } else { &[] };
    [Way::Bare.degrade(), without_live].concat()
}

fn probe_words(world: &World, act: &[&str]) -> Vec<String> {
    let probe = programs().probe.to_string_lossy().into_owned();
    std::iter::once(probe).chain(act.iter().map(|word| world.expand(word))).collect()
}

/// The one denial of a run.
fn only(world: &World, case: &Case, exited: &Exited) -> Denial {
    let found: Vec<(String, String)> =
        exited.denials.iter().map(|one| (one.operation.to_string(), one.target.to_string())).collect();
    let (operation, target) = case.told;
    assert_eq!(found, [(operation.to_owned(), world.expand(target))], "{case:?}: {exited:?}");
    exited.denials[0].clone()
}

/// The line of the profile at which a denial's rule stands.
pub(crate) fn rule(denial: &Denial) -> Option<String> {
    let origin = denial.origin.as_ref()?;
    let Some(place) = &origin.place else { return Some(origin.rule.clone()) };
    let text = fs::read_to_string(&place.file).unwrap();
    let line = usize::try_from(place.line).unwrap() - 1;
    text.lines().nth(line).map(ToOwned::to_owned)
}

fn edited(weir: &Runner, world: &World, case: &Case, denial: &Denial) {
    if case.opens.is_empty() {
        assert_eq!(denial.edit, None, "{case:?}");
        return;
    }
    let before = policy(world);
    apply(world, denial.edit.as_ref().unwrap_or_else(|| panic!("{case:?}: no edit: {denial:?}")));
    let after = policy(world);
    let opens = world.expand(case.opens);
    let opened = AbsPath::parse(opens.clone()).unwrap();
    let excess = after.excess_over(&before);
    let is_it = |subject: &Subject| match subject {
        Subject::Glob { pattern } => pattern.to_string() == opens,
        Subject::Path { path, .. } | Subject::Socket { path } => *path == opened || path.starts_with(&opened),
        _ => false,
    };
    assert!(!excess.is_empty() && excess.iter().all(|one| is_it(&one.subject)), "{case:?}: {excess:?}");
    assert_eq!(before.excess_over(&after), [], "{case:?}: the edit took something away");
    let (run, exited) = reported_by(weir, world, &[], case.act);
    assert!(
        run.text().starts_with("ok"),
        "{case:?} edited by {:?}: {run:?} {:?}",
        denial.edit,
        exited.denials
    );
}

/// The policy in force.
fn policy(world: &World) -> Policy {
    let output = world.command(&programs().weir).args(["policy", "show", "--json"]).output().unwrap();
    let shown: Shown = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    shown.policy
}

/// Changes the configuration as an edit says.
pub(crate) fn apply(world: &World, edit: &Edit) {
    let path = configuration(world);
    let text = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    match edit {
        Edit::Add { table, line, file } => {
            assert_eq!(file.as_deref(), path.to_str(), "{edit:?}");
            let heading = format!("[{table}]");
            match lines.iter().position(|line| *line == heading) {
                Some(at) => lines.insert(at + 1, line.clone()),
                None => lines.extend([heading, line.clone()]),
            }
        }
        Edit::Change { origin, to } => {
            let at = usize::try_from(origin.place.as_ref().unwrap().line).unwrap() - 1;
            let (key, _) = lines[at].rsplit_once('=').unwrap();
            match to {
                Some(to) => lines[at] = format!("{key}= {to}"),
                None => drop(lines.remove(at)),
            }
        }
    }
    fs::write(path, lines.join("\n") + "\n").unwrap();
}

fn configuration(world: &World) -> PathBuf {
    world.at("weir/config.toml")
}

/// What could not be seen, by mechanism.
pub(crate) fn blind(sight: &Sight) -> Vec<&'static str> {
    sight.blind().map(|(source, _)| source.mechanism.word()).collect()
}
