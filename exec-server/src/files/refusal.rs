//! What a client is told of a failure: a code, the rule behind a refusal and what would allow it. The server part's side; pure.
//!
//! The kernel has decided already. Where the policy refuses as well, that is the reason, whether there is such a file or not: what
//! a profile hides is not found out by asking. Called by the server part.

use std::io;

use weir_protocol::method::{Error, code};
use weir_protocol::policy::explain::{Edit, Explanation};
use weir_protocol::policy::{Operation, Request};
use weir_protocol::{AbsPath, Policy};

use super::{Failure, Fault};

/// What the kernel says where a sandbox keeps something out: by rights, by a mount, by an empty stand-in, by another mount's border.
const OF_A_SANDBOX: [i32; 8] = [
    libc::EACCES,
    libc::EPERM,
    libc::EROFS,
    libc::ENOENT,
    libc::EXDEV,
    libc::EBUSY,
    libc::ENOTDIR,
    libc::ENXIO,
];

/// The error for the client.
pub(crate) fn error(failure: &Failure, policy: &Policy) -> Error {
    let Failure { fault, path, .. } = failure;
    let named = |code, what: &str| Error { code, message: format!("{path}: {what}") };
    match fault {
        Fault::System(errno) => {
            let denied = OF_A_SANDBOX.contains(errno).then(|| denied(failure, policy)).flatten();
            denied.unwrap_or_else(|| system(failure, *errno))
        }
        // A device that stands where something is kept out is no news of the host.
        Fault::Special => denied(failure, policy).unwrap_or_else(|| {
            named(code::FILE_SPECIAL, "a device, pipe or socket; only files are read and written")
        }),
        Fault::OfAProcess => denied(failure, policy).unwrap_or_else(|| {
            named(
                code::FILE_DENIED,
                "what is shown of a process is for commands; no call on files reads or writes it",
            )
        }),
        Fault::TooLarge(what) => named(code::FILE_TOO_LARGE, what),
        Fault::Mismatch(what) => named(code::FILE_MISMATCH, &format!("{what}; nothing was changed")),
        Fault::Pattern(what) => named(code::FILE_PATTERN, what),
        Fault::CalledOff => named(code::STATE, "the call was called off"),
    }
}

/// The refusal by the policy, where it refuses.
fn denied(failure: &Failure, policy: &Policy) -> Option<Error> {
    let Failure { path, real, operation, also, .. } = failure;
    let refuses = |path: &&AbsPath| !policy.verdict(&Request::Path { path, operation: *operation }).allowed;
    let at = [real, path].into_iter().chain(also).find(refuses)?;
    let explanation = policy.explain(&Request::Path { path: at, operation: *operation });
    let mut message = format!("{path}: ");
    if at != path {
        message.push_str(&format!("leads to or needs {at}: "));
    }
    message.push_str(&reason(&explanation, *operation, policy));
    Some(Error { code: code::FILE_DENIED, message })
}

fn reason(explanation: &Explanation, operation: Operation, policy: &Policy) -> String {
    let Explanation { rule, origin, edit, .. } = explanation;
    let whence = origin.as_ref().map(|origin| format!(" ({})", origin.whence())).unwrap_or_default();
    let needs = operation.needs();
    let mut text = format!("profile `{}` gives no {needs} access: {rule}{whence}", policy.profile());
    match edit {
        Some(Edit::Add { table, line, .. }) => {
            text.push_str(&format!("; to allow it, add to [{table}]: {line}"))
        }
        Some(Edit::Change { origin, to: Some(to) }) => {
            text.push_str(&format!("; to allow it, say {to} at {}", origin.whence()));
        }
        Some(Edit::Change { origin, to: None }) => {
            text.push_str(&format!("; to allow it, remove the rule at {}", origin.whence()));
        }
        None => {}
    }
    text
}

fn system(failure: &Failure, errno: i32) -> Error {
    let (code, hint) = match errno {
        libc::ENOENT => (code::FILE_MISSING, ""),
        libc::EEXIST => (code::FILE_EXISTS, ""),
        libc::EISDIR => (code::FILE_IS_DIRECTORY, ""),
        libc::ENOTDIR => (code::FILE_NOT_DIRECTORY, ""),
        libc::ENOTEMPTY => (code::FILE_NOT_EMPTY, "; `extent = tree` removes what it holds"),
        libc::ENOSPC | libc::EDQUOT | libc::EFBIG => (code::FILE_SPACE, ""),
        libc::EACCES | libc::EPERM | libc::EROFS => (
            code::FILE_DENIED,
            "; the profile allows this path: its permissions do not, or it is the same file as one that is kept out",
        ),
        _ => (code::FILE_SYSTEM, ""),
    };
    let error = io::Error::from_raw_os_error(errno);
    Error { code, message: format!("{}: {error}{hint}", failure.path) }
}
