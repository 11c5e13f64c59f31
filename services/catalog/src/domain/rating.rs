use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The sum and the number of a product's ratings; exact, whatever order they came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rating {
    pub(crate) sum: i64,
    pub(crate) count: i32,
}

/// 1 to 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(transparent)]
#[garde(transparent)]
pub(crate) struct Stars(#[garde(range(min = 1, max = 5))] pub(crate) i16);

impl Rating {
    /// The average in hundredths of a star, half up; 0 without a rating.
    pub(crate) fn hundredths(self) -> u32 {
        let count = i64::from(self.count);
        if count <= 0 {
            return 0;
        }
        u32::try_from((self.sum * 100 + count / 2) / count).unwrap_or(0)
    }

    pub(crate) fn view(self) -> RatingView {
        let hundredths = self.hundredths();
        // Through text: 437 becomes the number that is written 4.37, without arithmetic on floats.
        let average = format!("{}.{:02}", hundredths / 100, hundredths % 100);
        RatingView {
            average: average.parse().unwrap_or_default(),
            count: u32::try_from(self.count).unwrap_or(0),
        }
    }
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Rating)]
pub(crate) struct RatingView {
    /// Rounded to two decimals; 0 without a review.
    #[schema(example = 4.37)]
    average: f64,
    count: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_is_rounded_half_up() {
        for (sum, count, expected) in [(0, 0, 0), (9, 2, 450), (13, 3, 433), (14, 3, 467), (5, 1, 500)] {
            assert_eq!(Rating { sum, count }.hundredths(), expected, "{sum}/{count}");
        }
        let json = serde_json::to_string(&Rating { sum: 13, count: 3 }.view()).unwrap();
        assert_eq!(json, r#"{"average":4.33,"count":3}"#);
    }
}
