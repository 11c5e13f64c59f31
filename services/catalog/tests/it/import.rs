//! The bulk import.

use std::collections::{HashMap, HashSet};

use ferrocart_contracts::Topic;
use ferrocart_http_kit::Role;
use serde_json::{Value, json};

use crate::bulk;
use crate::support::{Catalog, category, product};

const LINES: usize = 3_000;

struct Imported {
    lines: Vec<Value>,
    summary: Value,
}

async fn import(catalog: &Catalog, token: &str, body: String) -> Imported {
    let sent = bulk::send(catalog, token, ("application/x-ndjson", ""), &body).await;
    let mut summary = sent.summary;
    let members = summary.as_object_mut().unwrap();
    assert_eq!(members.remove("import_id").unwrap(), sent.import_id.as_str());
    assert_eq!(members.remove("lines_done").unwrap(), body.lines().count());
    Imported {
        lines: sent.lines,
        summary,
    }
}

fn good(n: usize) -> Value {
    let mut product = product(&format!("item-{n}"), "shoes");
    product["title"] = json!(format!("Item {n}"));
    product
}

/// Line `n`, counted from 1, of a file in which every hundredth is broken, each in its own way.
fn line(n: usize) -> (String, Option<&'static str>) {
    if !n.is_multiple_of(100) {
        return (good(n).to_string(), None);
    }
    let mut product = good(n);
    match (n / 100) % 5 {
        0 => ("{\"handle\": \"cut".to_owned(), Some("line")),
        1 => {
            product["variants"][0]["price"]["amount_minor"] = json!(-5);
            (product.to_string(), Some("variants[0].price"))
        }
        2 => {
            product["category"] = json!("nowhere");
            (product.to_string(), Some("category"))
        }
        3 => {
            product.as_object_mut().unwrap().remove("title");
            (product.to_string(), Some("title"))
        }
        _ => {
            // An article number that an earlier line's product has.
            product["variants"][0]["sku"] = json!("ITEM-1-42");
            (product.to_string(), Some("variants[0].sku"))
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_imported_line_by_line_and_again_without_effect() {
    let catalog = Catalog::start().await;
    let (_, token) = catalog.env.keys.new_user("catalog", &[Role::Merchant]);
    let merchant = catalog.api.with_token(&token);
    category(&merchant, "shoes", None).await;
    let lines: Vec<(String, Option<&str>)> = (1..=LINES).map(line).collect();
    let body = lines
        .iter()
        .map(|(line, _)| line.as_str())
        .collect::<Vec<_>>()
        .join("\n");

    let first = import(&catalog, &token, body.clone()).await;
    assert_eq!(
        first.summary,
        json!({"created": 2_970, "updated": 0, "unchanged": 0, "failed": 30})
    );
    assert_eq!(first.lines.len(), LINES);
    for (n, (answer, (_, fault))) in (1..).zip(first.lines.iter().zip(&lines)) {
        assert_eq!(answer["line"], n);
        match fault {
            None => {
                assert_eq!(answer["status"], "created", "{answer}");
                assert_eq!(answer["variants"][0]["sku"], format!("ITEM-{n}-42"));
            }
            Some(field) => {
                assert_eq!(answer["status"], "failed", "{answer}");
                assert_eq!(answer["errors"][0]["field"], *field, "{answer}");
            }
        }
    }

    let again = import(&catalog, &token, body).await;
    assert_eq!(
        again.summary,
        json!({"created": 0, "updated": 0, "unchanged": 2_970, "failed": 30})
    );
    for (first, again) in first.lines.iter().zip(&again.lines) {
        assert_eq!(first["variants"], again["variants"]);
        assert_eq!(first["product_id"], again["product_id"]);
    }

    // One changed line is one new version; its SKU keeps its id.
    let mut changed = good(7);
    changed["variants"][0]["price"]["amount_minor"] = json!(1);
    let third = import(&catalog, &token, format!("{}\n\n{changed}\n", good(6))).await;
    assert_eq!(
        third.summary,
        json!({"created": 0, "updated": 1, "unchanged": 1, "failed": 0})
    );
    assert_eq!(third.lines[1]["line"], 3);
    assert_eq!(third.lines[1]["variants"], first.lines[6]["variants"]);

    // Events: one for each product, one for the change, none for what stayed.
    let mut log = catalog.env.events(Topic::Catalog);
    let events = log.until("all changes", |events| events.len() >= 2_971).await;
    let second: Vec<&str> = events
        .iter()
        .filter(|event| event.sequence == 2)
        .map(|event| event.subject.as_str())
        .collect();
    assert_eq!(second, [first.lines[6]["product_id"].as_str().unwrap()]);
    assert_eq!(events.len(), 2_971);
    catalog.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_of_one_file_at_once_end_as_one() {
    let catalog = Catalog::start().await;
    let (_, token) = catalog.env.keys.new_user("catalog", &[Role::Merchant]);
    let merchant = catalog.api.with_token(&token);
    category(&merchant, "shoes", None).await;
    let forth: Vec<String> = (1..=600).map(|n| good(n).to_string()).collect();
    let mut back = forth.clone();
    back.reverse();
    // Two in step, whose transactions always meet, and one the other way round.
    let (one, two, three) = tokio::join!(
        import(&catalog, &token, forth.join("\n")),
        import(&catalog, &token, forth.join("\n")),
        import(&catalog, &token, back.join("\n")),
    );
    let all = [&one, &two, &three];
    let sum = |what: &str| -> u64 {
        let counts = all
            .iter()
            .map(|imported| imported.summary[what].as_u64().unwrap());
        counts.sum()
    };
    assert_eq!(
        (sum("created"), sum("unchanged")),
        (600, 1_200),
        "{} {} {}",
        one.summary,
        two.summary,
        three.summary
    );
    let skus = |imported: &Imported| -> HashMap<String, String> {
        let variants = imported.lines.iter().map(|line| &line["variants"][0]);
        variants
            .map(|v| (v["sku"].to_string(), v["sku_id"].to_string()))
            .collect()
    };
    assert_eq!(skus(&one), skus(&two));
    assert_eq!(skus(&one), skus(&three));
    let pool = catalog.pool().await;
    let counted: (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM products), (SELECT count(*) FROM variants), (SELECT max(version) FROM products)",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(counted, (600, 600, 1));
    catalog.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_touch_each_other_are_applied_one_after_the_other() {
    let catalog = Catalog::start().await;
    let (_, token) = catalog.env.keys.new_user("catalog", &[Role::Merchant]);
    let merchant = catalog.api.with_token(&token);
    category(&merchant, "shoes", None).await;
    let mut second = good(1);
    second["title"] = json!("The same handle again");
    let mut thief = good(2);
    thief["variants"][0]["sku"] = json!("ITEM-1-42");
    let endless = format!("{{\"handle\":\"{}\"}}", "x".repeat(300_000));
    let body = [
        good(1).to_string(),
        second.to_string(),
        thief.to_string(),
        endless,
        good(3).to_string(),
    ];
    let imported = import(&catalog, &token, body.join("\r\n")).await;
    let statuses: Vec<&str> = imported
        .lines
        .iter()
        .map(|line| line["status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["created", "updated", "failed", "failed", "created"]);
    assert_eq!(imported.lines[0]["product_id"], imported.lines[1]["product_id"]);
    assert_eq!(imported.lines[2]["errors"][0]["field"], "variants[0].sku");
    assert_eq!(imported.lines[3]["errors"][0]["field"], "line");

    let distinct: HashSet<String> = imported
        .lines
        .iter()
        .map(|line| line["line"].to_string())
        .collect();
    assert_eq!(distinct.len(), 5);
    let nothing = import(&catalog, &token, String::new()).await;
    assert!(nothing.lines.is_empty());
    merchant
        .post("/v1/products:import", good(9))
        .await
        .expect_problem(415, "UNSUPPORTED_MEDIA_TYPE");
    catalog.stop().await;
}
