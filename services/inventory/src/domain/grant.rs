//! Who gets what of a batch: pure, so that a naive model can check it.

use std::collections::HashMap;

use ferrocart_types::{OrderId, SkuId, Timestamp, UserId};

use crate::domain::lines::Lines;
use crate::domain::reservation::{ReleaseReason, Reservation, State};
use crate::domain::sale::{Excess, SaleRules, SaleTerms};

/// A request to reserve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    pub order_id: OrderId,
    /// For whom, where that is known.
    pub buyer: Option<UserId>,
    pub lines: Lines,
    pub expires_at: Timestamp,
}

/// A SKU of which there is not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    pub sku: SkuId,
    pub requested: i64,
    pub available: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    UnknownSkus(Vec<SkuId>),
    Insufficient(Vec<Shortage>),
    /// These are for sale in a flash sale that has not started.
    SaleNotStarted(Vec<SkuId>),
    /// These are for sale in a flash sale, which must know the buyer.
    BuyerUnknown(Vec<SkuId>),
    /// One buyer may not have so many in a flash sale.
    LimitExceeded(Vec<Excess>),
    /// The order has a reservation for other units.
    OrderReused,
    /// The order's reservation is over.
    Released(ReleaseReason),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Granted(Reservation),
    /// The order's reservation that stands already.
    Existing(Reservation),
    Refused(Refused),
}

/// Grants in order of arrival, each request whole or not at all. `available` has the SKUs that are sold,
/// and is left with what remains; `known` has the reservations of orders that were here before, and
/// the granted ones afterwards.
pub(crate) fn grant<'a>(
    available: &mut HashMap<SkuId, i64>,
    known: &mut HashMap<OrderId, Reservation>,
    rules: &mut SaleRules,
    asks: impl IntoIterator<Item = &'a Ask>,
    now: Timestamp,
) -> Vec<Verdict> {
    asks.into_iter()
        .map(|ask| grant_one(available, known, rules, ask, now))
        .collect()
}

fn grant_one(
    available: &mut HashMap<SkuId, i64>,
    known: &mut HashMap<OrderId, Reservation>,
    rules: &mut SaleRules,
    ask: &Ask,
    now: Timestamp,
) -> Verdict {
    if let Some(earlier) = known.get(&ask.order_id) {
        return replay(earlier.clone().seen_at(now), ask);
    }
    let unknown: Vec<SkuId> = skus_where(ask, |sku| !available.contains_key(&sku));
    if !unknown.is_empty() {
        return Verdict::Refused(Refused::UnknownSkus(unknown));
    }
    if let Some(refused) = rules.refuse(ask) {
        return Verdict::Refused(refused);
    }
    let shortages: Vec<Shortage> = ask
        .lines
        .iter()
        .filter_map(|line| {
            let available = available.get(&line.sku).copied().unwrap_or(0);
            (available < line.units()).then_some(Shortage {
                sku: line.sku,
                requested: line.units(),
                available,
            })
        })
        .collect();
    if !shortages.is_empty() {
        return Verdict::Refused(Refused::Insufficient(shortages));
    }
    for line in &ask.lines {
        if let Some(left) = available.get_mut(&line.sku) {
            *left -= line.units();
        }
    }
    rules.count(ask);
    let granted = Reservation {
        order_id: ask.order_id,
        buyer: ask.buyer,
        lines: ask.lines.clone(),
        created_at: now,
        expires_at: ask.expires_at,
        state: State::Reserved,
    };
    known.insert(ask.order_id, granted.clone());
    Verdict::Granted(granted)
}

impl SaleRules {
    fn of<'a>(&'a self, ask: &'a Ask) -> impl Iterator<Item = (SkuId, i64, SaleTerms)> + 'a {
        let lines = ask.lines.iter();
        lines.filter_map(|line| Some((line.sku, line.units(), *self.sales.get(&line.sku)?)))
    }

