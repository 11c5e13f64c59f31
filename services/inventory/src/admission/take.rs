use std::collections::BTreeMap;
use std::sync::Arc;

use ferrocart_redis_kit::CallError;
use ferrocart_types::SkuId;

use crate::admission::counter::{self, Delta, Note, Take};
use crate::admission::{Engine, Governed};
use crate::store::StockRow;

/// How often the shards are gone through while others take from them too.
const ROUNDS_MAX: u32 = 3;
/// A batch waits for Redis so many times as long as one call may take.
const PATIENCE: u32 = 3;

/// Units of one SKU that were taken for a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) field: String,
    pub(super) shards: u16,
    /// From which shard how many.
    pub(super) parts: Vec<(u16, i64)>,
    /// When anybody last took any, in seconds of Redis' clock.
    pub(super) sold_at: i64,
}

impl Taken {
    pub(super) fn units(&self) -> i64 {
        self.parts.iter().map(|(_, units)| units).sum()
    }

    /// Parts with so many of its units, from the shard that was asked last.
    pub(super) fn spare(&mut self, mut units: i64) -> Vec<(u16, Note)> {
        let mut notes = Vec::new();
        for (shard, taken) in self.parts.iter_mut().rev() {
            let back = units.min(*taken);
            if back > 0 {
                *taken -= back;
                units -= back;
                let note = Note {
                    take: Some(self.field.clone()),
                    back: Some(back),
                    deltas: Vec::new(),
                };
                notes.push((*shard, note));
            }
        }
        notes
    }
}

/// One SKU of a batch.
pub(super) struct TakeOrder<'a> {
    pub(super) engine: &'a Arc<Engine>,
    pub(super) sku: SkuId,
    pub(super) governed: Governed,
    pub(super) units: i64,
    pub(super) field: &'a str,
    pub(super) home: u16,
}

