//! The denials of one run as they are kept: a line of JSON, bounded.

use serde::{Deserialize, Serialize};

use super::{Denial, Sight};
use crate::bytes::{ByteString, first_words};
use crate::method::context::ContextId;
use crate::method::process::{End, Exited};
use crate::policy::Digest;

/// Most bytes of one run's denials as JSON: what is beyond is left out, and counted.
pub const MAX_RUN_BYTES: usize = 64 << 10;

/// Most bytes of a command's words that are kept with its denials.
pub const MAX_WORDS_BYTES: usize = 1024;

/// What was refused in one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// When it ended, in RFC 3339, UTC.
    pub time: String,
    /// The command, cut to what is kept.
    pub argv: Vec<ByteString>,
    /// The profile.
    pub profile: String,
    /// The digest of the policy.
    pub digest: Digest,
    /// The context, where it ran under one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<ContextId>,
    /// How it ended.
    pub end: End,
    /// What was refused.
    pub denials: Vec<Denial>,
    /// What could be seen of it.
    pub sight: Sight,
}

impl Run {
    /// What is to be kept of a run's end; nothing where nothing was refused.
    #[must_use]
    pub fn of(
        exited: &Exited,
        (argv, profile, digest): (&[ByteString], &str, Digest),
        context: Option<ContextId>,
        time: String,
    ) -> Option<Self> {
        if exited.denials.is_empty() && exited.sight.left_out == 0 {
            return None;
        }
        let (argv, profile) = (first_words(argv, MAX_WORDS_BYTES), profile.to_owned());
        let (end, sight) = (exited.end, exited.sight.clone());
        let mut run = Self { time, argv, profile, digest, context, end, denials: Vec::new(), sight };
        run.take(&exited.denials);
        Some(run)
    }

    /// As many as there is room for.
    fn take(&mut self, denials: &[Denial]) {
        let length = |value: &Denial| serde_json::to_vec(value).map_or(MAX_RUN_BYTES, |text| text.len() + 1);
        let mut bytes = serde_json::to_vec(self).map_or(0, |text| text.len());
        for denial in denials {
            bytes = bytes.saturating_add(length(denial));
            if bytes <= MAX_RUN_BYTES {
                self.denials.push(denial.clone());
            } else {
                self.sight.left_out = self.sight.left_out.saturating_add(denial.count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Act, Mechanism};
    use super::*;
    use crate::method::process::Usage;
    use crate::unreached::Unreached;

    fn exited(count: usize, target: &str) -> Exited {
        let denial = Denial {
            operation: Act::Read,
            target: target.into(),
            access: None,
            mechanism: Mechanism::Landlock,
            origin: None,
            count: 2,
            time: String::new(),
            process: None,
            edit: None,
            option: None,
            reason: None,
        };
        Exited {
            id: 1,
            end: End::Exited { code: 1 },
            usage: Usage::default(),
            denials: vec![denial; count],
            sight: Sight::default(),
            unreached: Unreached::default(),
            new_repositories: Vec::new(),
            recorded: None,
            stuck: Vec::new(),
        }
    }

    fn kept(exited: &Exited) -> Option<Run> {
        let argv = ["sh".into(), "x".repeat(5000).as_str().into(), "y".into()];
        Run::of(exited, (&argv, "p", "0".repeat(64).parse().unwrap()), Some(7), String::new())
    }

    #[test]
    fn nothing_is_kept_where_nothing_was_refused() {
        assert_eq!(kept(&exited(0, "/a")), None);
        let run = kept(&exited(3, "/a")).unwrap();
        assert_eq!((run.denials.len(), run.sight.left_out, run.argv.len()), (3, 0, 2));
    }

    #[test]
    fn one_run_is_bounded_and_what_is_left_out_is_counted() {
        let run = kept(&exited(256, &"\u{1}".repeat(4096))).unwrap();
        assert!(serde_json::to_vec(&run).unwrap().len() <= MAX_RUN_BYTES + 32);
        assert_eq!(run.denials.len() as u64 * 2 + run.sight.left_out, 512);
    }
}
