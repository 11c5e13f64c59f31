//! How payments begin, in one statement for many.

use std::collections::HashSet;

use ferrocart_pg_kit::idempotency::RequestKey;
use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{PaymentId, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::{MethodToken, OpenOperation, Payment};

/// A payment, with its authorization, before that is tried.
#[derive(Debug, Clone)]
pub struct Opening {
    pub payment: Payment,
    pub operation: OpenOperation,
    pub leased_until: Timestamp,
    pub key: RequestKey,
}

/// What was written, or that a request's key is taken: then nothing was.
#[derive(Debug)]
pub enum Opened {
    Payments(HashSet<PaymentId>),
    KeyTaken,
}

/// A key that is taken fails the statement: nothing of its payment may stand then.
const OPEN: &str = "
WITH asked AS (
    SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::timestamptz[],
                         $8::uuid[], $9::text[], $10::integer[], $11::timestamptz[], $12::text[], $13::text[],
                         $14::bytea[])
        AS asked (payment_id, order_id, customer_id, amount_minor, currency, payment_method, created_at,
                  operation_id, provider_key, attempt, leased_until, caller, key, request_hash)
), slot AS (
    INSERT INTO order_slots (order_id, payment_id, created_at)
    SELECT order_id, payment_id, created_at FROM asked
    ON CONFLICT DO NOTHING RETURNING payment_id
), first AS (
    SELECT asked.* FROM slot JOIN asked USING (payment_id)
), claimed AS (
    INSERT INTO idempotency_keys (caller, key, request_hash, resource_id, locked_until, created_at)
    SELECT caller, key, request_hash, payment_id, created_at, created_at FROM first
), opened AS (
    INSERT INTO payments (payment_id, order_id, customer_id, amount_minor, currency, payment_method, status,
                          created_at, updated_at)
    SELECT payment_id, order_id, customer_id, amount_minor, currency, payment_method, 'PENDING', created_at, created_at
    FROM first
)
INSERT INTO payment_operations (operation_id, payment_id, kind, provider_key, state, attempt, leased_until,
                                next_try_at, created_at)
SELECT operation_id, payment_id, 'AUTHORIZE', provider_key, 'STARTED', attempt, leased_until, leased_until, created_at
FROM first
RETURNING payment_id";

/// Takes the orders' places, claims the requests' keys and records the payments with their authorizations,
/// before those are tried: one statement, and by itself one commit. A payment whose order has one already is left
/// out.
pub async fn open(conn: &mut PgConnection, openings: &[Opening]) -> Result<Opened, StoreError> {
    let mut sorted: Vec<&Opening> = openings.iter().collect();
    // In one order everywhere: two batches that share orders then never wait for each other.
    sorted.sort_by_key(|opening| opening.payment.terms.order_id.as_uuid());
    let payments = || sorted.iter().map(|opening| &opening.payment);
    let terms = || payments().map(|payment| &payment.terms);
    let operations = || sorted.iter().map(|opening| &opening.operation);
    let keys = || sorted.iter().map(|opening| &opening.key);
    let opened: Result<Vec<Uuid>, sqlx::Error> = sqlx::query_scalar(OPEN)
        .bind(payments().map(|payment| payment.id.as_uuid()).collect::<Vec<_>>())
        .bind(terms().map(|terms| terms.order_id.as_uuid()).collect::<Vec<_>>())
        .bind(
            terms()
                .map(|terms| terms.customer_id.as_uuid())
                .collect::<Vec<_>>(),
        )
        .bind(terms().map(|terms| terms.amount.amount_minor).collect::<Vec<_>>())
        .bind(
            terms()
                .map(|terms| terms.amount.currency.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(
            terms()
                .map(|terms| terms.method.as_ref().map(MethodToken::as_str))
                .collect::<Vec<_>>(),
        )
        .bind(payments().map(|payment| payment.created_at).collect::<Vec<_>>())
        .bind(operations().map(|operation| operation.id).collect::<Vec<_>>())
        .bind(
            operations()
                .map(|operation| operation.provider_key.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(
            operations()
                .map(|operation| operation.attempt)
                .collect::<Vec<_>>(),
        )
        .bind(
            sorted
                .iter()
                .map(|opening| opening.leased_until)
                .collect::<Vec<_>>(),
        )
        .bind(keys().map(RequestKey::caller).collect::<Vec<_>>())
        .bind(keys().map(RequestKey::key).collect::<Vec<_>>())
        .bind(keys().map(RequestKey::request_hash).collect::<Vec<_>>())
        .fetch_all(conn)
        .await;
    match opened {
        Ok(opened) => Ok(Opened::Payments(opened.into_iter().map(PaymentId).collect())),
        Err(error) if is_taken(&error) => Ok(Opened::KeyTaken),
        Err(error) => Err(error).op("openings.open"),
    }
}

fn is_taken(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}
