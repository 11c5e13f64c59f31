use ferrocart_types::OrderId;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use crate::domain::{Content, Kind, Occasion, reason_in_words};

macro_rules! sources {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../templates/", $name)))),+]
    };
}

/// Names that end in `.html.j2` are escaped for HTML.
const SOURCES: [(&str, &str); 12] = sources![
    "base.html.j2",
    "base.txt.j2",
    "order_confirmed.html.j2",
    "order_confirmed.txt.j2",
    "order_shipped.html.j2",
    "order_shipped.txt.j2",
    "order_delivered.html.j2",
    "order_delivered.txt.j2",
    "order_cancelled.html.j2",
    "order_cancelled.txt.j2",
    "order_refunded.html.j2",
    "order_refunded.txt.j2",
];

/// What the templates may show; the recipient is not among it.
#[derive(Debug, Serialize)]
struct View {
    order_id: String,
    subject: String,
    lines: Vec<LineView>,
    total: String,
    carrier: Option<String>,
    tracking_number: Option<String>,
    reason: Option<&'static str>,
    refund: Option<String>,
    partly: bool,
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
    fn new(order: OrderId, subject: &str, content: &Content) -> Self {
        let mut view = Self {
            order_id: order.to_string(),
            subject: subject.to_owned(),
            lines: content.lines.iter().map(LineView::new).collect(),
            total: content.total.to_string(),
            carrier: None,
            tracking_number: None,
            reason: None,
            refund: None,
            partly: false,
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
            Occasion::Cancelled { reason } => view.reason = Some(reason_in_words(reason)),
            Occasion::Refunded { amount, partly } => {
                view.refund = Some(amount.to_string());
                view.partly = *partly;
            }
        }
        view
    }
}

impl LineView {
    fn new(line: &crate::domain::Line) -> Self {
        Self {
            quantity: line.quantity,
            title: line.title.clone(),
            sku: line.sku.clone(),
            unit_price: line.unit_price.to_string(),
            line_total: line.total.to_string(),
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
pub(super) struct Templates {
    environment: Environment<'static>,
}

impl Templates {
    pub(super) fn parse() -> Result<Self, minijinja::Error> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_keep_trailing_newline(true);
        // A misspelt name is a fault, not an empty place in an e-mail.
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        for (name, source) in SOURCES {
            environment.add_template(name, source)?;
        }
        Ok(Self { environment })
    }

    pub(super) fn render(
        &self,
        order: OrderId,
        subject: &str,
        content: &Content,
    ) -> Result<Bodies, minijinja::Error> {
        let view = View::new(order, subject, content);
        let kind: Kind = content.occasion.kind();
        let render = |format: &str| {
            self.environment
                .get_template(&format!("{}.{format}.j2", kind.as_str()))?
                .render(&view)
        };
        Ok(Bodies {
            text: render("txt")?,
            html: render("html")?,
        })
    }
}
