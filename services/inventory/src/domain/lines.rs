use ferrocart_types::{Quantity, SkuId};

/// So many units of one SKU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    pub sku: SkuId,
    pub quantity: i32,
}

impl Line {
    pub fn units(&self) -> i64 {
        i64::from(self.quantity)
    }
}

/// What one reservation asks for: 1 to 100 lines, one a SKU, in the order in which the SKUs were first
/// named. Lines that share a SKU were summed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines(Vec<Line>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLines {
    #[error("must have from 1 to {} lines", Lines::MAX)]
    Count,
    #[error("every line must have a SKU of its own and a quantity of at least 1")]
    Stored,
}

impl Lines {
    pub const MAX: usize = 100;

    pub fn sum_up(asked: &[(SkuId, Quantity)]) -> Result<Self, InvalidLines> {
        if !(1..=Self::MAX).contains(&asked.len()) {
            return Err(InvalidLines::Count);
        }
        let mut lines: Vec<Line> = Vec::with_capacity(asked.len());
        for (sku, quantity) in asked {
            // At most 100 times 10,000: the sum cannot overflow.
            match lines.iter_mut().find(|line| line.sku == *sku) {
                Some(line) => line.quantity += quantity.as_i32(),
                None => lines.push(Line {
                    sku: *sku,
                    quantity: quantity.as_i32(),
                }),
            }
        }
        Ok(Self(lines))
    }

    /// Of what never held anything.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Lines as they were stored.
    pub fn from_stored(lines: Vec<Line>) -> Result<Self, InvalidLines> {
        if !(1..=Self::MAX).contains(&lines.len()) {
            return Err(InvalidLines::Count);
        }
        let sound = lines.iter().enumerate().all(|(index, line)| {
            line.quantity > 0 && lines.iter().skip(index + 1).all(|other| other.sku != line.sku)
        });
        if sound {
            Ok(Self(lines))
        } else {
            Err(InvalidLines::Stored)
        }
    }

    pub fn as_slice(&self) -> &[Line] {
        &self.0
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Line> {
        self.0.iter()
    }

    /// Whether both ask for the same units, in whatever order.
    pub fn same_units(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().all(|line| other.0.contains(line))
    }

    /// The SKU whose lane serves these lines: the lowest, so that the same SKUs meet in the same lane.
    pub fn lowest_sku(&self) -> Option<SkuId> {
        self.0.iter().map(|line| line.sku).min()
    }
}

impl<'a> IntoIterator for &'a Lines {
    type Item = &'a Line;
    type IntoIter = std::slice::Iter<'a, Line>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn sku(n: u128) -> SkuId {
        SkuId(Uuid::from_u128(n))
    }

    fn quantity(n: i64) -> Quantity {
        Quantity::new(n).unwrap()
    }

    #[test]
    fn lines_of_one_sku_are_summed_and_keep_their_order() {
        let lines = Lines::sum_up(&[
            (sku(2), quantity(1)),
            (sku(1), quantity(5)),
            (sku(2), quantity(3)),
        ])
        .unwrap();
        let expected = [
            Line {
                sku: sku(2),
                quantity: 4,
            },
            Line {
                sku: sku(1),
                quantity: 5,
            },
        ];
        assert_eq!(lines.as_slice(), expected);
        assert_eq!(lines.lowest_sku(), Some(sku(1)));
    }

    #[test]
    fn the_count_is_bounded_and_the_largest_sum_fits() {
        assert_eq!(Lines::sum_up(&[]), Err(InvalidLines::Count));
        let hundred = vec![(sku(1), quantity(10_000)); 100];
        assert_eq!(Lines::sum_up(&hundred).unwrap().as_slice()[0].quantity, 1_000_000);
        let more = vec![(sku(1), quantity(1)); 101];
        assert_eq!(Lines::sum_up(&more), Err(InvalidLines::Count));
    }

    #[test]
    fn the_order_of_lines_does_not_make_another_request() {
        let one = Lines::sum_up(&[(sku(1), quantity(1)), (sku(2), quantity(2))]).unwrap();
        let turned = Lines::sum_up(&[(sku(2), quantity(2)), (sku(1), quantity(1))]).unwrap();
        let other = Lines::sum_up(&[(sku(2), quantity(2)), (sku(1), quantity(2))]).unwrap();
        assert!(one.same_units(&turned));
        assert!(!one.same_units(&other));
    }

    #[test]
    fn stored_lines_are_checked() {
        let line = Line {
            sku: sku(1),
            quantity: 1,
        };
        assert!(Lines::from_stored(vec![line]).is_ok());
        assert_eq!(Lines::from_stored(vec![line, line]), Err(InvalidLines::Stored));
        assert_eq!(Lines::from_stored(Vec::new()), Err(InvalidLines::Count));
    }
}
