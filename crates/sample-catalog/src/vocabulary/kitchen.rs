use super::{Attribute, Leaf, axis, kind, making, number};

pub(super) const LEAVES: [Leaf; 4] = [COOKWARE, COFFEE_MAKERS, KNIVES, DRINKWARE];

const COOKWARE: Leaf = Leaf {
    slug: "cookware",
    name: "Cookware",
    sku_code: "CKW",
    kinds: &[
        kind("Frying Pan", "frying pan"),
        kind("Saucepan", "saucepan"),
        kind("Dutch Oven", "Dutch oven"),
        kind("Wok", "wok"),
    ],
    brands: &[
        "Hearthmoor",
        "Panoria",
        "Castellane Works",
        "Simmerfield",
        "Copperwick",
    ],
    adjectives: &["heavy", "even-heating", "versatile", "durable", "well-balanced"],
    uses: &[
        "crisp edges and slow Sunday sauces",
        "searing steaks and baking cornbread",
        "weeknight cooking for a family of four",
        "stews that simmer all afternoon",
        "high heat, quick hands and fresh vegetables",
    ],
    making_key: "material",
    makings: &[
        making(
            "cast iron",
            "Cast iron holds its heat when cold food goes in and lasts for generations.",
        ),
        making(
            "carbon steel",
            "Carbon steel heats fast and builds a natural non-stick patina with use.",
        ),
        making(
            "stainless steel",
            "Three layers of stainless steel and aluminium spread heat to the rim.",
        ),
        making(
            "enamelled iron",
            "Enamelled iron needs no seasoning and does not mind wine or tomatoes.",
        ),
    ],
    features: &[
        "It works on gas, electric, ceramic and induction hobs and in the oven.",
        "The long handle stays cool and is riveted for a lifetime of lifting.",
        "A pouring lip on each side keeps the sauce off the stove.",
        "The fitted lid returns moisture evenly over roast and vegetables.",
        "The flat base does not warp, even over the strongest flame.",
        "A helper handle makes a full pan easy to move with two hands.",
        "The surface releases fried eggs with a spoon of butter.",
        "Marks on the inside measure litres and cups without a jug.",
    ],
    spec: "It weighs {weight_g} g, has walls {wall_mm} mm thick and is safe to {oven_safe_c} degrees in the oven.",
    closings: &[
        "Wash by hand, dry at once and rub in a drop of oil.",
        "The maker guarantees it for thirty years of home use.",
        "A booklet with twelve recipes comes with it.",
    ],
    attributes: &[
        ("weight_g", number(780, 5200, 20)),
        ("wall_mm", number(2, 5, 1)),
        ("oven_safe_c", number(200, 300, 20)),
        ("induction", Attribute::Mentioned("induction")),
        ("dishwasher_safe", Attribute::Flag),
    ],
    first_option: axis("size", &["20 cm", "24 cm", "26 cm", "28 cm", "30 cm"], 1200),
    second_option: axis("lid", &["without lid", "with lid"], 1500),
    price_dollars: (34, 249),
};

const COFFEE_MAKERS: Leaf = Leaf {
    slug: "coffee-makers",
    name: "Coffee Makers",
    sku_code: "CFM",
    kinds: &[
        kind("Pour-Over Dripper", "pour-over dripper"),
        kind("French Press", "French press"),
        kind("Espresso Machine", "espresso machine"),
        kind("Moka Pot", "moka pot"),
    ],
    brands: &[
        "Brewhollow",
        "Cremalta",
        "Dripstone",
        "Kettle & Crane",
        "Percolane",
    ],
    adjectives: &["precise", "simple", "forgiving", "handsome", "compact"],
    uses: &[
        "one quiet cup before the house wakes",
        "brunch for six without a queue",
        "people who weigh their beans",
        "strong coffee on a camping stove",
        "small kitchens with high standards",
    ],
    making_key: "material",
    makings: &[
        making(
            "borosilicate glass",
            "Borosilicate glass takes boiling water and never keeps the taste of yesterday.",
        ),
        making(
            "stoneware",
            "Thick stoneware holds the temperature while the coffee blooms.",
        ),
        making(
            "stainless steel",
            "Double-walled stainless steel keeps the brew hot for a second cup.",
        ),
        making(
            "cast aluminium",
            "Cast aluminium heats quickly and gets better with every pot.",
        ),
    ],
    features: &[
        "Spiral ribs let air escape, so the water flows evenly through the bed.",
        "The fine mesh holds back grounds and lets the oils through.",
        "The handle stays cool enough to pour straight from the stove.",
        "Every part comes off for cleaning without a tool.",
        "The scale on the side shows water and coffee for two, four or six cups.",
        "Pressure builds slowly and gives a dense, hazelnut-coloured crema.",
        "It takes paper filters of the common sizes and a reusable one.",
        "The spout pours a thin, steady stream and does not drip.",
    ],
    spec: "It brews in about {brew_minutes} minutes, stands {height_cm} cm tall and weighs {weight_g} g.",
    closings: &[
        "Start with sixty grams of coffee to a litre and adjust to taste.",
        "Seals, filters and jugs are available as spare parts.",
        "Descale it with citric acid every other month.",
    ],
    attributes: &[
        ("height_cm", number(12, 38, 1)),
        ("brew_minutes", number(2, 7, 1)),
        ("weight_g", number(320, 4200, 20)),
        ("paper_filter", Attribute::Mentioned("paper filters")),
    ],
    first_option: axis("capacity", &["2 cups", "4 cups", "6 cups", "8 cups"], 1400),
    second_option: axis("colour", &["black", "white", "copper", "steel"], 300),
    price_dollars: (22, 329),
};

