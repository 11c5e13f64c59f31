use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A telephone number as E.164 writes it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = r"^\+[1-9][0-9]{7,14}$", example = "+4915112345678")]
pub(crate) struct Phone(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a telephone number as E.164 writes it, such as +4915112345678")]
pub(crate) struct InvalidPhone;

impl Phone {
    /// A plus, the country and the number, 8 to 15 digits and nothing between them.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidPhone> {
        let digits = text.strip_prefix('+').ok_or(InvalidPhone)?;
        let well_formed = (8..=15).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit());
        if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidPhone)
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Phone {
    type Error = InvalidPhone;

    fn try_from(text: String) -> Result<Self, InvalidPhone> {
        Self::parse(&text)
    }
}

impl From<Phone> for String {
    fn from(phone: Phone) -> Self {
        phone.0
    }
}

impl std::str::FromStr for Phone {
    type Err = InvalidPhone;

    fn from_str(text: &str) -> Result<Self, InvalidPhone> {
        Self::parse(text)
    }
}

/// Personal data: `Debug` must not carry it into a log.
impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phone(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_numbers_of_e164_and_nothing_else() {
        for good in ["+4915112345678", "+12025550123", "+29012345", "+123456789012345"] {
            assert_eq!(Phone::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "+",
            "4915112345678",
            "+0915112345678",
            "+1234567",
            "+1234567890123456",
            "+49 151 12345678",
            "+49151123456a8",
            "+４９15112345678",
            " +4915112345678",
        ] {
            assert_eq!(Phone::parse(bad), Err(InvalidPhone), "{bad}");
        }
        assert_eq!(format!("{:?}", Phone::parse("+29012345").unwrap()), "Phone(…)");
    }
}
