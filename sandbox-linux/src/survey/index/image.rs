//! An index as bytes: what one launcher leaves for the next. Memory that is sealed before anyone else has it, read where it is.
//!
//! A header, one record of fixed length for each directory, sorted, and behind them the entries. It has one reader and one writer, which are
//! the same program; a reader takes no number in it on trust all the same.

use std::collections::HashSet;
use std::ffi::CStr;
use std::ops::Range;
use std::os::fd::{AsFd as _, OwnedFd};
use std::rc::Rc;

use crate::live::FileId;
use crate::sys::sealed::{self, Mapped};
use crate::sys::walk::{Entry, FileType, Stamp, Time};

/// Most bytes of one image: directories with some 500,000 entries. A file system with more is listed again as far as there is no room.
pub const MAX_IMAGE_BYTES: usize = 16 << 20;

/// An image that was of no use in so many later ones is left out of the next.
const MAX_AGE: u8 = 8;

/// An image is written anew when what it would add is this part of it at least: listing an entry takes about as long as writing so many.
const WORTH: usize = 64;

const MAGIC: [u8; 8] = *b"weir-ix1";
/// The magic and the number of records.
const HEADER_BYTES: usize = 16;
const RECORD_BYTES: usize = 80;
/// Bytes of an entry in front of its name: inode and kind.
const ENTRY_BYTES: usize = 9;

/// What the records are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    device: u64,
    inode: u64,
    mount: u64,
}

impl Key {
    pub(super) const fn of(stamp: &Stamp) -> Self {
        Self { device: stamp.directory.device, inode: stamp.directory.inode, mount: stamp.mount }
    }
}

/// An index as it is handed on.
#[derive(Debug)]
pub struct Image(OwnedFd);

impl Image {
    /// Takes what was handed on; none where it could still change, or is larger than an image may be.
    #[must_use]
    pub fn accept(memory: OwnedFd) -> Option<Self> {
        let bytes = sealed::sealed_bytes(memory.as_fd())?;
        (HEADER_BYTES..=MAX_IMAGE_BYTES).contains(&bytes).then_some(Self(memory))
    }

    /// How many bytes it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        sealed::sealed_bytes(self.0.as_fd()).unwrap_or(0)
    }

    /// The memory, to be handed on.
    #[must_use]
    pub const fn memory(&self) -> &OwnedFd {
        &self.0
    }

    /// The same image for another process.
    ///
    /// # Errors
    /// As fcntl(2).
    pub fn share(&self) -> std::io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    pub(super) fn contents(&self) -> Option<Contents> {
        Contents::of(Mapped::of(&self.0)?)
    }

    /// Writes an image of what was kept and of use, of what is fresh (`entries`, in which each directory has its range), and of what else
    /// was kept, in this order as far as there is room.
    pub(super) fn of(
        entries: &[u8],
        fresh: Vec<(Stamp, Range<usize>)>,
        kept: Option<&Contents>,
        used: &[bool],
    ) -> Option<Self> {
        let replaced: HashSet<Key> = fresh.iter().map(|(stamp, _)| Key::of(stamp)).collect();
        let kept = kept.into_iter().flat_map(Contents::records);
        let kept = kept.filter(|(_, record)| !replaced.contains(&Key::of(&record.stamp)));
        let was_used = |place: usize| used.get(place).copied().unwrap_or(false);
        let (current, rest): (Vec<_>, Vec<_>) = kept.partition(|(place, _)| was_used(*place));
        let mut rest: Vec<_> = rest
            .into_iter()
            .map(|(_, record)| Record { age: record.age.saturating_add(1), ..record })
            .filter(|record| record.age <= MAX_AGE)
            .collect();
        rest.sort_by_key(|record| record.age);
        let mut writing = Writing::default();
        current.iter().for_each(|(_, record)| writing.add(&record.stamp, record.entries, 0));
        let before = writing.bytes();
        let mut seen = HashSet::new();
        for (stamp, range) in fresh {
            // One that was listed twice is the same, or no longer has its stamp.
            if seen.insert(Key::of(&stamp)) {
                writing.add(&stamp, entries.get(range).unwrap_or_default(), 0);
            }
        }
        let added = writing.bytes() - before;
        rest.iter().for_each(|record| writing.add(&record.stamp, record.entries, record.age));
        if added == 0 || added.saturating_mul(WORTH) < writing.bytes() {
            return None;
        }
        writing.write()
    }
}

