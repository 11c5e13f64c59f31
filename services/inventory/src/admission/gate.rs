use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ferrocart_redis_kit::CallError;
use ferrocart_types::SkuId;
use futures::future::join_all;
use uuid::Uuid;

use crate::admission::counter::{self, Delta, Note, Take};
use crate::admission::judge::TAKE_PREFIX;
use crate::admission::{Admission, Engine, Governed};
use crate::domain::{Ask, Shortage};
use crate::store::StockRow;

/// How often the shards are gone through while others take from them too.
const ROUNDS_MAX: u32 = 3;
/// A batch waits for Redis so many times as long as one call may take.
const PATIENCE: u32 = 3;

/// A lane's way to the counters: takes units for a batch, and settles them when the batch is decided.
pub(crate) struct Gate {
    admission: Admission,
    /// Tells this lane's takes from all others.
    name: String,
    /// The shard that this lane asks first: so lanes and processes do not meet in one.
    home: u16,
    takes: u64,
    taken: HashMap<SkuId, Taken>,
    rows: Vec<StockRow>,
    /// What the database contradicted, or where it is not known what it did.
    doubtful: Vec<SkuId>,
}

/// Units of one SKU that were taken for a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) field: String,
    pub(super) shards: u16,
    /// From which shard how many.
    pub(super) parts: Vec<(u16, i64)>,
}

impl Taken {
    fn units(&self) -> i64 {
        self.parts.iter().map(|(_, units)| units).sum()
    }

    /// Parts with so many of its units, from the shard that was asked last.
    fn spare(&mut self, mut units: i64) -> Vec<(u16, Note)> {
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

impl Gate {
    pub(crate) fn new(admission: Admission, process: Uuid, lane: usize) -> Self {
        let mixed = process
            .as_u128()
            .wrapping_add(u128::try_from(lane).unwrap_or_default());
        Self {
            admission,
            name: format!("{TAKE_PREFIX}{}:{lane}", process.simple()),
            home: u16::try_from(mixed % 0x1_0000).unwrap_or_default(),
            takes: 0,
            taken: HashMap::new(),
            rows: Vec::new(),
            doubtful: Vec::new(),
        }
    }

    /// Takes what the asks want of the SKUs that have counters, as far as there is so much. Answers how many
    /// units there are of each; a SKU that is not in the answer is for the database alone.
    pub(crate) async fn take<'a>(&mut self, asks: impl Iterator<Item = &'a Ask>) -> HashMap<SkuId, i64> {
        let Some(engine) = self.admission.engine.clone() else {
            return HashMap::new();
        };
        if engine.registry.is_empty() {
            return HashMap::new();
        }
        let mut wants: BTreeMap<SkuId, i64> = BTreeMap::new();
        for line in asks.flat_map(|ask| ask.lines.iter()) {
            *wants.entry(line.sku).or_default() += line.units();
        }
        self.takes += 1;
        let field = format!("{}:{}", self.name, self.takes);
        let orders = wants.into_iter().filter_map(|(sku, units)| {
            let governed = engine.registry.get(sku).filter(|governed| governed.ready)?;
            Some(TakeOrder {
                engine: &engine,
                sku,
                governed,
                units,
                field: &field,
                home: self.home % governed.shards.max(1),
            })
        });
        let orders: Vec<_> = orders.map(TakeOrder::carry_out).collect();
        if orders.is_empty() {
            return HashMap::new();
        }
        let mut got = HashMap::with_capacity(orders.len());
        for (sku, taken, outcome) in join_all(orders).await {
            match outcome {
                Ok(()) => {
                    got.insert(sku, taken.units());
                }
                Err(error) => {
                    tracing::debug!(sku.id = %sku, %error, "a counter could not be asked");
                    engine.registry.doubt(sku);
                }
            }
            if !taken.parts.is_empty() {
                self.taken.insert(sku, taken);
            }
        }
        got
    }

    /// Gives back what the batch has no use for, so that others need not wait for its end.
    pub(crate) fn give_back(&mut self, units: &HashMap<SkuId, i64>) {
        let Some(engine) = self.admission.engine.clone() else {
            return;
        };
        for (sku, left) in units.iter().filter(|(_, left)| **left > 0) {
            if let Some(taken) = self.taken.get_mut(sku) {
                let notes = taken.spare(*left);
                engine.post(*sku, taken.shards, notes);
            }
        }
    }

    /// The batch committed this.
    pub(crate) fn committed(&mut self, rows: &[StockRow]) {
        let Some(engine) = &self.admission.engine else {
            return;
        };
        if !engine.registry.is_empty() {
            let governed = rows.iter().filter(|row| engine.registry.get(row.sku).is_some());
            self.rows.extend(governed.copied());
        }
    }

    /// The database has less than the counter said.
    pub(crate) fn contradicted(&mut self, sku: SkuId) {
        if self.taken.contains_key(&sku) {
            self.doubtful.push(sku);
        }
    }

    /// What the batch did is only known from reading back: who changed what by how much is not.
    pub(crate) fn unsure(&mut self) {
        self.doubtful.extend(self.taken.keys());
    }

    /// The batch is decided: what it took and did not use goes back.
    pub(crate) fn settle(&mut self) {
        let Some(engine) = self.admission.engine.clone() else {
            return;
        };
        if self.taken.is_empty() && self.rows.is_empty() {
            return;
        }
        let mut rows: HashMap<SkuId, Vec<StockRow>> = HashMap::new();
        for row in self.rows.drain(..) {
            rows.entry(row.sku).or_default().push(row);
        }
        for (sku, taken) in self.taken.drain() {
            let rows = rows.remove(&sku).unwrap_or_default();
            engine.post(sku, taken.shards, notes(Some(&taken), &rows, taken.shards));
        }
        for (sku, rows) in rows {
            if let Some(governed) = engine.registry.get(sku) {
                engine.post(sku, governed.shards, notes(None, &rows, governed.shards));
            }
        }
        for sku in self.doubtful.drain(..) {
            engine.registry.doubt(sku);
        }
    }
}

/// One SKU of a batch.
struct TakeOrder<'a> {
    engine: &'a Arc<Engine>,
    sku: SkuId,
    governed: Governed,
    units: i64,
    field: &'a str,
    home: u16,
}

