//! Imports that break off and go on, CSV files, and exports.

#![allow(
    clippy::format_collect,
    clippy::format_push_string,
    clippy::too_many_lines,
    reason = "small files, read from top to bottom"
)]

use bytes::Bytes;
use ferrocart_http_kit::Role;
use ferrocart_types::{IdGen as _, SystemIds};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::support::{Catalog, category, id_of, product};

const NDJSON: &str = "application/x-ndjson";
const CSV: &str = "text/csv";

/// An answer that was read to its end.
pub(crate) struct Sent {
    pub(crate) import_id: String,
    pub(crate) lines: Vec<Value>,
    pub(crate) summary: Value,
}

impl Sent {
    fn counts(&self) -> [u64; 4] {
        ["created", "updated", "unchanged", "failed"].map(|name| self.summary[name].as_u64().unwrap())
    }
}

fn request(catalog: &Catalog, token: &str, (content_type, query): (&str, &str)) -> reqwest::RequestBuilder {
    reqwest::Client::new()
        .post(format!(
            "http://127.0.0.1:{}/v1/products:import{query}",
            catalog.port
        ))
        .bearer_auth(token)
        .header("content-type", content_type)
}

/// Sends a body to the import in small pieces, as a file is read.
pub(crate) async fn send(catalog: &Catalog, token: &str, kind: (&str, &str), body: &str) -> Sent {
    let pieces: Vec<Result<Vec<u8>, std::io::Error>> = body
        .as_bytes()
        .chunks(10_000)
        .map(|piece| Ok(piece.to_vec()))
        .collect();
    let body = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
    let response = request(catalog, token, kind).body(body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], NDJSON);
    let import_id = response.headers()["import-id"].to_str().unwrap().to_owned();
    let text = response.text().await.unwrap();
    let mut lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let summary = lines.pop().unwrap()["summary"].clone();
    Sent {
        import_id,
        lines,
        summary,
    }
}

/// A client in the midst of a body.
struct Open {
    body: mpsc::Sender<Result<Bytes, std::io::Error>>,
    answer: reqwest::Response,
    read: Vec<u8>,
}

impl Open {
    async fn send(catalog: &Catalog, token: &str, kind: (&str, &str), body: &str) -> Self {
        let (sender, receiver) = mpsc::channel(8);
        sender.send(Ok(Bytes::from(body.to_owned()))).await.unwrap();
        let pieces = futures::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|piece| (piece, receiver))
        });
        let answer = request(catalog, token, kind)
            .body(reqwest::Body::wrap_stream(pieces))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        Self {
            body: sender,
            answer,
            read: Vec::new(),
        }
    }

    /// Goes away: the body has no end.
    fn break_off(self) {
        let lost = std::io::Error::other("the client went away");
        self.body.try_send(Err(lost)).unwrap();
    }

    /// Reads on until there are so many lines of the answer.
    async fn answered(&mut self, lines: usize) -> Vec<Value> {
        loop {
            let text = String::from_utf8(self.read.clone()).unwrap();
            if text.lines().count() >= lines && text.ends_with('\n') {
                return text
                    .lines()
                    .map(|line| serde_json::from_str(line).unwrap())
                    .collect();
            }
            let piece = self.answer.chunk().await.unwrap().expect("the answer goes on");
            self.read.extend_from_slice(&piece);
        }
    }
}

fn item(n: usize) -> Value {
    product(&format!("item-{n:04}"), "shoes")
}

fn lines(numbers: std::ops::RangeInclusive<usize>) -> String {
    numbers.map(|n| format!("{}\n", item(n))).collect()
}

fn csv_rows(numbers: std::ops::RangeInclusive<usize>) -> String {
    let rows = numbers.map(|n| {
        format!("item-{n:04},\"Item \"\"{n}\"\"\",\"On\r\ntwo lines\",B,shoes,I-{n}-a,{n},USD,41\r\nitem-{n:04},,,,,I-{n}-b,{n},USD,42\r\n")
    });
    rows.collect()
}

const CSV_HEADER: &str = "handle,title,description,brand,category,sku,price_minor,currency,option.size\r\n";

async fn shop() -> (Catalog, String, ferrocart_test_kit::Api) {
    let catalog = Catalog::start().await;
    let (_, token) = catalog.env.keys.new_user("catalog", &[Role::Merchant]);
    let merchant = catalog.api.with_token(&token);
    category(&merchant, "shoes", None).await;
    (catalog, token, merchant)
}

