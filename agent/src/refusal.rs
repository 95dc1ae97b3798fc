//! A refusal in a line, for people: what was tried, how often, what refused it and by which rule.

use std::fmt::Write;

use weir_protocol::method::process::Denial;

/// The line. `count`: how often it happened, which may be more than the record says where several are told as one.
pub(crate) fn line(denial: &Denial, count: u64) -> String {
    let Denial { operation, target, mechanism, origin, reason, .. } = denial;
    let mut out = format!("{operation} {target}");
    if count > 1 {
        let _ = write!(out, ", {count} times");
    }
    let whence = origin.as_ref().map_or_else(|| "no rule grants it".to_owned(), |origin| origin.whence());
    let _ = write!(out, " ({mechanism}; {whence})");
    if let Some(reason) = reason {
        let _ = write!(out, ": {reason}");
    }
    out
}
