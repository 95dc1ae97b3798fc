//! Answers in lines: each one a piece, or server-sent events (WHATWG HTML, 9.2.6), of which a line is a field.
//!
//! By hand, since what there is for events looks at a piece again with every chunk of it.

use bytes::BytesMut;

use super::{Cutter, Frame, FrameError};

/// Finds ends of lines, and looks at no byte twice.
#[derive(Default)]
pub(super) struct Lines {
    searched: usize,
}

impl Lines {
    /// The first line, taken off, without its end; what is left at the end is one too.
    fn line(&mut self, bytes: &mut BytesMut, ended: bool) -> Result<Option<String>, FrameError> {
        let rest = bytes.get(self.searched..).unwrap_or_default();
        let line = match rest.iter().position(|byte| *byte == b'\n') {
            Some(end) => bytes.split_to(self.searched + end + 1),
            None if ended && !bytes.is_empty() => bytes.split(),
            None => {
                self.searched = bytes.len();
                return Ok(None);
            }
        };
        self.searched = 0;
        let text = std::str::from_utf8(&line).map_err(|_| FrameError::NotText)?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        Ok(Some(text.strip_suffix('\r').unwrap_or(text).to_owned()))
    }
}

impl Cutter for Lines {
    fn first(&mut self, bytes: &mut BytesMut, ended: bool) -> Result<Option<Frame>, FrameError> {
        while let Some(line) = self.line(bytes, ended)? {
            let data = line.trim();
            if !data.is_empty() {
                return Ok(Some(Frame { kind: String::new(), data: data.to_owned(), is_error: false }));
            }
        }
        Ok(None)
    }
}

/// Server-sent events: fields, up to an empty line.
#[derive(Default)]
pub(super) struct Events {
    lines: Lines,
    kind: String,
    data: Option<String>,
}

impl Events {
    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match (name, &mut self.data) {
            ("data", Some(data)) => {
                data.push('\n');
                data.push_str(value);
            }
            ("data", None) => self.data = Some(value.to_owned()),
            ("event", _) => value.clone_into(&mut self.kind),
            // Comments have no name; ids and times to reconnect are of no use here.
            _ => {}
        }
    }

    fn dispatch(&mut self) -> Option<Frame> {
        let kind = std::mem::take(&mut self.kind);
        self.data.take().map(|data| Frame { kind, data, is_error: false })
    }
}

impl Cutter for Events {
    fn first(&mut self, bytes: &mut BytesMut, ended: bool) -> Result<Option<Frame>, FrameError> {
        while let Some(line) = self.lines.line(bytes, ended)? {
            if !line.is_empty() {
                self.field(&line);
            } else if let Some(frame) = self.dispatch() {
                return Ok(Some(frame));
            }
        }
        // Some servers end without the empty line.
        Ok(if ended { self.dispatch() } else { None })
    }

    fn held(&self) -> usize {
        self.data.as_ref().map_or(0, String::len).saturating_add(self.kind.len())
    }
}
