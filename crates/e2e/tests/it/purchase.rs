//! What `make demo` shows, and what it leaves on the topics and in the logs.

use ferrocart_contracts::v1::{
    OrderConfirmed, OrderDelivered, OrderPaymentPending, OrderPlaced, OrderShipped, PaymentAuthorized,
    PaymentCaptured,
};
use ferrocart_contracts::{Event, Topic};
use ferrocart_kafka_kit::KafkaSettings;
use ferrocart_shopper::{Accounts, Options, QUERY_DEFAULT, Silent, Step};
use ferrocart_stack::{Component, Service, Stack};
use ferrocart_test_kit::EventLog;
use std::time::Duration;

use crate::dashboards;
use crate::platform::Platform;

const PRODUCTS: usize = 300;

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_from_search_to_e_mail() {
    let platform = Platform::start().await;
    let stack = &platform.stack;
    stack.load_sample_catalog(PRODUCTS).await.unwrap();
    let options = Options {
        gateway_url: stack.url(Service::Gateway),
        provider_url: stack.url(Component::PspSandbox),
        accounts: Accounts::read(&stack.accounts_file()).unwrap(),
        mail_dir: stack.mail_dir(),
        step_timeout: Duration::from_secs(30),
        query: QUERY_DEFAULT.to_owned(),
    };
    let report = match ferrocart_shopper::run(&options, &mut Silent).await {
        Ok(report) => report,
        Err(failure) => panic!("{failure}"),
    };
    let missed: Vec<_> = Step::ALL
        .iter()
        .filter(|step| report.step(**step).is_none())
        .collect();
    assert!(missed.is_empty(), "steps not taken: {missed:?}");

    let order_id = report.purchase_order_id.unwrap().to_string();
    let trace_id = report.purchase_trace_id.unwrap();
    topics_tell_the_whole_story(stack, &order_id, &trace_id).await;
    every_service_logged_the_trace(stack, &trace_id);
    dashboards::every_query_is_answered(stack).await;
}

/// Reads the topics as an ordinary consumer would.
async fn topics_tell_the_whole_story(stack: &Stack, order_id: &str, trace_id: &str) {
    let kafka = KafkaSettings {
        kafka_brokers: stack.kafka_brokers(),
        kafka_topic_prefix: String::new(),
        kafka_partitions: 12,
    };
    let mut orders = EventLog::open(&kafka, Topic::Order);
    let (_, delivered) = orders
        .find::<OrderDelivered>(|event| {
            event
                .order
                .as_ref()
                .is_some_and(|order| order.order_id == order_id)
        })
        .await;
    assert_eq!(delivered.order.unwrap().sequence, 5);
    let of_order = orders.until("the order's events", |_| true).await;
    let of_order: Vec<_> = of_order
        .iter()
        .filter(|event| event.subject == order_id)
        .collect();
    let types: Vec<&str> = of_order.iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(
        types,
        [
            OrderPlaced::TYPE,
            OrderPaymentPending::TYPE,
            OrderConfirmed::TYPE,
            OrderShipped::TYPE,
            OrderDelivered::TYPE
        ]
    );
    let sequences: Vec<i64> = of_order.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 4, 5]);
    // The first three belong to the checkout's own trace; shipping is another request.
    for event in &of_order[..3] {
        let traceparent = event.traceparent.as_deref().unwrap_or_default();
        assert!(
            traceparent.contains(trace_id),
            "{}: {traceparent}",
            event.event_type
        );
    }

    let mut payments = EventLog::open(&kafka, Topic::Payment);
    let (authorized, _) = payments
        .find::<PaymentAuthorized>(|event| {
            event
                .payment
                .as_ref()
                .is_some_and(|payment| payment.order_id == order_id)
        })
        .await;
    assert!(authorized.traceparent.unwrap_or_default().contains(trace_id));
    payments
        .find::<PaymentCaptured>(|event| {
            event
                .payment
                .as_ref()
                .is_some_and(|payment| payment.order_id == order_id)
        })
        .await;
}

fn every_service_logged_the_trace(stack: &Stack, trace_id: &str) {
    let silent: Vec<Service> = [
        Service::Gateway,
        Service::Order,
        Service::Cart,
        Service::Catalog,
        Service::Inventory,
        Service::Payment,
        Service::Notification,
    ]
    .into_iter()
    .filter(|service| {
        let log = std::fs::read_to_string(stack.log_path(*service)).unwrap();
        !log.lines()
            .any(|line| line.contains(&format!("\"trace_id\":\"{trace_id}\"")))
    })
    .collect();
    assert!(silent.is_empty(), "no log line of trace {trace_id} in {silent:?}");
}
