//! From verdicts to code: a preamble that fixes the ABI, then a balanced search over ranges of numbers.

use super::class::Verdict;
use super::rule::Rule;
use crate::bpf::{Action, Arch, Assembler, Insn, Program, ProgramError, SeccompData, Test};

/// `__X32_SYSCALL_BIT`: marks x32 calls, which come under the same `AUDIT_ARCH` as x86-64 ones.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// Verdicts for all numbers from `start` up to the next range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: u32,
    pub(super) verdict: Verdict,
}

/// Builds the program. `ranges` are sorted and start at 0; `foreign` answers other architectures, `x32` the x32 ABI.
pub(super) fn program(
    arch: Arch,
    ranges: &[Range],
    foreign: Action,
    x32: Action,
) -> Result<Program, ProgramError> {
    let mut asm = Assembler::new();
    let (native, other) = (asm.label(), asm.label());
    asm.load(SeccompData::ARCH);
    asm.branch(Test::Equal, arch.audit(), native, other);
    asm.bind(other);
    asm.answer(foreign);
    asm.bind(native);
    asm.load(SeccompData::NR);
    if arch == Arch::X86_64 {
        let (foreign_number, native_number) = (asm.label(), asm.label());
        asm.branch(Test::AtLeast, X32_BIT, foreign_number, native_number);
        asm.bind(foreign_number);
        asm.answer(x32);
        asm.bind(native_number);
    }
    asm.append(&search(ranges)?);
    Program::new(asm.finish()?)
}

/// Halves the ranges until one is left. Depth is the logarithm of their number.
fn search(ranges: &[Range]) -> Result<Vec<Insn>, ProgramError> {
    let half = ranges.len() / 2;
    let (Some(pivot), true) = (ranges.get(half), half > 0) else {
        return ranges.first().map_or(Err(ProgramError::Empty), |range| verdict(&range.verdict));
    };
    let below = search(&ranges[..half])?;
    let above = search(&ranges[half..])?;
    let mut asm = Assembler::new();
    let (low, high) = (asm.label(), asm.label());
    if below.len() > usize::from(u8::MAX) {
        // Too far for a conditional jump: hop over an unconditional one.
        let hop = asm.label();
        asm.branch(Test::AtLeast, pivot.start, hop, low);
        asm.bind(hop);
        asm.goto(high);
    } else {
        asm.branch(Test::AtLeast, pivot.start, high, low);
    }
    asm.bind(low);
    asm.append(&below);
    asm.bind(high);
    asm.append(&above);
    asm.finish()
}

fn verdict(verdict: &Verdict) -> Result<Vec<Insn>, ProgramError> {
    match verdict {
        Verdict::Always(action) => {
            let mut asm = Assembler::new();
            asm.answer(*action);
            asm.finish()
        }
        Verdict::ByArguments(rule) => by_arguments(rule),
    }
}

/// The cases one after the other; a condition that fails goes on to the next case.
fn by_arguments(rule: &Rule) -> Result<Vec<Insn>, ProgramError> {
    let mut asm = Assembler::new();
    // The word the accumulator holds unmasked at the start of the next case, when that is certain.
    let mut loaded = None;
    for case in &rule.cases {
        let next_case = asm.label();
        let mut first = true;
        for condition in &case.when {
            if !first || loaded != Some(condition.offset) {
                asm.load(condition.offset);
            }
            // A failed later condition leaves another word behind, so the next case must load again.
            loaded = (case.when.len() == 1 && condition.mask == u32::MAX).then_some(condition.offset);
            if condition.mask != u32::MAX {
                asm.and(condition.mask);
            }
            let next_condition = asm.label();
            asm.branch(Test::Equal, condition.value, next_condition, next_case);
            asm.bind(next_condition);
            first = false;
        }
        asm.answer(case.then);
        asm.bind(next_case);
    }
    asm.answer(rule.otherwise);
    asm.finish()
}