/// An image that is being made.
#[derive(Debug, Default)]
struct Writing {
    records: Vec<(Key, [u8; RECORD_BYTES])>,
    entries: Vec<u8>,
}

impl Writing {
    const fn bytes(&self) -> usize {
        HEADER_BYTES + self.records.len() * RECORD_BYTES + self.entries.len()
    }

    fn add(&mut self, stamp: &Stamp, entries: &[u8], age: u8) {
        if self.bytes() + RECORD_BYTES + entries.len() > MAX_IMAGE_BYTES {
            return;
        }
        let begin = self.entries.len();
        self.entries.extend_from_slice(entries);
        self.records.push((Key::of(stamp), record(stamp, begin..begin + entries.len(), age)));
    }

    fn write(mut self) -> Option<Image> {
        self.records.sort_unstable_by_key(|(key, _)| *key);
        let count = u64::try_from(self.records.len()).ok()?;
        let mut head = Vec::with_capacity(HEADER_BYTES + self.records.len() * RECORD_BYTES);
        head.extend_from_slice(&MAGIC);
        head.extend_from_slice(&count.to_ne_bytes());
        self.records.iter().for_each(|(_, record)| head.extend_from_slice(record));
        sealed::seal(&[&head, &self.entries]).ok().map(Image)
    }
}

fn record(stamp: &Stamp, entries: Range<usize>, age: u8) -> [u8; RECORD_BYTES] {
    let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX).to_ne_bytes();
    let birth = stamp.directory.birth_ns;
    let mut record = [0; RECORD_BYTES];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        record[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(&stamp.directory.device.to_ne_bytes());
    put(&stamp.directory.inode.to_ne_bytes());
    put(&stamp.mount.to_ne_bytes());
    put(&birth.unwrap_or_default().to_ne_bytes());
    for time in [stamp.changed, stamp.modified] {
        put(&time.seconds.to_ne_bytes());
        put(&u64::from(time.nanoseconds).to_ne_bytes());
    }
    put(&place(entries.start));
    put(&place(entries.end));
    put(&[u8::from(birth.is_some()), age]);
    record
}

/// One directory of an image.
#[derive(Debug, Clone, Copy)]
struct Record<'i> {
    stamp: Stamp,
    entries: &'i [u8],
    age: u8,
}

/// The contents of an image.
#[derive(Debug)]
pub(super) struct Contents {
    memory: Rc<Mapped>,
    records: Range<usize>,
}

impl Contents {
    fn of(memory: Mapped) -> Option<Self> {
        let bytes = memory.bytes();
        let head = bytes.get(..HEADER_BYTES)?;
        let count = usize::try_from(number(head, 8)?).ok()?;
        let end = count.checked_mul(RECORD_BYTES)?.checked_add(HEADER_BYTES)?;
        let is_whole = head.starts_with(&MAGIC) && end <= bytes.len();
        is_whole.then(|| Self { memory: Rc::new(memory), records: HEADER_BYTES..end })
    }

    pub(super) const fn len(&self) -> usize {
        (self.records.end - self.records.start) / RECORD_BYTES
    }

    fn bytes(&self, place: usize) -> Option<&[u8]> {
        let begin = self.records.start + place * RECORD_BYTES;
        self.memory.bytes().get(begin..begin + RECORD_BYTES)
    }

    fn key(&self, place: usize) -> Option<Key> {
        let record = self.bytes(place)?;
        Some(Key { device: number(record, 0)?, inode: number(record, 8)?, mount: number(record, 16)? })
    }