    fn refuse(&self, ask: &Ask) -> Option<Refused> {
        if self.sales.is_empty() {
            return None;
        }
        let skus_where = |like: &dyn Fn(&SaleTerms) -> bool| -> Vec<SkuId> {
            let found = self.of(ask).filter(|(_, _, terms)| like(terms));
            found.map(|(sku, _, _)| sku).collect()
        };
        let early = skus_where(&|terms| !terms.live);
        if !early.is_empty() {
            return Some(Refused::SaleNotStarted(early));
        }
        let Some(buyer) = ask.buyer else {
            let nameless = skus_where(&|_| true);
            return (!nameless.is_empty()).then_some(Refused::BuyerUnknown(nameless));
        };
        let excesses = self.of(ask).filter_map(|(sku, requested, terms)| {
            let bought = self.bought.get(&(terms.sale, buyer)).copied().unwrap_or(0);
            let max = terms.units_per_buyer_max;
            (bought + requested > max).then_some(Excess {
                sku,
                requested,
                bought,
                max,
            })
        });
        let excesses: Vec<Excess> = excesses.collect();
        (!excesses.is_empty()).then_some(Refused::LimitExceeded(excesses))
    }

    fn count(&mut self, ask: &Ask) {
        let Some(buyer) = ask.buyer else { return };
        for line in &ask.lines {
            if let Some(terms) = self.sales.get(&line.sku) {
                *self.bought.entry((terms.sale, buyer)).or_insert(0) += line.units();
            }
        }
    }
}

fn replay(earlier: Reservation, ask: &Ask) -> Verdict {
    // An order that was given up before it held anything.
    if let State::Released(reason) = earlier.state
        && earlier.lines.as_slice().is_empty()
    {
        return Verdict::Refused(Refused::Released(reason));
    }
    if !earlier.lines.same_units(&ask.lines) {
        return Verdict::Refused(Refused::OrderReused);
    }
    match earlier.state {
        State::Released(reason) => Verdict::Refused(Refused::Released(reason)),
        _ => Verdict::Existing(earlier),
    }
}

