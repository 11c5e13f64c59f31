use ferrocart_types::OrderId;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use crate::domain::{Content, Kind, Line, Locale, Occasion};

/// All templates of one language; one that is missing does not compile. Names that end in `.html.j2` are escaped
/// for HTML.
macro_rules! templates_of {
    ($locale:literal) => {
        templates_of!($locale: "base.html.j2", "base.txt.j2",
            "order_confirmed.html.j2", "order_confirmed.txt.j2",
            "order_shipped.html.j2", "order_shipped.txt.j2",
            "order_delivered.html.j2", "order_delivered.txt.j2",
            "order_cancelled.html.j2", "order_cancelled.txt.j2",
            "order_refunded.html.j2", "order_refunded.txt.j2",
            "order_confirmed.sms.j2", "order_shipped.sms.j2", "order_delivered.sms.j2",
            "order_cancelled.sms.j2", "order_refunded.sms.j2",
            "webhook_disabled.html.j2", "webhook_disabled.txt.j2")
    };
    ($locale:literal: $($name:literal),+) => {
        [$((
            concat!($locale, "/", $name),
            include_str!(concat!("../../templates/", $locale, "/", $name)),
        )),+]
    };
}

const SOURCES: [[(&str, &str); 19]; Locale::ALL.len()] = [templates_of!("en"), templates_of!("de")];

/// What the templates may show; the recipient is not among it.
#[derive(Debug, Serialize)]
struct View {
    order_id: Option<String>,
    subject: String,
    lines: Vec<LineView>,
    total: Option<String>,
    carrier: Option<String>,
    tracking_number: Option<String>,
    reason: Option<&'static str>,
    refund: Option<String>,
    partly: bool,
    endpoint_id: Option<String>,
    endpoint_url: Option<String>,
    unsubscribe_url: Option<String>,
}

#[derive(Debug, Serialize)]
struct LineView {
    quantity: u32,
    title: String,
    sku: String,
    unit_price: String,
    line_total: String,
}

impl View {
    fn new(locale: Locale, order: Option<OrderId>, subject: &str, content: &Content) -> Self {
        let mut view = Self {
            order_id: order.map(|id| id.to_string()),
            subject: subject.to_owned(),
            lines: content
                .lines
                .iter()
                .map(|line| LineView::new(locale, line))
                .collect(),
            total: content.total.map(|total| locale.money(total)),
            carrier: None,
            tracking_number: None,
            reason: None,
            refund: None,
            partly: false,
            endpoint_id: None,
            endpoint_url: None,
            unsubscribe_url: None,
        };
        match &content.occasion {
            Occasion::Confirmed | Occasion::Delivered => {}
            Occasion::Shipped {
                carrier,
                tracking_number,
            } => {
                view.carrier.clone_from(carrier);
                view.tracking_number.clone_from(tracking_number);
            }
            Occasion::Cancelled { reason } => view.reason = Some(locale.reason_in_words(reason)),
            Occasion::Refunded { amount, partly } => {
                view.refund = Some(locale.money(*amount));
                view.partly = *partly;
            }
            Occasion::WebhookDisabled { endpoint_id, url } => {
                view.endpoint_id = Some(endpoint_id.to_string());
                view.endpoint_url = Some(url.clone());
            }
        }
        view
    }
}

impl LineView {
    fn new(locale: Locale, line: &Line) -> Self {
        Self {
            quantity: line.quantity,
            title: line.title.clone(),
            sku: line.sku.clone(),
            unit_price: locale.money(line.unit_price),
            line_total: locale.money(line.total),
        }
    }
}

/// Both bodies of an e-mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bodies {
    pub(super) text: String,
    pub(super) html: String,
}

#[derive(Debug)]
pub(crate) struct Templates {
    environment: Environment<'static>,
}

