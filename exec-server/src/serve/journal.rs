//! What a command wrote to one stream and somebody may still want: in memory, then in an unlinked file, then no further.
//!
//! Nothing is dropped but where head and tail were asked for, and then it is known to the byte. The digest covers every byte that was
//! written. What is dropped or released is given back to the disk while the rest stays. Where the disk is full, the oldest of the tail makes
//! room on it for what comes; where there is none, head and tail are what memory holds. Performs no waiting; `carried` asks for room before it
//! reads.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use weir_protocol::method::output::{Keep, Overflow};

use super::spill::Disk;

/// Bytes of one stream that are held in memory.
pub const MEMORY_BYTES: u64 = 1 << 20;

/// Bytes of one stream that are held on disk, and most of head and tail together.
pub const DISK_BYTES: u64 = 1 << 30;

/// Bytes of one stream's file that are wanted no more before the disk gets them back: less is not worth a call.
const LOOSE_BYTES: u64 = 1 << 20;

/// Bytes of one stream that are held in memory where head and tail were asked for and the disk takes no more.
const CROWDED_BYTES: u64 = 2 * MEMORY_BYTES;

/// Bytes that are written to try whether a disk that was full takes some again: as many as are read of a command at once.
const TRIED_BYTES: usize = 64 << 10;

/// Pieces up to this size are put together, so that a slow drip takes little more memory than its bytes.
const SMALL_BYTES: usize = 4096;

/// What is at an offset.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// These bytes.
    Bytes(Bytes),
    /// Bytes up to this offset were dropped.
    Gap(u64),
    /// Nothing yet.
    Later,
    /// The end of the stream.
    End,
}

#[derive(Debug)]
struct Piece {
    offset: u64,
    length: u64,
    held: Held,
}

#[derive(Debug)]
enum Held {
    Memory(Bytes),
    /// At this place in the file.
    Disk(u64),
}

impl Piece {
    fn end(&self) -> u64 {
        self.offset + self.length
    }

    /// Where it lies in the file.
    fn in_file(&self) -> Option<Range<u64>> {
        match self.held {
            Held::Memory(_) => None,
            Held::Disk(place) => Some(place..place + self.length),
        }
    }
}

/// A stream's bytes by offset.
#[derive(Debug)]
pub struct Journal<D = File> {
    pieces: VecDeque<Piece>,
    written: u64,
    released: u64,
    in_memory: u64,
    on_disk: u64,
    file: Option<D>,
    file_end: u64,
    /// Bytes of the file that are wanted no more, and that the disk does not have back.
    loose: u64,
    /// The file took no more when it was tried last.
    is_full: bool,
    has_ended: bool,
    digest: blake3::Hasher,
    keep: Keep,
    overflow: Overflow,
}

impl<D: Disk> Journal<D> {
    /// One without a byte.
    #[must_use]
    pub fn new(keep: Keep, overflow: Overflow) -> Self {
        Self {
            pieces: VecDeque::new(),
            written: 0,
            released: 0,
            in_memory: 0,
            on_disk: 0,
            file: None,
            file_end: 0,
            loose: 0,
            is_full: false,
            has_ended: false,
            digest: blake3::Hasher::new(),
            keep,
            overflow,
        }
    }

    /// Whether another piece may be read from the command.
    #[must_use]
    pub fn has_room(&self) -> bool {
        match self.overflow {
            Overflow::HeadAndTail { .. } => true,
            Overflow::Wait => self.in_memory < MEMORY_BYTES || !self.is_full && self.occupied() < DISK_BYTES,
        }
    }

    /// Whether the disk alone is why there is no room: it may have some again without anything having happened here.
    #[must_use]
    pub fn waits_for_disk(&self) -> bool {
        self.is_full && !self.has_room()
    }

    /// Tries whether the disk takes something again.
    pub fn try_disk(&mut self, spill: impl FnOnce() -> io::Result<D>) {
        if self.occupied() < DISK_BYTES {
            self.is_full = self.spilled(&[0; TRIED_BYTES], spill).is_err();
            // It was none of the stream's.
            if !self.is_full {
                self.file_end -= TRIED_BYTES as u64;
                self.file.iter().for_each(|file| drop(file.set_len(self.file_end)));
            }
        }
    }

    /// Bytes that the file takes.
    const fn occupied(&self) -> u64 {
        self.on_disk + self.loose
    }