const KNIVES: Leaf = Leaf {
    slug: "kitchen-knives",
    name: "Kitchen Knives",
    sku_code: "KNV",
    kinds: &[
        kind("Chef's Knife", "chef's knife"),
        kind("Santoku Knife", "santoku knife"),
        kind("Paring Knife", "paring knife"),
        kind("Bread Knife", "bread knife"),
    ],
    brands: &[
        "Edgemere",
        "Tamashiro Forge",
        "Bladewick",
        "Solinghurst",
        "Ferrante Lame",
    ],
    adjectives: &["razor-sharp", "balanced", "hand-finished", "agile", "robust"],
    uses: &[
        "herbs, onions and everything on the board",
        "thin slices of fish and ripe tomatoes",
        "cooks who sharpen their own tools",
        "crusty loaves and delicate cakes",
        "the one knife that does most of the work",
    ],
    making_key: "material",
    makings: &[
        making(
            "Damascus steel",
            "Sixty-seven layers of Damascus steel surround a hard core that stays keen.",
        ),
        making(
            "high-carbon steel",
            "High-carbon steel takes a fine edge and shows a grey patina with time.",
        ),
        making(
            "stainless steel",
            "Stainless steel resists lemon juice, salt and a forgetful evening.",
        ),
    ],
    features: &[
        "The bolster is slim, so the whole edge can be sharpened down to the heel.",
        "Small hollows along the blade keep slices of cucumber from sticking.",
        "The full tang runs through the handle and balances at the finger.",
        "It is ground by hand to an angle that parts a tomato by its own weight.",
        "The spine is rounded and does not bite into the index finger.",
        "The handle is sealed against water and sits well in small and large hands.",
        "Scallops along the edge cut through crust without tearing the crumb.",
        "The tip is fine enough to take the seeds out of a chilli.",
    ],
    spec: "The blade is hardened to {hardness_hrc} HRC, ground to {edge_degrees} degrees a side, and the knife weighs {weight_g} g.",
    closings: &[
        "Keep it out of the dishwasher and give it a wooden board.",
        "The first resharpening by the maker is free.",
        "It comes with a blade guard in a box that is worth keeping.",
    ],
    attributes: &[
        ("hardness_hrc", number(55, 64, 1)),
        ("edge_degrees", number(10, 18, 1)),
        ("weight_g", number(70, 290, 5)),
        ("full_tang", Attribute::Mentioned("full tang")),
    ],
    first_option: axis("blade", &["12 cm", "16 cm", "18 cm", "20 cm", "24 cm"], 1100),
    second_option: axis("handle", &["walnut", "olive wood", "black resin"], 700),
    price_dollars: (29, 219),
};

const DRINKWARE: Leaf = Leaf {
    slug: "drinkware",
    name: "Drinkware",
    sku_code: "DRK",
    kinds: &[
        kind("Travel Mug", "travel mug"),
        kind("Water Bottle", "water bottle"),
        kind("Stoneware Cup", "stoneware cup"),
        kind("Vacuum Flask", "vacuum flask"),
    ],
    brands: &["Sipworth", "Claywell", "Thermolane", "Brookvessel", "Gulpstream"],
    adjectives: &["leak-proof", "insulated", "elegant", "sturdy", "easy-to-clean"],
    uses: &[
        "hot tea at the end of a cold walk",
        "a full day at the desk",
        "the cup holder of every car and bicycle",
        "school bags that must stay dry",
        "slow mornings with both hands around it",
    ],
    making_key: "material",
    makings: &[
        making(
            "stainless steel",
            "Double-walled stainless steel keeps drinks cold for a day and hot for half of one.",
        ),
        making(
            "glazed stoneware",
            "Glazed stoneware is fired twice, so every piece has a slightly different shade.",
        ),
        making(
            "titanium",
            "Pure titanium weighs next to nothing and leaves no taste at all.",
        ),
        making(
            "borosilicate glass",
            "Borosilicate glass shows what is inside and survives boiling water.",
        ),
    ],
    features: &[
        "The lid opens with one hand and closes with a click that can be trusted.",
        "A wide mouth takes ice cubes and a bottle brush.",
        "The base is coated, so it stands silently on stone and glass.",
        "Condensation never forms on the outside, however cold the drink.",
        "The strainer keeps tea leaves and fruit where they belong.",
        "The rim is thin and pleasant to drink from.",
        "It fits under common espresso machines and into common cup holders.",
        "A loop on the lid clips to a backpack.",
    ],
    spec: "It stands {height_cm} cm tall, weighs {weight_g} g empty and keeps coffee hot for {hot_hours} hours.",
    closings: &[
        "All parts go into the dishwasher, the seal included.",
        "Spare seals and lids are sold for every model.",
        "It is free of bisphenol A and of paint on the inside.",
    ],
    attributes: &[
        ("height_cm", number(9, 31, 1)),
        ("weight_g", number(140, 620, 10)),
        ("hot_hours", number(1, 14, 1)),
        ("dishwasher_safe", Attribute::Flag),
    ],
    first_option: axis("colour", &["cream", "graphite", "forest", "clay", "sky"], 0),
    second_option: axis("capacity", &["350 ml", "500 ml", "750 ml"], 1300),
    price_dollars: (14, 59),
};
