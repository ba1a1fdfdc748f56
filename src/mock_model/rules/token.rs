//! A question cut into tokens that remember what they look like.

use super::words::{self, stem};

/// One word, number, quotation or other piece of a question.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    /// Without the punctuation round it, a possessive `'s` or quotation marks.
    pub text: String,
    /// With brackets, and with the punctuation behind it.
    pub outer: String,
    /// In lower case.
    pub word: String,
    pub stem: String,
    pub shape: Shape,
    /// The pause that follows.
    pub pause: Pause,
}

/// What a token looks like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Shape {
    Plain,
    /// Begins with a capital letter.
    Capital,
    /// Capital letters only, at least two.
    Upper,
    Quoted,
    Number(f64),
    /// `2026-03-14`
    Date,
    /// `7:30` or `3pm`
    Time,
    Email,
    Url,
    /// `/etc/hosts`, `notes.txt`
    Path,
    /// `+`, or `12*(3+4)`
    Math,
}

/// What the punctuation behind a token means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pause {
    None,
    Comma,
    Sentence,
}

impl Token {
    /// Says whether it looks like a name.
    pub fn is_proper(&self) -> bool {
        matches!(self.shape, Shape::Capital | Shape::Upper)
    }

    /// Says whether it joins two things.
    pub fn is_conjunction(&self) -> bool {
        matches!(self.word.as_str(), "and" | "then" | "also" | "&" | "or")
            && self.shape != Shape::Quoted
    }

    /// Says whether a value may follow it.
    pub fn is_preposition(&self) -> bool {
        self.shape != Shape::Quoted && words::is_preposition(&self.word)
    }

    /// Says whether it carries no meaning of its own.
    pub fn is_stop(&self) -> bool {
        matches!(self.shape, Shape::Plain | Shape::Capital) && words::is_stop(&self.word)
    }
}

/// Cuts `text` into tokens.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut rest = text;
    loop {
        let line_ends = rest.len() - rest.trim_start().len();
        if rest[..line_ends].contains('\n')
            && let Some(last) = tokens.last_mut()
        {
            last.pause = Pause::Sentence;
        }
        rest = rest.trim_start();
        if rest.is_empty() {
            return tokens;
        }
        if let Some((inside, behind)) = quotation(rest) {
            let end = behind.find(|c: char| c.is_whitespace() || c.is_alphanumeric());
            let (marks, left) = behind.split_at(end.unwrap_or(behind.len()));
            let mut quoted = token(inside, Shape::Quoted);
            quoted.pause = pause(marks);
            tokens.push(quoted);
            rest = left;
            continue;
        }
        let (chunk, left) = rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len()));
        rest = left;
        tokens.extend(of_chunk(chunk));
    }
}

/// The inside of the quotation that `text` begins with, and what is behind it.
fn quotation(text: &str) -> Option<(&str, &str)> {
    let open = text.chars().next()?;
    let close = match open {
        '"' | '\'' | '`' => open,
        '“' => '”',
        '‘' => '’',
        '«' => '»',
        _ => return None,
    };
    let inside = &text[open.len_utf8()..];
    let end = inside.match_indices(close).map(|(at, _)| at).find(|&at| {
        // The apostrophe of `don't` closes nothing.
        inside[at + close.len_utf8()..].chars().next().is_none_or(|next| !next.is_alphanumeric())
    })?;
    (end > 0).then(|| (&inside[..end], &inside[end + close.len_utf8()..]))
}

fn of_chunk(chunk: &str) -> Vec<Token> {
    let inner = chunk.trim_end_matches(['.', ',', ';', ':', '!', '?', '…']);
    let pause = pause(&chunk[inner.len()..]);
    let mut tokens = if let Some((number, unit)) = number_and_unit(inner) {
        vec![token(number, Shape::Plain), token(unit, Shape::Plain)]
    } else if let Some(amount) = inner.strip_prefix('$').filter(|amount| is_number(amount)) {
        vec![token(amount, Shape::Plain), token("USD", Shape::Plain)]
    } else if let Some(amount) = inner.strip_prefix('€').filter(|amount| is_number(amount)) {
        vec![token(amount, Shape::Plain), token("EUR", Shape::Plain)]
    } else {
        vec![token(inner, Shape::Plain)]
    };
    for token in &mut tokens {
        token.shape = shape(&token.text);
        if let Shape::Number(_) = token.shape {
            token.text = token.text.trim_matches(['(', ')']).to_owned();
        }
    }
    tokens.retain(|token| !token.text.is_empty());
    if let Some(last) = tokens.last_mut() {
        last.pause = pause;
        last.outer.push_str(&chunk[inner.len()..]);
    }
    tokens
}

fn token(outer: &str, shape: Shape) -> Token {
    let mut text = outer;
    if shape != Shape::Quoted && shape_of_math(outer).is_none() {
        text = text.trim_matches(['(', ')', '[', ']', '{', '}', '<', '>', '"', '“', '”', '¿', '¡']);
        for possessive in ["'s", "’s", "'", "’"] {
            let contraction = words::is_stop(&text.to_lowercase().replace('’', "'"));
            if let Some(owner) = text.strip_suffix(possessive)
                && !contraction
            {
                text = owner;
                break;
            }
        }
    }
    let word = text.to_lowercase().replace('’', "'");
    let stem = stem(&word);
    Token { text: text.to_owned(), outer: outer.to_owned(), word, stem, shape, pause: Pause::None }
}

