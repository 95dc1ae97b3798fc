//! Says what cannot be tested here, and why.

use std::io::Write as _;

/// Tells a person; `test_id` is one word, `area::case`.
pub(crate) fn skip(test_id: &str, reason: &str) {
    let told = writeln!(std::io::stderr(), "SKIP {test_id}: {reason}");
    assert!(told.is_ok());
}
