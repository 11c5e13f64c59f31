#![expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "garde hands its context to custom rules by reference"
)]

use std::fmt;

use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where an order goes. Checked when it is read from a request, and stored as it came.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShippingAddress {
    #[garde(length(chars, min = 1, max = 200), custom(one_line))]
    #[schema(min_length = 1, max_length = 200, example = "Ada Lovelace")]
    pub(crate) name: String,
    #[garde(length(chars, min = 1, max = 200), custom(one_line))]
    #[schema(min_length = 1, max_length = 200, example = "12 St James's Square")]
    pub(crate) line1: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(length(chars, max = 200), inner(custom(one_line)))]
    #[schema(max_length = 200)]
    pub(crate) line2: Option<String>,
    #[garde(length(chars, min = 1, max = 100), custom(one_line))]
    #[schema(min_length = 1, max_length = 100, example = "London")]
    pub(crate) city: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(length(chars, max = 100), inner(custom(one_line)))]
    #[schema(max_length = 100)]
    pub(crate) region: Option<String>,
    #[garde(length(chars, min = 1, max = 20), custom(one_line))]
    #[schema(min_length = 1, max_length = 20, example = "SW1Y 4JH")]
    pub(crate) postal_code: String,
    /// ISO 3166-1 alpha-2.
    #[garde(custom(country_code))]
    #[schema(pattern = "^[A-Z]{2}$", example = "GB")]
    pub(crate) country: String,
}

/// Addresses end up on labels and in mails: no control characters, and more than blanks.
fn one_line(text: &str, (): &()) -> garde::Result {
    if text.trim().is_empty() {
        return Err(garde::Error::new("must not be blank"));
    }
    if text.chars().any(char::is_control) {
        return Err(garde::Error::new("must not hold control characters"));
    }
    Ok(())
}

fn country_code(text: &str, (): &()) -> garde::Result {
    if text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Ok(());
    }
    Err(garde::Error::new(
        "must be a country code of two upper-case letters, such as US",
    ))
}

/// Personal data: `Debug` must not carry it into a log.
impl fmt::Debug for ShippingAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShippingAddress(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> ShippingAddress {
        ShippingAddress {
            name: "Ada Lovelace".into(),
            line1: "12 St James's Square".into(),
            line2: None,
            city: "London".into(),
            region: None,
            postal_code: "SW1Y 4JH".into(),
            country: "GB".into(),
        }
    }

    #[test]
    fn takes_an_address_and_names_what_is_wrong_with_another() {
        type Spoil = fn(&mut ShippingAddress);
        address().validate().unwrap();
        let spoilt: [(&str, Spoil); 5] = [
            ("country", |address| address.country = "UKX".into()),
            ("country", |address| address.country = "gb".into()),
            ("name", |address| address.name = "  ".into()),
            ("line2", |address| address.line2 = Some("a\r\nBcc: x".into())),
            ("city", |address| address.city = "x".repeat(101)),
        ];
        for (field, spoil) in spoilt {
            let mut address = address();
            spoil(&mut address);
            let report = address.validate().unwrap_err().to_string();
            assert!(report.contains(field), "{field}: {report}");
        }
    }

    #[test]
    fn stays_out_of_logs() {
        assert!(!format!("{:?}", address()).contains("Ada"));
    }
}
