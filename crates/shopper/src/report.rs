//! What was tried, what came back, and what was not as it must be.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::api::{Answer, Call};
use crate::screen::format_duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Chapter {
    Arrive,
    Browse,
    Buy,
    Fulfil,
    Trouble,
    Refusals,
    TidyUp,
}

impl Chapter {
    pub fn title(self) -> &'static str {
        match self {
            Self::Arrive => "Arriving",
            Self::Browse => "Looking around",
            Self::Buy => "Buying",
            Self::Fulfil => "From the warehouse to the doorstep",
            Self::Trouble => "When it does not go smoothly",
            Self::Refusals => "What must be refused",
            Self::TidyUp => "Tidying up",
        }
    }
}

macro_rules! steps {
    ($($step:ident, $chapter:ident, $title:literal;)*) => {
        /// Everything that the shopper does, in order.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Step { $($step,)* }

        impl Step {
            pub const ALL: &[Self] = &[$(Self::$step,)*];

            pub fn title(self) -> &'static str {
                match self { $(Self::$step => $title,)* }
            }

            pub fn chapter(self) -> Chapter {
                match self { $(Self::$step => Chapter::$chapter,)* }
            }
        }
    };
}

steps! {
    Register, Arrive, "register";
    LogIn, Arrive, "log in";
    RotateTokens, Arrive, "refresh tokens, reuse is refused";
    StaffLogIn, Arrive, "merchant and warehouse log in";
    GuestSession, Arrive, "start a guest session";
    Search, Browse, "search";
    FilterAndSort, Browse, "filter, sort and page";
    ReadProduct, Browse, "read a product";
    ListProduct, Browse, "a merchant lists a product";
    AddWebhook, Browse, "the merchant adds a webhook";
    GuestCart, Buy, "add to the cart as a guest";
    MergeCart, Buy, "log in and merge the cart";
    Checkout, Buy, "check out";
    WatchOrder, Buy, "watch the order over SSE";
    Replay, Buy, "repeat the same request";
    KeyReused, Buy, "same key, another body";
    ReadOrder, Buy, "read the order";
    CartEmptied, Buy, "the cart is empty again";
    Ship, Fulfil, "the warehouse ships it";
    Deliver, Fulfil, "it is delivered";
    Review, Fulfil, "write a review";
    PurchaseMails, Fulfil, "e-mails of the purchase";
    PurchaseWebhooks, Fulfil, "webhooks of the purchase";
    SecondBuyer, Trouble, "another buyer arrives";
    DeclinedCard, Trouble, "a declined card";
    SoldOut, Trouble, "a sold-out product";
    LastUnitRace, Trouble, "two buyers, one last unit";
    CancelOrder, Trouble, "cancel an order";
    GuestCheckout, Trouble, "check out as a guest";
    OrderHold, Trouble, "hold a unit and order it";
    PayAtProvider, Trouble, "order now, pay at the provider";
    CancelMails, Trouble, "e-mails of the cancelled order";
    NoToken, Refusals, "no token, a forged token";
    OthersOrder, Refusals, "another customer's order";
    WrongRole, Refusals, "a customer as a merchant";
    MissingKey, Refusals, "no Idempotency-Key";
    BadBody, Refusals, "an unknown field, a bad quantity";
    WithdrawProduct, TidyUp, "the merchant withdraws the product";
    RemoveWebhook, TidyUp, "the merchant removes the webhook";
    MailsOnce, TidyUp, "every e-mail came once";
}

/// One step that went as it must.
#[derive(Debug, Clone, Serialize)]
pub struct StepReport {
    pub step: Step,
    /// What came back, in a line.
    pub detail: String,
    pub notes: Vec<String>,
    #[serde(rename = "duration_us", serialize_with = "as_micros")]
    pub duration: Duration,
    pub calls: Vec<Call>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    pub steps: Vec<StepReport>,
    /// The trace of the main purchase's checkout.
    pub purchase_trace_id: Option<String>,
    pub purchase_order_id: Option<uuid::Uuid>,
}

impl Report {
    pub fn step(&self, step: Step) -> Option<&StepReport> {
        self.steps.iter().find(|report| report.step == step)
    }

    pub fn duration(&self) -> Duration {
        self.steps.iter().map(|report| report.duration).sum()
    }

    pub fn calls(&self) -> usize {
        self.steps.iter().map(|report| report.calls.len()).sum()
    }
}

pub(crate) fn as_micros<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

/// An expectation that was not met, with the answer that did not meet it.
#[derive(Debug)]
pub struct Unmet {
    pub expectation: String,
    pub answer: Option<Box<Answer>>,
}

impl Unmet {
    pub(crate) fn new(expectation: impl Into<String>) -> Self {
        Self {
            expectation: expectation.into(),
            answer: None,
        }
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", self.expectation)?;
        match &self.answer {
            Some(answer) => write!(f, "\n{answer}"),
            None => Ok(()),
        }
    }
}

/// Where the run stopped, and what had gone well until then.
#[derive(Debug)]
pub struct Failure {
    pub step: Step,
    pub unmet: Unmet,
    pub duration: Duration,
    pub report: Box<Report>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} failed after {}: {}",
            self.step.title(),
            format_duration(self.duration),
            self.unmet
        )
    }
}

impl std::error::Error for Failure {}

/// Is told of each step as it happens.
pub trait Reporter {
    fn started(&mut self, step: Step);
    fn finished(&mut self, report: &StepReport);
    fn failed(&mut self, failure: &Failure);
}

/// Says nothing: for tests, which look at the [`Report`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Reporter for Silent {
    fn started(&mut self, _: Step) {}
    fn finished(&mut self, _: &StepReport) {}
    fn failed(&mut self, _: &Failure) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_serializes_with_snake_case_steps_and_micros() {
        let report = StepReport {
            step: Step::LastUnitRace,
            detail: "one won".to_owned(),
            notes: Vec::new(),
            duration: Duration::from_micros(1_500),
            calls: Vec::new(),
        };
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["step"], "last_unit_race");
        assert_eq!(json["duration_us"], 1_500);
    }

    #[test]
    fn chapters_stand_together_and_titles_fit_their_column() {
        let chapters: Vec<Chapter> = Step::ALL.iter().map(|step| step.chapter()).collect();
        let mut seen = Vec::new();
        for chapter in chapters {
            if seen.last() != Some(&chapter) {
                assert!(!seen.contains(&chapter), "{chapter:?} is torn apart");
                seen.push(chapter);
            }
        }
        assert!(
            Step::ALL
                .iter()
                .all(|step| step.title().chars().count() <= crate::screen::TITLE_WIDTH)
        );
    }
}
