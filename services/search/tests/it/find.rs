use std::collections::{BTreeMap, BTreeSet};

use ferrocart_test_kit::eventually;
use serde_json::Value;

use crate::goods::{self, Good, counts};
use crate::support::{Shop, encoded, product};

type Rank<'a> = &'a dyn Fn(&Good) -> i64;

fn ids(answer: &Value) -> Vec<String> {
    let items = answer["items"].as_array().unwrap().iter();
    items
        .map(|item| item["product_id"].as_str().unwrap().to_owned())
        .collect()
}

async fn all_ids(shop: &Shop, query: &str) -> BTreeSet<String> {
    let answer = shop.search(&format!("{query}&limit=100")).await;
    let found = ids(&answer);
    assert_eq!(answer["total"], found.len());
    assert!(answer.get("next_cursor").is_none(), "{answer}");
    found.into_iter().collect()
}

fn expected(goods: &[Good], wanted: impl Fn(&Good) -> bool) -> BTreeSet<String> {
    goods
        .iter()
        .filter(|good| wanted(good))
        .map(|good| good.id().to_owned())
        .collect()
}

#[tokio::test]
async fn filters_find_exactly_what_passes_them() {
    let shop = Shop::open().await;
    let goods = goods::list(&shop).await;
    let in_range = |good: &Good, lowest: i64, highest: i64| {
        good.prices.iter().any(|price| (lowest..=highest).contains(price))
    };
    let has = |good: &Good, slug: &str| good.path().iter().any(|part| part == slug);

    assert_eq!(all_ids(&shop, "").await, expected(&goods, |_| true));
    assert_eq!(
        all_ids(&shop, "category=shoes").await,
        expected(&goods, |good| has(good, "shoes"))
    );
    assert_eq!(
        all_ids(&shop, "category=boots").await,
        expected(&goods, |good| has(good, "boots"))
    );
    assert!(all_ids(&shop, "category=boot").await.is_empty());
    assert_eq!(
        all_ids(&shop, "brand=Zephyr%20%26%20S%C3%B6hne").await,
        expected(&goods, |good| good.event.brand == "Zephyr & Söhne")
    );
    assert_eq!(
        all_ids(&shop, "price_min=1300&price_max=1700").await,
        expected(&goods, |good| in_range(good, 1_300, 1_700))
    );
    assert_eq!(
        all_ids(&shop, "price_max=1000").await,
        expected(&goods, |good| in_range(good, 0, 1_000))
    );
    assert_eq!(
        all_ids(&shop, "rating_min=3.6").await,
        expected(&goods, |good| good.event.rating_hundredths >= 360)
    );
    assert_eq!(
        all_ids(&shop, "in_stock=true").await,
        expected(&goods, |good| good.in_stock)
    );
    assert_eq!(
        all_ids(&shop, "in_stock=false").await,
        expected(&goods, |good| !good.in_stock)
    );
    let all = "q=boot&category=shoes&brand=Acme&price_min=1200&rating_min=0.5&in_stock=true";
    let found = all_ids(&shop, all).await;
    assert_eq!(
        found,
        expected(&goods, |good| {
            has(good, "boots")
                && good.event.brand == "Acme"
                && in_range(good, 1_200, i64::MAX)
                && good.event.rating_hundredths >= 50
                && good.in_stock
        })
    );
    assert!(!found.is_empty(), "the test must be able to fail");
}

