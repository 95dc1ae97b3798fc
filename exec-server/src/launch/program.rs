//! Where a command's program lies: on the command's own `PATH`, from the command's own directory, as execvp(3) looks for it.
//!
//! On macOS the program is found before the sandbox is there, for `sandbox-exec` tells of a command that is missing by a code that
//! the command may end with as well. On Linux the sandbox looks for itself, and this tells why it found nothing.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use weir_protocol::AbsPath;

/// Where programs are looked for without a `PATH`: `_CS_PATH` of confstr(3), and `_PATH_DEFPATH` of macOS.
const DEFAULT_PATH: &[u8] = if cfg!(target_os = "macos") { b"/usr/bin:/bin" } else { b"/bin:/usr/bin" };

/// Most places in which a command is looked for.
const MAX_PLACES: usize = 256;

/// Why there is no program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProgramError {
    /// Nothing of this name.
    #[error("{0}: command not found")]
    NotFound(String),
    /// Something that cannot be executed.
    #[error("{0}: cannot be executed: Permission denied")]
    NotExecutable(String),
}

/// The program that `name` means to a command with this `PATH` in this directory.
pub(super) fn find(name: &[u8], path: Option<&[u8]>, directory: &AbsPath) -> Result<AbsPath, ProgramError> {
    let said = || name.escape_ascii().to_string();
    let mut error = ProgramError::NotFound(said());
    for candidate in candidates(name, path, directory) {
        match look(&candidate) {
            Look::Executable => {
                return AbsPath::from_host(&candidate).ok_or_else(|| ProgramError::NotFound(said()));
            }
            Look::NotExecutable => error = ProgramError::NotExecutable(said()),
            Look::Nothing => {}
        }
    }
    Err(error)
}

/// Where the program may be, in order (execvp(3)): the name itself where it holds a slash, else below each place of `PATH`.
pub(crate) fn candidates(name: &[u8], path: Option<&[u8]>, directory: &AbsPath) -> Vec<PathBuf> {
    let from = |place: &[u8]| directory.as_path().join(OsStr::from_bytes(place));
    let named = OsStr::from_bytes(name);
    match name {
        [] => Vec::new(),
        _ if name.contains(&b'/') => vec![from(name)],
        // An empty place is the working directory.
        _ => {
            let places = path.unwrap_or(DEFAULT_PATH).split(|byte| *byte == b':');
            places.take(MAX_PLACES).map(|place| from(place).join(named)).collect()
        }
    }
}

/// What is at a place where a program may be.
pub(crate) enum Look {
    /// Something that this process's user may execute, as far as its mode says.
    Executable,
    /// Something else.
    NotExecutable,
    /// Nothing.
    Nothing,
}

/// Looks whether a program is there.
pub(crate) fn look(path: &Path) -> Look {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Look::NotExecutable,
        Err(_) => Look::Nothing,
        Ok(found) if found.is_file() && access(path, Access::EXEC_OK).is_ok() => Look::Executable,
        Ok(_) => Look::NotExecutable,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_program_is_found_as_a_shell_finds_it() {
        let ground = tempfile::tempdir().unwrap();
        let root = ground.path().canonicalize().unwrap();
        for (name, mode) in [("one/tool", 0o644), ("two/tool", 0o755), ("two/plain", 0o644), ("here", 0o755)]
        {
            let file = root.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, "#!/bin/sh\n").unwrap();
            std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        }
        let directory = AbsPath::from_host(&root).unwrap();
        let at = |name: &str| Ok(AbsPath::from_host(&root.join(name)).unwrap());
        let absent = |name: &str| Err(ProgramError::NotFound(name.to_owned()));
        let shut = |name: &str| Err(ProgramError::NotExecutable(name.to_owned()));
        let path = format!("{0}/none:{0}/one:{0}/two", root.display());
        let cases = [
            ("tool", path.as_str(), at("two/tool")),
            ("tool", "one:two", at("two/tool")),
            ("tool", "one", shut("tool")),
            ("plain", path.as_str(), shut("plain")),
            ("two", "", shut("two")),
            ("here", "", at("here")),
            ("here", "one::two", at("here")),
            ("here", "one:two", absent("here")),
            ("./here", "one", at("here")),
            ("two/../here", "", at("here")),
            ("none/tool", path.as_str(), absent("none/tool")),
            ("", path.as_str(), absent("")),
            ("a\nb", "", absent("a\\nb")),
        ];
        for (name, path, expect) in cases {
            assert_eq!(find(name.as_bytes(), Some(path.as_bytes()), &directory), expect, "{name} {path}");
        }
        assert!(find(b"sh", None, &directory).is_ok());
    }
}
