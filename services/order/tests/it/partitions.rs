//! Orders by month: the tables' division, the way there, and what a list reads.

use ferrocart_config::ExposeSecret;
use ferrocart_http_kit::Role;
use ferrocart_order::{LIST_OF_ALL, LIST_OF_CUSTOMER};
use ferrocart_test_kit::{TestEnv, eventually};
use serde_json::json;
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use crate::shop::{Shop, id_of};
use crate::world::fresh;

async fn one<T>(pool: &PgPool, sql: &str) -> T
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
        .fetch_one(pool)
        .await
        .unwrap()
}

async fn run(pool: &PgPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(pool)
        .await
        .unwrap();
}

/// SQL that places an order with an id of that moment.
fn place_at(moment: &str) -> String {
    format!(
        "WITH new AS (SELECT overlay(order_id_floor({moment})::text PLACING right(gen_random_uuid()::text, 12) FROM 25)::uuid AS id)
         INSERT INTO orders (order_id, customer_id, guest, email, status, total_minor, currency, shipping_address,
                             sequence, created_at, updated_at)
         SELECT id, gen_random_uuid(), false, 'a@b.test', 'PLACED', 1, 'USD', '{{}}', 1, {moment}, {moment} FROM new
         RETURNING tableoid::regclass::text"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn months_are_made_ahead_and_ids_find_theirs() {
    let shop = Shop::open().await;
    let now: String = one(&shop.pool, &place_at("now()")).await;
    assert_eq!(now, "orders_first");
    for ahead in 1..=3 {
        let moment = format!("date_trunc('month', now(), 'UTC') + interval '{ahead} months 12 hours'");
        let wanted: String = one(
            &shop.pool,
            &format!("SELECT to_char({moment}, '\"orders_y\"YYYY\"m\"MM')"),
        )
        .await;
        assert_eq!(one::<String>(&shop.pool, &place_at(&moment)).await, wanted);
    }
    let stray: String = one(&shop.pool, &place_at("now() + interval '7 years'")).await;
    assert_eq!(stray, "orders_other", "an order was refused for its id");
    // The same id twice, in whatever month: refused.
    let twice =
        sqlx::query("INSERT INTO orders SELECT * FROM orders WHERE tableoid = 'orders_other'::regclass")
            .execute(&shop.pool)
            .await;
    assert!(twice.is_err());

    // What is missing is made by the next replica that starts.
    run(&shop.pool, "DELETE FROM orders").await;
    let last: String = one(
        &shop.pool,
        "SELECT to_char(now() + interval '1 month', '\"_y\"YYYY\"m\"MM')",
    )
    .await;
    for table in ["orders", "order_lines", "order_history"] {
        run(&shop.pool, &format!("DROP TABLE {table}{last}")).await;
    }
    shop.replica(|_| {}).await;
    let made = format!(
        "SELECT (to_regclass('orders{last}') IS NOT NULL AND to_regclass('order_lines{last}') IS NOT NULL
                 AND to_regclass('order_history{last}') IS NOT NULL)"
    );
    eventually("the month is made", || async {
        one::<bool>(&shop.pool, &made).await.then_some(())
    })
    .await;
    eventually("strays are counted", || async {
        let metrics = shop.api.get("/metrics").await.expect(200).text;
        metrics.contains("orders_without_month").then_some(())
    })
    .await;
    let again: i32 = one(&shop.pool, "SELECT make_order_partitions(now(), 3)").await;
    assert_eq!(again, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_the_version_before_are_taken_over_and_its_code_goes_on() {
    let env = TestEnv::new("order").await;
    let pool = PgPool::connect(env.pg.database_url.expose_secret())
        .await
        .unwrap();
    run(&pool, include_str!("../../migrations/0001_orders.sql")).await;
    run(&pool, include_str!("../../migrations/0002_holds.sql")).await;
    let place =
        "INSERT INTO orders (order_id, customer_id, guest, email, cart_id, status, total_minor, currency,
                                     shipping_address, sequence, version, created_at, updated_at)
                 VALUES ($1, $1, false, 'a@b.test', NULL, 'PLACED', 1, 'USD', '{}', 1, 1, now(), now())
                 ON CONFLICT (order_id) DO NOTHING";
    let lines = "INSERT INTO order_lines (order_id, line_no, sku_id, product_id, sku, title, quantity, unit_price_minor)
                 VALUES ($1, 1, $1, $1, 'S', 'T', 1, 1)";
    let history =
        "INSERT INTO order_history (order_id, sequence, status, at) VALUES ($1, 1, 'PLACED', now())";
    let (old, new) = (fresh(), fresh());
    for statement in [place, lines, history] {
        sqlx::query(statement).bind(old).execute(&pool).await.unwrap();
    }
    let mut tx = pool.begin().await.unwrap();
    sqlx::raw_sql(include_str!("../../migrations/0003_partitions.sql"))
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    for table in ["orders", "order_lines", "order_history"] {
        assert_eq!(
            one::<i64>(&pool, &format!("SELECT count(*) FROM {table}")).await,
            1
        );
    }
    // The statements of the version before, on connections that it had open.
    for statement in [place, lines, history] {
        let done = sqlx::query(statement).bind(new).execute(&pool).await.unwrap();
        assert_eq!(done.rows_affected(), 1);
    }
    let again = sqlx::query(place).bind(old).execute(&pool).await.unwrap();
    assert_eq!(again.rows_affected(), 0, "an id was given twice");
    let move_on = "UPDATE orders SET status = 'SHIPPED', reservation_id = $1, payment_id = $1, payment_status = 'X' WHERE order_id = $1";
    for order in [old, new] {
        let refused = sqlx::query(move_on).bind(order).execute(&pool).await.unwrap_err();
        let code = refused.as_database_error().unwrap().code().unwrap().into_owned();
        assert_eq!(code, "23514", "{refused}");
    }
}

async fn explain(pool: &PgPool, list: &str, customer: Option<Uuid>, from: Option<Uuid>) -> String {
    let lines: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!("EXPLAIN (COSTS OFF) {list}")))
        .bind(customer)
        .bind(from.unwrap_or(Uuid::nil()))
        .bind(Uuid::max())
        .bind(None::<chrono::DateTime<chrono::Utc>>)
        .bind(None::<chrono::DateTime<chrono::Utc>>)
        .bind(None::<String>)
        .bind(20_i64)
        .fetch_all(pool)
        .await
        .unwrap();
    lines.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_reads_an_index_and_only_the_months_that_it_asks_for() {
    let shop = Shop::open().await;
    run(
        &shop.pool,
        "INSERT INTO orders (order_id, customer_id, guest, email, status, total_minor, currency, shipping_address,
                             sequence, created_at, updated_at)
         SELECT overlay(order_id_floor(at)::text PLACING lpad(to_hex(n), 12, '0') FROM 25)::uuid,
                ('00000000-0000-7000-8000-' || lpad((n % 500)::text, 12, '0'))::uuid, false, 'a@b.test', 'PLACED', 1,
                'USD', '{}', 1, at, at
         FROM (SELECT n, now() + n * interval '5 minutes' AS at FROM generate_series(1, 20000) AS n) AS new;
         ANALYZE orders",
    )
    .await;
    let customer = Some(Uuid::parse_str("00000000-0000-7000-8000-000000000007").unwrap());
    let month = "order_id_floor(date_trunc('month', now(), 'UTC') + interval '2 months')";
    let from: Uuid = one(&shop.pool, &format!("SELECT {month}")).await;
    for (list, customer, index) in [
        (LIST_OF_CUSTOMER, customer, "customer"),
        (LIST_OF_ALL, None, "pkey"),
    ] {
        let all = explain(&shop.pool, list, customer, None).await;
        assert!(
            all.contains("orders_first") && !all.contains("Seq Scan on orders_first"),
            "{all}"
        );
        assert!(!all.contains("Seq Scan on orders_y"), "{all}");
        assert!(all.contains(index), "{all}");
        let late = explain(&shop.pool, list, customer, Some(from)).await;
        assert!(
            !late.contains("orders_first"),
            "a month was read that was not asked for: {late}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_filtered_by_customer_status_and_time_page_by_page() {
    let shop = Shop::open().await;
    let (buyer, other) = (shop.customer(), shop.customer());
    let sku = shop.world.sku(100, 100);
    let base: String = one(
        &shop.pool,
        "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24')",
    )
    .await;
    let minute = |n: usize| format!("{base}:{:02}:00Z", 10 + n);
    let mut placed = Vec::new();
    for (n, who) in [&buyer, &buyer, &other, &buyer, &buyer].into_iter().enumerate() {
        shop.fill(who, &[(sku, 1)]);
        let order = who.checkout("pm_card_visa").await.expect(201);
        let id = id_of(&order);
        // A minute each, so that the times can be told apart.
        sqlx::query("UPDATE orders SET created_at = $2::timestamptz WHERE order_id = $1")
            .bind(id.parse::<Uuid>().unwrap())
            .bind(minute(n))
            .execute(&shop.pool)
            .await
            .unwrap();
        placed.push(id);
    }
    shop.staff(Role::Warehouse)
        .put(&format!("/v1/orders/{}/ship", placed[1]), json!({}))
        .await
        .expect(200);
    let support = shop.staff(Role::Support);
    let list = async |query: &str| -> Vec<String> {
        let mut seen = Vec::new();
        let mut next = format!("/v1/orders?limit=2&{query}");
        loop {
            let page = support.get(&next).await.expect(200).json;
            for order in page["items"].as_array().unwrap() {
                seen.push(order["order_id"].as_str().unwrap().to_owned());
            }
            match page["next_cursor"].as_str() {
                Some(cursor) => next = format!("/v1/orders?limit=2&{query}&cursor={cursor}"),
                None => return seen,
            }
        }
    };
    let of = |places: &[usize]| -> Vec<String> { places.iter().map(|n| placed[*n].clone()).collect() };
    let customer = format!("customer_id={}", buyer.id);
    assert_eq!(list("").await, of(&[4, 3, 2, 1, 0]));
    assert_eq!(list(&customer).await, of(&[4, 3, 1, 0]));
    assert_eq!(list(&format!("{customer}&status=SHIPPED")).await, of(&[1]));
    assert_eq!(list("status=CONFIRMED").await, of(&[4, 3, 2, 0]));
    let (second, fourth) = (minute(1), minute(3));
    assert_eq!(
        list(&format!("created_to={second}")).await,
        of(&[0]),
        "the end is not included"
    );
    assert_eq!(
        list(&format!("created_from={fourth}")).await,
        of(&[4, 3]),
        "the beginning is"
    );
    let between = format!("created_from={second}&created_to={fourth}");
    assert_eq!(list(&between).await, of(&[2, 1]));
    assert_eq!(
        list(&format!("{between}&{customer}&status=SHIPPED")).await,
        of(&[1])
    );
    assert_eq!(list("created_to=2020-01-01T00:00:00Z").await, of(&[]));
}

#[tokio::test(flavor = "multi_thread")]
async fn times_that_make_no_sense_are_named() {
    let shop = Shop::open().await;
    let support = shop.staff(Role::Support);
    let moment = "2026-01-01T00:00:00Z";
    let refused = support
        .get(&format!("/v1/orders?created_from={moment}&created_to={moment}"))
        .await
        .expect_problem(400, "VALIDATION_ERROR");
    assert_eq!(refused.json["errors"][0]["field"], "created_to");
    support
        .get("/v1/orders?created_from=yesterday")
        .await
        .expect_problem(400, "VALIDATION_ERROR");
}
