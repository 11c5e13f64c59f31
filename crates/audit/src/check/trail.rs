//! One key's events, folded while they stream by.

use crate::read::rows::{Published, Step};

/// Faults of one key that are kept.
const FAULTS_MAX: usize = 5;

/// The events of an order or a payment: 1, 2, 3, … in this order; each may come more than once.
#[derive(Debug, Clone)]
pub(crate) struct Trail {
    /// The oldest sequence that is still in the topic.
    pub(crate) first: i64,
    pub(crate) newest: Step,
    pub(crate) faults: Vec<String>,
}

impl Trail {
    pub(crate) fn fold(trail: Option<Self>, step: Step) -> Self {
        let Some(mut trail) = trail else {
            return Self {
                first: step.sequence,
                newest: step,
                faults: Vec::new(),
            };
        };
        let newest = trail.newest.sequence;
        if step.partition != trail.newest.partition {
            trail.fault(format!(
                "{} is in partition {}, {newest} in {}",
                step.sequence, step.partition, trail.newest.partition
            ));
        }
        if step.sequence == newest && step.status != trail.newest.status {
            trail.fault(format!("{newest} tells of two different states"));
        }
        if step.sequence > newest + 1 {
            trail.fault(format!("{} comes after {newest}", step.sequence));
        }
        if step.sequence < trail.first {
            trail.fault(format!("{} comes after {}", step.sequence, trail.first));
        }
        if step.sequence > newest {
            trail.newest = step;
        }
        trail
    }

    fn fault(&mut self, fault: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        }
    }
}

/// The events of a SKU or a product, whose versions grow.
#[derive(Debug, Clone)]
pub(crate) struct Versions {
    pub(crate) newest: Published,
    /// The one that stands last; older than the newest only if they are out of order.
    pub(crate) last: i64,
    /// The newest version that tells counters, and these.
    pub(crate) counters: Option<(i64, (i64, i64))>,
}

impl Versions {
    pub(crate) fn fold(versions: Option<Self>, event: Published) -> Self {
        let told = event.counters.map(|counters| (event.version, counters));
        let Some(mut versions) = versions else {
            return Self {
                last: event.version,
                counters: told,
                newest: event,
            };
        };
        versions.last = event.version;
        if told.is_some_and(|(version, _)| versions.counters.is_none_or(|(known, _)| version >= known)) {
            versions.counters = told;
        }
        if event.version >= versions.newest.version {
            versions.newest = event;
        }
        versions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trail(sequences: &[i64]) -> Trail {
        let step = |sequence: i64| Step {
            partition: 3,
            sequence,
            status: i32::try_from(sequence).unwrap(),
            captured_minor: 0,
            refunded_minor: 0,
        };
        let folded = sequences
            .iter()
            .fold(None, |trail, sequence| Some(Trail::fold(trail, step(*sequence))));
        folded.unwrap()
    }

    #[test]
    fn duplicates_are_allowed_and_gaps_and_disorder_are_not() {
        for fine in [
            &[1, 2, 3][..],
            &[1, 1, 2, 2, 3],
            &[1, 2, 1, 2, 3],
            &[2, 3],
            &[1, 2, 3, 2, 3],
        ] {
            let trail = trail(fine);
            assert!(trail.faults.is_empty(), "{fine:?}: {:?}", trail.faults);
            assert_eq!((trail.first, trail.newest.sequence), (fine[0], 3));
        }
        for wrong in [&[1, 3][..], &[1, 3, 2], &[2, 1, 3], &[1, 2, 4, 3]] {
            assert!(!trail(wrong).faults.is_empty(), "{wrong:?}");
        }
    }

    #[test]
    fn one_sequence_tells_one_state_from_one_partition() {
        let one = trail(&[1]);
        let mut other = one.newest.clone();
        other.status = 7;
        assert_eq!(Trail::fold(Some(one.clone()), other).faults.len(), 1);
        let mut elsewhere = one.newest.clone();
        elsewhere.partition = 4;
        assert_eq!(Trail::fold(Some(one), elsewhere).faults.len(), 1);
    }

    #[test]
    fn the_newest_version_and_the_last_one_are_told_apart() {
        let event = |version, counters| Published {
            version,
            counters,
            deleted: false,
        };
        let events = [
            event(1, Some((5, 0))),
            event(2, None),
            event(3, Some((5, 1))),
            event(4, None),
            event(2, None),
        ];
        let folded = events
            .into_iter()
            .fold(None, |versions, event| Some(Versions::fold(versions, event)))
            .unwrap();
        assert_eq!((folded.newest.version, folded.last), (4, 2));
        assert_eq!(folded.counters, Some((3, (5, 1))));
    }
}
