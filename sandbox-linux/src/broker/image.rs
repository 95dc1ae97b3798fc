//! What the kernel opens besides a program's file when that is executed: a script's interpreter, a program's loader.
//!
//! Pure: read from the file's first bytes, as far as they tell (execve(2), elf(5)).

/// Bytes of a file that are looked at: headers and the loader's name lie in the first page of nearly every program.
pub const HEAD_BYTES: usize = 4_096;
/// Interpreters of interpreters that the kernel follows (`exec_binprm`).
pub(crate) const MAX_INTERPRETERS: usize = 5;
/// Bytes of a script's first line that the kernel reads (`BINPRM_BUF_SIZE`).
const LINE_BYTES: usize = 256;

/// `ELFCLASS64`, `ELFDATA2LSB` behind the mark: programs of this machine.
const ELF: [u8; 6] = [0x7f, b'E', b'L', b'F', 2, 1];
/// Where an ELF header tells of the program headers: offset, size of each, count.
const HEADERS_AT: usize = 32;
const HEADER_SIZE_AT: usize = 54;
const HEADER_COUNT_AT: usize = 56;
/// `PT_INTERP`, and where such a header tells offset and length.
const INTERPRETER: u32 = 3;
const OFFSET_AT: usize = 8;
const LENGTH_AT: usize = 32;

/// The program that the kernel opens with this one, by the path that stands in it; `head` is the file's first bytes.
#[must_use]
pub fn interpreter(head: &[u8]) -> Option<&[u8]> {
    if head.starts_with(b"#!") { of_script(head) } else { of_elf(head) }
}

fn of_script(head: &[u8]) -> Option<&[u8]> {
    let line = head.get(2..head.len().min(LINE_BYTES))?.split(|byte| *byte == b'\n').next()?;
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | 0);
    line.split(blank).find(|word| !word.is_empty())
}

fn of_elf(head: &[u8]) -> Option<&[u8]> {
    if !head.starts_with(&ELF) {
        return None;
    }
    let start = usize::try_from(long(head, HEADERS_AT)?).ok()?;
    let (size, count) =
        (usize::from(short(head, HEADER_SIZE_AT)?), usize::from(short(head, HEADER_COUNT_AT)?));
    let headers = (0..count).filter_map(|index| head.get(start.checked_add(index * size)?..));
    let header = headers.into_iter().find(|header| int(header, 0) == Some(INTERPRETER))?;
    let offset = usize::try_from(long(header, OFFSET_AT)?).ok()?;
    let length = usize::try_from(long(header, LENGTH_AT)?).ok()?;
    let name = head.get(offset..offset.checked_add(length)?)?;
    name.split(|byte| *byte == 0).next().filter(|name| !name.is_empty())
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_le_bytes)
}

fn int(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(name: &[u8]) -> Vec<u8> {
        let mut head = [0; 64 + 56];
        head[..ELF.len()].copy_from_slice(&ELF);
        head[HEADERS_AT] = 64;
        head[HEADER_SIZE_AT] = 56;
        head[HEADER_COUNT_AT] = 1;
        head[64] = 3;
        head[64 + OFFSET_AT] = 120;
        head[64 + LENGTH_AT] = u8::try_from(name.len()).unwrap();
        [&head[..], name].concat()
    }

    #[test]
    fn interpreters_are_found_as_the_kernel_finds_them() {
        let cases: [(&[u8], Option<&[u8]>); 7] = [
            (b"#!/bin/sh\n", Some(b"/bin/sh")),
            (b"#! \t/usr/bin/env  python3\nrest", Some(b"/usr/bin/env")),
            (b"#!", None),
            (b"#!\n/bin/sh", None),
            (b"text", None),
            (&elf(b"/lib64/ld.so\0"), Some(b"/lib64/ld.so")),
            (&elf(b"\0"), None),
        ];
        for (head, want) in cases {
            assert_eq!(interpreter(head), want, "{head:?}");
        }
        let whole = elf(b"/lib64/ld.so\0");
        for end in 0..whole.len() {
            assert_eq!(interpreter(&whole[..end]), None, "cut at {end}");
        }
        let own = std::fs::read("/proc/self/exe").unwrap();
        let found = interpreter(&own[..HEAD_BYTES.min(own.len())]);
        assert!(found.is_none_or(|path| path.starts_with(b"/")), "{found:?}");
    }
}
