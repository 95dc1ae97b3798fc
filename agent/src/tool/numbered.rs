//! Lines of a file with their numbers, taken from pieces that end anywhere.

use std::fmt::Write as _;

use super::capture::Capture;

/// Most bytes of text that come of one reading.
const MAX_BYTES: usize = 1 << 20;

/// Bytes of one line that are told: more than people write into one, and a small part of what a model reads at once.
const LINE_BYTES: usize = 32 << 10;

/// Bytes of a line after which no end of it is looked for: a file with such lines is no text.
const LONGEST_LINE_BYTES: u64 = 64 << 20;

/// The lines that were asked for, as far as they have come.
#[derive(Debug)]
pub(super) struct Numbered {
    first: u64,
    limit: u64,
    /// The line that is not complete, as much of it as is told.
    begun: Capture,
    /// Complete lines so far.
    seen: u64,
    taken: u64,
    text: String,
    /// Whether the last line was given up before its end.
    is_given_up: bool,
}

impl Numbered {
    /// So many lines from this one on, counted from 1.
    pub(super) fn new(first: u64, limit: u64) -> Self {
        let begun = Capture::new(LINE_BYTES);
        Self { first: first.max(1), limit, begun, seen: 0, taken: 0, text: String::new(), is_given_up: false }
    }

    /// Takes in the next piece; `is_last` where the file ends behind it. False when no more is wanted.
    pub(super) fn add(&mut self, piece: &[u8], is_last: bool) -> bool {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            if self.taken >= self.limit || self.text.len() > MAX_BYTES {
                return false;
            }
            self.begun.add(part);
            if part.ends_with(b"\n") {
                self.line();
            } else if self.begun.bytes() > LONGEST_LINE_BYTES {
                self.line();
                self.is_given_up = true;
                return false;
            }
        }
        if is_last && self.begun.bytes() > 0 {
            self.line();
        }
        true
    }

    fn line(&mut self) {
        let line = std::mem::replace(&mut self.begun, Capture::new(LINE_BYTES));
        self.seen += 1;
        if self.seen >= self.first {
            self.taken += 1;
            let _ = writeln!(self.text, "{:6}\t{}", self.seen, line.text().trim_end_matches('\n'));
        }
    }

    /// The text, with what is behind it or why it is empty.
    pub(super) fn finish(mut self, has_more: bool) -> String {
        if self.is_given_up {
            let _ = writeln!(
                self.text,
                "[… line {} is longer than {LONGEST_LINE_BYTES} bytes: the file was read no further …]",
                self.seen
            );
        } else if has_more {
            let _ = writeln!(self.text, "[… there is more, from line {} …]", self.seen + 1);
        } else if self.taken == 0 {
            self.text = format!("There is no line {}: the file has {}.", self.first, self.seen);
        }
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_across_pieces() {
        let cases: [(u64, u64, &[&str], &str); 6] = [
            (1, 9, &["one\ntw", "o\nthree"], "     1\tone\n     2\ttwo\n     3\tthree\n"),
            (2, 1, &["one\ntwo\nthree\n"], "     2\ttwo\n[… there is more, from line 3 …]\n"),
            (3, 1, &["one\ntwo\nthree\n"], "     3\tthree\n"),
            (4, 1, &["one\ntwo\nthree\n"], "There is no line 4: the file has 3."),
            (1, 1, &[""], "There is no line 1: the file has 0."),
            (1, 2, &["\n", "\n"], "     1\t\n     2\t\n"),
        ];
        for (first, limit, pieces, expect) in cases {
            let mut numbered = Numbered::new(first, limit);
            let last = pieces.len() - 1;
            let is_wanted =
                pieces.iter().enumerate().all(|(at, piece)| numbered.add(piece.as_bytes(), at == last));
            assert_eq!(numbered.finish(!is_wanted), expect, "{pieces:?} from {first}");
        }
    }

    #[test]
    fn a_long_line_is_cut_and_a_line_without_an_end_is_given_up() {
        let half = "x".repeat(LINE_BYTES / 2);
        let long = format!("{half}{}{half}", "y".repeat(5_000_000));
        let mut numbered = Numbered::new(1, 9);
        assert!(long.as_bytes().chunks(4096).all(|piece| numbered.add(piece, false)));
        assert!(numbered.add(b"\nnext\n", true));
        // The end of the line counts as a byte of it.
        let expect = format!("     1\t{half}\n[… 5000001 bytes left out …]\n{}\n     2\tnext\n", &half[1..]);
        assert!(numbered.finish(false) == expect);
        // Nothing of a line that is not wanted is waited for.
        let mut numbered = Numbered::new(1, 1);
        assert!(!numbered.add(b"one\nt", false));
        assert_eq!(numbered.finish(true), "     1\tone\n[… there is more, from line 2 …]\n");
        for first in [1, 7] {
            let mut numbered = Numbered::new(first, 9);
            let zeros = vec![0; 1 << 20];
            let pieces = (0..).take_while(|_| numbered.add(&zeros, false)).count();
            let most = usize::try_from(LONGEST_LINE_BYTES).unwrap() + 2 * zeros.len();
            assert!(pieces * zeros.len() <= most, "{pieces} pieces");
            let text = numbered.finish(true);
            assert!(text.ends_with("the file was read no further …]\n") && text.len() < 2 * LINE_BYTES);
        }
    }
}
