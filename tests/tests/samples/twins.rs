//! Two ways to write one thing have one meaning: TOML and JSON, lists and maps, other names, other line ends.

use crate::sample;

/// Samples that say the same.
const TWINS: [[&str; 2]; 22] = [
    ["spec-example.toml", "spec-example.json"],
    ["spec-example.toml", "spec-example-domains-as-map.toml"],
    ["legacy-workspace-write.toml", "legacy-workspace-write.json"],
    ["resources-units.toml", "resources-units.json"],
    ["environment.toml", "environment.json"],
    ["domains-list.toml", "domains-map.toml"],
    ["domains-list.toml", "domains-map.json"],
    ["domains-array-of-tables.toml", "domains-array-inline.toml"],
    ["domains-trailing-dot.toml", "domains-no-trailing-dot.toml"],
    ["unix-sockets-list.toml", "unix-sockets-map.toml"],
    ["dotted-keys.toml", "dotted-keys.json"],
    ["literal-strings.toml", "escaped-strings.json"],
    ["everything.toml", "everything.json"],
    ["projects-trust.toml", "projects-trust.json"],
    ["paths-nested.toml", "paths-not-nested.toml"],
    ["access-none.toml", "access-deny-is-none.toml"],
    ["crlf.toml", "lf.toml"],
    ["lf.toml", "byte-order-mark.toml"],
    ["lf.toml", "crlf.json"],
    ["byte-order-mark.toml", "byte-order-mark.json"],
    ["token-project-roots.toml", "token-workspace-roots.toml"],
    ["requirements-ceiling.toml", "requirements-ceiling.json"],
];

#[test]
fn twins_mean_the_same() {
    for names in TWINS {
        let [left, right] = names.map(|name| sample::without_origins(&sample::document(name)));
        assert_eq!(left, right, "{names:?}");
    }
}

/// The comparison itself would be worthless if it blanked out more than origins.
#[test]
fn different_samples_mean_different_things() {
    let pairs = [
        ["spec-example.toml", "everything.toml"],
        ["domains-list.toml", "domains-empty-list.toml"],
        ["environment-inherit-none.toml", "environment-inherit-all.toml"],
        ["network-off.toml", "network-full.toml"],
        ["default-is-built-in.toml", "default-is-full-access.toml"],
    ];
    for names in pairs {
        let [left, right] = names.map(|name| sample::without_origins(&sample::document(name)));
        assert_ne!(left, right, "{names:?}");
    }
}
