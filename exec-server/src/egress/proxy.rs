//! Endpoints inside for programs that prefer a proxy: HTTP and SOCKS5, under the same rules as a connection made directly.

pub mod body;
pub mod http;
pub mod socks;

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use weir_protocol::gate::PROXY;

use super::refusal::{Attempt, Reason, Refusal};

/// Time for what comes before the bytes that are carried.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Time and bytes that a client has, after a refusal, to read it and to go.
const LINGER: (Duration, usize) = (Duration::from_secs(2), 1 << 20);

/// The refusal of a request that names no host: it is told of the endpoint itself.
fn unreadable(port: u16, reason: Reason) -> Refusal {
    Refusal { attempt: Attempt::Connect, target: format!("{PROXY}:{port}"), reason, origin: None }
}

/// Says a last word and hears the client out, for a reset would take the word back that it has not read.
async fn part(client: &TcpStream, word: &[u8]) {
    let _ = timeout(LINGER.0, async {
        super::relay::send(client, word).await?;
        rustix::net::shutdown(client, rustix::net::Shutdown::Write)?;
        let (mut buffer, mut heard) = ([0; 4096], 0);
        while heard < LINGER.1 {
            client.readable().await?;
            match client.try_read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => heard += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    })
    .await;
}

/// Reads once more behind `bytes`; `false` at the end.
async fn more(client: &TcpStream, bytes: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    loop {
        client.readable().await?;
        match client.try_read(&mut buffer) {
            Ok(0) => return Ok(false),
            Ok(count) => {
                bytes.extend_from_slice(buffer.get(..count).unwrap_or_default());
                return Ok(true);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
