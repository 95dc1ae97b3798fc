//! A policy that is resolved anew, within the one that binds: equal or narrower, whatever lies on the disk by now.
//!
//! Some rules nobody wrote: they follow from what the file tree holds. A repository that comes to be at the top of a root takes the place of the
//! rule that kept one from being made; a submodule brings a grant of its own. Such a difference is nobody's wish to widen anything, and
//! is cut away: what bound stays closed. A difference that somebody wrote is none of these, and is told whole.

use super::Policy;
use super::excess::{Excess, Subject};
use super::filesystem::{Filesystem, PathRule};
use super::origin::Layer;

/// A policy within another.
#[derive(Debug, Clone)]
pub struct Within {
    /// Allows nothing that the other one does not.
    pub policy: Policy,
    /// What was cut away for that.
    pub cut: Vec<Excess>,
}

/// Most places that are named in one remark.
const MAX_NAMED: usize = 10;

impl Within {
    /// What should be said of what was cut away.
    #[must_use]
    pub fn remark(&self) -> Option<String> {
        let named = |excess: &Excess| match &excess.subject {
            Subject::Path { path, limit, .. } => Some(format!("{path} ({limit})")),
            _ => None,
        };
        let mut places: Vec<String> = self.cut.iter().filter_map(named).take(MAX_NAMED).collect();
        if let Some(more) = self.cut.len().checked_sub(MAX_NAMED).filter(|more| *more > 0) {
            places.push(format!("and {more} more"));
        }
        let places = Some(places.join(", ")).filter(|places| !places.is_empty())?;
        Some(format!(
            "open to no more than when the thread was bound, whatever lies there by now: {places}; begin another thread for more"
        ))
    }
}

impl Policy {
    /// This policy within `bound`: itself where it allows no more, without what it allows beyond only because of what lies on the disk by now.
    ///
    /// # Errors
    /// Everything that it allows beyond `bound`, where somebody wrote some of that.
    pub fn within(self, bound: &Self) -> Result<Within, Vec<Excess>> {
        let cut = self.excess_over(bound);
        if cut.is_empty() {
            return Ok(Within { policy: self, cut });
        }
        let (own, bound_to) = (self.filesystem(), bound.filesystem());
        if self.is_unrestricted() || !cut.iter().all(|excess| is_of_the_tree(own, bound_to, excess)) {
            return Err(cut);
        }
        Ok(Within { policy: self.intersect(bound).policy, cut })
    }
}

fn is_written(rule: &PathRule) -> bool {
    rule.origin.layer != Layer::Implied
}

