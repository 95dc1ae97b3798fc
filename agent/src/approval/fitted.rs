//! A question as it fits on a screen: its beginning and its end are in sight together, and nothing of it looks like another one.
//!
//! What begins a row at the left edge is Weir's own: a row that is too long goes on further to the right, so that what a model wrote
//! begins none however the terminal breaks it. What does not fit is left out of the middle, and that is told with its size.

/// How far to the right a row goes on.
const INDENT: &str = "    ";

/// Rows that the answers on offer take, with the blank one before the question.
const ROWS_FOR_ANSWERS: usize = 5;

/// Fewer rows show no question; then the terminal moves it.
const ROWS_MIN: usize = 8;

/// Fewer columns are not kept to.
const COLUMNS_MIN: usize = 20;

/// Columns that a character takes at most, where it is not plain.
const WIDE: usize = 2;

/// A terminal's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl Size {
    /// Where a terminal does not say it: that of the first ones.
    pub(super) const USUAL: Self = Self { rows: 24, columns: 80 };
}

/// A text in rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fitted {
    /// All of it.
    pub(super) whole: String,
    /// The same without its middle, where it does not fit.
    pub(super) short: Option<String>,
}

impl Fitted {
    /// What is shown at first.
    pub(super) fn shown(&self) -> &str {
        self.short.as_ref().unwrap_or(&self.whole)
    }
}

/// A text on a terminal of this size.
pub(super) fn fit(text: &str, size: Size) -> Fitted {
    let columns = size.columns.max(COLUMNS_MIN);
    let rows: Vec<String> = text.lines().flat_map(|line| rows(line, columns)).collect();
    let most = size.rows.saturating_sub(ROWS_FOR_ANSWERS).max(ROWS_MIN);
    let short = (rows.len() > most).then(|| {
        let (from, to) = (most / 2, rows.len() - (most - most / 2 - 1));
        let [head, tail] = [&rows[..from], &rows[to..]].map(all);
        let note = format!("[… {} of {} lines are left out here; [a] shows them …]\n", to - from, rows.len());
        head + &note + &tail
    });
    Fitted { whole: all(&rows), short }
}

fn all(rows: &[String]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

/// A line in rows of so many columns.
fn rows(line: &str, columns: usize) -> Vec<String> {
    let (mut rows, mut row, mut taken) = (Vec::new(), String::new(), 0);
    for one in line.chars() {
        let width = if one.is_ascii() { 1 } else { WIDE };
        if taken + width > columns {
            rows.push(std::mem::replace(&mut row, INDENT.to_owned()));
            taken = INDENT.len();
        }
        row.push(one);
        taken += width;
    }
    rows.push(row);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_as_it_is() {
        let text = "The model wants:\n    ls\nIt is asked.\n";
        assert_eq!(fit(text, Size::USUAL), Fitted { whole: text.to_owned(), short: None });
    }

    #[test]
    fn a_long_line_begins_no_row_at_the_edge() {
        let padded = format!("    echo '{}The model wants to run:'", " ".repeat(80 - 10));
        let fitted = fit(&padded, Size::USUAL);
        let rows: Vec<_> = fitted.whole.lines().collect();
        assert_eq!(rows[1], "    The model wants to run:'");
        assert!(rows.iter().all(|row| row.len() <= 80 && row.starts_with(INDENT)), "{rows:?}");
        let wide = fit(&"ä".repeat(100), Size::USUAL).whole;
        assert!(wide.lines().all(|row| row.matches('ä').count() <= 40), "{wide}");
    }

    #[test]
    fn what_does_not_fit_is_left_out_of_the_middle_and_told() {
        let script: String = (1..=600).map(|number| format!("    line {number}\n")).collect();
        let text = format!("The model wants:\n{script}It is asked.\n");
        for rows in [0, 3, 24, 50] {
            let fitted = fit(&text, Size { rows, columns: 80 });
            let short = fitted.shown();
            let most = rows.saturating_sub(ROWS_FOR_ANSWERS).max(ROWS_MIN);
            assert_eq!(short.lines().count(), most);
            let told = format!("[… {} of 602 lines are left out here", 602 - most + 1);
            assert!(short.starts_with("The model wants:\n    line 1\n") && short.contains(&told), "{short}");
            assert!(short.ends_with("    line 600\nIt is asked.\n"), "{short}");
            assert_eq!(fitted.whole, text);
        }
    }
}
