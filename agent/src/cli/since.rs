//! A point in time on the command line: a time of records, the beginning of one, or so long ago.

use std::time::SystemTime;

use weir_protocol::audit::{since_1970_ms, time};
use weir_protocol::since::Since;

use super::run::duration::milliseconds;

/// Why a text is no point in time.
#[derive(Debug, thiserror::Error)]
#[error("`--since {text}` is no duration (90m), and {no_time}")]
pub(super) struct NoTime {
    text: String,
    no_time: weir_protocol::since::NoTime,
}

/// A time as records have it, or the beginning of one, or so long ago.
pub(super) fn since(text: &str) -> Result<Since, NoTime> {
    let ago = milliseconds(text).ok();
    let ago = ago.map(|ago| time(since_1970_ms(SystemTime::now()).saturating_sub(ago)));
    Since::parse(ago.as_deref().unwrap_or(text)).map_err(|no_time| NoTime { text: text.to_owned(), no_time })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_given_in_part_or_as_durations() {
        for text in ["2026", "2026-11-28", "2026-11-28T09", "2026-11-28T09:30:01.123Z"] {
            assert_eq!(since(text).unwrap().as_str(), text);
        }
        assert!(since("1h").unwrap() < Since::parse(time(u64::MAX / 1_000_000)).unwrap());
        for text in [
            "",
            "26",
            "yesterday",
            "2026/11/28",
            "2026-11-28T09:30:01.123+01:00",
            "2026-02-31",
            "2026-11-28T25:00",
        ] {
            assert!(since(text).is_err(), "{text}");
        }
    }
}
