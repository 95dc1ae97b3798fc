//! Where `unsafe` may stand: in the `sys` modules of the Linux sandbox and of the exec-server, and in tests. Callers: [`super::RULES`].

use super::tokens::{self, Scope, Token};
use super::{Finding, Source};

/// The `sys` modules: each stands for the file `….rs` and all below the directory of the same name.
pub const UNSAFE_MODULES: [&str; 7] = [
    "sandbox-linux/src/sys",
    "exec-server/src/launch/sys",
    "exec-server/src/launch/macos/sys",
    "exec-server/src/peer/sys",
    "exec-server/src/daemon/sys",
    "exec-server/src/serve/sys",
    "exec-server/src/egress/sys",
];

/// Crates with a `sys` module; the roots of all others forbid `unsafe`.
const CRATES_WITH_SYS: [&str; 2] = ["sandbox-linux", "exec-server"];

/// The word `unsafe` stands nowhere outside the zones.
pub fn check_unsafe(source: &Source) -> Vec<Finding> {
    if !source.is_rust() || source.is_test() || in_zone(&source.path) {
        return Vec::new();
    }
    let tokens = match tokens::read(source, Scope::Everything) {
        Ok(tokens) => tokens,
        Err(finding) => return vec![finding],
    };
    let message = format!("`unsafe` belongs in a `sys` module: {}", UNSAFE_MODULES.join(", "));
    let words = tokens.iter().filter(|token| token.is_word("unsafe"));
    words.map(|token| Finding::new(source, token.line, message.clone())).collect()
}

/// The root of every crate without a `sys` module has `#![forbid(unsafe_code)]`. Test programs below `src/bin` of the crate
/// `tests` make system calls and are exempt.
pub fn check_forbid(source: &Source) -> Vec<Finding> {
    if !is_forbidding_root(&source.path) {
        return Vec::new();
    }
    match tokens::read(source, Scope::Everything) {
        Err(finding) => vec![finding],
        Ok(tokens) if forbids(&tokens) => Vec::new(),
        Ok(_) => vec![Finding::new(source, 1, "the crate's root must have `#![forbid(unsafe_code)]`")],
    }
}

fn in_zone(path: &str) -> bool {
    UNSAFE_MODULES
        .iter()
        .filter_map(|module| path.strip_prefix(module))
        .any(|rest| rest == ".rs" || rest.starts_with('/'))
}

fn is_forbidding_root(path: &str) -> bool {
    match path.split('/').collect::<Vec<_>>().as_slice() {
        [name, "src", "lib.rs" | "main.rs"] => !CRATES_WITH_SYS.contains(name),
        ["tests", "src", "bin", ..] => false,
        [name, "src", "bin", file] => file.ends_with(".rs") && !CRATES_WITH_SYS.contains(name),
        _ => false,
    }
}

fn forbids(tokens: &[Token]) -> bool {
    let attribute = ["#", "!", "[", "forbid", "(", "unsafe_code", ")", "]"];
    (0..tokens.len()).any(|start| tokens::starts_with(&tokens[start..], &attribute))
}

#[cfg(test)]
mod tests {
    use super::{check_forbid, check_unsafe};
    use crate::tidy::check::lines;

    #[test]
    fn unsafe_stands_in_its_zones_only() {
        let cases: [(&str, &[usize]); 11] = [
            ("sandbox-linux/src/sys.rs", &[]),
            ("sandbox-linux/src/sys/clone.rs", &[]),
            ("sandbox-linux/src/system.rs", &[1]),
            ("sandbox-linux/src/host.rs", &[1]),
            ("sandbox-linux/tests/escape.rs", &[]),
            ("sandbox-linux/benches/start.rs", &[]),
            ("exec-server/src/launch/sys.rs", &[]),
            ("exec-server/src/launch/sys/fork.rs", &[]),
            ("exec-server/src/sys.rs", &[1]),
            ("tests/src/bin/probe.rs", &[]),
            ("tests/samples/a.toml", &[]),
        ];
        for (path, expect) in cases {
            assert_eq!(lines(check_unsafe, path, "fn f() { unsafe { g() } }"), expect, "{path}");
        }
    }

    #[test]
    fn only_the_keyword_counts() {
        let cases: [(&str, &[usize]); 6] = [
            ("// unsafe\n/* unsafe */ /// unsafe", &[]),
            ("let a = \"unsafe\";", &[]),
            ("#![forbid(unsafe_code)]", &[]),
            ("\nunsafe impl Send for A {}", &[2]),
            ("\n\n#[unsafe(no_mangle)] fn f() {}", &[3]),
            ("macro_rules! m { () => { unsafe { f() } } }", &[1]),
        ];
        for (text, expect) in cases {
            assert_eq!(lines(check_unsafe, "agent/src/a.rs", text), expect, "{text}");
        }
    }

    #[test]
    fn a_file_that_does_not_lex_is_a_finding() {
        assert_eq!(lines(check_unsafe, "agent/src/a.rs", "\nfn f() {").len(), 1);
        assert_eq!(lines(check_forbid, "agent/src/lib.rs", "fn f() {").len(), 1);
    }

    #[test]
    fn crate_roots_forbid() {
        let good = "//! Doc.\n#![forbid(unsafe_code)]\n";
        for path in ["protocol/src/lib.rs", "agent/src/main.rs", "tests/src/lib.rs", "agent/src/bin/a.rs"] {
            assert_eq!(lines(check_forbid, path, good), [], "{path}");
            for bad in
                ["//! #![forbid(unsafe_code)]\n", "#![deny(unsafe_code)]", "#[forbid(unsafe_code)] fn f() {}"]
            {
                assert_eq!(lines(check_forbid, path, bad), [1], "{path} {bad}");
            }
        }
        for path in [
            "sandbox-linux/src/lib.rs",
            "exec-server/src/main.rs",
            "tests/src/bin/probe.rs",
            "agent/src/a.rs",
        ] {
            assert_eq!(lines(check_forbid, path, ""), [], "{path}");
        }
    }
}
