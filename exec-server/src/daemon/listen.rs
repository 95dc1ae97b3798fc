//! Where clients find the server: a socket that a service manager hands over, or one that is made here.
//!
//! A socket's file is replaced only by who holds the lock beside it, so a second server never takes the first one's place.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group};
use rustix::fs::FlockOperation;

/// First descriptor that a service manager hands over (sd_listen_fds(3)).
const FIRST_HANDED: i32 = 3;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// The system service's socket.
const SYSTEM_SOCKET: &str = "/run/weir/exec-server.sock";

/// Where there is nothing to listen on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The environment names no place for sockets.
    #[error("XDG_RUNTIME_DIR is not set; name the socket: --listen PATH")]
    NoPlace,
    /// Another server is there.
    #[error("another server listens on {}", .0.display())]
    Taken(PathBuf),
    /// The socket cannot be made.
    #[error("cannot listen on {}: {source}", .path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no such group.
    #[error("there is no group `{0}`")]
    NoGroup(String),
    /// What was handed over is no listening Unix stream socket.
    #[error("descriptor {0} that the service manager handed over is no listening Unix socket")]
    Handed(i32),
}

/// A place where clients connect.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) socket: UnixListener,
    made: Option<Made>,
}

/// A socket's file, with what says that it is this process's.
#[derive(Debug)]
struct Made {
    path: PathBuf,
    _lock: File,
}

impl Listening {
    /// Makes the socket at `path`, for its owner alone or for `group` as well.
    pub(crate) fn at(path: &Path, group: Option<&str>) -> Result<Self, ListenError> {
        let failed = |source| ListenError::Socket { path: path.to_owned(), source };
        let group = group.map(|name| {
            let found = Group::from_name(name).ok().flatten();
            found.map(|group| group.gid).ok_or_else(|| ListenError::NoGroup(name.to_owned()))
        });
        let group = group.transpose()?;
        if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
            // Those of the group must pass through; the socket's own mode says who connects.
            let mode = if group.is_some() { 0o755 } else { 0o700 };
            DirBuilder::new().mode(mode).create(directory).map_err(failed)?;
        }
        let lock = lock(&path.with_extension("lock")).map_err(failed)?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| ListenError::Taken(path.to_owned()))?;
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let socket = bind(path).map_err(failed)?;
        let made = Made { path: path.to_owned(), _lock: lock };
        open_to(path, group).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        Ok(Self { socket, made: Some(made) })
    }

    /// Closes it in a process that does not own it: the file stays.
    pub(crate) fn close(mut self) {
        self.made = None;
    }

    /// Takes what the service manager handed over (sd_listen_fds(3)), and what else is open is none of ours.
    pub(crate) fn handed(descriptors: Vec<OwnedFd>) -> Result<Vec<Self>, ListenError> {
        let taken = descriptors.into_iter().map(|descriptor| {
            let number = descriptor.as_raw_fd();
            let is_listening = rustix::net::sockopt::socket_acceptconn(&descriptor).unwrap_or(false)
                && rustix::net::sockopt::socket_domain(&descriptor) == Ok(rustix::net::AddressFamily::UNIX);
            let socket = UnixListener::from(descriptor);
            if is_listening && socket.set_nonblocking(true).is_ok() {
                Ok(Self { socket, made: None })
            } else {
                Err(ListenError::Handed(number))
            }
        });
        taken.collect()
    }
}

impl std::fmt::Display for Listening {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.made {
            Some(made) => write!(out, "{}", made.path.display()),
            None => out.write_str("the socket that was handed over"),
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(made) = &self.made {
            let _ = fs::remove_file(&made.path);
        }
    }
}

/// The file whose lock says who listens. Nobody else may open it: whoever can, can hold the lock (flock(2)) and keep the server from beginning.
fn lock(path: &Path) -> io::Result<File> {
    // No link is followed, and no pipe waited for.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .custom_flags(flags)
        .open(path)?;
    let found = lock.metadata()?;
    // One that an older server has made. Another user's is that user's to close.
    if found.is_file() && found.uid() == nix::unistd::geteuid().as_raw() && found.mode() & 0o077 != 0 {
        lock.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(lock)
}

/// Until its mode is set nobody else may connect, so it is made under another mask.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let before = rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let socket = UnixListener::bind(path);
    rustix::process::umask(before);
    let socket = socket?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

fn open_to(path: &Path, group: Option<Gid>) -> io::Result<()> {
    let Some(group) = group else { return fs::set_permissions(path, Permissions::from_mode(0o600)) };
    std::os::unix::fs::lchown(path, None, Some(group.as_raw()))?;
    fs::set_permissions(path, Permissions::from_mode(0o660))
}

/// Where a server listens, and where clients look, when no place is named.
pub(crate) fn default_path() -> Result<PathBuf, ListenError> {
    if rustix::process::geteuid().is_root() {
        return Ok(SYSTEM_SOCKET.into());
    }
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").ok_or(ListenError::NoPlace)?;
    Ok(Path::new(&runtime).join("weir/exec-server.sock"))
}

/// Where a server may be running that this user is served by: the user's own, and the system's.
pub(crate) fn places() -> Vec<PathBuf> {
    let mut places: Vec<PathBuf> = default_path().into_iter().collect();
    if !places.iter().any(|path| path == Path::new(SYSTEM_SOCKET)) {
        places.push(SYSTEM_SOCKET.into());
    }
    places
}

/// How many descriptors from [`FIRST_HANDED`] on a service manager has handed to this very process.
pub(crate) fn handed_count() -> i32 {
    let of = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    let count = of("LISTEN_FDS").filter(|_| of("LISTEN_PID") == Some(std::process::id()));
    count.and_then(|count| i32::try_from(count).ok()).unwrap_or(0)
}

/// The descriptors that were handed over, by number.
pub(crate) fn handed_numbers(count: i32) -> std::ops::Range<i32> {
    FIRST_HANDED..FIRST_HANDED.saturating_add(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_lock_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (socket, lock) = (dir.path().join("x.sock"), dir.path().join("x.lock"));
        drop(Listening::at(&socket, None).unwrap());
        assert_eq!(mode(&lock), 0o600);
        // One of an older server is closed, and still says who listens.
        fs::set_permissions(&lock, Permissions::from_mode(0o666)).unwrap();
        let listening = Listening::at(&socket, None).unwrap();
        assert_eq!(mode(&lock), 0o600);
        assert!(matches!(Listening::at(&socket, None), Err(ListenError::Taken(_))));
        drop(listening);
    }

    #[test]
    fn what_a_link_leads_to_is_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        let (other, lock) = (dir.path().join("other"), dir.path().join("x.lock"));
        fs::write(&other, "").unwrap();
        fs::set_permissions(&other, Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink(&other, &lock).unwrap();
        let refused = Listening::at(&dir.path().join("x.sock"), None).unwrap_err();
        assert!(matches!(refused, ListenError::Socket { .. }), "{refused}");
        assert_eq!(mode(&other), 0o644);
    }
}
