//! Words that people and tools use for the same thing.

use std::sync::LazyLock;

use super::words::stem;

/// Each line is one meaning. A word may stand on several lines.
const GROUPS: &[&str] = &[
    "weather forecast temperature rain rainy snow sunny sun hot cold warm humid humidity umbrella wind windy degree climate",
    "stock share price quote ticker trading",
    "price cost expensive cheap dollar euro usd eur",
    "population inhabitant people live",
    "movie film cinema showtime theater playing",
    "news headline latest story happening",
    "currency money exchange dollar euro pound yen franc rupee yuan usd eur gbp jpy chf cad aud cny inr amount",
    "unit measurement kilometer km mile meter foot feet inch cm mm kg kilogram gram pound ounce liter gallon celsius fahrenheit",
    "convert conversion much many",
    "email mail inbox",
    "message text sms dm",
    "calendar event meeting appointment agenda",
    "schedule create add book set make new",
    "remind reminder todo",
    "task todo",
    "translate translation say",
    "time clock hour timezone",
    "sunrise sunset dawn",
    "file document content",
    "directory folder",
    "read open show display print cat content",
    "write save store put",
    "delete remove erase cancel drop",
    "create add make new open",
    "search find look lookup query",
    "send write deliver",
    "play listen hear song music track album",
    "flight fly plane airline",
    "hotel accommodation stay lodging",
    "restaurant eat dinner lunch cafe bar place shop",
    "recipe cook bake dish ingredient",
    "nutrition calory calorie protein vitamin diet",
    "calculate compute math mathematical sum plus minus time divided multiply squared root evaluate expression arithmetic",
    "light lamp bulb",
    "thermostat heating temperature warm degree",
    "volume loud louder quiet speaker sound",
    "user customer account client",
    "order purchase shipment delivery",
    "direction route navigate way drive walk distance far",
    "timer countdown alarm",
    "definition define meaning mean dictionary",
    "image picture photo drawing",
    "wikipedia encyclopedia who",
    "web internet online website page url",
    "contact person people",
    "issue bug ticket",
];

/// The stems of each group.
static STEMS: LazyLock<Vec<Vec<String>>> =
    LazyLock::new(|| GROUPS.iter().map(|group| group.split(' ').map(stem).collect()).collect());

/// Says whether the stems `left` and `right` can mean the same.
pub(super) fn same(left: &str, right: &str) -> bool {
    STEMS.iter().any(|group| {
        let has = |wanted: &str| group.iter().any(|stem| stem == wanted);
        has(left) && has(right)
    })
}

/// Says whether `left` and `right`, in lower case, name the same unit, currency or language, as a
/// word or as its usual code.
pub(super) fn same_code(left: &str, right: &str) -> bool {
    CODES.iter().any(|line| {
        let has = |wanted: &str| line.split(' ').any(|word| word == wanted);
        has(left) && has(right)
    })
}

/// Each line is one thing: its names and codes.
const CODES: &[&str] = &[
    "english en",
    "french fr",
    "german de",
    "spanish es",
    "italian it",
    "portuguese pt",
    "japanese ja",
    "chinese zh",
    "korean ko",
    "russian ru",
    "arabic ar",
    "dutch nl",
    "hindi hi",
    "kilometer km kilometre",
    "mile mi",
    "meter m metre",
    "centimeter cm",
    "millimeter mm",
    "foot ft feet",
    "inch in inches",
    "kilogram kg kilo",
    "gram g",
    "pound lb lbs",
    "ounce oz",
    "liter l litre",
    "gallon gal",
    "celsius c °c centigrade",
    "fahrenheit f °f",
    "dollar usd $",
    "euro eur €",
    "yen jpy ¥",
    "drive driving car",
    "walk walking foot",
    "bike cycling bicycling",
    "transit bus train",
];