    /// Adds what was read. `spill` makes an unlinked file, once. Nothing is lost where that fails: the piece stays in memory, and
    /// there is no room for another.
    pub fn append(&mut self, bytes: Bytes, spill: impl FnOnce() -> io::Result<D>) {
        let length = bytes.len() as u64;
        self.digest.update(&bytes);
        let offset = self.written;
        self.written += length;
        if !self.join(&bytes) {
            let held = self.hold(bytes, spill);
            self.pieces.push_back(Piece { offset, length, held });
        }
        self.drop_middle();
    }

    /// End-of-file was read.
    pub fn end(&mut self) {
        self.has_ended = true;
    }

    /// Whether it was.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Bytes that were written.
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// The BLAKE3 digest of every byte that was written, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        self.digest.finalize().to_hex().to_string()
    }

    /// The first offset that is still there.
    #[must_use]
    pub const fn first(&self) -> u64 {
        self.released
    }

    /// Where a reader begins that has what lies before `from`: there, at the first offset that is still there, or at the end.
    #[must_use]
    pub fn start(&self, from: u64) -> u64 {
        from.max(self.first()).min(self.written())
    }

    /// At most `most` bytes from `offset` on, as many as lie together.
    ///
    /// # Errors
    /// pread(2)'s, where they are on disk.
    pub fn read(&self, offset: u64, most: usize) -> io::Result<Found> {
        if offset >= self.written {
            return Ok(if self.has_ended { Found::End } else { Found::Later });
        }
        let at = self.pieces.partition_point(|piece| piece.end() <= offset);
        let Some(piece) = self.pieces.get(at) else { return Ok(Found::Gap(self.written)) };
        let Some(skip) = offset.checked_sub(piece.offset) else { return Ok(Found::Gap(piece.offset)) };
        let length = (piece.length - skip).min(most as u64);
        match &piece.held {
            Held::Memory(bytes) => {
                let (from, length) = (index(skip)?, index(length)?);
                Ok(Found::Bytes(bytes.slice(from..from + length)))
            }
            Held::Disk(place) => {
                let file = self.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
                let mut out = BytesMut::zeroed(index(length)?);
                file.read_exact_at(&mut out, place + skip)?;
                Ok(Found::Bytes(out.freeze()))
            }
        }
    }

    /// What lies before `offset` was received and is wanted no more, where the command's profile keeps no more.
    pub fn release(&mut self, offset: u64) {
        if self.keep == Keep::All {
            return;
        }
        self.released = self.released.max(offset.min(self.written));
        while let Some(piece) = self.pieces.pop_front() {
            if piece.end() > self.released {
                self.pieces.push_front(piece);
                break;
            }
            self.forget(&piece);
        }
        self.give_back(0, LOOSE_BYTES);
    }

    fn forget(&mut self, piece: &Piece) {
        match piece.held {
            Held::Memory(_) => self.in_memory -= piece.length,
            Held::Disk(_) => {
                self.on_disk -= piece.length;
                self.loose += piece.length;
            }
        }
    }

    /// Gives the disk back what the file holds of pieces that lay before this one, if it is so much. Pieces lie in the file in their order.
    fn give_back(&mut self, at: usize, least: u64) {
        let Some(file) = &self.file else { return };
        if self.on_disk == 0 {
            if self.file_end > 0 && file.set_len(0).is_ok() {
                (self.file_end, self.loose, self.is_full) = (0, 0, false);
            }
            return;
        }
        if self.loose < least {
            return;
        }
        let from = self.pieces.range(..at).rev().find_map(Piece::in_file).map_or(0, |place| place.end);
        let to = self.pieces.range(at..).find_map(Piece::in_file).map_or(self.file_end, |place| place.start);
        // A file system that cannot do so has it back when nothing of the file is wanted any more.
        if file.punch(from..to).is_ok() {
            (self.loose, self.is_full) = (0, false);
        }
    }

    /// Puts a small piece behind a small piece.
    fn join(&mut self, bytes: &Bytes) -> bool {
        let Some(Piece { length, held: Held::Memory(last), .. }) = self.pieces.back_mut() else {
            return false;
        };
        if last.len() + bytes.len() > SMALL_BYTES {
            return false;
        }
        let mut both = BytesMut::with_capacity(last.len() + bytes.len());
        both.extend_from_slice(last);
        both.extend_from_slice(bytes);
        *last = both.freeze();
        *length += bytes.len() as u64;
        self.in_memory += bytes.len() as u64;
        true
    }

    fn hold(&mut self, bytes: Bytes, spill: impl FnOnce() -> io::Result<D>) -> Held {
        let length = bytes.len() as u64;
        let fits = self.occupied() < DISK_BYTES + 2 * LOOSE_BYTES;
        if self.in_memory + length > MEMORY_BYTES && fits {
            let mut place = self.spilled(&bytes, spill);
            if place.is_err() && self.make_room(length) {
                // The file is there already.
                place = self.spilled(&bytes, || Err(io::ErrorKind::NotFound.into()));
            }
            self.is_full = place.is_err();
            if let Ok(place) = place {
                self.on_disk += length;
                return Held::Disk(place);
            }
        }
        if let Overflow::HeadAndTail { head, tail } = &mut self.overflow
            && (self.is_full || !fits)
            && self.in_memory + length > CROWDED_BYTES - MEMORY_BYTES.min(*tail)
        {
            // What cannot be kept from here on is not the head.
            *head = (*head).min(self.written - length);
        }
        self.in_memory += length;
        Held::Memory(bytes)
    }

    /// Drops of the tail, the oldest first, what the disk needs to hold so much in its place; whether it has it back.
    fn make_room(&mut self, length: u64) -> bool {
        let Overflow::HeadAndTail { head, .. } = self.overflow else { return false };
        let first = self.first_of_middle(head);
        let is_on_disk = |piece: &Piece| piece.in_file().is_some();
        let loose = self.loose;
        while self.loose - loose < length.max(LOOSE_BYTES)
            && self.pieces.range(first..).any(is_on_disk)
            && let Some(piece) = self.pieces.remove(first)
        {
            self.forget(&piece);
        }
        if self.loose > 0 {
            self.is_full = true;
            self.give_back(first, 1);
            return !self.is_full;
        }
        false
    }

    /// The first piece that is none of the head.
    fn first_of_middle(&self, head: u64) -> usize {
        self.pieces.partition_point(|piece| piece.offset < head)
    }

    fn spilled(&mut self, bytes: &[u8], spill: impl FnOnce() -> io::Result<D>) -> io::Result<u64> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(spill()?),
        };
        let place = self.file_end;
        if let Err(error) = file.write_all_at(bytes, place) {
            // What was written of it takes room for nothing.
            let _ = file.set_len(place);
            return Err(error);
        }
        self.file_end += bytes.len() as u64;
        Ok(place)
    }

    /// Drops whole pieces between head and tail, the oldest first; and of the tail what memory does not hold, where the disk does not.
    fn drop_middle(&mut self) {
        let Overflow::HeadAndTail { head, tail } = self.overflow else { return };
        let first = self.first_of_middle(head);
        while let Some(piece) = self.pieces.get(first)
            && piece.end().saturating_add(tail) <= self.written
            && let Some(piece) = self.pieces.remove(first)
        {
            self.forget(&piece);
        }
        // What lies on disk takes no memory, and stays.
        while self.in_memory > CROWDED_BYTES
            && let Some(at) = self.pieces.range(first..).position(|piece| piece.in_file().is_none())
            && let Some(piece) = self.pieces.remove(first + at)
        {
            self.forget(&piece);
        }
        self.give_back(first, LOOSE_BYTES);
    }
}

