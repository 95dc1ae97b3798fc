//! Cases and laws of patterns: parsing, matching (checked against the `globset` crate) and coverage.

use globset::GlobBuilder;
use proptest::prelude::*;
use regex::bytes::{Regex, RegexBuilder};

use super::*;

fn glob(text: &str) -> Glob {
    Glob::absolute(text).unwrap()
}

fn regex(glob: &Glob) -> Regex {
    RegexBuilder::new(&glob.to_regex()).unicode(false).dot_matches_new_line(true).build().unwrap()
}

#[test]
fn matches_by_component_and_covers_the_subtree() {
    type Case = (&'static str, &'static [&'static [u8]], &'static [&'static [u8]]);
    let cases: [Case; 9] = [
        (
            "/r/**/*.env",
            &[b"/r/.env", b"/r/a/b/c/d/e/x.env", b"/r/x.env/inside"],
            &[b"/r/xenv", b"/q/x.env", b"/r"],
        ),
        (
            "/r/**/.secrets",
            &[b"/r/.secrets", b"/r/.secrets/key", b"/r/a/.secrets/b/c"],
            &[b"/r/.secretsx", b"/r/x.secrets"],
        ),
        ("/r/*", &[b"/r/a", b"/r/a/b", b"/r/\xff"], &[b"/r", b"/ra"]),
        ("/r/a*c", &[b"/r/ac", b"/r/abbc", b"/r/a\nc"], &[b"/r/a/c", b"/r/abd"]),
        ("/r/a?c", &[b"/r/abc", b"/r/a\xc3\xa9c", b"/r/a\xffc"], &[b"/r/ac", b"/r/a/c", b"/r/abbc"]),
        ("/r/[a-c!]x", &[b"/r/ax", b"/r/!x"], &[b"/r/dx", b"/r/x"]),
        ("/r/[!a-c]x", &[b"/r/dx", b"/r/\xc3\xa9x"], &[b"/r/ax", b"/r//x", b"/r/x"]),
        ("/r/**", &[b"/r/a", b"/r/a/b"], &[b"/r", b"/q/a"]),
        (r"/r/\*.txt*", &[b"/r/*.txt", b"/r/*.txt2"], &[b"/r/a.txt"]),
    ];
    for (pattern, inside, outside) in cases {
        let regex = regex(&glob(pattern));
        for path in inside {
            assert!(regex.is_match(path), "{pattern} should cover {}", String::from_utf8_lossy(path));
        }
        for path in outside {
            assert!(!regex.is_match(path), "{pattern} should not cover {}", String::from_utf8_lossy(path));
        }
    }
}

#[test]
fn refuses_what_has_no_clear_meaning() {
    let cases = [
        ("/a**b", GlobError::DoubleStarInComponent { at: 1 }),
        ("/**/**/x", GlobError::RepeatedDoubleStar { at: 3 }),
        ("/x[ab", GlobError::UnclosedClass { at: 1 }),
        ("/x[]", GlobError::EmptyClass { at: 1 }),
        ("/x[!]", GlobError::EmptyClass { at: 1 }),
        ("/[z-a]", GlobError::BackwardRange { at: 0 }),
        ("/[é]", GlobError::BadClassCharacter { at: 0 }),
        ("/[a/b]", GlobError::UnclosedClass { at: 0 }),
        ("/a\\", GlobError::TrailingBackslash { at: 1 }),
        ("/{a,b}*", GlobError::Braces { at: 0 }),
        ("/a*b*c*d*e*f*g*h*i*j", GlobError::TooManyWildcards { at: 0 }),
        ("/**/a/**/b/**/c/**/d/**", GlobError::TooManyWildcards { at: 0 }),
        ("/*/../x", PathError::ParentComponent.into()),
        ("/*//x", PathError::EmptyComponent.into()),
        ("*.env", PathError::NotAbsolute.into()),
    ];
    for (text, expect) in cases {
        assert_eq!(Glob::absolute(text), Err(expect), "{text}");
    }
}

#[test]
fn coverage_is_inclusion() {
    let cases = [
        ("/r/**/*.env", "/r/a/*.env", true),
        ("/r/**/*.env", "/r/**/x.env", true),
        ("/r/**/*.env", "/r/**/.env/y*", true),
        ("/r/**", "/r/*/x", true),
        ("/r/a/*.env", "/r/**/*.env", false),
        ("/r/**/x?", "/r/**/x*", false),
        ("/r/**/[a-z]*", "/r/**/[b-d]x*", true),
        ("/q/**/*.env", "/r/**/*.env", false),
    ];
    for (large, small, expect) in cases {
        assert_eq!(glob(large).covers(&glob(small)), expect, "{large} covers {small}");
    }
}

#[test]
fn base_is_the_literal_directory() {
    for (text, expect) in [("/r/a/*.env", "/r/a"), ("/**/x", "/"), (r"/r/\*/b?", "/r/*")] {
        assert_eq!(glob(text).base().display(), expect);
    }
}

fn any_pattern() -> impl Strategy<Value = String> {
    let component = prop_oneof![
        3 => "[ab.]{1,3}",
        3 => "[ab.]{0,2}[*?][ab.]{0,2}",
        1 => "[ab]{0,1}\\[!?[ab]{1,2}\\][ab]{0,1}",
        2 => Just("**".to_owned()),
    ];
    prop::collection::vec(component, 1..5).prop_map(|parts| format!("/{}", parts.join("/")))
}

fn any_path() -> impl Strategy<Value = String> {
    prop::collection::vec("[ab.]{1,3}", 1..6).prop_map(|parts| format!("/{}", parts.join("/")))
}

proptest! {
    #[test]
    fn agrees_with_globset(pattern in any_pattern(), path in any_path()) {
        let Ok(ours) = Glob::absolute(&pattern) else { return Ok(()) };
        // globset lets a negated class match `/`; ours never does.
        let theirs = GlobBuilder::new(&pattern.replace("[!", "[!/")).literal_separator(true).build().unwrap().compile_matcher();
        let expect = crate::path::ancestor_slices(path.as_bytes())
            .any(|prefix| theirs.is_match(std::str::from_utf8(prefix).unwrap()));
        prop_assert_eq!(regex(&ours).is_match(path.as_bytes()), expect, "{} {}", pattern, path);
    }

    #[test]
    fn text_round_trips(pattern in any_pattern()) {
        let Ok(glob) = Glob::absolute(&pattern) else { return Ok(()) };
        prop_assert_eq!(&Glob::absolute(glob.to_bytes()).unwrap(), &glob);
        let json = serde_json::to_string(&glob).unwrap();
        prop_assert_eq!(serde_json::from_str::<Glob>(&json).unwrap(), glob);
    }

    #[test]
    fn coverage_agrees_with_matches(large in any_pattern(), small in any_pattern(), path in any_path()) {
        let (Ok(large), Ok(small)) = (Glob::absolute(&large), Glob::absolute(&small)) else { return Ok(()) };
        if large.covers(&small) && regex(&small).is_match(path.as_bytes()) {
            prop_assert!(regex(&large).is_match(path.as_bytes()));
        }
    }
}
