//! Words: how they are split, what their stem is, and which of them carry no meaning of their own.

/// Words that say nothing about what is asked for.
const STOP: &[&str] = &[
    "a",
    "an",
    "the",
    "this",
    "that",
    "these",
    "those",
    "my",
    "your",
    "our",
    "their",
    "his",
    "her",
    "its",
    "it",
    "i",
    "me",
    "you",
    "we",
    "us",
    "he",
    "she",
    "they",
    "them",
    "is",
    "are",
    "am",
    "was",
    "were",
    "be",
    "been",
    "do",
    "does",
    "did",
    "has",
    "have",
    "had",
    "can",
    "could",
    "will",
    "would",
    "should",
    "shall",
    "may",
    "might",
    "must",
    "what",
    "which",
    "who",
    "whom",
    "whose",
    "when",
    "where",
    "why",
    "how",
    "many",
    "much",
    "any",
    "some",
    "there",
    "here",
    "so",
    "just",
    "please",
    "also",
    "too",
    "as",
    "if",
    "not",
    "no",
    "yes",
    "ok",
    "okay",
    "hi",
    "hello",
    "hey",
    "thanks",
    "thank",
    "want",
    "need",
    "like",
    "let",
    "lets",
    "us",
    "tell",
    "know",
    "going",
    "doing",
    "right",
    "now",
    "currently",
    "current",
    "today's",
    "more",
    "than",
    "up",
    "out",
    "one",
    "another",
    "other",
    "such",
    "given",
    "each",
    "every",
    "all",
    "both",
    "good",
    "well",
    "get",
    "got",
    "give",
    "gets",
    "i'd",
    "i'm",
    "i'll",
    "it's",
    "what's",
    "who's",
    "where's",
    "how's",
    "when's",
    "that's",
    "there's",
    "let's",
    "and",
    "or",
    "then",
    "plus",
    "but",
    "kind",
    "way",
    "compare",
];

/// Words that a value may follow.
const PREPOSITIONS: &[&str] = &[
    "in",
    "for",
    "at",
    "of",
    "about",
    "on",
    "to",
    "from",
    "with",
    "by",
    "into",
    "near",
    "around",
    "regarding",
    "between",
    "until",
    "per",
    "over",
    "under",
    "using",
    "containing",
    "called",
    "named",
    "titled",
    "saying",
    "says",
    "towards",
    "via",
    "within",
    "after",
    "before",
    "since",
];

/// Verbs that fit nearly every tool.
const VERBS: &[&str] = &[
    "find", "search", "look", "lookup", "query", "show", "list", "fetch", "read", "open", "create",
    "add", "make", "set", "put", "update", "delete", "remove", "cancel", "send", "write", "run",
    "start", "stop", "turn", "check", "see", "display", "return", "retrieve", "say", "use", "book",
    "schedule", "new", "save", "change",
];

const NUMBERS: &[(&str, f64)] = &[
    ("zero", 0.0),
    ("two", 2.0),
    ("three", 3.0),
    ("four", 4.0),
    ("five", 5.0),
    ("six", 6.0),
    ("seven", 7.0),
    ("eight", 8.0),
    ("nine", 9.0),
    ("ten", 10.0),
    ("eleven", 11.0),
    ("twelve", 12.0),
    ("dozen", 12.0),
    ("fifteen", 15.0),
    ("twenty", 20.0),
    ("thirty", 30.0),
    ("forty", 40.0),
    ("fifty", 50.0),
    ("sixty", 60.0),
    ("ninety", 90.0),
    ("hundred", 100.0),
    ("thousand", 1000.0),
    ("half", 0.5),
];

/// Says whether `word`, in lower case, carries no meaning of its own.
pub(super) fn is_stop(word: &str) -> bool {
    STOP.contains(&word)
}

/// Says whether a value may follow `word`.
pub(super) fn is_preposition(word: &str) -> bool {
    PREPOSITIONS.contains(&word)
}

/// Says whether `word` is a verb that fits nearly every tool.
pub(super) fn is_verb(word: &str) -> bool {
    VERBS.contains(&word)
}

/// Says whether `word` ends questions such as `what does it mean`.
pub(super) fn is_tail(word: &str) -> bool {
    matches!(
        word,
        "mean" | "means" | "cost" | "costs" | "look" | "looks" | "weigh" | "work" | "works"
    )
}

/// The value of a number written as a word.
pub(super) fn number(word: &str) -> Option<f64> {
    NUMBERS.iter().find(|(name, _)| *name == word).map(|(_, value)| *value)
}

/// The part of a word, in lower case, that its forms share: `prices` and `pricing` are one.
pub(super) fn stem(word: &str) -> String {
    let mut stem = word;
    if matches!(word, "news" | "gas" | "bus" | "always" | "evening" | "morning" | "celsius") {
        return word.to_owned();
    }
    for ending in ["ies", "ied"] {
        if let Some(cut) = word.strip_suffix(ending).filter(|cut| cut.len() > 2) {
            return format!("{cut}y");
        }
    }
    if let Some(cut) = stem.strip_suffix('s')
        && cut.len() > 2
        && !cut.ends_with(['s', 'u', 'i'])
    {
        stem = cut;
    }
    for ending in ["ing", "ed"] {
        if let Some(cut) = stem.strip_suffix(ending).filter(|cut| cut.len() > 2) {
            let mut letters = cut.chars().rev();
            let doubled = letters.next().is_some_and(|last| {
                Some(last) == letters.next() && !matches!(last, 'l' | 's' | 'e' | 'o')
            });
            stem = if doubled { &cut[..cut.len() - 1] } else { cut };
            break;
        }
    }
    let cut = stem.strip_suffix('e').filter(|cut| cut.len() > 2);
    cut.unwrap_or(stem).to_owned()
}

/// The words of a name such as `get_stock_price`, `getStockPrice` or `fs.read-file`, in lower case.
pub(super) fn of_name(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    let mut letters = name.chars().peekable();
    while let Some(letter) = letters.next() {
        let hump = letter.is_uppercase()
            && (before.is_lowercase() || letters.peek().is_some_and(|next| next.is_lowercase()));
        if hump || !letter.is_alphanumeric() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut()
            && letter.is_alphanumeric()
        {
            word.extend(letter.to_lowercase());
        }
        before = letter;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The words of a sentence, in lower case.
pub(super) fn of_text(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_word_share_a_stem() {
        for (left, right) in [
            ("price", "prices"),
            ("raining", "rain"),
            ("currencies", "currency"),
            ("headlines", "headline"),
            ("running", "run"),
            ("translate", "translating"),
            ("calling", "call"),
        ] {
            assert_eq!(stem(left), stem(right));
        }
        assert_ne!(stem("news"), stem("new"));
    }

    #[test]
    fn names_are_split_in_every_style() {
        assert_eq!(of_name("get_stock-price.v2"), ["get", "stock", "price", "v2"]);
        assert_eq!(of_name("getHTTPStatus"), ["get", "http", "status"]);
    }
}
