//! What must hold of output that is kept for whoever comes back, at whatever offset. Called by the fuzz target and, over the corpus, by
//! `tests/tests/corpus.rs`.

use std::io;

use weir_exec_server::serve::journal::{Found, Journal, MEMORY_BYTES};
use weir_protocol::method::output::{Keep, Overflow};

/// Most bytes that one input may write: some more than memory holds, so that disk is tried as well.
const MAX_BYTES: u64 = 4 * MEMORY_BYTES;

/// Bytes that a step of an input stands for.
const STEP_BYTES: u64 = 5003;

/// Most that is read at once.
const MOST: usize = 70_001;

/// The first byte says what is kept; each pair behind it writes, lets go, comes back, or ends. Whoever comes back gets the bytes that
/// were written, at their offsets, or hears of a gap; nothing that was not let go of is missing but where head and tail were
/// asked for; the digest is that of everything.
pub(crate) fn run(data: &[u8]) {
    let Some((kind, steps)) = data.split_first() else { return };
    let keep = if kind & 1 == 0 { Keep::Unread } else { Keep::All };
    let head = u64::from(kind >> 3) * 997;
    let overflow =
        if kind & 2 == 0 { Overflow::Wait } else { Overflow::HeadAndTail { head, tail: 2 * head } };
    let disk = kind & 4 == 0;
    let (mut journal, mut all, mut ended) = (Journal::new(keep, overflow), Vec::new(), false);
    for step in steps.as_chunks::<2>().0 {
        let [act, amount] = [step[0] % 8, step[1]];
        let amount = u64::from(amount) * STEP_BYTES / 16;
        match act {
            0..4 if !ended && journal.written() + amount <= MAX_BYTES && journal.has_room() && amount > 0 => {
                let piece: Vec<u8> = (journal.written()..journal.written() + amount).map(byte).collect();
                all.extend_from_slice(&piece);
                journal.append(piece.into(), || {
                    if disk { tempfile::tempfile() } else { Err(io::ErrorKind::StorageFull.into()) }
                });
            }
            4 => journal.release(amount * 16),
            5 => _ = come_back(&journal, amount * 16, ended),
            6 => _ = come_back(&journal, u64::MAX - amount, ended),
            7 if amount > 300 => {
                journal.end();
                ended = true;
            }
            _ => {}
        }
        assert_eq!((journal.written(), journal.has_ended()), (all.len() as u64, ended));
        assert!(journal.first() <= journal.written() && (keep == Keep::Unread || journal.first() == 0));
    }
    let missing = come_back(&journal, 0, ended);
    assert_eq!(journal.digest(), blake3::hash(&all).to_hex().to_string());
    let tail = matches!(overflow, Overflow::HeadAndTail { .. });
    assert!(tail || missing == 0);
}

/// The byte at an offset, which no other offset near has.
fn byte(offset: u64) -> u8 {
    u8::try_from(offset % 251).unwrap_or_default()
}

/// Returns how many bytes are missing.
fn come_back(journal: &Journal, from: u64, ended: bool) -> u64 {
    let mut at = journal.start(from);
    let mut missing = 0;
    loop {
        match journal.read(at, MOST) {
            Ok(Found::Bytes(bytes)) => {
                assert!(!bytes.is_empty() && bytes.len() <= MOST);
                assert!((at..).zip(&bytes).all(|(offset, found)| byte(offset) == *found), "at {at}");
                at += bytes.len() as u64;
            }
            Ok(Found::Gap(to)) => {
                assert!(to > at && to <= journal.written());
                missing += to - at;
                at = to;
            }
            Ok(found) => {
                assert_eq!(found, if ended { Found::End } else { Found::Later });
                break;
            }
            Err(error) => panic!("what was kept cannot be read: {error}"),
        }
    }
    assert_eq!(at, journal.written());
    missing
}
