//! The checker and the evaluator: the kernel's rules for a filter, and its verdict on one call.

use super::{Action, BPF_MAXINSNS, Insn, Op, ProgramError, SeccompData};

/// A verdict and what it cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evaluation {
    /// The verdict.
    pub action: Action,
    /// Instructions run.
    pub steps: usize,
}

/// Checks what the kernel checks before it takes a program: length, opcodes, loads, jumps, and a return at the end.
///
/// # Errors
/// The first defect found.
pub fn verify(insns: &[Insn]) -> Result<(), ProgramError> {
    check_length(insns)?;
    for (at, insn) in insns.iter().enumerate() {
        match insn.decode(at)? {
            Op::Load(offset) => {
                if SeccompData::default().word(offset).is_none() {
                    return Err(ProgramError::Load { at, offset });
                }
            }
            Op::Goto(skip) => {
                target(insns, at, skip)?;
            }
            Op::Branch { jt, jf, .. } => {
                target(insns, at, u32::from(jt))?;
                target(insns, at, u32::from(jf))?;
            }
            Op::And(_) | Op::Return(_) => {}
        }
    }
    let last = insns.len() - 1;
    match insns[last].decode(last)? {
        Op::Return(_) => Ok(()),
        _ => Err(ProgramError::NoReturn),
    }
}

/// Runs instructions on one call. Every rule is checked again on the way, so raw instructions may be given.
///
/// # Errors
/// The defect met on the path that was taken.
pub fn evaluate(insns: &[Insn], data: &SeccompData) -> Result<Evaluation, ProgramError> {
    check_length(insns)?;
    let mut accumulator = 0;
    let mut at = 0;
    // Jumps only go forward, so no instruction runs twice.
    for steps in 1..=insns.len() {
        let insn = insns.get(at).ok_or(ProgramError::NoReturn)?;
        at = match insn.decode(at)? {
            Op::Load(offset) => {
                accumulator = data.word(offset).ok_or(ProgramError::Load { at, offset })?;
                at + 1
            }
            Op::And(mask) => {
                accumulator &= mask;
                at + 1
            }
            Op::Goto(skip) => target(insns, at, skip)?,
            Op::Branch { test, k, jt, jf } => {
                let skip = if test.holds(accumulator, k) { jt } else { jf };
                target(insns, at, u32::from(skip))?
            }
            Op::Return(value) => return Ok(Evaluation { action: Action::decode(value), steps }),
        };
    }
    Err(ProgramError::NoReturn)
}

fn check_length(insns: &[Insn]) -> Result<(), ProgramError> {
    match insns.len() {
        0 => Err(ProgramError::Empty),
        len if len > BPF_MAXINSNS => Err(ProgramError::TooLong { len }),
        _ => Ok(()),
    }
}

/// The index reached from `at` by skipping `skip` instructions.
fn target(insns: &[Insn], at: usize, skip: u32) -> Result<usize, ProgramError> {
    usize::try_from(skip)
        .ok()
        .and_then(|skip| at.checked_add(1)?.checked_add(skip))
        .filter(|&to| to < insns.len())
        .ok_or(ProgramError::JumpOutOfRange { at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::{Errno, Test};

    const RET: Insn = Insn::new(Op::Return(0x7fff_0000));

    fn branch(jt: u8, jf: u8) -> Insn {
        Insn::new(Op::Branch { test: Test::Equal, k: 0, jt, jf })
    }

    #[test]
    fn defects_are_named() {
        let over = vec![RET; BPF_MAXINSNS + 1];
        let cases: Vec<(Vec<Insn>, ProgramError)> = vec![
            (vec![], ProgramError::Empty),
            (over, ProgramError::TooLong { len: BPF_MAXINSNS + 1 }),
            (vec![Insn { code: 0x28, jt: 0, jf: 0, k: 0 }, RET], ProgramError::Opcode { at: 0, code: 0x28 }),
            (vec![Insn::new(Op::Load(2)), RET], ProgramError::Load { at: 0, offset: 2 }),
            (vec![Insn::new(Op::Load(64)), RET], ProgramError::Load { at: 0, offset: 64 }),
            (vec![branch(1, 0), RET], ProgramError::JumpOutOfRange { at: 0 }),
            (vec![branch(0, 1), RET], ProgramError::JumpOutOfRange { at: 0 }),
            (vec![Insn::new(Op::Goto(u32::MAX)), RET], ProgramError::JumpOutOfRange { at: 0 }),
            (vec![RET, Insn::new(Op::And(0))], ProgramError::NoReturn),
        ];
        for (insns, want) in cases {
            assert_eq!(verify(&insns), Err(want), "{insns:?}");
        }
        assert_eq!(verify(&vec![RET; BPF_MAXINSNS]), Ok(()));
    }

    #[test]
    fn evaluation_meets_the_same_defects() {
        let data = SeccompData { nr: 1, ..SeccompData::default() };
        let load = Insn::new(Op::Load(SeccompData::NR));
        let cases = [
            (vec![], ProgramError::Empty),
            (vec![load], ProgramError::NoReturn),
            (vec![load, branch(0, 1), RET], ProgramError::JumpOutOfRange { at: 1 }),
            (vec![Insn::new(Op::Load(66)), RET], ProgramError::Load { at: 0, offset: 66 }),
            (vec![Insn { code: 0, jt: 0, jf: 0, k: 0 }, RET], ProgramError::Opcode { at: 0, code: 0 }),
        ];
        for (insns, want) in cases {
            assert_eq!(evaluate(&insns, &data), Err(want), "{insns:?}");
        }
    }

    #[test]
    fn words_are_the_kernels_layout() {
        let data = SeccompData {
            nr: 1,
            arch: 2,
            instruction_pointer: 0x4_0000_0003,
            args: [0x6_0000_0005, 0x8_0000_0007, 0xa_0000_0009, 0xc_0000_000b, 0xe_0000_000d, 0x10_0000_000f],
        };
        let words: Vec<Option<u32>> = (0..68).step_by(4).map(|offset| data.word(offset)).collect();
        let want: Vec<Option<u32>> = (1..17).map(Some).chain([None]).collect();
        assert_eq!(words, want);
    }

    #[test]
    fn actions_survive_encoding() {
        let all = [
            Action::Allow,
            Action::Log,
            Action::Errno(Errno::EPERM),
            Action::Trap(7),
            Action::Trace(9),
            Action::Notify,
            Action::KillThread,
            Action::KillProcess,
        ];
        for action in all {
            assert_eq!(Action::decode(action.encode()), action);
        }
        assert_eq!(Action::decode(0x1234_0000), Action::KillProcess);
    }
}
