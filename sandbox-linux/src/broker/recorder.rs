//! What callers have used, each told once, and bounded: a command could use names without end.

use std::collections::HashMap;

use weir_protocol::denial::Act;
use weir_protocol::recorded::{MAX_USE_BYTES, MAX_USES};

use super::event::{Event, Queue};

/// What was told so far.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    programs: HashMap<Vec<u8>, u32>,
    /// What was told of each path.
    known: HashMap<Vec<u8>, Vec<Act>>,
    /// How many uses that makes.
    uses: usize,
    bytes: usize,
    is_full: bool,
}

impl Recorder {
    /// Tells of what was done in one call, where that is new. The program itself was executed.
    pub(crate) fn record(&mut self, queue: &mut Queue, program: Option<Vec<u8>>, uses: Vec<(Act, Vec<u8>)>) {
        let number = program.and_then(|path| self.program(queue, path));
        for (act, path) in uses {
            self.used(queue, act, path, number);
        }
    }

    fn program(&mut self, queue: &mut Queue, path: Vec<u8>) -> Option<u32> {
        if let Some(number) = self.programs.get(&path) {
            return Some(*number);
        }
        if !self.takes(queue, path.len()) {
            return None;
        }
        let number = u32::try_from(self.programs.len()).ok()?;
        self.programs.insert(path.clone(), number);
        queue.push(Event::Program { path: path.clone() });
        self.used(queue, Act::Execute, path, Some(number));
        Some(number)
    }

    fn used(&mut self, queue: &mut Queue, act: Act, path: Vec<u8>, program: Option<u32>) {
        let known = self.known.get(&path);
        // A look tells nothing new of what was used otherwise.
        if known.is_some_and(|acts| act == Act::Look || acts.contains(&act)) || !self.takes(queue, path.len())
        {
            return;
        }
        self.uses += 1;
        self.known.entry(path.clone()).or_default().push(act);
        queue.push(Event::Used { act, path, program });
    }

    /// Whether there is room for one more path. Where there is none, that is told, once.
    fn takes(&mut self, queue: &mut Queue, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        let is_full = self.uses + self.programs.len() >= MAX_USES || self.bytes > MAX_USE_BYTES;
        if is_full && !self.is_full {
            queue.push(Event::RecordFull);
        }
        self.is_full = self.is_full || is_full;
        !self.is_full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(act: Act, path: &str, program: u32) -> Event {
        Event::Used { act, path: path.into(), program: Some(program) }
    }

    #[test]
    fn a_use_is_told_once_with_who_did_it_first() {
        let (mut recorder, mut queue) = (Recorder::default(), Queue::default());
        let read = |path: &str| (Act::Read, path.as_bytes().to_vec());
        recorder.record(&mut queue, Some(b"/bin/sh".to_vec()), vec![read("/a"), read("/a")]);
        recorder.record(
            &mut queue,
            Some(b"/bin/cat".to_vec()),
            vec![read("/a"), (Act::Look, b"/a".to_vec()), (Act::Write, b"/a".to_vec())],
        );
        recorder.record(&mut queue, Some(b"/bin/sh".to_vec()), vec![read("/b")]);
        let expect = [
            Event::Program { path: b"/bin/sh".to_vec() },
            used(Act::Execute, "/bin/sh", 0),
            used(Act::Read, "/a", 0),
            Event::Program { path: b"/bin/cat".to_vec() },
            used(Act::Execute, "/bin/cat", 1),
            used(Act::Write, "/a", 1),
            used(Act::Read, "/b", 0),
        ];
        assert_eq!(queue.drain().list, expect);
    }

    #[test]
    fn a_full_record_is_told_once() {
        let (mut recorder, mut queue) = (Recorder::default(), Queue::default());
        let mut told = Vec::new();
        for number in 0..MAX_USES + 3 {
            recorder.record(&mut queue, None, vec![(Act::Create, format!("/{number}").into_bytes())]);
            told.extend(queue.drain().list);
        }
        assert_eq!(told.len(), MAX_USES + 1);
        assert_eq!(told.last(), Some(&Event::RecordFull));
    }
}
