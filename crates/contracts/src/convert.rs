use ferrocart_types::{Currency, InvalidCurrency, Money, Timestamp};

use crate::v1;

impl From<Money> for v1::Money {
    fn from(money: Money) -> Self {
        Self {
            amount_minor: money.amount_minor,
            currency: money.currency.to_string(),
        }
    }
}

impl TryFrom<&v1::Money> for Money {
    type Error = InvalidCurrency;

    fn try_from(money: &v1::Money) -> Result<Self, InvalidCurrency> {
        Ok(Self::new(money.amount_minor, money.currency.parse::<Currency>()?))
    }
}

pub fn timestamp_to_proto(time: Timestamp) -> prost_types::Timestamp {
    let nanos = i32::try_from(time.timestamp_subsec_nanos()).unwrap_or(0);
    prost_types::Timestamp {
        seconds: time.timestamp(),
        nanos,
    }
}

/// `None` for a moment that no calendar has.
pub fn timestamp_from_proto(time: &prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::from_timestamp(time.seconds, u32::try_from(time.nanos).ok()?)
}