#[tokio::test]
async fn facets_are_exact_and_ignore_their_own_filter() {
    let shop = Shop::open().await;
    let goods = goods::list(&shop).await;
    let facet = |answer: &Value, name: &str| -> BTreeMap<String, u64> {
        let values = answer["facets"][name].as_array().unwrap().iter();
        values
            .map(|facet| {
                let value = facet["value"].as_str().unwrap().to_owned();
                (value, facet["count"].as_u64().unwrap())
            })
            .collect()
    };
    let categories = |wanted: &dyn Fn(&Good) -> bool| {
        let goods = goods.iter().filter(|good| wanted(good));
        counts(goods.flat_map(|good| good.path().iter().map(String::as_str)))
    };
    let brands = |wanted: &dyn Fn(&Good) -> bool| {
        counts(
            goods
                .iter()
                .filter(|good| wanted(good))
                .map(|good| good.event.brand.as_str()),
        )
    };
    let boot = |good: &Good| good.path()[1] == "boots";
    let acme = |good: &Good| good.event.brand == "Acme";

    let answer = shop.search("facets=category,brand&limit=1").await;
    assert_eq!(facet(&answer, "category"), categories(&|_| true));
    assert_eq!(facet(&answer, "brand"), brands(&|_| true));

    let answer = shop
        .search("facets=category,brand&brand=Acme&in_stock=true")
        .await;
    assert_eq!(
        facet(&answer, "category"),
        categories(&|good| acme(good) && good.in_stock)
    );
    assert_eq!(facet(&answer, "brand"), brands(&|good| good.in_stock));

    let answer = shop
        .search("facets=brand,category&brand=Acme&category=boots&q=boot")
        .await;
    assert_eq!(
        answer["total"],
        expected(&goods, |good| boot(good) && acme(good)).len()
    );
    assert_eq!(
        facet(&answer, "category"),
        categories(&|good| boot(good) && acme(good))
    );
    assert_eq!(facet(&answer, "brand"), brands(&boot));

    // A facet's count is what choosing it finds, in its order.
    let answer = shop.search("facets=category").await;
    assert!(answer["facets"].get("brand").is_none());
    let values = answer["facets"]["category"].as_array().unwrap();
    assert_eq!(values[0]["value"], "shoes");
    for value in values {
        let slug = value["value"].as_str().unwrap();
        let chosen = shop.search(&format!("category={slug}")).await;
        assert_eq!(chosen["total"], value["count"]);
    }
}

/// Whatever is counted is what choosing it finds, with every other filter in place.
#[tokio::test]
async fn every_count_is_what_choosing_it_finds() {
    let shop = Shop::open().await;
    let goods = goods::list(&shop).await;
    let all = "category,brand,price,rating,in_stock,attributes";
    let filters = [
        ("category", "shoes"),
        ("brand", "Acme"),
        ("price_min", "1300"),
        ("rating_min", "1"),
        ("in_stock", "true"),
        ("attributes", "colour:red;colour:black;washable:true"),
    ];
    let mut counted = 0;
    for chosen in [&[][..], &filters[2..4], &filters[4..], &filters[1..2]] {
        let query = |without: &[&str]| {
            let kept = chosen.iter().filter(|(name, _)| !without.contains(name));
            let kept: Vec<String> = kept.map(|(name, value)| format!("&{name}={value}")).collect();
            kept.concat()
        };
        let answer = shop.search(&format!("facets={all}{}", query(&[]))).await;
        let facets = &answer["facets"];
        let values = |name: &str| facets[name].as_array().unwrap().clone();
        let mut choices: Vec<(String, Value)> = Vec::new();
        for name in ["category", "brand", "in_stock"] {
            for facet in values(name) {
                let value = encoded(facet["value"].as_str().unwrap());
                let query = format!("{name}={value}{}", query(&[name]));
                choices.push((query, facet["count"].clone()));
            }
        }
        for facet in values("price") {
            let (from, to) = facet["value"].as_str().unwrap().split_once('-').unwrap();
            let query = format!("price_min={from}&price_max={to}{}", query(&["price_min"]));
            choices.push((query, facet["count"].clone()));
        }
        for facet in values("rating") {
            let stars = facet["value"].as_str().unwrap();
            let query = format!("rating_min={stars}{}", query(&["rating_min"]));
            choices.push((query, facet["count"].clone()));
        }
        for attribute in values("attributes") {
            let name = attribute["name"].as_str().unwrap();
            for facet in attribute["values"].as_array().unwrap() {
                let pair = format!("{name}:{}", facet["value"].as_str().unwrap());
                let others = match name {
                    _ if !chosen.contains(&filters[5]) => "",
                    "colour" => ";washable:true",
                    "washable" => ";colour:red;colour:black",
                    _ => ";colour:red;colour:black;washable:true",
                };
                let query = format!(
                    "attributes={}{}",
                    encoded(&(pair + others)),
                    query(&["attributes"])
                );
                choices.push((query, facet["count"].clone()));
            }
        }
        for (query, count) in choices {
            let total = shop.search(&format!("{query}&limit=1")).await["total"].clone();
            assert_eq!(total, count, "{query} of {chosen:?}");
            counted += 1;
        }
    }
    assert!(counted > 60, "{counted}");
    // And the filter itself is right.
    assert_eq!(
        all_ids(&shop, "attributes=colour:red;colour:black;washable:true").await,
        expected(&goods, |good| {
            (good.has("colour", "red") || good.has("colour", "black")) && good.has("washable", "true")
        })
    );
}

