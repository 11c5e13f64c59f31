//! How good a ranking is.
#![expect(clippy::float_arithmetic, reason = "a quality is no money")]

/// Hits that are looked at: a page as most people see it.
pub(super) const DEPTH: usize = 10;

/// The normalised discounted cumulative gain of the first ten hits, in thousandths: 1000 if no order of the
/// products could be better. A product of grade g is worth 2^g - 1, divided by the logarithm of its place.
/// `None` if no product has a grade.
pub(super) fn ndcg(hits: &[u8], all: &[u8]) -> Option<u64> {
    let mut ideal = all.to_vec();
    ideal.sort_unstable_by(|one, other| other.cmp(one));
    let best = gain(&ideal);
    if best <= 0.0 {
        return None;
    }
    // Both are sums of a few small numbers; the quotient lies between 0 and 1.
    let permille = (gain(hits) / best * 1000.0).round();
    format!("{permille:.0}").parse().ok()
}

fn gain(grades: &[u8]) -> f64 {
    let places = (2_u32..).map(f64::from);
    grades
        .iter()
        .take(DEPTH)
        .zip(places)
        .map(|(grade, place)| (f64::from(*grade).exp2() - 1.0) / place.log2())
        // Not `sum`, which makes nothing a negative zero.
        .fold(0.0, |sum, gain| sum + gain)
}

/// The average.
pub(super) fn mean(values: &[u64]) -> u64 {
    let count = u64::try_from(values.len()).unwrap_or(u64::MAX);
    let sum: u64 = values.iter().sum();
    sum.checked_div(count).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figure_of_the_literature() {
        // Grades 3 2 3 0 1 2, with another 3 and 2 that were not found: DCG 13.848, of 18.771 at best.
        assert_eq!(ndcg(&[3, 2, 3, 0, 1, 2], &[3, 2, 3, 0, 1, 2, 3, 2]), Some(738));
    }

    #[test]
    fn the_ideal_order_is_all_and_nothing_is_none() {
        assert_eq!(ndcg(&[3, 2, 1], &[1, 2, 3, 0]), Some(1000));
        assert_eq!(ndcg(&[], &[1, 2, 3]), Some(0));
        assert_eq!(ndcg(&[0, 0], &[0, 0]), None);
        assert!(ndcg(&[2, 3], &[2, 3]) < Some(1000), "the order counts");
    }

    #[test]
    fn only_the_first_ten_count() {
        let mut hits = vec![0; 10];
        hits.push(3);
        assert_eq!(ndcg(&hits, &[3]), Some(0));
        // More than ten could be first: ten are enough.
        assert_eq!(ndcg(&[1; 10], &[1; 50]), Some(1000));
    }

    #[test]
    fn means() {
        assert_eq!(mean(&[1, 2, 6]), 3);
        assert_eq!(mean(&[]), 0);
    }
}
