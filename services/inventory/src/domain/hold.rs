use chrono::TimeDelta;

/// How long a reservation holds before it expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldSeconds(i64);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be from {} to {} seconds", HoldSeconds::MIN, HoldSeconds::MAX)]
pub struct InvalidHold;

impl HoldSeconds {
    pub const MIN: i64 = 10;
    pub const MAX: i64 = 3_600;

    pub fn new(seconds: i64) -> Result<Self, InvalidHold> {
        if (Self::MIN..=Self::MAX).contains(&seconds) {
            Ok(Self(seconds))
        } else {
            Err(InvalidHold)
        }
    }

    pub fn as_delta(self) -> TimeDelta {
        TimeDelta::seconds(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_bounded() {
        for bad in [i64::MIN, -1, 0, 9, 3_601, i64::MAX] {
            assert!(HoldSeconds::new(bad).is_err(), "{bad} was taken");
        }
        assert_eq!(HoldSeconds::new(10).unwrap().as_delta().num_seconds(), 10);
        assert_eq!(HoldSeconds::new(3_600).unwrap().as_delta().num_seconds(), 3_600);
    }
}
