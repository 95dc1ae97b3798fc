//! From verdicts to code: a preamble that fixes the ABI, then a balanced search over ranges of numbers.

use super::class::Verdict;
use super::rule::{Condition, Rule};
use crate::bpf::{Action, Arch, Assembler, Insn, Program, ProgramError, SeccompData, Test};

/// `__X32_SYSCALL_BIT`: marks x32 calls, which come under the same `AUDIT_ARCH` as x86-64 ones.
pub(crate) const X32_BIT: u32 = 0x4000_0000;

/// Verdicts for all numbers from `start` up to the next range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: u32,
    pub(crate) verdict: Verdict,
}

/// Builds the program. `ranges` are sorted and start at 0; `foreign` answers other architectures, `x32` the x32 ABI.
pub(crate) fn program(
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

/// The cases in order, then the answer when none holds.
fn by_arguments(rule: &Rule) -> Result<Vec<Insn>, ProgramError> {
    let cases: Vec<(&[Condition], Action)> =
        rule.cases.iter().map(|case| (case.when.as_slice(), case.then)).collect();
    let mut asm = Assembler::new();
    if !emit(&mut asm, &cases) {
        asm.answer(rule.otherwise);
    }
    asm.finish()
}

/// Emits cases; neighbours with the same first condition share its test. Runs on behind the code when none holds; true
/// when one always does.
fn emit(asm: &mut Assembler, mut cases: &[(&[Condition], Action)]) -> bool {
    // The word in the accumulator, unmasked, where that is certain.
    let mut loaded = None;
    while let Some(&(conditions, action)) = cases.first() {
        let Some(first) = conditions.first() else {
            asm.answer(action);
            return true;
        };
        let alike = cases.iter().take_while(|(other, _)| other.first() == Some(first)).count();
        let inner: Vec<(&[Condition], Action)> =
            cases[..alike].iter().map(|&(when, then)| (&when[1..], then)).collect();
        let (holds, next) = (asm.label(), asm.label());
        if loaded != Some(first.offset) {
            asm.load(first.offset);
        }
        if first.mask != u32::MAX {
            asm.and(first.mask);
        }
        asm.branch(Test::Equal, first.value, holds, next);
        asm.bind(holds);
        let decided = emit(asm, &inner);
        asm.bind(next);
        // Only the failed test leads here, and it left the word as it was loaded.
        loaded = (decided && first.mask == u32::MAX).then_some(first.offset);
        cases = &cases[alike..];
    }
    false
}
