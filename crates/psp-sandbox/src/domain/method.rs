//! The payment methods the sandbox knows: Stripe's published test methods and its own.

use serde::{Deserialize, Serialize};

/// Why an issuer refuses. `code` and `decline_code` as Stripe spells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Decline {
    Generic,
    InsufficientFunds,
    LostCard,
    StolenCard,
    ExpiredCard,
    IncorrectCvc,
    ProcessingError,
    VelocityExceeded,
    Fraudulent,
    /// The customer refused, or failed, the bank's question.
    AuthenticationFailed,
    /// The bank wants the customer, who is not there (`off_session`).
    AuthenticationRequired,
}

impl Decline {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::ExpiredCard => "expired_card",
            Self::IncorrectCvc => "incorrect_cvc",
            Self::ProcessingError => "processing_error",
            Self::AuthenticationFailed => "payment_intent_authentication_failure",
            Self::AuthenticationRequired => "authentication_required",
            _ => "card_declined",
        }
    }

    pub(crate) fn decline_code(self) -> Option<&'static str> {
        match self {
            Self::Generic => Some("generic_decline"),
            Self::InsufficientFunds => Some("insufficient_funds"),
            Self::LostCard => Some("lost_card"),
            Self::StolenCard => Some("stolen_card"),
            Self::ExpiredCard => Some("expired_card"),
            Self::IncorrectCvc => Some("incorrect_cvc"),
            Self::ProcessingError => Some("processing_error"),
            Self::VelocityExceeded => Some("card_velocity_exceeded"),
            Self::Fraudulent => Some("fraudulent"),
            Self::AuthenticationRequired => Some("authentication_required"),
            Self::AuthenticationFailed => None,
        }
    }

    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::InsufficientFunds => "Your card has insufficient funds.",
            Self::ExpiredCard => "Your card has expired.",
            Self::IncorrectCvc => "Your card's security code is incorrect.",
            Self::ProcessingError => {
                "An error occurred while processing your card. Try again in a little bit."
            }
            Self::VelocityExceeded => {
                "Your card was declined for making repeated attempts too frequently or exceeding its amount limit."
            }
            Self::AuthenticationFailed => {
                "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new PaymentMethod to attempt to fulfill this PaymentIntent again."
            }
            Self::AuthenticationRequired => {
                "Your card was declined. This transaction requires authentication."
            }
            Self::Generic | Self::LostCard | Self::StolenCard | Self::Fraudulent => "Your card was declined.",
        }
    }
}

/// What happens when an intent is confirmed with a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Approve,
    Decline(Decline),
    Challenge,
}

/// How the sandbox misbehaves for a method; the ledger's effect is always the ordinary one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quirk {
    None,
    /// The authorization is answered after 3 s.
    Slow,
    /// The authorization is made and never answered.
    NoAnswer,
    /// The capture is made and its connection closed without an answer.
    CaptureAnswerLost,
    /// Every event is delivered twice.
    WebhookDuplicated,
    /// Events wait for later ones and are delivered newest first.
    WebhookReordered,
}

/// What the sandbox knows about one payment method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) id: &'static str,
    pub(crate) brand: &'static str,
    pub(crate) last4: &'static str,
    pub(crate) outcome: Outcome,
    pub(crate) quirk: Quirk,
}

const fn card(id: &'static str, brand: &'static str, last4: &'static str) -> Profile {
    Profile {
        id,
        brand,
        last4,
        outcome: Outcome::Approve,
        quirk: Quirk::None,
    }
}

const fn declined(id: &'static str, last4: &'static str, decline: Decline) -> Profile {
    Profile {
        id,
        brand: "visa",
        last4,
        outcome: Outcome::Decline(decline),
        quirk: Quirk::None,
    }
}

const fn quirky(id: &'static str, quirk: Quirk) -> Profile {
    Profile {
        id,
        brand: "visa",
        last4: "4242",
        outcome: Outcome::Approve,
        quirk,
    }
}

