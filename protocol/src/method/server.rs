//! What two peers agree on before anything else.
//!
//! On a socket that the server listens on, `server/hello` is the first call, and nothing else is answered before it. A server
//! that a client started for itself needs none.

use serde::{Deserialize, Serialize};

/// The version of the protocol that this crate describes.
pub const VERSION: u32 = 1;

/// Parameters of `server/hello`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Every version that the client speaks.
    pub versions: Vec<u32>,
    /// The client's name and version, for the record.
    pub client: String,
}

/// Result of `server/hello`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The version that both speak from now on: the highest common one.
    pub version: u32,
    /// The server's name and version.
    pub server: String,
    /// For whom the kernel takes the client; its commands run as this user.
    pub uid: u32,
    /// What the server takes.
    pub limits: Limits,
}

/// Bounds that a client may need to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of one control frame.
    pub control_bytes: u64,
    /// Raw bytes of one data frame.
    pub data_bytes: u64,
    /// Bytes of one stream that are held in memory for a reader.
    pub memory_bytes: u64,
    /// Bytes of one stream that are held on disk for a reader.
    pub disk_bytes: u64,
    /// Commands of one user at once.
    pub commands: u64,
    /// Connections of one user at once.
    pub connections: u64,
}
