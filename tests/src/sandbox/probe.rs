//! Single acts, tried by `weir-probe` inside the sandbox and outside, and what is expected of each.
//!
//! Many acts share one sandbox. Every check begins with acts that must work, so that a sandbox in which nothing works never
//! passes for a safe one.

use std::ffi::OsString;

use super::{World, programs};

/// Ends the words of one act.
const NEXT: &str = ",";

/// What an act must answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// It works, whatever it answers.
    Works,
    /// It works and answers this.
    Answers(String),
    /// It fails, with any error.
    Fails,
    /// It fails with one of these errors.
    Errors(&'static [&'static str]),
    /// Nothing is expected: the answer differs from machine to machine.
    Anything,
}

impl Expect {
    fn holds(&self, answer: &str) -> bool {
        let worked = answer.strip_prefix("ok").map(str::trim_start);
        match self {
            Self::Works => worked.is_some(),
            Self::Answers(text) => worked == Some(text.as_str()),
            Self::Fails => worked.is_none() && !answer.is_empty(),
            Self::Errors(names) => names.contains(&answer),
            Self::Anything => true,
        }
    }
}

/// One act: what is tried, and what it must answer without Weir and with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    words: Vec<OsString>,
    outside: Expect,
    inside: Expect,
}

/// An act that works without Weir and fails inside, until said otherwise. The words are those of `weir-probe`; `{w}` is the
/// world.
pub fn act<S: Into<OsString>>(words: impl IntoIterator<Item = S>) -> Act {
    let words = words.into_iter().map(Into::into).collect();
    Act { words, outside: Expect::Works, inside: Expect::Fails }
}

impl Act {
    /// It works inside as well.
    #[must_use]
    pub fn works(self) -> Self {
        self.inside(Expect::Works)
    }

    /// What is expected of it without Weir.
    #[must_use]
    pub const fn expected_outside(&self) -> &Expect {
        &self.outside
    }

    /// What is expected of it inside.
    #[must_use]
    pub const fn expected_inside(&self) -> &Expect {
        &self.inside
    }

    /// What it answers inside.
    #[must_use]
    pub fn inside(mut self, inside: Expect) -> Self {
        self.inside = inside;
        self
    }

    /// What it answers without Weir.
    #[must_use]
    pub fn outside(mut self, outside: Expect) -> Self {
        self.outside = outside;
        self
    }

    /// What it answers inside in text.
    #[must_use]
    pub fn answers(self, text: &str) -> Self {
        self.inside(Expect::Answers(text.to_owned()))
    }
}

impl World {
    /// The words of one `weir-probe` that tries all these acts in turn.
    #[must_use]
    pub fn probe_words(&self, acts: &[Act]) -> Vec<OsString> {
        let mut words = vec![programs().probe.clone().into_os_string()];
        for one in acts {
            words.extend(one.words.iter().map(|word| match word.to_str() {
                Some(text) => self.expand(text).into(),
                None => word.clone(),
            }));
            words.push(NEXT.into());
        }
        words
    }

    /// Tries the acts without Weir, prepares anew, tries them inside, and compares every answer. `prepare` makes what the
    /// acts need in a world that holds nothing but its profile; an act may change it.
    ///
    /// # Panics
    /// With every answer that is not the expected one.
    pub fn check(&self, prepare: impl Fn(&Self), acts: &[Act]) {
        self.clear();
        prepare(self);
        let outside = self.outside(self.probe_words(acts));
        let mut wrong = self.compare("outside", &outside, acts, Act::expected_outside);
        self.clear();
        prepare(self);
        let inside = self.run(self.probe_words(acts));
        wrong.extend(self.compare("inside", &inside, acts, Act::expected_inside));
        assert!(wrong.is_empty(), "{:?}:\n{}", self.way(), wrong.join("\n"));
    }

    /// Every answer in a run that is not the expected one, in words.
    #[must_use]
    pub fn compare(
        &self,
        place: &str,
        run: &super::Run,
        acts: &[Act],
        expect: impl Fn(&Act) -> &Expect,
    ) -> Vec<String> {
        let output = String::from_utf8_lossy(&run.stdout);
        let answers: Vec<&str> = output.lines().collect();
        if run.code != 0 || answers.len() != acts.len() {
            let (code, stderr) = (run.code, &run.stderr);
            let last = acts.get(answers.len()).map(|act| &act.words);
            return vec![format!(
                "{place}: code {code}, {} answers, stopped at {last:?}: {stderr}",
                answers.len()
            )];
        }
        let pairs = acts.iter().zip(answers);
        pairs
            .filter(|(one, answer)| !expect(one).holds(answer))
            .map(|(one, answer)| {
                format!("{place}: {:?}: expected {:?}, got {answer}", one.words, expect(one))
            })
            .collect()
    }
}
