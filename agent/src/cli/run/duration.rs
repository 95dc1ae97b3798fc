//! Durations on the command line: `30s`, `5m`, `1h30m`, `250ms`.

/// Units, largest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::cli) enum DurationError {
    #[error("a number is missing; write 30s, 5m or 1h30m")]
    NoNumber,
    #[error("`{number}` needs a unit: ms, s, m, h or d")]
    NoUnit { number: String },
    #[error("`{unit}` is no unit: ms, s, m, h and d are")]
    UnknownUnit { unit: String },
    #[error("units go from large to small, each once, as in 1h30m")]
    Order,
    #[error("a duration of nothing; leave the option out for no limit")]
    Zero,
    #[error("too long")]
    TooLong,
}

/// The milliseconds that `text` means.
pub(in crate::cli) fn milliseconds(text: &str) -> Result<u64, DurationError> {
    let (mut rest, mut total_ms, mut smallest_ms) = (text, 0_u64, u64::MAX);
    while !rest.is_empty() || smallest_ms == u64::MAX {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        if number.is_empty() {
            return Err(DurationError::NoNumber);
        }
        if unit.is_empty() {
            return Err(DurationError::NoUnit { number: number.to_owned() });
        }
        let known = UNITS.iter().find(|(name, _)| *name == unit);
        let (_, unit_ms) = known.ok_or_else(|| DurationError::UnknownUnit { unit: unit.to_owned() })?;
        if *unit_ms >= smallest_ms {
            return Err(DurationError::Order);
        }
        let number: u64 = number.parse().map_err(|_| DurationError::TooLong)?;
        let part_ms = number.checked_mul(*unit_ms).ok_or(DurationError::TooLong)?;
        total_ms = total_ms.checked_add(part_ms).ok_or(DurationError::TooLong)?;
        (rest, smallest_ms) = (after, *unit_ms);
    }
    if total_ms == 0 { Err(DurationError::Zero) } else { Ok(total_ms) }
}

/// A duration as it would be written.
pub(in super::super) fn text(mut milliseconds: u64) -> String {
    let mut out = String::new();
    for (unit, unit_ms) in UNITS {
        let count = milliseconds / unit_ms;
        milliseconds %= unit_ms;
        if count > 0 {
            out.push_str(&format!("{count}{unit}"));
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (written, expect_ms) in [
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("250ms", 250),
            ("1s500ms", 1500),
            ("1d1h1m1s1ms", 90_061_001),
        ] {
            assert_eq!(milliseconds(written), Ok(expect_ms), "{written}");
            assert_eq!(text(expect_ms), written);
        }
        assert_eq!(milliseconds("90s"), Ok(90_000));
        assert_eq!(text(90_000), "1m30s");
        assert_eq!(text(0), "0s");
    }

    #[test]
    fn what_is_no_duration_is_told_why() {
        let cases = [
            ("", DurationError::NoNumber),
            ("s", DurationError::NoNumber),
            ("-5s", DurationError::NoNumber),
            ("30", DurationError::NoUnit { number: "30".to_owned() }),
            ("1h30", DurationError::NoUnit { number: "30".to_owned() }),
            ("5x", DurationError::UnknownUnit { unit: "x".to_owned() }),
            ("1.5s", DurationError::UnknownUnit { unit: ".".to_owned() }),
            ("5 m", DurationError::UnknownUnit { unit: " m".to_owned() }),
            ("30m1h", DurationError::Order),
            ("1s1s", DurationError::Order),
            ("0s", DurationError::Zero),
            ("99999999999999999999s", DurationError::TooLong),
            ("18446744073709551615d", DurationError::TooLong),
        ];
        for (text, expect) in cases {
            assert_eq!(milliseconds(text), Err(expect), "{text}");
        }
    }
}
