use ferrocart_types::Money;

use super::Locale;

impl Locale {
    /// An amount as it is written there.
    pub(crate) fn money(self, money: Money) -> String {
        let text = money.to_string();
        match self {
            Self::En => text,
            Self::De => text.replace('.', ","),
        }
    }

    /// A cancellation's reason for the customer. A code that is not known here is a new one of the
    /// order service: the message then says what is always true.
    pub(crate) fn reason_in_words(self, code: &str) -> &'static str {
        match self {
            Self::En => english_reason(code),
            Self::De => german_reason(code),
        }
    }
}

fn english_reason(code: &str) -> &'static str {
    match code {
        "CUSTOMER_REQUEST" => "You asked us to cancel it.",
        "SUPPORT_REQUEST" => "Our support team cancelled it.",
        "INSUFFICIENT_STOCK" | "RESERVATION_REFUSED" => {
            "Something in your order was sold out by the time you checked out."
        }
        "PAYMENT_DECLINED" => "Your payment was declined, so nothing was charged.",
        "PAYMENT_FAILED" => "Your payment did not go through, so nothing was charged.",
        "PAYMENT_TIMEOUT" => "The payment was not completed in time, so nothing was charged.",
        "RESERVATION_EXPIRED" => "The items were held for you, but the order was not completed in time.",
        "PICK_FAILED" => "Our warehouse found that an item is not in stock after all.",
        _ => "We could not complete it.",
    }
}

fn german_reason(code: &str) -> &'static str {
    match code {
        "CUSTOMER_REQUEST" => "Du hast uns darum gebeten.",
        "SUPPORT_REQUEST" => "Unser Support hat sie storniert.",
        "INSUFFICIENT_STOCK" | "RESERVATION_REFUSED" => {
            "Etwas aus deiner Bestellung war ausverkauft, als du bestellt hast."
        }
        "PAYMENT_DECLINED" => "Deine Zahlung wurde abgelehnt; es wurde nichts abgebucht.",
        "PAYMENT_FAILED" => "Deine Zahlung ist nicht durchgegangen; es wurde nichts abgebucht.",
        "PAYMENT_TIMEOUT" => "Die Zahlung wurde nicht rechtzeitig abgeschlossen; es wurde nichts abgebucht.",
        "RESERVATION_EXPIRED" => {
            "Die Artikel waren für dich reserviert, aber die Bestellung wurde nicht rechtzeitig abgeschlossen."
        }
        "PICK_FAILED" => "Unser Lager hat festgestellt, dass ein Artikel doch nicht vorrätig ist.",
        _ => "Wir konnten sie nicht ausführen.",
    }
}
