//! A policy's identity: SHA-256 over a canonical encoding of its meaning.
//!
//! The encoding is a sequence of fields, each written as its length (8 bytes, big endian) and its bytes. A list is written as
//! the number of its elements, then the elements. In this order:
//!
//! 1. the text `weir-policy-1`;
//! 2. confinement (`managed` or `unrestricted`); for `unrestricted` nothing follows;
//! 3. path rules that differ from what the path would have without them: path, access word;
//! 4. denying patterns, in the notation of [`Glob::to_bytes`](super::Glob::to_bytes);
//! 5. directories with a private stand-in;
//! 6. network: `off` or `on`; if on: mode word, `any` or the list of live grants and then of denials, the ranges of
//!    `allow_private`, upstream proxy; in both cases loopback, socket rules that differ from what they would inherit,
//!    and, where there are any, the published ports;
//! 7. limits: key and value in decimal;
//! 8. environment: inherit word, allow list, deny list, set list (name, value);
//! 9. degradations and kernel features, by name;
//! 10. the text `background-keep` where what the command leaves running goes on.
//!
//! Origins, the profile's name and `glob_scan_max_depth` have no effect on what is allowed and are left out.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use super::access::Access;
use super::network::{Network, NetworkMode};
use super::{Background, Confinement, Policy};

/// SHA-256 of a policy's canonical encoding. Written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// Text that is not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 64 hexadecimal digits")]
pub struct DigestError;

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let bytes = crate::bytes::decode_hex(text).ok_or(DigestError)?;
        bytes.try_into().map(Self).map_err(|_| DigestError)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Digest {
    /// SHA-256 of a command's words: the text `weir-words-1`, then a list of fields, as in a policy's encoding.
    #[must_use]
    pub fn of_words<W: AsRef<[u8]>>(words: &[W]) -> Self {
        let mut out = Encoder(Sha256::new());
        out.field("weir-words-1");
        out.list(words, |out, word| out.field(word));
        Self(out.0.finalize().into())
    }
}

/// Writes length-prefixed fields into the hash.
struct Encoder(Sha256);

impl Encoder {
    fn field(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.0.update((items.len() as u64).to_be_bytes());
        items.iter().for_each(|item| write(self, item));
    }
}

impl Policy {
    /// The digest of what this policy means.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut out = Encoder(Sha256::new());
        out.field("weir-policy-1");
        match self.confinement() {
            Confinement::Unrestricted => out.field("unrestricted"),
            Confinement::Managed => {
                out.field("managed");
                self.encode(&mut out);
            }
        }
        Digest(out.0.finalize().into())
    }

    fn encode(&self, out: &mut Encoder) {
        let fs = self.filesystem();
        let telling: Vec<_> = fs
            .rules()
            .iter()
            .filter(|rule| {
                rule.access != rule.path.parent().map_or(Access::None, |parent| fs.access(&parent))
            })
            .collect();
        out.list(&telling, |out, rule| {
            out.field(rule.path.as_bytes());
            out.field(rule.access.to_string());
        });
        out.list(fs.globs(), |out, rule| out.field(rule.pattern.to_bytes()));
        out.list(fs.private(), |out, private| out.field(private.path.as_bytes()));
        encode_network(out, self.network());
        let limits: Vec<_> = self.resources().iter().collect();
        out.list(&limits, |out, (resource, limit)| {
            out.field(resource.key());
            out.field(limit.value.to_string());
        });
        let environment = self.environment();
        out.field(format!("{:?}", environment.inherit.value).to_lowercase());
        out.list(&environment.allow, |out, rule| out.field(rule.value.as_str()));
        out.list(&environment.deny, |out, rule| out.field(rule.value.as_str()));
        let set: Vec<_> = environment.set.iter().collect();
        out.list(&set, |out, (name, value)| {
            out.field(name);
            out.field(&value.value);
        });
        let names: Vec<_> = self.degradations().keys().map(|name| format!("{name:?}")).collect();
        out.list(&names, |out, name| out.field(name));
        let names: Vec<_> = self.kernel().keys().map(|name| format!("{name:?}")).collect();
        out.list(&names, |out, name| out.field(name));
        if self.background().value == Background::Keep {
            out.field("background-keep");
        }
    }
}

fn encode_network(out: &mut Encoder, network: &Network) {
    if network.enabled.value {
        out.field("on");
        out.field(match network.mode.value {
            NetworkMode::Limited => "limited",
            NetworkMode::Full => "full",
        });
        match &network.domains {
            None => out.field("any"),
            Some(_) => {
                out.field("list");
                let grants: Vec<_> = network.grants().collect();
                out.list(&grants, |out, rule| out.field(rule.pattern.to_string()));
                let denials: Vec<_> = network.denials().collect();
                out.list(&denials, |out, rule| out.field(rule.pattern.to_string()));
            }
        }
        let ranges =
            network.allow_private.as_ref().map(|private| private.value.as_slice()).unwrap_or_default();
        out.list(ranges, |out, range| out.field(range.to_string()));
        out.field(if network.allow_upstream_proxy.value { "upstream" } else { "direct" });
    } else {
        out.field("off");
    }
    out.field(if network.loopback.value { "loopback" } else { "no-loopback" });
    let sockets: Vec<_> = network
        .unix_sockets
        .iter()
        .filter(|rule| {
            let above = rule.path.parent().and_then(|parent| network.socket_rule(&parent));
            rule.allow != above.is_some_and(|above| above.allow)
        })
        .collect();
    out.list(&sockets, |out, rule| {
        out.field(rule.path.as_bytes());
        out.field(if rule.allow { "allow" } else { "deny" });
    });
    if !network.publish.is_empty() {
        out.field("publish");
        out.list(&network.publish, |out, rule| out.field(rule.what.to_string()));
    }
}