/// Whether nobody wrote what makes the difference at a path: neither the grant nor, where that was there before as well, what closed it.
fn is_of_the_tree(own: &Filesystem, bound: &Filesystem, excess: &Excess) -> bool {
    let Subject::Path { path, .. } = &excess.subject else { return false };
    let Some(grant) = own.covering(path) else { return false };
    let closing = bound.covering(path);
    // A line at or below the grant's that was there is gone, or says something else.
    if closing.is_some_and(|closing| is_written(closing) && closing.path.starts_with(&grant.path)) {
        return false;
    }
    let was_there = || bound.rule_at(&grant.path).is_some_and(|before| before.access >= grant.access);
    !is_written(grant) || was_there()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::AbsPath;
    use crate::policy::{Access, FilesystemParts, Origin, PolicyParts, Sourced};
    use crate::policy::{Confinement, Environment, Network, NetworkParts, background_ends};

    /// Where a rule of a test stands.
    #[derive(Debug, Clone, Copy)]
    enum By {
        Person,
        Nobody,
    }
    use By::{Nobody, Person};

    type Rules<'a> = &'a [(&'a str, Access, By)];

    fn policy(rules: Rules<'_>) -> Policy {
        let rule = |(path, access, by): &(&str, Access, By)| {
            let implied = Origin::implied("a test");
            PathRule {
                path: AbsPath::parse(*path).unwrap(),
                access: *access,
                origin: match by {
                    Person => Origin { layer: Layer::User, ..implied },
                    Nobody => implied,
                },
                via: None,
                overruled: Vec::new(),
            }
        };
        let parts = FilesystemParts { rules: rules.iter().map(rule).collect(), ..Default::default() };
        PolicyParts {
            profile: "test".to_owned(),
            confinement: Sourced::default_of(Confinement::Managed, "a test"),
            filesystem: Filesystem::new(parts),
            network: Network::new(NetworkParts::default()),
            resources: Default::default(),
            environment: Environment::default(),
            degradations: Default::default(),
            kernel: Default::default(),
            background: background_ends(),
        }
        .into()
    }

    const ROOT: (&str, Access, By) = ("/w", Access::Write, Person);
    const NONE_MADE: (&str, Access, By) = ("/w/.git", Access::Read, Nobody);
    const HOOKS: (&str, Access, By) = ("/w/.git/hooks", Access::Read, Nobody);
    const MODULES: (&str, Access, By) = ("/w/.git/modules", Access::Read, Nobody);
    const SUBMODULE: (&str, Access, By) = ("/w/.git/modules/s", Access::Write, Nobody);

    /// What becomes of the first rules within the second: those of the result, or nothing where it is refused.
    fn check(asked: Rules<'_>, bound: Rules<'_>, expect: Option<Rules<'_>>) {
        let (asked, bound) = (policy(asked), policy(bound));
        let within = asked.clone().within(&bound);
        let Some(expect) = expect else {
            assert_eq!(within.unwrap_err(), asked.excess_over(&bound));
            return;
        };
        let within = within.unwrap();
        assert_eq!(within.policy.digest(), policy(expect).digest(), "{:?}", within.policy);
        assert!(within.policy.narrower_than(&bound) && within.policy.narrower_than(&asked));
        assert_eq!(within.remark().is_some(), !within.cut.is_empty());
        // It is the same whoever does it after whom.
        let again = asked.within(&within.policy).unwrap().policy;
        assert_eq!(again.digest(), within.policy.digest());
    }

    #[test]
    fn what_came_to_be_on_the_disk_is_cut_away() {
        check(&[ROOT, NONE_MADE], &[ROOT, NONE_MADE], Some(&[ROOT, NONE_MADE]));
        // A repository where none was, and the other way round.
        check(&[ROOT, HOOKS, MODULES], &[ROOT, NONE_MADE], Some(&[ROOT, NONE_MADE]));
        check(&[ROOT, NONE_MADE], &[ROOT, HOOKS, MODULES], Some(&[ROOT, NONE_MADE]));
        // A submodule.
        check(&[ROOT, HOOKS, MODULES, SUBMODULE], &[ROOT, HOOKS, MODULES], Some(&[ROOT, HOOKS, MODULES]));
        // A narrower profile beside it.
        let read = ("/w", Access::Read, Person);
        check(
            &[read, ("/w/s", Access::Write, Person), HOOKS],
            &[ROOT, NONE_MADE],
            Some(&[read, ("/w/s", Access::Write, Person)]),
        );
    }

    #[test]
    fn what_somebody_wrote_is_refused() {
        let further = ("/x", Access::Write, Person);
        check(&[ROOT, further], &[ROOT], None);
        check(&[ROOT, HOOKS, further], &[ROOT, NONE_MADE], None);
        check(&[ROOT], &[("/w", Access::Read, Person)], None);
        // A protection that is switched off by name, and a closing line that is gone.
        check(&[ROOT, ("/w/.git", Access::Write, Person)], &[ROOT, NONE_MADE], None);
        check(&[ROOT], &[ROOT, ("/w/closed", Access::None, Person)], None);
        check(&[("/w/a", Access::Read, Nobody)], &[("/w/a", Access::None, Person)], None);
        check(&[ROOT, HOOKS], &[ROOT, ("/w/.git", Access::Read, Person)], None);
    }
}
