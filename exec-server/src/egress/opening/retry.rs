//! The second ClientHello: after a server's HelloRetryRequest (RFC 8446, 4.1.4) a client says its hello again, and must name the same server.
//!
//! Only the server's first message tells whether a second hello is one that counts. Until it is there nothing goes out behind the first hello
//! but what a server would skip without looking; early data waits as long.

use std::cell::{Cell, RefCell};
use std::io;

use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::tls::{Answer, Records};
use super::{MAX_TLS_BYTES, READ_BYTES};
use crate::egress::refusal::Reason;
use crate::egress::relay::{Broken, send};

/// The beginning of what a server says on one connection.
#[derive(Debug, Default)]
pub(crate) struct Beginning {
    answer: RefCell<Answer>,
    /// Whether the server wants another hello, as soon as that is known.
    retries: Cell<Option<bool>>,
    told: Notify,
}

impl Beginning {
    /// Carries the server's first bytes to the client, until it is known whether it wants another hello.
    ///
    /// # Errors
    /// As the relay's.
    pub(crate) async fn carry(
        &self,
        server: &TcpStream,
        client: &TcpStream,
        last: &Cell<Instant>,
    ) -> Result<(), Broken> {
        let mut buffer = vec![0; READ_BYTES];
        while self.retries.get().is_none() {
            server.readable().await?;
            let heard = match server.try_read(&mut buffer) {
                Ok(count) => buffer.get(..count).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error.into()),
            };
            last.set(Instant::now());
            // Known before the client can answer to it.
            self.retries.set(self.answer.borrow_mut().feed(heard));
            self.told.notify_waiters();
            send(client, heard).await?;
        }
        Ok(())
    }

    /// What goes out behind a hello that named `first`, of which `bytes` are read already: nothing more, or the hello that follows a retry,
    /// with what a server skips before it.
    ///
    /// # Errors
    /// The second hello names another server, or cannot be read; or the client has failed.
    pub(crate) async fn second(
        &self,
        client: &TcpStream,
        first: Option<&str>,
        mut bytes: Vec<u8>,
        last: &Cell<Instant>,
    ) -> Result<Vec<u8>, Broken> {
        let (mut records, mut buffer) = (Records::second(), vec![0; READ_BYTES]);
        let mut has_ended = false;
        loop {
            let retries = self.retries.get();
            if retries == Some(false) || retries.is_none() && has_ended && bytes.is_empty() {
                return Ok(bytes);
            }
            if retries == Some(true) {
                let name = records.read(&bytes).map_err(|_| Reason::BrokenTls)?;
                match name {
                    Some(name) if name.as_deref() == first => return Ok(bytes),
                    Some(name) => {
                        return Err(name.map_or(Reason::NoServerName, Reason::OtherServerName).into());
                    }
                    None if has_ended || bytes.len() > MAX_TLS_BYTES => return Err(Reason::BrokenTls.into()),
                    None => {}
                }
            }
            let told = self.told.notified();
            if self.retries.get() != retries {
                continue;
            }
            if has_ended || bytes.len() > MAX_TLS_BYTES {
                told.await;
                continue;
            }
            tokio::select! {
                () = told => continue,
                ready = client.readable() => ready?,
            }
            match client.try_read(&mut buffer) {
                Ok(0) => has_ended = true,
                Ok(count) => bytes.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error.into()),
            }
            last.set(Instant::now());
        }
    }
}
