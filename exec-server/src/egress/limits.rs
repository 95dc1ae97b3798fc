//! How much of everything one sandbox may have at its gate.

use std::time::Duration;

/// Limits of one gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time. Each takes two descriptors of the server part's.
    pub connections: usize,
    /// Connections to servers that are being set up at a time; what is beyond waits.
    pub dialing: usize,
    /// Bytes that wait for sides that do not read, over all connections; beyond, each connection makes only a few KiB wait.
    pub held_bytes: usize,
    /// How long nothing may pass in either direction.
    pub idle: Duration,
    /// Time from a client's first byte until what it belongs to is whole.
    pub opening: Duration,
    /// Time for connecting to a server, all of its addresses together.
    pub connect: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            dialing: 128,
            held_bytes: 16 << 20,
            // Kernels give up on a silent peer after two hours as well (tcp(7), `tcp_keepalive_time`).
            idle: Duration::from_secs(2 * 3600),
            opening: Duration::from_secs(20),
            connect: Duration::from_secs(30),
        }
    }
}
