use super::{Attribute, Leaf, axis, kind, making, number};

pub(super) const LEAVES: [Leaf; 4] = [COFFEE, TEA, CHOCOLATE, OLIVE_OIL];

const COFFEE: Leaf = Leaf {
    slug: "coffee",
    name: "Coffee",
    sku_code: "COF",
    kinds: &[
        kind("Espresso Roast", "espresso roast"),
        kind("Filter Roast", "filter roast"),
        kind("Single Origin Coffee", "single origin coffee"),
        kind("Decaf Coffee", "decaf coffee"),
    ],
    brands: &[
        "Harrow & Finch",
        "Blackfen Roasters",
        "Cupping Yard",
        "Mornington Bean",
        "Old Quay Coffee",
    ],
    adjectives: &["chocolatey", "bright", "full-bodied", "floral", "nutty"],
    uses: &[
        "espresso with a thick crema",
        "pour-over and batch brew",
        "milk drinks that still taste of coffee",
        "the French press on a slow morning",
        "cold brew that steeps overnight",
    ],
    making_key: "origin",
    makings: &[
        making(
            "Ethiopia",
            "The beans come from smallholders in Ethiopia, where coffee grows wild under tall trees.",
        ),
        making(
            "Colombia",
            "Washed beans from steep Colombian hillsides bring caramel sweetness and clean acidity.",
        ),
        making(
            "Brazil",
            "Naturally dried Brazilian beans give it body, low acidity and a note of hazelnut.",
        ),
        making(
            "Guatemala",
            "Volcanic soil in Guatemala lends the cup spice, cocoa and a long finish.",
        ),
        making(
            "Kenya",
            "Kenyan beans, fermented twice, taste of blackcurrant and ripe tomato.",
        ),
    ],
    features: &[
        "It is roasted in small batches every Tuesday and rested for five days.",
        "Notes of dark chocolate, dried fig and toasted almond linger after each sip.",
        "Jasmine and bergamot rise from the cup as it cools.",
        "The farmers are paid well above the market price, season after season.",
        "A valve in the bag lets gas out and keeps oxygen away.",
        "Red berries, honey and a touch of lemon make a lively cup.",
        "The beans are sorted by hand, so quakers do not spoil the sweetness.",
        "Slow development in the drum tames bitterness and brings out caramel.",
    ],
    spec: "It is a {roast} roast grown at {altitude_m} metres, with an intensity of {intensity} on a scale of ten.",
    closings: &[
        "Store it cool and dark, and grind just before brewing.",
        "It tastes best between one and six weeks after the roast.",
        "Try a ratio of one to sixteen and water just off the boil.",
    ],
    attributes: &[
        (
            "roast",
            Attribute::Text(&["light", "medium", "medium-dark", "dark"]),
        ),
        ("altitude_m", number(900, 2200, 50)),
        ("intensity", number(3, 9, 1)),
        ("process", Attribute::Text(&["washed", "natural", "honey"])),
        ("organic", Attribute::Flag),
    ],
    first_option: axis("weight", &["250 g", "500 g", "1 kg"], 7500),
    second_option: axis("grind", &["whole bean", "espresso grind", "filter grind"], 0),
    price_dollars: (9, 24),
};

