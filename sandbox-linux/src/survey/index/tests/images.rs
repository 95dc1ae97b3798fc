//! Images as they are written and read, also those that nobody wrote so.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::image::{self, Contents, Image, MAX_IMAGE_BYTES};
use crate::live::FileId;
use crate::sys::sealed;
use crate::sys::walk::{Entry, FileType, Stamp, Time};

/// A listing for a directory that is not there.
fn fabricated(inode: u64, bytes: usize) -> (Stamp, Vec<u8>) {
    let directory = FileId { device: 1, inode, birth_ns: inode.is_multiple_of(2).then_some(7) };
    let time = Time { seconds: 5, nanoseconds: 6 };
    let entry = Entry { name: c"name", file_type: FileType::Fifo, inode };
    let mut entries = Vec::new();
    while entries.len() < bytes {
        image::append(&mut entries, &entry);
    }
    (Stamp { directory, mount: 3, changed: time, modified: time }, entries)
}

fn image_of(made: &[(Stamp, Vec<u8>)], kept: Option<&Image>, used: &[u64]) -> Option<Image> {
    let kept = kept.map(|image| image.contents().unwrap());
    let place = |inode: &u64| Some(kept.as_ref()?.find(&fabricated(*inode, 0).0)?.0);
    let places: BTreeSet<usize> = used.iter().filter_map(place).collect();
    let used: Vec<bool> =
        (0..kept.as_ref().map_or(0, Contents::len)).map(|place| places.contains(&place)).collect();
    let mut entries = Vec::new();
    let mut ranges = Vec::new();
    for (stamp, own) in made {
        ranges.push((*stamp, entries.len()..entries.len() + own.len()));
        entries.extend_from_slice(own);
    }
    Image::of(&entries, ranges, kept.as_ref(), &used)
}

fn holds(image: &Image, inode: u64) -> bool {
    image.contents().unwrap().find(&fabricated(inode, 0).0).is_some()
}

#[test]
fn an_image_tells_what_was_put_into_it() {
    let made: Vec<_> = (0..100).rev().map(|inode| fabricated(inode, 20)).collect();
    let image = image_of(&made, None, &[]).unwrap();
    let contents = image.contents().unwrap();
    assert_eq!(contents.len(), 100);
    for (stamp, entries) in &made {
        let (_, listing) = contents.find(stamp).unwrap();
        let told: Vec<_> =
            listing.entries().map(|entry| (entry.name.to_owned(), entry.file_type, entry.inode)).collect();
        assert_eq!(
            told,
            vec![(c"name".to_owned(), FileType::Fifo, stamp.directory.inode); entries.len() / 14]
        );
        let later = Time { nanoseconds: 7, ..stamp.changed };
        let birth_ns = Some(8);
        let others = [
            Stamp { changed: later, ..*stamp },
            Stamp { modified: later, ..*stamp },
            Stamp { mount: 4, ..*stamp },
            Stamp { directory: FileId { birth_ns, ..stamp.directory }, ..*stamp },
            Stamp { directory: FileId { device: 2, ..stamp.directory }, ..*stamp },
        ];
        assert!(others.iter().all(|other| contents.find(other).is_none()));
    }
}

/// At the bound, what was of use stays, and what was not goes first.
#[test]
fn an_image_is_bounded() {
    let quarter = MAX_IMAGE_BYTES / 4;
    let first =
        image_of(&[fabricated(1, quarter), fabricated(2, quarter), fabricated(3, 100)], None, &[]).unwrap();
    let second = image_of(&[fabricated(4, quarter), fabricated(5, 100)], Some(&first), &[2]).unwrap();
    assert!(second.bytes() <= MAX_IMAGE_BYTES && holds(&second, 1) && holds(&second, 3));
    let third = image_of(&[fabricated(6, quarter)], Some(&second), &[2, 5, 4]).unwrap();
    assert!(third.bytes() <= MAX_IMAGE_BYTES);
    assert_eq!([1, 2, 3, 4, 5, 6].map(|inode| holds(&third, inode)), [false, true, true, true, true, true]);
    // Nothing is written where nothing finds room, or next to nothing is new.
    assert!(image_of(&[fabricated(7, 2 * quarter)], Some(&third), &[2, 4, 6]).is_none());
    assert!(image_of(&[fabricated(7, 100)], Some(&third), &[]).is_none());
}

#[test]
fn what_is_of_no_use_for_long_goes() {
    let mut image = image_of(&[fabricated(1, 100)], None, &[]).unwrap();
    for inode in 2..=9 {
        image = image_of(&[fabricated(inode, 100)], Some(&image), &[]).unwrap();
        assert!(holds(&image, 1), "{inode}");
    }
    image = image_of(&[fabricated(10, 100)], Some(&image), &[]).unwrap();
    assert!(!holds(&image, 1) && holds(&image, 2));
}

proptest! {
    /// Whatever stands in an image, reading it ends and stays inside of it.
    #[test]
    fn an_image_of_anything_is_read_to_its_end(
        noise in proptest::collection::vec(any::<u8>(), 1..300),
        changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 0..6),
    ) {
        let whole = image_of(&[fabricated(1, 50), fabricated(2, 50)], None, &[]).unwrap();
        let mut bytes = sealed::Mapped::of(whole.memory()).unwrap().bytes().to_vec();
        for (at, byte) in changes {
            let length = bytes.len();
            bytes[usize::from(at) % length] = byte;
        }
        for bytes in [noise, bytes] {
            let Some(image) = Image::accept(sealed::seal(&[&bytes]).unwrap()) else { continue };
            let Some(contents) = image.contents() else { continue };
            for inode in 0..3 {
                let listing = contents.find(&fabricated(inode, 0).0);
                let entries = listing.map_or(0, |(_, listing)| listing.entries().count());
                prop_assert!(entries < bytes.len());
            }
            drop(image_of(&[fabricated(3, 50)], Some(&image), &[1, 2]));
        }
    }
}
