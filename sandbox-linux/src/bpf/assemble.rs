//! A small assembler: forward jumps to labels, checked when the code is finished.

use super::{Action, Insn, Op, ProgramError, Test};

/// A place in the code to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label(usize);

#[derive(Debug, Clone, Copy)]
enum Item {
    Fixed(Insn),
    Branch { test: Test, k: u32, then: Label, otherwise: Label },
    Goto(Label),
}

/// Collects instructions. The result is relocatable: every jump in it is relative.
#[derive(Debug, Default)]
pub struct Assembler {
    items: Vec<Item>,
    bound: Vec<Option<usize>>,
}

impl Assembler {
    /// Starts empty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A label that is not bound yet.
    pub fn label(&mut self) -> Label {
        self.bound.push(None);
        Label(self.bound.len() - 1)
    }

    /// Binds a label to the next instruction.
    pub fn bind(&mut self, label: Label) {
        let here = self.items.len();
        if let Some(slot) = self.bound.get_mut(label.0) {
            *slot = Some(here);
        }
    }

    /// Loads the word at a byte offset of `seccomp_data`.
    pub fn load(&mut self, offset: u32) {
        self.push(Op::Load(offset));
    }

    /// Keeps these bits of the accumulator.
    pub fn and(&mut self, mask: u32) {
        self.push(Op::And(mask));
    }

    /// Returns an action.
    pub fn answer(&mut self, action: Action) {
        self.push(Op::Return(action.encode()));
    }

    /// Jumps always; any distance.
    pub fn goto(&mut self, to: Label) {
        self.items.push(Item::Goto(to));
    }

    /// Jumps on a test; at most 255 instructions either way.
    pub fn branch(&mut self, test: Test, k: u32, then: Label, otherwise: Label) {
        self.items.push(Item::Branch { test, k, then, otherwise });
    }

    /// Appends finished code.
    pub fn append(&mut self, insns: &[Insn]) {
        self.items.extend(insns.iter().copied().map(Item::Fixed));
    }

    /// Resolves the labels.
    ///
    /// # Errors
    /// A label that is unbound, lies behind its jump, or is too far for a conditional one.
    pub fn finish(self) -> Result<Vec<Insn>, ProgramError> {
        let mut insns = Vec::with_capacity(self.items.len());
        for (at, item) in self.items.iter().enumerate() {
            insns.push(match *item {
                Item::Fixed(insn) => insn,
                Item::Goto(to) => {
                    let skip = self.distance(at, to)?;
                    let skip = u32::try_from(skip).map_err(|_| ProgramError::JumpOutOfRange { at })?;
                    Insn::new(Op::Goto(skip))
                }
                Item::Branch { test, k, then, otherwise } => {
                    let jt = self.short(at, then)?;
                    let jf = self.short(at, otherwise)?;
                    Insn::new(Op::Branch { test, k, jt, jf })
                }
            });
        }
        Ok(insns)
    }

    fn push(&mut self, op: Op) {
        self.items.push(Item::Fixed(Insn::new(op)));
    }

    /// Instructions between `at` and the label.
    fn distance(&self, at: usize, to: Label) -> Result<usize, ProgramError> {
        let target = self.bound.get(to.0).copied().flatten().ok_or(ProgramError::LabelUnbound { at })?;
        target.checked_sub(at + 1).ok_or(ProgramError::JumpBackwards { at })
    }

    fn short(&self, at: usize, to: Label) -> Result<u8, ProgramError> {
        let distance = self.distance(at, to)?;
        u8::try_from(distance).map_err(|_| ProgramError::JumpTooFar { at, distance })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A branch, `between` instructions, then the label.
    fn over(between: usize) -> Result<Vec<Insn>, ProgramError> {
        let mut asm = Assembler::new();
        let (near, far) = (asm.label(), asm.label());
        asm.branch(Test::Equal, 1, far, near);
        asm.bind(near);
        for _ in 0..between {
            asm.answer(Action::Allow);
        }
        asm.bind(far);
        asm.answer(Action::KillProcess);
        asm.finish()
    }

    #[test]
    fn conditional_jumps_reach_255_instructions() {
        let longest = over(255).map(|insns| insns[0]);
        assert_eq!(longest, Ok(Insn::new(Op::Branch { test: Test::Equal, k: 1, jt: 255, jf: 0 })));
        assert_eq!(over(256), Err(ProgramError::JumpTooFar { at: 0, distance: 256 }));
    }

    #[test]
    fn labels_must_be_bound_and_ahead() {
        let mut unbound = Assembler::new();
        let nowhere = unbound.label();
        unbound.goto(nowhere);
        assert_eq!(unbound.finish(), Err(ProgramError::LabelUnbound { at: 0 }));

        let mut backwards = Assembler::new();
        let start = backwards.label();
        backwards.bind(start);
        backwards.and(1);
        backwards.goto(start);
        assert_eq!(backwards.finish(), Err(ProgramError::JumpBackwards { at: 1 }));
    }
}
