use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::problem::Problem;

const CURSOR_BYTES_MAX: usize = 2_048;

/// One page of a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Pass it as `cursor` to read on; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// `?limit=&cursor=` of every list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// How many items at most: 1 to 100, 20 by default.
    #[param(minimum = 1, maximum = 100)]
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl PageQuery {
    pub const LIMIT_DEFAULT: u32 = 20;
    pub const LIMIT_MAX: u32 = 100;

    pub fn limit(&self) -> Result<u32, Problem> {
        match self.limit.unwrap_or(Self::LIMIT_DEFAULT) {
            limit @ 1..=Self::LIMIT_MAX => Ok(limit),
            _ => Err(Problem::invalid_field(
                "limit",
                format!("must be from 1 to {}", Self::LIMIT_MAX),
            )),
        }
    }

    /// Where to read on, if a cursor was sent.
    pub fn after<T: DeserializeOwned>(&self) -> Result<Option<T>, Problem> {
        self.cursor.as_deref().map(decode_cursor).transpose()
    }
}

/// Makes a position opaque, so that clients do not come to depend on what is in it.
pub fn encode_cursor<T: Serialize>(position: &T) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(position).unwrap_or_default())
}

pub fn decode_cursor<T: DeserializeOwned>(cursor: &str) -> Result<T, Problem> {
    let invalid = || Problem::invalid_field("cursor", "is not a cursor of this list");
    if cursor.len() > CURSOR_BYTES_MAX {
        return Err(invalid());
    }
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| invalid())?;
    serde_json::from_slice(&bytes).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_a_forged_one_is_refused() {
        let cursor = encode_cursor(&(17_u32, "shoe"));
        assert_eq!(
            decode_cursor::<(u32, String)>(&cursor).unwrap(),
            (17, "shoe".to_owned())
        );
        for bad in ["", "%%%", "e30", &"A".repeat(4000)] {
            assert_eq!(
                decode_cursor::<(u32, String)>(bad).unwrap_err().code(),
                "VALIDATION_ERROR"
            );
        }
    }
}
