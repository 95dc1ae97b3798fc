//! One instruction: the kernel's encoding and what it means.

use super::ProgramError;

/// `BPF_LD | BPF_W | BPF_ABS`: the accumulator becomes the word at offset `k`.
const LOAD: u16 = 0x20;
/// `BPF_ALU | BPF_AND | BPF_K`.
const AND: u16 = 0x54;
/// `BPF_JMP | BPF_JA`.
const GOTO: u16 = 0x05;
/// `BPF_JMP | BPF_JEQ | BPF_K`.
const EQUAL: u16 = 0x15;
/// `BPF_JMP | BPF_JGT | BPF_K`.
const GREATER: u16 = 0x25;
/// `BPF_JMP | BPF_JGE | BPF_K`.
const AT_LEAST: u16 = 0x35;
/// `BPF_JMP | BPF_JSET | BPF_K`.
const ANY_BIT: u16 = 0x45;
/// `BPF_RET | BPF_K`.
const RETURN: u16 = 0x06;

/// An instruction as the kernel reads it: the layout of `struct sock_filter` (`linux/filter.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Insn {
    /// Class, size and mode.
    pub code: u16,
    /// Instructions to skip when a test holds.
    pub jt: u8,
    /// Instructions to skip when it does not.
    pub jf: u8,
    /// The constant.
    pub k: u32,
}

/// How a branch compares the accumulator with its constant; unsigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// Equal.
    Equal,
    /// Greater.
    Greater,
    /// Greater or equal.
    AtLeast,
    /// At least one bit in common.
    AnyBit,
}

impl Test {
    /// Whether the test holds for `value`.
    #[must_use]
    pub const fn holds(self, value: u32, k: u32) -> bool {
        match self {
            Self::Equal => value == k,
            Self::Greater => value > k,
            Self::AtLeast => value >= k,
            Self::AnyBit => value & k != 0,
        }
    }

    const fn code(self) -> u16 {
        match self {
            Self::Equal => EQUAL,
            Self::Greater => GREATER,
            Self::AtLeast => AT_LEAST,
            Self::AnyBit => ANY_BIT,
        }
    }
}

/// What an instruction does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Loads the word at this byte offset of `seccomp_data`.
    Load(u32),
    /// Keeps these bits of the accumulator.
    And(u32),
    /// Skips this many instructions.
    Goto(u32),
    /// Skips `jt` instructions when the test holds, `jf` otherwise.
    Branch {
        /// The comparison.
        test: Test,
        /// Its constant.
        k: u32,
        /// Skipped when it holds.
        jt: u8,
        /// Skipped when it does not.
        jf: u8,
    },
    /// Ends with this value, an encoded [`super::Action`].
    Return(u32),
}

impl Insn {
    /// Encodes an operation.
    #[must_use]
    pub const fn new(op: Op) -> Self {
        match op {
            Op::Load(k) => Self { code: LOAD, jt: 0, jf: 0, k },
            Op::And(k) => Self { code: AND, jt: 0, jf: 0, k },
            Op::Goto(k) => Self { code: GOTO, jt: 0, jf: 0, k },
            Op::Branch { test, k, jt, jf } => Self { code: test.code(), jt, jf, k },
            Op::Return(k) => Self { code: RETURN, jt: 0, jf: 0, k },
        }
    }

    /// Decodes the instruction that stands at index `at`.
    ///
    /// # Errors
    /// [`ProgramError::Opcode`] for any other opcode.
    pub const fn decode(self, at: usize) -> Result<Op, ProgramError> {
        let Self { code, jt, jf, k } = self;
        let test = match code {
            LOAD => return Ok(Op::Load(k)),
            AND => return Ok(Op::And(k)),
            GOTO => return Ok(Op::Goto(k)),
            RETURN => return Ok(Op::Return(k)),
            EQUAL => Test::Equal,
            GREATER => Test::Greater,
            AT_LEAST => Test::AtLeast,
            ANY_BIT => Test::AnyBit,
            _ => return Err(ProgramError::Opcode { at, code }),
        };
        Ok(Op::Branch { test, k, jt, jf })
    }
}
