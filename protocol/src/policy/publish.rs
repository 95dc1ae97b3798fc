//! Ports of the host's loopback that lead to servers inside.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::origin::Origin;

/// Most ports of one profile: each takes two listening sockets of the host.
pub const MAX_PUBLISHED: usize = 16;

/// What is published, written `8080`, `3000:80` (the host's port, then the one inside) or `*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Published {
    /// Any port: what a ceiling may say, for nothing can listen on all.
    Every,
    /// One port.
    Port {
        /// Of the host's loopback.
        host: NonZeroU16,
        /// Of the sandbox's own.
        inside: NonZeroU16,
    },
}

/// Why a text publishes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no port: write a number from 1 to 65535, or two with a colon, the host's first")]
pub struct PublishError;

impl Published {
    /// Whether it publishes all that `other` does.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self == Self::Every || self == other
    }

    /// The port of the host's loopback, where it is one.
    #[must_use]
    pub const fn host(self) -> Option<NonZeroU16> {
        match self {
            Self::Every => None,
            Self::Port { host, .. } => Some(host),
        }
    }
}

impl FromStr for Published {
    type Err = PublishError;

    fn from_str(text: &str) -> Result<Self, PublishError> {
        if text == "*" {
            return Ok(Self::Every);
        }
        let port = |text: &str| {
            let plain = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| plain).ok_or(PublishError)
        };
        let (host, inside) = text.split_once(':').unwrap_or((text, text));
        Ok(Self::Port { host: port(host)?, inside: port(inside)? })
    }
}

impl TryFrom<String> for Published {
    type Error = PublishError;

    fn try_from(text: String) -> Result<Self, PublishError> {
        text.parse()
    }
}

impl From<Published> for String {
    fn from(published: Published) -> Self {
        published.to_string()
    }
}

impl fmt::Display for Published {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every => out.write_str("*"),
            Self::Port { host, inside } if host == inside => write!(out, "{host}"),
            Self::Port { host, inside } => write!(out, "{host}:{inside}"),
        }
    }
}

/// A rule that publishes something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishRule {
    /// What.
    pub what: Published,
    /// Where the rule stands.
    pub origin: Origin,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_they_are_written() {
        for text in ["8080", "3000:80", "*", "1", "65535"] {
            assert_eq!(text.parse::<Published>().unwrap().to_string(), text);
        }
        assert_eq!("80:80".parse::<Published>().unwrap().to_string(), "80");
        for text in ["", "0", "65536", "+80", "80:", ":80", "1:2:3", "80-90", "a", "127.0.0.1:80", "**"] {
            assert_eq!(text.parse::<Published>(), Err(PublishError), "{text}");
        }
    }

    #[test]
    fn every_port_covers_each_and_no_port_another() {
        let read = |text: &str| text.parse::<Published>().unwrap();
        for (wide, narrow, expect) in [
            ("*", "80", true),
            ("*", "*", true),
            ("80", "80", true),
            ("80", "*", false),
            ("80", "80:81", false),
        ] {
            assert_eq!(read(wide).covers(read(narrow)), expect, "{wide} {narrow}");
        }
    }
}
