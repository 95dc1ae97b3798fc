//! Skipped tests are accounted for: a test that cannot run here says so by name, and CI knows which names to expect.
//!
//! A test calls `return weir_tests::skip("area::name", "why");` instead of passing in silence. The line on stderr is for a
//! person; the log named by `WEIR_SKIP_LOG` is for `.ci/run`, which hands it to [`account`]. Nothing here decides whether
//! a test should be skipped.

pub mod account;

use std::env;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

/// Environment variable that names the file to which every skip is appended. Unset: stderr only.
pub const LOG_VARIABLE: &str = "WEIR_SKIP_LOG";

/// Separates the id from the reason in a line of the log.
pub(crate) const LOG_SEPARATOR: char = '\t';

/// Records that the test `test_id` did not run, and why.
///
/// `test_id` is one word, by convention `area::case`, and is what `tests/expected-skips.txt` lists. Returns unit so that a
/// test may end with `return skip(…)`.
///
/// # Panics
/// When the id is empty or holds white space, or when the log cannot be written: a skip that nobody hears of would count
/// as a pass.
pub fn skip(test_id: &str, reason: &str) {
    let log: Option<OsString> = env::var_os(LOG_VARIABLE);
    if let Err(error) = record(log.as_deref().map(Path::new), test_id, reason) {
        panic!("the skip of {test_id:?} could not be recorded: {error}");
    }
}

/// Prints the skip on stderr and appends it to `log`, when there is one.
fn record(log: Option<&Path>, test_id: &str, reason: &str) -> io::Result<()> {
    if !is_id(test_id) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "an id is one word"));
    }
    let reason = one_line(reason);
    writeln!(io::stderr().lock(), "SKIP {test_id}: {reason}")?;
    let Some(log) = log else { return Ok(()) };
    let line = format!("{test_id}{LOG_SEPARATOR}{reason}\n");
    // Tests run as parallel processes: O_APPEND and a single write keep their lines whole.
    OpenOptions::new().append(true).create(true).open(log)?.write_all(line.as_bytes())
}

/// Whether `word` can stand in the log and in the list of expected skips.
pub(crate) fn is_id(word: &str) -> bool {
    !word.is_empty() && !word.starts_with('#') && !word.contains(char::is_whitespace)
}

fn one_line(reason: &str) -> String {
    reason.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::record;
    use std::fs;

    #[test]
    fn the_log_grows_by_one_line_for_each_skip() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("skips.log");
        record(Some(&log), "landlock::tcp", "Landlock ABI 3\nknows no TCP").unwrap();
        record(Some(&log), "userns::nested", "user namespaces are off").unwrap();
        let expect = "landlock::tcp\tLandlock ABI 3 knows no TCP\nuserns::nested\tuser namespaces are off\n";
        assert_eq!(fs::read_to_string(&log).unwrap(), expect);
    }

    #[test]
    fn without_a_log_stderr_is_enough() {
        record(None, "landlock::tcp", "no Landlock").unwrap();
    }

    #[test]
    fn an_id_is_one_word() {
        for id in ["", "two words", "tab\tbed", "line\n", "#comment"] {
            assert!(record(None, id, "reason").is_err(), "{id:?}");
        }
    }

    #[test]
    fn a_log_that_cannot_be_written_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        assert!(record(Some(directory.path()), "a::b", "a directory is no log").is_err());
    }
}
