use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An ISO 4217 alphabetic code in upper case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, min_length = 3, max_length = 3, pattern = "^[A-Z]{3}$", example = "USD")]
pub struct Currency([u8; 3]);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a currency: three upper-case letters of ISO 4217 are expected")]
pub struct InvalidCurrency;

impl Currency {
    pub const USD: Self = Self(*b"USD");
    pub const EUR: Self = Self(*b"EUR");

    pub fn as_str(&self) -> &str {
        // The constructor admits ASCII letters alone.
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }
}

impl FromStr for Currency {
    type Err = InvalidCurrency;

    fn from_str(text: &str) -> Result<Self, InvalidCurrency> {
        match text.as_bytes() {
            &[a, b, c] if [a, b, c].iter().all(u8::is_ascii_uppercase) => Ok(Self([a, b, c])),
            _ => Err(InvalidCurrency),
        }
    }
}

impl TryFrom<String> for Currency {
    type Error = InvalidCurrency;

    fn try_from(text: String) -> Result<Self, InvalidCurrency> {
        text.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.as_str().to_owned()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An amount in minor units (cents of a dollar) of one currency; never a float.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// Minor units, such as cents.
    #[schema(example = 129_900)]
    pub amount_minor: i64,
    pub currency: Currency,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    #[error("cannot add {left} and {right}: the currencies differ")]
    CurrencyMismatch { left: Currency, right: Currency },
    #[error("the amount does not fit in 64 bits")]
    Overflow,
}

impl Money {
    pub const fn new(amount_minor: i64, currency: Currency) -> Self {
        Self {
            amount_minor,
            currency,
        }
    }

    pub const fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        let amount = self
            .amount_minor
            .checked_add(other.amount_minor)
            .ok_or(MoneyError::Overflow)?;
        Ok(Self::new(amount, self.currency))
    }

    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        let amount = self
            .amount_minor
            .checked_sub(other.amount_minor)
            .ok_or(MoneyError::Overflow)?;
        Ok(Self::new(amount, self.currency))
    }

    pub fn checked_mul(self, times: u32) -> Result<Self, MoneyError> {
        let amount = self
            .amount_minor
            .checked_mul(i64::from(times))
            .ok_or(MoneyError::Overflow)?;
        Ok(Self::new(amount, self.currency))
    }

    /// Adds up; `None` for nothing, for there is no currency to answer in.
    pub fn sum(items: impl IntoIterator<Item = Self>) -> Result<Option<Self>, MoneyError> {
        items
            .into_iter()
            .try_fold(None, |total: Option<Self>, item| match total {
                None => Ok(Some(item)),
                Some(sum) => sum.checked_add(item).map(Some),
            })
    }

    fn same_currency(self, other: Self) -> Result<(), MoneyError> {
        if self.currency == other.currency {
            Ok(())
        } else {
            Err(MoneyError::CurrencyMismatch {
                left: self.currency,
                right: other.currency,
            })
        }
    }
}

/// For people: `1299.00 USD`. Two decimals, which is wrong for the few currencies without cents.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.amount_minor < 0 { "-" } else { "" };
        let minor = self.amount_minor.unsigned_abs();
        write!(f, "{sign}{}.{:02} {}", minor / 100, minor % 100, self.currency)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn unknown_fields_and_floats_are_refused() {
        assert!(serde_json::from_str::<Money>(r#"{"amount_minor":1,"currency":"USD"}"#).is_ok());
        assert!(serde_json::from_str::<Money>(r#"{"amount_minor":1.5,"currency":"USD"}"#).is_err());
        assert!(serde_json::from_str::<Money>(r#"{"amount_minor":1,"currency":"usd"}"#).is_err());
        assert!(serde_json::from_str::<Money>(r#"{"amount_minor":1,"currency":"USD","x":1}"#).is_err());
    }

    #[test]
    fn reads_well() {
        assert_eq!(Money::new(129_905, Currency::USD).to_string(), "1299.05 USD");
        assert_eq!(Money::new(-5, Currency::EUR).to_string(), "-0.05 EUR");
    }

    proptest! {
        #[test]
        fn adding_then_subtracting_gives_the_first(a in any::<i32>(), b in any::<i32>()) {
            let (a, b) = (Money::new(a.into(), Currency::USD), Money::new(b.into(), Currency::USD));
            prop_assert_eq!(a.checked_add(b).unwrap().checked_sub(b).unwrap(), a);
        }

        #[test]
        fn never_wraps(a in any::<i64>(), times in any::<u32>()) {
            let expected = i128::from(a) * i128::from(times);
            match Money::new(a, Currency::USD).checked_mul(times) {
                Ok(product) => prop_assert_eq!(i128::from(product.amount_minor), expected),
                Err(error) => {
                    prop_assert_eq!(error, MoneyError::Overflow);
                    prop_assert!(i64::try_from(expected).is_err());
                }
            }
        }

        #[test]
        fn currencies_never_mix(a in any::<i64>(), b in any::<i64>()) {
            let sum = Money::new(a, Currency::USD).checked_add(Money::new(b, Currency::EUR));
            prop_assert!(sum.is_err(), "added dollars to euros");
        }
    }
}
