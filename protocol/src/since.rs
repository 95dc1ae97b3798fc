//! A point in time from which on something is asked for: a time of records, or the beginning of one.
//!
//! Times of records are text of one length in UTC ([`crate::audit::time`]), so that their order, and that of their beginnings, is that of
//! their letters. One that there never is, as the 31st of February, is refused: whoever wrote it meant another.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The least of all times. What is missing of a beginning is taken from here.
const LEAST: &str = "0000-01-01T00:00:00.000Z";

/// A time in RFC 3339, UTC, to the millisecond, or the beginning of one: `2026`, `2026-11-28`, `2026-11-28T09:30`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Since(String);

/// A text that begins no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no time that there is: one is written `2026-11-28T09:30:00.000Z` (UTC), or as the beginning of that, for instance `2026`, `2026-11-28` \
     or `2026-11-28T09:30`"
)]
pub struct NoTime(pub String);

impl Since {
    /// A time, or the beginning of one with its year.
    ///
    /// # Errors
    /// [`NoTime`] where no time begins so.
    pub fn parse(text: impl Into<String>) -> Result<Self, NoTime> {
        const YEAR_LENGTH: usize = 4;
        let text = text.into();
        let rest = |from: usize| LEAST.get(from..);
        // A digit may be missing of a field: then some digit must make one that there is.
        let begun = |digit: char| Some(format!("{text}{digit}{}", rest(text.len() + 1)?));
        let whole = rest(text.len()).map(|rest| format!("{text}{rest}"));
        let mut ways = whole.into_iter().chain(('0'..='9').filter_map(begun));
        if text.len() >= YEAR_LENGTH && ways.any(|way| is_time(&way)) {
            Ok(Self(text))
        } else {
            Err(NoTime(text))
        }
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a time of a record is this one or later.
    #[must_use]
    pub fn has_come(&self, time: &str) -> bool {
        time >= self.as_str()
    }
}

impl fmt::Display for Since {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl TryFrom<String> for Since {
    type Error = NoTime;

    fn try_from(text: String) -> Result<Self, NoTime> {
        Self::parse(text)
    }
}

impl From<Since> for String {
    fn from(since: Since) -> Self {
        since.0
    }
}

/// Whether a text of full length is a time of the calendar.
fn is_time(text: &str) -> bool {
    let fits = |(found, model): (u8, u8)| {
        if model.is_ascii_digit() { found.is_ascii_digit() } else { found == model }
    };
    if text.len() != LEAST.len() || !text.bytes().zip(LEAST.bytes()).all(fits) {
        return false;
    }
    let number = |from: usize, to: usize| text.get(from..to).and_then(|digits| digits.parse::<u32>().ok());
    let (Some(year), Some(month), Some(day)) = (number(0, 4), number(5, 7), number(8, 10)) else {
        return false;
    };
    let (Some(hour), Some(minute), Some(second)) = (number(11, 13), number(14, 16), number(17, 19)) else {
        return false;
    };
    (1..=days(year, month)).contains(&day) && hour < 24 && minute < 60 && second < 60
}

/// The days of a month; none of a month that there is not.
const fn days(year: u32, month: u32) -> u32 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_there_are_and_their_beginnings_are_accepted() {
        let full = "2026-11-28T09:30:01.123Z";
        for length in 4..=full.len() {
            assert_eq!(Since::parse(&full[..length]).unwrap().as_str(), &full[..length]);
        }
        for text in [
            "2024-02-29",
            "2000-02-29",
            "2026-12-31T23:59:59.999Z",
            "2026-02-2",
            "2026-1",
            "2026-11-3",
            "2026-11-28T2",
        ] {
            assert!(Since::parse(text).is_ok(), "{text}");
        }
        let refused = [
            "",
            "26",
            "202",
            "2026/11/28",
            "2026-00",
            "2026-13",
            "2026-2",
            "2026-02-29",
            "2026-02-30",
            "2026-02-31",
            "2026-02-3",
            "2026-04-31",
            "2100-02-29",
            "2026-11-00",
            "2026-11-32",
            "2026-11-4",
            "2026-11-28T24",
            "2026-11-28T25:00",
            "2026-11-28T3",
            "2026-11-28T09:60",
            "2026-11-28T09:6",
            "2026-11-28T09:30:60",
            "2026-11-28 09:30",
            "2026-11-28T09:30:01.123+01:00",
            "2026-11-28T09:30:01.123Z ",
            "2026-\u{e9}1",
            "yesterday",
        ];
        for text in refused {
            assert_eq!(Since::parse(text), Err(NoTime(text.to_owned())));
        }
        let told = serde_json::from_str::<Since>("\"2026-02-31\"").unwrap_err().to_string();
        assert!(told.starts_with("`2026-02-31` is no time that there is: one is written"), "{told}");
        assert!(
            Since::parse("2026-11").unwrap().has_come(full)
                && !Since::parse("2026-12").unwrap().has_come(full)
        );
    }
}
