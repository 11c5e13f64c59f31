use super::{Attribute, Leaf, axis, kind, making, number};

pub(super) const LEAVES: [Leaf; 4] = [JACKETS, KNITWEAR, SUNGLASSES, WALLETS];

const JACKETS: Leaf = Leaf {
    slug: "jackets",
    name: "Jackets",
    sku_code: "JKT",
    kinds: &[
        kind("Rain Jacket", "rain jacket"),
        kind("Down Jacket", "down jacket"),
        kind("Softshell Jacket", "softshell jacket"),
        kind("Waxed Field Jacket", "waxed field jacket"),
    ],
    brands: &[
        "Galehouse",
        "Fenmark",
        "Ullswick",
        "Thornbury Coast",
        "Weathermoor",
    ],
    adjectives: &["waterproof", "packable", "warm", "windproof", "tailored"],
    uses: &[
        "autumn storms and spring showers",
        "frosty walks with the dog",
        "alpine starts and cold belays",
        "cycling to work whatever the forecast",
        "city evenings and country weekends",
    ],
    making_key: "material",
    makings: &[
        making(
            "recycled nylon",
            "The recycled nylon face is quiet, light and treated without fluorocarbons.",
        ),
        making(
            "waxed cotton",
            "Waxed cotton keeps the rain out and softens with every season.",
        ),
        making(
            "goose down",
            "Traceable goose down traps warmth and packs into its own pocket.",
        ),
        making(
            "merino fleece",
            "A lining of merino fleece is warm when damp and slow to smell.",
        ),
    ],
    features: &[
        "The hood turns with the head and fits over a helmet.",
        "Underarm zips let heat out on the climb.",
        "Two chest pockets stay reachable under a backpack's straps.",
        "Sealed seams and a storm flap keep driving rain outside.",
        "Cuffs close snugly over gloves and keep snow away from the wrists.",
        "The back is cut longer, so it stays put on the bicycle.",
        "A two-way zip gives room to sit, stride and climb.",
        "An inner pocket holds a phone close to the body, where its battery stays warm.",
    ],
    spec: "It weighs {weight_g} g, has a {fit} fit and withstands a water column of {water_column_mm} mm.",
    closings: &[
        "Wash it cold without softener and proof it once a year.",
        "The maker repairs tears and zips for as long as you wear it.",
        "Choose your usual size; there is room for a jumper underneath.",
    ],
    attributes: &[
        ("weight_g", number(240, 1450, 10)),
        ("fit", Attribute::Text(&["regular", "slim", "relaxed"])),
        ("water_column_mm", number(5000, 28000, 1000)),
        ("hooded", Attribute::Mentioned("hood")),
    ],
    first_option: axis("size", &["XS", "S", "M", "L", "XL", "XXL"], 0),
    second_option: axis("colour", &["navy", "olive", "black", "mustard"], 100),
    price_dollars: (79, 399),
};

const KNITWEAR: Leaf = Leaf {
    slug: "knitwear",
    name: "Knitwear",
    sku_code: "KNT",
    kinds: &[
        kind("Crew Neck Jumper", "crew neck jumper"),
        kind("Roll Neck Jumper", "roll neck jumper"),
        kind("Button Cardigan", "button cardigan"),
        kind("Knitted Beanie", "knitted beanie"),
    ],
    brands: &["Woolmere", "Shetloch", "Yarnfold", "Purl & Pine", "Islay Loom"],
    adjectives: &["soft", "chunky", "fine-gauge", "cosy", "classic"],
    uses: &[
        "fireside evenings and windy harbours",
        "layering under a coat from October to April",
        "offices where the window is always open",
        "weekends that begin with a long breakfast",
        "cold mornings on the water",
    ],
    making_key: "material",
    makings: &[
        making(
            "lambswool",
            "Lambswool from a single spinning mill is springy, warm and gentle on the skin.",
        ),
        making(
            "merino wool",
            "Extra-fine merino wool regulates temperature and airs out overnight.",
        ),
        making(
            "cashmere",
            "Two-ply cashmere is combed by hand and grows softer with wear.",
        ),
        making(
            "organic cotton",
            "Organic cotton is cool to the touch and easy to wash.",
        ),
    ],
    features: &[
        "Fully fashioned shoulders follow the body without bulky seams.",
        "The ribbed cuffs and hem keep their stretch for years.",
        "A cable pattern runs from hem to collar in the old island manner.",
        "It is knitted in one piece, which leaves no side seam and no waste.",
        "Buttons of corozo nut are sewn on with a spare inside.",
        "The yarn is dyed before spinning, so colours keep their depth.",
        "The dense knit stops the wind and still breathes indoors.",
        "The collar sits close without scratching.",
    ],
    spec: "Knitted at {gauge} gauge and {fit} in cut, it weighs {weight_g} g in a medium size.",
    closings: &[
        "Wash by hand in cool water and dry flat.",
        "A comb for pilling comes with every piece.",
        "Fold it, do not hang it, and add cedar against moths.",
    ],
    attributes: &[
        ("gauge", number(3, 14, 1)),
        ("fit", Attribute::Text(&["regular", "slim", "oversized"])),
        ("weight_g", number(90, 780, 10)),
        ("machine_washable", Attribute::Flag),
    ],
    first_option: axis("size", &["XS", "S", "M", "L", "XL"], 0),
    second_option: axis(
        "colour",
        &["oatmeal", "navy", "bottle green", "burgundy", "grey"],
        0,
    ),
    price_dollars: (34, 229),
};

