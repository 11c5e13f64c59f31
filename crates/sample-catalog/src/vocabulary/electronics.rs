use super::{Attribute, Leaf, axis, kind, making, number};

pub(super) const LEAVES: [Leaf; 4] = [HEADPHONES, KEYBOARDS, SPEAKERS, POWER_BANKS];

const HEADPHONES: Leaf = Leaf {
    slug: "headphones",
    name: "Headphones",
    sku_code: "HDP",
    kinds: &[
        kind("Over-Ear Headphones", "pair of over-ear headphones"),
        kind("Wireless Earbuds", "pair of wireless earbuds"),
        kind("Studio Monitor Headphones", "pair of studio monitor headphones"),
        kind("Sport Earphones", "pair of sport earphones"),
    ],
    brands: &["Auralith", "Sonvane", "Quietmark Audio", "Tonefjord", "Resonelle"],
    adjectives: &[
        "detailed",
        "comfortable",
        "noise-cancelling",
        "balanced",
        "foldable",
    ],
    uses: &[
        "long flights and open-plan offices",
        "mixing at home late at night",
        "commutes, calls and podcasts",
        "workouts in the rain",
        "listening to a whole album from start to end",
    ],
    making_key: "material",
    makings: &[
        making(
            "aluminium",
            "Machined aluminium yokes turn smoothly and take years of daily use.",
        ),
        making(
            "recycled plastic",
            "The housing is moulded from recycled plastic and finished to feel like stone.",
        ),
        making(
            "walnut",
            "Cups turned from walnut give each pair a grain of its own.",
        ),
        making(
            "magnesium",
            "A magnesium frame keeps the weight low and the fit secure.",
        ),
    ],
    features: &[
        "Active noise cancelling silences engines and air conditioning without pressure on the ears.",
        "Two devices stay connected at once, so a call interrupts the music only when wanted.",
        "Beamforming microphones lift the voice out of wind and traffic.",
        "The transparency mode lets announcements through at the touch of a finger.",
        "Memory foam cushions seal gently around glasses and can be replaced.",
        "A wide sound stage places every instrument where the engineer put it.",
        "Ten minutes of charging are enough for an afternoon of listening.",
        "Deep bass stays controlled and leaves voices clear.",
    ],
    spec: "They connect by {connectivity}, play for {battery_hours} hours and weigh {weight_g} g.",
    closings: &[
        "A hard case, a charging cable and an adapter are included.",
        "Cushions, battery and headband are sold as spare parts.",
        "The equaliser in the app remembers a profile for every device.",
    ],
    attributes: &[
        (
            "connectivity",
            Attribute::Text(&["Bluetooth 5.2", "Bluetooth 5.3", "Bluetooth 5.4"]),
        ),
        ("battery_hours", number(18, 60, 2)),
        ("weight_g", number(48, 330, 2)),
        ("noise_cancelling", Attribute::Mentioned("noise cancelling")),
        ("driver_mm", number(8, 50, 2)),
    ],
    first_option: axis(
        "colour",
        &["black", "white", "midnight blue", "sand", "silver"],
        0,
    ),
    second_option: axis("case", &["standard case", "charging case"], 900),
    price_dollars: (39, 379),
};

const KEYBOARDS: Leaf = Leaf {
    slug: "keyboards",
    name: "Keyboards",
    sku_code: "KBD",
    kinds: &[
        kind("Mechanical Keyboard", "mechanical keyboard"),
        kind("Compact Keyboard", "compact keyboard"),
        kind("Split Ergonomic Keyboard", "split ergonomic keyboard"),
        kind("Low-Profile Keyboard", "low-profile keyboard"),
    ],
    brands: &["Keyfold", "Clackmoor", "Typhaven", "Switchyard Works", "Glyphon"],
    adjectives: &["quiet", "solid", "programmable", "tactile", "wireless"],
    uses: &[
        "full days of writing and programming",
        "small desks and travelling writers",
        "games that are decided by milliseconds",
        "wrists that have had enough of flat keyboards",
        "shared offices where every click is heard",
    ],
    making_key: "material",
    makings: &[
        making(
            "aluminium",
            "The aluminium case is milled from one block and does not flex or ring.",
        ),
        making(
            "polycarbonate",
            "A frosted polycarbonate case softens the sound and glows evenly.",
        ),
        making("bamboo", "The bamboo frame feels warm under the palms in winter."),
        making(
            "recycled plastic",
            "Recycled plastic keeps it light enough to carry between home and office.",
        ),
    ],
    features: &[
        "Hot-swappable sockets take any three-pin or five-pin switch without soldering.",
        "Double-shot keycaps keep their legends after years of typing.",
        "Layers and macros are stored in the keyboard and work on every computer.",
        "A layer of foam under the plate turns clatter into a deep, soft sound.",
        "Stabilisers are lubricated at the factory, so the space bar never rattles.",
        "The tilt adjusts in three steps and the feet hold on glass.",
        "Per-key lighting can be set to a calm white or switched off entirely.",
        "Every key registers at once, however fast the chord.",
    ],
    spec: "It has {keys} keys with {switch} switches, connects by {connectivity} and weighs {weight_g} g.",
    closings: &[
        "A keycap puller, a switch puller and a braided cable are in the box.",
        "Firmware and schematics are published by the maker.",
        "It wakes from sleep before the first letter is lost.",
    ],
    attributes: &[
        ("keys", Attribute::Text(&["61", "68", "84", "104"])),
        (
            "switch",
            Attribute::Text(&["linear", "tactile", "clicky", "silent linear"]),
        ),
        (
            "connectivity",
            Attribute::Text(&["USB-C", "Bluetooth", "2.4 GHz radio"]),
        ),
        ("weight_g", number(420, 1700, 20)),
        ("hot_swappable", Attribute::Mentioned("hot swappable")),
    ],
    first_option: axis("layout", &["US ANSI", "UK ISO", "German ISO", "Nordic ISO"], 0),
    second_option: axis("colour", &["black", "white", "navy", "retro beige"], 200),
    price_dollars: (45, 249),
};

