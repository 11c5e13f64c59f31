//! What a variant costs, and when that changes by itself.

use ferrocart_types::{Money, Timestamp};
use garde::Validate;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// A price that holds for a time in place of the regular one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub(crate) struct Sale {
    /// Below the regular price, in the same currency.
    pub(crate) price: Money,
    /// When it begins; absent: at once.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "whole_milliseconds"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) from: Option<Timestamp>,
    /// When the regular price holds again; absent: when the sale is taken away.
    #[garde(custom(after(self.from)))]
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "whole_milliseconds"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) until: Option<Timestamp>,
}

/// The database keeps microseconds: what was sent must be what is read again.
fn whole_milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let at = Option::<Timestamp>::deserialize(deserializer)?;
    Ok(at.map(|at| Timestamp::from_timestamp_millis(at.timestamp_millis()).unwrap_or(at)))
}

fn after(from: Option<Timestamp>) -> impl FnOnce(&Option<Timestamp>, &()) -> garde::Result {
    move |until, ()| match (from, until) {
        (Some(from), Some(until)) if *until <= from => Err(garde::Error::new("must be after from")),
        _ => Ok(()),
    }
}

impl Sale {
    pub(crate) fn runs_at(&self, now: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= now) && self.until.is_none_or(|until| now < until)
    }

    pub(crate) fn is_over_at(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// When it begins, or else when it ends.
    pub(crate) fn changes_after(&self, now: Timestamp) -> Option<Timestamp> {
        [self.from, self.until].into_iter().flatten().find(|at| *at > now)
    }
}

/// What it costs at this time.
pub(crate) fn price_at(regular: Money, sale: Option<&Sale>, now: Timestamp) -> Money {
    sale.filter(|sale| sale.runs_at(now))
        .map_or(regular, |sale| sale.price)
}

/// A sale that saves nothing is a mistake, and so is one in another currency.
pub(crate) fn below(regular: Money) -> impl FnOnce(&Option<Sale>, &()) -> garde::Result {
    move |sale, ()| {
        let Some(sale) = sale else { return Ok(()) };
        if sale.price.currency != regular.currency {
            return Err(garde::Error::new(
                "price must be in the currency of the regular price",
            ));
        }
        if !(0..regular.amount_minor).contains(&sale.price.amount_minor) {
            return Err(garde::Error::new(
                "price must be from 0 to below the regular price",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ferrocart_types::Currency;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_timestamp(second, 0).unwrap()
    }

    fn usd(amount_minor: i64) -> Money {
        Money::new(amount_minor, Currency::USD)
    }

    #[test]
    fn a_sale_holds_from_its_beginning_until_just_before_its_end() {
        let sale = Sale {
            price: usd(50),
            from: Some(at(10)),
            until: Some(at(20)),
        };
        for (now, price, change) in [
            (9, 100, Some(10)),
            (10, 50, Some(20)),
            (19, 50, Some(20)),
            (20, 100, None),
        ] {
            assert_eq!(price_at(usd(100), Some(&sale), at(now)), usd(price), "at {now}");
            assert_eq!(sale.changes_after(at(now)), change.map(at), "at {now}");
        }
        let open = Sale {
            from: None,
            until: None,
            ..sale
        };
        assert_eq!(price_at(usd(100), Some(&open), at(0)), usd(50));
        assert_eq!(open.changes_after(at(0)), None);
        assert_eq!(price_at(usd(100), None, at(0)), usd(100));
    }
}
