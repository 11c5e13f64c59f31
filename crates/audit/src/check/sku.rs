//! I1 for a SKU, and I4 for its events.

use ferrocart_contracts::Topic;
use uuid::Uuid;

use super::trail::Versions;
use super::{Moment, Verdict};
use crate::finding::{Promise, Subject};
use crate::read::rows::{Counters, SkuRow};

/// The row comes from one moment of one database, so it is judged however new it is; its events are not.
pub(crate) fn judge(sku: Uuid, row: Option<&SkuRow>, events: Option<&Versions>, moment: &Moment) -> Verdict {
    let mut verdict = Verdict::on(Subject::Sku(sku));
    if let Some(row) = row {
        judge_books(&mut verdict, row);
    }
    let stock = row.and_then(|row| row.stock);
    match (stock, events) {
        (Some((_, changed)), _) if moment.is_recent(changed) => verdict.too_recent = true,
        (Some((stock, changed)), Some(events)) if moment.is_kept(Topic::Inventory, changed) => {
            judge_events(&mut verdict, stock, events);
        }
        (Some((stock, changed)), None) if moment.is_kept(Topic::Inventory, changed) => {
            let detail = format!("version {} was never published", stock.version);
            verdict.add(Promise::Events, "STOCK_EVENTS_MISSING", detail);
        }
        (None, Some(events)) => {
            let detail = format!(
                "version {} was published of stock that is not",
                events.newest.version
            );
            verdict.add(Promise::Events, "EVENTS_OF_NOTHING", detail);
        }
        (Some(_) | None, _) => {}
    }
    verdict
}

fn judge_books(verdict: &mut Verdict, row: &SkuRow) {
    let nothing = Counters {
        on_hand: 0,
        reserved: 0,
        version: 0,
    };
    let stock = row.stock.map_or(nothing, |(stock, _)| stock);
    let ledger = row.ledger.unwrap_or(nothing);
    let Counters {
        on_hand, reserved, ..
    } = stock;
    if reserved < 0 || reserved > on_hand {
        verdict.add(
            Promise::NoOversell,
            "OVERSOLD",
            format!("{reserved} of {on_hand} units are reserved"),
        );
    }
    if (ledger.on_hand, ledger.reserved) != (on_hand, reserved) {
        let detail = format!(
            "the counters say {on_hand} on hand, {reserved} reserved; the ledger says {} and {}",
            ledger.on_hand, ledger.reserved
        );
        verdict.add(Promise::NoOversell, "COUNTERS_DIFFER_FROM_LEDGER", detail);
    }
    if ledger.version > stock.version {
        let detail = format!(
            "the stock is at version {}, its ledger at {}",
            stock.version, ledger.version
        );
        verdict.add(Promise::NoOversell, "LEDGER_AHEAD_OF_STOCK", detail);
    }
    if row.standing != reserved {
        let detail = format!(
            "{reserved} units are reserved, the reservations that stand are of {}",
            row.standing
        );
        verdict.add(Promise::NoOversell, "COUNTERS_DIFFER_FROM_RESERVATIONS", detail);
    }
}