impl TakeOrder<'_> {
    async fn carry_out(mut self) -> (SkuId, Taken, Result<(), CallError>) {
        let mut taken = Taken {
            field: self.field.to_owned(),
            shards: self.governed.shards,
            parts: Vec::new(),
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
            let before = taken.units();
            for (shard, _) in others.iter().zip(&left).filter(|(_, left)| **left > 0) {
                if taken.units() < self.units {
                    self.take_from(*shard, taken).await?;
                }
            }
            if taken.units() == before && left.iter().all(|left| *left <= 0) {
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
                Take::Got(units) => {
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

/// Hands the units out in order of arrival, each ask whole or not at all. Answers for each what it lacks.
pub(crate) fn hand_out<'a>(
    units: &mut HashMap<SkuId, i64>,
    asks: impl Iterator<Item = &'a Ask>,
) -> Vec<Vec<Shortage>> {
    let hand_out_one = |ask: &Ask| {
        let shortages: Vec<Shortage> = ask
            .lines
            .iter()
            .filter_map(|line| {
                let available = *units.get(&line.sku)?;
                (available < line.units()).then_some(Shortage {
                    sku: line.sku,
                    requested: line.units(),
                    available,
                })
            })
            .collect();
        if shortages.is_empty() {
            for line in &ask.lines {
                if let Some(left) = units.get_mut(&line.sku) {
                    *left -= line.units();
                }
            }
        }
        shortages
    };
    asks.map(hand_out_one).collect()
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
    use ferrocart_types::Quantity;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Counters, Lines};

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
            let taken = Taken { field: "take:x".to_owned(), shards: 4, parts: parts.clone().into_iter().collect() };
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
        };
        let notes = taken.spare(5);
        let back: Vec<_> = notes.iter().map(|(shard, note)| (*shard, note.back)).collect();
        assert_eq!(back, [(2, Some(3)), (1, Some(2))]);
        assert_eq!(taken.units(), 2);
    }

    #[test]
    fn an_ask_gets_all_its_lines_or_nothing() {
        let sku = |n: u128| SkuId(Uuid::from_u128(n));
        let ask = |lines: &[(u128, i64)]| {
            let lines: Vec<_> = lines
                .iter()
                .map(|(n, units)| (sku(*n), Quantity::new(*units).unwrap()))
                .collect();
            Ask {
                order_id: ferrocart_types::OrderId(Uuid::nil()),
                buyer: None,
                lines: Lines::sum_up(&lines).unwrap(),
                expires_at: ferrocart_types::Timestamp::from_timestamp(0, 0).unwrap(),
            }
        };
        let mut units = HashMap::from([(sku(1), 3), (sku(2), 0)]);
        // The third SKU has no counter: it is for the database.
        let asks = [
            ask(&[(1, 1), (2, 1)]),
            ask(&[(1, 2), (3, 9)]),
            ask(&[(1, 2)]),
            ask(&[(1, 1)]),
        ];
        let shortages = hand_out(&mut units, asks.iter());
        assert_eq!(
            shortages[0].iter().map(|short| short.sku).collect::<Vec<_>>(),
            [sku(2)]
        );
        assert!(shortages[1].is_empty() && shortages[3].is_empty());
        assert_eq!(shortages[2][0].available, 1);
        assert_eq!(units[&sku(1)], 0);
    }
}