fn pause(punctuation: &str) -> Pause {
    if punctuation.contains(['.', ';', '!', '?']) {
        Pause::Sentence
    } else if punctuation.contains(',') {
        Pause::Comma
    } else {
        Pause::None
    }
}

fn shape(text: &str) -> Shape {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let first = text.chars().next().unwrap_or(' ');
    if text.contains("://") || text.starts_with("www.") {
        Shape::Url
    } else if text.contains('@') && text.contains('.') && !text.starts_with('@') {
        Shape::Email
    } else if is_date(text) {
        Shape::Date
    } else if is_time(text) {
        Shape::Time
    } else if let Some(value) = number(text) {
        Shape::Number(value)
    } else if let Some(shape) = shape_of_math(text) {
        shape
    } else if is_path(text) {
        Shape::Path
    } else if letters >= 2
        && letters + digits == text.chars().count()
        && !text.chars().any(char::is_lowercase)
        && first.is_uppercase()
    {
        Shape::Upper
    } else if first.is_uppercase() {
        Shape::Capital
    } else {
        Shape::Plain
    }
}

fn is_number(text: &str) -> bool {
    number(text).is_some()
}

/// The value of digits with separators, a sign, a percent sign, or of a word such as `ten`.
fn number(text: &str) -> Option<f64> {
    let bare = text.trim_matches(['(', ')']).trim_end_matches('%');
    let digits = bare.strip_prefix(['+', '-']).unwrap_or(bare);
    if digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || c == '.' || c == ',')
    {
        return bare.replace(',', "").parse().ok();
    }
    words::number(&text.to_lowercase())
}

/// `100km` is a number and its unit, `5-day` too; `3pm` is not.
fn number_and_unit(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',')?;
    let (number, unit) = text.split_at(end);
    let unit = unit.strip_prefix('-').unwrap_or(unit);
    let known = unit.chars().all(|c| c.is_alphabetic() || c == '°')
        && unit.chars().count() > 0
        && !matches!(unit.to_lowercase().as_str(), "am" | "pm" | "st" | "nd" | "rd" | "th");
    (end > 0 && known && is_number(number)).then_some((number, unit))
}

fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split(['-', '/', '.']).collect();
    let numeric =
        parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    parts.len() == 3 && numeric && parts.iter().any(|part| part.len() == 4)
}

fn is_time(text: &str) -> bool {
    let lower = text.to_lowercase();
    let bare = lower.strip_suffix("am").or(lower.strip_suffix("pm"));
    let clock = bare.unwrap_or(&lower);
    let numeric = clock.starts_with(|c: char| c.is_ascii_digit())
        && clock.chars().all(|c| c.is_ascii_digit() || c == ':');
    numeric && (bare.is_some() || clock.contains(':'))
        || matches!(lower.as_str(), "noon" | "midnight")
}

fn is_path(text: &str) -> bool {
    let extension = text.rsplit_once('.').is_some_and(|(stem, extension)| {
        !stem.is_empty()
            && (1..=5).contains(&extension.len())
            && extension.chars().all(|c| c.is_ascii_alphanumeric())
            && extension.starts_with(|c: char| c.is_ascii_lowercase())
    });
    let rooted = ["/", "./", "../", "~/"].iter().any(|root| text.starts_with(root));
    text.len() > 1 && (extension || rooted || (text.contains('/') && text.contains('.')))
}

/// Digits and operators, or an operator alone.
fn shape_of_math(text: &str) -> Option<Shape> {
    let operators = text.chars().filter(|c| "+-*/^=×÷%".contains(*c)).count();
    let all = text.chars().all(|c| c.is_ascii_digit() || "+-*/^=×÷%().,".contains(c));
    (operators > 0 && all && number(text).is_none()).then_some(Shape::Math)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(question: &str) -> Vec<String> {
        tokens(question).into_iter().map(|token| token.text).collect()
    }

    fn shape_of(text: &str) -> Shape {
        tokens(text)[0].shape
    }

    #[test]
    fn possessives_and_punctuation_go_but_contractions_stay() {
        assert_eq!(texts("What's AAPL's price, (please)?"), ["What's", "AAPL", "price", "please"]);
    }

    #[test]
    fn a_quotation_is_one_token() {
        assert_eq!(
            texts("Say 'don't go' to “Bob and Ann”, now"),
            ["Say", "don't go", "to", "Bob and Ann", "now"]
        );
    }

    #[test]
    fn a_unit_leaves_its_number() {
        assert_eq!(texts("100km $5 5-day 3pm"), ["100", "km", "5", "USD", "5", "day", "3pm"]);
    }

    #[test]
    fn shapes_are_told_apart() {
        assert_eq!(shape_of("1,000.50"), Shape::Number(1000.5));
        assert_eq!(shape_of("ten"), Shape::Number(10.0));
        assert_eq!(shape_of("2026-03-14"), Shape::Date);
        assert_eq!(shape_of("7:30"), Shape::Time);
        assert_eq!(shape_of("a@b.org"), Shape::Email);
        assert_eq!(shape_of("https://a.b/c?d=1"), Shape::Url);
        assert_eq!(shape_of("src/main.rs"), Shape::Path);
        assert_eq!(shape_of("/etc"), Shape::Path);
        assert_eq!(shape_of("12*(3+4)"), Shape::Math);
        assert_eq!(shape_of("*"), Shape::Math);
        assert_eq!(shape_of("AI"), Shape::Upper);
        assert_eq!(shape_of("Tokyo"), Shape::Capital);
    }
}
