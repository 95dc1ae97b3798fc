//! What else has been built.

use std::path::PathBuf;

/// `weir` of this build, where it has been built.
pub(crate) fn weir() -> Option<PathBuf> {
    let here = std::env::current_exe().unwrap();
    here.ancestors().map(|above| above.join("weir")).find(|weir| weir.is_file())
}
