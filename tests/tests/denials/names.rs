//! Names that are to be made, moved and taken over, and sockets: told by init in every way, without any privilege.

use weir_tests::sandbox::{Way, World};

use super::case::{Case, PROFILE, blind, check, prepare, reported};

const BROKER: &str = "broker";

/// In a place that can be read.
const READABLE: [Case; 9] = [
    case(&["create", "{w}/data/new"], ("create", "{w}/data/new")),
    case(&["mkdir", "{w}/data/new"], ("make-directory", "{w}/data/new")),
    case(&["symlink", "seen", "{w}/data/new"], ("make-link", "{w}/data/new")),
    case(&["mknod", "{w}/data/new", "0x11a4", "0"], ("make-node", "{w}/data/new")),
    case(&["link", "{w}/data/seen", "{w}/data/new"], ("move", "{w}/data/new")),
    case(&["rename", "{w}/data/seen", "{w}/data/old/file"], ("remove", "{w}/data/seen")),
    case(&["create", "{w}/data/old/new"], ("create", "{w}/data/old/new")),
    case(&["mkdir", "{w}/data/empty/new"], ("make-directory", "{w}/data/empty/new")),
    case(&["create", "{w}/data/../data/new"], ("create", "{w}/data/new")),
];

const fn case(act: &'static [&'static str], told: (&'static str, &'static str)) -> Case {
    Case {
        act,
        told,
        rule: Some("\"{w}/data\" = \"read\""),
        option: &["--write", "{w}/data"],
        opens: "{w}/data",
    }
}

/// The same below, where the directory is another.
fn all() -> Vec<Case> {
    let mut cases = READABLE.to_vec();
    for (at, directory) in [(6, "{w}/data/old"), (7, "{w}/data/empty")] {
        cases[at].opens = directory;
    }
    cases[6].option = &["--write", "{w}/data/old"];
    cases[7].option = &["--write", "{w}/data/empty"];
    // Both ends of a rename are in places that cannot be written.
    cases.remove(5);
    // A name that would be a pattern is named by its escapes; one that no rule can name is told without advice.
    cases.push(Case {
        option: &["--write", "{w}/data/\\[id\\]"],
        opens: "{w}/data/[id]",
        ..case(&["create", "{w}/data/[id]/new"], ("create", "{w}/data/[id]/new"))
    });
    cases.push(Case {
        option: &[],
        opens: "",
        ..case(&["create", "{w}/data/odd\nname/new"], ("create", "{w}/data/odd\\nname/new"))
    });
    cases
}

#[test]
fn names_in_places_that_can_be_read() {
    Way::each("denials::names", |way| {
        let world = World::new(way);
        // What is closed inside cannot be held in the bare way, where it is left out of what is granted.
        let profile = PROFILE.replace("\"{w}/data/shut\" = \"none\"\n", "");
        all().iter().for_each(|case| check(&world, &profile, case, BROKER));
    });
}

#[test]
fn protected_names_in_a_place_that_can_be_written() {
    let protected = |act, told, option, opens| Case { act, told, rule: Some("protected"), option, opens };
    let cases = [
        protected(
            &["mkdir", "{w}/work/.weir"],
            ("create", "{w}/work/.weir"),
            &["--write", "{w}/work/.weir"] as &[&str],
            "{w}/work/.weir",
        ),
        protected(
            &["create", "{w}/work/.mcp.json"],
            ("create", "{w}/work/.mcp.json"),
            &["--write", "{w}/work/.mcp.json"],
            "{w}/work/.mcp.json",
        ),
        protected(
            &["rename", "{w}/work/own", "{w}/work/.mcp.json"],
            ("create", "{w}/work/.mcp.json"),
            &["--write", "{w}/work/.mcp.json"],
            "{w}/work/.mcp.json",
        ),
    ];
    Way::each("denials::protected", |way| {
        let world = World::new(way);
        for case in &cases {
            check(&world, "\"{w}/work\" = \"write\"", case, BROKER);
        }
    });
}

/// What nothing grants is not there, where there are mounts: what leads there is missing, and the host has it.
#[test]
fn names_in_places_that_nothing_grants() {
    let cases = [
        Case {
            act: &["create", "{w}/other/new"],
            told: ("create", "{w}/other/new"),
            rule: None,
            option: &["--write", "{w}/other"],
            opens: "{w}/other",
        },
        Case {
            act: &["mkdir", "{w}/other/old/new"],
            told: ("make-directory", "{w}/other/old/new"),
            rule: None,
            option: &["--write", "{w}/other/old"],
            opens: "{w}/other/old",
        },
    ];
    Way::each_of(&[Way::Root, Way::User], "denials::absent", |way| {
        let world = World::new(way);
        cases.iter().for_each(|case| check(&world, PROFILE, case, BROKER));
    });
}

#[test]
fn the_same_is_told_once_with_its_number_and_what_cannot_be_seen_is_said() {
    Way::each("denials::folded", |way| {
        let world = World::new(way);
        world.profile("\"{w}/work\" = \"write\"\n\"{w}/data\" = \"read\"", "");
        prepare(&world);
        let again = ["create", "{w}/data/new", ","].repeat(7);
        let other = [&again[..], &["mkdir", "{w}/data/new"]].concat();
        let (_, exited) = reported(&world, &[], &other);
        let counts: Vec<u64> = exited.denials.iter().map(|one| one.count).collect();
        assert_eq!((counts, exited.sight.left_out), (vec![7, 1], 0), "{exited:?}");
        let blind = blind(&exited.sight);
        assert_eq!(blind.contains(&"mounts"), way != Way::Bare, "{exited:?}");
        assert!(!blind.contains(&BROKER), "{exited:?}");
    });
}

#[test]
fn a_flood_of_refusals_stays_bounded_and_what_is_left_out_is_counted() {
    let world = World::new(Way::User);
    Way::each_of(&[Way::User], "denials::flood", |_| {
        world.profile("\"{w}/work\" = \"write\"\n\"{w}/data\" = \"read\"", "");
        prepare(&world);
        let script = "i=0; while [ $i -lt 2000 ]; do true 2>/dev/null >{w}/data/n$i; i=$((i+1)); done; true";
        let words = ["sh", "-c", script].map(|word| world.expand(word));
        let (_, exited) = super::case::report_of(&world, &[], words);
        let told: u64 = exited.denials.iter().map(|one| one.count).sum();
        assert_eq!(told + exited.sight.left_out, 2000, "{:?}", exited.sight);
        assert_eq!(exited.denials.len(), weir_protocol::denial::MAX_DENIALS);
    });
}
