//! What a pattern or a `none` closes inside a place that can be written: told by init, which opens and names everything there.

use weir_tests::sandbox::{Way, World};

use super::case::{Case, check};

/// Init, by a live rule.
const LIVE: &str = "live";
/// Init, which sees that it does not come to what lies below something covered.
const BROKER: &str = "broker";

/// In whose name a case is told.
fn teller(way: Way, case: &Case) -> &'static str {
    let (operation, target) = case.told;
    let is_below = target.contains("/whole.env/") || target.contains("/closed/");
    let is_opened = matches!(operation, "read" | "write");
    if way != Way::Bare && is_below && is_opened { BROKER } else { LIVE }
}

const PROFILE: &str = r#"
"{w}/work" = "write"
"{w}/work/**/*.env" = "none"
"{w}/work/closed" = "none"
"#;

/// Nothing opens what a pattern closes but the end of the pattern.
const fn by_pattern(act: &'static [&'static str], told: (&'static str, &'static str)) -> Case {
    Case {
        act,
        told,
        rule: Some("\"{w}/work/**/*.env\" = \"none\""),
        option: &[],
        opens: "{w}/work/**/*.env",
    }
}

const PATTERN: [Case; 15] = [
    by_pattern(&["read", "{w}/work/a.env"], ("read", "{w}/work/a.env")),
    by_pattern(&["write", "{w}/work/a.env"], ("write", "{w}/work/a.env")),
    by_pattern(&["open-write", "{w}/work/deep/er/b.env"], ("write", "{w}/work/deep/er/b.env")),
    by_pattern(&["truncate", "{w}/work/a.env"], ("write", "{w}/work/a.env")),
    by_pattern(&["unlink", "{w}/work/a.env"], ("remove", "{w}/work/a.env")),
    by_pattern(&["create", "{w}/work/new.env"], ("create", "{w}/work/new.env")),
    by_pattern(&["mkdir", "{w}/work/new.env"], ("make-directory", "{w}/work/new.env")),
    by_pattern(&["rename", "{w}/work/own", "{w}/work/new.env"], ("move", "{w}/work/new.env")),
    by_pattern(&["rename", "{w}/work/a.env", "{w}/work/new"], ("remove", "{w}/work/a.env")),
    by_pattern(&["link", "{w}/work/a.env", "{w}/work/new"], ("read", "{w}/work/a.env")),
    by_pattern(&["link", "{w}/work/own", "{w}/work/new.env"], ("move", "{w}/work/new.env")),
    by_pattern(&["symlink", "own", "{w}/work/new.env"], ("make-link", "{w}/work/new.env")),
    by_pattern(&["list", "{w}/work/whole.env"], ("list", "{w}/work/whole.env")),
    by_pattern(&["read", "{w}/work/whole.env/file"], ("read", "{w}/work/whole.env/file")),
    by_pattern(&["create", "{w}/work/whole.env/new"], ("create", "{w}/work/whole.env/new")),
];

const fn by_none(
    act: &'static [&'static str],
    told: (&'static str, &'static str),
    option: &'static [&'static str],
    opens: &'static str,
) -> Case {
    Case { act, told, rule: Some("\"{w}/work/closed\" = \"none\""), option, opens }
}

const NONE: [Case; 7] = [
    by_none(
        &["read", "{w}/work/closed/file"],
        ("read", "{w}/work/closed/file"),
        &["--read", "{w}/work/closed/file"],
        "{w}/work/closed/file",
    ),
    by_none(
        &["write", "{w}/work/closed/file"],
        ("write", "{w}/work/closed/file"),
        &["--write", "{w}/work/closed/file"],
        "{w}/work/closed/file",
    ),
    by_none(
        &["read", "{w}/work/way/file"],
        ("read", "{w}/work/closed/file"),
        &["--read", "{w}/work/closed/file"],
        "{w}/work/closed/file",
    ),
    by_none(&["create", "{w}/work/closed/new"], ("create", "{w}/work/closed/new"), &[], "{w}/work/closed"),
    by_none(&["list", "{w}/work/closed"], ("list", "{w}/work/closed"), &[], "{w}/work/closed"),
    by_none(
        &["rename", "{w}/work/closed", "{w}/work/opened"],
        ("remove-directory", "{w}/work/closed"),
        &[],
        "{w}/work/closed",
    ),
    by_none(
        &["rename", "{w}/work/own", "{w}/work/closed/file"],
        ("move", "{w}/work/closed/file"),
        &[],
        "{w}/work/closed",
    ),
];

#[test]
fn what_a_pattern_closes() {
    Way::each("denials::pattern", |way| {
        let world = World::new(way);
        PATTERN.iter().for_each(|case| check(&world, PROFILE, case, teller(way, case)));
    });
}

#[test]
fn what_a_rule_closes_inside_another() {
    Way::each("denials::closed", |way| {
        let world = World::new(way);
        NONE.iter().for_each(|case| check(&world, PROFILE, case, teller(way, case)));
    });
}