const TEA: Leaf = Leaf {
    slug: "tea",
    name: "Tea",
    sku_code: "TEA",
    kinds: &[
        kind("Green Tea", "green tea"),
        kind("Black Tea", "black tea"),
        kind("Oolong Tea", "oolong tea"),
        kind("Herbal Infusion", "herbal infusion"),
    ],
    brands: &[
        "Leafwright",
        "Mistgarden",
        "Steep & Stone",
        "Teahaven House",
        "Camelline",
    ],
    adjectives: &["fragrant", "smooth", "malty", "grassy", "delicate"],
    uses: &[
        "the first pot of the morning",
        "afternoons with cake and a good book",
        "calm evenings without caffeine in mind",
        "iced pitchers on hot days",
        "ceremonies small and large",
    ],
    making_key: "origin",
    makings: &[
        making(
            "Assam",
            "The leaves grow along the river in Assam and brew a coppery, brisk cup.",
        ),
        making(
            "Shizuoka",
            "Leaves shaded before harvest in Shizuoka taste of fresh grass and sea air.",
        ),
        making(
            "Darjeeling",
            "High gardens in Darjeeling give the leaf its muscatel perfume.",
        ),
        making(
            "Fujian",
            "Fujian masters roast the leaf over charcoal for a toasty, mineral depth.",
        ),
        making(
            "Provence",
            "Herbs from the hills of Provence are cut in bloom and dried in the shade.",
        ),
    ],
    features: &[
        "Whole leaves unfurl slowly and stand up to three infusions.",
        "Hints of honey, orchid and warm stone fruit follow one another.",
        "It is plucked by hand in spring, two leaves and a bud.",
        "A pinch of mint and lemon verbena makes it refreshing over ice.",
        "The liquor is bright amber and never turns bitter when forgotten.",
        "Plastic-free pouches of plant fibre can go onto the compost.",
        "Its soft sweetness needs neither sugar nor milk.",
        "Camomile, lavender and apple invite an early night.",
    ],
    spec: "Steep it for {steep_minutes} minutes at {water_c} degrees; the caffeine content is {caffeine}.",
    closings: &[
        "Keep it sealed, dry and away from spices.",
        "One heaped teaspoon is enough for a large cup.",
        "The garden is certified for fair wages and living soil.",
    ],
    attributes: &[
        ("steep_minutes", number(1, 8, 1)),
        ("water_c", number(70, 100, 5)),
        ("caffeine", Attribute::Text(&["none", "low", "medium", "high"])),
        ("organic", Attribute::Flag),
    ],
    first_option: axis("weight", &["50 g", "100 g", "250 g"], 6500),
    second_option: axis("form", &["loose leaf", "tea bags"], 400),
    price_dollars: (6, 28),
};

const CHOCOLATE: Leaf = Leaf {
    slug: "chocolate",
    name: "Chocolate",
    sku_code: "CHC",
    kinds: &[
        kind("Dark Chocolate Bar", "dark chocolate bar"),
        kind("Milk Chocolate Bar", "milk chocolate bar"),
        kind("Drinking Chocolate", "drinking chocolate"),
        kind("Truffle Box", "box of truffles"),
    ],
    brands: &[
        "Cacaoline",
        "Maison Pervenche",
        "Bittersweet Lane",
        "Theobroma Mill",
        "Nibwell",
    ],
    adjectives: &["silky", "intense", "creamy", "stone-ground", "fruity"],
    uses: &[
        "sharing after dinner, or not sharing at all",
        "baking brownies with a crackling top",
        "gifts that will certainly be eaten",
        "cold evenings and warm milk",
        "tasting side by side with red wine",
    ],
    making_key: "origin",
    makings: &[
        making(
            "Ecuador",
            "Fine cacao from Ecuador brings jasmine, walnut and very little bitterness.",
        ),
        making(
            "Madagascar",
            "Beans from Madagascar taste of raspberry and citrus, without any fruit added.",
        ),
        making(
            "Peru",
            "Peruvian cacao from the edge of the rain forest adds plum and brown sugar.",
        ),
        making(
            "Ghana",
            "Cooperatives in Ghana ferment the beans for six days for a deep cocoa taste.",
        ),
    ],
    features: &[
        "It is conched for three days until it melts without a trace of grain.",
        "Flakes of sea salt make the sweetness stand out.",
        "Roasted hazelnuts from a single orchard add a gentle crunch.",
        "The recipe needs three ingredients: cacao, cane sugar and cocoa butter.",
        "Candied orange peel is cut by hand and folded in at the end.",
        "It snaps cleanly and releases notes of cherry, tobacco and cream.",
        "The wrapper is printed by a letterpress and contains no plastic.",
        "A hint of chilli arrives late and stays politely in the background.",
    ],
    spec: "It contains {cocoa_percent} percent cocoa and {sugar_g} g of sugar in a hundred grams, and may suit a {diet} diet.",
    closings: &[
        "Keep it between fifteen and eighteen degrees and away from cheese.",
        "Let a piece melt on the tongue before taking the next.",
        "May contain traces of nuts and milk.",
    ],
    attributes: &[
        ("cocoa_percent", number(35, 95, 5)),
        ("sugar_g", number(5, 50, 1)),
        ("diet", Attribute::Text(&["vegan", "vegetarian", "gluten-free"])),
        ("fair_trade", Attribute::Flag),
    ],
    first_option: axis("weight", &["70 g", "150 g", "300 g", "600 g"], 6000),
    second_option: axis("flavour", &["plain", "sea salt", "orange", "hazelnut"], 500),
    price_dollars: (5, 19),
};