fn index(number: u64) -> io::Result<usize> {
    usize::try_from(number).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeSet;
    use std::rc::Rc;

    use proptest::prelude::*;

    use super::*;

    fn file() -> io::Result<File> {
        tempfile::tempfile()
    }

    /// Everything from `offset` on, and what is missing.
    fn rest<D: Disk>(journal: &Journal<D>, mut offset: u64) -> (Vec<u8>, Vec<(u64, u64)>) {
        let (mut out, mut gaps) = (Vec::new(), Vec::new());
        loop {
            match journal.read(offset, 1000).unwrap() {
                Found::Bytes(bytes) => {
                    assert!(!bytes.is_empty() && bytes.len() <= 1000);
                    offset += bytes.len() as u64;
                    out.extend_from_slice(&bytes);
                }
                Found::Gap(to) => {
                    assert!(to > offset);
                    gaps.push((offset, to));
                    offset = to;
                }
                Found::Later | Found::End => return (out, gaps),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn what_was_written_is_what_is_read(
            pieces in proptest::collection::vec(1_usize..300_000, 1..40),
            releases in proptest::collection::vec(0.0_f64..1.0, 40),
        ) {
            let mut journal = Journal::new(Keep::Unread, Overflow::Wait);
            let mut all = Vec::new();
            for (length, released) in pieces.iter().zip(&releases) {
                let piece: Vec<u8> = (0..*length).map(|at| u8::try_from((at + length) % 251).unwrap()).collect();
                all.extend_from_slice(&piece);
                journal.append(piece.into(), file);
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
                let offset = (released * journal.written() as f64) as u64;
                journal.release(offset);
                prop_assert!(journal.first() >= offset);
                let from = journal.first();
                let (found, gaps) = rest(&journal, from);
                prop_assert!(gaps.is_empty());
                prop_assert!(found == all[usize::try_from(from).unwrap()..]);
            }
            journal.end();
            prop_assert_eq!(journal.read(journal.written(), 1).unwrap(), Found::End);
            prop_assert_eq!(journal.digest(), blake3::hash(&all).to_hex().to_string());
            journal.release(journal.written());
            prop_assert_eq!((journal.in_memory, journal.on_disk, journal.file_end), (0, 0, 0));
        }

        #[test]
        fn head_and_tail_are_there_and_the_rest_is_named(
            pieces in proptest::collection::vec(1_usize..9_000, 1..60),
            head in 0_u64..20_000,
            tail in 0_u64..20_000,
        ) {
            let mut journal = Journal::new(Keep::All, Overflow::HeadAndTail { head, tail });
            let mut all = Vec::new();
            for length in pieces {
                let piece: Vec<u8> = (0..length).map(|at| u8::try_from((at + all.len()) % 251).unwrap()).collect();
                all.extend_from_slice(&piece);
                journal.append(piece.into(), file);
            }
            let (found, gaps) = rest(&journal, 0);
            let missing: u64 = gaps.iter().map(|(from, to)| to - from).sum();
            prop_assert!(gaps.len() <= 1);
            prop_assert_eq!(found.len() as u64 + missing, journal.written());
            let mut expected = all.clone();
            if let Some((from, to)) = gaps.first() {
                prop_assert!(*from >= head && to + tail <= all.len() as u64 + 9_000);
                prop_assert!(*to <= all.len() as u64 - tail);
                expected.drain(usize::try_from(*from).unwrap()..usize::try_from(*to).unwrap());
            }
            prop_assert!(found == expected);
        }
    }

    #[test]
    fn without_a_file_nothing_is_lost_and_there_is_no_room() {
        let mut journal: Journal = Journal::new(Keep::Unread, Overflow::Wait);
        let piece = Bytes::from(vec![7; 600_000]);
        journal.append(piece.clone(), || Err(io::ErrorKind::StorageFull.into()));
        assert!(journal.has_room());
        journal.append(piece.clone(), || Err(io::ErrorKind::StorageFull.into()));
        assert!(!journal.has_room());
        assert_eq!(rest(&journal, 0).0.len(), 1_200_000);
        journal.release(600_000);
        assert!(journal.has_room());
    }

    /// Bytes that a journal's file takes from the disk.
    fn taken(journal: &Journal) -> u64 {
        use std::os::unix::fs::MetadataExt as _;
        journal.file.as_ref().map_or(0, |file| file.metadata().unwrap().blocks() * 512)
    }

    /// What was written, where each piece of 64 KiB holds its number.
    fn numbered(number: u64) -> Bytes {
        number.to_be_bytes().repeat(8192).into()
    }

    #[test]
    fn the_disk_has_back_what_a_lagging_reader_has_read() {
        const LAG: u64 = 8 << 20;
        let mut journal = Journal::new(Keep::Unread, Overflow::Wait);
        for number in 0..1024 {
            journal.append(numbered(number), file);
            journal.release(journal.written().saturating_sub(LAG));
            assert!(taken(&journal) <= LAG + 2 * LOOSE_BYTES, "{}", taken(&journal));
        }
        let (found, gaps) = rest(&journal, journal.first());
        assert!(gaps.is_empty() && found.ends_with(&numbered(1023)));
        let first = journal.first() / 65_536;
        assert!(found.starts_with(&numbered(first)) && found.len() as u64 == LAG);
    }

    #[test]
    fn the_middle_takes_no_disk_and_no_tail_is_too_long() {
        let (head, tail) = (4 << 20, 6 << 20);
        let mut journal = Journal::new(Keep::Unread, Overflow::HeadAndTail { head, tail });
        for number in 0..1024 {
            journal.append(numbered(number), file);
            assert!(taken(&journal) <= head + tail + 2 * LOOSE_BYTES, "{}", taken(&journal));
        }
        let (found, gaps) = rest(&journal, 0);
        assert_eq!((gaps.len(), found.len()), (1, 10 << 20));
        assert!(found.starts_with(&numbered(0)) && found.ends_with(&numbered(1023)));
        assert!(found[4 << 20..].starts_with(&numbered(1024 - 96)));
        let overflow = Overflow::HeadAndTail { head: 5, tail: u64::MAX };
        let mut journal = Journal::new(Keep::Unread, overflow);
        (0..64).for_each(|number| journal.append(numbered(number), file));
        assert_eq!((rest(&journal, 0).0.len(), rest(&journal, 0).1), (4 << 20, Vec::new()));
    }

    #[test]
    fn where_the_disk_is_full_the_middle_grows() {
        for (head, tail) in [(8 << 20, 0), (0, 8 << 20), (8 << 20, 8 << 20)] {
            let mut journal: Journal = Journal::new(Keep::All, Overflow::HeadAndTail { head, tail });
            for number in 0..1024 {
                journal.append(numbered(number), || Err(io::ErrorKind::StorageFull.into()));
                assert!(journal.has_room() && journal.in_memory <= CROWDED_BYTES);
            }
            let (found, gaps) = rest(&journal, 0);
            assert_eq!(gaps.len(), 1, "{head} {tail}");
            assert!(found.len() as u64 >= MEMORY_BYTES);
            assert!(head == 0 || found.starts_with(&numbered(0)));
            assert!(tail == 0 || found.ends_with(&numbered(1023)));
        }
    }

    /// A disk that holds so many bytes, in whole blocks, and can hold more or less from one moment to the next.
    #[derive(Debug, Default)]
    struct Small {
        bytes: RefCell<Vec<u8>>,
        taken: RefCell<BTreeSet<u64>>,
        most: Rc<Cell<u64>>,
    }

    const BLOCK: u64 = 4096;

    impl Small {
        fn with(most: &Rc<Cell<u64>>) -> impl Fn() -> io::Result<Self> {
            let most = Rc::clone(most);
            move || Ok(Self { most: Rc::clone(&most), ..Self::default() })
        }
    }

    impl Disk for Small {
        fn write_all_at(&self, bytes: &[u8], place: u64) -> io::Result<()> {
            let (mut all, mut taken) = (self.bytes.borrow_mut(), self.taken.borrow_mut());
            let start = usize::try_from(place).unwrap();
            let length = all.len().max(start + bytes.len());
            all.resize(length, 0);
            all[start..start + bytes.len()].copy_from_slice(bytes);
            for block in place / BLOCK..(place + bytes.len() as u64).div_ceil(BLOCK) {
                if taken.insert(block) && taken.len() as u64 * BLOCK > self.most.get() {
                    taken.remove(&block);
                    return Err(io::ErrorKind::StorageFull.into());
                }
            }
            Ok(())
        }

        fn read_exact_at(&self, bytes: &mut [u8], place: u64) -> io::Result<()> {
            let start = usize::try_from(place).unwrap();
            bytes.copy_from_slice(&self.bytes.borrow()[start..start + bytes.len()]);
            Ok(())
        }

        fn set_len(&self, bytes: u64) -> io::Result<()> {
            self.bytes.borrow_mut().resize(usize::try_from(bytes).unwrap(), 0);
            self.taken.borrow_mut().retain(|block| block * BLOCK < bytes);
            Ok(())
        }

        fn punch(&self, bytes: Range<u64>) -> io::Result<()> {
            let range = usize::try_from(bytes.start).unwrap()..usize::try_from(bytes.end).unwrap();
            self.bytes.borrow_mut()[range].fill(0);
            let is_within = |block: &u64| block * BLOCK >= bytes.start && (block + 1) * BLOCK <= bytes.end;
            self.taken.borrow_mut().retain(|block| !is_within(block));
            Ok(())
        }
    }

    /// Every byte that was written is there, or in a gap; whether the digest is that of all of them.
    fn check(journal: &Journal<Small>, pieces: u64) -> (usize, Vec<(u64, u64)>) {
        let all: Vec<u8> = (0..pieces).flat_map(numbered).collect();
        let (found, gaps) = rest(journal, 0);
        let missing: u64 = gaps.iter().map(|(from, to)| to - from).sum();
        assert_eq!(
            (found.len() as u64 + missing, journal.digest()),
            (journal.written(), blake3::hash(&all).to_hex().to_string())
        );
        let mut expect = all;
        for (from, to) in gaps.iter().rev() {
            expect.drain(usize::try_from(*from).unwrap()..usize::try_from(*to).unwrap());
        }
        assert!(found == expect);
        (found.len(), gaps)
    }

    #[test]
    fn a_disk_that_is_full_holds_as_much_of_the_tail_as_it_can() {
        const DISK: u64 = 4 << 20;
        let most = Rc::new(Cell::new(DISK));
        let head = 2 << 20;
        let mut journal = Journal::new(Keep::All, Overflow::HeadAndTail { head, tail: 64 << 20 });
        for number in 0..400 {
            journal.append(numbered(number), Small::with(&most));
            assert!(journal.has_room() && journal.in_memory <= CROWDED_BYTES);
            let held = journal.in_memory + journal.on_disk;
            // What makes room is dropped by so much at once.
            assert!(held + 2 * LOOSE_BYTES >= journal.written().min(MEMORY_BYTES + DISK), "{number}: {held}");
            if number % 40 == 39 {
                let (_, gaps) = check(&journal, number + 1);
                assert!(gaps.len() <= 1 && gaps.iter().all(|(from, _)| *from == head), "{gaps:?}");
            }
        }
    }

    #[test]
    fn a_disk_that_has_room_again_is_used_again() {
        const TAIL: u64 = 16 << 20;
        let most = Rc::new(Cell::new(0));
        let mut journal = Journal::new(Keep::All, Overflow::HeadAndTail { head: 0, tail: TAIL });
        (0..200).for_each(|number| journal.append(numbered(number), Small::with(&most)));
        assert!(check(&journal, 200).0 as u64 <= CROWDED_BYTES);
        most.set(64 << 20);
        (200..600).for_each(|number| journal.append(numbered(number), Small::with(&most)));
        let (held, gaps) = check(&journal, 600);
        assert!(held as u64 >= TAIL && gaps.len() == 1, "{held} {gaps:?}");
    }

    /// The head may take of memory what the tail does not need.
    #[test]
    fn without_a_disk_memory_is_for_head_and_tail() {
        for (tail, least) in [(0, 31 * 65_536), (64 << 10, 30 * 65_536), (8 << 20, 15 * 65_536)] {
            let most = Rc::new(Cell::new(0));
            let mut journal = Journal::new(Keep::All, Overflow::HeadAndTail { head: 8 << 20, tail });
            (0..100).for_each(|number| journal.append(numbered(number), Small::with(&most)));
            let (_, gaps) = check(&journal, 100);
            assert!(gaps.len() == 1 && gaps[0].0 >= least, "{tail}: {gaps:?}");
        }
    }

    #[test]
    fn a_command_that_waits_for_the_disk_goes_on_when_that_has_room() {
        let most = Rc::new(Cell::new(1 << 20));
        let mut journal = Journal::new(Keep::All, Overflow::Wait);
        let mut number = 0;
        while journal.has_room() {
            journal.append(numbered(number), Small::with(&most));
            number += 1;
        }
        assert!(journal.waits_for_disk());
        let before = journal.file.as_ref().unwrap().taken.borrow().len();
        journal.try_disk(Small::with(&most));
        assert!(!journal.has_room());
        assert_eq!(journal.file.as_ref().unwrap().taken.borrow().len(), before);
        most.set(8 << 20);
        journal.try_disk(Small::with(&most));
        assert!(journal.has_room() && !journal.waits_for_disk());
        (number..number + 32).for_each(|number| journal.append(numbered(number), Small::with(&most)));
        assert_eq!(check(&journal, number + 32).1, []);
        assert!(journal.in_memory <= CROWDED_BYTES);
    }
}
