//! One record's text: `audit(SECONDS.MS:SERIAL): key=value …`.
//!
//! A value stands in quotes, or as hexadecimal digits where it holds a quote, a blank or a byte that is not printable
//! (`audit_log_untrustedstring`), or bare where the kernel made it.

/// What ties the records of one event together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// When.
    pub since_1970_ms: u64,
    /// The serial number.
    pub serial: u64,
}

/// A record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields<'a> {
    /// Its event.
    pub stamp: Stamp,
    text: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Reads the heading; nothing for what has none.
    #[must_use]
    pub fn read(text: &'a [u8]) -> Option<Self> {
        let text = text.strip_suffix(b"\0").unwrap_or(text);
        let rest = text.strip_prefix(b"audit(")?;
        let end = rest.iter().position(|byte| *byte == b')')?;
        let (heading, text) = rest.split_at(end);
        let (time, serial) = std::str::from_utf8(heading).ok()?.split_once(':')?;
        let (seconds, ms) = time.split_once('.')?;
        let seconds: u64 = seconds.parse().ok()?;
        let since_1970_ms = seconds.checked_mul(1000)?.checked_add(ms.parse().ok()?)?;
        let stamp = Stamp { since_1970_ms, serial: serial.parse().ok()? };
        Some(Self { stamp, text: text.strip_prefix(b"):").unwrap_or_default() })
    }

    /// The first value of this key, as it stands, without its quotes.
    fn raw(&self, key: &str) -> Option<(&'a [u8], Form)> {
        let mut rest = self.text;
        loop {
            rest = rest.trim_ascii_start();
            let equals = rest.iter().position(|byte| *byte == b'=')?;
            let name = rest.get(..equals)?;
            let value = rest.get(equals + 1..)?;
            let (value, form, after) = match value.strip_prefix(b"\"") {
                Some(quoted) => {
                    let end = quoted.iter().position(|byte| *byte == b'"')?;
                    (quoted.get(..end)?, Form::Quoted, quoted.get(end + 1..)?)
                }
                None => {
                    let end = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
                    (value.get(..end)?, Form::Bare, value.get(end..)?)
                }
            };
            if name == key.as_bytes() {
                return Some((value, form));
            }
            rest = after;
        }
    }

    /// A word that the kernel made.
    #[must_use]
    pub fn word(&self, key: &str) -> Option<&'a str> {
        std::str::from_utf8(self.raw(key)?.0).ok()
    }

    /// A number, in decimal digits.
    #[must_use]
    pub fn number<N: std::str::FromStr>(&self, key: &str) -> Option<N> {
        self.word(key)?.parse().ok()
    }

    /// A number in hexadecimal digits.
    #[must_use]
    pub fn hexadecimal(&self, key: &str) -> Option<u64> {
        u64::from_str_radix(self.word(key)?, 16).ok()
    }

    /// Something that a program chose: a path, a name.
    #[must_use]
    pub fn bytes(&self, key: &str) -> Option<Vec<u8>> {
        match self.raw(key)? {
            (text, Form::Quoted) => Some(text.to_vec()),
            (digits, Form::Bare) => decoded(digits),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Quoted,
    Bare,
}

/// Pairs of hexadecimal digits; nothing for another word, as `(null)`.
fn decoded(digits: &[u8]) -> Option<Vec<u8>> {
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return None;
    }
    let pair =
        |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    digits.chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_the_kernel_writes_them() {
        let text = b"audit(1795935194.527:31523): domain=1b6bb6196 blockers=fs.read_file path=\"/etc/pass wd\" dev=\"vda\" ino=7";
        let found = Fields::read(text).unwrap();
        assert_eq!(found.stamp, Stamp { since_1970_ms: 1_795_935_194_527, serial: 31_523 });
        assert_eq!(found.hexadecimal("domain"), Some(0x1_b6bb_6196));
        assert_eq!(found.word("blockers"), Some("fs.read_file"));
        assert_eq!(found.bytes("path"), Some(b"/etc/pass wd".to_vec()));
        assert_eq!(found.number("ino"), Some(7_u64));
        assert_eq!(found.word("main"), None);
    }

    #[test]
    fn what_a_program_chose_stands_in_quotes_or_as_digits() {
        let of = |text: &str| Fields::read(format!("audit(1.000:2): {text}").as_bytes())?.bytes("path");
        let cases: [(&str, Option<&[u8]>); 8] = [
            ("path=\"/a=b path=c\"", Some(b"/a=b path=c")),
            ("path=2F6120220A", Some(b"/a \"\n")),
            ("comm=\"path=x\" path=2fff", Some(b"/\xff")),
            ("path=(null)", None),
            ("path=2F6", None),
            ("path=", None),
            ("path=\"/never ends", None),
            ("", None),
        ];
        for (text, expect) in cases {
            assert_eq!(of(text).as_deref(), expect, "{text}");
        }
    }

    #[test]
    fn what_is_no_record_is_none() {
        for text in [
            "",
            "audit",
            "audit(1.2:3",
            "audit(x.2:3): a=b",
            "audit(1:3): ",
            "audit(99999999999999999.1:1): ",
        ] {
            assert_eq!(Fields::read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Fields::read(b"audit(1.002:3): ").unwrap().word("a"), None);
    }
}