fn judge_events(verdict: &mut Verdict, stock: Counters, events: &Versions) {
    if events.newest.version != stock.version {
        let detail = format!(
            "the stock is at version {}, its newest event at {}",
            stock.version, events.newest.version
        );
        verdict.add(Promise::Events, "STOCK_EVENTS_DIFFER", detail);
    }
    if events.last < events.newest.version {
        let detail = format!("version {} stands behind {}", events.last, events.newest.version);
        verdict.add(Promise::Events, "EVENTS_OUT_OF_ORDER", detail);
    }
    let row = (stock.on_hand, stock.reserved);
    if let Some((version, told)) = events.counters
        && told != row
    {
        let detail =
            format!("StockUpdated {version} tells of {told:?} on hand and reserved, the row of {row:?}");
        verdict.add(Promise::Events, "STOCK_EVENTS_DIFFER", detail);
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use ferrocart_types::Timestamp;

    use super::*;
    use crate::read::rows::Published;

    fn moment() -> Moment {
        Moment {
            now: Timestamp::from_timestamp(1_700_000_000, 0).unwrap(),
            grace: TimeDelta::seconds(30),
            action_max: TimeDelta::minutes(10),
        }
    }

    fn counters(on_hand: i64, reserved: i64, version: i64) -> Counters {
        Counters {
            on_hand,
            reserved,
            version,
        }
    }

    fn sound() -> (SkuRow, Versions) {
        let row = SkuRow {
            stock: Some((counters(10, 2, 5), moment().now - TimeDelta::minutes(5))),
            ledger: Some(counters(10, 2, 4)),
            standing: 2,
        };
        let events = Versions {
            newest: Published {
                version: 5,
                counters: Some((10, 2)),
                deleted: false,
            },
            last: 5,
            counters: Some((5, (10, 2))),
        };
        (row, events)
    }

    fn kinds(change: impl FnOnce(&mut SkuRow, &mut Versions)) -> Vec<&'static str> {
        let (mut row, mut events) = sound();
        change(&mut row, &mut events);
        let verdict = judge(Uuid::nil(), Some(&row), Some(&events), &moment());
        verdict.violations.iter().map(|found| found.kind).collect()
    }

    #[test]
    fn sound_stock_has_no_violation() {
        assert_eq!(kinds(|_, _| {}), [""; 0]);
    }

    #[test]
    fn each_fault_of_the_books_is_found_even_if_new() {
        let set = |row: &mut SkuRow, to: Counters| row.stock = Some((to, moment().now));
        assert_eq!(
            kinds(|row, _| {
                set(row, counters(10, 11, 5));
                row.ledger = Some(counters(10, 11, 5));
                row.standing = 11;
            }),
            ["OVERSOLD"]
        );
        assert_eq!(
            kinds(|row, _| set(row, counters(9, 2, 5))),
            ["COUNTERS_DIFFER_FROM_LEDGER"]
        );
        assert_eq!(
            kinds(|row, _| set(row, counters(10, 2, 3))),
            ["LEDGER_AHEAD_OF_STOCK"]
        );
        assert_eq!(
            kinds(|row, _| row.standing = 1),
            ["COUNTERS_DIFFER_FROM_RESERVATIONS"]
        );
        assert_eq!(
            kinds(|row, _| row.stock = None),
            [
                "COUNTERS_DIFFER_FROM_LEDGER",
                "LEDGER_AHEAD_OF_STOCK",
                "COUNTERS_DIFFER_FROM_RESERVATIONS",
                "EVENTS_OF_NOTHING"
            ]
        );
    }

    #[test]
    fn each_fault_of_the_events_is_found() {
        assert_eq!(
            kinds(|_, events| events.newest.version = 4),
            ["STOCK_EVENTS_DIFFER"]
        );
        assert_eq!(
            kinds(|_, events| events.newest.version = 6),
            ["STOCK_EVENTS_DIFFER", "EVENTS_OUT_OF_ORDER"]
        );
        assert_eq!(kinds(|_, events| events.last = 3), ["EVENTS_OUT_OF_ORDER"]);
        assert_eq!(
            kinds(|_, events| events.counters = Some((5, (10, 1)))),
            ["STOCK_EVENTS_DIFFER"]
        );
        let (row, _) = sound();
        let verdict = judge(Uuid::nil(), Some(&row), None, &moment());
        assert_eq!(verdict.violations[0].kind, "STOCK_EVENTS_MISSING");
    }

    #[test]
    fn events_are_not_compared_with_what_is_new_or_older_than_their_retention() {
        let (mut row, mut events) = sound();
        events.newest.version = 4;
        for (age, too_recent) in [(TimeDelta::seconds(29), true), (TimeDelta::days(3), false)] {
            row.stock = Some((counters(10, 2, 5), moment().now - age));
            let verdict = judge(Uuid::nil(), Some(&row), Some(&events), &moment());
            assert!(verdict.violations.is_empty(), "{age}");
            assert_eq!(verdict.too_recent, too_recent, "{age}");
        }
    }
}
