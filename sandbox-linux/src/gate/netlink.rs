//! Messages and attributes of netlink (netlink(7), `linux/netlink.h`): lengths, alignment, nesting.

use super::{Batch, Protocol};

/// Flags of a request: that it is one, that it is answered, that it makes something, and that it goes behind what is there.
pub(super) const REQUEST: u16 = 0x1;
const ANSWERED: u16 = 0x4;
pub(super) const CREATE: u16 = 0x400;
pub(super) const APPEND: u16 = 0x800;

/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;

/// Bytes of `struct nlmsghdr`.
pub(super) const HEADER_BYTES: usize = 16;

/// Bytes of `struct nlattr`.
const ATTRIBUTE_BYTES: usize = 4;

/// What every message and attribute is aligned to.
const ALIGNMENT: usize = 4;

/// One message: `head` is the structure of its protocol, `attributes` what follows.
pub(super) fn message(kind: u16, flags: u16, head: &[u8], attributes: &[Vec<u8>]) -> Vec<u8> {
    let body = [head, &attributes.concat()].concat();
    let length = u32::try_from(HEADER_BYTES + body.len()).unwrap_or(u32::MAX);
    let mut out = Vec::with_capacity(HEADER_BYTES + body.len());
    out.extend(length.to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend((REQUEST | flags).to_ne_bytes());
    // Sequence and port: answers come in order, and the kernel knows the port.
    out.extend([0; 8]);
    out.extend(body);
    align(out)
}

/// The same with an answer in any case.
fn answered(mut message: Vec<u8>) -> Vec<u8> {
    let place = 6..8;
    if let Some(flags) = message.get_mut(place) {
        for (flag, more) in flags.iter_mut().zip(ANSWERED.to_ne_bytes()) {
            *flag |= more;
        }
    }
    message
}

/// Messages over one socket. The last of them is answered; an error of any of them is told before that.
pub(super) fn batch(protocol: Protocol, mut messages: Vec<Vec<u8>>, around: [&[u8]; 2]) -> Batch {
    let last = messages.pop().map(answered).unwrap_or_default();
    let bytes = [around[0], &messages.concat(), &last, around[1]].concat();
    Batch { protocol, bytes }
}

/// An attribute with bytes as they are.
pub(super) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(ATTRIBUTE_BYTES + value.len()).unwrap_or(u16::MAX);
    let mut out = Vec::with_capacity(ATTRIBUTE_BYTES + value.len());
    out.extend(length.to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(value);
    align(out)
}

/// An attribute with a number in the order of the network.
pub(super) fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_be_bytes())
}

/// An attribute with a C string.
pub(super) fn text(kind: u16, value: &str) -> Vec<u8> {
    attribute(kind, &[value.as_bytes(), b"\0"].concat())
}

/// An attribute of attributes.
pub(super) fn nest(kind: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind | NESTED, &attributes.concat())
}

fn align(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
    bytes
}