fn skus_where(ask: &Ask, like: impl Fn(SkuId) -> bool) -> Vec<SkuId> {
    ask.lines
        .iter()
        .map(|line| line.sku)
        .filter(|sku| like(*sku))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ferrocart_types::Quantity;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn sku(n: u8) -> SkuId {
        SkuId(Uuid::from_u128(n.into()))
    }

    fn now() -> Timestamp {
        Timestamp::from_timestamp(1_000_000, 0).unwrap()
    }

    fn ask(order: u8, lines: &[(u8, i64)]) -> Ask {
        let lines: Vec<_> = lines
            .iter()
            .map(|(n, units)| (sku(*n), Quantity::new(*units).unwrap()))
            .collect();
        Ask {
            order_id: OrderId(Uuid::from_u128(order.into())),
            buyer: None,
            lines: Lines::sum_up(&lines).unwrap(),
            expires_at: now() + chrono::TimeDelta::seconds(900),
        }
    }

    /// One request after the other, unit by unit, with nothing shared with the code above: takes units
    /// out of a bag and puts them back when one is missing.
    fn naive(stock: &[(u8, i64)], asks: &[(u8, Vec<(u8, i64)>)]) -> (Vec<&'static str>, BTreeMap<u8, i64>) {
        let mut bag: Vec<u8> = Vec::new();
        for (n, units) in stock {
            bag.extend((0..*units).map(|_| *n));
        }
        let mut taken: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
        let mut answers = Vec::new();
        for (order, lines) in asks {
            let mut wanted: Vec<u8> = lines
                .iter()
                .flat_map(|(n, units)| (0..*units).map(move |_| *n))
                .collect();
            wanted.sort_unstable();
            if let Some(before) = taken.get(order) {
                answers.push(if *before == wanted { "existing" } else { "reused" });
                continue;
            }
            if wanted.iter().any(|n| stock.iter().all(|(known, _)| known != n)) {
                answers.push("unknown");
                continue;
            }
            let saved = bag.clone();
            let all = wanted
                .iter()
                .all(|n| match bag.iter().position(|unit| unit == n) {
                    Some(index) => {
                        bag.swap_remove(index);
                        true
                    }
                    None => false,
                });
            if all {
                taken.insert(*order, wanted);
                answers.push("granted");
            } else {
                bag = saved;
                answers.push("short");
            }
        }
        let left = stock
            .iter()
            .map(|(n, _)| (*n, bag.iter().map(|unit| i64::from(unit == n)).sum()))
            .collect();
        (answers, left)
    }

    fn word(verdict: &Verdict) -> &'static str {
        match verdict {
            Verdict::Granted(_) => "granted",
            Verdict::Existing(_) => "existing",
            Verdict::Refused(Refused::UnknownSkus(_)) => "unknown",
            Verdict::Refused(Refused::Insufficient(_)) => "short",
            Verdict::Refused(Refused::OrderReused) => "reused",
            Verdict::Refused(Refused::Released(_)) => "released",
            Verdict::Refused(
                Refused::SaleNotStarted(_) | Refused::BuyerUnknown(_) | Refused::LimitExceeded(_),
            ) => "sale",
        }
    }

    proptest! {
        #[test]
        fn grants_as_the_naive_model_does(
            stock in prop::collection::btree_map(0..4_u8, 0..8_i64, 0..4),
            asks in prop::collection::vec(
                (0..20_u8, prop::collection::vec((0..5_u8, 1..4_i64), 1..5)), 0..25),
        ) {
            let stock: Vec<(u8, i64)> = stock.into_iter().collect();
            let (answers, left) = naive(&stock, &asks);
            let mut available = stock.iter().map(|(n, units)| (sku(*n), *units)).collect();
            let asks: Vec<Ask> = asks.iter().map(|(order, lines)| ask(*order, lines)).collect();
            let verdicts = grant(&mut available, &mut HashMap::new(), &mut SaleRules::default(), &asks, now());
            prop_assert_eq!(verdicts.iter().map(word).collect::<Vec<_>>(), answers);
            for (n, units) in left {
                prop_assert_eq!(available.get(&sku(n)), Some(&units));
            }
            prop_assert!(available.values().all(|units| *units >= 0));
        }
    }

    proptest! {
        /// Buyers of a sale, in batches of any size, with and without names: nobody has more than the limit, no unit is
        /// sold twice, and whoever was refused had asked for too much at that moment.
        #[test]
        fn a_sale_keeps_its_limit_for_each_buyer(
            units in 0..20_i64,
            max in 1..5_i64,
            asks in prop::collection::vec((0..40_u8, prop::option::of(0..5_u128), 1..4_i64), 0..40),
            batch in 1..8_usize,
        ) {
            use crate::domain::sale::SaleId;
            let sale = SaleId(Uuid::from_u128(9));
            let terms = SaleTerms { sale, units_per_buyer_max: max, live: true };
            let mut rules = SaleRules { sales: HashMap::from([(sku(1), terms)]), bought: HashMap::new() };
            let (mut available, mut known) = (HashMap::from([(sku(1), units)]), HashMap::new());
            let (mut left, mut had, mut seen) = (units, HashMap::<u128, i64>::new(), BTreeMap::new());
            for batch in asks.chunks(batch) {
                let made: Vec<Ask> = batch
                    .iter()
                    .map(|(order, buyer, units)| Ask {
                        buyer: buyer.map(|n| UserId(Uuid::from_u128(n))),
                        ..ask(*order, &[(1, *units)])
                    })
                    .collect();
                let verdicts = grant(&mut available, &mut known, &mut rules, &made, now());
                for ((order, buyer, units), verdict) in batch.iter().zip(&verdicts) {
                    let has = buyer.map(|buyer| had.entry(buyer).or_default());
                    let expected = match (seen.get(order), has) {
                        (Some(before), _) if before == units => "existing",
                        (Some(_), _) => "reused",
                        (None, None) => "sale",
                        (None, Some(has)) if *has + units > max => "sale",
                        (None, Some(_)) if *units > left => "short",
                        (None, Some(has)) => {
                            *has += units;
                            left -= units;
                            seen.insert(*order, *units);
                            "granted"
                        }
                    };
                    prop_assert_eq!(word(verdict), expected);
                }
            }
            prop_assert_eq!(available[&sku(1)], left);
            prop_assert!(left >= 0 && had.values().all(|has| *has <= max));
        }
    }

    #[test]
    fn a_shortage_names_every_sku_and_both_figures() {
        let mut available = HashMap::from([(sku(1), 1), (sku(2), 5), (sku(3), 0)]);
        let request = ask(1, &[(1, 1), (2, 5), (1, 1), (3, 1)]);
        let verdict = grant(
            &mut available,
            &mut HashMap::new(),
            &mut SaleRules::default(),
            [&request],
            now(),
        );
        let expected = vec![
            Shortage {
                sku: sku(1),
                requested: 2,
                available: 1,
            },
            Shortage {
                sku: sku(3),
                requested: 1,
                available: 0,
            },
        ];
        assert_eq!(verdict, [Verdict::Refused(Refused::Insufficient(expected))]);
        assert_eq!(available[&sku(2)], 5, "a refused request took units");
    }

    #[test]
    fn an_order_that_was_here_before_gets_its_first_answer() {
        let first = ask(1, &[(1, 2)]);
        let mut known = HashMap::new();
        let mut available = HashMap::from([(sku(1), 2)]);
        grant(
            &mut available,
            &mut known,
            &mut SaleRules::default(),
            [&first],
            now(),
        );
        let again = grant(
            &mut available,
            &mut known,
            &mut SaleRules::default(),
            [&first],
            now(),
        );
        assert!(
            matches!(again.as_slice(), [Verdict::Existing(found)] if found.expires_at == first.expires_at)
        );
        let late = grant(
            &mut available,
            &mut known,
            &mut SaleRules::default(),
            [&first],
            first.expires_at,
        );
        assert_eq!(
            late,
            [Verdict::Refused(Refused::Released(ReleaseReason::Expired))]
        );
    }

    #[test]
    fn a_sale_counts_by_buyer_within_a_batch_too() {
        use crate::domain::sale::SaleId;
        let terms = |live| SaleTerms {
            sale: SaleId(Uuid::from_u128(9)),
            units_per_buyer_max: 2,
            live,
        };
        let buyer = UserId(Uuid::from_u128(7));
        let of = |order, units, buyer| Ask {
            buyer,
            ..ask(order, &[(1, units)])
        };
        let mut available = HashMap::from([(sku(1), 10)]);
        let mut rules = SaleRules {
            sales: HashMap::from([(sku(1), terms(false))]),
            bought: HashMap::new(),
        };
        let first = of(1, 1, Some(buyer));
        let early = grant(&mut available, &mut HashMap::new(), &mut rules, [&first], now());
        assert_eq!(early, [Verdict::Refused(Refused::SaleNotStarted(vec![sku(1)]))]);
        rules.sales.insert(sku(1), terms(true));
        let other = UserId(Uuid::from_u128(8));
        let asks = [
            first,
            of(2, 2, Some(buyer)),
            of(3, 1, Some(buyer)),
            of(4, 2, Some(other)),
            of(5, 1, None),
        ];
        let verdicts = grant(&mut available, &mut HashMap::new(), &mut rules, &asks, now());
        let excess = Excess {
            sku: sku(1),
            requested: 2,
            bought: 1,
            max: 2,
        };
        assert!(matches!(verdicts[0], Verdict::Granted(_)));
        assert_eq!(
            verdicts[1],
            Verdict::Refused(Refused::LimitExceeded(vec![excess]))
        );
        assert!(matches!(verdicts[2], Verdict::Granted(_)));
        assert!(matches!(verdicts[3], Verdict::Granted(_)));
        assert_eq!(verdicts[4], Verdict::Refused(Refused::BuyerUnknown(vec![sku(1)])));
        assert_eq!(available[&sku(1)], 6);
    }
}
