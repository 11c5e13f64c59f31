//! The adapter against Stripe's own mock server, which checks every request against Stripe's description
//! of its API and answers with Stripe's own examples.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ferrocart_config::ExposeSecret;
use ferrocart_payment::domain::{IntentId, MethodToken, Payment, Terms};
use ferrocart_payment::provider::{
    BreakerSettings, Intent, PaymentProvider, ProviderError, Refund, Stripe, StripeSettings, Window,
};
use ferrocart_test_kit::eventually;
use ferrocart_types::{Clock, Currency, Money, OrderId, PaymentId, SystemClock, UserId};

use crate::desk::fresh;

const PINNED: &str = include_str!("../../../../deploy/local/stripe-mock.version");

struct Mock {
    process: Child,
    url: String,
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Mock {
    /// `None`, and a line that is seen, where the machine could not fetch it.
    async fn start() -> Option<Self> {
        let binary = match std::env::var_os("STRIPE_MOCK") {
            Some(path) => path.into(),
            None => PathBuf::from(env!("CARGO_MANIFEST_DIR"))
                .join("../../.ferrocart")
                .join(format!("stripe-mock-{}", PINNED.trim()))
                .join("stripe-mock"),
        };
        if !binary.exists() {
            let line = format!(
                "SKIPPED: Stripe's mock server is not at {}: run `make setup` where Go is installed\n",
                binary.display()
            );
            std::io::stderr().write_all(line.as_bytes()).unwrap();
            return None;
        }
        let address = format!("127.0.0.1:{}", crate::desk::free_port());
        let process = Command::new(binary)
            .args(["-http-addr", &address])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mock = Self {
            process,
            url: format!("http://{address}"),
        };
        eventually("the mock listens", || async {
            tokio::net::TcpStream::connect(&address).await.ok()
        })
        .await;
        Some(mock)
    }

    fn stripe(&self) -> Stripe {
        Stripe::new(StripeSettings {
            base_url: self.url.clone(),
            api_key: "sk_test_123".into(),
            timeout: Duration::from_secs(8),
            return_url: "https://shop.example/orders/{order_id}".to_owned(),
            concurrency_max: 4,
            queue_timeout: Duration::from_secs(1),
            breaker: BreakerSettings {
                failures_max: 5,
                open_for: Duration::from_secs(5),
            },
        })
        .unwrap()
    }
}

fn payment() -> Payment {
    let terms = Terms {
        order_id: OrderId(fresh()),
        customer_id: UserId(fresh()),
        amount: Money::new(12_345, "USD".parse::<Currency>().unwrap()),
        method: Some(MethodToken::parse("pm_card_visa").unwrap()),
    };
    Payment::open(PaymentId(fresh()), terms, SystemClock.now())
}

/// The mock's example is read; what it says is Stripe's affair.
#[track_caller]
fn readable(answer: Result<Intent, ProviderError>) {
    let intent = answer.unwrap();
    assert!(intent.id.0.starts_with("pi_"), "{intent:?}");
}

#[tokio::test]
async fn stripe_takes_every_request_of_the_adapter() {
    let Some(mock) = Mock::start().await else { return };
    let (stripe, payment) = (mock.stripe(), payment());
    let intent = IntentId("pi_3MtwBwLkdIwHu7ix28a3tqPa".to_owned());
    readable(stripe.authorize(&payment, "order:1:authorize").await);
    let mut open = payment.clone();
    open.terms.method = None;
    readable(stripe.authorize(&open, "order:2:authorize").await);
    readable(stripe.confirm(&intent, &payment, "order:2:confirm").await);
    let secret = stripe.client_secret(&intent).await.unwrap();
    assert!(secret.expose_secret().starts_with("pi_"));
    readable(stripe.intent(&intent).await);
    readable(stripe.capture(&intent, 12_345, "order:1:capture").await);
    readable(stripe.capture(&intent, 45, "order:2:capture").await);
    readable(stripe.cancel(&intent, "order:1:void").await);
    for amount_minor in [12_345, 45] {
        let refund = Refund {
            operation_id: fresh(),
            order_id: payment.terms.order_id,
            payment_id: payment.id,
            amount_minor,
        };
        stripe.refund(&intent, refund, "refund:1").await.unwrap();
    }
    // The example names no payment of ours.
    let found = stripe.find(payment.id).await.unwrap().unwrap();
    assert_eq!(found.payment_id, None);
    let window = Window {
        from: SystemClock.now() - chrono::TimeDelta::hours(1),
        until: SystemClock.now(),
    };
    for after in [None, Some("pi_3MtwBwLkdIwHu7ix28a3tqPa")] {
        assert!(stripe.intents(window, after).await.unwrap().items.is_empty());
    }
    for after in [None, Some("re_1Nispe2eZvKYlo2Cd31jOCgZ")] {
        stripe.refunds(window, after).await.unwrap();
    }
    assert_eq!(stripe.closed_for(), None);
}

/// The mock does see what Stripe would refuse; else the test above would prove nothing.
#[tokio::test]
async fn the_mock_refuses_what_stripe_does_not_know() {
    let Some(mock) = Mock::start().await else { return };
    let http = reqwest::Client::new();
    let good = [
        ("amount", "1000"),
        ("currency", "usd"),
        ("capture_method", "manual"),
    ];
    for (form, status) in [
        (good.to_vec(), 200),
        ([good.to_vec(), vec![("colour", "red")]].concat(), 400),
        (vec![("currency", "usd")], 400),
        (
            vec![
                ("amount", "1000"),
                ("currency", "usd"),
                ("capture_method", "perhaps"),
            ],
            400,
        ),
    ] {
        let request = http.post(format!("{}/v1/payment_intents", mock.url));
        let answer = request
            .bearer_auth("sk_test_123")
            .form(&form)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), status, "{form:?}");
    }
}