impl Templates {
    pub(crate) fn parse() -> Result<Self, minijinja::Error> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_keep_trailing_newline(true);
        // A misspelt name is a fault, not an empty place in an e-mail.
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        for (name, source) in SOURCES.into_iter().flatten() {
            environment.add_template(name, source)?;
        }
        Ok(Self { environment })
    }

    pub(super) fn render(
        &self,
        locale: Locale,
        order: Option<OrderId>,
        subject: &str,
        content: &Content,
        unsubscribe_url: Option<&str>,
    ) -> Result<Bodies, minijinja::Error> {
        let view = View {
            unsubscribe_url: unsubscribe_url.map(str::to_owned),
            ..View::new(locale, order, subject, content)
        };
        let kind: Kind = content.occasion.kind();
        let render = |format: &str| {
            self.environment
                .get_template(&format!("{}/{}.{format}.j2", locale.as_str(), kind.as_str()))?
                .render(&view)
        };
        Ok(Bodies {
            text: render("txt")?,
            html: render("html")?,
        })
    }

    /// The text of a message by SMS: one line, short whatever others wrote into it.
    pub(crate) fn sms(
        &self,
        locale: Locale,
        order: Option<OrderId>,
        content: &Content,
    ) -> Result<String, minijinja::Error> {
        let name = format!("{}/{}.sms.j2", locale.as_str(), content.occasion.kind().as_str());
        let text = self
            .environment
            .get_template(&name)?
            .render(View::new(locale, order, "", content))?;
        Ok(text.trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use ferrocart_types::{Currency, EndpointId, Money};
    use uuid::Uuid;

    use super::*;

    /// Two parts of 153 letters.
    const SMS_CHARS_MAX: usize = 306;
    const HOSTILE: &str = "<b onload='x'>\"&amp;{{ order_id }}</b>";

    /// Every kind, with hostile text wherever text can come from outside.
    fn occasions() -> Vec<Occasion> {
        let hostile = || HOSTILE.to_owned();
        Kind::OF_ORDERS
            .into_iter()
            .chain([Kind::WebhookDisabled])
            .map(|kind| match kind {
                Kind::Confirmed => Occasion::Confirmed,
                Kind::Shipped => Occasion::Shipped {
                    carrier: Some(hostile()),
                    tracking_number: Some(hostile()),
                },
                Kind::Delivered => Occasion::Delivered,
                Kind::Cancelled => Occasion::Cancelled { reason: hostile() },
                Kind::Refunded => Occasion::Refunded {
                    amount: Money::new(1_005, Currency::EUR),
                    partly: false,
                },
                Kind::WebhookDisabled => Occasion::WebhookDisabled {
                    endpoint_id: EndpointId(Uuid::nil()),
                    url: hostile(),
                },
            })
            .chain([Occasion::Refunded {
                amount: Money::new(1_005, Currency::EUR),
                partly: true,
            }])
            .collect()
    }

    fn content(occasion: Occasion) -> Content {
        let price = Money::new(129_999, Currency::EUR);
        let line = Line {
            sku: HOSTILE.to_owned(),
            title: HOSTILE.to_owned(),
            quantity: 1,
            unit_price: price,
            total: price,
        };
        let about_an_order = !matches!(occasion, Occasion::WebhookDisabled { .. });
        Content {
            occasion,
            lines: about_an_order.then_some(line).into_iter().collect(),
            total: about_an_order.then_some(price),
        }
    }

    #[test]
    fn every_kind_is_written_in_every_language_and_all_that_comes_from_outside_is_escaped() {
        let templates = Templates::parse().unwrap();
        let id = OrderId(Uuid::nil());
        for locale in Locale::ALL {
            let mut seen = Vec::new();
            for occasion in occasions() {
                let content = content(occasion);
                let order = content.total.map(|_| id);
                let bodies = templates.render(locale, order, HOSTILE, &content, None).unwrap();
                let what = (locale, content.occasion.kind());
                assert!(!bodies.html.contains("<b onload"), "{what:?}: {}", bodies.html);
                assert!(!bodies.html.contains("\"&amp;{{"), "{what:?}: {}", bodies.html);
                let strings = serde_json::to_string(&content).unwrap().matches("onload").count();
                let shown = bodies.html.matches("&lt;b onload").count();
                // The subject is the title; a reason is not shown but put into words.
                let reason = usize::from(matches!(content.occasion, Occasion::Cancelled { .. }));
                assert_eq!(shown, 1 + strings - reason, "{what:?}: {}", bodies.html);
                assert!(bodies.text.contains(&id.to_string()), "{what:?}");
                assert!(
                    bodies
                        .html
                        .contains(&format!("<html lang=\"{}\">", locale.as_str()))
                );
                assert!(
                    !seen.contains(&bodies.text),
                    "{what:?} says what another kind says"
                );
                seen.push(bodies.text);
                if order.is_some() {
                    let sms = templates.sms(locale, order, &content).unwrap();
                    assert!(
                        sms.contains(&id.to_string()) && sms.starts_with("Ferrocart: "),
                        "{sms}"
                    );
                    assert!(
                        !sms.contains('\n') && sms.chars().count() <= SMS_CHARS_MAX,
                        "{sms}"
                    );
                    assert!(!seen.contains(&sms), "{what:?} says what another kind says");
                    seen.push(sms);
                }
            }
        }
        let german = templates
            .render(Locale::De, Some(id), "", &content(Occasion::Confirmed), None)
            .unwrap();
        assert!(german.text.contains("1299,99 EUR"), "{}", german.text);
    }
}
