//! What is to go wrong, and how often.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::Point;

/// What happens at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The step fails: before it nothing was done, after it its outcome is lost.
    Error,
    /// The step is late by so much.
    Delay(Duration),
    /// The process kills itself, as `kill -9` would.
    Kill,
    /// The step is executed twice: at once if set before it, once more if set after it.
    Twice,
    /// The task ends as if its process had died.
    Stop,
}

/// An action at a point. Written `order.reserve.before=kill`, `payment.capture.after=delay:4000`,
/// `consumer.apply.after=error*always%50` (50 of 1,000 times), `cart.mark.before=twice*3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    pub point: Point,
    pub action: Action,
    /// How often it happens before the point does nothing again; `None` for no end.
    pub times: Option<u32>,
    /// How many of 1,000 passes are met.
    pub permille: u16,
}

impl Plan {
    pub const fn once(point: Point, action: Action) -> Self {
        Self {
            point,
            action,
            times: Some(1),
            permille: 1_000,
        }
    }

    /// Several plans, with semicolons between.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, InvalidPlan> {
        text.split(';')
            .map(str::trim)
            .filter(|plan| !plan.is_empty())
            .map(str::parse)
            .collect()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a failpoint's plan: {0}")]
pub struct InvalidPlan(pub(crate) String);

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error => f.write_str("error"),
            Self::Delay(delay) => write!(f, "delay:{}", delay.as_millis()),
            Self::Kill => f.write_str("kill"),
            Self::Twice => f.write_str("twice"),
            Self::Stop => f.write_str("stop"),
        }
    }
}

impl FromStr for Action {
    type Err = InvalidPlan;

    fn from_str(text: &str) -> Result<Self, InvalidPlan> {
        match text {
            "error" => Ok(Self::Error),
            "kill" => Ok(Self::Kill),
            "twice" => Ok(Self::Twice),
            "stop" => Ok(Self::Stop),
            _ => text
                .strip_prefix("delay:")
                .and_then(|ms| ms.parse().ok())
                .map(|ms| Self::Delay(Duration::from_millis(ms)))
                .ok_or_else(|| InvalidPlan(format!("there is no action {text:?}"))),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.point, self.action)?;
        match self.times {
            Some(1) => {}
            Some(times) => write!(f, "*{times}")?,
            None => f.write_str("*always")?,
        }
        if self.permille != 1_000 {
            write!(f, "%{}", self.permille)?;
        }
        Ok(())
    }
}

impl FromStr for Plan {
    type Err = InvalidPlan;

    fn from_str(text: &str) -> Result<Self, InvalidPlan> {
        let invalid = |what: &str| InvalidPlan(format!("{what} in {text:?}"));
        let (point, rest) = text.split_once('=').ok_or_else(|| invalid("no ="))?;
        let (rest, permille) = match rest.split_once('%') {
            Some((rest, permille)) => (rest, permille.parse().map_err(|_| invalid("no number behind %"))?),
            None => (rest, 1_000),
        };
        if permille > 1_000 {
            return Err(invalid("more than 1000 of 1000"));
        }
        let (action, times) = match rest.split_once('*') {
            Some((action, "always")) => (action, None),
            Some((action, times)) => (
                action,
                Some(times.parse().map_err(|_| invalid("no number behind *"))?),
            ),
            None => (rest, Some(1)),
        };
        Ok(Self {
            point: point.parse()?,
            action: action.parse()?,
            times,
            permille,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Site;

    #[test]
    fn plans_are_read_as_they_are_written() {
        for text in [
            "order.reserve.before=kill",
            "payment.capture.after=delay:4000",
            "consumer.apply.after=error*always%50",
            "cart.mark.before=twice*3",
        ] {
            assert_eq!(text.parse::<Plan>().unwrap().to_string(), text);
        }
        let plans = Plan::parse_all("relay.publish.after=error; order.void.before=stop;").unwrap();
        assert_eq!(plans[0], Plan::once(Site::RelayPublish.after(), Action::Error));
        assert_eq!(plans.len(), 2);
    }

    #[test]
    fn nonsense_is_refused_with_its_reason() {
        for (text, reason) in [
            ("order.reserve.before", "no ="),
            ("order.nothing.before=kill", "order.nothing.before"),
            ("order.reserve.before=explode", "explode"),
            ("order.reserve.before=delay:soon", "delay:soon"),
            ("order.reserve.before=kill*often", "behind *"),
            ("order.reserve.before=kill%1001", "1000"),
        ] {
            let error = text.parse::<Plan>().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
