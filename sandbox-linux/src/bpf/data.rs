//! `struct seccomp_data`: what a filter sees of a call.

use std::fmt;

/// The architectures Weir compiles filters for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arch {
    /// x86-64.
    X86_64,
    /// 64-bit Arm.
    Aarch64,
}

impl Arch {
    /// Every architecture, for tests and listings.
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// The `AUDIT_ARCH_*` value of its 64-bit calls (`linux/audit.h`).
    #[must_use]
    pub const fn audit(self) -> u32 {
        match self {
            Self::X86_64 => 0xc000_003e,
            Self::Aarch64 => 0xc000_00b7,
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        })
    }
}

/// Which 32 bits of an argument; both architectures are little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// Bits 0 to 31.
    Low,
    /// Bits 32 to 63.
    High,
}

/// One call as the kernel shows it to a filter (`linux/seccomp.h`); 64 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SeccompData {
    /// The number, as the entry code saw it.
    pub nr: u32,
    /// `AUDIT_ARCH_*` of the entry.
    pub arch: u32,
    /// Where the call was made.
    pub instruction_pointer: u64,
    /// All six argument registers.
    pub args: [u64; 6],
}

impl SeccompData {
    /// Offset of the number.
    pub const NR: u32 = 0;
    /// Offset of the architecture.
    pub const ARCH: u32 = 4;
    /// Size in bytes.
    pub const SIZE: u32 = 64;
    const ARGS: u32 = 16;

    /// Offset of one half of argument `index`.
    #[must_use]
    pub const fn arg(index: u8, half: Half) -> u32 {
        let low = Self::ARGS + index as u32 * 8;
        match half {
            Half::Low => low,
            Half::High => low + 4,
        }
    }

    /// The aligned word at `offset`, or nothing when there is none.
    #[must_use]
    pub fn word(&self, offset: u32) -> Option<u32> {
        if offset >= Self::SIZE || !offset.is_multiple_of(4) {
            return None;
        }
        let half = if offset.is_multiple_of(8) { Half::Low } else { Half::High };
        match offset {
            Self::NR => Some(self.nr),
            Self::ARCH => Some(self.arch),
            8 | 12 => Some(part(self.instruction_pointer, half)),
            _ => {
                let index = usize::try_from((offset - Self::ARGS) / 8).ok()?;
                self.args.get(index).map(|&arg| part(arg, half))
            }
        }
    }
}

/// One half of a register.
fn part(value: u64, half: Half) -> u32 {
    let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
    match half {
        Half::Low => u32::from_le_bytes([a, b, c, d]),
        Half::High => u32::from_le_bytes([e, f, g, h]),
    }
}
