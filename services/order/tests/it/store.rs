use ferrocart_order::Status;
use uuid::Uuid;

use crate::shop::Shop;

/// The database holds the same table of moves as the type, and refuses what is not in it.
#[tokio::test(flavor = "multi_thread")]
async fn the_database_refuses_every_move_that_the_table_does_not_have() {
    let shop = Shop::open().await;
    let (_, _, id) = shop.confirmed().await;
    let id: Uuid = id.parse().unwrap();
    let set = "UPDATE orders SET status = $2, cancel_reason = CASE WHEN $2 = 'CANCELLED' THEN 'X' END WHERE order_id = $1";
    for from in Status::ALL {
        for to in Status::ALL.iter().filter(|to| *to != from) {
            let mut tx = shop.pool.begin().await.unwrap();
            sqlx::query("ALTER TABLE orders DISABLE TRIGGER order_status_guard")
                .execute(&mut *tx)
                .await
                .unwrap();
            sqlx::query(set)
                .bind(id)
                .bind(from.as_str())
                .execute(&mut *tx)
                .await
                .unwrap();
            sqlx::query("ALTER TABLE orders ENABLE TRIGGER order_status_guard")
                .execute(&mut *tx)
                .await
                .unwrap();
            let moved = sqlx::query(set)
                .bind(id)
                .bind(to.as_str())
                .execute(&mut *tx)
                .await;
            assert_eq!(moved.is_ok(), from.may_become(*to), "{from} -> {to}: {moved:?}");
            if let Err(error) = moved {
                let code = error
                    .as_database_error()
                    .and_then(sqlx::error::DatabaseError::code)
                    .map(std::borrow::Cow::into_owned);
                assert_eq!(code.as_deref(), Some("23514"), "{from} -> {to}");
            }
            tx.rollback().await.unwrap();
        }
    }
    let born_shipped = sqlx::query(
        "INSERT INTO orders SELECT gen_random_uuid(), customer_id, guest, email, cart_id, status, total_minor, currency,
            shipping_address, reservation_id, payment_id, payment_status, payment_rank, carrier, tracking_number,
            cancel_reason, sequence, version, created_at, updated_at FROM orders WHERE order_id = $1",
    )
    .bind(id)
    .execute(&shop.pool)
    .await;
    assert!(born_shipped.is_err(), "an order began as CONFIRMED");
}
