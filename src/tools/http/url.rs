//! The URL of a tool: its origin is fixed, and an argument fills one segment of the path or one value
//! of the query, whatever it says.

use reqwest::Url;

use super::arguments::Arguments;
use super::header::written;
use super::template::{Filled, Piece, Secrets, Template};
use crate::tools::Error;

/// The URL of a tool, with places for arguments.
pub(super) struct UrlTemplate {
    /// Scheme, host and port.
    origin: Url,
    path: Vec<Template>,
    query: Vec<Pair>,
}

/// `name=value`, or a name alone.
struct Pair {
    name: String,
    value: Option<Template>,
}

impl UrlTemplate {
    /// Reads the URL, and the pairs that are added to its query.
    pub fn read(url: &str, query: &[(String, String)], secrets: &Secrets) -> Result<Self, String> {
        let template = Template::read(url, secrets).map_err(|problem| format!("url: {problem}"))?;
        let (origin, rest) = split_origin(template)?;
        let unfit = |text: &str| text.contains(|c: char| c <= ' ' || c == '\u{7f}' || c == '\\');
        for piece in &rest.0 {
            match piece {
                Piece::Text(text) if unfit(text) => {
                    return Err("url: it has a blank, a control character or a `\\`".to_owned());
                }
                Piece::Text(text) if text.contains('#') => {
                    return Err("url: it has a fragment (`#`), which is never sent".to_owned());
                }
                _ => {}
            }
        }
        let mut parts = rest.split('?').into_iter();
        let path = parts.next().unwrap_or_default().split('/');
        // It begins with a slash, if it is not empty.
        let path: Vec<_> = path.into_iter().skip(1).collect();
        if path.iter().any(|segment| segment.arguments().next().is_none() && is_dots(&raw(segment)))
        {
            return Err("url: `.` and `..` are no segments of a path".to_owned());
        }
        let in_url = parts.flat_map(|part| part.split('&'));
        let in_url = in_url.filter(|pair| !pair.0.is_empty()).map(Pair::of_url);
        let added = query.iter().map(|(name, value)| {
            let value = Template::read(value, secrets);
            let value = value.map_err(|problem| format!("query `{name}`: {problem}"))?;
            Ok(Pair { name: encoded(name), value: Some(value.with_text_as_data(encoded)) })
        });
        let query = in_url.chain(added).collect::<Result<_, _>>()?;
        Ok(Self { origin, path, query })
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> &Url {
        &self.origin
    }

    /// The names of the arguments in it, and where they stand.
    pub fn arguments(&self) -> impl Iterator<Item = (&str, &'static str)> {
        let in_path = self.path.iter().flat_map(Template::arguments).map(|name| (name, "the path"));
        let values = self.query.iter().filter_map(|pair| pair.value.as_ref());
        in_path.chain(values.flat_map(Template::arguments).map(|name| (name, "the query")))
    }

    /// The secrets that stand in the query as they are: as it has them, and what they stand for.
    pub fn written_secrets(&self) -> impl Iterator<Item = String> {
        let pairs = self.query.iter().filter_map(|pair| Some((&pair.name, pair.value.as_ref()?)));
        let texts = pairs.flat_map(|(name, value)| written(name, value));
        texts.flat_map(|text| [text.to_owned(), decoded(text)])
    }

    /// Puts the arguments in.
    ///
    /// # Errors
    /// Arguments that no segment can be made of, or that are missing.
    pub fn fill(&self, arguments: &Arguments<'_>) -> Result<Url, Error> {
        let segments = self.path.iter().map(|template| segment(template, arguments));
        let segments = segments.collect::<Result<Vec<_>, _>>()?;
        let mut url = self.origin.clone();
        url.set_path(&segments.join("/"));
        let mut pairs = Vec::new();
        for Pair { name, value } in &self.query {
            match value.as_ref().map(|value| value.fill(arguments, encoded)) {
                None => pairs.push(name.clone()),
                Some(Filled::Text(value)) => pairs.push(format!("{name}={value}")),
                Some(Filled::LeftOut) => {}
                Some(Filled::Lacks(argument)) => return Err(missing(&argument, "the query")),
            }
        }
        url.set_query(Some(&*pairs.join("&")).filter(|query| !query.is_empty()));
        Ok(url)
    }
}

impl Pair {
    /// A pair as it stands in a URL, encoded already.
    fn of_url(template: Template) -> Result<Self, String> {
        let mut pieces = template.0.into_iter();
        let (name, first) = match pieces.next() {
            Some(Piece::Text(text)) => match text.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (text, None),
            },
            _ => (String::new(), None),
        };
        let rest: Vec<_> = pieces.collect();
        let Some(first) = first else {
            return match rest.is_empty() && !name.is_empty() {
                true => Ok(Self { name, value: None }),
                false => Err("url: a name in the query is not fixed, or has no `=`".to_owned()),
            };
        };
        let first = Some(first).filter(|text| !text.is_empty()).map(Piece::Text);
        Ok(Self { name, value: Some(Template(first.into_iter().chain(rest).collect())) })
    }
}

