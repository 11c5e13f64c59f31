use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

const CHARS_MAX: usize = 255;
/// The shortest card number.
const CARD_DIGITS_MIN: usize = 13;

/// The provider's token of a payment method, such as `pm_card_visa`. Never a card number: what could
/// be one is refused before it is stored, sent or repeated in an error.
#[derive(Clone, PartialEq, Eq)]
pub struct MethodToken(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    #[error("this may be a card number, which must never be sent here: send the provider's token, pm_…")]
    CardNumber,
    #[error("a payment method's token is expected: pm_ and then letters, digits and underscores")]
    Malformed,
}

impl MethodToken {
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        if may_hold_card_number(text) {
            return Err(InvalidToken::CardNumber);
        }
        let inside = text.strip_prefix("pm_").ok_or(InvalidToken::Malformed)?;
        let well_formed = !inside.is_empty()
            && text.len() <= CHARS_MAX
            && inside.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidToken::Malformed)
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Thirteen digits in a row, with or without the gaps that people write between them.
fn may_hold_card_number(text: &str) -> bool {
    let mut run = 0_usize;
    for c in text.chars() {
        if c.is_numeric() {
            run += 1;
            if run >= CARD_DIGITS_MIN {
                return true;
            }
        } else if !c.is_whitespace() && !matches!(c, '-' | '.' | '_' | '/') {
            run = 0;
        }
    }
    false
}

/// serde would repeat a value of the wrong type in its error, and the value may be a card number.
impl<'de> Deserialize<'de> for MethodToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Self::parse(&text).map_err(D::Error::custom),
            serde_json::Value::Number(_) => Err(D::Error::custom(InvalidToken::CardNumber)),
            _ => Err(D::Error::custom(InvalidToken::Malformed)),
        }
    }
}

impl fmt::Debug for MethodToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MethodToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_taken_and_card_numbers_are_not() {
        for good in [
            "pm_card_visa",
            "pm_sandbox_noAnswer",
            "pm_1MqLiJLkdIwHu7ixUEgbFdYz",
        ] {
            assert_eq!(MethodToken::parse(good).unwrap().as_str(), good);
        }
        for card in [
            "4242424242424242",
            "4242 4242 4242 4242",
            "4242-4242-4242-4242",
            "pm_4242424242424",
            "378282246310005",
            "pm_4242_4242_4242_4242",
            "6304000000000000019",
            "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢",
        ] {
            assert_eq!(MethodToken::parse(card), Err(InvalidToken::CardNumber), "{card}");
        }
        for bad in ["", "pm_", "card_visa", "pm_a b", "pm_x'; --"] {
            assert_eq!(MethodToken::parse(bad), Err(InvalidToken::Malformed), "{bad}");
        }
        assert!(MethodToken::parse(&format!("pm_{}", "a".repeat(300))).is_err());
    }

    #[test]
    fn a_refused_value_is_not_repeated() {
        for json in ["4242424242424242", "\"4242424242424242\"", "[4242424242424242]"] {
            let error = serde_json::from_str::<MethodToken>(json).unwrap_err();
            assert!(!error.to_string().contains("4242"), "{error}");
        }
    }
}