const fn challenged(id: &'static str, last4: &'static str) -> Profile {
    Profile {
        id,
        brand: "visa",
        last4,
        outcome: Outcome::Challenge,
        quirk: Quirk::None,
    }
}

/// Every method there is. Stripe publishes some declines with and some without the brand in their
/// name; both spellings are taken.
pub(crate) static PROFILES: &[Profile] = &[
    card("pm_card_visa", "visa", "4242"),
    card("pm_card_visa_debit", "visa", "5556"),
    card("pm_card_mastercard", "mastercard", "4444"),
    card("pm_card_mastercard_debit", "mastercard", "3222"),
    card("pm_card_amex", "amex", "8431"),
    card("pm_card_discover", "discover", "1117"),
    card("pm_card_diners", "diners", "0004"),
    card("pm_card_jcb", "jcb", "0505"),
    card("pm_card_unionpay", "unionpay", "0005"),
    declined("pm_card_chargeDeclined", "0002", Decline::Generic),
    declined("pm_card_visa_chargeDeclined", "0002", Decline::Generic),
    declined(
        "pm_card_chargeDeclinedInsufficientFunds",
        "9995",
        Decline::InsufficientFunds,
    ),
    declined(
        "pm_card_visa_chargeDeclinedInsufficientFunds",
        "9995",
        Decline::InsufficientFunds,
    ),
    declined("pm_card_visa_chargeDeclinedLostCard", "9987", Decline::LostCard),
    declined(
        "pm_card_visa_chargeDeclinedStolenCard",
        "9979",
        Decline::StolenCard,
    ),
    declined("pm_card_chargeDeclinedExpiredCard", "0069", Decline::ExpiredCard),
    declined(
        "pm_card_chargeDeclinedIncorrectCvc",
        "0127",
        Decline::IncorrectCvc,
    ),
    declined(
        "pm_card_chargeDeclinedProcessingError",
        "0119",
        Decline::ProcessingError,
    ),
    declined(
        "pm_card_visa_chargeDeclinedVelocityLimitExceeded",
        "6975",
        Decline::VelocityExceeded,
    ),
    declined("pm_card_chargeDeclinedFraudulent", "0019", Decline::Fraudulent),
    challenged("pm_card_authenticationRequired", "3184"),
    challenged("pm_card_threeDSecure2Required", "3220"),
    quirky("pm_sandbox_slow3s", Quirk::Slow),
    quirky("pm_sandbox_noAnswer", Quirk::NoAnswer),
    quirky("pm_sandbox_captureAnswerLost", Quirk::CaptureAnswerLost),
    quirky("pm_sandbox_webhookDuplicated", Quirk::WebhookDuplicated),
    quirky("pm_sandbox_webhookReordered", Quirk::WebhookReordered),
];

/// A known payment method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Method(&'static Profile);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("No such PaymentMethod: '{0}'")]
pub(crate) struct NoSuchMethod(String);

impl Method {
    pub(crate) fn parse(id: &str) -> Result<Self, NoSuchMethod> {
        PROFILES
            .iter()
            .find(|profile| profile.id == id)
            .map(Self)
            .ok_or_else(|| NoSuchMethod(id.chars().take(64).collect()))
    }

    pub(crate) fn profile(self) -> &'static Profile {
        self.0
    }

    pub(crate) fn id(self) -> &'static str {
        self.0.id
    }
}

impl TryFrom<String> for Method {
    type Error = NoSuchMethod;
    fn try_from(id: String) -> Result<Self, NoSuchMethod> {
        Self::parse(&id)
    }
}

impl From<Method> for String {
    fn from(method: Method) -> Self {
        method.id().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_method_is_found_by_its_own_name_only() {
        let names: HashSet<_> = PROFILES.iter().map(|profile| profile.id).collect();
        assert_eq!(names.len(), PROFILES.len());
        for name in names {
            assert_eq!(Method::parse(name).unwrap().id(), name);
        }
        assert!(Method::parse("pm_card_").is_err());
        assert!(Method::parse("PM_CARD_VISA").is_err());
    }
}