const OLIVE_OIL: Leaf = Leaf {
    slug: "olive-oil",
    name: "Olive Oil",
    sku_code: "OLV",
    kinds: &[
        kind("Extra Virgin Olive Oil", "extra virgin olive oil"),
        kind("Early Harvest Olive Oil", "early harvest olive oil"),
        kind("Lemon Olive Oil", "lemon olive oil"),
        kind("Cooking Olive Oil", "cooking olive oil"),
    ],
    brands: &[
        "Oliveto Brana",
        "Groveland Press",
        "Casa Verdemar",
        "Argolida Fields",
        "Silverleaf Mill",
    ],
    adjectives: &["peppery", "mild", "golden", "herbaceous", "buttery"],
    uses: &[
        "salads, grilled fish and warm bread",
        "frying, roasting and everyday cooking",
        "finishing soups and ripe tomatoes",
        "dressings with lemon and mustard",
        "tables where the bottle stays until dessert",
    ],
    making_key: "origin",
    makings: &[
        making(
            "Andalusia",
            "Picual olives from Andalusia give it pepper, green banana and a long life.",
        ),
        making(
            "Crete",
            "Koroneiki olives from old groves on Crete taste of artichoke and wild herbs.",
        ),
        making(
            "Tuscany",
            "A Tuscan blend of Frantoio and Leccino is grassy, with a friendly bite.",
        ),
        making(
            "Alentejo",
            "Galega olives from Alentejo press into a soft, sweet oil with almond notes.",
        ),
    ],
    features: &[
        "The olives are milled within four hours of leaving the tree.",
        "It is pressed cold and left unfiltered until the sediment settles by itself.",
        "Fresh-cut grass, green almond and black pepper fill the glass.",
        "Dark glass shields the oil from light and a spout meters each drop.",
        "A panel of tasters found fruit in plenty and no defect.",
        "Whole lemons are crushed together with the olives, not added as a flavouring.",
        "Its polyphenols tickle the throat and keep the oil stable.",
        "Every bottle names its grove, its harvest day and its mill.",
    ],
    spec: "Harvested in {harvest_month}, it has an acidity below {acidity_per_mille} per mille and an intensity of {intensity} of five.",
    closings: &[
        "Use it within three months of opening.",
        "Keep it dark and cool, but not in the refrigerator.",
        "It clouds in the cold and clears again at room temperature.",
    ],
    attributes: &[
        (
            "harvest_month",
            Attribute::Text(&["October", "November", "December", "January"]),
        ),
        ("acidity_per_mille", number(2, 8, 1)),
        ("intensity", number(1, 5, 1)),
        ("organic", Attribute::Flag),
    ],
    first_option: axis("volume", &["250 ml", "500 ml", "750 ml", "3 l"], 5500),
    second_option: axis("packaging", &["bottle", "tin"], 0),
    price_dollars: (11, 38),
};