/// An argument that cannot be left out.
pub(super) fn missing(argument: &str, place: &str) -> Error {
    Error::bad_arguments(format!("`{argument}` is missing, and {place} needs it"))
}

/// One segment of the path.
fn segment(template: &Template, arguments: &Arguments<'_>) -> Result<String, Error> {
    let lacks = |argument: &str| missing(argument, "the path");
    let text = match template.fill(arguments, encoded) {
        Filled::Text(text) => text,
        Filled::Lacks(argument) => return Err(lacks(&argument)),
        Filled::LeftOut => return Err(lacks(template.sole_argument().unwrap_or_default())),
    };
    let Some(argument) = template.arguments().next() else { return Ok(text) };
    if text.is_empty() {
        return Err(Error::bad_arguments(format!("`{argument}` is empty, and the path needs it")));
    }
    if is_dots(&text) {
        let message = format!("`{argument}` makes a `.` or `..` of a part of the path");
        return Err(Error::bad_arguments(message));
    }
    Ok(text)
}

/// Splits what comes before the path from the rest; nothing that is not fixed may stand there.
fn split_origin(template: Template) -> Result<(Url, Template), String> {
    let whole = raw(&template);
    let mut pieces = template.0.into_iter();
    let first = match pieces.next() {
        Some(Piece::Text(text)) => text,
        Some(piece) => return Err(misplaced(&piece, "scheme")),
        None => return Err("url: it is empty".to_owned()),
    };
    let mut rest: Vec<_> = pieces.collect();
    let Some((scheme, behind)) = first.split_once("://") else {
        return Err(match rest.first() {
            Some(piece) => misplaced(piece, "scheme"),
            None => "url: it must begin with http:// or https://".to_owned(),
        });
    };
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err("url: it must begin with http:// or https://".to_owned());
    }
    let end = behind.find(['/', '?', '#', '\\']);
    let authority = &behind[..end.unwrap_or(behind.len())];
    if let (None, Some(piece)) = (end, rest.first()) {
        let whole_authority = whole.split_once("://").map_or("", |(_, rest)| rest);
        let whole_authority = whole_authority.split(['/', '?', '#']).next().unwrap_or_default();
        let port = authority.rsplit(']').next().unwrap_or_default();
        return Err(misplaced(
            piece,
            match () {
                () if whole_authority.contains('@') => "user or password",
                () if port.contains(':') => "port",
                () => "host",
            },
        ));
    }
    if authority.contains('@') {
        return Err("url: it holds a user or a password, which belong in a header".to_owned());
    }
    let origin = match authority {
        "" => Err("it is empty".to_owned()),
        _ => Url::parse(&format!("{scheme}://{authority}/")).map_err(|error| error.to_string()),
    };
    let origin = origin.map_err(|problem| format!("url: no host: {problem}"))?;
    if origin.path() != "/" || origin.query().is_some() || !origin.username().is_empty() {
        return Err("url: no host".to_owned());
    }
    let text = behind[authority.len()..].to_owned();
    rest.insert(0, Piece::Text(text));
    Ok((origin, Template(rest)))
}

