//! What is broken where.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context as _, Result};
use ferrocart_failpoint::{Action, At, Plan, Point, Site};
use ferrocart_stack::Service;
use rand::Rng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use crate::timing::Timing;

/// In which way a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Error,
    /// Later than its caller waits.
    Timeout,
    Kill,
    Twice,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Error, Self::Timeout, Self::Kill, Self::Twice];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Kill => "kill -9",
            Self::Twice => "twice",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    pub service: Service,
    pub point: Point,
    pub kind: Kind,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, point, kind } = self;
        f.pad(&format!("{service}: {point} {kind}"))
    }
}

impl Case {
    /// All that there are, in the order of a checkout.
    pub fn all() -> Result<Vec<Self>> {
        let mut cases = Vec::new();
        for point in Point::all() {
            for name in point.site.services() {
                let service = named(name)?;
                for kind in Kind::ALL {
                    if !is_same_as_another(point, kind) {
                        cases.push(Self { service, point, kind });
                    }
                }
            }
        }
        Ok(cases)
    }

    /// One case of each service and kind.
    pub fn few(chance: &mut ChaCha8Rng) -> Result<Vec<Self>> {
        let mut by_group: BTreeMap<(Service, Kind), Vec<Self>> = BTreeMap::new();
        for case in Self::all()? {
            by_group.entry((case.service, case.kind)).or_default().push(case);
        }
        let mut few: Vec<Self> = by_group
            .values()
            .filter(|group| !group.is_empty())
            .map(|group| group[chance.random_range(0..group.len())])
            .collect();
        few.shuffle(chance);
        Ok(few)
    }

    pub(crate) fn plan(self, timing: Timing) -> Plan {
        let action = match self.kind {
            Kind::Error => Action::Error,
            Kind::Timeout => Action::Delay(timing.too_long(self.point.site)),
            Kind::Kill => Action::Kill,
            Kind::Twice => Action::Twice,
        };
        Plan::once(self.point, action)
    }
}

/// A consumer and a relay have no caller that waits, and theirs is no step that ends behind them: a delay after
/// them is one before the next.
fn is_same_as_another(point: Point, kind: Kind) -> bool {
    let is_loop = matches!(point.site, Site::ConsumerApply | Site::RelayPublish);
    is_loop && kind == Kind::Timeout && point.at == At::After
}

fn named(name: &str) -> Result<Service> {
    Service::ALL
        .into_iter()
        .find(|service| service.name() == name)
        .with_context(|| format!("a failpoint names the service {name}, which is not"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn every_point_is_killed_and_errs_and_is_executed_twice_in_every_service() {
        let cases = Case::all().unwrap();
        for point in Point::all() {
            for kind in [Kind::Error, Kind::Kill, Kind::Twice] {
                let of_point = cases
                    .iter()
                    .filter(|case| case.point == point && case.kind == kind);
                assert_eq!(of_point.count(), point.site.services().len(), "{point} {kind}");
            }
        }
    }

    #[test]
    fn a_few_are_of_each_service_and_kind_and_as_the_seed_has_it() {
        let few = |seed| Case::few(&mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
        let groups: BTreeSet<(Service, Kind)> = few(1).iter().map(|case| (case.service, case.kind)).collect();
        assert_eq!(groups.len(), 4 * Kind::ALL.len());
        assert_eq!(few(1), few(1));
        assert_ne!(few(1), few(2));
    }
}
