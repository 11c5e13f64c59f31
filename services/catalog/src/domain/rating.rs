use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The ratings of a product: how many of 1, 2, 3, 4 and 5 stars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rating(pub(crate) [i32; 5]);

/// 1 to 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(transparent)]
#[garde(transparent)]
pub(crate) struct Stars(#[garde(range(min = 1, max = 5))] pub(crate) i16);

impl Rating {
    pub(crate) fn sum(self) -> i64 {
        (1..)
            .zip(self.0)
            .map(|(stars, count)| stars * i64::from(count))
            .sum()
    }

    pub(crate) fn count(self) -> i32 {
        self.0.iter().sum()
    }

    /// The average in hundredths of a star, half up; 0 without a rating.
    pub(crate) fn hundredths(self) -> u32 {
        let count = i64::from(self.count());
        if count <= 0 {
            return 0;
        }
        u32::try_from((self.sum() * 100 + count / 2) / count).unwrap_or(0)
    }

    pub(crate) fn view(self) -> RatingView {
        let hundredths = self.hundredths();
        // Through text: 437 becomes the number that is written 4.37, without arithmetic on floats.
        let average = format!("{}.{:02}", hundredths / 100, hundredths % 100);
        RatingView {
            average: average.parse().unwrap_or_default(),
            count: u32::try_from(self.count()).unwrap_or(0),
            histogram: self.0,
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
    /// How many of 1, 2, 3, 4 and 5 stars.
    #[schema(example = json!([1, 0, 2, 5, 12]))]
    histogram: [i32; 5],
}

/// Whether a review is shown and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ReviewStatus {
    /// Waits for a moderator.
    Pending,
    Published,
    Rejected,
}

impl ReviewStatus {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Published => "published",
            Self::Rejected => "rejected",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Pending, Self::Published, Self::Rejected]
            .into_iter()
            .find(|status| status.as_str() == text)
    }

    /// Of a new review.
    pub(crate) const fn first(needs_approval: bool) -> Self {
        if needs_approval {
            Self::Pending
        } else {
            Self::Published
        }
    }

    /// After its author has changed it. What was rejected is not published by changing it.
    pub(crate) const fn rewritten(self, needs_approval: bool) -> Self {
        match self {
            Self::Published => Self::first(needs_approval),
            Self::Pending | Self::Rejected => Self::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_is_rounded_half_up() {
        for (histogram, expected) in [
            ([0, 0, 0, 0, 0], 0),
            ([0, 0, 0, 1, 1], 450),
            ([0, 0, 0, 2, 1], 433),
            ([0, 0, 0, 1, 2], 467),
            ([0, 0, 0, 0, 1], 500),
            ([1, 1, 1, 1, 1], 300),
        ] {
            assert_eq!(Rating(histogram).hundredths(), expected, "{histogram:?}");
        }
        let json = serde_json::to_string(&Rating([0, 0, 0, 2, 1]).view()).unwrap();
        assert_eq!(json, r#"{"average":4.33,"count":3,"histogram":[0,0,0,2,1]}"#);
    }

    #[test]
    fn what_was_rejected_is_not_published_by_its_author() {
        use ReviewStatus::{Pending, Published, Rejected};
        assert_eq!(Published.rewritten(false), Published);
        assert_eq!(Published.rewritten(true), Pending);
        assert_eq!(Rejected.rewritten(false), Pending);
        assert_eq!(Pending.rewritten(false), Pending);
    }
}
