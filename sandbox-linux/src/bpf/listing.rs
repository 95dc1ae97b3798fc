//! The text form of a program: one line per instruction, with absolute targets and names where they are known.

use std::fmt::Write as _;

use super::{Action, Arch, Insn, Op, SeccompData, Test};

/// What the accumulator holds when an instruction is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// A whole word of `seccomp_data`, by offset.
    Word(u32),
    /// Anything else, or different things on different ways here.
    Mixed,
}

/// Writes the listing; see [`super::Program::listing`].
pub(super) fn listing(insns: &[Insn], name: &dyn Fn(u32) -> Option<&'static str>) -> String {
    let sources = sources(insns);
    let mut text = String::new();
    for (at, insn) in insns.iter().enumerate() {
        let line = match insn.decode(at) {
            Ok(op) => describe(at, op, sources.get(at).copied().flatten(), name),
            Err(defect) => defect.to_string(),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{at:4}  {line}");
    }
    text
}

fn describe(at: usize, op: Op, source: Option<Source>, name: &dyn Fn(u32) -> Option<&'static str>) -> String {
    match op {
        Op::Load(offset) => format!("load   {}", word_name(offset)),
        Op::And(mask) => format!("and    {mask:#x}"),
        Op::Goto(skip) => format!("goto   {}", at as u64 + 1 + u64::from(skip)),
        Op::Return(value) => format!("return {}", Action::decode(value)),
        Op::Branch { test, k, jt, jf } => {
            let sign = match test {
                Test::Equal => "==",
                Test::Greater => ">",
                Test::AtLeast => ">=",
                Test::AnyBit => "&",
            };
            let constant = constant(k, source, name);
            let (then, otherwise) = (at + 1 + usize::from(jt), at + 1 + usize::from(jf));
            format!("if     {sign} {constant} then {then} else {otherwise}")
        }
    }
}

/// A constant in the terms of what it is compared with.
fn constant(k: u32, source: Option<Source>, name: &dyn Fn(u32) -> Option<&'static str>) -> String {
    match source {
        Some(Source::Word(SeccompData::NR)) => match name(k) {
            Some(name) => format!("{k} ({name})"),
            None => format!("{k:#x}"),
        },
        Some(Source::Word(SeccompData::ARCH)) => match Arch::ALL.into_iter().find(|arch| arch.audit() == k) {
            Some(arch) => format!("{k:#x} ({arch})"),
            None => format!("{k:#x}"),
        },
        _ => format!("{k:#x}"),
    }
}

fn word_name(offset: u32) -> String {
    match offset {
        SeccompData::NR => "nr".to_owned(),
        SeccompData::ARCH => "arch".to_owned(),
        8 => "ip.low".to_owned(),
        12 => "ip.high".to_owned(),
        _ => {
            let half = if offset.is_multiple_of(8) { "low" } else { "high" };
            format!("arg{}.{half}", offset.wrapping_sub(16) / 8)
        }
    }
}

/// Follows the accumulator forward through the program; nothing for code that is never reached.
fn sources(insns: &[Insn]) -> Vec<Option<Source>> {
    let mut found: Vec<Option<Source>> = vec![None; insns.len()];
    if let Some(first) = found.first_mut() {
        *first = Some(Source::Mixed);
    }
    for (at, insn) in insns.iter().enumerate() {
        let Some(before) = found[at] else { continue };
        let next = at + 1;
        match insn.decode(at) {
            Ok(Op::Load(offset)) => arrive(&mut found, next, Source::Word(offset)),
            Ok(Op::And(_)) => arrive(&mut found, next, Source::Mixed),
            Ok(Op::Goto(skip)) => {
                if let Ok(skip) = usize::try_from(skip) {
                    arrive(&mut found, next.saturating_add(skip), before);
                }
            }
            Ok(Op::Branch { jt, jf, .. }) => {
                arrive(&mut found, next + usize::from(jt), before);
                arrive(&mut found, next + usize::from(jf), before);
            }
            Ok(Op::Return(_)) | Err(_) => {}
        }
    }
    found
}

fn arrive(found: &mut [Option<Source>], at: usize, source: Source) {
    if let Some(slot) = found.get_mut(at) {
        *slot = match *slot {
            None => Some(source),
            Some(same) if same == source => Some(same),
            Some(_) => Some(Source::Mixed),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::{Errno, Half};

    #[test]
    fn every_instruction_has_a_line() {
        let branch = |test, k, jt, jf| Insn::new(Op::Branch { test, k, jt, jf });
        let insns = [
            Insn::new(Op::Load(SeccompData::ARCH)),
            branch(Test::Equal, Arch::X86_64.audit(), 1, 0),
            Insn::new(Op::Return(Action::KillProcess.encode())),
            Insn::new(Op::Load(SeccompData::NR)),
            branch(Test::AtLeast, 59, 0, 3),
            Insn::new(Op::Load(SeccompData::arg(1, Half::High))),
            Insn::new(Op::And(0xf0)),
            branch(Test::AnyBit, 0x30, 0, 1),
            Insn::new(Op::Goto(0)),
            Insn::new(Op::Return(Action::Errno(Errno::EPERM).encode())),
        ];
        let name = |nr| (nr == 59).then_some("execve");
        let want = "   0  load   arch\n\
                    \u{20}  1  if     == 0xc000003e (x86_64) then 3 else 2\n\
                    \u{20}  2  return kill process\n\
                    \u{20}  3  load   nr\n\
                    \u{20}  4  if     >= 59 (execve) then 5 else 8\n\
                    \u{20}  5  load   arg1.high\n\
                    \u{20}  6  and    0xf0\n\
                    \u{20}  7  if     & 0x30 then 8 else 9\n\
                    \u{20}  8  goto   9\n\
                    \u{20}  9  return EPERM\n";
        assert_eq!(listing(&insns, &name), want);
    }
}
