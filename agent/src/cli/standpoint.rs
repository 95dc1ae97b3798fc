//! Where the user stands: working directory, project roots, home.

use std::path::{Path, PathBuf};

use weir_protocol::AbsPath;
use weir_protocol::method::policy::{Choice, Standpoint};

use super::{Overrides, Place};

/// Why the standpoint is unknown.
#[derive(Debug, thiserror::Error)]
pub(super) enum StandpointError {
    /// A directory that cannot be entered.
    #[error("{}: {source}", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The working directory is gone, or above it is one that cannot be entered.
    #[error("the working directory cannot be found: {source}; -C names another")]
    Nowhere {
        /// Why.
        source: std::io::Error,
    },
    /// Something other than a directory.
    #[error("{} is not a directory", .path.display())]
    NotADirectory {
        /// What was named.
        path: PathBuf,
    },
    /// No home directory.
    #[error("HOME must name an absolute path")]
    NoHome,
    /// A directory of Weir's that would be another wherever Weir is started.
    #[error("WEIR_HOME must name an absolute path, not {}", .named.display())]
    RelativeWeirHome {
        /// What it names.
        named: PathBuf,
    },
    /// A path that is not UTF-8.
    #[error("{} is not UTF-8", .path.display())]
    NotUtf8 {
        /// The path.
        path: PathBuf,
    },
}

impl Place {
    pub(super) fn standpoint(&self) -> Result<Standpoint, StandpointError> {
        let cwd = match &self.directory {
            // Where this process stands may be gone.
            Some(named) if named.starts_with('/') => directory(Path::new(named))?,
            Some(named) => directory(&here()?.as_path().join(named))?,
            None => here()?,
        };
        let roots = self.project_root.iter().map(|root| directory(&cwd.as_path().join(root)));
        let home = home()?;
        Ok(Standpoint {
            project_roots: roots.collect::<Result<_, _>>()?,
            weir_home: weir_home()?,
            tmpdir: absolute("TMPDIR"),
            cwd,
            home,
        })
    }

    pub(super) fn choice(
        &self,
        profile: Option<&str>,
        overrides: &Overrides,
    ) -> Result<Choice, StandpointError> {
        Ok(Choice {
            standpoint: self.standpoint()?,
            config: self.config.clone(),
            profile: profile.map(str::to_owned),
            read: overrides.read.clone(),
            write: overrides.write.clone(),
            copy: overrides.copy.clone(),
            deny: overrides.deny.clone(),
        })
    }
}

/// What a variable names, where that is an absolute path.
fn absolute(name: &str) -> Option<AbsPath> {
    std::env::var_os(name).and_then(|value| AbsPath::from_host(Path::new(&value)))
}

fn home() -> Result<AbsPath, StandpointError> {
    absolute("HOME").ok_or(StandpointError::NoHome)
}

/// Weir's directory: `$WEIR_HOME`, or `.weir` in the home directory. What is named and cannot be used is an error: the configuration of
/// another directory may allow more.
pub(super) fn weir_home() -> Result<AbsPath, StandpointError> {
    if let Some(named) = std::env::var_os("WEIR_HOME").filter(|named| !named.is_empty()) {
        let relative = StandpointError::RelativeWeirHome { named: PathBuf::from(&named) };
        return AbsPath::from_host(Path::new(&named)).ok_or(relative);
    }
    let home = home()?;
    Ok(home.join(".weir").unwrap_or(home))
}

/// The working directory, by its final name.
pub(super) fn here() -> Result<AbsPath, StandpointError> {
    let here = std::env::current_dir().map_err(|source| StandpointError::Nowhere { source })?;
    directory(&here)
}

/// The final name of an existing directory.
fn directory(path: &Path) -> Result<AbsPath, StandpointError> {
    let real =
        path.canonicalize().map_err(|source| StandpointError::Directory { path: path.to_owned(), source })?;
    if !real.is_dir() {
        return Err(StandpointError::NotADirectory { path: path.to_owned() });
    }
    AbsPath::from_host(&real).ok_or(StandpointError::NotUtf8 { path: real })
}
