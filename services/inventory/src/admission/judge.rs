//! Whether a counter agrees with the stock row. Pure.

use std::collections::BTreeMap;

/// One shard of a counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shard {
    pub(super) generation: i64,
    pub(super) base: i64,
    pub(super) applied: i64,
    pub(super) available: i64,
    /// Units that were taken and are not settled.
    pub(super) takes: BTreeMap<String, i64>,
}

impl Shard {
    /// None when it is missing, or no counter.
    pub(super) fn read(fields: &BTreeMap<String, String>) -> Option<Self> {
        let number = |name: &str| fields.get(name).and_then(|value| value.parse().ok());
        let takes = fields
            .iter()
            .filter(|(name, _)| name.starts_with(TAKE_PREFIX))
            .map(|(name, units)| (name.clone(), units.parse().unwrap_or(0)));
        Some(Self {
            generation: number("generation")?,
            base: number("base")?,
            applied: number("applied")?,
            available: number("available")?,
            takes: takes.collect(),
        })
    }
}

pub(super) const TAKE_PREFIX: &str = "take:";

/// The sums over a counter's shards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CounterSums {
    pub(crate) available: i64,
    pub(crate) in_flight: i64,
}

/// What a look at a counter and the row beside it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    InOrder,
    /// A shard is not there, or from another rebuild than the others.
    Incomplete,
    /// Commits, or words of them, are under way: nothing can be said.
    Moving,
    /// All commits are counted, and the units are not those of the row.
    Wrong,
    /// The units are right in sum, but a shard has less than nothing: the others have more than there is.
    Lopsided,
}

pub(super) fn sums(shards: &[Option<Shard>]) -> CounterSums {
    let mut sums = CounterSums::default();
    for shard in shards.iter().flatten() {
        sums.available = sums.available.saturating_add(shard.available);
        for units in shard.takes.values() {
            sums.in_flight = sums.in_flight.saturating_add(*units);
        }
    }
    sums
}

/// `version` and `available` are the row's, read before the shards.
pub(super) fn judge(shards: &[Option<Shard>], version: i64, available: i64) -> Finding {
    let Some(Some(first)) = shards.first() else {
        return Finding::Incomplete;
    };
    let alike = |shard: &Option<Shard>| {
        let of_one = |shard: &Shard| (shard.generation, shard.base) == (first.generation, first.base);
        shard.as_ref().is_some_and(of_one)
    };
    if !shards.iter().all(alike) {
        return Finding::Incomplete;
    }
    let applied: i64 = shards.iter().flatten().map(|shard| shard.applied).sum();
    if first.base.saturating_add(applied) != version {
        return Finding::Moving;
    }
    let sums = sums(shards);
    if sums.available.saturating_add(sums.in_flight) != available {
        return Finding::Wrong;
    }
    if shards.iter().flatten().any(|shard| shard.available < 0) {
        return Finding::Lopsided;
    }
    Finding::InOrder
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(available: i64, in_flight: i64, applied: i64) -> Shard {
        let takes = (in_flight > 0).then(|| ("take:a".to_owned(), in_flight));
        Shard {
            generation: 4,
            base: 10,
            applied,
            available,
            takes: takes.into_iter().collect(),
        }
    }

    #[test]
    fn a_counter_is_judged_only_when_every_commit_is_counted() {
        let shards = [shard(2, 1, 1), shard(4, 0, 2)].map(Some);
        assert_eq!(judge(&shards, 13, 7), Finding::InOrder);
        assert_eq!(judge(&shards, 13, 8), Finding::Wrong);
        assert_eq!(judge(&shards, 14, 8), Finding::Moving);
        assert_eq!(judge(&[Some(shard(2, 1, 1)), None], 13, 7), Finding::Incomplete);
        assert_eq!(
            judge(&[shard(-1, 0, 3), shard(4, 0, 0)].map(Some), 13, 3),
            Finding::Lopsided
        );
        let other = Shard {
            generation: 5,
            ..shard(4, 0, 2)
        };
        assert_eq!(
            judge(&[shard(2, 1, 1), other].map(Some), 13, 7),
            Finding::Incomplete
        );
    }

    #[test]
    fn what_cannot_be_read_is_no_counter() {
        let mut fields: BTreeMap<String, String> = [
            ("generation", "1"),
            ("base", "2"),
            ("applied", "0"),
            ("available", "5"),
            ("take:x", "3"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let read = Shard::read(&fields).unwrap();
        assert_eq!((read.available, read.takes["take:x"]), (5, 3));
        fields.insert("available".to_owned(), "plenty".to_owned());
        assert_eq!(Shard::read(&fields), None);
    }
}
