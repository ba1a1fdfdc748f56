//! Names and ids of calls: rows D4 to D11.

use super::*;

#[test]
fn d4_an_id_counts_once_and_empty_ones_never() {
    check(
        &[
            piece(Some(0), Some(""), Some("f"), "{\"x\""),
            piece(Some(0), Some("a"), None, ":"),
            piece(Some(0), Some("a"), None, "1"),
            piece(Some(0), Some(""), None, "}"),
            r#"{"tool_calls":[{"index":0,"id":null,"function":{"name":null,"arguments":null}}]}"#
                .to_owned(),
        ],
        &[r#"a f {"x":1}"#],
    );
}

#[test]
fn d5_an_id_that_changes_without_a_name_is_the_same_call() {
    check(
        &[
            piece(Some(0), Some("a"), Some("f"), ""),
            piece(Some(0), Some("b"), Some(""), "{\"x\":"),
            piece(Some(0), Some("c"), Some(""), "1}"),
        ],
        &[r#"a f {"x":1}"#],
    );
    check(
        &[piece(None, Some("a"), Some("f"), "{\"x\":"), piece(None, Some("b"), None, "1}")],
        &[r#"a f {"x":1}"#],
    );
}

#[test]
fn d6_d7_ids_are_minted_and_made_unique() {
    let call = |index, id| piece(Some(index), id, Some("f"), "{}");
    check(
        &[call(0, Some("a")), call(1, Some("a")), call(2, None)],
        &["a f {}", "a_2 f {}", "call_2 f {}"],
    );
}

#[test]
fn d9_d10_d11_a_name_may_be_repeated_empty_growing_late_or_in_pieces() {
    let with = |name| piece(Some(0), Some("a"), name, "");
    let end = || piece(Some(0), Some("a"), Some("get_weather"), "{\"x\":1}");
    let expected = [r#"a get_weather {"x":1}"#];
    check(&[with(Some("get_weather")), end()], &expected);
    check(&[with(Some("get_")), with(Some("")), with(Some("weather")), end()], &expected);
    check(&[with(Some("get_")), with(Some("get_weather")), end()], &expected);
    check(&[piece(Some(0), Some("a"), None, "{\"x\":1}"), with(Some("get_weather"))], &expected);
    check(&[end(), with(Some("get_weather")), with(Some("other"))], &expected);
}

#[test]
fn old_llama_cpp_writes_the_id_into_the_function() {
    let call =
        r#"{"tool_calls":[{"index":0,"function":{"id":"abc","name":"f","arguments":"{}"}}]}"#;
    check(&[call.to_owned()], &["abc f {}"]);
}
