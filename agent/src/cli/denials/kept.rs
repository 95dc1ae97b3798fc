//! The file in which the client keeps the denials of commands that had a server of their own: one line of JSON for each run, for this
//! user alone, bounded.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use weir_protocol::audit::aside;
use weir_protocol::denial::Run;

/// The file, in Weir's directory.
const FILE_NAME: &str = "denials.jsonl";

/// Size beyond which the file is set aside, in bytes; one that was set aside is kept.
const FILE_BYTES: u64 = 1 << 20;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {}: {source}", .path.display())]
pub(in crate::cli) struct KeptError {
    path: PathBuf,
    source: io::Error,
}

/// Adds the denials of a run.
///
/// # Errors
/// The file cannot be written, or is another user's.
pub(in crate::cli) fn keep(home: &Path, run: &Run) -> Result<(), KeptError> {
    let path = home.join(FILE_NAME);
    append(home, &path, run).map_err(|source| KeptError { path, source })
}

fn append(home: &Path, path: &Path, run: &Run) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(home) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let mut file = open(path)?;
    if file.metadata()?.size() >= FILE_BYTES {
        fs::rename(path, aside(path, 1))?;
        file = open(path)?;
    }
    let mut line = serde_json::to_vec(run)?;
    line.push(b'\n');
    file.write_all(&line)
}

fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let file = OpenOptions::new().create(true).append(true).mode(0o600).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() || found.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(file)
}

/// Every run, the oldest first. A line that cannot be read is passed over: the disk was full, or another version wrote it.
///
/// # Errors
/// A file that is there cannot be read.
pub(in crate::cli) fn read(home: &Path) -> Result<Vec<Run>, KeptError> {
    let path = home.join(FILE_NAME);
    let mut runs = Vec::new();
    for path in [aside(&path, 1), path] {
        match lines(&path) {
            Ok(found) => runs.extend(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(KeptError { path, source }),
        }
    }
    Ok(runs)
}

fn lines(path: &Path) -> io::Result<Vec<Run>> {
    let lines = BufReader::new(File::open(path)?).split(b'\n').collect::<io::Result<Vec<_>>>()?;
    Ok(lines.iter().filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use weir_protocol::denial::Sight;
    use weir_protocol::method::process::End;

    use super::*;

    fn run(number: usize) -> Run {
        Run {
            time: format!("{number:09}"),
            argv: vec!["x".repeat(1000).as_str().into()],
            profile: "p".to_owned(),
            digest: "0".repeat(64).parse().unwrap(),
            context: None,
            end: End::Exited { code: 1 },
            denials: Vec::new(),
            sight: Sight::default(),
        }
    }

    #[test]
    fn the_file_is_bounded_and_this_users_alone() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join(".weir");
        assert_eq!(read(&home).unwrap(), []);
        for number in 0..2000 {
            keep(&home, &run(number)).unwrap();
        }
        let found = read(&home).unwrap();
        assert!(found.len() < 2000 && found.is_sorted_by_key(|run| run.time.clone()));
        assert_eq!(found.last(), Some(&run(1999)));
        let path = home.join(FILE_NAME);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let all = fs::metadata(&path).unwrap().len() + fs::metadata(aside(&path, 1)).unwrap().len();
        assert!(all < 2 * FILE_BYTES + 4096, "{all}");
    }

    #[test]
    fn a_link_in_its_place_is_not_followed_and_a_broken_line_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("target"), "").unwrap();
        std::os::unix::fs::symlink("target", dir.path().join(FILE_NAME)).unwrap();
        assert!(keep(dir.path(), &run(1)).is_err());
        fs::remove_file(dir.path().join(FILE_NAME)).unwrap();
        fs::write(dir.path().join(FILE_NAME), "{\"time\":\n").unwrap();
        keep(dir.path(), &run(1)).unwrap();
        assert_eq!(read(dir.path()).unwrap(), [run(1)]);
    }
}