async fn lines_done(merchant: &ferrocart_test_kit::Api, import_id: &str) -> u64 {
    let import = merchant
        .get(&format!("/v1/imports/{import_id}"))
        .await
        .expect(200);
    import.json["lines_done"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_broke_off_goes_on_and_does_nothing_twice() {
    let (catalog, token, merchant) = shop().await;
    let import_id = SystemIds.next().to_string();
    let query = format!("?import_id={import_id}");
    // 250 lines and a piece of one: two chunks are saved, and perhaps the rest of the whole lines.
    let cut = format!("{}{}", lines(1..=250), &lines(251..=251)[..40]);
    let mut open = Open::send(&catalog, &token, (NDJSON, &query), &cut).await;
    let answered = open.answered(200).await;
    let first = answered[0]["product_id"].as_str().unwrap().to_owned();
    open.break_off();
    let import = merchant
        .get(&format!("/v1/imports/{import_id}"))
        .await
        .expect(200);
    assert_eq!(import.json["status"], "open");
    assert_eq!(import.json["format"], "ndjson");
    assert!(import.json["lines_done"].as_u64().unwrap() >= 200);

    // What the merchant changes meanwhile is not changed back by lines that are done.
    let change = json!({"title": "Mended by hand"});
    let path = format!("/v1/products/{first}");
    let answer = merchant
        .send(reqwest::Method::PATCH, &path, Some(&change), &[])
        .await;
    answer.expect(200);

    // The whole file again.
    let whole = send(&catalog, &token, (NDJSON, &query), &lines(1..=600)).await;
    assert_eq!(whole.import_id, import_id);
    assert_eq!(whole.counts(), [600, 0, 0, 0]);
    let answered: Vec<u64> = whole
        .lines
        .iter()
        .map(|line| line["line"].as_u64().unwrap())
        .collect();
    let done = answered[0] - 1;
    assert!((200..=250).contains(&done), "{done}");
    assert_eq!(answered, (done + 1..=600).collect::<Vec<_>>());
    let product = merchant.get(&path).await.expect(200);
    assert_eq!(product.json["title"], "Mended by hand");
    assert_eq!(product.json["version"], 2);
    let pool = catalog.pool().await;
    let versions: (i64, i64) = sqlx::query_as("SELECT count(*), sum(version)::bigint FROM products")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(versions, (600, 601));
    let import = merchant
        .get(&format!("/v1/imports/{import_id}"))
        .await
        .expect(200);
    assert_eq!(import.json["status"], "complete");
    assert_eq!(import.json["lines_done"], 600);

    // Once more: nothing to do, and nothing is.
    let again = send(&catalog, &token, (NDJSON, &query), &lines(1..=600)).await;
    assert_eq!((again.lines.len(), again.counts()), (0, [600, 0, 0, 0]));
    assert_eq!(again.summary.get("aborted"), None);
    // Another file under the same id is not passed over in silence.
    let mut other = lines(1..=600);
    other = other.replacen("Alpina", "Other", 1);
    for body in [other, lines(1..=599), lines(1..=601)] {
        let refused = send(&catalog, &token, (NDJSON, &query), &body).await;
        assert!(refused.summary["aborted"].is_string(), "{}", refused.summary);
        assert_eq!(refused.counts(), [600, 0, 0, 0]);
    }
    catalog.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rest_of_a_file_is_enough() {
    let (catalog, token, merchant) = shop().await;
    // A CSV file; its products have three lines each, the header one.
    let mut open = Open::send(
        &catalog,
        &token,
        (CSV, ""),
        &format!("{CSV_HEADER}{}", csv_rows(1..=150)),
    )
    .await;
    let import_id = open.answer.headers()["import-id"].to_str().unwrap().to_owned();
    assert_eq!(open.answered(100).await[99]["line"], 299);
    open.break_off();
    let query = format!("?import_id={import_id}");
    let at = |line: u64| format!("{query}&from_line={line}");
    // Whoever comes last has the import: what broke off is saved no further from here on.
    let told = send(&catalog, &token, (CSV, &query), CSV_HEADER).await;
    assert!(told.summary["aborted"].is_string(), "{}", told.summary);
    let done = told.summary["lines_done"].as_u64().unwrap();
    assert!(done >= 301 && (done - 1).is_multiple_of(3), "{done}");
    let refused = request(&catalog, &token, (CSV, &at(done)))
        .body("")
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), 409);
    let refused: Value = refused.json().await.unwrap();
    assert_eq!(refused["code"], "IMPORT_MISMATCH");
    assert_eq!(refused["lines_done"], done);
    let refused = request(&catalog, &token, (NDJSON, &query))
        .body("")
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), 409);
    let refused = request(&catalog, &token, (NDJSON, "?from_line=2"))
        .body("")
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), 400);

    let next = usize::try_from(done).unwrap() / 3 + 1;
    let rest = send(&catalog, &token, (CSV, &at(done + 1)), &csv_rows(next..=220)).await;
    assert_eq!(rest.summary.get("aborted"), None, "{}", rest.summary);
    assert_eq!(rest.counts(), [220, 0, 0, 0]);
    assert_eq!(rest.lines[0]["line"], done + 1);
    assert_eq!(rest.summary["lines_done"], 661);
    // The marks of the parts are those of the whole.
    let whole = format!("{CSV_HEADER}{}", csv_rows(1..=220));
    let again = send(&catalog, &token, (CSV, &query), &whole).await;
    assert_eq!((again.lines.len(), again.summary.get("aborted")), (0, None));
    let fresh = send(&catalog, &token, (CSV, ""), &whole.replace("\r\n", "\n")).await;
    assert_eq!(
        fresh.counts(),
        [0, 220, 0, 0],
        "the line ends of a description are its own"
    );

    let (_, stranger) = catalog.user(Role::Merchant);
    for path in [
        format!("/v1/imports/{import_id}"),
        format!("/v1/imports/{import_id}/errors"),
    ] {
        merchant.get(&path).await.expect(200);
        stranger.get(&path).await.expect_problem(404, "IMPORT_NOT_FOUND");
    }
    merchant
        .get("/v1/imports/7")
        .await
        .expect_problem(400, "INVALID_IMPORT_ID");
    catalog.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_request_has_the_import() {
    let (catalog, token, merchant) = shop().await;
    let import_id = SystemIds.next().to_string();
    let query = format!("?import_id={import_id}");
    let mut stuck = Open::send(&catalog, &token, (NDJSON, &query), &lines(1..=100)).await;
    stuck.answered(100).await;
    // The client believes that one lost, and sends the file again.
    let again = send(&catalog, &token, (NDJSON, &query), &lines(1..=300)).await;
    assert_eq!((again.lines.len(), again.counts()), (200, [300, 0, 0, 0]));
    // The lost one comes back to life.
    let more: String = (101..=300)
        .map(|n| {
            let mut late = item(n);
            late["title"] = json!("Late");
            format!("{late}\n")
        })
        .collect();
    stuck.body.send(Ok(more.into())).await.unwrap();
    let answered = stuck.answered(101).await;
    assert_eq!(answered.len(), 101);
    let summary = &answered[100]["summary"];
    assert!(
        summary["aborted"].as_str().unwrap().contains("IMPORT_TAKEN_OVER"),
        "{summary}"
    );
    assert_eq!(lines_done(&merchant, &import_id).await, 300);
    let pool = catalog.pool().await;
    let late: i64 = sqlx::query_scalar("SELECT count(*) FROM products WHERE title = 'Late' OR version > 1")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(late, 0);
    catalog.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_file_is_kept_by_line() {
    let (catalog, token, merchant) = shop().await;
    let mut body = CSV_HEADER.to_owned();
    body.push_str(&csv_rows(1..=10));
    for n in 0..120 {
        body.push_str(&format!(
            "bad-{n},Bad,,B,shoes,X-{n}-1,1,USD,1\r\nbad-{n},,,,,X-{n}-2,one,USD,2\r\n"
        ));
    }
    // Refused by the database's state, not by what the rows say.
    body.push_str(
        "lost,Lost,,B,nowhere,L-1,1,USD,1\r\nthief,Thief,,B,shoes,T-1,1,USD,1\r\nthief,,,,,I-7-b,1,USD,2\r\n",
    );
    let sent = send(&catalog, &token, (CSV, ""), &body).await;
    assert_eq!(sent.counts(), [10, 0, 0, 122]);
    let base = format!("/v1/imports/{}/errors?limit=100", sent.import_id);
    let page = merchant.get(&base).await.expect(200).json;
    let mut kept = page["items"].as_array().unwrap().clone();
    assert_eq!(kept.len(), 100);
    assert_eq!(
        kept[0],
        json!({"line": 32, "errors": [{"field": "price_minor",
            "reason": "line 33: must be a whole number of minor units, such as cents"}]})
    );
    let next = page["next_cursor"].as_str().unwrap();
    let page = merchant
        .get(&format!("{base}&cursor={next}"))
        .await
        .expect(200)
        .json;
    kept.extend(page["items"].as_array().unwrap().iter().cloned());
    assert_eq!(page.get("next_cursor"), None);
    assert_eq!(kept.len(), 122);
    assert_eq!(kept[120]["errors"][0]["field"], "category");
    assert_eq!(kept[121]["errors"][0]["field"], "sku");
    let reason = kept[121]["errors"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("line 274: "), "{reason}");
    // The answer said the same.
    let answered: Vec<&Value> = sent
        .lines
        .iter()
        .filter(|line| line["status"] == "failed")
        .collect();
    for (answered, kept) in answered.iter().zip(&kept) {
        assert_eq!(
            (&answered["line"], &answered["errors"]),
            (&kept["line"], &kept["errors"])
        );
    }
    let headless = send(&catalog, &token, (CSV, ""), &csv_rows(1..=1)).await;
    assert!(headless.summary["aborted"].as_str().unwrap().contains("header"));
    catalog.stop().await;
}

async fn export(catalog: &Catalog, token: &str, (accept, query): (&str, &str)) -> String {
    let response = reqwest::Client::new()
        .get(format!(
            "http://127.0.0.1:{}/v1/products:export{query}",
            catalog.port
        ))
        .bearer_auth(token)
        .header("accept", accept)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], accept);
    let mut pieces = response.bytes_stream();
    let mut body = Vec::new();
    while let Some(piece) = pieces.next().await {
        body.extend_from_slice(&piece.unwrap());
    }
    String::from_utf8(body).unwrap()
}

