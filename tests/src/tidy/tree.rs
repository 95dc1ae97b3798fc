//! The files of the checkout, as the rules see them: everything that `.gitignore` does not leave out.
//!
//! Reads only; needs no git, so that an exported tree is judged as well. Caller: `tests/tests/tidy.rs`.

use std::io;
use std::path::{Path, PathBuf};

use super::Source;

/// Bytes beyond which a file is taken for data and left out, as a file that is not UTF-8 is.
const MAX_TEXT_BYTES: u64 = 4 << 20;

/// Why the tree could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// A directory could not be walked.
    #[error("cannot walk the tree: {0}")]
    Walk(#[from] ignore::Error),
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// All text files below `root`, sorted by path. Symlinks are not followed.
///
/// # Errors
/// When a directory or a file cannot be read.
pub fn read(root: &Path) -> Result<Vec<Source>, TreeError> {
    let mut walk = ignore::WalkBuilder::new(root);
    walk.hidden(false).parents(false).require_git(false).git_global(false);
    walk.filter_entry(|entry| entry.file_name() != ".git");
    let mut sources = Vec::new();
    for entry in walk.build() {
        let entry = entry?;
        let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
        if is_file && entry.metadata()?.len() <= MAX_TEXT_BYTES {
            sources.extend(read_text(root, entry.path())?);
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

/// The file as a source, unless its path or content is no UTF-8.
fn read_text(root: &Path, path: &Path) -> Result<Option<Source>, TreeError> {
    let bytes = std::fs::read(path).map_err(|source| TreeError::Read { path: path.to_owned(), source })?;
    let relative = path.strip_prefix(root).ok().and_then(Path::to_str);
    Ok(relative.zip(std::str::from_utf8(&bytes).ok()).map(|(path, text)| Source::new(path, text)))
}

#[cfg(test)]
mod tests {
    use super::read;
    use std::fs;

    #[test]
    fn ignored_and_binary_files_are_left_out_and_dotfiles_are_not() {
        let root = tempfile::tempdir().unwrap();
        let files: [(&str, &[u8]); 7] = [
            (".gitignore", b"/target\n"),
            (".ci/run", b"run"),
            (".git/config", b"no"),
            ("target/a.rs", b"no"),
            ("a/target.rs", b"yes"),
            ("b.rs", b"yes"),
            ("c.bin", b"\xff\xfe"),
        ];
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let paths: Vec<String> = read(root.path()).unwrap().into_iter().map(|source| source.path).collect();
        assert_eq!(paths, [".ci/run", ".gitignore", "a/target.rs", "b.rs"]);
    }

    #[test]
    fn a_missing_tree_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        assert!(read(&root.path().join("missing")).is_err());
    }
}