fn misplaced(piece: &Piece, part: &str) -> String {
    let shown = match piece {
        Piece::Argument(name) => format!("{{{name}}}"),
        Piece::Secret(name, _) => format!("${{env:{name}}}"),
        Piece::Text(_) => String::new(),
    };
    format!("url: `{shown}` stands in its {part}, which must be fixed")
}

/// The text of a template, with a mark in each place.
fn raw(template: &Template) -> String {
    let text = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Secret(..) | Piece::Argument(_) => "{}".to_owned(),
    };
    template.0.iter().map(text).collect()
}

/// Writes all but letters, digits and `-._~` as `%XX`: data, and no part of a URL's form.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(byte.into());
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// What `text`, of a query, stands for.
fn decoded(text: &str) -> String {
    let base = Url::parse("http://localhost").ok();
    let pair = base.and_then(|mut url| {
        url.set_query(Some(&format!("x={text}")));
        url.query_pairs().next().map(|(_, value)| value.into_owned())
    });
    pair.unwrap_or_else(|| text.to_owned())
}

/// Says whether a segment is `.` or `..`, also for a server that decodes it more than once.
fn is_dots(segment: &str) -> bool {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut decoded = Vec::with_capacity(segment.len());
    for byte in segment.bytes() {
        decoded.push(byte);
        // What has just been decoded may be the end of something encoded.
        while let [.., b'%', high, low] = *decoded
            && let Some((high, low)) = digit(high).zip(digit(low))
        {
            decoded.truncate(decoded.len() - 3);
            decoded.push(high << 4 | low);
        }
    }
    matches!(&*decoded, b"." | b"..")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::ApiKey;
    use crate::tools::http::resolver::literal;

    fn read(url: &str, query: &[(&str, &str)]) -> Result<UrlTemplate, String> {
        let query: Vec<_> =
            query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        UrlTemplate::read(url, &query, &[("KEY".to_owned(), ApiKey::new("s/k?1"))])
    }

    fn filled(url: &str, query: &[(&str, &str)], arguments: &str) -> Result<String, String> {
        let template = read(url, query).expect("the URL is good");
        let filled = template.fill(&Arguments::read(arguments).unwrap());
        filled.map(String::from).map_err(|error| error.message().to_owned())
    }

    #[track_caller]
    fn check(url: &str, query: &[(&str, &str)], arguments: &str, expected: &str) {
        assert_eq!(filled(url, query, arguments).as_deref(), Ok(expected), "{url}");
    }

    fn decoded(text: &[u8]) -> Vec<u8> {
        let digit =
            |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (mut decoded, mut rest) = (Vec::with_capacity(text.len()), text);
        while let Some((&byte, behind)) = rest.split_first() {
            match (byte, behind) {
                (b'%', [high, low, after @ ..])
                    if digit(high).is_some() && digit(low).is_some() =>
                {
                    let digits = digit(high).zip(digit(low));
                    decoded.extend(digits.map(|(high, low)| high << 4 | low));
                    rest = after;
                }
                _ => {
                    decoded.push(byte);
                    rest = behind;
                }
            }
        }
        decoded
    }

    #[test]
    fn arguments_are_data_wherever_they_stand() {
        let a = "https://a.example";
        let arguments = r#"{"x": "a/b?c#d%e\\f é", "n": 1.50, "o": {"k": [1, 2]}}"#;
        let data = "a%2Fb%3Fc%23d%25e%5Cf%20%C3%A9";
        for (path, query, expected) in [
            ("", &[][..], "/".to_owned()),
            ("/v1/", &[], "/v1/".to_owned()),
            ("/v1/{x}", &[], format!("/v1/{data}")),
            ("/v1/{x}.json/{n}-{n}/end", &[], format!("/v1/{data}.json/1.50-1.50/end")),
            ("/v1?a=1&b&c={x}&d=p+{n}%20q", &[], format!("/v1?a=1&b&c={data}&d=p+1.50%20q")),
            ("?q={n}", &[("x y", "a b&{x}")], format!("/?q=1.50&x%20y=a%20b%26{data}")),
            ("/", &[("o", "{o}")], "/?o=%7B%22k%22%3A%5B1%2C2%5D%7D".to_owned()),
            ("/{{x}}/ö", &[], "/%7Bx%7D/%C3%B6".to_owned()),
            ("/b${env:KEY}/?k=${env:KEY}", &[], "/bs%2Fk%3F1/?k=s%2Fk%3F1".to_owned()),
        ] {
            check(&format!("{a}{path}"), query, arguments, &format!("{a}{expected}"));
        }
        check("HTTP://A.example:80/x", &[], "{}", "http://a.example/x");
    }

    #[test]
    fn a_value_that_is_left_out_leaves_its_pair_out() {
        let query = [("lang", "{lang}"), ("at", "{at}")];
        check("http://a/?k={k}", &query, r#"{"at": "x", "lang": null}"#, "http://a/?at=x");
        check("http://a/", &query, "{}", "http://a/");
        check("http://a/", &query, r#"{"at": ""}"#, "http://a/?at=");
        let lacks = filled("http://a/", &[("at", "p{at}")], "{}");
        assert_eq!(lacks.unwrap_err(), "`at` is missing, and the query needs it");
        let lacks = filled("http://a/{at}", &[], r#"{"at": null}"#);
        assert_eq!(lacks.unwrap_err(), "`at` is missing, and the path needs it");
    }

    #[test]
    fn no_argument_leads_up_or_away() {
        for (url, value) in [
            ("http://a/v1/{x}/y", ""),
            ("http://a/v1/{x}/y", "."),
            ("http://a/v1/{x}/y", ".."),
            ("http://a/v1/{x}/y", "%2e"),
            ("http://a/v1/{x}/y", "%2E%2e"),
            ("http://a/v1/{x}/y", ".%2e"),
            ("http://a/v1/{x}/y", "%252e%252E"),
            ("http://a/v1/.{x}/y", "."),
            ("http://a/v1/{x}{x}/y", "."),
            ("http://a/v1/%2e{x}/y", "%2e"),
        ] {
            let arguments = serde_json::json!({"x": value}).to_string();
            assert!(filled(url, &[], &arguments).is_err(), "{url} with {value:?}");
        }
        for value in ["...", "..%2f..", "../..", "..\\..", "a..", ". ."] {
            let arguments = serde_json::json!({"x": value}).to_string();
            let url = filled("http://a/v1/{x}/y", &[], &arguments).unwrap();
            assert!(url.starts_with("http://a/v1/") && url.ends_with("/y"), "{url}");
        }
    }

    #[test]
    fn what_is_not_fixed_or_no_url_is_named() {
        let in_part =
            |place, part| format!("url: `{place}` stands in its {part}, which must be fixed");
        for (url, expected) in [
            ("https://{host}/x", in_part("{host}", "host")),
            ("https://a{b}.example/x", in_part("{b}", "host")),
            ("https://{sub}.a.example:1/x", in_part("{sub}", "host")),
            ("https://a.example{rest}", in_part("{rest}", "host")),
            ("https://a.example:{port}/x", in_part("{port}", "port")),
            ("https://[::1]:{port}/x", in_part("{port}", "port")),
            ("https://{user}@a.example/x", in_part("{user}", "user or password")),
            ("https://u:{pw}@a.example/x", in_part("{pw}", "user or password")),
            ("https://${env:KEY}/x", in_part("${env:KEY}", "host")),
            ("{scheme}://a.example/x", in_part("{scheme}", "scheme")),
            ("http{s}://a.example/x", in_part("{s}", "scheme")),
            ("${env:KEY}", in_part("${env:KEY}", "scheme")),
            (
                "https://u:pw@a.example/x",
                "url: it holds a user or a password, which belong in a header".to_owned(),
            ),
            ("", "url: it is empty".to_owned()),
            ("a.example/x", "url: it must begin with http:// or https://".to_owned()),
            ("ftp://a.example/x", "url: it must begin with http:// or https://".to_owned()),
            ("file:///etc/passwd", "url: it must begin with http:// or https://".to_owned()),
            ("https:///x", "url: no host: it is empty".to_owned()),
            ("https://a b/x", "url: no host: invalid international domain name".to_owned()),
            (
                "http://a.example/x#y",
                "url: it has a fragment (`#`), which is never sent".to_owned(),
            ),
            (
                "http://a.example/x y",
                "url: it has a blank, a control character or a `\\`".to_owned(),
            ),
            (
                "http://a.example\\@b/x",
                "url: it has a blank, a control character or a `\\`".to_owned(),
            ),
            ("http://a.example/../x", "url: `.` and `..` are no segments of a path".to_owned()),
            ("http://a.example/%2E./x", "url: `.` and `..` are no segments of a path".to_owned()),
            (
                "http://a.example/?{x}=1",
                "url: a name in the query is not fixed, or has no `=`".to_owned(),
            ),
            (
                "http://a.example/?a{x}",
                "url: a name in the query is not fixed, or has no `=`".to_owned(),
            ),
            ("http://a.example/{x", "url: a `{` has no `}`".to_owned()),
            ("http://a.example/${env:NO}", "url: `${env:NO}` is not set".to_owned()),
        ] {
            assert_eq!(read(url, &[]).err(), Some(expected), "{url}");
        }
        let bad = read("http://a.example/", &[("q", "}")]).err();
        assert_eq!(bad.as_deref(), Some("query `q`: a `}` stands alone: write `}}`"));
    }

    #[test]
    fn dots_are_found_however_deep_they_are_encoded_and_in_a_time_that_grows_with_the_text() {
        let encoded = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let mut deep: String = "..".to_owned();
        for _ in 0..6 {
            deep = encoded(&deep);
            assert!(is_dots(&deep), "{deep}");
        }
        assert!(is_dots(&format!("%{}2e", "25".repeat(500_000))));
        assert!(!is_dots(&format!("%{}2f", "25".repeat(500_000))));
        for text in ["", "...", "%2", "%2g", "%%", "a%2e", "%2e%2e%2e"] {
            assert!(!is_dots(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_arguments_say_the_form_of_the_url_stays(x in any::<String>(), y in any::<String>()) {
            let template = read("https://a.example:8443/v1/{x}/p-{y}/end?k={x}", &[("q", "{y}")]).unwrap();
            let text = serde_json::json!({"x": x, "y": y}).to_string();
            let arguments = Arguments::read(&text).unwrap();
            let Ok(url) = template.fill(&arguments) else {
                prop_assert!(x.is_empty() || is_dots(&x));
                return Ok(());
            };
            let again = Url::parse(url.as_str()).unwrap();
            prop_assert_eq!(&again, &url, "what is sent is what was checked");
            prop_assert_eq!(url.origin(), template.origin().origin());
            prop_assert_eq!(literal(&url), None);
            prop_assert!(url.username().is_empty() && url.fragment().is_none());
            let segments: Vec<_> = url.path_segments().unwrap().collect();
            prop_assert_eq!(segments.len(), 4);
            prop_assert_eq!(decoded(segments[1].as_bytes()), x.as_bytes());
            prop_assert_eq!(decoded(segments[2].as_bytes()), format!("p-{y}").into_bytes());
            let pairs: Vec<_> = url.query_pairs().into_owned().collect();
            prop_assert_eq!(pairs, vec![("k".to_owned(), x), ("q".to_owned(), y)]);
        }
    }
}
