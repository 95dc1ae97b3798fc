//! Where everything that a model wants passes before it is done: rules and policy first, then whoever can be asked.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use super::question::{Act, Answer, Question, Wish};
use super::{Approvals, Verdict};

/// An answer on its way.
pub type Asking<'a> = Pin<Box<dyn Future<Output = Answer> + 'a>>;

/// Whoever answers questions: a terminal, a client, a policy.
pub trait Approver {
    /// Asks. A future that is dropped takes the question back.
    fn ask<'a>(&'a self, question: &'a Question) -> Asking<'a>;
}

/// Nobody can be asked: everything is answered with no.
#[derive(Debug, Clone, Copy)]
pub struct NoOne;

impl Approver for NoOne {
    fn ask<'a>(&'a self, _: &'a Question) -> Asking<'a> {
        let reason = "there is nobody who could be asked".to_owned();
        Box::pin(std::future::ready(Answer::Deny { reason: Some(reason) }))
    }
}

/// Why something is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The model is told this, and the turn goes on.
    Told(String),
    /// The turn ends.
    Cancelled,
}

/// The gate of one thread.
pub struct Gate {
    approvals: Approvals,
    approver: Rc<dyn Approver>,
    profile: String,
    /// Commands that were allowed until the turn ends, each with its directory: elsewhere the same words do something else.
    allowed: RefCell<HashSet<(Vec<String>, String)>>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Gate")
            .field("approvals", &self.approvals)
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}

impl Gate {
    /// A gate for a thread that this profile binds.
    #[must_use]
    pub fn new(approvals: Approvals, approver: Rc<dyn Approver>, profile: &str) -> Self {
        Self { approvals, approver, profile: profile.to_owned(), allowed: RefCell::default() }
    }

    /// One with the same rules and the same person, for a thread that another profile binds.
    #[must_use]
    pub fn for_profile(&self, profile: &str) -> Self {
        Self::new(self.approvals.clone(), Rc::clone(&self.approver), profile)
    }

    /// A turn begins: what was allowed for the one before is over.
    pub fn begin_turn(&self) {
        self.allowed.borrow_mut().clear();
    }

    /// Whether a command may run as the profile allows it.
    ///
    /// # Errors
    /// [`Refusal`], where a rule, the policy or the person says no.
    pub async fn command(&self, argv: &[String], cwd: &str) -> Result<(), Refusal> {
        let why = match self.approvals.command(argv) {
            Verdict::Go => return Ok(()),
            Verdict::Refuse(reason) => return Err(Refusal::Told(reason)),
            Verdict::Ask(why) => why,
        };
        let command = (argv.to_vec(), cwd.to_owned());
        if self.allowed.borrow().contains(&command) {
            return Ok(());
        }
        let act = Act::Command { argv: argv.to_vec(), cwd: cwd.to_owned() };
        match self.ask(Question { act, why, profile: self.profile.clone() }).await? {
            Answer::ForTurn => drop(self.allowed.borrow_mut().insert(command)),
            Answer::Once | Answer::Deny { .. } | Answer::Cancel => {}
        }
        Ok(())
    }

    /// Whether more than the profile allows is given. The answer is what [`Wish::escalate`] takes.
    ///
    /// # Errors
    /// [`Refusal`], where the policy or the person says no.
    pub async fn permission(&self, wish: &Wish) -> Result<Answer, Refusal> {
        let why = match self.approvals.permission(wish) {
            // More than the profile allows is never given without an answer.
            Verdict::Go => return Err(Refusal::Told("nobody was asked".to_owned())),
            Verdict::Refuse(reason) => return Err(Refusal::Told(reason)),
            Verdict::Ask(why) => why,
        };
        self.ask(Question { act: Act::Permission(wish.clone()), why, profile: self.profile.clone() }).await
    }

