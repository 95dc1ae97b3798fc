//! How often a provider is asked again, and after which pause.
//!
//! Pure: whoever asks does the waiting. A provider's own word on when to come back is kept to.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use super::ModelError;
use super::error::Again;

/// The first pause; doubled for each further one, up to the longest.
const FIRST: Duration = Duration::from_millis(200);

/// The longest pause that a provider did not ask for.
const LONGEST: Duration = Duration::from_secs(30);

/// How often a provider is asked again: the request, before anything of the answer came, and the answer, once it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Requests that were not answered.
    pub request: u32,
    /// Answers that broke off.
    pub stream: u32,
}

impl Retries {
    /// What the configuration can ask for, at most.
    pub const MAX: u32 = 100;

    /// None at all: what is recorded does not change.
    pub const NONE: Self = Self { request: 0, stream: 0 };
}

impl Default for Retries {
    fn default() -> Self {
        Self { request: 4, stream: 5 }
    }
}

/// How far an attempt came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// Nothing of an answer came.
    Nothing,
    /// Something of an answer came.
    Something,
}

/// The pauses of one request.
#[derive(Debug)]
pub struct Backoff {
    left: Retries,
    pauses: ExponentialBackoff,
}

impl Backoff {
    /// For a request that may be repeated so often.
    #[must_use]
    pub fn new(retries: Retries) -> Self {
        let builder = ExponentialBuilder::new()
            .with_min_delay(FIRST)
            .with_max_delay(LONGEST)
            .without_max_times()
            .with_jitter();
        Self { left: retries, pauses: builder.build() }
    }

    /// The pause before the next attempt; none where there is to be no further one.
    pub fn pause(&mut self, error: &ModelError, came: Came) -> Option<Duration> {
        let Again::After(asked) = error.again() else { return None };
        let left = match came {
            Came::Nothing => &mut self.left.request,
            Came::Something => &mut self.left.stream,
        };
        *left = left.checked_sub(1)?;
        let own = self.pauses.next()?;
        Some(asked.map_or(own, |asked| asked.max(own)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttled(after: Option<u64>) -> ModelError {
        ModelError::Throttled { message: String::new(), after: after.map(Duration::from_secs) }
    }

    #[test]
    fn pauses_grow_and_end() {
        let mut backoff = Backoff::new(Retries { request: 3, stream: 1 });
        let pauses: Vec<_> =
            std::iter::from_fn(|| backoff.pause(&ModelError::CutShort, Came::Nothing)).collect();
        assert_eq!(pauses.len(), 3);
        for (at, pause) in pauses.iter().enumerate() {
            let base = FIRST * 2_u32.pow(u32::try_from(at).unwrap());
            assert!((base..=base * 2).contains(pause), "{at}: {pause:?}");
        }
        assert!(backoff.pause(&ModelError::CutShort, Came::Something).is_some());
        assert!(backoff.pause(&ModelError::CutShort, Came::Something).is_none());
    }

    #[test]
    fn a_provider_is_not_asked_before_it_said() {
        let mut backoff = Backoff::new(Retries::default());
        assert_eq!(backoff.pause(&throttled(Some(60)), Came::Nothing), Some(Duration::from_secs(60)));
        assert!(backoff.pause(&throttled(Some(0)), Came::Nothing).is_some_and(|pause| pause >= FIRST));
    }

    #[test]
    fn what_stays_as_it_is_is_not_asked_again() {
        let mut backoff = Backoff::new(Retries::default());
        let errors = [
            ModelError::Key { status: 401, message: String::new() },
            ModelError::Quota { message: String::new() },
            ModelError::ContextOverflow { message: String::new() },
            ModelError::Refused { status: 400, message: String::new() },
        ];
        for error in errors {
            assert_eq!(backoff.pause(&error, Came::Nothing), None, "{error}");
        }
    }

    #[test]
    fn pauses_do_not_outgrow_the_longest() {
        let mut backoff = Backoff::new(Retries { request: Retries::MAX, stream: 0 });
        let pauses = std::iter::from_fn(|| backoff.pause(&ModelError::CutShort, Came::Nothing));
        assert!(pauses.skip(20).all(|pause| pause <= LONGEST * 2));
    }
}
