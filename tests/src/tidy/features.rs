//! Features that a crate must not turn on in a dependency that is otherwise fine.
//!
//! Caller: [`super::edges`].

use super::manifest::{Dependency, Purpose};
use super::{Finding, Source};

/// Crate, dependency, features that it must not have, and why.
const DENIED: [(&str, &str, &[&str], &str); 4] = [
    // Its `client` speaks over a stream that it is given and connects to nothing; where it may be used is the rule `http-client-half`.
    ("weir-exec-server", "hyper", &["full"], "the privileged side takes what it needs and no more"),
    (
        "weir-exec-server",
        "hyper-util",
        &["client", "client-legacy", "full"],
        "the privileged side holds no HTTP client",
    ),
    ("weir-agent", "tokio", &["process", "full"], "the agent starts nothing"),
    ("weir-agent", "nix", &["process"], "the agent starts nothing"),
];

/// Judges one dependency of `package`.
pub fn check(source: &Source, package: &str, dependency: &Dependency) -> Vec<Finding> {
    if dependency.purpose == Purpose::Development {
        return Vec::new();
    }
    let rows = DENIED.iter().filter(|(member, name, _, _)| *member == package && *name == dependency.package);
    let turned_on = rows.flat_map(|(_, name, denied, reason)| {
        let found = denied.iter().filter(|feature| dependency.features.iter().any(|on| on == *feature));
        found.map(move |feature| format!("{name} with the feature `{feature}`: {reason}"))
    });
    turned_on.map(|message| Finding::new(source, 0, message)).collect()
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::Source;
    use crate::tidy::manifest::{Dependency, Purpose};

    fn count(package: &str, name: &str, purpose: Purpose, features: &[&str]) -> usize {
        let features = features.iter().map(|feature| (*feature).to_owned()).collect();
        let dependency = Dependency { package: name.to_owned(), purpose, features };
        check(&Source::new("m/Cargo.toml", ""), package, &dependency).len()
    }

    #[test]
    fn denied_features_are_found_in_the_product() {
        let cases = [
            ("weir-exec-server", "hyper", Purpose::Product, &["client", "http1"][..], 0),
            ("weir-exec-server", "hyper", Purpose::Product, &["full"], 1),
            ("weir-exec-server", "hyper-util", Purpose::Product, &["client"], 1),
            ("weir-exec-server", "hyper-util", Purpose::Product, &["tokio"], 0),
            ("weir-exec-server", "hyper", Purpose::Product, &["server"], 0),
            ("weir-exec-server", "hyper", Purpose::Development, &["client"], 0),
            ("weir-agent", "hyper", Purpose::Product, &["client"], 0),
            ("weir-agent", "tokio", Purpose::Product, &["full"], 1),
            ("weir-exec-server", "tokio", Purpose::Product, &["process"], 0),
        ];
        for (package, name, purpose, features, expect) in cases {
            assert_eq!(count(package, name, purpose, features), expect, "{package} {name} {features:?}");
        }
    }
}