    /// A yes, or why not.
    async fn ask(&self, question: Question) -> Result<Answer, Refusal> {
        match self.approver.ask(&question).await {
            Answer::Cancel => Err(Refusal::Cancelled),
            Answer::Deny { reason: None } => Err(Refusal::Told("the person said no".to_owned())),
            Answer::Deny { reason: Some(reason) } => {
                Err(Refusal::Told(format!("the answer is no: {reason}")))
            }
            yes => Ok(yes),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::super::{Approval, Span};
    use super::*;

    /// Answers alike, and counts.
    struct Fixed(Answer, Cell<u32>);

    impl Approver for Fixed {
        fn ask<'a>(&'a self, _: &'a Question) -> Asking<'a> {
            self.1.set(self.1.get() + 1);
            Box::pin(std::future::ready(self.0.clone()))
        }
    }

    fn now<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(out) => out,
            Poll::Pending => panic!("nobody waits here"),
        }
    }

    fn gate(policy: Approval, answer: Answer) -> (Gate, Rc<Fixed>) {
        let approver = Rc::new(Fixed(answer, Cell::new(0)));
        let approvals = Approvals { policy, ..Approvals::default() };
        (Gate::new(approvals, Rc::clone(&approver) as Rc<dyn Approver>, "team"), approver)
    }

    fn argv(word: &str) -> Vec<String> {
        vec![word.to_owned()]
    }

    #[test]
    fn a_yes_holds_as_long_as_it_says() {
        for (answer, asked) in [(Answer::Once, [1, 2, 3, 4]), (Answer::ForTurn, [1, 1, 2, 3])] {
            let (gate, approver) = gate(Approval::Untrusted, answer);
            let mut seen = Vec::new();
            for (turn, word) in [(0, "a"), (0, "a"), (0, "b"), (1, "a")] {
                if turn == 1 {
                    gate.begin_turn();
                }
                now(gate.command(&argv(word), "/")).unwrap();
                seen.push(approver.1.get());
            }
            assert_eq!(seen, asked);
        }
    }

    #[test]
    fn a_yes_is_to_one_directory() {
        let (gate, approver) = gate(Approval::Untrusted, Answer::ForTurn);
        for (at, asked) in [("/a", 1), ("/b", 2), ("/a", 2)] {
            now(gate.command(&argv("rm"), at)).unwrap();
            assert_eq!(approver.1.get(), asked, "{at}");
        }
    }

    #[test]
    fn a_no_goes_back_to_the_model_with_its_reason() {
        let reason = Answer::Deny { reason: Some("not today".to_owned()) };
        let (told, _) = gate(Approval::Untrusted, reason);
        let expect = Refusal::Told("the answer is no: not today".to_owned());
        assert_eq!(now(told.command(&argv("a"), "/")), Err(expect));
        let (cancelled, _) = gate(Approval::Untrusted, Answer::Cancel);
        assert_eq!(now(cancelled.command(&argv("a"), "/")), Err(Refusal::Cancelled));
        let (asked, _) = gate(Approval::OnRequest, Answer::Cancel);
        assert_eq!(now(asked.command(&argv("a"), "/")), Ok(()));
    }

    #[test]
    fn more_than_the_profile_allows_is_never_given_without_an_answer() {
        let wish = Wish { grants: Vec::new(), span: Span::Turn, reason: String::new() };
        for policy in [Approval::Never, Approval::Granular] {
            let (gate, approver) = gate(policy, Answer::Once);
            assert!(matches!(now(gate.permission(&wish)), Err(Refusal::Told(_))), "{policy:?}");
            assert_eq!(approver.1.get(), 0);
        }
        let (gate, approver) = gate(Approval::OnRequest, Answer::Once);
        assert_eq!((now(gate.permission(&wish)), approver.1.get()), (Ok(Answer::Once), 1));
        let nobody = Gate::new(Approvals::default(), Rc::new(NoOne), "team");
        assert!(matches!(now(nobody.permission(&wish)), Err(Refusal::Told(_))));
    }
}