const SPEAKERS: Leaf = Leaf {
    slug: "speakers",
    name: "Portable Speakers",
    sku_code: "SPK",
    kinds: &[
        kind("Portable Speaker", "portable speaker"),
        kind("Bookshelf Speaker", "bookshelf speaker"),
        kind("Shower Speaker", "shower speaker"),
        kind("Party Speaker", "party speaker"),
    ],
    brands: &["Boomwick", "Lyrehall", "Echovale", "Basswright", "Humfield"],
    adjectives: &["powerful", "rich-sounding", "splash-proof", "compact", "warm"],
    uses: &[
        "beach days and garden parties",
        "a kitchen that likes to sing along",
        "small rooms with large record collections",
        "camping trips far from the next socket",
        "desks where headphones are not welcome",
    ],
    making_key: "material",
    makings: &[
        making(
            "woven fabric",
            "A woven fabric cover resists stains and lets the treble through.",
        ),
        making(
            "oiled oak",
            "The cabinet is oiled oak with rounded corners and visible grain.",
        ),
        making(
            "rubberised shell",
            "The rubberised shell survives drops onto stone and rolls in sand.",
        ),
        making(
            "brushed steel",
            "A brushed steel grille protects the drivers and cleans with one wipe.",
        ),
    ],
    features: &[
        "A passive radiator adds bass that a housing of this size should not have.",
        "Two of them pair into a stereo set at the press of a button.",
        "It floats face up, so the music goes on in the pool.",
        "The built-in microphone makes clear hands-free calls from across the room.",
        "Sound spreads in all directions, so nobody has the bad seat.",
        "The battery charges a phone when the party outlasts it.",
        "Analogue knobs for volume and tone can be found in the dark.",
        "Voices stay intelligible at low volume late in the evening.",
    ],
    spec: "It delivers {power_w} watts, plays {battery_hours} hours on a charge and carries an {ip_rating} rating.",
    closings: &[
        "A carrying strap and a USB-C cable come with it.",
        "Updates arrive over the air and can be declined.",
        "The battery is changed with a single screw.",
    ],
    attributes: &[
        ("power_w", number(5, 120, 5)),
        ("battery_hours", number(8, 30, 1)),
        ("ip_rating", Attribute::Text(&["IP55", "IP67", "IPX5", "IPX7"])),
        ("stereo_pairing", Attribute::Mentioned("stereo set")),
    ],
    first_option: axis("colour", &["black", "coral", "mint", "stone", "cobalt"], 0),
    second_option: axis("pack", &["single", "stereo pair"], 8500),
    price_dollars: (29, 299),
};

const POWER_BANKS: Leaf = Leaf {
    slug: "power-banks",
    name: "Power Banks",
    sku_code: "PWB",
    kinds: &[
        kind("Pocket Power Bank", "pocket power bank"),
        kind("Laptop Power Bank", "laptop power bank"),
        kind("Solar Power Bank", "solar power bank"),
        kind("Magnetic Power Bank", "magnetic power bank"),
    ],
    brands: &["Voltmere", "Chargehaven", "Amperline", "Joulebird", "Cellstead"],
    adjectives: &[
        "slim",
        "fast-charging",
        "dependable",
        "high-capacity",
        "pocketable",
    ],
    uses: &[
        "long festival weekends",
        "travel days with three connections",
        "hikes away from any socket",
        "working from a park bench",
        "families with more phones than chargers",
    ],
    making_key: "material",
    makings: &[
        making(
            "anodised aluminium",
            "Anodised aluminium spreads the heat and does not scratch in a pocket of keys.",
        ),
        making(
            "recycled plastic",
            "The textured shell of recycled plastic does not slip off a table.",
        ),
        making(
            "silicone",
            "A silicone sleeve cushions falls and keeps splashes away from the ports.",
        ),
    ],
    features: &[
        "A small display shows the remaining charge to the percent.",
        "Power delivery fills a modern phone to half in under half an hour.",
        "It charges three devices at once and shares the power sensibly.",
        "Passing current through, it charges itself and the phone from one plug.",
        "A low-current mode is gentle on earbuds, watches and trackers.",
        "Protection circuits watch temperature, voltage and current all the time.",
        "Strong magnets hold it to the back of the phone while you type.",
        "The built-in torch is bright enough to pitch a tent.",
    ],
    spec: "It delivers up to {output_w} watts through {ports} ports and weighs {weight_g} g.",
    closings: &[
        "It is allowed in hand luggage on most airlines.",
        "A braided USB-C cable is in the box.",
        "The cells keep four fifths of their capacity after five hundred cycles.",
    ],
    attributes: &[
        ("ports", number(2, 4, 1)),
        ("output_w", number(18, 140, 2)),
        ("weight_g", number(110, 640, 10)),
        ("wireless_charging", Attribute::Mentioned("magnets")),
    ],
    first_option: axis(
        "capacity",
        &["10,000 mAh", "15,000 mAh", "20,000 mAh", "26,000 mAh"],
        2200,
    ),
    second_option: axis("colour", &["black", "white", "sage", "signal orange"], 0),
    price_dollars: (19, 99),
};
