//! I4 for a product's events. Their topic is compacted: the last one of a product stays for ever.

use uuid::Uuid;

use super::trail::Versions;
use super::{Moment, Verdict};
use crate::finding::{Promise, Subject};
use crate::read::rows::ProductRow;

pub(crate) fn judge(
    product: Uuid,
    row: Option<&ProductRow>,
    events: Option<&Versions>,
    moment: &Moment,
) -> Verdict {
    let mut verdict = Verdict::on(Subject::Product(product));
    let mut add = |kind, detail: String| verdict.add(Promise::Events, kind, detail);
    match (row, events) {
        (Some(row), _) if moment.is_recent(row.updated_at) => verdict.too_recent = true,
        (Some(row), None) => add(
            "PRODUCT_EVENTS_MISSING",
            format!("version {} was never published", row.version),
        ),
        (None, Some(events)) => add(
            "EVENTS_OF_NOTHING",
            format!(
                "version {} was published of a product that is not",
                events.newest.version
            ),
        ),
        (Some(row), Some(events)) => {
            if events.newest.version != row.version {
                add(
                    "PRODUCT_EVENTS_DIFFER",
                    format!(
                        "the product is at version {}, its newest event at {}",
                        row.version, events.newest.version
                    ),
                );
            } else if events.newest.deleted != row.archived {
                add(
                    "PRODUCT_EVENTS_DIFFER",
                    format!(
                        "archived: {}, deleted in its events: {}",
                        row.archived, events.newest.deleted
                    ),
                );
            }
            if events.last < events.newest.version {
                add(
                    "EVENTS_OUT_OF_ORDER",
                    format!("version {} stands behind {}", events.last, events.newest.version),
                );
            }
        }
        (None, None) => {}
    }
    verdict
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

    fn row(version: i64, archived: bool, age: TimeDelta) -> ProductRow {
        ProductRow {
            version,
            archived,
            updated_at: moment().now - age,
        }
    }

    fn events(newest: i64, last: i64, deleted: bool) -> Versions {
        Versions {
            newest: Published {
                version: newest,
                counters: None,
                deleted,
            },
            last,
            counters: None,
        }
    }

    fn kinds(row: Option<&ProductRow>, events: Option<&Versions>) -> Vec<&'static str> {
        let verdict = judge(Uuid::nil(), row, events, &moment());
        verdict.violations.iter().map(|found| found.kind).collect()
    }

    #[test]
    fn the_newest_event_is_the_product() {
        let old = TimeDelta::days(400);
        assert_eq!(
            kinds(Some(&row(3, false, old)), Some(&events(3, 3, false))),
            [""; 0]
        );
        assert_eq!(
            kinds(Some(&row(3, true, old)), Some(&events(3, 3, true))),
            [""; 0]
        );
        for wrong in [events(2, 2, false), events(4, 4, false), events(3, 3, true)] {
            assert_eq!(
                kinds(Some(&row(3, false, old)), Some(&wrong)),
                ["PRODUCT_EVENTS_DIFFER"]
            );
        }
        assert_eq!(
            kinds(Some(&row(3, false, old)), Some(&events(3, 2, false))),
            ["EVENTS_OUT_OF_ORDER"]
        );
        assert_eq!(kinds(Some(&row(3, false, old)), None), ["PRODUCT_EVENTS_MISSING"]);
        assert_eq!(kinds(None, Some(&events(1, 1, false))), ["EVENTS_OF_NOTHING"]);
        assert_eq!(kinds(Some(&row(3, false, TimeDelta::seconds(1))), None), [""; 0]);
    }
}
