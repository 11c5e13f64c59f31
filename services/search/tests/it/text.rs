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

#[tokio::test]
async fn what_stands_in_quotes_is_found_side_by_side() {
    let shop = shelf().await;
    let mut other = product("Shoe for Running");
    other.description = "Not a running boat shoe.".into();
    shop.list(&other).await;
    shop.settled().await;
    assert_eq!(shop.search("q=running%20shoe").await["total"], 3);
    // In any field, in any form.
    let mut titles = shop.titles("q=%22running%20shoes%22").await;
    titles.sort();
    assert_eq!(titles, ["Rain Jacket", "Waterproof Running Shoe"]);
    assert_eq!(
        shop.titles("q=%22shoe%20for%20running%22").await,
        ["Shoe for Running"]
    );
    assert!(shop.titles("q=%22shoe%20running%22").await.is_empty());
    assert!(
        shop.titles("q=%22watreproof%20running%22").await.is_empty(),
        "quotes are literal"
    );
    // Without quotes, words that stand side by side in a title come first.
    assert_eq!(
        shop.titles("q=running%20shoe").await[0],
        "Waterproof Running Shoe"
    );
}

#[tokio::test]
async fn synonyms_are_found_after_what_was_typed() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("synonyms.txt");
    std::fs::write(&list, "earphones, in-ear headphones\nsneaker => running shoe\n").unwrap();
    let shop = Shop::open_with(|settings| settings.synonyms_file = list).await;
    for title in [
        "Studio Earphones",
        "In-Ear Headphones",
        "Trail Running Shoe",
        "Sneaker",
    ] {
        shop.list(&product(title)).await;
    }
    shop.settled().await;
    assert_eq!(
        shop.titles("q=earphone").await,
        ["Studio Earphones", "In-Ear Headphones"]
    );
    assert_eq!(
        shop.titles("q=in%20ear%20headphones").await,
        ["In-Ear Headphones", "Studio Earphones"]
    );
    assert_eq!(shop.titles("q=sneakers").await, ["Sneaker", "Trail Running Shoe"]);
    assert_eq!(shop.titles("q=running%20shoes").await, ["Trail Running Shoe"]);
    let marked = shop.search("q=sneakers").await;
    assert_eq!(
        marked["items"][1]["highlights"]["title"],
        "Trail <em>Running</em> <em>Shoe</em>"
    );
}

#[tokio::test]
async fn an_unknown_word_is_answered_with_what_was_meant() {
    let shop = shelf().await;
    for (query, meant) in [
        ("wotreproof%20runing%20shoe", Some("waterproof running shoe")),
        ("jakcet", Some("jacket")),
        ("rain%20jacket", None),
        ("rain%20jack", None),
        ("%22jakcet%22", None),
        ("qqqqqqqq%20jakcet", None),
        ("", None),
    ] {
        let answer = shop.search(&format!("q={query}")).await;
        assert_eq!(answer["did_you_mean"].as_str(), meant, "{query}");
    }
}

#[tokio::test]
async fn hits_show_why_they_were_found() {
    let shop = shelf().await;
    let answer = shop.search("q=running%20shoes").await;
    assert_eq!(
        answer["items"][0]["highlights"]["title"],
        "Waterproof <em>Running</em> <em>Shoe</em>"
    );
    assert_eq!(
        answer["items"][1]["highlights"],
        serde_json::json!({"description": "A light jacket to go with a <em>running</em> <em>shoe</em>."})
    );
    let mut sly = product("<b>Sly</b> Lantern");
    sly.description = "A <script> & a lantern".into();
    shop.list(&sly).await;
    let answer = shop.until("q=lantern", 1).await;
    assert_eq!(
        answer["items"][0]["highlights"],
        serde_json::json!({
            "title": "&lt;b&gt;Sly&lt;/b&gt; <em>Lantern</em>",
            "description": "A &lt;script&gt; &amp; a <em>lantern</em>",
        })
    );
    assert!(shop.search("").await["items"][0].get("highlights").is_none());
}
