//! Text that would tie the project to one machine: absolute paths of a checkout or a home, names of package registries.
//!
//! Callers: [`super::RULES`] for paths, `tests/tests/tidy.rs` for the hosts that [`super::hosts`] finds out.

use super::{Finding, Source};

/// Directories that belong to a machine. The name of a sandbox's home as such (without a slash behind it) is fine.
const MACHINE_DIRECTORIES: [&str; 2] = ["/work/", "/root/"];

/// No text file names a path below a directory that belongs to a machine.
pub fn check_paths(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        for directory in MACHINE_DIRECTORIES {
            if line.match_indices(directory).any(|(start, _)| is_absolute(&line[..start])) {
                findings.push(Finding::new(source, index + 1, format!("names a path below `{directory}`")));
            }
        }
    }
    findings
}

/// No text file names one of `hosts` (lower case). The finding does not repeat the name.
pub fn check_hosts(source: &Source, hosts: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        let line = line.to_ascii_lowercase();
        if hosts.iter().any(|host| names(&line, host)) {
            findings.push(Finding::new(
                source,
                index + 1,
                "names a package registry of this machine's configuration",
            ));
        }
    }
    findings
}

/// Whether a path that starts behind `before` starts at the root, and not inside a longer path.
fn is_absolute(before: &str) -> bool {
    !before.ends_with(|last: char| last.is_alphanumeric() || "_-.~*}/".contains(last))
}

/// Whether `line` has `host` as a whole name.
fn names(line: &str, host: &str) -> bool {
    let inside = |character: char| character.is_ascii_alphanumeric() || character == '-';
    line.match_indices(host)
        .any(|(start, _)| !line[..start].ends_with(inside) && !line[start + host.len()..].starts_with(inside))
}

#[cfg(test)]
mod tests {
    use super::{check_hosts, check_paths};
    use crate::tidy::Source;
    use crate::tidy::check::lines;

    #[test]
    fn machine_paths_are_found() {
        let cases: [(&str, &[usize]); 9] = [
            ("a\n/work/main", &[2]),
            ("home = \"/root/.ssh\"", &[1]),
            ("(/root/a) and '/work/b'", &[1, 1]),
            ("PATH=/usr/bin:/root/.cargo/bin", &[1]),
            ("home is /root", &[]),
            ("/srv/work/a ./work/a ../root/b", &[]),
            ("~/work/a $HOME/work/b ${A}/root/c", &[]),
            ("**/work/a", &[]),
            ("/workspace/a", &[]),
        ];
        for (text, expect) in cases {
            assert_eq!(lines(check_paths, "a.txt", text), expect, "{text}");
        }
    }

    #[test]
    fn registry_hosts_are_found_whole() {
        let hosts = ["mirror.example.net".to_owned()];
        let cases: [(&str, &[usize]); 6] = [
            ("a\nhttps://mirror.example.net/npm", &[2]),
            ("https://user@Mirror.Example.NET:8443", &[1]),
            ("the host mirror.example.net.", &[1]),
            ("https://a.mirror.example.net", &[1]),
            ("https://amirror.example.net", &[]),
            ("https://mirror.example.network", &[]),
        ];
        for (text, expect) in cases {
            let findings = check_hosts(&Source::new("a.txt", text), &hosts);
            assert_eq!(findings.iter().map(|finding| finding.line).collect::<Vec<_>>(), expect, "{text}");
            assert!(findings.iter().all(|finding| !finding.message.contains("example")));
        }
    }
}
