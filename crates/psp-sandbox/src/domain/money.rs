//! Amounts in minor units of a three-letter currency.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Stripe takes at most eight digits.
const AMOUNT_MAX: i64 = 99_999_999;

/// A positive count of minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub(crate) struct Amount(i64);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadAmount {
    #[error("This value must be greater than or equal to 1.")]
    TooSmall,
    #[error("Amount must be no more than 99999999 minor units.")]
    TooLarge,
}

impl Amount {
    pub(crate) fn new(minor: i64) -> Result<Self, BadAmount> {
        match minor {
            i64::MIN..=0 => Err(BadAmount::TooSmall),
            1..=AMOUNT_MAX => Ok(Self(minor)),
            _ => Err(BadAmount::TooLarge),
        }
    }

    pub(crate) fn minor(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for Amount {
    type Error = BadAmount;
    fn try_from(minor: i64) -> Result<Self, BadAmount> {
        Self::new(minor)
    }
}

impl From<Amount> for i64 {
    fn from(amount: Amount) -> Self {
        amount.0
    }
}

/// A lower-case ISO 4217 code, as Stripe writes it.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Currency([u8; 3]);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid currency: {0}.")]
pub(crate) struct BadCurrency(String);

impl Currency {
    pub(crate) fn parse(text: &str) -> Result<Self, BadCurrency> {
        let lower = text.to_ascii_lowercase();
        match *lower.as_bytes() {
            [a, b, c] if [a, b, c].iter().all(u8::is_ascii_lowercase) => Ok(Self([a, b, c])),
            _ => Err(BadCurrency(text.chars().take(16).collect())),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        // The constructor took ASCII letters only.
        std::str::from_utf8(&self.0).unwrap_or("usd")
    }

    /// The least that Stripe charges in this currency.
    pub(crate) fn minimum(self) -> i64 {
        match self.as_str() {
            "usd" | "eur" | "jpy" | "cad" | "aud" | "chf" | "brl" | "inr" | "sgd" | "nzd" => 50,
            "gbp" => 30,
            "sek" | "nok" => 300,
            "dkk" => 250,
            _ => 1,
        }
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<String> for Currency {
    type Error = BadCurrency;
    fn try_from(text: String) -> Result<Self, BadCurrency> {
        Self::parse(&text)
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_positive_and_bounded() {
        assert_eq!(Amount::new(0), Err(BadAmount::TooSmall));
        assert_eq!(Amount::new(i64::MIN), Err(BadAmount::TooSmall));
        assert_eq!(Amount::new(AMOUNT_MAX).map(Amount::minor), Ok(AMOUNT_MAX));
        assert_eq!(Amount::new(AMOUNT_MAX + 1), Err(BadAmount::TooLarge));
    }

    #[test]
    fn currencies_are_three_letters_lowered() {
        assert_eq!(Currency::parse("USD").unwrap().as_str(), "usd");
        for bad in ["", "us", "usdd", "u5d", "é1"] {
            assert!(Currency::parse(bad).is_err(), "{bad}");
        }
    }
}
