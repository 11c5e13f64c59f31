//! Draws by Zipf's law: the second of all is drawn half as often as the first, the third a third as often. A shop's
//! products are looked at in about this way.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use uuid::Uuid;

/// The first one's weight; large enough that the millionth one still has one.
const FIRST: u64 = 1 << 40;

/// The same seed and number give the same id: nothing is shared between those who draw.
#[derive(Debug, Clone)]
pub struct Zipf {
    ids: Arc<Vec<Uuid>>,
    /// The weights of all up to here.
    sums: Arc<Vec<u64>>,
    seed: u64,
}

impl Zipf {
    /// The first id is drawn most often.
    pub fn new(ids: Arc<Vec<Uuid>>) -> Self {
        let sums = (1..).zip(ids.iter()).scan(0, |sum: &mut u64, (rank, _)| {
            *sum = sum.saturating_add(FIRST / rank);
            Some(*sum)
        });
        Self {
            sums: Arc::new(sums.collect()),
            ids,
            seed: 0,
        }
    }

    /// Other draws from the same.
    #[must_use]
    pub fn seeded(&self, seed: u64) -> Self {
        Self { seed, ..self.clone() }
    }

    pub fn pick(&self, number: u64) -> Result<Uuid> {
        let all = self.sums.last().copied().context("nothing to draw from")?;
        let drawn = scattered(scattered(self.seed) ^ number) % all;
        let index = self.sums.partition_point(|sum| *sum <= drawn);
        self.ids.get(index).copied().context("a draw past the end")
    }
}

/// The finalizer of splitmix64: numbers that follow one another come out far apart.
pub(crate) fn scattered(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_first_is_drawn_twice_as_often_as_the_second() {
        let ids: Vec<Uuid> = (0..1_000).map(Uuid::from_u128).collect();
        let zipf = Zipf::new(Arc::new(ids.clone())).seeded(3);
        let mut drawn: BTreeMap<Uuid, u64> = BTreeMap::new();
        for number in 0..100_000 {
            *drawn.entry(zipf.pick(number).unwrap()).or_default() += 1;
        }
        // The sum of 1/n up to 1,000 is 7.49.
        for rank in [1, 2, 10] {
            let expected = 100_000 * 100 / 749 / rank;
            let found = drawn[&ids[usize::try_from(rank).unwrap() - 1]];
            assert!(
                found.abs_diff(expected) < expected / 10,
                "rank {rank}: {found}, not {expected}"
            );
        }
        assert!(drawn.len() > 990, "the last ones are drawn too");
    }

    #[test]
    fn another_seed_draws_others() {
        let ids: Vec<Uuid> = (0..100_000).map(Uuid::from_u128).collect();
        let zipf = Zipf::new(Arc::new(ids));
        let draws = |seed| -> Vec<Uuid> {
            let zipf = zipf.seeded(seed);
            (0..50).map(|number| zipf.pick(number).unwrap()).collect()
        };
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
    }
}
