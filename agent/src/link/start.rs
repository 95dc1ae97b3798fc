//! Starts the exec-server, and nothing else: the one place of the agent that makes a process.
//!
//! The program is always the `weir-exec-server` beside this one, never one that a search path or a file names, and it gets
//! no argument that comes from a user, a model or a server. Only [`Link`](super::Link) calls this.

use std::process::{Child, Command, Stdio};

use super::LinkError;

/// File name of the exec-server, beside this program.
const SERVER: &str = "weir-exec-server";

/// Starts the exec-server on a pair of pipes.
pub(super) fn server() -> Result<Child, LinkError> {
    let here = std::env::current_exe().map_err(LinkError::Here)?;
    let path = here.with_file_name(SERVER);
    Command::new(&path)
        .arg("--stdio")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|source| LinkError::Start { path, source })
}