impl TakeOrder<'_> {
    pub(super) async fn carry_out(mut self) -> (SkuId, Taken, Result<(), CallError>) {
        let mut taken = Taken {
            field: self.field.to_owned(),
            shards: self.governed.shards,
            parts: Vec::new(),
            sold_at: 0,
        };
        let patience = self.engine.redis.timeout() * PATIENCE;
        let outcome = tokio::time::timeout(patience, self.collect(&mut taken)).await;
        let outcome = outcome.unwrap_or(Err(CallError::Timeout(patience)));
        (self.sku, taken, outcome)
    }

    /// From the home shard first. When that is not enough, from the others: where there is any is looked at
    /// before, so that nobody takes more than is needed and hides it from others meanwhile.
    async fn collect(&mut self, taken: &mut Taken) -> Result<(), CallError> {
        let shards = self.governed.shards.max(1);
        self.take_from(self.home, taken).await?;
        if shards == 1 {
            return Ok(());
        }
        let others: Vec<u16> = (1..shards).map(|step| (self.home + step) % shards).collect();
        let keys: Vec<String> = others
            .iter()
            .map(|shard| counter::key(self.sku, *shard, shards))
            .collect();
        for _ in 0..ROUNDS_MAX {
            if taken.units() >= self.units {
                return Ok(());
            }
            let left = counter::peek(&self.engine.redis, &keys).await?;
            for (_, sold_at) in &left {
                taken.sold_at = taken.sold_at.max(*sold_at);
            }
            let before = taken.units();
            for (shard, _) in others.iter().zip(&left).filter(|(_, (left, _))| *left > 0) {
                if taken.units() < self.units {
                    self.take_from(*shard, taken).await?;
                }
            }
            if taken.units() == before && left.iter().all(|(left, _)| *left <= 0) {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn take_from(&mut self, shard: u16, taken: &mut Taken) -> Result<(), CallError> {
        let key = counter::key(self.sku, shard, self.governed.shards);
        let redis = &self.engine.redis;
        for _ in 0..ROUNDS_MAX {
            let missing = self.units - taken.units();
            match counter::take(redis, &key, self.governed.generation, missing, self.field).await? {
                Take::Got(units, sold_at) => {
                    taken.sold_at = taken.sold_at.max(sold_at);
                    if units > 0 {
                        taken.parts.push((shard, units));
                    }
                    return Ok(());
                }
                Take::Rebuilt(generation) => {
                    self.governed.generation = generation;
                    self.engine.registry.learn(self.sku, generation);
                }
                Take::Missing => return Err(CallError::NotConnected),
            }
        }
        Err(CallError::NotConnected)
    }
}

/// What the shards of one SKU are to be told: its take is over, and commits changed its stock so. Units that
/// were sold are booked where they were taken.
pub(super) fn notes(taken: Option<&Taken>, rows: &[StockRow], shards: u16) -> BTreeMap<u16, Note> {
    let mut notes: BTreeMap<u16, Note> = BTreeMap::new();
    let mut left: Vec<(u16, i64)> = Vec::new();
    if let Some(taken) = taken {
        left.clone_from(&taken.parts);
        for (shard, _) in &taken.parts {
            notes.entry(*shard).or_default().take = Some(taken.field.clone());
        }
    }
    for row in rows {
        let version = row.after.version;
        let mut span = version - row.before.version;
        let mut units = row.after.available() - row.before.available();
        for (shard, taken) in left.iter_mut().filter(|(_, taken)| *taken > 0) {
            if units >= 0 {
                break;
            }
            let sold = (-units).min(*taken);
            *taken -= sold;
            units += sold;
            let delta = Delta {
                version,
                units: -sold,
                span,
            };
            notes.entry(*shard).or_default().deltas.push(delta);
            span = 0;
        }
        if units != 0 || span != 0 {
            let anywhere = u16::try_from(version.rem_euclid(i64::from(shards.max(1)))).unwrap_or_default();
            let delta = Delta { version, units, span };
            notes.entry(anywhere).or_default().deltas.push(delta);
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::domain::Counters;

    fn row(before: (i64, i64), after: (i64, i64)) -> StockRow {
        let counters = |(available, version)| Counters {
            on_hand: available,
            version,
            ..Counters::EMPTY
        };
        StockRow {
            sku: SkuId(Uuid::from_u128(1)),
            before: counters(before),
            after: counters(after),
        }
    }

    proptest! {
        /// Whatever was taken where and committed: each shard's take ends once, sums and spans are the rows'.
        #[test]
        fn notes_add_up_to_what_was_committed(
            parts in prop::collection::btree_map(0..4_u16, 1..5_i64, 0..4),
            moves in prop::collection::vec((-6..4_i64, 1..4_i64), 0..4),
        ) {
            let taken = Taken { field: "take:x".to_owned(), shards: 4, parts: parts.clone().into_iter().collect(), sold_at: 0 };
            let (mut available, mut version) = (100, 10);
            let mut rows = Vec::new();
            for (units, span) in &moves {
                let before = (available, version);
                available += units;
                version += span;
                rows.push(row(before, (available, version)));
            }
            let notes = notes(Some(&taken), &rows, 4);
            let deltas: Vec<Delta> = notes.values().flat_map(|note| note.deltas.clone()).collect();
            prop_assert_eq!(deltas.iter().map(|delta| delta.units).sum::<i64>(), available - 100);
            prop_assert_eq!(deltas.iter().map(|delta| delta.span).sum::<i64>(), version - 10);
            for shard in 0..4_u16 {
                let ended = notes.get(&shard).is_some_and(|note| note.take.is_some());
                prop_assert_eq!(ended, parts.contains_key(&shard));
            }
            // As long as no more is sold than was taken, no shard ends with less than it had.
            if moves.iter().all(|(units, _)| *units <= 0) && 100 - available <= taken.units() {
                for (shard, units) in &parts {
                    let sold: i64 = notes[shard].deltas.iter().map(|delta| delta.units).sum();
                    prop_assert!(units + sold >= 0);
                }
            }
        }
    }

    #[test]
    fn what_is_not_needed_goes_back_from_the_shard_that_was_asked_last() {
        let mut taken = Taken {
            field: "take:x".to_owned(),
            shards: 3,
            parts: vec![(1, 4), (2, 3)],
            sold_at: 0,
        };
        let notes = taken.spare(5);
        let back: Vec<_> = notes.iter().map(|(shard, note)| (*shard, note.back)).collect();
        assert_eq!(back, [(2, Some(3)), (1, Some(2))]);
        assert_eq!(taken.units(), 2);
    }
}
