use std::fmt::Write;

use ferrocart_types::OrderId;

use crate::domain::Counters;

/// What the three records of one SKU say in one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub row: Counters,
    /// The sums of the ledger's deltas, and its newest version.
    pub ledger: LedgerSums,
    /// The units of all reservations that are RESERVED or CONFIRMED.
    pub open: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerSums {
    pub on_hand: i64,
    pub reserved: i64,
    pub version: i64,
}

/// An order for which ledger and reservation differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderGap {
    pub order_id: OrderId,
    pub ledger: i64,
    pub open: i64,
}

impl Standing {
    pub fn on_hand_in_order(&self) -> bool {
        self.row.on_hand == self.ledger.on_hand
    }

    pub fn reserved_in_order(&self) -> bool {
        self.row.reserved == self.ledger.reserved && self.row.reserved == self.open
    }

    /// The next version must be free in the ledger.
    pub fn version_in_order(&self) -> bool {
        self.row.version >= self.ledger.version
    }

    pub fn in_order(&self) -> bool {
        self.on_hand_in_order() && self.reserved_in_order() && self.version_in_order()
    }

    /// The counters as they should be: what is on hand by the ledger, what is reserved by the reservations,
    /// which are what buyers were promised. None when those promise more than there is: only somebody
    /// who counts the units can say what is true then.
    pub fn repaired(&self) -> Option<Counters> {
        // What is no longer sold has nothing available; units that come free are written off.
        let on_hand = if self.row.discontinued {
            self.open
        } else {
            self.ledger.on_hand
        };
        let fits = 0 <= self.open && self.open <= self.ledger.on_hand && on_hand <= Counters::ON_HAND_MAX;
        fits.then_some(Counters {
            on_hand,
            reserved: self.open,
            version: self.row.version.max(self.ledger.version),
            ..self.row
        })
    }

    /// What differs, for a person.
    pub fn explain(&self, gaps: &[OrderGap]) -> String {
        if self.in_order() {
            return "counters, open reservations and ledger agree".to_owned();
        }
        let mut parts = Vec::new();
        let Self { row, ledger, open } = self;
        if !self.on_hand_in_order() {
            parts.push(format!(
                "on_hand is {} and the ledger adds up to {}: the counter was changed past the service",
                row.on_hand, ledger.on_hand
            ));
        }
        if row.reserved != ledger.reserved {
            parts.push(format!(
                "reserved is {} and the ledger adds up to {}: the counter was changed past the service",
                row.reserved, ledger.reserved
            ));
        }
        if *open != ledger.reserved {
            let mut part = format!(
                "open reservations hold {open} and the ledger says {}: reservations were changed past the service",
                ledger.reserved
            );
            for gap in gaps {
                let OrderGap {
                    order_id,
                    ledger,
                    open,
                } = gap;
                // Writing to a string does not fail.
                write!(part, "; order {order_id} holds {open}, by the ledger {ledger}").unwrap_or_default();
            }
            parts.push(part);
        }
        if !self.version_in_order() {
            parts.push(format!(
                "version is {} and the ledger is at {}: the row was changed past the service",
                row.version, ledger.version
            ));
        }
        if self.repaired().is_none() {
            parts.push("more is promised than there is: count the units and adjust".to_owned());
        }
        parts.join(". ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(on_hand: (i64, i64), reserved: (i64, i64, i64)) -> Standing {
        Standing {
            row: Counters {
                on_hand: on_hand.0,
                reserved: reserved.0,
                version: 7,
                ..Counters::EMPTY
            },
            ledger: LedgerSums {
                on_hand: on_hand.1,
                reserved: reserved.2,
                version: 7,
            },
            open: reserved.1,
        }
    }

    #[test]
    fn what_agrees_is_in_order_and_each_difference_is_named() {
        assert!(standing((9, 9), (2, 2, 2)).in_order());
        for (wrong, word) in [
            (standing((8, 9), (2, 2, 2)), "on_hand is 8"),
            (standing((9, 9), (3, 2, 2)), "reserved is 3"),
            (standing((9, 9), (2, 1, 2)), "open reservations hold 1"),
        ] {
            assert!(!wrong.in_order());
            assert!(wrong.explain(&[]).contains(word), "{}", wrong.explain(&[]));
        }
    }

    #[test]
    fn reservations_decide_what_is_reserved_and_the_ledger_what_is_there() {
        let repaired = standing((8, 9), (5, 1, 2)).repaired().unwrap();
        assert_eq!((repaired.on_hand, repaired.reserved), (9, 1));
        assert_eq!(standing((9, 9), (2, 10, 2)).repaired(), None);
        let mut discontinued = standing((2, 2), (2, 1, 2));
        discontinued.row.discontinued = true;
        let repaired = discontinued.repaired().unwrap();
        assert_eq!((repaired.on_hand, repaired.reserved), (1, 1));
    }
}
