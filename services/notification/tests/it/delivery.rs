//! Once per event, whatever comes again and whoever dies.

use ferrocart_contracts::{Event, Topic, v1};

use crate::support::{Office, confirmed, delivered, envelope, fresh, next, order};

#[tokio::test(flavor = "multi_thread")]
async fn a_redelivered_event_leads_to_no_second_email() {
    let mut office = Office::open().await;
    let bought = order(fresh());
    let event = office.tell(&confirmed(&bought)).await;
    office.publish(&event, Topic::Order).await;
    office.settled(&bought.order_id, "SENT", 1).await;
    office.stop_all().await;
    office.publish(&event, Topic::Order).await;
    office.api = office.start();
    office.ready().await;
    office.publish(&event, Topic::Order).await;
    // The same step of the order under another event id.
    office.tell(&confirmed(&bought)).await;
    // It is in the same partition as those before, and is the last of them to be handled.
    office.tell(&delivered(&next(&bought))).await;
    let rows = office.settled(&bought.order_id, "SENT", 2).await;
    let kinds: Vec<&str> = rows.iter().map(|row| row.kind.as_str()).collect();
    assert_eq!(kinds, ["order_confirmed", "order_delivered"]);
    assert_eq!(rows[0].attempts, 1, "sent once");
    assert_eq!(office.files().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_email_that_went_out_before_a_crash_is_the_same_when_it_goes_out_again() {
    let office = Office::open().await;
    let bought = order(fresh());
    office.tell(&confirmed(&bought)).await;
    let rows = office.settled(&bought.order_id, "SENT", 1).await;
    let first = office.raw(&rows[0]);
    // As a sender leaves it that dies between sending and writing it down.
    sqlx::query("UPDATE notifications SET status = 'PENDING', sent_at = NULL, lease = $1")
        .bind(fresh())
        .execute(&office.pool)
        .await
        .unwrap();
    let rows = office.settled(&bought.order_id, "SENT", 1).await;
    assert_eq!(rows[0].attempts, 2, "it was sent again");
    assert_eq!(office.raw(&rows[0]), first);
    assert_eq!(office.files().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_an_address_or_without_sense_holds_nothing_up() {
    let office = Office::open().await;
    let bought = order(fresh());
    let nobody = v1::Order {
        email: String::new(),
        ..bought.clone()
    };
    let senseless = v1::Order {
        email: "a b@c".to_owned(),
        ..next(&bought)
    };
    office.tell(&confirmed(&nobody)).await;
    office.tell(&delivered(&senseless)).await;
    let mut garbled = envelope(&delivered(&bought));
    garbled.payload = vec![0xff; 9].into();
    office.publish(&garbled, Topic::Order).await;
    let last = next(&next(&bought));
    office.tell(&delivered(&last)).await;
    let rows = office.settled(&bought.order_id, "SENT", 1).await;
    assert_eq!(rows[0].kind, "order_delivered");
    assert_eq!(v1::OrderDelivered::TOPIC, Topic::Order);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_does_not_keep_the_others() {
    let office = Office::open().await;
    let (bad, good) = (order(fresh()), order(fresh()));
    office.tell(&confirmed(&bad)).await;
    office.settled(&bad.order_id, "SENT", 1).await;
    sqlx::query("UPDATE notifications SET status = 'PENDING', sent_at = NULL, content = '{}'")
        .execute(&office.pool)
        .await
        .unwrap();
    office.tell(&confirmed(&good)).await;
    office.settled(&good.order_id, "SENT", 1).await;
    let rows = office.settled(&bad.order_id, "FAILED", 1).await;
    assert_eq!(rows[0].last_error.as_deref(), Some("it cannot be read"));
}
