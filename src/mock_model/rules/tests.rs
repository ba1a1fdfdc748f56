//! What the rules make of questions, results and `tool_choice`.

mod cases;

use serde_json::{Value, json};

use super::super::request::{Function, Request};
use super::{plan, reply};
use cases::Case;

fn planned(tools: &[Function], question: &str) -> Value {
    let calls = plan::calls(question, &tools.iter().collect::<Vec<_>>());
    calls
        .into_iter()
        .map(|call| {
            let arguments: Value =
                serde_json::from_str(&call.arguments).expect("arguments are JSON");
            json!([call.name, arguments])
        })
        .collect()
}
fn all_cases() -> impl Iterator<Item = Case> {
    cases::first_cases().into_iter().chain(cases::second_cases()).chain(cases::third_cases())
}

/// Questions that do not come out right, with what comes out.
fn known_to_be_wrong() -> Vec<(&'static str, Value)> {
    vec![
        (
            "When is Dune playing in Chicago tonight?",
            json!([["get_movie_showtimes",
                {"movie": "Dune playing", "city": "Chicago", "date": "tonight"}]]),
        ),
        (
            "Log my lunch: pasta with pesto, 650 calories",
            json!([["log_meal", {"description": "my lunch: pasta with pesto", "calories": 650}]]),
        ),
    ]
}

#[test]
fn questions_lead_to_the_calls_a_person_would_expect() {
    let known = known_to_be_wrong();
    let mut wrong = Vec::new();
    for Case { tools, rows } in all_cases() {
        for (question, expected) in rows {
            let known = known.iter().find(|(known, _)| *known == question);
            let expected = known.map_or(expected, |(_, given)| given.clone());
            let given = planned(&tools, question);
            if given != expected {
                wrong.push(format!("{question}\n   given {given}\nexpected {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Schemas that say more than a tool usually does.
fn demanding() -> Value {
    json!([
        {"type": "object", "required": ["when", "tags", "level", "place"], "properties": {
            "when": {"type": "string", "format": "date"},
            "tags": {"type": "array", "minItems": 2, "items": {"enum": ["a", "b"]}},
            "level": {"type": "integer", "minimum": 3, "maximum": 7},
            "place": {"anyOf": [{"type": "null"}, {"$ref": "#/definitions/Place"}]}},
         "definitions": {"Place": {"type": "object", "required": ["lat", "name"],
            "properties": {"lat": {"type": "number", "exclusiveMinimum": 0}, "name": {"type": "string"},
                "near": {"$ref": "#/definitions/Place"}}}}},
        {"type": "object", "required": ["undeclared", "mode", "pairs", "fixed"], "properties": {
            "mode": {"enum": [1, 2]}, "fixed": {"const": "x"},
            "pairs": {"type": "array", "items": {"type": "object", "required": ["n"],
                "properties": {"n": {"type": "integer"}}}, "minItems": 1},
            "free": {"type": "object"}, "flags": {"type": "array", "items": {"type": "boolean"}}}},
        {"type": "object", "required": ["next"], "properties": {"note": {"type": "string"},
            "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}},
        {"type": "object", "additionalProperties": false},
    ])
}

#[test]
fn arguments_always_fit_the_schema() {
    let questions: Vec<&str> =
        all_cases().flat_map(|case| case.rows).map(|(question, _)| question).chain([""]).collect();
    let mut tools: Vec<Function> = all_cases().flat_map(|case| case.tools).collect();
    for schema in demanding().as_array().into_iter().flatten() {
        let tool = json!({"name": "f", "parameters": schema});
        tools.push(serde_json::from_value(tool).expect("a tool"));
    }
    for tool in &tools {
        let schema = tool.parameters.as_ref().map(ToString::to_string).unwrap_or_default();
        let schema: Value = serde_json::from_str(&schema).expect("JSON");
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        for question in &questions {
            let arguments = plan::forced_call(question, tool).arguments;
            let value: Value = serde_json::from_str(&arguments).expect("JSON");
            assert!(validator.is_valid(&value), "{question}: {arguments} for {schema}");
        }
    }
}

fn said(request: Value) -> super::Reply {
    let request: Request = serde_json::from_value(request).expect("a request");
    reply(&request)
}

fn offered() -> Value {
    json!([{"type": "function", "function": {"name": "get_weather", "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}])
}

#[test]
fn results_are_read_out_and_not_asked_for_again() {
    let answer = said(json!({"tools": offered(), "messages": [
        {"role": "user", "content": "weather in Tokyo?"},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "call_1", "function": {"name": "get_weather", "arguments": "{\"city\":\"Tokyo\"}"}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "{\"temp_f\":71,\"conditions\":\"Clear\"}"},
    ]}));
    assert_eq!(
        answer.text.as_deref(),
        Some("get_weather (city Tokyo): temp_f 71, conditions Clear.")
    );
}

#[test]
fn calls_come_one_by_one_when_they_must_not_be_parallel() {
    let mut messages = vec![json!({"role": "user", "content": "weather in Tokyo and Paris"})];
    let mut cities = Vec::new();
    for round in 0..3 {
        let answer =
            said(json!({"tools": offered(), "parallel_tool_calls": false, "messages": messages}));
        let Some(call) = answer.calls.first() else { break };
        assert_eq!(answer.calls.len(), 1);
        cities.push(call.arguments.clone());
        let id = round.to_string();
        messages.push(json!({"role": "assistant", "tool_calls": [
            {"id": id, "function": {"name": call.name, "arguments": call.arguments}}]}));
        messages.push(json!({"role": "tool", "tool_call_id": id, "content": "ok"}));
    }
    assert_eq!(cities, [r#"{"city":"Tokyo"}"#, r#"{"city":"Paris"}"#]);
}

#[test]
fn tool_choice_is_obeyed() {
    let with = |choice: Value| {
        said(json!({"tools": offered(), "tool_choice": choice,
            "messages": [{"role": "user", "content": "Rome, perhaps"}]}))
    };
    assert!(with(json!("auto")).calls.is_empty());
    assert_eq!(with(json!("required")).calls[0].arguments, r#"{"city":"Rome"}"#);
    let named = json!({"type": "function", "function": {"name": "get_weather"}});
    assert_eq!(with(named).calls[0].name, "get_weather");
    let none = said(json!({"tools": offered(), "tool_choice": "none",
        "messages": [{"role": "user", "content": "weather in Rome"}]}));
    assert!(none.calls.is_empty());
}

#[test]
fn without_a_fitting_tool_the_stand_in_says_what_it_is() {
    let answer =
        said(json!({"tools": offered(), "messages": [{"role": "user", "content": "Why?"}]}));
    let text = answer.text.unwrap_or_default();
    assert!(text.contains("offline stand-in") && text.contains("get_weather"), "{text}");
}
