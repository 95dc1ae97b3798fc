//! The server name in a TLS ClientHello (RFC 8446, RFC 6066), from records and handshake fragments cut in any way.
//!
//! Pure; nothing else of TLS is read. Each record is looked at once, however slowly bytes come. What a server could read in two ways, such as
//! two names, is an error. An encrypted ClientHello (ECH) has an outer name, which is what is read here.

/// The record type of a handshake.
pub const HANDSHAKE: u8 = 22;

/// The first byte of every version.
pub const MAJOR: u8 = 3;

/// Most bytes of one record (RFC 8446, 5.1; older versions allow for compression, which a ClientHello has none of).
const MAX_RECORD_BYTES: usize = 1 << 14;

const CLIENT_HELLO: u8 = 1;

/// The extension that names the server.
const SERVER_NAME: u16 = 0;

/// The only kind of name there is.
const HOST_NAME: u8 = 0;

/// Not a ClientHello, or one that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a broken ClientHello")]
pub struct Broken;

/// The records so far.
#[derive(Debug, Default)]
pub struct Records {
    /// Where the next record begins.
    at: usize,
    handshake: Vec<u8>,
}

impl Records {
    /// Reads on in `bytes`, which are all bytes from the beginning: the server name, `Some(None)` where there is none, `None` where
    /// the message is not whole.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn read(&mut self, bytes: &[u8]) -> Result<Option<Option<String>>, Broken> {
        while let Some((head, rest)) = bytes.get(self.at..).and_then(<[u8]>::split_first_chunk::<5>) {
            let [kind, major, _, high, low] = *head;
            let length = usize::from(u16::from_be_bytes([high, low]));
            if kind != HANDSHAKE || major != MAJOR || length == 0 || length > MAX_RECORD_BYTES {
                return Err(Broken);
            }
            let Some(fragment) = rest.get(..length) else { break };
            self.handshake.extend_from_slice(fragment);
            self.at += head.len() + length;
            if let Some(message) = message(&self.handshake)? {
                return client_hello(message).map(Some);
            }
        }
        Ok(None)
    }
}

/// The body of the first message, where it is whole.
fn message(handshake: &[u8]) -> Result<Option<&[u8]>, Broken> {
    match handshake {
        [] | [CLIENT_HELLO] | [CLIENT_HELLO, _] | [CLIENT_HELLO, _, _] => Ok(None),
        [CLIENT_HELLO, high, middle, low, body @ ..] => {
            let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
            if length > super::MAX_TLS_BYTES {
                return Err(Broken);
            }
            Ok(body.get(..length))
        }
        _ => Err(Broken),
    }
}

fn client_hello(body: &[u8]) -> Result<Option<String>, Broken> {
    let mut fields = Fields(body);
    // Version and random bytes.
    fields.take(2 + 32)?;
    // Session, cipher suites, compression.
    fields.short()?;
    fields.long()?;
    fields.short()?;
    if fields.0.is_empty() {
        return Ok(None);
    }
    let mut extensions = Fields(fields.long()?);
    if !fields.0.is_empty() {
        return Err(Broken);
    }
    let mut name = None;
    while !extensions.0.is_empty() {
        let kind = extensions.number()?;
        let content = extensions.long()?;
        if kind == SERVER_NAME && name.replace(server_name(content)?).is_some() {
            return Err(Broken);
        }
    }
    Ok(name)
}

fn server_name(content: &[u8]) -> Result<String, Broken> {
    let mut fields = Fields(content);
    let mut list = Fields(fields.long()?);
    let [kind] = *list.take(1)? else { return Err(Broken) };
    let name = list.long()?;
    if kind != HOST_NAME || name.is_empty() || !list.0.is_empty() || !fields.0.is_empty() || !name.is_ascii()
    {
        return Err(Broken);
    }
    String::from_utf8(name.to_vec()).map_err(|_| Broken)
}

/// What is left of a message.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Broken> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Broken)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u16, Broken> {
        match self.take(2)? {
            [high, low] => Ok(u16::from_be_bytes([*high, *low])),
            _ => Err(Broken),
        }
    }

    /// A field with a length of one byte before it.
    fn short(&mut self) -> Result<&'a [u8], Broken> {
        let [length] = *self.take(1)? else { return Err(Broken) };
        self.take(usize::from(length))
    }

    /// A field with a length of two bytes before it.
    fn long(&mut self) -> Result<&'a [u8], Broken> {
        let length = usize::from(self.number()?);
        self.take(length)
    }
}
