//! Classic BPF as seccomp takes it: instructions, an assembler, a listing and an evaluator.
//!
//! Pure: no system call, no architecture of the machine it runs on. It must never hand out a [`Program`] that the
//! kernel's own checker (`bpf_check_classic` and `seccomp_check_filter`) would refuse. Called by the filter compiler
//! (`seccomp`), by `prepare`, which passes the instructions to the kernel, and by tests, which run them.
//!
//! Only the five instruction classes that a filter over [`SeccompData`] needs are known here: load a word, mask it,
//! branch on a constant, jump, return. All of them are also known to the kernel's constant-action cache, so a call whose
//! verdict depends on the number alone costs a bit test and runs no filter (Linux 5.11, `seccomp_cache_prepare`).

mod action;
mod assemble;
mod data;
mod evaluate;
mod insn;
mod listing;

pub use action::{Action, Errno};
pub use assemble::{Assembler, Label};
pub use data::{Arch, Half, SeccompData};
pub use evaluate::{Evaluation, evaluate, verify};
pub use insn::{Insn, Op, Test};

/// Most instructions the kernel accepts in one program (`linux/bpf_common.h`).
pub const BPF_MAXINSNS: usize = 4096;

/// Why instructions do not form a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// No instruction at all.
    #[error("the program is empty")]
    Empty,
    /// More instructions than the kernel takes.
    #[error("the program has {len} instructions, the kernel takes {BPF_MAXINSNS}")]
    TooLong {
        /// Number of instructions.
        len: usize,
    },
    /// An opcode outside the known set.
    #[error("instruction {at}: opcode {code:#06x} is not one of the filter's")]
    Opcode {
        /// Index of the instruction.
        at: usize,
        /// The opcode found.
        code: u16,
    },
    /// A load that is not one aligned word of `struct seccomp_data`.
    #[error("instruction {at}: load at offset {offset} is not an aligned word of seccomp_data")]
    Load {
        /// Index of the instruction.
        at: usize,
        /// Byte offset that was asked for.
        offset: u32,
    },
    /// A jump past the last instruction.
    #[error("instruction {at}: jump out of range")]
    JumpOutOfRange {
        /// Index of the instruction.
        at: usize,
    },
    /// A conditional jump longer than its eight bits.
    #[error("instruction {at}: a conditional jump over {distance} instructions does not fit in 8 bits")]
    JumpTooFar {
        /// Index of the instruction.
        at: usize,
        /// Instructions to skip.
        distance: usize,
    },
    /// A jump to a label that lies before it; classic BPF only jumps forward.
    #[error("instruction {at}: jump backwards")]
    JumpBackwards {
        /// Index of the instruction.
        at: usize,
    },
    /// A jump to a label that was never bound.
    #[error("instruction {at}: jump to a label that is bound nowhere")]
    LabelUnbound {
        /// Index of the instruction.
        at: usize,
    },
    /// The last instruction is not a return.
    #[error("the program does not end with a return")]
    NoReturn,
}

/// Instructions that the kernel will accept, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    insns: Vec<Insn>,
}

impl Program {
    /// Takes instructions that pass [`verify`].
    ///
    /// # Errors
    /// The first defect found.
    pub fn new(insns: Vec<Insn>) -> Result<Self, ProgramError> {
        verify(&insns)?;
        Ok(Self { insns })
    }

    /// The instructions, laid out as `struct sock_filter`.
    #[must_use]
    pub fn insns(&self) -> &[Insn] {
        &self.insns
    }

    /// Runs the program on one call.
    ///
    /// # Errors
    /// None for a program made by [`Program::new`]; the type keeps the evaluator free of assumptions.
    pub fn evaluate(&self, data: &SeccompData) -> Result<Evaluation, ProgramError> {
        evaluate(&self.insns, data)
    }

    /// One line per instruction; `name` tells the name of a system call number where there is one.
    #[must_use]
    pub fn listing(&self, name: &dyn Fn(u32) -> Option<&'static str>) -> String {
        listing::listing(&self.insns, name)
    }
}
