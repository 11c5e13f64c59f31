use crate::support::{Shop, product};

/// A handful of products whose words are known.
async fn shelf() -> Shop {
    let shop = Shop::open().await;
    let mut shoe = product("Waterproof Running Shoe");
    shoe.brand = "Nordlicht".into();
    shoe.category_path = vec!["sports".to_owned(), "trail-shoes".to_owned()];
    shoe.description = "Keeps feet dry in the rain.".into();
    shoe.attributes
        .insert("material".to_owned(), "gore-tex".to_owned());
    let mut jacket = product("Rain Jacket");
    jacket.brand = "Kestrel".into();
    jacket.description = "A light jacket to go with a running shoe.".into();
    jacket
        .attributes
        .insert("waterproof".to_owned(), "true".to_owned());
    jacket
        .attributes
        .insert("insulated".to_owned(), "false".to_owned());
    let mut coat = product("Winter Coat");
    coat.description = "Wool.".into();
    let boat = product("Toy Boat");
    let cafe = product("Café Crème Brûlée Torch");
    for item in [&shoe, &jacket, &coat, &boat, &cafe] {
        shop.list(item).await;
    }
    shop.settled().await;
    shop
}

#[tokio::test]
async fn words_are_found_in_every_field_and_form() {
    let shop = shelf().await;
    for (query, first) in [
        ("shoes", "Waterproof Running Shoe"),
        ("RUN", "Waterproof Running Shoe"),
        ("nordlicht", "Waterproof Running Shoe"),
        ("sports", "Waterproof Running Shoe"),
        ("trail%20shoes", "Waterproof Running Shoe"),
        ("gore-tex", "Waterproof Running Shoe"),
        ("jackets", "Rain Jacket"),
        ("kestrel%20waterproof", "Rain Jacket"),
        ("cafe%20creme", "Café Crème Brûlée Torch"),
        ("BR%C3%9BL%C3%89E", "Café Crème Brûlée Torch"),
        ("coats%20for%20the%20winter", "Winter Coat"),
    ] {
        let titles = shop.titles(&format!("q={query}")).await;
        assert_eq!(
            titles.first().map(String::as_str),
            Some(first),
            "{query}: {titles:?}"
        );
    }
    assert!(shop.titles("q=insulated").await.is_empty(), "false says no");
    // The title tells more than the description.
    assert_eq!(
        shop.titles("q=running%20shoe").await,
        ["Waterproof Running Shoe", "Rain Jacket"]
    );
    assert_eq!(
        shop.titles("q=rain").await,
        ["Rain Jacket", "Waterproof Running Shoe"]
    );
}

#[tokio::test]
async fn the_last_word_may_be_a_beginning_and_any_word_misspelt() {
    let shop = shelf().await;
    assert_eq!(
        shop.titles("q=waterproof%20runn").await[0],
        "Waterproof Running Shoe"
    );
    assert_eq!(shop.titles("q=jack").await, ["Rain Jacket"]);
    // Only the last word is unfinished.
    assert!(shop.titles("q=waterpr%20qqqq").await.is_empty());
    for query in [
        "watreproof",
        "waterprof",
        "waterproofs",
        "waterprooof",
        "xaterproof",
        "nordlich",
    ] {
        let titles = shop.titles(&format!("q={query}")).await;
        assert!(
            titles.contains(&"Waterproof Running Shoe".to_owned()),
            "{query}: {titles:?}"
        );
    }
    assert!(
        shop.titles("q=wotreproof").await.is_empty(),
        "two letters are too many"
    );
    assert!(
        shop.titles("q=cot").await.is_empty(),
        "a short word is not guessed at"
    );
    // What was typed comes before what may have been meant.
    assert_eq!(shop.titles("q=coat").await, ["Winter Coat", "Toy Boat"]);
    assert_eq!(shop.titles("q=boat").await, ["Toy Boat", "Winter Coat"]);
}

#[tokio::test]
async fn a_common_word_as_typed_beats_a_rare_one_that_is_close() {
    let shop = Shop::open().await;
    for number in 0..12 {
        let mut item = product(&format!("Item {number}"));
        item.description = "Goes with any lamp.".into();
        shop.list(&item).await;
    }
    let mut lamb = product("Lamb");
    lamb.description = "Goes well.".into();
    shop.list(&lamb).await;
    shop.settled().await;
    // Not the last word, for which beginnings count too.
    let titles = shop.titles("q=lamp%20goes").await;
    assert_eq!(titles.len(), 13);
    assert_eq!(titles[12], "Lamb", "{titles:?}");
}

#[tokio::test]
async fn all_words_are_asked_for_and_any_of_them_only_where_nothing_holds_all() {
    let shop = shelf().await;
    assert_eq!(shop.titles("q=rain%20jacket").await, ["Rain Jacket"]);
    let answer = shop.search("q=toy%20jacket&limit=1").await;
    assert_eq!(answer["total"], 2);
    let cursor = answer["next_cursor"].as_str().unwrap();
    let rest = shop
        .search(&format!("q=toy%20jacket&limit=1&cursor={cursor}"))
        .await;
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
    assert_ne!(rest["items"][0], answer["items"][0]);
    // Filters that leave nothing of what holds all words do not bring in the rest.
    assert_eq!(shop.search("q=rain%20jacket&brand=Nordlicht").await["total"], 0);
}
