//! A point in time on the command line: a time of records, the beginning of one, or so long ago.

use std::time::SystemTime;

use weir_protocol::audit::{since_1970_ms, time};

use super::run::duration::milliseconds;

/// Why a text is no point in time.
#[derive(Debug, thiserror::Error)]
#[error("`--since {0}` is neither a time (2026-11-28T09:30) nor a duration (90m)")]
pub(super) struct NoTime(String);

/// A time as records have it, or the beginning of one: their order is that of their letters.
pub(super) fn since(text: &str) -> Result<String, NoTime> {
    if let Ok(ago) = milliseconds(text) {
        return Ok(time(since_1970_ms(SystemTime::now()).saturating_sub(ago)));
    }
    let shape = time(0);
    let fits = |(found, model): (char, char)| {
        if model.is_ascii_digit() { found.is_ascii_digit() } else { found == model }
    };
    if (4..=shape.len()).contains(&text.len()) && text.chars().zip(shape.chars()).all(fits) {
        return Ok(text.to_owned());
    }
    Err(NoTime(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_given_in_part_or_as_durations() {
        for text in ["2026", "2026-11-28", "2026-11-28T09", "2026-11-28T09:30:01.123Z"] {
            assert_eq!(since(text).unwrap(), text);
        }
        assert!(since("1h").unwrap() < time(u64::MAX / 1_000_000));
        for text in ["", "26", "yesterday", "2026/11/28", "2026-11-28T09:30:01.123+01:00"] {
            assert!(since(text).is_err(), "{text}");
        }
    }
}
