use crate::goods;
use crate::support::{Shop, encoded, product};

#[tokio::test]
async fn wrong_parameters_are_named() {
    let shop = Shop::open().await;
    let long = "x".repeat(201);
    for (query, field) in [
        ("colour=red", "colour"),
        ("price_min=abc", "price_min"),
        ("price_min=1.5", "price_min"),
        ("price_max=-1", "price_max"),
        ("price_max=99999999999999999999", "price_max"),
        ("price_min=2&price_max=1", "price_min"),
        ("rating_min=six", "rating_min"),
        ("rating_min=5.01", "rating_min"),
        ("rating_min=NaN", "rating_min"),
        ("in_stock=maybe", "in_stock"),
        ("sort=cheapest", "sort"),
        ("facets=colour", "facets"),
        ("attributes=colour", "attributes"),
        ("attributes=:red", "attributes"),
        ("attributes=a:1;b:1;c:1;d:1;e:1;f:1", "attributes"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=ten", "limit"),
        ("cursor=%25%25", "cursor"),
        ("cursor=e30", "cursor"),
        (&format!("q={long}"), "q"),
        (&format!("brand={long}"), "brand"),
    ] {
        let answer = shop.ask(query).await.expect_problem(400, "VALIDATION_ERROR");
        assert_eq!(
            answer.json["errors"][0]["field"], field,
            "{query}: {}",
            answer.text
        );
    }
    let twice = shop.ask("q=a&q=b").await.expect_problem(400, "VALIDATION_ERROR");
    assert!(
        twice.json["detail"].as_str().unwrap().contains("`q`"),
        "{}",
        twice.text
    );
    for (query, field) in [
        (String::new(), "q"),
        (format!("q={long}"), "q"),
        ("q=a&n=1".to_owned(), "n"),
    ] {
        let answer = shop.api().get(&format!("/v1/search/suggest?{query}")).await;
        let answer = answer.expect_problem(400, "VALIDATION_ERROR");
        assert_eq!(answer.json["errors"][0]["field"], field);
    }
}

#[tokio::test]
async fn a_cursor_belongs_to_its_search() {
    let shop = Shop::open().await;
    goods::list(&shop).await;
    let page = shop.search("sort=price_asc&limit=5").await;
    let cursor = page["next_cursor"].as_str().unwrap();
    for other in [
        "sort=newest",
        "sort=price_asc&brand=Acme",
        "sort=price_asc&q=boot",
    ] {
        let answer = shop.ask(&format!("{other}&cursor={cursor}")).await;
        let answer = answer.expect_problem(400, "VALIDATION_ERROR");
        assert_eq!(answer.json["errors"][0]["field"], "cursor");
    }
    // Another page size or facet is still the same search.
    shop.ask(&format!("sort=price_asc&limit=9&facets=brand&cursor={cursor}"))
        .await
        .expect(200);
}

#[tokio::test]
async fn anything_can_be_typed() {
    let shop = Shop::open().await;
    shop.list(&product("Robert's Lantern")).await;
    shop.settled().await;
    let long_word = "a".repeat(200);
    let many_words = "shoe ".repeat(40);
    let odd = [
        "\"",
        "\"unclosed",
        "title:lantern",
        "a:b:c",
        "lantern AND (",
        "NOT",
        "+ - && || ! ( ) { } [ ] ^ ~ * ? \\ /",
        "lantern^9999",
        "lantern~99",
        "[a TO z]",
        "*",
        "'; DROP TABLE products; --",
        "<script>alert(1)</script>",
        "🙂",
        "🙂🙂 lantern 🏮",
        "\u{0}\u{1}\u{7f}",
        "\u{202e}lantern",
        "ｌａｎｔｅｒｎ",
        "ランタン",
        "ΛΑΝΤΕΡΝΑ ς",
        "İstanbul ß ﬁ",
        "e\u{301}te\u{301}",
        "%",
        "....",
        &long_word,
        &many_words,
    ];
    for typed in odd {
        let q: String = encoded(typed);
        for path in [
            "search?facets=category,brand,price,rating,in_stock,attributes&q=",
            "search?sort=rating&q=",
            "search/suggest?q=",
        ] {
            let answer = shop.api().get(&format!("/v1/{path}{q}")).await;
            assert_eq!(answer.status, 200, "{typed:?} {path}: {}", answer.text);
        }
    }
    // Not even UTF-8.
    assert_eq!(shop.ask("q=%FF%FE").await.status, 200);
    assert_eq!(
        shop.titles("q=%22robert%27s%22%20lantern").await,
        ["Robert's Lantern"]
    );
    assert_eq!(shop.search("q=%F0%9F%99%82").await["total"], 0);
}

#[tokio::test]
async fn nothing_is_answered_to_nobody() {
    let shop = Shop::open().await;
    shop.anybody()
        .get("/v1/search")
        .await
        .expect_problem(401, "UNAUTHENTICATED");
    shop.api()
        .get("/internal/v1/index")
        .await
        .expect_problem(403, "FORBIDDEN");
    let foreign = shop
        .anybody()
        .with_token(shop.env.keys.anonymous_token("catalog"));
    foreign.get("/v1/search").await.expect(401);
    let document = shop.anybody().get("/openapi.json").await.expect(200).json;
    assert!(document["paths"]["/v1/search"]["get"].is_object());
    assert!(shop.anybody().get("/metrics").await.expect(200).json.is_null());
}
