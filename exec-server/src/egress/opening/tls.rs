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

/// Most bytes of a record that is encrypted or compressed (RFC 5246, 6.2.3).
const MAX_CIPHERTEXT_BYTES: usize = MAX_RECORD_BYTES + 2048;

/// Where the random bytes stand in a hello: behind its type, length and version.
const RANDOM_AT: usize = 1 + 3 + 2;

/// Other types of records: a change of cipher specification, an alert, and what an application or a heartbeat says.
const CHANGE: u8 = 20;
const ALERT: u8 = 21;
const APPLICATION: u8 = 23;
const HEARTBEAT: u8 = 24;

/// From here on a first byte is that of a length of SSL 2, without padding, which stands before every message.
const LONG: u8 = 0x80;

const CLIENT_HELLO: u8 = 1;

const SERVER_HELLO: u8 = 2;

/// The random bytes of a ServerHello that asks for another hello (RFC 8446, 4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// The extension that names the server.
const SERVER_NAME: u16 = 0;

/// The only kind of name there is.
const HOST_NAME: u8 = 0;

/// Not a ClientHello, or one that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a broken ClientHello")]
pub struct Broken;

/// What the first bytes of a client are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// A record of the handshake, from which the server name is read.
    Hello,
    /// What a lenient server may take, or skip, before or as a hello: a record of another version or type, or a hello in the format of SSL 2,
    /// which names no server (RFC 5246, E.2).
    Strange,
    /// No TLS.
    Other,
}

/// Tells what the first bytes are; `None` where too few are there. What other protocols begin with is rarely one of these types, and then
/// its bytes go on as no record would.
pub(super) fn start(bytes: &[u8]) -> Option<Start> {
    let is_type = |byte: u8| (CHANGE..=HEARTBEAT).contains(&byte);
    let is_first = |rest: &[u8]| match rest {
        [HANDSHAKE, MAJOR, ..] => Some(Start::Hello),
        [kind, MAJOR, 0..=4, high, low, ..] => {
            let fits = usize::from(u16::from_be_bytes([*high, *low])) <= MAX_CIPHERTEXT_BYTES;
            Some(if fits && is_type(*kind) { Start::Strange } else { Start::Other })
        }
        [_, MAJOR, minor, ..] if *minor > 4 => Some(Start::Other),
        [_, MAJOR] | [_, MAJOR, _] | [_, MAJOR, _, _] => None,
        [HANDSHAKE, _, _, high, low, CLIENT_HELLO, 0, ..] => {
            let fits = (1..=MAX_CIPHERTEXT_BYTES).contains(&usize::from(u16::from_be_bytes([*high, *low])));
            Some(if fits { Start::Strange } else { Start::Other })
        }
        [ALERT, _, _, 0, 2, 1..=2, ..] | [CHANGE, _, _, 0, 1, 1, ..] => Some(Start::Strange),
        [_, _, _, 0, 0, next, ..] if is_type(*next) => Some(Start::Strange),
        [_, _, _, _, _, _, _, ..] => Some(Start::Other),
        [ALERT | CHANGE | APPLICATION | HEARTBEAT, _, _, _, _, _] => Some(Start::Other),
        _ => None,
    };
    match bytes {
        []
        | [LONG..=u8::MAX]
        | [LONG..=u8::MAX, _]
        | [LONG..=u8::MAX, _, CLIENT_HELLO]
        | [LONG..=u8::MAX, _, CLIENT_HELLO, 0] => None,
        [LONG..=u8::MAX, _, CLIENT_HELLO, MAJOR, ..] | [LONG..=u8::MAX, _, CLIENT_HELLO, 0, 2, ..] => {
            Some(Start::Strange)
        }
        [kind, ..] if !is_type(*kind) => Some(Start::Other),
        bytes => is_first(bytes),
    }
}

/// The records so far.
#[derive(Debug, Default)]
pub struct Records {
    /// Where the next record begins.
    at: usize,
    handshake: Vec<u8>,
    /// Whether a first hello has been read, behind which a server skips what is no handshake.
    is_second: bool,
}

impl Records {
    /// Those behind a first hello.
    pub(super) fn second() -> Self {
        Self { is_second: true, ..Self::default() }
    }

    /// Where what has been read ends: behind the hello's last record, once that is whole.
    pub(super) fn end(&self) -> usize {
        self.at
    }

    /// Reads on in `bytes`, which are all bytes from the beginning: the server name, `Some(None)` where there is none, `None` where
    /// the message is not whole. Nothing may stand behind it in its record.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn read(&mut self, bytes: &[u8]) -> Result<Option<Option<String>>, Broken> {
        while let Some((head, rest)) = bytes.get(self.at..).and_then(<[u8]>::split_first_chunk::<5>) {
            let [kind, major, _, high, low] = *head;
            let length = usize::from(u16::from_be_bytes([high, low]));
            let is_skipped =
                self.is_second && matches!(kind, CHANGE | APPLICATION) && self.handshake.is_empty();
            let most = if is_skipped { MAX_CIPHERTEXT_BYTES } else { MAX_RECORD_BYTES };
            if kind != HANDSHAKE && !is_skipped || major != MAJOR || length == 0 || length > most {
                return Err(Broken);
            }
            let Some(fragment) = rest.get(..length) else { break };
            self.at += head.len() + length;
            if is_skipped {
                continue;
            }
            self.handshake.extend_from_slice(fragment);
            if let Some(message) = message(&self.handshake)? {
                return client_hello(message).map(Some);
            }
        }
        Ok(None)
    }
}

/// What a server answers to a hello.
#[derive(Debug, Default)]
pub(super) struct Answer {
    bytes: Vec<u8>,
}

impl Answer {
    /// Takes what the server says, nothing at its end: whether it wants another hello, as soon as that is certain. Only records up to the
    /// random bytes count: behind them servers send at once what is no handshake.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Option<bool> {
        self.bytes.extend_from_slice(bytes);
        let (mut rest, mut message, mut is_cut) = (self.bytes.as_slice(), Vec::new(), bytes.is_empty());
        while message.len() < RANDOM_AT + RETRY.len() {
            is_cut |= rest.first().is_some_and(|kind| *kind != HANDSHAKE);
            let Some((head, after)) = rest.split_first_chunk::<5>() else { break };
            let [_, major, _, high, low] = *head;
            let length = usize::from(u16::from_be_bytes([high, low]));
            is_cut |= major != MAJOR || length == 0;
            if is_cut {
                break;
            }
            let (fragment, after) = after.split_at(length.min(after.len()));
            message.extend_from_slice(fragment);
            rest = after;
        }
        match message.get(RANDOM_AT..RANDOM_AT + RETRY.len()) {
            _ if message.first().is_some_and(|kind| *kind != SERVER_HELLO) => Some(false),
            Some(random) => Some(random == RETRY),
            None => is_cut.then_some(false),
        }
    }
}

/// The body of the only message, where it is whole.
fn message(handshake: &[u8]) -> Result<Option<&[u8]>, Broken> {
    match handshake {
        [] | [CLIENT_HELLO] | [CLIENT_HELLO, _] | [CLIENT_HELLO, _, _] => Ok(None),
        [CLIENT_HELLO, high, middle, low, body @ ..] => {
            let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
            if length > super::MAX_TLS_BYTES {
                return Err(Broken);
            }
            if body.len() > length {
                return Err(Broken);
            }
            Ok(Some(body).filter(|body| body.len() == length))
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