const SUNGLASSES: Leaf = Leaf {
    slug: "sunglasses",
    name: "Sunglasses",
    sku_code: "SUN",
    kinds: &[
        kind("Round Sunglasses", "pair of round sunglasses"),
        kind("Aviator Sunglasses", "pair of aviator sunglasses"),
        kind("Sport Sunglasses", "pair of sport sunglasses"),
        kind("Square Sunglasses", "pair of square sunglasses"),
    ],
    brands: &[
        "Solenne",
        "Glarehouse",
        "Lunetta Mare",
        "Brightwater Optics",
        "Shadehall",
    ],
    adjectives: &["polarised", "lightweight", "timeless", "sturdy", "wrap-around"],
    uses: &[
        "low winter sun and summer roads",
        "sailing, fishing and days by the sea",
        "cycling at speed without watering eyes",
        "terraces, markets and long lunches",
        "snow fields and glaciers",
    ],
    making_key: "material",
    makings: &[
        making(
            "bio-acetate",
            "Bio-acetate from cotton and wood pulp is polished by hand for three days.",
        ),
        making(
            "titanium",
            "A titanium frame bends, returns to its shape and suits sensitive skin.",
        ),
        making(
            "grilamid",
            "Tough, elastic grilamid stays put on a sweating nose.",
        ),
        making(
            "stainless steel",
            "Thin stainless steel gives a fine line and strong hinges.",
        ),
    ],
    features: &[
        "Polarised lenses take the glare off water and wet asphalt.",
        "The lenses block all ultraviolet light up to four hundred nanometres.",
        "Hinges with five barrels open softly and never need tightening.",
        "Nose pads adjust without a tool for narrow and wide bridges.",
        "An oil-repellent coating keeps fingerprints and salt spray away.",
        "Vents along the rim keep the lenses clear on slow climbs.",
        "Temples with a metal core can be bent for a personal fit.",
        "Lenses change in seconds when clouds roll in.",
    ],
    spec: "The lens is {lens_width_mm} mm wide, of filter category {filter_category}, and the pair weighs {weight_g} g.",
    closings: &[
        "A folding case and a cleaning cloth are included.",
        "Prescription lenses can be fitted by any optician.",
        "Rinse them with fresh water after a day by the sea.",
    ],
    attributes: &[
        ("lens_width_mm", number(44, 62, 1)),
        ("filter_category", Attribute::Text(&["2", "3", "4"])),
        ("weight_g", number(16, 42, 1)),
        ("polarised", Attribute::Mentioned("polarised")),
    ],
    first_option: axis("frame", &["black", "tortoise", "crystal", "gold"], 0),
    second_option: axis("lens", &["grey", "brown", "green", "blue mirror"], 500),
    price_dollars: (39, 219),
};

const WALLETS: Leaf = Leaf {
    slug: "wallets",
    name: "Wallets",
    sku_code: "WLT",
    kinds: &[
        kind("Card Holder", "card holder"),
        kind("Bifold Wallet", "bifold wallet"),
        kind("Zip Wallet", "zip wallet"),
        kind("Passport Wallet", "passport wallet"),
    ],
    brands: &["Saddlewick", "Tannersmew", "Coinfold", "Hidegrave", "Purselle"],
    adjectives: &["slim", "hand-stitched", "spacious", "secure", "minimal"],
    uses: &[
        "front pockets and light travellers",
        "coins, cards and a folded photograph",
        "airports, border posts and hotel desks",
        "people who pay by card but keep a note for luck",
        "a gift that is used every day",
    ],
    making_key: "material",
    makings: &[
        making(
            "vegetable-tanned leather",
            "Vegetable-tanned leather darkens with light, use and time.",
        ),
        making(
            "cork fabric",
            "Cork fabric is light, water-repellent and peeled from living trees.",
        ),
        making(
            "recycled sailcloth",
            "Recycled sailcloth has crossed oceans and resists anything a pocket can do.",
        ),
        making(
            "apple leather",
            "Leather made from apple peel looks refined and contains nothing of an animal.",
        ),
    ],
    features: &[
        "A shielded layer keeps contactless cards from being read in passing.",
        "Quick-access slots fan out the three cards that are used most.",
        "Edges are painted and burnished by hand, layer upon layer.",
        "The coin pouch opens wide and closes flat.",
        "Saddle stitches in waxed thread hold even when one of them breaks.",
        "A hidden compartment keeps a spare key or a folded note.",
        "The zip runs smoothly around three sides and never catches the lining.",
        "It lies flat when full and does not bulge in a jacket.",
    ],
    spec: "It takes {cards} cards, is {thickness_mm} mm thick when empty and weighs {weight_g} g.",
    closings: &[
        "Treat it with a little balm twice a year.",
        "It comes in a cotton pouch with a card of care instructions.",
        "Initials can be embossed on request.",
    ],
    attributes: &[
        ("cards", number(4, 16, 1)),
        ("thickness_mm", number(4, 22, 1)),
        ("weight_g", number(28, 190, 2)),
        ("rfid_shielded", Attribute::Mentioned("contactless")),
    ],
    first_option: axis("colour", &["cognac", "black", "forest", "navy", "chestnut"], 0),
    second_option: axis("coin pocket", &["without", "with"], 800),
    price_dollars: (24, 129),
};
