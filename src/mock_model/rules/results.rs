//! Tool results read out: a line for each call.

use super::super::json::Json;

/// Longer texts are cut here.
const MAX_TEXT: usize = 600;

/// Longer lists are cut here.
const MAX_ITEMS: usize = 10;

/// What `tool`, called with `arguments`, answered, in one line.
pub(super) fn line(tool: &str, arguments: &str, result: &str) -> String {
    let asked = serde_json::from_str(arguments).map(|asked: Json| flat(&asked)).unwrap_or_default();
    let asked = if asked.is_empty() { String::new() } else { format!(" ({asked})") };
    match problem(result) {
        Some(problem) => format!("{tool}{asked} failed: {}", sentence(&problem)),
        None => format!("{tool}{asked}: {}", sentence(&told(result))),
    }
}

/// What went wrong, if the result says that something did.
fn problem(result: &str) -> Option<String> {
    if let Some(rest) = result.trim().get(..6).filter(|start| start.eq_ignore_ascii_case("error:"))
    {
        return Some(result.trim()[rest.len()..].trim().to_owned());
    }
    let json: Json = serde_json::from_str(result).ok()?;
    match json.get("error")? {
        Json::Null | Json::Bool(false) => None,
        error => Some(error.get("message").map_or_else(|| flat(error), flat)),
    }
}

fn told(result: &str) -> String {
    match serde_json::from_str::<Json>(result) {
        Ok(json) => flat(&json),
        Err(_) => result.to_owned(),
    }
}

/// JSON as words: `temp_f 71, conditions Clear`.
fn flat(json: &Json) -> String {
    match json {
        Json::Null => "nothing".to_owned(),
        Json::Text(text) => text.clone(),
        Json::List(items) => {
            let mut told: Vec<String> = items.iter().take(MAX_ITEMS).map(flat).collect();
            if items.len() > MAX_ITEMS {
                told.push(format!("and {} more", items.len() - MAX_ITEMS));
            }
            if told.is_empty() { "none".to_owned() } else { told.join("; ") }
        }
        Json::Object(members) => {
            let told = members.iter().map(|(key, value)| match value {
                Json::Object(_) => format!("{key} ({})", flat(value)),
                _ => format!("{key} {}", flat(value)),
            });
            told.collect::<Vec<_>>().join(", ")
        }
        Json::Bool(_) | Json::Number(_) => json.to_string(),
    }
}

/// One line that ends with a full stop.
fn sentence(text: &str) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = line.char_indices().nth(MAX_TEXT) {
        line.truncate(cut);
        line.push('…');
    }
    if line.is_empty() {
        line.push_str("no result");
    }
    if !line.ends_with(['.', '!', '?', '…']) {
        line.push('.');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_told_in_its_own_order() {
        let told =
            line("get_weather", r#"{"city":"Tokyo"}"#, r#"{"temp_f":71,"conditions":"Clear"}"#);
        assert_eq!(told, "get_weather (city Tokyo): temp_f 71, conditions Clear.");
        let told = line("news", "{}", r#"{"headlines":["One","Two"],"meta":{"page":1}}"#);
        assert_eq!(told, "news: headlines One; Two, meta (page 1).");
        assert_eq!(line("f", "broken", "plain\n text"), "f: plain text.");
        assert_eq!(line("f", "{}", ""), "f: no result.");
    }

    #[test]
    fn a_failure_is_told_plainly() {
        let told = |result| line("f", "{}", result);
        assert_eq!(
            told("error: no result within the time limit"),
            "f failed: no result within the time limit."
        );
        assert_eq!(told(r#"{"error":"unknown city"}"#), "f failed: unknown city.");
        assert_eq!(told(r#"{"error":{"code":3,"message":"down"}}"#), "f failed: down.");
        assert_eq!(told(r#"{"error":null,"n":1}"#), "f: error nothing, n 1.");
    }

    #[test]
    fn what_is_long_is_cut() {
        let long = line("f", "{}", &"é".repeat(700));
        assert_eq!(long.chars().count(), "f: ".len() + MAX_TEXT + 1);
        assert!(line("f", "{}", "[1,2,3,4,5,6,7,8,9,10,11,12]").ends_with("10; and 2 more."));
    }
}
