use std::collections::{BTreeMap, HashMap};

use ferrocart_types::{OrderId, SkuId};
use futures::future::join_all;
use uuid::Uuid;

use crate::admission::Admission;
use crate::admission::judge::TAKE_PREFIX;
use crate::admission::take::{TakeOrder, Taken, notes};
use crate::domain::{Ask, Shortage};
use crate::store::StockRow;

/// So far apart may the clocks of Redis and of those who make orders be, in seconds.
const CLOCKS_APART: i64 = 2;

/// What there is for a batch of the SKUs that have counters.
#[derive(Debug, Default)]
pub(crate) struct Offer {
    /// How many units there are of each; a SKU that is not here is for the database alone.
    pub(crate) units: HashMap<SkuId, i64>,
    /// When anybody last took units of it, in seconds since 1970.
    sold_at: HashMap<SkuId, i64>,
}

impl Offer {
    /// Whether the order, which lacks something, surely has no reservation: it was made when units of what
    /// it lacks had been taken for the last time. Its id is a UUIDv7, which tells when it was made; of
    /// another id nothing is known.
    pub(crate) fn is_new(&self, order: OrderId, shortages: &[Shortage]) -> bool {
        let made = order.as_uuid().get_timestamp().map(|made| made.to_unix().0);
        let Some(made) = made.and_then(|seconds| i64::try_from(seconds).ok()) else {
            return false;
        };
        shortages.iter().any(|shortage| {
            let sold_at = self.sold_at.get(&shortage.sku);
            sold_at.is_some_and(|sold_at| made > sold_at.saturating_add(CLOCKS_APART))
        })
    }
}

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

    /// Takes what the asks want of the SKUs that have counters, as far as there is so much.
    pub(crate) async fn take<'a>(&mut self, asks: impl Iterator<Item = &'a Ask>) -> Offer {
        let mut offer = Offer::default();
        let Some(engine) = self.admission.engine.clone() else {
            return offer;
        };
        if engine.registry.is_empty() {
            return offer;
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
        for (sku, taken, outcome) in join_all(orders).await {
            match outcome {
                Ok(()) => {
                    offer.units.insert(sku, taken.units());
                    offer.sold_at.insert(sku, taken.sold_at);
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
        offer
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

#[cfg(test)]
mod tests {
    use ferrocart_types::Quantity;

    use super::*;
    use crate::domain::Lines;

    #[test]
    fn an_order_is_new_that_was_made_after_the_last_sale() {
        let sku = |n: u128| SkuId(Uuid::from_u128(n));
        let offer = Offer {
            units: HashMap::new(),
            sold_at: HashMap::from([(sku(1), 1_000), (sku(2), 2_000)]),
        };
        let made = |seconds| {
            let context = uuid::ContextV7::new();
            OrderId(Uuid::new_v7(uuid::Timestamp::from_unix(&context, seconds, 0)))
        };
        let short = |n| Shortage {
            sku: sku(n),
            requested: 1,
            available: 0,
        };
        assert!(!offer.is_new(made(1_001), &[short(1)]), "clocks may differ");
        assert!(offer.is_new(made(1_003), &[short(1)]));
        assert!(!offer.is_new(made(1_003), &[short(2)]));
        assert!(
            offer.is_new(made(1_003), &[short(2), short(1)]),
            "it had needed both"
        );
        assert!(!offer.is_new(made(9_999), &[short(3)]), "nothing is known of it");
        assert!(!offer.is_new(OrderId(Uuid::from_u128(5)), &[short(1)]));
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
                order_id: OrderId(Uuid::nil()),
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
