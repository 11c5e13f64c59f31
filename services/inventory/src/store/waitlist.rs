use ferrocart_pg_kit::{StoreError, StoreResultExt};
use ferrocart_types::{SkuId, Timestamp, UserId};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use uuid::Uuid;

use crate::domain::{SaleId, Ticket, TicketId, TicketState};

const COLUMNS: &str = "ticket_id, sale_id, sku_id, buyer_id, units, position, status, created_at, expires_at, \
                       hold_expires_at";

/// Puts the ticket at the end of the line, which is only right under the lock of the SKU's stock. Answers its
/// position.
pub async fn insert_ticket(conn: &mut PgConnection, ticket: &Ticket) -> Result<i64, StoreError> {
    sqlx::query_scalar(
        "INSERT INTO waitlist (ticket_id, sale_id, sku_id, buyer_id, units, position, status, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, nextval('waitlist_position'), 'WAITING', $6, $7) RETURNING position",
    )
    .bind(ticket.ticket.0)
    .bind(ticket.sale.0)
    .bind(ticket.sku.as_uuid())
    .bind(ticket.buyer.as_uuid())
    .bind(ticket.units)
    .bind(ticket.created_at)
    .bind(ticket.expires_at)
    .fetch_one(conn)
    .await
    .op("waitlist.insert")
}

pub async fn find_ticket(conn: &mut PgConnection, ticket: TicketId) -> Result<Option<Ticket>, StoreError> {
    let found = select(conn, "WHERE ticket_id = ANY($1)", &[ticket.0], 1).await?;
    Ok(found.into_iter().next())
}

/// Those of these tickets that stand in line no more.
pub async fn finished(conn: &mut PgConnection, tickets: &[TicketId]) -> Result<Vec<Ticket>, StoreError> {
    let ids: Vec<Uuid> = tickets.iter().map(|ticket| ticket.0).collect();
    select(
        conn,
        "WHERE ticket_id = ANY($1) AND status <> 'WAITING'",
        &ids,
        i64::MAX,
    )
    .await
}

/// The buyer's place in the line for the SKU.
pub async fn waiting_ticket(
    conn: &mut PgConnection,
    sku: SkuId,
    buyer: UserId,
) -> Result<Option<Ticket>, StoreError> {
    let sql =
        format!("SELECT {COLUMNS} FROM waitlist WHERE sku_id = $1 AND buyer_id = $2 AND status = 'WAITING'");
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(sku.as_uuid())
        .bind(buyer.as_uuid())
        .fetch_optional(conn)
        .await
        .op("waitlist.waiting")?;
    row.as_ref().map(read).transpose()
}

/// The head of the line.
pub async fn next_in_line(
    conn: &mut PgConnection,
    sku: SkuId,
    limit: i64,
) -> Result<Vec<Ticket>, StoreError> {
    let rest = "WHERE sku_id = ANY($1) AND status = 'WAITING' ORDER BY position";
    select(conn, rest, &[sku.as_uuid()], limit).await
}

/// Those who have stood in the SKU's line for as long as they may.
pub async fn due_tickets(
    conn: &mut PgConnection,
    sku: SkuId,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<Ticket>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM waitlist WHERE sku_id = $1 AND status = 'WAITING' AND expires_at <= $2
         ORDER BY expires_at LIMIT $3"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(sku.as_uuid())
        .bind(now)
        .bind(limit)
        .fetch_all(conn)
        .await
        .op("waitlist.due")?;
    rows.iter().map(read).collect()
}

/// All that wait in the sale.
pub async fn tickets_of_sale(conn: &mut PgConnection, sku: SkuId) -> Result<Vec<Ticket>, StoreError> {
    next_in_line(conn, sku, i64::MAX).await
}

/// These tickets leave the line, all for the same reason. Under the lock of the SKU's stock they are in it.
pub async fn end_tickets(
    conn: &mut PgConnection,
    tickets: &[Ticket],
    state: TicketState,
    now: Timestamp,
) -> Result<(), StoreError> {
    if tickets.is_empty() {
        return Ok(());
    }
    let done = sqlx::query(
        "UPDATE waitlist SET status = $2, ended_at = $3, hold_expires_at = $4
         WHERE ticket_id = ANY($1) AND status = 'WAITING'",
    )
    .bind(tickets.iter().map(|ticket| ticket.ticket.0).collect::<Vec<_>>())
    .bind(state.as_str())
    .bind(now)
    .bind(state.hold_expires_at())
    .execute(conn)
    .await
    .op("waitlist.end")?;
    let expected = u64::try_from(tickets.len()).unwrap_or(u64::MAX);
    if done.rows_affected() == expected {
        return Ok(());
    }
    Err(StoreError::RowCount {
        operation: "waitlist.end",
        expected,
        actual: done.rows_affected(),
    })
}

/// How many stand before it.
pub async fn ahead_of(conn: &mut PgConnection, ticket: &Ticket) -> Result<i64, StoreError> {
    sqlx::query_scalar(
        "SELECT count(*) FROM waitlist WHERE sku_id = $1 AND status = 'WAITING' AND position < $2",
    )
    .bind(ticket.sku.as_uuid())
    .bind(ticket.position)
    .fetch_one(conn)
    .await
    .op("waitlist.ahead")
}

/// SKUs whose line can move: something is free, or somebody's time is up.
pub async fn with_work(
    conn: &mut PgConnection,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<SkuId>, StoreError> {
    let rows: Vec<Uuid> = sqlx::query_scalar(
        "SELECT f.sku_id FROM flash_sales f JOIN stock s USING (sku_id)
         WHERE f.state = 'LIVE' AND s.waiting > 0
           AND (s.on_hand > s.reserved OR EXISTS (
                    SELECT 1 FROM waitlist w
                    WHERE w.sku_id = f.sku_id AND w.status = 'WAITING' AND w.expires_at <= $1))
         LIMIT $2",
    )
    .bind(now)
    .bind(limit)
    .fetch_all(conn)
    .await
    .op("waitlist.with_work")?;
    Ok(rows.into_iter().map(SkuId).collect())
}

async fn select(
    conn: &mut PgConnection,
    rest: &'static str,
    ids: &[Uuid],
    limit: i64,
) -> Result<Vec<Ticket>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM waitlist {rest} LIMIT $2");
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(ids)
        .bind(limit)
        .fetch_all(conn)
        .await
        .op("waitlist.select")?;
    rows.iter().map(read).collect()
}

fn read(row: &PgRow) -> Result<Ticket, StoreError> {
    const OP: &str = "waitlist.read";
    let id: Uuid = row.try_get("ticket_id").op(OP)?;
    let status: String = row.try_get("status").op(OP)?;
    let hold_expires_at: Option<Timestamp> = row.try_get("hold_expires_at").op(OP)?;
    let state = TicketState::from_stored(&status, hold_expires_at).ok_or_else(|| StoreError::Corrupt {
        table: "waitlist",
        column: "status",
        row: id.to_string(),
        reason: format!("{status} with a hold until {hold_expires_at:?}"),
    })?;
    Ok(Ticket {
        ticket: TicketId(id),
        sale: SaleId(row.try_get("sale_id").op(OP)?),
        sku: SkuId(row.try_get("sku_id").op(OP)?),
        buyer: UserId(row.try_get("buyer_id").op(OP)?),
        units: row.try_get("units").op(OP)?,
        position: row.try_get("position").op(OP)?,
        state,
        created_at: row.try_get("created_at").op(OP)?,
        expires_at: row.try_get("expires_at").op(OP)?,
    })
}