/// Products with everything that a product can have.
fn assortment() -> String {
    let products = (1..=130).map(|n| {
        let mut product = item(n);
        product["title"] = json!(format!("Schuh \"{n}\", größer; =1+1"));
        product["description"] = json!("One line,\r\nanother\n\nand\ta last one ");
        product["status"] = json!(["active", "draft", "archived"][n % 3]);
        product["attributes"]["code"] = json!("00042");
        product["attributes"]["ean"] = json!("42");
        if n.is_multiple_of(2) {
            product["images"] = json!([]);
            product["attributes"] = json!({});
        }
        product["variants"][0]["sale"] = json!({"price": {"amount_minor": n, "currency": "USD"},
            "from": "2030-01-02T03:04:05.678Z", "until": "2031-01-01T00:00:00Z"});
        for more in 1..n % 5 {
            let variant =
                json!({"sku": format!("S,\"{n}\"-{more}"), "price": {"amount_minor": 0, "currency": "USD"}});
            product["variants"].as_array_mut().unwrap().push(variant);
        }
        format!("{product}\n")
    });
    products.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_can_be_imported() {
    let (catalog, token, merchant) = shop().await;
    let (_, other) = catalog.env.keys.new_user("catalog", &[Role::Merchant]);
    assert_eq!(export(&catalog, &token, (NDJSON, "")).await, "");
    assert_eq!(export(&catalog, &token, (CSV, "")).await.lines().count(), 1);
    let sent = send(&catalog, &token, (NDJSON, ""), &assortment()).await;
    assert_eq!(sent.counts(), [130, 0, 0, 0]);
    for format in [NDJSON, CSV] {
        let file = export(&catalog, &token, (format, "")).await;
        // To its own merchant it is nothing new.
        let own = send(&catalog, &token, (format, ""), &file).await;
        assert_eq!(own.counts(), [0, 0, 130, 0], "{format}");
        // To another one it is all there is, and the same.
        let (_, token) = catalog.env.keys.new_user("catalog", &[Role::Merchant]);
        let copied = send(&catalog, &token, (format, ""), &file).await;
        assert_eq!(copied.counts(), [130, 0, 0, 0], "{format}");
        assert_eq!(export(&catalog, &token, (format, "")).await, file);
    }
    let all = export(&catalog, &token, (NDJSON, "")).await;
    let rest = export(&catalog, &token, (NDJSON, "?after=item-0077")).await;
    assert!(all.ends_with(&rest));
    assert_eq!(rest.lines().count(), 53);
    // Nobody gets another merchant's.
    assert_eq!(export(&catalog, &other, (NDJSON, "")).await, "");
    let refused = merchant
        .send(
            reqwest::Method::GET,
            "/v1/products:export",
            None::<&Value>,
            &[("accept", "application/json")],
        )
        .await;
    refused.expect_problem(406, "NOT_ACCEPTABLE");
    let (_, customer) = catalog.user(Role::Customer);
    customer
        .get("/v1/products:export")
        .await
        .expect_problem(403, "FORBIDDEN");
    let drafts = merchant
        .post("/v1/products", product("later", "shoes"))
        .await
        .expect(201);
    assert!(!id_of(&drafts.json).is_empty());
    assert_eq!(
        export(&catalog, &token, (NDJSON, "?after=item-9999"))
            .await
            .lines()
            .count(),
        1
    );
    catalog.stop().await;
}