#[tokio::test]
async fn every_order_visits_each_product_once() {
    let shop = Shop::open().await;
    let goods = goods::list(&shop).await;
    let by_id: BTreeMap<&str, &Good> = goods.iter().map(|good| (good.id(), good)).collect();
    let lowest = |good: &Good| *good.prices.iter().min().unwrap();
    let orders: [(&str, Rank<'_>); 4] = [
        ("price_asc", &lowest),
        ("price_desc", &|good| -lowest(good)),
        ("newest", &|good| -good.created),
        ("rating", &|good| -i64::from(good.event.rating_hundredths)),
    ];
    for (sort, rank) in orders {
        let visited = walk(&shop, &format!("sort={sort}"), 7).await;
        let ranks: Vec<i64> = visited.iter().map(|id| rank(by_id[id.as_str()])).collect();
        assert!(ranks.is_sorted(), "{sort}: {ranks:?}");
        assert_eq!(visited.len(), goods.len(), "{sort}");
        let each: BTreeSet<_> = visited.into_iter().collect();
        assert_eq!(each, expected(&goods, |_| true), "{sort}");
    }
    for query in ["q=shoe", "", "q=lantern+boot&sort=price_asc"] {
        let visited = walk(&shop, query, 3).await;
        let whole = shop.search(&format!("{query}&limit=100")).await;
        assert_eq!(visited, ids(&whole), "{query}");
        assert!(visited.len() >= 20, "{query}");
    }
}

async fn walk(shop: &Shop, query: &str, limit: usize) -> Vec<String> {
    let mut visited = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = shop
            .search(&format!("{query}&limit={limit}&cursor={cursor}"))
            .await;
        let found = ids(&page);
        assert!(found.len() <= limit);
        visited.extend(found);
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return visited,
        }
        assert!(visited.len() <= 100, "the cursor goes in circles");
    }
}

#[tokio::test]
async fn a_cursor_outlives_a_change_of_the_index() {
    let shop = Shop::open().await;
    let goods = goods::list(&shop).await;
    let first = shop.search("sort=price_asc&limit=20").await;
    let seen: BTreeSet<String> = ids(&first).into_iter().collect();
    // One more before the cursor, one less before it.
    let mut cheap = product("Cheap Lantern");
    cheap.variants[0].price.as_mut().unwrap().amount_minor = 1;
    shop.list(&cheap).await;
    let gone = goods.iter().find(|good| good.id() == ids(&first)[0]).unwrap();
    shop.delete(&gone.event, 2).await;
    shop.settled().await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = shop
        .search(&format!("sort=price_asc&limit=100&cursor={cursor}"))
        .await;
    let rest: BTreeSet<String> = ids(&rest).into_iter().collect();
    assert!(rest.is_disjoint(&seen));
    assert_eq!(rest.len() + seen.len(), goods.len());
}

#[tokio::test]
async fn suggestions_complete_titles_and_brands() {
    let shop = Shop::open().await;
    goods::list(&shop).await;
    shop.list(&product("Nordic Walking Pole")).await;
    shop.list(&product("Pole of the Nord")).await;
    let suggest = |typed: &'static str| {
        let api = shop.api();
        async move {
            let answer = api
                .get(&format!("/v1/search/suggest?q={typed}"))
                .await
                .expect(200);
            answer.json["items"].as_array().unwrap().clone()
        }
    };
    let items = eventually("both poles to be suggested", || async {
        let items = suggest("nor").await;
        (items.len() == 3).then_some(items)
    })
    .await;
    assert_eq!(
        items[0],
        serde_json::json!({"text": "Nordlicht", "kind": "brand"})
    );
    assert_eq!(
        items[1],
        serde_json::json!({"text": "Nordic Walking Pole", "kind": "product"})
    );
    assert_eq!(items[2]["text"], "Pole of the Nord");
    assert_eq!(suggest("walking%20po").await.len(), 1);
    assert_eq!(suggest("trail").await.len(), 10);
    assert!(suggest("").await.is_empty());
    assert!(suggest("%F0%9F%99%82").await.is_empty());
    assert!(suggest("qqqq").await.is_empty());
}
