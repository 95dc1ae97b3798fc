//! The index that a launcher is lent: what earlier launchers of its user have found in the file system.
//!
//! It is used for one look at the file tree, handed back where there is something new, and let go before a sandbox exists: nothing that runs in
//! one, nor its first process, has it. Called by `begin`; made by the supervisor.

use std::os::fd::{AsFd as _, OwnedFd};

use weir_protocol::Policy;
use weir_sandbox_linux::survey::index::{Clock, Image, Index};
use weir_sandbox_linux::survey::{Survey, SurveyError};

use crate::daemon::post::{self, Word};

/// What the supervisor lends.
#[derive(Debug)]
pub struct Lent {
    /// Whether what was found still counts.
    pub(crate) clock: Clock,
    /// What was found.
    pub(crate) image: Option<Image>,
    /// Where a new image goes. Of the kind `SOCK_SEQPACKET`; does not block.
    pub(crate) post: OwnedFd,
}

impl Lent {
    /// A survey that lists no directory whose contents are known.
    pub(super) fn survey(&self, policy: &Policy) -> Result<Survey, SurveyError> {
        let Ok(clock) = self.clock.share() else { return Survey::take(policy) };
        let mut index = Index::new(clock, self.image.as_ref());
        let survey = Survey::take_with(policy, Some(&mut index))?;
        if let Some(image) = index.into_image() {
            // Where it cannot be handed over now, the next launcher finds it out again.
            let _ = post::say(&self.post, Word::Index, Some(image.memory().as_fd()));
        }
        Ok(survey)
    }
}
