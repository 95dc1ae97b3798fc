//! The documents that programs read too: CHANGELOG.md has its section for what comes next, README.md its command blocks.
//!
//! A block is a fenced `sh` block between the lines `<!-- NAME:begin -->` and `<!-- NAME:end -->`; `.ci/run` takes the test
//! command from there. Callers: [`super::RULES`].

use super::{Finding, Source};

/// The command blocks of README.md, in order.
pub const BLOCKS: [&str; 3] = ["setup-commands", "job-command", "test-command"];

/// How many commands a block holds, by [`BLOCKS`].
const COMMANDS: [usize; 3] = [2, 1, 1];

/// CHANGELOG.md has the section `## [Unreleased]`.
pub fn check_changelog(source: &Source) -> Vec<Finding> {
    if source.path != "CHANGELOG.md" || source.text.lines().any(|line| line == "## [Unreleased]") {
        return Vec::new();
    }
    vec![Finding::new(source, 0, "has no section `## [Unreleased]`")]
}

/// README.md has each of [`BLOCKS`] once, well-formed, with as many commands as it should.
pub fn check_readme(source: &Source) -> Vec<Finding> {
    if source.path != "README.md" {
        return Vec::new();
    }
    let judged = BLOCKS.iter().zip(COMMANDS).map(|(name, count)| (name, count, block(&source.text, name)));
    judged
        .filter(|(_, count, commands)| commands.as_ref().is_none_or(|found| found.len() != *count))
        .map(|(name, count, _)| {
            let message =
                format!("needs one block `{name}`: a `sh` fence between its markers, {count} command(s)");
            Finding::new(source, 0, message)
        })
        .collect()
}

/// The commands of the block `name`, one a line; none when the markers or the fence are not as they should be.
pub fn block<'text>(text: &'text str, name: &str) -> Option<Vec<&'text str>> {
    let (begin, end) = (format!("<!-- {name}:begin -->"), format!("<!-- {name}:end -->"));
    let lines: Vec<&str> = text.lines().collect();
    let only = |marker: &str| {
        let mut places =
            lines.iter().enumerate().filter(|(_, line)| **line == marker).map(|(place, _)| place);
        places.next().filter(|_| places.next().is_none())
    };
    match lines.get(only(&begin)? + 1..only(&end)?)? {
        ["```sh", commands @ .., "```"] if commands.iter().all(|line| !line.trim().is_empty()) => {
            Some(commands.to_vec())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCKS, COMMANDS, block, check_changelog, check_readme};
    use crate::tidy::check::lines;

    fn readme() -> String {
        let block = |(name, count): (&&str, usize)| {
            format!("<!-- {name}:begin -->\n```sh\n{}```\n<!-- {name}:end -->\n", "run\n".repeat(count))
        };
        BLOCKS.iter().zip(COMMANDS).map(block).collect()
    }

    #[test]
    fn the_readme_has_its_blocks() {
        let good = readme();
        assert_eq!(lines(check_readme, "README.md", &good), []);
        assert_eq!(lines(check_readme, "docs/README.md", ""), []);
        assert_eq!(lines(check_readme, "README.md", ""), [0, 0, 0]);
        for (from, to) in [
            ("test-command:begin", "tests:begin"),
            ("<!-- test-command:end -->\n", ""),
            ("<!-- test-command:begin -->\n```sh\nrun\n", "<!-- test-command:begin -->\n```sh\n"),
            ("<!-- test-command:begin -->\n```sh\n", "<!-- test-command:begin -->\n```\n"),
            ("<!-- test-command:end -->\n", "<!-- test-command:end -->\n<!-- test-command:end -->\n"),
        ] {
            assert_eq!(lines(check_readme, "README.md", &good.replace(from, to)), [0], "{from}");
        }
    }

    #[test]
    fn a_block_yields_its_commands() {
        let text = "a\n<!-- x:begin -->\n```sh\none\ntwo\n```\n<!-- x:end -->\n";
        assert_eq!(block(text, "x"), Some(vec!["one", "two"]));
        assert_eq!(block(text, "y"), None);
    }

    #[test]
    fn the_changelog_has_a_place_for_what_comes() {
        assert_eq!(lines(check_changelog, "CHANGELOG.md", "# Changelog\n\n## [Unreleased]\n"), []);
        assert_eq!(lines(check_changelog, "CHANGELOG.md", "# Changelog\n\n## Unreleased\n"), [0]);
        assert_eq!(lines(check_changelog, "README.md", ""), []);
    }
}