    fn range(&self, place: usize) -> Option<Range<usize>> {
        let record = self.bytes(place)?;
        let at = |at: usize| {
            let offset = u32::from_ne_bytes(record.get(at..at + 4)?.try_into().ok()?);
            usize::try_from(offset).ok()?.checked_add(self.records.end)
        };
        Some(at(64)?..at(68)?)
    }

    fn record(&self, place: usize) -> Option<Record<'_>> {
        let (record, key) = (self.bytes(place)?, self.key(place)?);
        let signed = |at: usize| number(record, at).map(u64::cast_signed);
        let nanoseconds = |at: usize| number(record, at).and_then(|ns| u32::try_from(ns).ok());
        let time = |at: usize| Some(Time { seconds: signed(at)?, nanoseconds: nanoseconds(at + 8)? });
        let birth_ns = if *record.get(72)? == 0 { None } else { Some(signed(24)?) };
        let directory = FileId { device: key.device, inode: key.inode, birth_ns };
        let stamp = Stamp { directory, mount: key.mount, changed: time(32)?, modified: time(48)? };
        let entries = self.memory.bytes().get(self.range(place)?)?;
        Some(Record { stamp, entries, age: *record.get(73)? })
    }

    /// All records with their places.
    fn records(&self) -> impl Iterator<Item = (usize, Record<'_>)> {
        (0..self.len()).filter_map(|place| Some((place, self.record(place)?)))
    }

    /// What was kept under exactly this stamp, and its place.
    pub(super) fn find(&self, stamp: &Stamp) -> Option<(usize, Listing)> {
        let wanted = Key::of(stamp);
        let (mut first, mut end) = (0, self.len());
        while first < end {
            let middle = first + (end - first) / 2;
            if self.key(middle)? < wanted { first = middle + 1 } else { end = middle }
        }
        let record = self.record(first).filter(|record| record.stamp == *stamp)?;
        let entries = self.range(first)?;
        debug_assert_eq!(record.entries.len(), entries.len());
        Some((first, Listing { memory: Rc::clone(&self.memory), entries }))
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// What one directory holds.
#[derive(Debug)]
pub(in crate::survey) struct Listing {
    memory: Rc<Mapped>,
    entries: Range<usize>,
}

impl Listing {
    pub(in crate::survey) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut rest = self.memory.bytes().get(self.entries.clone()).unwrap_or_default();
        std::iter::from_fn(move || {
            let (entry, behind) = split(rest)?;
            rest = behind;
            Some(entry)
        })
    }
}

/// Appends an entry to a listing.
pub(super) fn append(entries: &mut Vec<u8>, entry: &Entry<'_>) {
    entries.extend_from_slice(&entry.inode.to_ne_bytes());
    entries.push(to_byte(entry.file_type));
    entries.extend_from_slice(entry.name.to_bytes_with_nul());
}

fn split(bytes: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let (head, rest) = bytes.split_at_checked(ENTRY_BYTES)?;
    let name = CStr::from_bytes_until_nul(rest).ok()?;
    let entry = Entry { name, file_type: from_byte(head[8]), inode: number(head, 0)? };
    Some((entry, rest.get(name.count_bytes() + 1..)?))
}

const fn to_byte(file_type: FileType) -> u8 {
    match file_type {
        FileType::Directory => 1,
        FileType::File => 2,
        FileType::Symlink => 3,
        FileType::Fifo => 4,
        FileType::Socket => 5,
        FileType::Device => 6,
        FileType::Untold => 0,
    }
}

const fn from_byte(byte: u8) -> FileType {
    match byte {
        1 => FileType::Directory,
        2 => FileType::File,
        3 => FileType::Symlink,
        4 => FileType::Fifo,
        5 => FileType::Socket,
        6 => FileType::Device,
        _ => FileType::Untold,
    }
}
